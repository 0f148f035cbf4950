"""The common half of every daemon's shell: carries out a core's effects and wakes it at its deadline.

A core is pure and returns a list of effects (`runtime.effects`); the interpreter hands each to the handler of
its type, in order, and keeps one reactor timer at the core's `deadline`.

When a `Record` cannot be written, every later `Send` of the same list is held back: what rests on a record
that does not exist must not be told (the asker hears nothing and asks again).  A handler for `Withheld` hears
of each.  What rests on no record is sent all the same (`effects.Send.rests_on_records`).  The daemon lives on
and raises an alarm.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from qianzhi.runtime import clock, metrics
from qianzhi.runtime.effects import Alarm, Count, Effects, Record, Send, Withheld
from qianzhi.runtime.events import EventsError, EventWriter
from qianzhi.runtime.log import get_logger
from qianzhi.runtime.now import SECOND_US, Now

Handler = Callable[[Any], None]

EVENTS_UNWRITABLE = "events_unwritable"


class Core(Protocol):
    """The part of a pure core that the interpreter itself uses."""

    @property
    def deadline(self) -> int | None:
        """When `on_time` is wanted next, in monotonic microseconds; None for never."""

    def on_time(self, now: Now) -> Effects:
        """Do what is due."""


class Interpreter:
    """Carries out effects for one core.

    `handlers` maps the effect types that this daemon uses to functions; Record, Count and Alarm have standard
    ones. An effect without a handler is a programmer's error (KeyError).
    """

    def __init__(
        self,
        core: Core,
        handlers: Mapping[type, Handler],
        reactor: Any,
        events: EventWriter | None = None,
    ) -> None:
        """`events` is where Records go; a daemon without it must not ask for any."""
        self._core = core
        self._reactor = reactor
        self._log = get_logger("shell")
        self._timer: Any = None
        self._timer_us = 0
        self._unwritable = False
        self._handlers: dict[type, Handler] = {Count: _count, Alarm: self.alarm}
        if events is not None:
            self._handlers[Record] = lambda record: events.append(record.rows)
        self._handlers.update(handlers)

    def run(self, effects: Effects) -> None:
        """Carry out the effects in order, then set the timer to the core's deadline."""
        handlers = self._handlers
        unwritten = False  # a record of this list
        for effect in effects:
            kind = type(effect)
            if unwritten and kind is Send and effect.rests_on_records:  # type: ignore[union-attr]
                if Withheld in handlers:
                    handlers[Withheld](Withheld(effect))  # type: ignore[arg-type]  # a Send, by its kind
                continue
            try:
                handlers[kind](effect)
            except EventsError as error:
                unwritten = True
                self._alarm_unwritable(str(error))
            else:
                if kind is Record:
                    self._unwritable = False
        self._set_timer()

    def alarm(self, alarm: Alarm) -> None:
        """Log and count an alarm."""
        metrics.count("qianzhi_alarms_total", (alarm.name,))
        self._log.error("alarm", alarm=alarm.name, fields=alarm.fields)

    def _alarm_unwritable(self, error: str) -> None:
        """Count every record that was lost, but say it once until one is written again: the disk may be full
        of log lines already.
        """
        if self._unwritable:
            metrics.count("qianzhi_alarms_total", (EVENTS_UNWRITABLE,))
        else:
            self.alarm(Alarm(EVENTS_UNWRITABLE, {"error": error}))
        self._unwritable = True

    def stop(self) -> None:
        """Forget the timer."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _set_timer(self) -> None:
        """Keep one timer that fires no later than the deadline; a deadline moved back just finds it early
        once."""
        deadline = self._core.deadline
        if deadline is None:
            return
        if self._timer is not None:  # it is forgotten as it fires
            if self._timer_us <= deadline:
                return
            self._timer.cancel()
        self._timer_us = deadline
        delay_us = max(0, deadline - clock.now().mono_us)
        self._timer = self._reactor.callLater(delay_us / SECOND_US, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        now = clock.now()
        deadline = self._core.deadline
        due = deadline is not None and deadline <= now.mono_us
        self.run(self._core.on_time(now) if due else [])


def _count(effect: Count) -> None:
    metrics.count(effect.name, effect.labels, effect.n)
