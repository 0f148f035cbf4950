"""The pure half of the sender."""

from bankmq.kept import QUEUE, KeepLimits, KeptMessages, Outcome
from qianzhi.runtime.effects import Send
from qianzhi.runtime.now import Now

START = Now(1_000_000, 1_700_000_000_000_000)


def kept(**limits: int) -> KeptMessages:
    return KeptMessages(KeepLimits(answer_seconds=10, **limits))


def test_a_message_is_sent_again_with_its_id_until_its_answer() -> None:
    core = kept()
    assert core.submit([(b"1", b"body")], START) == [Send(QUEUE, [(b"1", b"body")])]
    assert core.on_time(START.after(9_999_999)) == []
    later = START.after(10_000_000)
    assert core.deadline == later.mono_us
    assert core.on_time(later) == [Send(QUEUE, [(b"1", b"body")])]
    core.on_answers([(b"1", b"done")])
    assert core.take_outcomes() == [Outcome(b"1", "answered", b"done", 2)]
    assert core.deadline is None
    assert core.on_time(later.after(60_000_000)) == []


def test_a_second_answer_is_dropped_and_counted() -> None:
    core = kept()
    core.submit([(b"1", b"x")], START)
    core.on_answers([(b"1", b"a"), (b"1", b"b")])
    assert core.take_outcomes() == [Outcome(b"1", "answered", b"a", 1)]
    assert core.late == 1


def test_after_a_reconnect_everything_unanswered_goes_again_at_once() -> None:
    core = kept()
    core.submit([(b"1", b"x"), (b"2", b"y"), (b"3", b"z")], START)
    core.on_answers([(b"2", b"")])
    assert core.on_connected(START.after(1)) == [Send(QUEUE, [(b"1", b"x"), (b"3", b"z")])]
    assert core.deadline == START.after(1).mono_us + 10_000_000


def test_a_dropped_message_is_sent_no_more_and_its_answer_is_late() -> None:
    core = kept()
    core.submit([(b"1", b"x"), (b"2", b"y")], START)
    core.drop([b"1", b"never seen"])
    assert len(core) == 1
    assert core.on_connected(START.after(1)) == [Send(QUEUE, [(b"2", b"y")])]
    assert core.on_time(START.after(10_000_001)) == [Send(QUEUE, [(b"2", b"y")])]
    core.on_answers([(b"1", b"late")])
    assert core.take_outcomes() == []
    assert core.late == 1
    assert core.submit([(b"1", b"anew")], START) == [Send(QUEUE, [(b"1", b"anew")])]


def test_the_last_attempt_ends_unanswered() -> None:
    core = kept(attempts_max=2)
    core.submit([(b"1", b"x")], START)
    core.on_time(START.after(10_000_000))
    assert core.on_time(START.after(20_000_000)) == []
    assert core.take_outcomes() == [Outcome(b"1", "unanswered", b"", 2)]


def test_only_what_is_due_goes_again() -> None:
    core = kept()
    core.submit([(b"1", b"x")], START)
    core.submit([(b"2", b"y")], START.after(5_000_000))
    assert core.on_time(START.after(10_000_000)) == [Send(QUEUE, [(b"1", b"x")])]
    assert core.deadline == START.mono_us + 15_000_000


def test_the_bound_refuses_and_an_id_in_use_is_not_replaced() -> None:
    core = kept(kept_max=2)
    effects = core.submit([(b"1", b"x"), (b"1", b"other"), (b"2", b"y"), (b"3", b"z")], START)
    assert effects == [Send(QUEUE, [(b"1", b"x"), (b"2", b"y")])]
    assert [(o.message_id, o.end) for o in core.take_outcomes()] == [(b"1", "refused"), (b"3", "refused")]
    assert len(core) == 2
