"""A request's rows told as a story: every hop at its own moment, in words that a clerk understands."""

from typing import Any

from qianzhi.cli.life import steps_of
from qianzhi.cli.tracing import unposted
from qianzhi.cli.wording import account_words, counted, duration, transfer_words


def hop(daemon: str, event: str, wall_us: int, **data: Any) -> dict[str, Any]:
    """One hop as `trace --json` gives it."""
    return {"daemon": daemon, "event": event, "wall_us": wall_us, "data": data}


RECHARGE = [
    hop("front-icbc-1", "in", 1_000_000, kind="recharge", conn="7"),
    hop("bridge1", "core", 1_004_000, kind="recharge", result="approved", order="Q1", took_us=2_400),
    hop(
        "node1",
        "node",
        1_004_400,
        **{"from": "front-icbc-1", "peer": "bridge1", "attempt": 1, "sends": 1, "status": "OK", "us": 3_300},
    ),
    hop("front-icbc-1", "out", 1_004_900, code="0000", result="approved", conn="7", us=4_900),
]


def test_a_stay_is_told_as_two_steps_each_at_its_moment() -> None:
    steps = steps_of(RECHARGE)
    assert [(step.wall_us, step.where) for step in steps] == [
        (1_000_000, "front-icbc-1"),
        (1_001_100, "node1"),
        (1_001_600, "bridge1"),
        (1_004_000, "bridge1"),
        (1_004_400, "node1"),
        (1_004_900, "front-icbc-1"),
    ]
    assert steps[1].what == "takes it from front-icbc-1"
    assert steps[3].what == "the core has answered: approved, work order Q1, after 2.4 ms"
    assert steps[5].what == "the bank is told: code 0000, approved, after 4.9 ms"


def test_a_second_attempt_and_a_refusal_at_a_node_are_said() -> None:
    data = {"from": "front-icbc-1", "peer": "", "attempt": 2, "sends": 0, "status": "NO_ROUTE", "us": 100}
    taken, answered = steps_of([hop("node2", "node", 500, **data)])
    assert taken.what == "takes it from front-icbc-1, attempt 2"
    assert answered.what == "answers no route (sent to nobody), after 0.1 ms"


def test_what_was_shed_is_told_as_asked_and_refused() -> None:
    asked, told = steps_of([hop("front-a-1", "shed", 9, kind="recharge", conn="7", code="96", result="busy")])
    assert asked.what == "the bank asks: recharge (connection 7)"
    assert told.what == "the bank is told: code 96, busy; nothing was forwarded"


def test_an_event_that_nobody_foresaw_is_shown_with_all_its_data() -> None:
    assert steps_of([hop("front-icbc-1", "nobody_waits", 1, result="approved")])[0].what == (
        "nobody waits: result approved"
    )


def test_accounts_and_entries_are_named_for_clerks() -> None:
    assert account_words("clearing:0302:bridge1/0") == "bank clearing 0302"
    assert account_words("book:13800000001:") == "book of 13800000001"
    assert account_words("late-fees::bridge1/0") == "late fees"
    assert transfer_words("principal") == "a bill written off"
    assert transfer_words("undo late_fee") == "undone: the bill's late fee"


def test_numbers_and_times_are_written_as_people_write_them() -> None:
    assert [counted(n, "problem") for n in (0, 1, 2)] == ["0 problems", "1 problem", "2 problems"]
    assert [duration(s) for s in (59, 61, 3660, 90_000)] == ["59 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]


def test_a_question_is_no_request_that_got_lost() -> None:
    assert unposted(RECHARGE[:1]) == "The core never saw this key: nothing was posted."
    asked = [*RECHARGE[:1], hop("bridge1", "core", 3, kind="totals", result="totals_differ", took_us=1)]
    assert unposted(asked) == "A question (totals) claims no key: nothing was posted."
