"""The invariants of money, watched while a run goes on and at its end; written from the rules alone.  Pure.

    every commit    against books of our own (`checks_books`)
    every word      to a bank, against the journal as it stands then (`checks_told`)
    every second    all tables, worked out from nothing
    every frame     of a line, that no two sides answer each other for ever (`checks_loops`)
    at the end      banks, journal and books against each other (`checks_end`)

What is read are rows, postings, frames and the banks' own records; nothing here asks the code under test.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC
from typing import TYPE_CHECKING, Any

from crm_bridge.journal import Row
from qianzhi.domain.dates import business_date, days_between, shift
from qianzhi.domain.requests import Key
from qianzhi.domain.results import EDGE_RESULTS, Result
from simulators.world import checks_books, checks_end, checks_order
from simulators.world.checks_books import Books
from simulators.world.checks_charges import Charges
from simulators.world.checks_end import Party
from simulators.world.checks_fences import not_early
from simulators.world.checks_loops import Loops
from simulators.world.checks_open import opens_of
from simulators.world.checks_queues import Queues
from simulators.world.checks_serials import LineSerials, Serials
from simulators.world.checks_told import Told
from simulators.world.faults import Fault
from simulators.world.observe import Observer, Violation

if TYPE_CHECKING:
    from crm_bridge.batch import Changes
    from crm_bridge.memory import Memory
    from qianzhi.runtime.effects import Event

AUDIT_TICKS = 10  # seconds between two audits of all tables
DAYS_KEPT = 100  # dates further off than this take no tombstone
FRONT = "front-"
_EDGES = tuple(one for one in Result if one in EDGE_RESULTS)


class Checks(Observer):
    """Raises `Violation`; made as `Checks(world)` before the first event.

    `left` names what waits in queues and stores, for the end; `entries` returns the audit chain in order,
    the house's own where none is given.
    """

    def __init__(
        self,
        world: Any,
        *,
        left: Callable[[], Iterable[tuple[str, int]]] | None = None,
        entries: Callable[[], Iterable[Any]] | None = None,
    ) -> None:
        self._world = world
        self._left = left
        house = getattr(world, "house", None)
        self._entries = entries or (None if house is None else lambda: house.acts.entries)
        self._ticks = 0
        self._audited = -1  # commits, when all tables were looked at
        self._commits = 0
        self._named = {bank.profile.name: bank for bank in world.banks}
        self._queued = frozenset(
            name for name, bank in self._named.items() if bank.profile.transport.redelivers
        )
        self._of_front = {f"{FRONT}{name}-": name for name in self._named}
        self._date_ours = {name: bank.dates_are_ours for name, bank in self._named.items()}
        self._mirrored = self.memory
        self.books = Books(self._mirrored)
        self.serials = Serials()
        self.order = checks_order.Order()
        zone = world.banks[0].teller.identity.zone if world.banks else UTC
        self.charges = Charges(self.serials, self.order, zone)
        self.lines = LineSerials(self.serials, getattr(world, "profiles", {}))
        self.loops = Loops()
        self._networks = getattr(world, "networks", ())
        broker = getattr(world, "broker", None)
        self.queues = Queues(broker) if broker is not None else None
        self.told = Told(
            self.find,
            {name: _repeatable(bank.profile) for name, bank in self._named.items()},
            self._takes_none,
            self.serials,
        )
        for bank in world.banks:
            bank.hearers.append(self.told.heard)

    @property
    def memory(self) -> "Memory":
        """The core's tables, as committed; others after a standby that was behind has been promoted."""
        memory: Memory = self._world.database.memory
        return memory

    def find(self, key: Key, bank: str) -> Sequence[Row]:
        """Return the rows that a key may mean: where the date is ours, those of the days beside it too."""
        journal = self.memory.journal
        own = journal.get(key)
        if not self._date_ours.get(bank, False):
            return [own] if own is not None else []
        beside = (journal.get(key._replace(date=shift(key.date, days))) for days in (-1, 1))
        return [row for row in (own, *beside) if row is not None]

    # -- facts

    def on_rows(self, process: str, rows: "Sequence[Event]") -> None:
        """Take what a front says it has heard and is about to say."""
        if process.startswith(FRONT):
            bank = self._of_front.get(process.rstrip("0123456789"))
            if bank is not None:
                self.told.rows(bank, rows)
            if bank in self._queued and self.queues is not None:
                self.queues.rows(process, rows)

    def on_frame_in(self, bank: str, front: str, frame: bytes) -> None:
        """Take what a front has read."""
        if bank not in self._queued:
            self.loops.came(front, frame)

    def on_frame_out(self, bank: str, front: str, frame: bytes) -> None:
        """Take what a front has sent."""
        self.lines.went(bank, front, frame)
        if bank not in self._queued:
            self.loops.went(front)

    def on_commit(self, bridge: str, changes: "Changes") -> None:
        """Take a commit."""
        self._commits += 1
        for fence in changes.journal.fences:
            first = self._world.bridges[0]
            not_early(fence, self._world.kernel.wall_us, first.settings.fence_minutes, first.zone)
        if not self._promoted():
            self.books.follow(changes, self.memory)

    def on_executed(self, bridge: str, requests: "Sequence[Any]", replies: "Sequence[Any]") -> None:
        """Take what the core answers, before anybody passes it on."""
        for request, reply in zip(requests, replies, strict=True):
            if reply is not None:
                self.told.executed(request, reply)

    def on_kept(self, node: str, rows: "Sequence[Any]") -> None:
        """Take what a node has written of its charges and entries."""
        self.charges.kept(rows, node)

    def on_loaded(self, node: str, entries: "Sequence[Any]") -> None:
        """Take whose entries have become whose."""
        self.charges.loaded(entries, node)

    def on_fault(self, fault: Fault, begins: bool) -> None:
        """Note that messages are damaged from now on."""
        self.told.damaged |= fault.kind == "bank_frames_broken"

    def on_tick(self) -> None:
        """Look at all tables now and then."""
        self.loops.tick()
        self._ticks += 1
        if self._ticks % AUDIT_TICKS == 0 and self._audited != self._commits:
            self._audited = self._commits
            self.audit()

    def on_end(self) -> None:
        """Compare everybody's record of all that happened."""
        self.audit()
        if self._left is not None:
            checks_end.drained(self._left())
        if self.queues is not None:
            self.queues.compare()
        if self._entries is not None:
            checks_order.chain(self._entries())
        opens = opens_of(self.memory, self.charges.entries.values())
        self.charges.compare(self._networks, self.memory, opens)
        checks_end.compare(self.parties(), self.memory, self.find, opens)

    # -- what is compared

    def parties(self) -> list[Party]:
        """Return everybody who keeps a record of money."""
        banks = [
            Party(bank.profile.name, bank.teller.deals.all, bank.teller.customers.spent())
            for bank in self._world.banks
        ]
        return banks + self.charges.parties(self._networks)

    def audit(self) -> None:
        """Work the tables out from nothing, and hold them to the mirror of all commits."""
        memory = self.memory
        self._promoted()
        checks_books.audit(memory)
        self._hold_to_mirror(memory)

    def _promoted(self) -> bool:
        """Begin the mirror anew where a fail-over has undone commits that nobody heard of."""
        memory = self.memory
        if memory is self._mirrored:
            return False
        self._mirrored = memory
        self.books.read(memory)
        return True

    def _hold_to_mirror(self, memory: "Memory") -> None:
        if len(memory.journal) != len(self.books.rows) or len(memory.transfers) != self.books.transfers:
            says = (
                f"{len(memory.journal)} rows and {len(memory.transfers)} postings stand, "
                f"{len(self.books.rows)} and {self.books.transfers} were committed"
            )
            raise Violation("I4", "journal", says)
        for number, account in memory.accounts.items():
            if account.balance_fen != self.books.balances[number]:
                says = f"balance {account.balance_fen}, committed {self.books.balances[number]}"
                raise Violation("I4", f"account {number}", says)
        for key, row in memory.journal.items():
            if self.books.rows.get(key) != row:
                views = {"committed": checks_books.words(self.books.rows.get(key))}
                raise Violation("I5", key.text, "a row changed without a commit", **views)

    def _takes_none(self, key: Key) -> bool:
        """Whether a date is closed, or so far off that it can never take a key."""
        if key.date <= self.books.fences.get(key.space, 0):
            return True
        today = business_date(self._world.kernel.wall_us, UTC)
        return abs(days_between(today, key.date)) > DAYS_KEPT


def _repeatable(profile: Any) -> frozenset[Result]:
    """Return the edge results that leave a key open: none on a queue, where a redelivery may follow."""
    if profile.transport.redelivers:
        return frozenset()
    return frozenset(one for one in _EDGES if profile.results.may_repeat(one))
