"""A front-end killed in its session: keys told in answers, and the bank's own keys over short connections.

The banks are the simulators', on real sockets; `QIANZHI_CRASH` says where the process dies.
"""

import itertools
import signal

import pytest
from killable import PATIENCE_SECONDS

from qianzhi.domain.results import Result
from qianzhi.runtime import clock
from qianzhi.wire.keys import CHECK_BYTES, check_value
from simulators.connections import LineGoneError, ShortConnections, SocketConnection
from simulators.lines import LineMaker
from simulators.record import Ask
from simulators.sessions import ANSWER_US
from simulators.state_file import StateFile


class SimulatedBank:
    """A simulators' bank on real connections: its line outlives a connection, its state file outlives it."""

    def __init__(self, place):
        self.place, self.profile = place, place.profile
        state = StateFile(place.data, self.profile.name)
        self.maker = LineMaker(self.profile, place.config, state, production=False)
        self.serials = iter(state.lease(100))
        self.line = self.maker.make(self.serials.__next__)
        self.heard, self.asks, self.tickets, self.waited_us = {}, {}, itertools.count(1), 0
        self.connection = None
        place.add(self)

    def close(self):
        self.line.on_closed()
        if self.connection is not None:
            self.connection.close()

    def connect(self):
        host, _, port = self.place.site.banks[self.profile.name].listen.rpartition(":")
        shape = ShortConnections if self.profile.transport.connection == "short" else SocketConnection
        self.connection = shape(host, int(port), self.profile.frame)

    def now(self):
        now = clock.now()
        return now._replace(mono_us=now.mono_us + self.waited_us)

    def open(self):
        """Begin the session as on every new connection, and come to a key."""
        self.connection.send(self.line.on_connected(self.now()))
        self.turn_until(lambda: self.line.ready)

    def change_key(self):
        """Ask for another key, or bring one."""
        key, known = self.line.session.key, self.profile.table.management
        name = "key_request" if "key_request" in known or "key_delivery" in known else "sign_on"
        self.connection.send(self.line.manage(name, self.now())[1])
        self.turn_until(lambda: self.line.session.key != key)

    def recharge(self, serial):
        """Ask for a recharge, the same one again under the same serial, and return its result."""
        if serial not in self.asks:
            text = self.line.serial_text(next(self.serials), 0)
            stamp_us = clock.now().wall_us
            self.asks[serial] = Ask(0, self.place.recharge(text), stamp_us, stamp_us)
        ticket = next(self.tickets)
        self.connection.send(self.line.carry([self.asks[serial]._replace(ticket=ticket)], self.now()))
        self.turn_until(lambda: ticket in self.heard)
        return self.heard[ticket]

    def turn_until(self, true):
        """Read and answer; raises LineGoneError when the front-end has died meanwhile."""
        end = clock.monotonic_seconds() + PATIENCE_SECONDS
        while not true():
            assert clock.monotonic_seconds() < end, self.line.state
            was_alive = self.place.processes[-1].poll() is None
            items = self.connection.receive(0.05)
            heard, out = self.line.on_frames(items, self.now())
            self.heard |= {item.ticket: item.result for item in heard}
            self.maker.keep_key(self.line)
            if not was_alive and not items:
                raise LineGoneError("the front-end is dead")
            self.connection.send([*out, *self.line.on_time(self.now())])

    def come_back(self):
        """Find the line again after its connection broke; one that had begun something begins it anew."""
        if self.profile.transport.connection == "short":
            self.waited_us += ANSWER_US
        else:
            self.close()
            self.connect()
        if self.line.session.key is None:
            if self.profile.transport.connection == "long":
                self.open()
            self.turn_until(lambda: self.line.ready)


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
