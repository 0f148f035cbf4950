"""Event files: one compact row per request and hop, appended once per reactor wake-up.

    file    <data>/events/<daemon>/<YYYYMMDD>-<n>.evt, any number of blocks (`event_blocks`)

One append is one block and one write(2) without fsync: what must survive a power failure is a row in a store.
A front-end's file is also its record of what a bank was told, therefore a failed append is an error with a
name.  A process never continues the file of another, so a torn block can only be the last of its file.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

from qianzhi.runtime.effects import Event
from qianzhi.runtime.event_blocks import block_of, blocks_in, rows_of

FILE_BYTES_MAX = 256 * 1024 * 1024


class EventsError(Exception):
    """An event file could not be written (disk full, say); nothing may be told that rests on these rows."""


class EventWriter:
    """Appends rows to the files of one daemon; not for several threads at once."""

    def __init__(self, folder: Path, *, zone: tzinfo = UTC, file_bytes_max: int = FILE_BYTES_MAX) -> None:
        """Create the folder if needed; `zone` says when a local day ends.  Raises EventsError."""
        self._folder = folder
        self._zone = zone
        self._file_bytes_max = file_bytes_max
        self._descriptor = -1
        self._bytes = 0
        self._day_ends_us = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EventsError(f"the event folder {folder} cannot be made: {error.strerror}") from error

    def append(self, rows: list[Event]) -> None:
        """Write the rows as one block with one write(2).

        Raises EventsError when they are not wholly in the file; what was half written is cut off again.
        """
        if not rows:
            return
        block = block_of(rows)
        try:
            self._open_if_due(rows[0].wall_us)
            written = os.write(self._descriptor, block)
        except OSError as error:
            raise EventsError(
                f"an event file in {self._folder} cannot be written: {error.strerror}"
            ) from error
        if written != len(block):
            self._cut_off_torn_block()
            raise EventsError(f"an event file in {self._folder} took only part of a block: the disk is full")
        self._bytes += written

    def close(self) -> None:
        """Close the file; a later append opens a new one."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open_if_due(self, wall_us: int) -> None:
        if self._descriptor >= 0 and wall_us < self._day_ends_us and self._bytes < self._file_bytes_max:
            return
        self.close()
        midnight = datetime.fromtimestamp(wall_us // 1_000_000, tz=UTC).astimezone(self._zone)
        midnight = midnight.replace(hour=0, minute=0, second=0, microsecond=0)
        day = f"{midnight:%Y%m%d}"
        self._descriptor = self._create(day)
        self._bytes = 0
        self._day_ends_us = int((midnight + timedelta(days=1)).timestamp()) * 1_000_000

    def _create(self, day: str) -> int:
        """Create the day's next file; O_EXCL, so that two processes can never share one."""
        number = max((n for date, n, _ in _files_of(self._folder) if date == day), default=0)
        while True:
            number += 1
            try:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
                return os.open(self._folder / f"{day}-{number}.evt", flags, 0o640)
            except FileExistsError:
                continue

    def _cut_off_torn_block(self) -> None:
        """Take back a half-written block; where even that fails, leave the file and let the next append open
        one."""
        try:
            os.ftruncate(self._descriptor, self._bytes)
        except OSError:
            self.close()


def read_events(folder: Path, *, key: str = "", trace: str = "") -> Iterator[Event]:
    """Yield the rows of all files of a folder, oldest file first; of one key or trace only, when given.

    A torn or damaged block ends its file: what follows it cannot be trusted.  Blocks that do not hold the
    wanted text are passed over without being decoded.
    """
    wanted = [text.encode() for text in (key, trace) if text]
    for _, _, path in sorted(_files_of(folder)):
        for body in _blocks_of(path):
            if not all(text in body for text in wanted):
                continue
            for row in rows_of(body):
                if (not key or row.key == key) and (not trace or row.trace == trace):
                    yield row


def _blocks_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from blocks_in(file)


def _files_of(folder: Path) -> list[tuple[str, int, Path]]:
    """List (day, number, path) of the event files in a folder; other names are left alone."""
    files = []
    for path in folder.glob("*.evt"):
        day, dash, number = path.stem.partition("-")
        if dash and len(day) == 8 and day.isdigit() and number.isdigit():
            files.append((day, int(number), path))
    return files
