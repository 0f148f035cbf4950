"""A front-end killed in its session: keys told in answers, and the bank's own keys over short connections.

The banks are the simulators', on real sockets; `QIANZHI_CRASH` says where the process dies.
"""

import signal

import pytest
from killable import PATIENCE_SECONDS
from simulated import SimulatedBank

from qianzhi.domain.results import Result
from qianzhi.wire.keys import CHECK_BYTES, check_value
from simulators.connections import LineGoneError


@pytest.mark.parametrize(
    ("name", "crash", "told"),
    [
        ("wenzhou", "front.before_store:2", False),  # sign-on, key made; the first store leases serials
        ("wenzhou", "front.after_store:2", False),
        ("wenzhou", "front.before_store:3", True),  # key proved by its use
        ("wenzhou", "front.after_store:4", True),  # another key made, the first one in use
        ("nb_ccb", "front.after_store:1", False),  # sign-on, keys made
        ("nb_ccb", "front.after_send:1", None),  # handed over, and lost or not
        ("psbc", "front.before_store:1", False),  # sign-on
        ("psbc", "front.before_store:2", False),  # the bank's key taken
        ("psbc", "front.after_store:2", False),
        ("psbc", "front.after_send:2", None),
        ("psbc", "front.before_store:3", True),  # key proved
        ("psbc", "front.after_store:3", True),
        ("psbc", "front.after_store:4", True),  # another key taken, the first one in use
    ],
)
def test_killed_within_its_session_the_bank_goes_on_and_is_never_locked_out(make_place, name, crash, told):
    """Keys told in answers, and keys that the bank brings: what one side uses, both have."""
    place = make_place(name)
    process = place.start(crash)
    bank = SimulatedBank(place)
    bank.connect()
    with pytest.raises(LineGoneError):  # noqa: PT012 - at which of these it breaks is the case
        bank.open()
        bank.recharge("first")
        bank.change_key()
        bank.recharge("second")
    assert process.wait(PATIENCE_SECONDS) == -signal.SIGKILL
    used = bank.line.session.key
    assert told in (None, used is not None), "nothing is said before it is stored"
    kept = {row.check_value for row in place.saved().keys}
    assert used is None or check_value(used)[:CHECK_BYTES] in kept
    place.start()
    bank.come_back()
    assert bank.recharge("first") is Result.APPROVED, "without signing on where it has its key"
    bank.change_key()
    assert bank.recharge("second") is Result.APPROVED
    bank.close()
    other = SimulatedBank(place)  # the bank's own restart
    other.connect()
    other.open()
    assert other.recharge("third") is Result.APPROVED
    keys = [ask.request.key for ask in (*bank.asks.values(), *other.asks.values())]
    assert place.core.credits == dict.fromkeys(keys, 1)
    assert (bank.line.bad, other.line.bad) == (0, 0)
