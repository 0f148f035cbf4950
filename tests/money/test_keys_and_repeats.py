"""Rules 1, 3 and 4: one key, one row, whoever comes first; repeats; originals, tombstones and reversals."""

from qianzhi.domain.results import Result
from simulators.scenario import Step
from tests.money.site import Stage

FIFTY = 5_000


def test_same_serial_twice_at_once(stage: Stage) -> None:
    site = stage(fronts=2, apart=True)
    bank, seven = site.bank, site.bank.serial()

    first, again = bank.asks(seven, line=0), bank.asks(seven, line=1)

    assert bank.hears(first) is bank.hears(again) is Result.APPROVED
    assert first.order == again.order == site.row(seven.key).order_serial
    assert site.balance(seven.phone) == FIFTY


def test_serial_shared_by_two_numbers(stage: Stage) -> None:
    site = stage()
    bank, seven = site.bank, site.bank.serial()
    others = bank.serial(like=seven, number=1)

    assert bank.hears(bank.asks(seven)) is Result.APPROVED
    assert bank.hears(bank.asks(others)) is Result.DUPLICATE_SERIAL
    assert site.row(seven.key).bank_number == seven.bank_number
    assert site.balance(seven.phone) == FIFTY


def test_repeat_after_answer(stage: Stage) -> None:
    site = stage()
    bank, seven = site.bank, site.bank.serial()

    assert bank.loses(bank.asks(seven)) is Result.APPROVED
    again = bank.asks(seven)

    assert bank.hears(again) is Result.APPROVED
    assert again.order == site.row(seven.key).order_serial
    assert site.balance(seven.phone) == FIFTY


def test_repeat_in_flight(stage: Stage) -> None:
    site = stage()
    bank, seven = site.bank, site.bank.serial()

    with site.frozen(site.bridge, site.other_bridge):
        first = bank.asks(seven)
        site.run(0.5)
        again = bank.asks(seven)
        site.run(0.5)
        assert first.answer is again.answer is None

    assert bank.hears(first) is bank.hears(again) is Result.APPROVED
    assert site.counts["qianzhi_repeats_joined_total"] == 1
    assert len(site.carried_out) == 1


def test_repeat_after_reversal(stage: Stage) -> None:
    site = stage()
    bank, seven = site.bank, site.bank.serial()

    assert bank.hears(bank.asks(seven)) is Result.APPROVED
    assert bank.hears(bank.reverses(seven)) is Result.APPROVED
    assert bank.hears(bank.asks(seven)) is Result.REVERSED
    assert site.balance(seven.phone) == 0


def test_other_content(stage: Stage) -> None:
    site = stage()
    bank, seven = site.bank, site.bank.serial(fen=FIFTY)
    other = bank.serial(like=seven, fen=8_000)

    assert bank.hears(bank.asks(seven)) is Result.APPROVED
    assert bank.hears(bank.asks(other)) is Result.DUPLICATE_SERIAL
    assert site.balance(seven.phone) == FIFTY


def test_reversal_before_original(stage: Stage) -> None:
    site = stage()
    bank, seven = site.bank, site.bank.serial()

    delayed = bank.writes(seven)
    assert bank.hears(bank.reverses(seven)) is Result.NOT_FOUND
    assert site.state(seven.key) == "BLOCKED"

    assert bank.hears(bank.sends(delayed)) is Result.BLOCKED
    assert site.balance(seven.phone) == 0


def test_reversal_during_original(stage: Stage) -> None:
    site = stage()
    bank, seven = site.bank, site.bank.serial()

    with site.fault("standby_cut"):  # 7 holds its locks: its COMMIT is not confirmed
        original = bank.asks(seven)
        site.run(0.5)
        reversal = bank.reverses(seven)
        site.run(0.5)
        assert original.answer is reversal.answer is None

    assert bank.hears(original) is Result.APPROVED
    assert bank.hears(reversal) is Result.APPROVED
    assert site.state(seven.key) == "REVERSED"
    assert site.balance(seven.phone) == 0


def test_reversal_after_original(stage: Stage) -> None:
    site = stage()
    bank, seven = site.bank, site.bank.serial()

    assert bank.hears(bank.asks(seven)) is Result.APPROVED
    assert site.balance(seven.phone) == FIFTY
    assert bank.hears(bank.reverses(seven)) is Result.APPROVED
    assert site.balance(seven.phone) == 0


def test_reversal_repeated(stage: Stage) -> None:
    site = stage()
    bank, seven = site.bank, site.bank.serial()

    assert bank.hears(bank.asks(seven)) is Result.APPROVED
    assert bank.loses(bank.reverses(seven)) is Result.APPROVED
    posted = len(site.database.memory.transfers)

    assert bank.hears(bank.reverses(seven)) is Result.APPROVED
    assert len(site.database.memory.transfers) == posted
    assert site.balance(seven.phone) == 0


def test_reversal_of_refused(stage: Stage) -> None:
    site = stage()
    bank, seven = site.bank, site.bank.serial(phone="19999999999")
    posted = len(site.database.memory.transfers)

    assert bank.hears(bank.asks(seven)) is Result.NO_SUCH_PHONE
    assert bank.hears(bank.reverses(seven)) is Result.ORIGINAL_REFUSED
    assert len(site.database.memory.transfers) == posted


def test_reversal_of_tombstone(stage: Stage) -> None:
    site = stage()
    bank, seven = site.bank, site.bank.serial()

    assert bank.hears(bank.queries(seven)) is Result.NOT_FOUND
    assert bank.hears(bank.reverses(seven)) is Result.NOT_FOUND
    assert site.state(seven.key) == "BLOCKED"


def test_reversal_of_unknown(stage: Stage) -> None:
    site = stage()
    bank, seven = site.bank, site.bank.serial()

    with site.fault("standby_cut"):  # written, and nobody hears of it
        assert bank.hears(bank.asks(seven)) is Result.UNKNOWN
    site.until(lambda: site.row(seven.key))
    assert bank.hears(bank.reverses(seven)) is Result.APPROVED

    assert site.state(seven.key) == "REVERSED"
    assert site.balance(seven.phone) == 0


def test_query_before_original(stage: Stage) -> None:
    site = stage()
    bank, seven = site.bank, site.bank.serial()

    delayed = bank.writes(seven, Step.ORIGINAL)
    assert bank.hears(bank.queries(seven)) is Result.NOT_FOUND
    assert bank.hears(bank.sends(delayed)) is Result.BLOCKED
    assert site.balance(seven.phone) == 0


def test_query_in_flight(stage: Stage) -> None:
    site = stage()
    bank, seven = site.bank, site.bank.serial()

    with site.frozen(site.bridge, site.other_bridge):
        original = bank.asks(seven)
        site.run(0.5)
        assert bank.hears(bank.queries(seven), seconds=1) is Result.IN_PROCESS

    assert bank.hears(original) is Result.APPROVED
    assert site.balance(seven.phone) == FIFTY


def test_query_after_answer(stage: Stage) -> None:
    site = stage()
    bank, seven = site.bank, site.bank.serial()

    assert bank.loses(bank.asks(seven)) is Result.APPROVED
    assert bank.hears(bank.queries(seven)) is Result.APPROVED
    assert site.balance(seven.phone) == FIFTY
