"""Store-and-forward: entries to destinations, each in its lane, until every one is settled.  Pure.

An entry is stored before it is sent and before each time that it is sent again.  Entries of one account go in
the order of their numbers, others side by side.  A lane waits while its destination is not ready, and slows
down while it takes nothing; an entry that gets no answer waits alone.  What cannot be handled, and whose time
is over, is put aside for an operator and holds nobody up.

An entry that moves money back is an open break at the core until it is settled: entries to the core say so,
written together with the state that they tell.
"""

from collections.abc import Iterable
from heapq import heappop, heappush
from typing import Any

import msgspec

from qianzhi.domain.requests import Kind, Request
from qianzhi.domain.results import Result
from qianzhi.runtime.effects import Alarm, Count, Effects
from qianzhi.runtime.now import Now
from qianzhi.saf.keeping import Errand, Keeping
from qianzhi.saf.lane import Item, Lane
from qianzhi.saf.policies import Meaning, Policy, is_vain, meaning
from qianzhi.saf.rows import CORE, WITH_OPERATOR, Entry, State

SENT = "qianzhi_saf_sends_total"
ENDED = "qianzhi_saf_ended_total"
WHO = "entry"  # whose a waiting thing of `Keeping` is

_changed = msgspec.structs.replace


class RefusedError(Exception):
    """An operator's wish that cannot be granted; the text says why."""


class NeverError(RefusedError):
    """A wish that will not be granted later either; `result` is what became of the act, in a word."""

    def __init__(self, result: str, why: str) -> None:
        super().__init__(why)
        self.result = result


class Saf:
    """All entries that this node owns and that have not ended."""

    def __init__(self, keeping: Keeping, policy: Policy) -> None:
        self._keeping = keeping
        self._policy = policy
        self._lanes: dict[str, Lane] = {}
        self._items: dict[str, Item] = {}
        self._expiries: list[tuple[int, str]] = []
        self._errands: list[Errand] = []
        self._effects: Effects = []
        self._vain: list[str] = []  # keys whose reversal found nothing
        self._number = 0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def full(self) -> bool:
        """Whether no more may be promised."""
        return len(self._items) >= self._policy.entries_max

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way to a destination."""
        return not any(lane.under_way for lane in self._lanes.values())

    def deadline(self, now: Now) -> int | None:
        """When `on_time` is due next; an entry's own deadline is wall time, so that it is asked for anew.

        While nothing can be stored no try begins, and none is waited for: the store's word ends that.
        """
        serves = self._keeping.known and not self._keeping.trouble
        lanes = self._lanes.values() if serves else ()
        dues = [due for lane in lanes if (due := lane.due_us) is not None]
        while self._expiries and not self._is_open(self._expiries[0][1]):
            heappop(self._expiries)
        if self._expiries:
            dues.append(now.mono_us + max(0, self._expiries[0][0] - now.wall_us))
        return min(dues, default=None)

    def next_number(self, now: Now) -> int:
        """Return an entry's number: greater than all before, over restarts too."""
        self._number = max(self._number + 1, now.wall_us)
        return self._number

    def put(self, entries: Iterable[Entry], now: Now) -> None:
        """Promise these, once they are stored; an entry that is known already changes nothing."""
        for entry in entries:
            if entry.id in self._items:
                continue
            promised = _changed(entry, told=self._stamp(entry, now))
            self._keeping.add([promised])
            self._take(promised, now)
            if promised.told:
                self._tell_core(promised, Kind.BREAK, "saf", now)

    def load(self, entries: Iterable[Entry], now: Now) -> None:
        """Take up what is stored and not known here."""
        for entry in sorted(entries, key=lambda entry: entry.number):
            if entry.id not in self._items:
                self._number = max(self._number, entry.number, entry.told)
                self._take(entry, now)

    def drop_all(self) -> None:
        """Forget everything: it is another's now, or will be read anew."""
        for lane in self._lanes.values():
            lane.clear()
        self._items.clear()
        self._expiries.clear()
        self._errands.clear()

    def set_ready(self, destination: str, ready: bool, now: Now) -> None:
        """Try a destination's entries, or let them wait: it is signed off, or nobody is connected to it."""
        self._lane(destination).set_ready(ready, now)

    def on_stored(self, entry_id: str, version: int, now: Now) -> None:
        """Send an entry whose try is stored; forget one whose end is."""
        item = self._items.get(entry_id)
        if item is None or item.entry.version != version:
            return
        if item.entry.state is State.SETTLED:
            self._remove(item)
            return
        lane = self._lane(item.entry.destination)
        if item.entry.state is not State.OPEN or not item.storing:
            return
        if not lane.ready:
            self._wait(item, now.mono_us, now)
            return
        item.storing, item.asked = False, True
        request = _changed(item.entry.request, repeat=item.entry.tries > 1)
        ticket = (WHO, entry_id, item.entry.tries)
        self._errands.append(
            Errand(ticket, item.entry.destination, request, now.mono_us + self._policy.answer_us)
        )
        self._effects.append(Count(SENT, (item.entry.destination, "repeat" if request.repeat else "first")))

    def on_refused(self, entry_id: str) -> None:
        """The store has this entry already, as somebody else's or as ended."""
        item = self._items.get(entry_id)
        if item is not None:
            self._remove(item)
            self._effects.append(Alarm("saf_entry_known", {"entry": entry_id}))

    def on_outcome(self, ticket: tuple[str, str, int], result: Result | None, taken: bool, now: Now) -> None:
        """Take a destination's answer; `result` None with `taken`: it was sent, and nothing came back."""
        item = self._items.get(ticket[1])
        if item is None or not item.asked or item.entry.tries != ticket[2]:
            return
        self._lane(item.entry.destination).heard(result is not None, taken, now)
        if result is not None and meaning(item.entry.request, result) is Meaning.SETTLED:
            self._settle(item, result, "", now)
        elif result is not None and meaning(item.entry.request, result) is Meaning.POISONED:
            self._put_aside(item, State.QUARANTINED, f"answered {result.name.lower()}", now, result)
        elif not taken:  # certainly not sent, so that the next one is not a repeat of it
            item.entry = _changed(item.entry, tries=item.entry.tries - 1)
            self._wait(item, now.mono_us, now)
        else:
            item.entry = _changed(item.entry, result=result)
            self._wait(item, now.mono_us + self._policy.wait_us(item.entry.tries), now)

    def on_time(self, now: Now) -> None:
        """Put aside what is out of time."""
        while self._expiries and self._expiries[0][0] <= now.wall_us:
            _, entry_id = heappop(self._expiries)
            item = self._items.get(entry_id)
            if item is None or item.entry.state is not State.OPEN or item.asked or item.storing:
                continue  # what is on its way is looked at when it comes back
            if self._is_over(item.entry, now):
                self._put_aside(item, State.MANUAL, "its time is over", now)

    def hurry(self, entry_id: str, now: Now) -> None:
        """Try an open entry now, if it waits for its next try: somebody asks how it stands."""
        item = self._items.get(entry_id)
        if item is not None and item.entry.state is State.OPEN:
            self._lane(item.entry.destination).hurry(item, now)

    def pump(self, now: Now) -> None:
        """Begin the tries that are due; called at the end of each event."""
        if not self._keeping.known or self._keeping.trouble:
            return
        for lane in self._lanes.values():
            while (item := lane.next(now, self._policy.window)) is not None:
                if self._is_over(item.entry, now):
                    self._put_aside(item, State.MANUAL, "its time is over", now)
                else:
                    self._write(item, tries=item.entry.tries + 1)

    def take_errands(self) -> list[Errand]:
        """Return what may be sent since the last call."""
        errands, self._errands = self._errands, []
        return errands

    def take_vain(self) -> list[str]:
        """Return the keys whose reversal found nothing to reverse, since the last call."""
        vain, self._vain = self._vain, []
        return vain

    def take_effects(self) -> Effects:
        """Return counts and alarms since the last call."""
        effects, self._effects = self._effects, []
        return effects

    def entry(self, entry_id: str) -> Entry | None:
        """Return an entry that has not ended."""
        item = self._items.get(entry_id)
        return item.entry if item is not None else None

    def entries(self) -> list[Entry]:
        """Return all that have not ended, oldest first."""
        return sorted((item.entry for item in self._items.values()), key=lambda entry: entry.number)

    def lanes(self, now: Now) -> dict[str, dict[str, Any]]:
        """Return what operators see of each destination."""
        return {name: lane.status(now) for name, lane in self._lanes.items()}

    def retry(self, entry_id: str, act: str, deadline_us: int, now: Now) -> Entry:
        """Open an entry again that is with an operator; raises RefusedError."""
        item = self._asked_for(entry_id)
        if _is_new(item.entry, act, WITH_OPERATOR):
            self._write(item, state=State.OPEN, deadline_us=deadline_us, why="", act=act)
            self._watch(item.entry)
            self._lane(item.entry.destination).put(item, now.mono_us)
        return item.entry

    def expire(self, entry_id: str, act: str, why: str, now: Now) -> Entry:
        """End an entry's time now; raises RefusedError while an answer is awaited."""
        item = self._asked_for(entry_id)
        if _is_new(item.entry, act, frozenset({State.OPEN})):
            _require_told(item.entry)
            if item.asked or item.storing:
                raise RefusedError(f"{entry_id} is on its way; try again in a moment")
            self._put_aside(item, State.MANUAL, why or "expired by an operator", now, act=act)
        return item.entry

    def settle(self, entry_id: str, act: str, why: str, now: Now) -> Entry:
        """End an entry that was settled by hand, and its break; raises RefusedError."""
        item = self._asked_for(entry_id)
        if _is_new(item.entry, act, WITH_OPERATOR):
            _require_told(item.entry)
            self._settle(item, None, why or "settled by hand", now, act=act)
        return item.entry

    def _asked_for(self, entry_id: str) -> Item:
        item = self._items.get(entry_id)
        if item is None:
            raise RefusedError(
                f"no entry {entry_id!r} is open at this node; another node of its group may own it"
            )
        return item

    def _take(self, entry: Entry, now: Now) -> None:
        item = self._items[entry.id] = Item(entry)
        if entry.state is State.OPEN:
            self._watch(entry)
            self._lane(entry.destination).put(item, now.mono_us)

    def _watch(self, entry: Entry) -> None:
        if entry.deadline_us:
            heappush(self._expiries, (entry.deadline_us, entry.id))

    def _write(self, item: Item, **changes: Any) -> None:
        """Change an entry, and let it wait until that is stored."""
        item.entry = entry = _changed(item.entry, version=item.entry.version + 1, **changes)
        self._keeping.add([entry], [(WHO, entry.id, entry.version)])

    def _settle(self, item: Item, result: Result | None, why: str, now: Now, act: str = "") -> None:
        was = item.entry
        self._lane(was.destination).remove(item)
        act = act or was.act
        told = self._stamp(was, now)
        self._write(
            item, state=State.SETTLED, result=result, why=why, act=act, told=told, ended_us=now.wall_us
        )
        self._effects.append(Count(ENDED, (was.destination, "settled")))
        if is_vain(was.request, result):
            self._vain.append(was.request.key.text)
        if was.moves_money_back and was.told:
            self._tell_core(item.entry, Kind.MEND, "saf", now)

    def _put_aside(
        self, item: Item, state: State, why: str, now: Now, result: Result | None = None, act: str = ""
    ) -> None:
        """Leave an entry to an operator; its break is `manual` from then on."""
        was = item.entry
        self._lane(was.destination).remove(item)
        act = act or was.act
        result = was.result if result is None else result
        self._write(item, state=state, why=why, result=result, act=act, told=self._stamp(was, now))
        self._effects.append(Count(ENDED, (was.destination, state.value)))
        self._effects.append(Alarm(f"saf_{state.value}", {"entry": was.id, "why": why}))
        if was.moves_money_back:
            self._tell_core(item.entry, Kind.BREAK, "manual", now)

    def _stamp(self, entry: Entry, now: Now) -> int:
        """Return the time of the next word on an entry's break, later than all before whatever clocks do: the
        core lets no older word undo a newer one.
        """
        return self.next_number(now) if entry.moves_money_back else 0

    def _tell_core(self, entry: Entry, kind: Kind, reason: str, now: Now) -> None:
        """Promise the core to hear of a break; the promise is written with what it tells."""
        entry_id = "/".join(filter(None, (entry.id, kind.name.lower(), reason, entry.act)))
        self.put([core_entry(entry_id, entry.request, kind, reason, entry.told, now)], now)

    def _remove(self, item: Item) -> None:
        self._items.pop(item.entry.id, None)
        self._lane(item.entry.destination).remove(item)

    def _is_open(self, entry_id: str) -> bool:
        item = self._items.get(entry_id)
        return item is not None and item.entry.state is State.OPEN

    def _wait(self, item: Item, due_us: int, now: Now) -> None:
        """Let an entry that was on its way wait for its next try, if it has time for one."""
        if self._is_over(item.entry, now):
            self._put_aside(item, State.MANUAL, "its time is over", now)
        else:
            self._lane(item.entry.destination).put_back(item, due_us)

    def _is_over(self, entry: Entry, now: Now) -> bool:
        return 0 < entry.deadline_us <= now.wall_us

    def _lane(self, destination: str) -> Lane:
        lane = self._lanes.get(destination)
        if lane is None:
            lane = self._lanes[destination] = Lane(self._policy)
        return lane


def _is_new(entry: Entry, act: str, states: frozenset[State]) -> bool:
    """Tell whether an act is still to be carried out; raises NeverError when the entry has gone on meanwhile.

    Of two acts that were approved in another order than they were proposed in, the older one comes too late:
    the entry is not any more what was looked at.
    """
    if entry.act == act:
        return False
    if _number(act) < _number(entry.act):
        raise NeverError("too_late", f"act {entry.act} has changed {entry.id} since this one was proposed")
    if entry.state not in states:
        raise NeverError("too_late", f"{entry.id} is {entry.state}, not {' or '.join(sorted(states))}")
    return True


def _require_told(entry: Entry) -> None:
    """Raise NeverError for an entry that tells the core of a break: without it the day could close."""
    if entry.destination == CORE:
        raise NeverError(
            "refused",
            f"{entry.id} tells the core of a break, and its day could close if the core were never told: "
            "retry it where it was put aside (`qianzhi saf retry`); the core is told as soon as it answers",
        )


def _number(act: str) -> int:
    return int(act) if act.isascii() and act.isdigit() else 0


def core_entry(entry_id: str, about: Request, kind: Kind, reason: str, number: int, now: Now) -> Entry:
    """Return the entry that tells the core of a break of a key, or of its end; it has no deadline.

    `number` is the time of this word among all on the key.
    """
    request = Request(
        kind,
        about.space,
        about.date,
        about.serial,
        about.bank,
        about.bank_number,
        about.phone,
        about.amount_fen,
        received_us=number,
        reason=reason,
    )
    return Entry(
        id=entry_id,
        destination=CORE,
        account=about.key.text,
        request=request,
        number=number,
        made_us=now.wall_us,
    )
