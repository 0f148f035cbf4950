"""Budgets that lay unread while the process stood still are cut by the time that it stood."""

from qianzhi.link.events import Answers, LinkEvent, Requests
from qianzhi.link.messages import Answer, Envelope, Status
from qianzhi.link.stalls import AFTER_US, STALL_US, TICK_US, Stalls, shortened

START_US = 7_000_000


def test_a_process_that_runs_takes_nothing_off() -> None:
    stalls = Stalls(START_US)
    for n in range(1, 20):
        now_us = START_US + n * TICK_US + n * 10_000
        assert stalls.late_us(now_us - 1_000) == 0
        stalls.tick(now_us)
    assert stalls.late_us(now_us + TICK_US + STALL_US - 1) == 0


def test_a_standstill_counts_whole_whether_the_tick_or_the_reading_sees_it_first() -> None:
    woken_us = START_US + TICK_US + 3_000_000
    ticked, read = Stalls(START_US), Stalls(START_US)
    ticked.tick(woken_us)
    assert ticked.late_us(woken_us + 1_000) == 3_000_000
    assert read.late_us(woken_us) == 3_000_000
    read.tick(woken_us + 1_000)
    assert read.late_us(woken_us + 2_000) == 3_000_000
    for stalls in (ticked, read):
        assert stalls.late_us(woken_us + AFTER_US) == 0


def test_budgets_are_cut_to_nothing_and_answers_left_alone() -> None:
    asked = [Envelope(n, 1, "9", 2, 0, budget_ms, 0, "t", b"") for n, budget_ms in enumerate([500, 9_000])]
    told: list[tuple[str, LinkEvent]] = [
        ("node1", Requests(asked)),
        ("node1", Answers([Answer(1, Status.OK)])),
    ]
    (_, requests), answers = shortened(told, 1_000_001)
    assert isinstance(requests, Requests)
    assert [item.budget_ms for item in requests.items] == [0, 7_999]
    assert answers == told[1]
