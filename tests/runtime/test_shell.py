"""The interpreter: order, what rests on a failed record, and the one timer."""

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from qianzhi.link.events import DrainNotice
from qianzhi.runtime import clock, metrics
from qianzhi.runtime.effects import Alarm, Close, Count, Effects, Event, Record, Send
from qianzhi.runtime.events import EventsError, EventWriter, read_events
from qianzhi.runtime.now import Now
from qianzhi.runtime.shell import EVENTS_UNWRITABLE, Interpreter

ROW = Event(1_793_000_000_000_000, "answered", "k", "t", {})


class TimedCore:
    """A core that only wants to be called."""

    def __init__(self) -> None:
        self.deadline: int | None = None
        self.called: list[Now] = []

    def on_time(self, now: Now) -> Effects:
        self.called.append(now)
        self.deadline = None
        return [Send("bank", ["due"])]


class FullDisk(EventWriter):
    """Refuses every row."""

    def append(self, rows: list[Event]) -> None:
        raise EventsError("the disk is full")


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A reactor's time that also is our clock's."""
    reactor = Clock()
    monkeypatch.setattr(clock, "now", lambda: Now(int(reactor.seconds() * 1_000_000), 0))
    return reactor


def interpreter(
    core: Any, reactor: Clock, events: EventWriter | None = None
) -> tuple[Interpreter, list[Any]]:
    done: list[Any] = []
    return Interpreter(core, {Send: done.append, Close: done.append}, reactor, events), done


def test_effects_are_carried_out_in_order_records_first_on_disk(tmp_path: Path, hand: Clock) -> None:
    seen: list[int] = []
    events = EventWriter(tmp_path)
    shell = Interpreter(
        TimedCore(), {Send: lambda _: seen.append(len(list(read_events(tmp_path))))}, hand, events
    )
    before = metrics.value("qianzhi_requests_total", ("b", "recharge", "approved"))
    shell.run(
        [
            Send("bank", [b"0"]),
            Record([ROW]),
            Send("bank", [b"1"]),
            Record([ROW, ROW]),
            Send("bank", [b"2"]),
            Count("qianzhi_requests_total", ("b", "recharge", "approved"), 3),
        ]
    )
    assert seen == [0, 1, 3]
    assert metrics.value("qianzhi_requests_total", ("b", "recharge", "approved")) == before + 3
    events.close()


def test_what_rests_on_a_record_that_failed_is_not_told(tmp_path: Path, hand: Clock) -> None:
    shell, done = interpreter(TimedCore(), hand, FullDisk(tmp_path))
    before = metrics.value("qianzhi_alarms_total", (EVENTS_UNWRITABLE,))
    shell.run([Send("bank", ["before"]), Record([ROW]), Send("bank", ["after"]), Close("bank", "limit")])
    assert done == [Send("bank", ["before"]), Close("bank", "limit")]
    assert metrics.value("qianzhi_alarms_total", (EVENTS_UNWRITABLE,)) == before + 1
    shell.run([Send("bank", ["next list"])])
    assert done[-1] == Send("bank", ["next list"])


def test_a_word_on_our_own_state_is_sent_whatever_could_not_be_recorded(tmp_path: Path, hand: Clock) -> None:
    # A front that could not say "open again" while its disk was full was never used again by its nodes.
    shell, done = interpreter(TimedCore(), hand, FullDisk(tmp_path))
    notice = Send(("peer", "node-1"), [DrainNotice(False)])
    shell.run([Record([ROW]), notice, Send("bank", ["after"])])
    assert done == [notice]


def test_a_disk_that_stays_full_is_counted_each_time_and_logged_once(
    tmp_path: Path, hand: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FullDisk(tmp_path)
    shell, _ = interpreter(TimedCore(), hand, disk)
    logged: list[Alarm] = []
    monkeypatch.setattr(shell, "alarm", logged.append)
    before = metrics.value("qianzhi_alarms_total", (EVENTS_UNWRITABLE,))
    for _ in range(5):
        shell.run([Record([ROW])])
    assert [alarm.name for alarm in logged] == [EVENTS_UNWRITABLE]
    assert metrics.value("qianzhi_alarms_total", (EVENTS_UNWRITABLE,)) == before + 4
    monkeypatch.setattr(disk, "append", lambda _rows: None)
    shell.run([Record([ROW])])
    monkeypatch.undo()
    monkeypatch.setattr(shell, "alarm", logged.append)
    shell.run([Record([ROW])])
    assert len(logged) == 2


def test_the_core_is_called_at_its_deadline_once(hand: Clock) -> None:
    core = TimedCore()
    shell, done = interpreter(core, hand)
    core.deadline = 2_000_000
    shell.run([])
    hand.advance(1.9)
    assert core.called == []
    hand.advance(0.2)
    assert len(core.called) == 1
    assert done == [Send("bank", ["due"])]
    hand.advance(100)
    assert len(core.called) == 1


def test_a_deadline_brought_forward_is_kept_and_one_put_off_is_not_early(hand: Clock) -> None:
    core = TimedCore()
    shell, _ = interpreter(core, hand)
    core.deadline = 9_000_000
    shell.run([])
    core.deadline = 3_000_000
    shell.run([])
    assert len(hand.getDelayedCalls()) == 1
    core.deadline = 5_000_000
    shell.run([])
    hand.advance(4)
    assert core.called == []
    hand.advance(1)
    assert len(core.called) == 1
    shell.stop()


def test_stop_forgets_the_timer(hand: Clock) -> None:
    core = TimedCore()
    shell, _ = interpreter(core, hand)
    core.deadline = 1
    shell.run([])
    shell.stop()
    assert hand.getDelayedCalls() == []


def test_an_alarm_may_have_any_fields(hand: Clock) -> None:
    shell, _ = interpreter(TimedCore(), hand)
    before = metrics.value("qianzhi_alarms_total", ("odd",))
    shell.run([Alarm("odd", {"event": 1, "alarm": 2, "level": 3, "phone": "13800000000"})])
    assert metrics.value("qianzhi_alarms_total", ("odd",)) == before + 1


def test_an_effect_without_a_handler_is_an_error(hand: Clock) -> None:
    shell, _ = interpreter(TimedCore(), hand)
    with pytest.raises(KeyError):
        shell.run([Record([ROW])])
