"""Rules 13 to 16: transactions that others stand in the way of, COMMITs of which nobody heard, databases that
take over, invariants that stay on.
"""

from qianzhi.domain.results import Result
from tests.money.site import Stage

FIFTY = 5_000


def test_batch_again_after_conflict(stage: Stage) -> None:
    site = stage()
    bank, seven, eight = site.bank, site.bank.serial(), site.bank.serial()

    with site.fault("deadlock"):  # every transaction is somebody's victim
        first, second = bank.asks(seven), bank.asks(eight)
        site.run(1)
        assert first.answer is second.answer is None
        assert not site.database.memory.journal

    assert bank.hears(first) is bank.hears(second) is Result.APPROVED
    assert site.balance(seven.phone) == 2 * FIFTY


def test_commit_unknown_written(stage: Stage) -> None:
    site = stage()
    bank, seven = site.bank, site.bank.serial()

    with site.fault("commit_unknown_written"):
        original = bank.asks(seven)
        site.until(lambda: site.row(seven.key))
        assert original.answer is None

    assert bank.hears(original) is Result.APPROVED
    assert original.order == site.row(seven.key).order_serial
    assert site.balance(seven.phone) == FIFTY


def test_commit_unknown_lost(stage: Stage) -> None:
    site = stage()
    bank, seven = site.bank, site.bank.serial()

    with site.fault("commit_unknown_lost"):
        original = bank.asks(seven)
        site.until(lambda: site.saw("commit-unknown-lost"))
        assert original.answer is None
        assert site.row(seven.key) is None

    assert bank.hears(original) is Result.APPROVED
    assert site.balance(seven.phone) == FIFTY


def test_bad_request_alone(stage: Stage) -> None:
    site = stage()
    site.other_node.kill()  # so that all come in one batch
    site.other_bridge.kill()
    site.run(1)
    bank = site.bank
    six, seven, eight = bank.serial(), bank.serial(), bank.serial()

    site.bad(seven.key.serial)
    said = [bank.asks(one) for one in (six, seven, eight)]

    assert [bank.hears(one) for one in said] == [Result.APPROVED, Result.QUARANTINED, Result.APPROVED]
    assert site.counts["qianzhi_core_retries_total"] == 2  # {6, 7, 8} was halved, and {7, 8}
    assert site.state(seven.key) == "QUARANTINED"
    assert "quarantined" in site.alarms
    assert [one.key for one in site.open_breaks()] == [seven.key]
    assert site.balance(six.phone) == 2 * FIFTY


def test_failover_keeps_answers(stage: Stage) -> None:
    site = stage()
    bank, seven = site.bank, site.bank.serial()

    assert bank.hears(bank.asks(seven)) is Result.APPROVED
    with site.fault("failover"):
        site.run(5)

    assert bank.hears(bank.queries(seven)) is Result.APPROVED
    assert site.balance(seven.phone) == FIFTY


def test_invariant_stops_request(stage: Stage) -> None:
    site = stage()
    site.other_node.kill()  # so that all come in one batch
    site.other_bridge.kill()
    site.run(1)
    bank = site.bank
    six, seven, eight = bank.serial(), bank.serial(), bank.serial()

    site.spoils(seven.key.serial)  # what is loaded for it lets no posting through that billing has checked
    said = [bank.asks(one) for one in (six, seven, eight)]

    assert [bank.hears(one) for one in said] == [Result.APPROVED, Result.QUARANTINED, Result.APPROVED]
    assert site.state(seven.key) == "QUARANTINED"
    assert "quarantined" in site.alarms
    assert [(one.key, one.kind) for one in site.open_breaks()] == [(seven.key, "quarantine")]
    assert site.balance(six.phone) == 2 * FIFTY  # its neighbours' money; nothing of its own was posted
    site.database.spoils = lambda space, serial: False  # type: ignore[method-assign]
    assert bank.hears(bank.asks(seven)) is Result.QUARANTINED  # its bank may have paid the customer back
