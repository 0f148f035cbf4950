"""What a bank counts of a business date, and when it must not claim to know it."""

from pathlib import Path

import pytest

from qianzhi.domain.requests import Key, Kind
from simulators.books import Books
from simulators.record import Outcome, Record
from simulators.state_file import StateFile
from simulators.sums import Day, Sums, sums_of

DATE = 20261122
DAY = Day("0403", DATE)
ONE = Sums(1, 50_00)


def record(outcome: Outcome | None, *, stood: bool = False, number: str = "0403", date: int = DATE) -> Record:
    return Record(
        key=Key("psbc", date, "000001"),
        kind=Kind.RECHARGE,
        action="recharge",
        customer=1,
        phone="13800000001",
        bank_number=number,
        amount_fen=50_00,
        outcome=outcome,
        stood=stood,
    )


def test_payments_and_reversals_are_added_up_by_number_and_date() -> None:
    records = [
        record(Outcome.APPROVED),
        record(Outcome.REVERSED, stood=True),
        record(Outcome.REFUSED),
        record(Outcome.APPROVED, number="0404"),
        record(Outcome.APPROVED, date=DATE + 1),
    ]
    assert sums_of(records) == {
        DAY: Sums(2, 100_00, 1, 50_00),
        Day("0404", DATE): ONE,
        Day("0403", DATE + 1): ONE,
    }


@pytest.mark.parametrize("unknown", [record(None), record(Outcome.REVERSED)])
def test_nothing_is_known_while_one_record_does_not_say_what_stood(unknown: Record) -> None:
    assert sums_of([record(Outcome.APPROVED), unknown]) is None


def books(tmp_path: Path) -> Books:
    return StateFile(tmp_path, "psbc").books


def test_runs_of_one_day_are_counted_together_once_all_have_ended(tmp_path: Path) -> None:
    mine = books(tmp_path)
    assert mine.sums(DAY) is None
    mine.open(DATE)
    books(tmp_path).open(DATE)
    mine.close([DATE], {DAY: ONE})
    assert mine.sums(DAY) is None  # the other run still goes on, or was killed
    books(tmp_path).close([DATE], {DAY: Sums(2, 30_00, 1, 10_00)})
    assert books(tmp_path).sums(DAY) == Sums(3, 80_00, 1, 10_00)
    assert mine.sums(Day("0403", DATE - 1)) is None  # before the file began


def test_a_run_that_ended_unsettled_spoils_its_days_for_good(tmp_path: Path) -> None:
    mine = books(tmp_path)
    mine.open(DATE)
    mine.close([DATE], None)
    mine.open(DATE)
    mine.close([DATE], {DAY: ONE})
    assert mine.sums(DAY) is None
    assert mine.sums(Day("0403", DATE + 1)) == Sums()


def test_a_file_that_is_older_than_its_books_begins_with_the_next_day(tmp_path: Path) -> None:
    StateFile(tmp_path, "psbc").lease(10)
    mine = books(tmp_path)
    mine.begin(DATE)
    assert mine.sums(DAY) is None
    assert mine.sums(Day("0403", DATE + 1)) == Sums()


def test_requests_by_hand_count_once_each_and_a_strangers_reversal_spoils_the_day(tmp_path: Path) -> None:
    mine = books(tmp_path)
    mine.begin(DATE)
    for _ in range(2):
        mine.note_by_hand(DAY, "000001", 50_00, reversed_now=False)
    mine.note_by_hand(DAY, "000002", 20_00, reversed_now=False)
    for _ in range(2):
        mine.note_by_hand(DAY, "000002", 20_00, reversed_now=True)
    assert mine.sums(DAY) == Sums(2, 70_00, 1, 20_00)
    mine.note_by_hand(DAY, "000009", 20_00, reversed_now=True)
    assert mine.sums(DAY) is None
