"""What the admin commands about entries have in common, whichever daemon answers them.

Reads arguments strictly and writes the day-end file; which entries there are is the daemon's to say.
"""

from collections.abc import Iterable
from pathlib import Path

from qianzhi.runtime.admin import AdminError, Answer, Arguments
from qianzhi.saf.exported import Head, export, read_export
from qianzhi.saf.rows import Entry

LIMIT_MAX = 1_000


class Given:
    """A command's arguments; what is not known is refused, so that a misspelt wish is never obeyed."""

    def __init__(self, arguments: Arguments, *names: str) -> None:
        unknown = sorted(set(arguments) - set(names))
        if unknown:
            raise AdminError(f"unknown arguments: {', '.join(unknown)}; known are {', '.join(names)}")
        self._arguments = arguments

    def text(self, name: str, otherwise: str | None = None) -> str:
        """Return a text; one without a default must be given."""
        value = self._arguments.get(name, otherwise)
        if not isinstance(value, str) or (otherwise is None and not value):
            raise AdminError(f"{name} is wanted, as text")
        return value

    def number(self, name: str, otherwise: int) -> int:
        """Return a whole number that is not negative."""
        value = self._arguments.get(name, otherwise)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise AdminError(f"{name} is a whole number, not negative")
        return min(value, LIMIT_MAX) if name == "limit" else value


def write_export(folder: Path, head: Head, entries: Iterable[Entry]) -> Answer:
    """Write the day-end file of these entries, whole or not at all, and say where it is; raises
    AdminError.
    """
    data = export(head, entries)
    if "/" in head.destination or head.destination.startswith("."):
        raise AdminError("a destination is a bank's name")
    path = folder / f"{head.destination}-{head.date or 'all'}-{head.node}.jsonl"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(".part")
        half.write_bytes(data)
        half.replace(path)
    except OSError as error:
        raise AdminError(f"{path} cannot be written: {error.strerror}") from error
    read = read_export(data)
    return {
        "path": str(path),
        "entries": len(read.lines),
        "amount_fen": read.amount_fen,
        "sha256": read.sha256,
    }
