"""A machine's disk in the simulated world: event files and a front's rows; full, slow, or torn.  Pure.

Event files are written without waiting for the disk, so that they outlive a process and not the power; what
was being written when the process died may be there in part.  A front's rows are written for good, by the
same rules as `frontends.store`: a write says what it rests on, and one that comes second is refused.
"""

from collections.abc import Callable, Sequence
from typing import Any

from frontends.session_rows import Basis, DateRow, KeyRow, LeaseRow, RetiredRow, Saved, SignOnRow
from qianzhi.runtime.effects import Event
from simulators.world.faults import Fault
from simulators.world.kernel import Kernel
from simulators.world.process import DiskFullError, Process

STORE_US = 1_500  # what a write with fsync takes at most, where nothing is wrong
RETRY_US = 500_000
LOOK_US = 500_000


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

    def append(self, process: str, rows: Sequence[Event]) -> None:
        """Append rows to a process's event file; raises DiskFullError."""
        if self.full:
            raise DiskFullError
        self.files.setdefault(process, []).extend(rows)
        for observer in self.kernel.observers:
            observer.on_rows(process, rows)

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
