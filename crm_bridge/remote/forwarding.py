"""When what a bridge promised to the remote core is delivered: its lanes, its rows, its operators.  Pure.

Entries come from the journal's own transactions (`gateway`), stored before anything is sent, and from the
store: those of a former life, and those of a bridge that died.  What the lanes tell the core of breaks goes
to the journal of this very bridge.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Any, NamedTuple

from crm_bridge.remote.promises import DESTINATION, Delivered
from qianzhi.runtime.effects import Alarm, Effects, Send
from qianzhi.runtime.now import Now
from qianzhi.saf import lanes
from qianzhi.saf.keeping import Errand, Keeping
from qianzhi.saf.lanes import RefusedError, Saf
from qianzhi.saf.policies import DAY_US, Policy
from qianzhi.saf.rows import CORE, Entry, Forget, Renew, Saved, Standing
from qianzhi.saf.shown import shown_entry

ASKER, COURIER = "asker", "courier"  # whom a Send is for
OLDEST_DATE = 20_000_101


class Told(NamedTuple):
    """What became of an errand."""

    ticket: tuple[str, str, int]
    delivered: Delivered


class Forwarding:
    """One bridge's promises."""

    def __init__(self, policy: Policy, zone: tzinfo) -> None:
        """Nothing is tried before `start`, and nothing to the core before it is `set_ready`."""
        self._policy = policy
        self._zone = zone
        self._keeping = Keeping(policy.lease_us)
        self._saf = Saf(self._keeping, policy)
        self._early: list[Entry] = []  # promised while the rows were not known
        self._answers: dict[str, dict[str, Any]] = {}
        self._effects: Effects = []
        self._forgot_us = 0
        self._now = Now(0, 0)

    def __len__(self) -> int:
        return len(self._saf)

    @property
    def deadline(self) -> int | None:
        """When `on_time` is due next (monotonic)."""
        dues = (self._keeping.deadline, self._saf.deadline(self._now))
        return min((due for due in dues if due is not None), default=None)

    def start(self, now: Now) -> Effects:
        """Read what is stored."""
        self._saf.set_ready(CORE, True, now)
        self._effects += self._keeping.load(now)
        return self._finish(now)

    def on_loaded(self, saved: Saved, now: Now) -> Effects:
        """Take up what is stored, or what another bridge has left."""
        released = self._keeping.on_loaded(now)
        self._saf.load(saved.entries, now)
        self._saf.load(self._early, now)
        self._early.clear()
        if saved.taken:
            self._effects.append(Alarm("saf_taken_over", {"rows": saved.taken}))
        for row in saved.spoiled:
            self._effects.append(Alarm("saf_row_unreadable", {"row": row}))
        self._release(released, now)
        return self._finish(now)

    def on_promised(self, entries: list[Entry], now: Now) -> Effects:
        """Take up what the journal's transactions have stored just now."""
        if self._keeping.known:
            self._saf.load(entries, now)
        else:
            self._early += entries
        return self._finish(now)

    def on_stored(self, token: int, standing: Sequence[Standing], now: Now) -> Effects:
        """Do what rests on a write; `standing` is what was there already where a new row was to be."""
        released = self._keeping.on_stored(token, now)
        for row in standing:
            if isinstance(row, Entry):
                self._saf.on_refused(row.id)
        self._release(released, now)
        return self._finish(now)

    def on_lost(self, token: int | None, now: Now) -> Effects:
        """Forget everything: rows are another bridge's, or a later life's, or were never written; begin
        anew.
        """
        if self._keeping.on_lost(token):
            self._saf.drop_all()
            for asker in self._answers:
                self._say(asker, RefusedError("another bridge has taken this one's rows over; ask again"))
            self._answers.clear()
            self._effects.append(Alarm("saf_lease_lost", {}))
            self._effects += self._keeping.load(now)
        return self._finish(now)

    def on_store_trouble(self, why: str, now: Now) -> Effects:
        """The store does not serve (or does again): nothing is sent that is not stored."""
        if why and not self._keeping.trouble:
            self._effects.append(Alarm("saf_store_unusable", {"reason": why}))
        self._keeping.trouble = why
        return self._finish(now)

    def set_ready(self, ready: bool, now: Now) -> Effects:
        """Calls to the core are forwarded, or they are not: entries wait then without being tried."""
        self._saf.set_ready(DESTINATION, ready, now)
        return self._finish(now)

    def on_told(self, items: list[Told], now: Now) -> Effects:
        """Take what became of errands."""
        for ticket, (result, taken) in items:
            self._saf.on_outcome(ticket, result, taken, now)
        return self._finish(now)

    def on_time(self, now: Now) -> Effects:
        """Do what is due."""
        due = self._keeping.deadline
        if due is not None and due <= now.mono_us:
            self._effects += self._keeping.load(now)
        self._saf.on_time(now)
        if self._keeping.known and now.wall_us - self._forgot_us > DAY_US // 24:
            self._forgot_us = now.wall_us
            self._keeping.add([Forget(now.wall_us - self._policy.keep_us)])
        return self._finish(now)

    def act(self, asker: str, command: str, arguments: Mapping[str, Any], now: Now) -> Effects:
        """Carry out an operators' act on an entry: `retry`, `expire` or `settle`; the asker hears by Send."""
        entry_id, act, why = (str(arguments.get(name, "")) for name in ("id", "act", "why"))
        try:
            if command == "retry":
                entry = self._saf.retry(entry_id, act, self._deadline_us(entry_id, now), now)
            else:
                change = self._saf.expire if command == "expire" else self._saf.settle
                entry = change(entry_id, act, why, now)
        except RefusedError as error:
            self._say(asker, error)
        else:
            self._answers[asker] = shown_entry(entry)
            self._keeping.add([Renew()], [(ASKER, asker, 0)])
        return self._finish(now)

    def entries(self, destination: str = "", state: str = "") -> list[Entry]:
        """Return the entries that have not ended, oldest first."""
        return [
            entry
            for entry in self._saf.entries()
            if destination in ("", entry.destination) and state in ("", entry.state)
        ]

    def entry(self, entry_id: str) -> Entry | None:
        """Return one that has not ended."""
        return self._saf.entry(entry_id)

    def open_promises(self) -> int:
        """Return how many entries to the core have not ended."""
        return len(self.entries(DESTINATION))

    def status(self, now: Now) -> dict[str, Any]:
        """Return what operators see."""
        return {
            "known": self._keeping.known,
            "trouble": self._keeping.trouble,
            "entries": dict(Counter(entry.state.value for entry in self._saf.entries())),
            "lanes": self._saf.lanes(now),
        }

    def _finish(self, now: Now) -> Effects:
        """End an event: begin what is due, write what was gathered, send what may go."""
        self._now = now
        self._saf.pump(now)
        errands: list[Errand] = self._saf.take_errands()
        effects, self._effects = self._effects, []
        effects += self._saf.take_effects()
        if errands:
            effects.append(Send((COURIER, ""), errands))
        return self._keeping.take(now) + effects

    def _deadline_us(self, entry_id: str, now: Now) -> int:
        entry = self._saf.entry(entry_id)
        date = entry.request.date if entry is not None else OLDEST_DATE
        return self._policy.deadline_us(date, now.wall_us, self._zone)

    def _release(self, released: list[tuple[str, str, int]], now: Now) -> None:
        for whose, what, version in released:
            if whose == lanes.WHO:
                self._saf.on_stored(what, version, now)
            elif what in self._answers:
                self._say(what, self._answers.pop(what))

    def _say(self, asker: str, answer: Any) -> None:
        self._effects.append(Send((ASKER, asker), [answer]))
