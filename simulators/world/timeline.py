"""What happened around one key, in lines that a person reads: from the event files, the journal, the faults.

Pure.  A timeline is an observer: it keeps all rows of a run that is told again, and is asked for one key.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from qianzhi.domain.results import Result
from simulators.world.observe import Observer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qianzhi.runtime.effects import Event
    from simulators.world.kernel import Kernel

LINES_MAX = 400
FRAME, FRAME_CHARS = "frame", 60
LOUD = frozenset({"FAULT", "fault over", "DIES"})  # told beside any key


class Line(NamedTuple):
    """One line: when (microseconds of the run), who, what, and whose key, if any."""

    at_us: int
    who: str
    what: str
    key: str = ""
    says: str = ""


class Timeline(Observer):
    """Keeps what happens; `lines(key)` tells what concerns a key, and what went wrong meanwhile."""

    def __init__(self, kernel: "Kernel") -> None:
        self._kernel = kernel
        self._kept: list[Line] = []

    def on_rows(self, process: str, rows: "Sequence[Event]") -> None:
        """Keep event rows."""
        at_us = self._kernel.now_us
        self._kept += [Line(at_us, process, row.name, row.key, _words(row.data)) for row in rows]

    def on_commit(self, bridge: str, changes: Any) -> None:
        """Keep what became of keys."""
        at_us = self._kernel.now_us
        for row in (*changes.journal.inserts, *changes.journal.reversals):
            says = f"{row.state.name.lower()} {Result(row.result).name.lower()}"
            self._kept.append(Line(at_us, bridge, "commit", row.key.text, says))

    def on_death(self, process: str) -> None:
        """Keep a death."""
        self._kept.append(Line(self._kernel.now_us, process, "DIES"))

    def on_fault(self, fault: Any, begins: bool) -> None:
        """Keep a fault."""
        what = "FAULT" if begins else "fault over"
        self._kept.append(Line(self._kernel.now_us, fault.target, what, "", fault.text))

    def lines(self, key: str) -> list[str]:
        """Return the lines of a key, oldest first; without one, the last of all."""
        kept = [line for line in self._kept if not key or line.key == key or line.what in LOUD]
        if key:
            return [self._text(line) for line in _around(kept, key)[-LINES_MAX:]]
        kept += [
            Line(at_us, who, what, "", str(data)) for at_us, who, what, data in self._kernel.telling or ()
        ]
        kept.sort(key=lambda line: line.at_us)
        return [self._text(line) for line in kept[-LINES_MAX:]]

    def _text(self, line: Line) -> str:
        wall = datetime.fromtimestamp((self._kernel.epoch_us + line.at_us) // 1_000_000, UTC)
        return f"{line.at_us / 1_000_000:12.6f}  {wall:%H:%M:%S}  {line.who:<20} {line.what:<18} {line.says}"


def _around(kept: list[Line], key: str) -> list[Line]:
    """Leave out what happened long before the key's first line."""
    first = next((line.at_us for line in kept if line.key == key), 0)
    return [line for line in kept if line.at_us >= first - 5_000_000]


def _words(data: dict[str, Any]) -> str:
    return " ".join(_pairs(data))


def _pairs(data: dict[str, Any]) -> "Iterator[str]":
    """Yield what a row says; its frame comes last and is cut short, because it hides everything after it."""
    for name, value in data.items():
        if value not in ("", None, ()) and name != FRAME:
            yield f"{name}={value}"
    if data.get(FRAME):
        text = str(data[FRAME])
        yield f"{FRAME}={text[:FRAME_CHARS]}{'…' if len(text) > FRAME_CHARS else ''}"
