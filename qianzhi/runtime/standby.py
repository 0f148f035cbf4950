"""A daemon told to stand by: it lives, finishes what it has and takes nothing new, until it is called back.

That is an operator's decision, so that it outlives the process: it is a file, written before the daemon obeys
and read at the next start.  It ends by `undrain`, or by itself at its time.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from qianzhi.runtime import clock
from qianzhi.runtime.admin import AdminError, Answer, Arguments, Command
from qianzhi.runtime.log import get_logger
from qianzhi.runtime.now import SECOND_US
from qianzhi.runtime.table import table

LOOK_SECONDS = 5.0  # the wall clock may be set meanwhile
TEXT_MAX = 200
UNREADABLE = "its file cannot be read, so that nobody knows the reason"


@table
class Order:
    """Why a daemon stands by, who said so, since when and until when (µs since 1970 UTC; 0: until called)."""

    reason: str
    by: str
    since_us: int
    until_us: int = 0


def order_path(data: Path, name: str) -> Path:
    """Return where a daemon's order is kept."""
    return data / "drains" / f"{name}.json"


class Standby:
    """Keeps one daemon's order; `switch` lets the daemon stand by (True) or takes it back."""

    def __init__(
        self,
        path: Path,
        switch: Callable[[bool], Any],
        reactor: Any,
        on_change: "Callable[[], Answer | Any]",
    ) -> None:
        """`on_change` is called after each change; what it returns is the command's answer."""
        self._path = path
        self._switch = switch
        self._reactor = reactor
        self._on_change = on_change
        self._log = get_logger("standby")
        self._order: Order | None = None
        self._timer: Any = None

    def commands(self) -> Mapping[str, Command]:
        """`stand_by` with reason, by and until_us; `undrain` without arguments."""
        return {"stand_by": self._stand_by, "undrain": self._undrain}

    def resume(self) -> None:
        """Go on standing by where the last run of this daemon did and its time is not over."""
        order = read_order(self._path)
        if order is None:
            return
        if 0 < order.until_us <= clock.now().wall_us:
            self._forget()
            return
        self._switch(True)
        self._keep(order)
        self._log.warning("stands by since before this start", reason=order.reason, by=order.by)

    def status(self) -> dict[str, Any]:
        """Return the order as status shows it, nothing where there is none."""
        if self._order is None:
            return {}
        shown = {name: getattr(self._order, name) for name in ("reason", "by", "since_us", "until_us")}
        return {"standing_by": shown}

    def stop(self) -> None:
        """Forget the timer; the order is kept for the next start."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _stand_by(self, arguments: Arguments) -> Any:
        order = order_of(arguments, clock.now().wall_us)
        try:
            write_order(self._path, order)
        except OSError as error:
            raise AdminError(f"{self._path} cannot be written: {error.strerror}; nothing changed") from error
        self._switch(True)
        self._keep(order)
        self._log.warning("stands by", reason=order.reason, by=order.by, until_us=order.until_us)
        return self._on_change()

    def _undrain(self, arguments: Arguments) -> Any:
        if arguments:
            raise AdminError("this command takes no arguments")
        self._switch(False)
        self._end("called back")
        return self._on_change()

    def _keep(self, order: Order) -> None:
        self._order = order
        self._look()

    def _look(self) -> None:
        """End the order when its time has come; look at the wall clock again and again until then."""
        self.stop()
        order = self._order
        if order is None or not order.until_us:
            return
        left = (order.until_us - clock.now().wall_us) / SECOND_US
        if left > 0:
            self._timer = self._reactor.callLater(min(left, LOOK_SECONDS), self._look)
            return
        try:
            self._switch(False)
        except AdminError:
            return  # it is stopping; the next start finds the time over
        self._end("its time is over")
        self._on_change()

    def _end(self, why: str) -> None:
        self.stop()
        self._order = None
        self._forget()
        self._log.warning("takes requests again", why=why)

    def _forget(self) -> None:
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            self._log.error("the order to stand by cannot be removed", error=error.strerror)


def order_of(arguments: Arguments, now_us: int) -> Order:
    """Read a command's arguments; raises AdminError for what is unknown, or a time that is over."""
    unknown = arguments.keys() - {"reason", "by", "until_us"}
    if unknown:
        raise AdminError(f"unknown arguments: {', '.join(sorted(unknown))}")
    reason, by, until_us = (
        arguments.get("reason", ""),
        arguments.get("by", ""),
        arguments.get("until_us", 0),
    )
    if not isinstance(reason, str) or not isinstance(by, str) or type(until_us) is not int:
        raise AdminError("reason and by are texts, until_us is a number")
    if until_us and until_us <= now_us:
        raise AdminError("the time until which it is to stand by is over")
    return Order(reason=reason[:TEXT_MAX], by=by[:TEXT_MAX], since_us=now_us, until_us=until_us)


def read_order(path: Path) -> Order | None:
    """Return the order that is kept, None where there is none; one that cannot be read still stands."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Order(
            reason=str(found["reason"]),
            by=str(found["by"]),
            since_us=int(found["since_us"]),
            until_us=int(found["until_us"]),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return Order(reason=UNREADABLE, by="", since_us=0)


def write_order(path: Path, order: Order) -> None:
    """Keep the order, whole or not at all, past a loss of power; raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    with new.open("w", encoding="utf-8") as file:
        json.dump({name: getattr(order, name) for name in ("reason", "by", "since_us", "until_us")}, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
