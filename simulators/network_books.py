"""A simulated network's books as a file of JSON lines, one for each change of a charge; the last one counts.

A line may also carry the id of the day-end file's entry that it books, so that both are written or neither.
Whoever writes has the file for itself: books that two processes had in memory would undo each other.
"""

import fcntl
import json
from pathlib import Path
from typing import Any

from qianzhi.domain.requests import Key
from qianzhi.domain.results import Result
from simulators.network import Charge, State


class BooksInUseError(Exception):
    """Another process has the books."""


class BooksFile:
    """A network's books as they are kept, in this process alone until it ends."""

    def __init__(self, path: Path) -> None:
        """Open or make them; raises BooksInUseError."""
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")
        try:
            fcntl.flock(self._file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise BooksInUseError(f"the books {path} are in use") from error
        if path.read_bytes()[-1:] not in (b"", b"\n"):
            self._file.write("\n")  # behind a line that a kill has cut

    def read(self) -> list[tuple[Key, Charge]]:
        """Return every charge as its last line has it."""
        return list(read_books(self._path).items())

    def booked(self) -> frozenset[str]:
        """Return the ids of all entries of day-end files that were booked."""
        return frozenset(str(row["booked"]) for row in _rows(self._path) if "booked" in row)

    def write(self, key: Key, charge: Charge | None, booked: str = "") -> None:
        """Add a line: a charge, the id of an entry that was booked, or both."""
        row: dict[str, Any] = {"booked": booked} if booked else {}
        if charge is not None:
            row |= {"key": key.text, **{name: getattr(charge, name) for name in Charge.__slots__}}
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Let others have them."""
        self._file.close()


def read_books(path: Path) -> dict[Key, Charge]:
    """Return a network's charges from its file, none where there is none; a cut line is left out."""
    found: dict[Key, Charge] = {}
    for row in _rows(path):
        row.pop("booked", None)
        if "key" in row:
            key = Key.parse(row.pop("key"))
            row["state"], row["result"] = State(row["state"]), Result(row["result"])
            found[key] = Charge(**row)
    return found


def _rows(path: Path) -> list[dict[str, Any]]:
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows
