"""What a node does on the house's own account: charges, and the entries of store-and-forward.

Pure.  `House` has the store's side (`on_stored`, `on_loaded`, `on_lost`), the peers' side through
`node.Node`, which joins it to the dispatcher, and the operators' side, whose commands are `house_commands`'.

A destination is what a front registers as its bank, under the terms of its hello; it is ready while a front
of it is connected and has not said that it drains.  A front whose bank is signed off says DrainNotice(True):
its entries wait then without being tried.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Any, NamedTuple

from interface_layer import charges
from interface_layer.charges import Charges, Wanted
from qianzhi.domain.requests import Key, Reply
from qianzhi.domain.results import Result
from qianzhi.link.events import OutwardTerms
from qianzhi.runtime.effects import Alarm, Effects, Send
from qianzhi.runtime.now import Now
from qianzhi.saf import lanes
from qianzhi.saf.keeping import Errand, Keeping
from qianzhi.saf.lanes import RefusedError, Saf
from qianzhi.saf.policies import DAY_US, Policy
from qianzhi.saf.rows import (
    CHARGE_ENDED,
    CORE,
    SLOTS,
    Charge,
    ChargeState,
    Entry,
    Forget,
    Renew,
    Saved,
    Standing,
    Taken,
)
from qianzhi.saf.shown import shown_entry

ASKER = "asker"  # whose a waiting thing of `Keeping` is: an answer to a command
LATE = "late"  # the answer to a front that offered a late one
CORE_CHARS_MAX, CORE_FEN_MAX = 40, 10**15  # what a core looks at at all
SAYS = CHARGE_ENDED | {ChargeState.WAITING}  # states of which whoever wants the money is told


class Told(NamedTuple):
    """The end of what an errand was sent for: `taken` is False when it was certainly not passed on."""

    ticket: tuple[str, str, int]
    reply: Reply | None
    taken: bool


class House:
    """One node's own business."""

    def __init__(self, policy: Policy, zone: tzinfo) -> None:
        self._policy = policy
        self._zone = zone
        self._keeping = Keeping(policy.lease_us)
        self._saf = Saf(self._keeping, policy)
        self._charges = Charges(self._keeping, self._saf, policy, zone)
        self._terms: dict[str, OutwardTerms] = {}
        self._ready: set[str] = set()
        self._answers: dict[str, dict[str, Any]] = {}  # to askers, waiting for a write
        self._askers: dict[str, list[str]] = {}  # who waits for the end of an order
        self._effects: Effects = []
        self._forgot_us = 0
        self._draining = False

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way; what is stored may stay for another life."""
        return self._saf.idle and self._charges.unsettled == 0

    def deadline(self, now: Now) -> int | None:
        """When `on_time` is due next (monotonic)."""
        dues = (self._keeping.deadline, self._saf.deadline(now), self._charges.deadline(now))
        return min((due for due in dues if due is not None), default=None)

    def start(self, now: Now) -> Effects:
        """Read what is stored; nothing is promised before."""
        return self._keeping.load(now)

    def drain(self, draining: bool) -> None:
        """Take no new charges, or take them again."""
        self._draining = draining

    def on_loaded(self, saved: Saved, now: Now) -> None:
        """Take up what is stored, or what another node has left."""
        released = self._keeping.on_loaded(now)
        self._saf.load(saved.entries, now)
        self._charges.load(saved, now)
        if saved.slot == SLOTS:
            self._effects.append(Alarm("charge_slots_used_up", {"slots": SLOTS}))
        if saved.taken:
            self._effects.append(Alarm("saf_taken_over", {"rows": saved.taken}))
        for row in saved.spoiled:
            self._effects.append(Alarm("saf_row_unreadable", {"row": row}))
        self._release(released, now)

    def on_stored(self, token: int, standing: Sequence[Standing], now: Now) -> None:
        """Do what rests on a write; `standing` is what was there already where a new row was to be."""
        if not self._keeping.awaits(token):
            return  # of a time that was ended: what it was about is forgotten, or stands anew
        refused = {(lanes.WHO, row.id) for row in standing if isinstance(row, Entry)}
        released = self._keeping.on_stored(token, now, refused)
        for row in standing:
            if isinstance(row, Entry):
                self._saf.on_refused(row.id)
            else:
                self._on_standing(row)
        self._release(released, now)

    def on_lost(self, token: int | None, now: Now) -> None:
        """Forget everything: the rows are another node's, or a later life's; begin anew."""
        if not self._keeping.on_lost(token):
            return
        self._saf.drop_all()
        self._charges.drop_all()
        for asker in [*self._answers, *(one for askers in self._askers.values() for one in askers)]:
            self._say(asker, RefusedError("another node has taken this one's rows over; ask again"))
        self._answers.clear()
        self._askers.clear()
        self._effects.append(Alarm("saf_lease_lost", {}))
        self._effects += self._keeping.load(now)

    def on_store_trouble(self, why: str, now: Now) -> None:
        """The store does not serve (or does again): nothing is sent that is not stored."""
        if why and not self._keeping.trouble:
            self._effects.append(Alarm("saf_store_unusable", {"reason": why}))
        self._keeping.trouble = why

    def set_terms(self, terms: OutwardTerms) -> None:
        """Learn on which terms a bank may be asked for money."""
        self._terms[terms.bank] = terms

    def set_ready(self, destination: str, ready: bool, now: Now) -> None:
        """Send to a destination, or let its entries wait."""
        (self._ready.add if ready else self._ready.discard)(destination)
        self._saf.set_ready(destination, ready, now)

    def on_front_lost(self, bank: str) -> None:
        """A front has gone, with the late answers that it may have held."""
        self._charges.on_front_lost(bank)

    def on_late(self, asker: str, key: Key, approved: bool, now: Now) -> None:
        """Take a front's late answer; it hears of it once that is noted, as a Send to ("late", asker)."""
        if not self._keeping.known:
            self._effects.append(Send((LATE, asker), [None]))
        elif self._charges.on_late(key.text, approved, now):
            self._keeping.add([Renew()], [(LATE, asker, 0)])
        else:
            self._effects.append(Send((LATE, asker), [Reply(Result.NOT_FOUND)]))

    def on_told(self, items: list[Told], now: Now) -> None:
        """Take the ends of errands."""
        for ticket, reply, taken in items:
            if ticket[0] == charges.WHO:
                self._charges.on_outcome(ticket, reply, taken, now)
            else:
                self._saf.on_outcome(ticket, reply.result if reply is not None else None, taken, now)
        for key in self._saf.take_vain():
            self._charges.on_vain(key, now)

    def on_time(self, now: Now) -> None:
        """Do what is due."""
        due = self._keeping.deadline
        if due is not None and due <= now.mono_us:
            self._effects += self._keeping.load(now)
        self._saf.on_time(now)
        self._charges.on_time(now)
        if self._keeping.known and now.wall_us - self._forgot_us > DAY_US // 24:
            self._forgot_us = now.wall_us
            self._keeping.add([Forget(now.wall_us - self._policy.keep_us)])

    def take_errands(self) -> list[Errand]:
        """Return what may go out now."""
        return self._charges.take_errands() + self._saf.take_errands()

    def finish(self, now: Now) -> Effects:
        """End an event: begin what is due, answer what is decided, write what was gathered."""
        self._saf.pump(now)
        for order in [order for order in self._askers if self._is_said(order)]:
            charge = self._charges.charge(order)
            for asker in self._askers.pop(order):
                self._say_when_stored(asker, shown(charge) if charge is not None else {})
        effects, self._effects = self._effects, []
        effects += self._charges.take_effects() + self._saf.take_effects()
        return self._keeping.take(now) + effects

    def charge(self, asker: str, wanted: Wanted, wait: bool, now: Now) -> None:
        """Charge; a known order is driven on, and says how it stands.  The asker hears it by Send."""
        known = self._charges.charge(wanted.order)
        if known is None:
            why = self._no_charge(wanted.bank) or _cannot_be_credited(wanted)
            if why:
                return self._say(asker, {"order": wanted.order, "state": "refused", "why": why})
            known = self._charges.ask(wanted, self._terms[wanted.bank], now)
            if known is None:
                return self._say(asker, RefusedError(f"no serial is left for {wanted.bank} today"))
        elif _differs(known, wanted):
            return self._say(asker, RefusedError(f"order {wanted.order} is another charge: {known.key.text}"))
        else:
            self._charges.drive(known, now)
        if wait and not self._is_said(wanted.order):
            self._askers.setdefault(wanted.order, []).append(asker)
        else:
            self._say_when_stored(asker, shown(known))
        return None

    def act(self, asker: str, command: str, arguments: Mapping[str, Any], now: Now) -> None:
        """Carry out an operators' act on an entry: `retry`, `expire` or `settle`."""
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
            self._say_when_stored(asker, shown_entry(entry))

    def entries(self, destination: str = "", state: str = "") -> list[Entry]:
        """Return the entries that have not ended, oldest first."""
        return [
            entry
            for entry in self._saf.entries()
            if (not destination or entry.destination == destination) and (not state or entry.state == state)
        ]

    def entry(self, entry_id: str) -> Entry | None:
        """Return one that has not ended."""
        return self._saf.entry(entry_id)

    def charges(self, order: str = "", state: str = "", bank: str = "") -> list[Charge]:
        """Return the charges that are known here."""
        return [
            one
            for one in self._charges.charges()
            if (not order or one.order == order)
            and (not state or one.state == state)
            and (not bank or one.bank == bank)
        ]

    def status(self, now: Now) -> dict[str, Any]:
        """Return what operators see."""
        return {
            "known": self._keeping.known,
            "trouble": self._keeping.trouble,
            "entries": dict(Counter(entry.state.value for entry in self._saf.entries())),
            "lanes": self._saf.lanes(now),
            "charges": dict(Counter(one.state.value for one in self._charges.charges())),
        }

    def _no_charge(self, bank: str) -> str:
        """Return why a bank cannot be asked for money now, or nothing."""
        terms = self._terms.get(bank)
        if terms is None:
            return f"nobody says on which terms {bank} is asked for money"
        if self._draining:
            return "this node takes nothing new"
        if not self._keeping.known or self._keeping.trouble:
            return "nothing can be stored now"
        if bank not in self._ready or CORE not in self._ready:
            return f"{bank if bank not in self._ready else 'the core'} cannot be reached now"
        return "too much is waiting" if self._saf.full else ""

    def _is_said(self, order: str) -> bool:
        charge = self._charges.charge(order)
        return charge is None or charge.state in SAYS

    def _deadline_us(self, entry_id: str, now: Now) -> int:
        entry = self._saf.entry(entry_id)
        date = entry.request.date if entry is not None else 20_000_101
        return self._policy.deadline_us(date, now.wall_us, self._zone)

    def _on_standing(self, row: Charge | Taken) -> None:
        """Say how an order stands that could not be begun; where it is ours by now, its askers wait on."""
        answer = _instead(self._charges.on_refused(row.order), row)
        waiting = [asker for asker, said in self._answers.items() if said.get("order") == row.order]
        for asker in waiting:
            del self._answers[asker]
        if isinstance(answer, RefusedError) or self._charges.charge(row.order) is None:
            waiting += self._askers.pop(row.order, [])
        for asker in waiting:
            self._say(asker, answer)

    def _release(self, released: list[tuple[str, str, int]], now: Now) -> None:
        for whose, what, version in released:
            if whose == lanes.WHO:
                self._saf.on_stored(what, version, now)
            elif whose == charges.WHO:
                self._charges.on_stored(what, version, now)
            elif whose == LATE:
                self._effects.append(Send((LATE, what), [Reply(Result.APPROVED)]))
            elif what in self._answers:
                self._say(what, self._answers.pop(what))

    def _say_when_stored(self, asker: str, answer: dict[str, Any]) -> None:
        self._answers[asker] = answer
        self._keeping.add([Renew()], [(ASKER, asker, 0)])

    def _say(self, asker: str, answer: Any) -> None:
        self._effects.append(Send((ASKER, asker), [answer]))


def shown(charge: Charge) -> dict[str, Any]:
    """Return a charge as its askers and operators see it."""
    return {
        "order": charge.order,
        "key": charge.key.text,
        "bank": charge.bank,
        "phone": charge.phone,
        "amount_fen": charge.amount_fen,
        "state": charge.state.value,
        "result": charge.result.name.lower() if charge.result is not None else "",
        "reason": charge.reason,
        "work_order": charge.work_order,
        "policy": charge.policy,
        "made_us": charge.made_us,
        "ended_us": charge.ended_us,
    }


def _instead(own: Charge | None, stands: Charge | Taken) -> dict[str, Any] | RefusedError:
    """Return what is said of an order for which no charge could be begun."""
    order = stands.order
    if isinstance(stands, Taken):
        ended = f"order {order} was charged under {stands.key}, which has ended long ago"
        return RefusedError(ended if stands.key else f"order {order} is {stands.node}'s; ask that node")
    if own is not None and own.key == stands.key:
        return RefusedError(f"the serial of {stands.key.text} was used before; ask again")
    wanted = Wanted(order, own.bank, own.phone, own.amount_fen) if own is not None else None
    if wanted is not None and _differs(stands, wanted):
        return RefusedError(f"order {order} is another charge: {stands.key.text}")
    return shown(stands)


def _cannot_be_credited(wanted: Wanted) -> str:
    """Return why the core could neither credit nor block this, or nothing: it would never be settled."""
    for name, text in (("phone", wanted.phone), ("number", wanted.number or "-")):
        if not text or len(text) > CORE_CHARS_MAX or not text.isprintable():
            return f"{name} is no text that the core takes"
    return "" if 0 < wanted.amount_fen <= CORE_FEN_MAX else "amount_fen is no amount that the core takes"


def _differs(charge: Charge, wanted: Wanted) -> bool:
    return (charge.bank, charge.phone, charge.amount_fen) != (wanted.bank, wanted.phone, wanted.amount_fen)
