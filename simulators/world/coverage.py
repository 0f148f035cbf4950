"""Which of the interleavings of `sequences` happened in a run, told from facts alone.  Pure.

Facts are frames that reached a front, rows of event files, commits, executions and faults; what only a model
can know (a confirm that was lost, a COMMIT whose answer was) the model says itself, by `kernel.saw`.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from crm_bridge.closer import TIMER
from qianzhi.billing.orders import Code
from qianzhi.domain.dates import business_date
from qianzhi.domain.requests import Key, Kind
from qianzhi.domain.results import Result
from qianzhi.runtime.now import SECOND_US
from simulators.world.coverage_key import KeyStory
from simulators.world.observe import Observer
from simulators.world.sequences import NAMES

if TYPE_CHECKING:
    from crm_bridge.batch import Changes
    from qianzhi.runtime.effects import Event
    from simulators.world.banks_deals import Deal
    from simulators.world.faults import Fault

FRONT = "front-"
_CLOSES = {Result.BREAK_OPEN: "fence-held-by-break", Result.TOO_EARLY: "fence-too-early"}
_ALWAYS_SERVED = frozenset({"reversal", "status"})


class Coverage(Observer):
    """Counts in `kernel.coverage`; made as `Coverage(world)` before the first event."""

    def __init__(self, world: Any) -> None:
        self._kernel = world.kernel
        self._saw = world.kernel.saw
        self._zone = world.banks[0].teller.identity.zone if world.banks else None
        self._banks = {bank.profile.name: bank.teller for bank in world.banks}
        self._ours = frozenset(bank.profile.space for bank in world.banks if bank.dates_are_ours)
        self._queued = frozenset(
            f"{FRONT}{bank.profile.name}" for bank in world.banks if bank.profile.transport.redelivers
        )
        self._spaces = {f"{FRONT}{bank.profile.name}": bank.profile.space for bank in world.banks}
        self._stories: dict[str, KeyStory] = {}
        self._of_deal: dict[int, KeyStory] = {}
        self._kinds: dict[str, str] = {}  # by trace
        self._deaths: dict[str, int] = {}
        self._told_unknown: dict[str, int] = {}  # deaths of the front when it told so, by key
        self._fences: dict[str, int] = {}
        self._closers: dict[Key, set[str]] = {}  # who had each date closed: a bridge's timer, an act
        self._draining: set[str] = set()
        self._noticed: set[tuple[str, int]] = set()  # spaces and dates that began by their bank's notice
        self._today = (0, 0)  # until when, and the date

    # -- facts

    def on_frame_in(self, bank: str, front: str, frame: bytes) -> None:
        """Take a bank's frame as a front reads it; damaged ones are nobody's."""
        teller = self._banks.get(bank)
        sent = teller.sent.get(frame) if teller is not None else None
        if sent is None:
            return
        deal, step = sent
        story = self._of_deal.get(id(deal))
        if story is None:
            story = self._of_deal[id(deal)] = self._story(deal.record.key.text)
        day = (self._date(), self._fences.get(deal.record.key.space, 0))
        story.came(step, _content(deal, step), deal.record.bank_number, front, day, self._saw)

    def on_rows(self, process: str, rows: "Sequence[Event]") -> None:
        """Take rows of an event file."""
        if process.startswith(FRONT):
            self._front_rows(process, rows)
            return
        for row in rows:
            if row.name == "core":
                story = self._stories.get(self._id(row.key))
                if story is not None:
                    data = row.data
                    lived = self._deaths.get(story.unknown, 0) == self._told_unknown.get(row.key, -1)
                    story.settled(data["kind"], data["result"], lived, self._saw)
            elif row.name == "node" and (row.data["attempt"] > 1 or row.data["sends"] > 1):
                self._saw("resend-to-partner")

    def on_commit(self, bridge: str, changes: "Changes") -> None:
        """Take a commit."""
        journal = changes.journal
        for row in (*journal.inserts, *journal.reversals):
            self._story(row.key.text).committed(row.state, self._saw)
            space, date, _ = row.key.text.split("/", 2)
            if (space, int(date)) in self._noticed and int(date) > self._date():
                self._saw("cutover-by-notice")
        for fence in journal.fences:
            self._fences[fence.space] = max(fence.closed_through, self._fences.get(fence.space, 0))
        if journal.reversals or len(changes.billing.orders) > len(journal.inserts):
            for one in changes.ledger.transfers:
                if one.code == Code.SHORTAGE:
                    self._saw("reversal-into-arrears")

    def on_executed(self, bridge: str, requests: Sequence[Any], replies: Sequence[Any]) -> None:
        """Take what was answered to the house and to clerks, which no bank is told."""
        for request, reply in zip(requests, replies, strict=False):
            if reply is None:  # its time was over before anything was carried out
                continue
            if request.kind is Kind.VOID and reply.result is Result.SPENT:
                self._saw("void-of-spent-money")
            elif request.kind is Kind.CLOSE:
                self._closed(bridge, request, reply)

    def _closed(self, bridge: str, request: Any, reply: Any) -> None:
        if reply.result in _CLOSES:
            self._saw(_CLOSES[reply.result])
        elif reply.result is Result.APPROVED:
            asked = self._closers.setdefault(request.key, set())
            asked.add(bridge if request.reason == TIMER else request.reason)
            if len(asked) > 1 and reply.stored:
                self._saw("fence-asked-twice")

    def on_death(self, process: str) -> None:
        """Note that what a process had in memory is gone."""
        self._deaths[process] = self._deaths.get(process, 0) + 1
        for story in self._stories.values() if process.startswith(FRONT) else ():
            story.pending.pop(process, None)

    def on_fault(self, fault: "Fault", begins: bool) -> None:
        """Note drains, and which answers another database has to keep."""
        if fault.kind == "failover" and begins:
            for story in self._stories.values():
                story.failed_over()
        if fault.kind == "drain":
            (self._draining.add if begins else self._draining.discard)(fault.target)

    # -- a front's rows

    def _front_rows(self, front: str, rows: "Iterable[Event]") -> None:
        for row in rows:
            name = row.name
            if name == "in":
                self._kinds[row.trace] = row.data["kind"]
            elif name in ("out", "shed") and row.key:
                self._told(front, row, row.data["result"])
            elif name == "cutover" and row.data["by"] == "notice":
                space = self._spaces.get(front.rpartition("-")[0])
                if space is not None:  # a network's settlement date moves none of ours
                    self._noticed.add((space, row.data["business_date"]))
            elif name == "silent":
                if row.data["why"] == "expired":
                    self._saw("expired-not-forwarded")
                elif row.data["why"] == "unknown" and row.key:
                    self._told(front, row, "")

    def _told(self, front: str, row: "Event", result: str) -> None:
        kind = row.data.get("kind") or self._kinds.get(row.trace, "")
        story = self._stories.get(self._id(row.key))
        if front in self._draining and kind in _ALWAYS_SERVED and result not in ("", "unknown"):
            self._saw("reversal-through-drain")
        if story is None:
            return
        if story.is_blocked_first(result) and front.rpartition("-")[0] in self._queued:
            self._saw("queue-refusal-blocks-first")
        story.told(kind, result, front, self._date(), self._saw)
        if story.unknown == front and result in ("", "unknown"):
            self._told_unknown[row.key] = self._deaths.get(front, 0)

    # -- small things

    def _story(self, key: str) -> KeyStory:
        name = self._id(key)
        story = self._stories.get(name)
        if story is None:
            space, date, _ = key.split("/", 2)
            story = self._stories[name] = KeyStory(int(date), dated=space not in self._ours)
        return story

    def _id(self, key: str) -> str:
        """Return a key's name; where the date is ours, two copies may differ in it."""
        if not self._ours:
            return key
        space, _, rest = key.partition("/")
        return f"{space}/{rest.partition('/')[2]}" if space in self._ours else key

    def _date(self) -> int:
        """Return the platform's date, worked out once a second."""
        second = self._kernel.wall_us // SECOND_US
        if self._today[0] != second and self._zone is not None:
            self._today = (second, business_date(self._kernel.wall_us, self._zone))
        return self._today[1]


def table(counts: "dict[str, int]") -> list[tuple[str, int]]:
    """Return every interleaving with how often it happened, in the order of the rules."""
    return [(name, counts.get(name, 0)) for name in NAMES]


def _content(deal: "Deal", step: object) -> object:
    return (
        deal.record.phone,
        deal.record.amount_fen,
        deal.record.bank_number,
        deal.record.bill,
        step == "other",
    )
