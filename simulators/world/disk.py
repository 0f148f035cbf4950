"""A machine's disk in the simulated world: event files and a front's rows; full, slow, or torn.  Pure.

Where deaths are torn, a process that dies while it writes leaves what it was writing there in part:

    event file      a part of the last block; what a reader makes of it is asked of the daemons' own reader
    small text      any first part of it (`torn_text`), to be read by whoever starts next
    a store's rows  a transaction, so all of it or nothing: a torn page of it is none (`StoreLine.died`)

A front's rows are written for good, by the same rules as `frontends.store`: a write says what it rests on,
and one that comes second is refused.  Event files are written without waiting for the disk, so that they
outlive a process and not the power; nobody reads them to go on, so what the power took is not modelled.
"""

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

from frontends.session_rows import Basis, DateRow, KeyRow, LeaseRow, RetiredRow, Saved, SignOnRow
from qianzhi.runtime.effects import Event
from qianzhi.runtime.event_blocks import block_of, blocks_in, rows_of
from simulators.world.faults import Fault
from simulators.world.kernel import Kernel
from simulators.world.observe import Violation
from simulators.world.process import DiskFullError, Process

STORE_US = 1_500  # what a write with fsync takes at most, where nothing is wrong
RETRY_US = 500_000
LOOK_US = 500_000
READ_ROWS = 20  # of a file, before a torn block, that are read again


class Disk:
    """What one machine keeps; `files` are the event files by process."""

    def __init__(self, kernel: Kernel, name: str) -> None:
        self.kernel = kernel
        self.name = name
        self.files: dict[str, list[Event]] = {}
        self.dice = kernel.dice(f"disk/{name}")
        self.full = 0
        self.slow_ms = 0
        self.torn = 0
        self.tears = 0  # how often something was left in part

    def append(self, process: str, rows: Sequence[Event]) -> None:
        """Append rows to a process's event file; raises DiskFullError."""
        if self.full:
            raise DiskFullError
        self.files.setdefault(process, []).extend(rows)
        for observer in self.kernel.observers:
            observer.on_rows(process, rows)

    def tear(self, process: str, rows: Sequence[Event]) -> None:
        """A process dies over appending these rows: maybe a part of their block is there, maybe all of it.

        Raises Violation where the reader finds less than stood there before, or what never did.
        """
        if self.full or not self.torn_now:
            return
        block = block_of(rows)
        size = 1 + self.dice.below(len(block))
        self.kernel.tell(process, "dies writing", f"{size} of {len(block)} bytes")
        before = self.files.get(process, [])[-READ_ROWS:]
        file = BytesIO(block_of(before) + block[:size])
        found = [row for body in blocks_in(file) for row in rows_of(body)]
        whole = [*before, *rows] if size == len(block) else before
        if block_of(found) != block_of(whole):
            raise Violation(
                "events", process, f"{len(found)} rows are read where {len(whole)} stand", rows=rows
            )
        if size == len(block):
            self.append(process, rows)

    def torn_text(self, text: str) -> str:
        """Return what is there of a small file after its writer's death."""
        return text[: self.dice.below(len(text) + 1)] if text and self.torn_now else text

    @property
    def torn_now(self) -> bool:
        """Whether this death falls into a write, drawn anew each time."""
        hit = self.dice.hit(self.torn)
        self.tears += hit
        return hit

    @property
    def write_us(self) -> int:
        """How long the next write takes that waits for the disk."""
        return 200 + self.dice.below(STORE_US + 1_000 * self.slow_ms)

    def begin_fault(self, fault: Fault) -> None:
        """Let a fault begin (`faults.DISK_FAULTS`)."""
        self._change(fault, 1)

    def end_fault(self, fault: Fault) -> None:
        """Let it be over."""
        self._change(fault, -1)

    def _change(self, fault: Fault, sign: int) -> None:
        if fault.kind == "disk_full":
            self.full += sign
        elif fault.kind == "disk_slow":
            self.slow_ms += sign * fault.strength
        else:
            self.torn += sign * fault.strength


class LineRows:
    """The rows of one bank's line, shared by all its fronts."""

    def __init__(self) -> None:
        self.saved = Saved([], False, 0)

    def write(self, rows: Sequence[Any]) -> bool:
        """Write all rows or none; False says that they rest on what is not there any more."""
        saved = self.saved
        basis = rows[0] if rows and isinstance(rows[0], Basis) else None
        if basis is not None and basis.stamp == saved.stamp:
            return True
        if basis is not None and basis.after != saved.stamp:
            return False
        keys = {row.slot: row for row in saved.keys}
        signed_on, leased, retired = saved.signed_on, saved.leased_until, saved.retired
        noticed = saved.noticed
        for row in rows:
            match row:
                case KeyRow():
                    keys[row.slot] = row
                case SignOnRow():
                    signed_on = row.signed_on
                case LeaseRow():
                    if row.leased_from != leased:
                        return False
                    leased = row.leased_until
                case DateRow():
                    noticed = row.noticed
                case RetiredRow():
                    retired |= {row.check_value}
        stamp = basis.stamp if basis is not None else saved.stamp
        kept = [row for row in keys.values() if row.wrapped]
        self.saved = Saved(kept, signed_on, leased, retired, stamp, noticed)
        return True


class StoreLine:
    """One life's thread of a front's store: work in its order, tried again until it succeeds."""

    def __init__(self, process: Process, disk: Disk, rows: LineRows, told: "Told", *, looks: bool) -> None:
        """`told` hears on the process's own time; `looks` for rows that another instance changes."""
        self._process = process
        self._disk = disk
        self._rows = rows
        self._told = told
        self._work: list[tuple[str, int, list[Any]]] = []
        self._busy = False
        self._troubled = False
        self._seen = rows.saved.stamp
        if looks:
            process.later(LOOK_US, "look", self._look)

    def write(self, token: int, rows: list[Any]) -> None:
        """Write rows after what was asked for before."""
        self._add("write", token, rows)

    def load(self) -> None:
        """Read the rows after what was asked for before."""
        self._add("load", 0, [])

    def died(self) -> None:
        """The process is gone: a transaction that was being written is there whole, or not at all."""
        if self._busy and self._work[0][0] == "write" and not self._disk.full and self._disk.torn_now:
            self._rows.write(self._work[0][2])

    def _add(self, what: str, token: int, rows: list[Any]) -> None:
        self._work.append((what, token, rows))
        if not self._busy:
            self._busy = True
            self._process.later(self._disk.write_us, "store", self._next)

    def _next(self) -> None:
        what, token, rows = self._work[0]
        if self._disk.full and what == "write":
            if not self._troubled:
                self._troubled = True
                self._told.trouble("no room on the disk")
            self._process.later(RETRY_US, "store again", self._next)
            return
        if self._troubled:
            self._troubled = False
            self._told.trouble("")
        del self._work[0]
        # Written for good before the core hears of it: a process that dies in between finds it there.
        done = self._rows.write(rows) if what == "write" else True
        self._seen = self._rows.saved.stamp
        self._busy = bool(self._work)
        if self._busy:
            self._process.later(self._disk.write_us, "store", self._next)
        if what == "load":
            self._told.loaded(self._rows.saved)
        elif done:
            self._told.stored(token)
        else:
            self._told.conflict(token, self._rows.saved)

    def _look(self) -> None:
        self._process.later(LOOK_US, "look", self._look)
        if self._rows.saved.stamp != self._seen and not self._busy:
            self._seen = self._rows.saved.stamp
            self._told.looked(self._rows.saved)


class Told:
    """Whom a store tells what."""

    def __init__(
        self,
        stored: Callable[[int], None],
        conflict: Callable[[int, Saved], None],
        loaded: Callable[[Saved], None],
        looked: Callable[[Saved], None],
        trouble: Callable[[str], None],
    ) -> None:
        self.stored = stored
        self.conflict = conflict
        self.loaded = loaded
        self.looked = looked
        self.trouble = trouble
