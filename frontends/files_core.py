"""One file of a bank: which lines go out next, what its answer file says, when it is finished.  Pure.

    bytes ─▶ LineReader ─▶ lines ─▶ taken, at most so many at once ─▶ answers, in the order of the lines
                             │
                             └─▶ too long, or cut off at the file's end: never forwarded, marked in the answer

Line n of the answer file answers line n of the file.  A line is not answered by a frame of the dialect when
it could not be read, or when its outcome stayed unknown and the dialect has no code for that; then a mark
stands there instead, which begins with a question mark.  `Arrivals` says which files have come whole.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

UNKNOWN = b"?UNKNOWN "  # nobody knows what became of it: query, or send the line again
UNREADABLE = b"?UNREADABLE "  # nothing of it was forwarded; so with the other two
TOO_LONG = b"?TOO_LONG "
CUT = b"?CUT "

MARKER = ".ok"
UNFINISHED = (".tmp", ".part", ".filepart")
QUOTED_BYTES_MAX = 80


class Line(NamedTuple):
    """One line as a source of frames; `run` tells apart the times at which a file was begun."""

    run: int
    file: str
    number: int

    def __str__(self) -> str:
        """Return what stands in the event file."""
        return f"{self.file}:{self.number}"


class Piece(NamedTuple):
    """A line as it stood in the file; `mark` is not empty when it may not be forwarded."""

    body: bytes
    mark: bytes = b""


class LineReader:
    """Cuts a file's bytes into lines, or into records of one length; keeps no more than one of them.

    A last line without its end may be half a line whose other half never came, half an amount among it, so
    it is marked and not forwarded.
    """

    def __init__(self, line_bytes_max: int, record_bytes: int = 0) -> None:
        """`record_bytes` is 0 for lines that end with a line feed, with or without a carriage return."""
        self._max = line_bytes_max
        self._record_bytes = record_bytes
        self._rest = b""
        self._skipping = False

    def receive_data(self, data: bytes) -> list[Piece]:
        """Take bytes as they were read; return the lines that they complete."""
        return self._records(data) if self._record_bytes else self._lines(data)

    def end(self) -> list[Piece]:
        """Return what stands behind the last line's end."""
        rest, self._rest = self._rest, b""
        if self._skipping:
            return [Piece(rest, TOO_LONG)]
        return [Piece(rest, CUT)] if rest else []

    def _records(self, data: bytes) -> list[Piece]:
        whole, size = self._rest + data, self._record_bytes
        end = len(whole) - len(whole) % size
        self._rest = whole[end:]
        return [Piece(whole[at : at + size]) for at in range(0, end, size)]

    def _lines(self, data: bytes) -> list[Piece]:
        *ended, last = data.split(b"\n")
        pieces = []
        for part in ended:
            pieces.append(self._whole(part))
            self._rest, self._skipping = b"", False
        self._keep(last)
        return pieces

    def _whole(self, part: bytes) -> Piece:
        if not self._skipping:
            body = (self._rest + part).removesuffix(b"\r")
            if len(body) <= self._max:
                return Piece(body)
            self._rest = body[:QUOTED_BYTES_MAX]
        return Piece(self._rest, TOO_LONG)

    def _keep(self, part: bytes) -> None:
        if self._skipping:
            return
        self._rest += part
        if len(self._rest) > self._max + 1:  # a carriage return is not counted
            self._rest, self._skipping = self._rest[:QUOTED_BYTES_MAX], True


@dataclass(slots=True)
class _Slot:
    """A line whose answer is not written yet."""

    line: Line
    body: bytes
    answer: bytes | None = None
    silences: int = 0


class FileRun:
    """One going through of a file, from its start: at most `window` of its lines are in memory."""

    def __init__(self, run: int, name: str, reader: LineReader, window: int, tries: int) -> None:
        """`tries` is how often a line is sent that hears nothing, before it is marked as unknown."""
        self.run, self.name = run, name
        self._reader = reader
        self._window = window
        self._tries = tries
        self._waiting: deque[Piece] = deque()
        self._slots: deque[_Slot] = deque()  # in the order of the file, the oldest without an answer first
        self._again: deque[tuple[int, _Slot]] = deque()  # (not before, line)
        self._under_way: dict[int, _Slot] = {}
        self._ended = False
        self._numbers = 0
        self._counts = {"answered": 0, "unknown": 0, "unreadable": 0, "blank": 0, "repeated": 0}

    # What the shell asks

    @property
    def wants_bytes(self) -> bool:
        """Whether more of the file is to be read: never further ahead than one reading."""
        return not self._ended and not self._waiting and len(self._slots) < self._window

    @property
    def in_flight(self) -> int:
        """How many lines wait for their answer."""
        return len(self._under_way)

    @property
    def finished(self) -> bool:
        """Whether every line has its answer, and all of them were taken to be written."""
        return self._ended and not self._waiting and not self._slots

    def status(self) -> dict[str, Any]:
        """Return the counts of lines."""
        return {"name": self.name, "lines_read": self._numbers, "in_flight": self.in_flight, **self._counts}

    # The file

    def receive_data(self, data: bytes) -> None:
        """Take what was read of the file; nothing at all says that it has ended."""
        self._waiting.extend(self._reader.receive_data(data) if data else self._reader.end())
        self._ended = not data

    def take(self, now_us: int) -> list[tuple[Line, bytes]]:
        """Return the lines that go out now: first those that go out again, then new ones."""
        out = []
        while self._again and self._again[0][0] <= now_us:
            out.append(self._again.popleft()[1])
        while self._waiting and len(self._slots) < self._window:
            piece = self._waiting.popleft()
            self._numbers += 1
            slot = _Slot(Line(self.run, self.name, self._numbers), piece.body)
            self._slots.append(slot)
            if piece.mark:
                self._settle(slot, piece.mark + quoted(piece.body), "unreadable")
            elif not piece.body.strip():
                self._settle(slot, b"", "blank")
            else:
                out.append(slot)
        self._under_way.update((slot.line.number, slot) for slot in out)
        return [(slot.line, slot.body) for slot in out]

    def take_written(self) -> bytes:
        """Return the answers that come next in the answer file, each with its line's end."""
        out = bytearray()
        while self._slots and (answer := self._slots[0].answer) is not None:
            self._slots.popleft()
            out += answer + b"\n"
        return bytes(out)

    # The lines

    def answer(self, line: Line, body: bytes) -> None:
        """Take the answer of a line; one that cannot stand in a line is an outcome that cannot be told."""
        slot = self._asked(line)
        if slot is None:
            return
        if b"\n" in body or b"\r" in body:
            self._settle(slot, UNKNOWN + quoted(slot.body), "unknown")
        else:
            self._settle(slot, body, "answered")

    def silent(self, line: Line, now_us: int) -> None:
        """A line hears nothing: it goes out again, or is marked after so many times."""
        slot = self._asked(line)
        if slot is None:
            return
        slot.silences += 1
        if slot.silences >= self._tries:
            self._settle(slot, UNKNOWN + quoted(slot.body), "unknown")
        else:
            self._send_again(slot, now_us)

    def unreadable(self, line: Line) -> None:
        """A line is no message; nothing of it was forwarded."""
        slot = self._asked(line)
        if slot is not None:
            self._settle(slot, UNREADABLE + quoted(slot.body), "unreadable")

    def release(self, line: Line, at_us: int) -> None:
        """Send a line again from that time on: its answer is there and could not be recorded."""
        slot = self._asked(line)
        if slot is not None:
            self._send_again(slot, at_us)

    def _asked(self, line: Line) -> _Slot | None:
        """Return the slot of a line that waits for its answer; None for a second answer, or an old run's."""
        return self._under_way.pop(line.number, None) if line.run == self.run else None

    def _send_again(self, slot: _Slot, at_us: int) -> None:
        self._counts["repeated"] += 1
        self._again.append((at_us, slot))

    def _settle(self, slot: _Slot, answer: bytes, what: str) -> None:
        slot.answer, slot.body = answer, b""
        self._counts[what] += 1


def quoted(body: bytes) -> bytes:
    """Return the beginning of a line in characters that are safe in every charset."""
    return bytes(byte if 32 <= byte < 127 else 46 for byte in body[:QUOTED_BYTES_MAX])


class Arrivals:
    """Says which files of a folder have come whole.

    A file is whole when its marker NAME.ok lies beside it, or when size and time of change have stayed the
    same for `settled_us`; with 0, only by its marker.
    """

    def __init__(self, settled_us: int) -> None:
        self._settled_us = settled_us
        self._seen: dict[str, tuple[tuple[int, int], int]] = {}
        self.waiting = 0

    def on_listing(self, entries: Mapping[str, tuple[int, int]], now_us: int) -> list[str]:
        """Take all names with (size, time of change); return the whole files, the oldest change first."""
        names = [name for name in entries if is_data(name)]
        self.waiting = len(names)
        seen, self._seen = self._seen, {}
        whole = []
        for name in names:
            look = entries[name]
            before = seen.get(name)
            since_us = before[1] if before is not None and before[0] == look else now_us
            self._seen[name] = (look, since_us)
            settled = self._settled_us and now_us - since_us >= self._settled_us
            if name + MARKER in entries or settled:
                whole.append(name)
        return sorted(whole, key=lambda name: (entries[name][1], name))


def is_data(name: str) -> bool:
    """Tell a file of the bank's from one that is being written, and from a marker."""
    return not name.startswith(".") and not name.lower().endswith((MARKER, *UNFINISHED))


def lonely_markers(names: Iterable[str]) -> list[str]:
    """Return the markers whose file is gone: left there, they would call the next one whole too early."""
    known = set(names)
    return sorted(name for name in known if name.endswith(MARKER) and name.removesuffix(MARKER) not in known)


def free_name(name: str, taken: Callable[[str], bool]) -> str:
    """Return NAME, or NAME.2, NAME.3, … where it is taken."""
    found, number = name, 1
    while taken(found):
        number += 1
        found = f"{name}.{number}"
    return found
