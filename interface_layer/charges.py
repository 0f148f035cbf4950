"""What the platform asks banks and networks for: money, for credits of its own.  Pure.

A charge is stored under our serial before anything of it goes out, and each step before the next one begins:

    intent ──▶ crediting ──▶ credited
      │ no        │ refused ──────────────▶ refunding
      ▼ answer    ▼ no answer
    timed_out   doubted ── the core's row ─▶ credited │ refunding
      │ the key is blocked
      ├── on_timeout ─────────────────────▶ reversing
      ├── on_late_approval ─▶ waiting ────▶ lapsed │ reversing
      └── none ───────────────────────────▶ unreversed

Whether a charge is credited or taken back is decided by the core's row under its key alone: nothing is taken
back before the core has said that it will not credit.  A state that has ended never changes again, whatever
is answered later.

What was on its way when a node died may have been answered to it: that is no silence of the destination's,
but a failure of ours, so that it is reversed wherever reversals exist.
"""

from datetime import tzinfo
from heapq import heapify, heappop, heappush
from typing import Any

import msgspec

from interface_layer.charge_entries import (
    ANSWER_SLACK_US,
    NOT_TAKEN_BACK,
    blocking,
    break_of,
    charging,
    crediting,
    due_us,
    entries_of,
    intent,
    undoing,
)
from interface_layer.charge_entries import Wanted as Wanted
from qianzhi.domain.dates import business_date
from qianzhi.domain.requests import Kind, Reply
from qianzhi.domain.results import EDGE_RESULTS, Result
from qianzhi.link.events import OutwardTerms
from qianzhi.runtime.effects import Alarm, Count, Effects
from qianzhi.runtime.now import SECOND_US, Now
from qianzhi.saf.keeping import Errand, Keeping
from qianzhi.saf.lanes import Saf
from qianzhi.saf.policies import Policy
from qianzhi.saf.rows import CHARGE_ENDED, CORE, SLOTS, Charge, ChargeState, Entry, Saved, Serials

WHO = "charge"  # whose a waiting thing of `Keeping` is; which one says its key
CHARGES = "qianzhi_charges_total"
CORE_US = 10 * SECOND_US  # of one request to the core
CREDIT_US = 60 * SECOND_US  # within which a credit that the core did not take is tried again
AGAIN_US = SECOND_US

_changed = msgspec.structs.replace
_NO_ANSWER = frozenset({Result.UNKNOWN, Result.IN_PROCESS})


class Charges:
    """The charges that this node owns."""

    def __init__(self, keeping: Keeping, saf: Saf, policy: Policy, zone: tzinfo) -> None:
        """No serial is given before what is stored was loaded, with this node's slot of them."""
        self._slot = SLOTS
        self._keeping = keeping
        self._saf = saf
        self._policy = policy
        self._zone = zone
        self._charges: dict[str, Charge] = {}
        self._by_key: dict[str, str] = {}
        self._outrun: dict[str, Charge] = {}  # by order: begun here while it was taken over from another node
        self._serials: dict[tuple[str, int], int] = {}
        self._times: list[tuple[int, str, int]] = []  # wall: when something is due, order, version
        self._agains: list[tuple[int, str, int]] = []  # monotonic: when the core is asked again
        self._errands: list[Errand] = []
        self._effects: Effects = []

    @property
    def unsettled(self) -> int:
        """How many charges are under way, but for those that only wait for a late answer."""
        return sum(
            one.state not in CHARGE_ENDED and one.state is not ChargeState.WAITING
            for one in self._charges.values()
        )

    def deadline(self, now: Now) -> int | None:
        """When `on_time` is due next (monotonic)."""
        while self._times and self._stale(self._times[0]):
            heappop(self._times)
        dues = [now.mono_us + max(0, self._times[0][0] - now.wall_us)] if self._times else []
        dues += [self._agains[0][0]] if self._agains else []
        return min(dues, default=None)

    def ask(self, wanted: Wanted, terms: OutwardTerms, now: Now) -> Charge | None:
        """Begin a charge; returns None where no serial is left today."""
        date = business_date(now.wall_us, self._zone)
        serial = self._serial(terms.space, date, terms.serial_digits)
        if serial is None:
            return None
        charge = intent(wanted, terms, date, serial, now)
        self._know(charge)
        self._keeping.add([charge], [(WHO, charge.key.text, charge.version)])
        return charge

    def charge(self, order: str) -> Charge | None:
        """Return a charge that is known here."""
        return self._charges.get(order)

    def drive(self, charge: Charge, now: Now) -> None:
        """Go on now with what waits for its next try, for somebody asks again."""
        for entry_id in entries_of(charge):
            self._saf.hurry(entry_id, now)
        rest = [row for row in self._agains if row[1:] != (charge.order, charge.version)]
        if len(rest) < len(self._agains):
            self._agains = rest
            heapify(rest)
            self._act(charge, now)

    def charges(self) -> list[Charge]:
        """Return all that are known here, in the order of their making."""
        return list(self._charges.values())

    def load(self, saved: Saved, now: Now) -> None:
        """Take up what is stored: what was on its way has become doubtful."""
        self._slot = saved.slot
        for row in saved.serials:
            if row.slot == self._slot:
                key = (row.space, row.date)
                self._serials[key] = max(row.next, self._serials.get(key, 1))
        for charge in saved.charges:
            begun = self._charges.get(charge.order)
            if begun is not None and begun.key == charge.key:
                continue
            if begun is not None:  # its write comes too late: the order is charged already
                self._outrun[charge.order] = begun
                self._by_key.pop(begun.key.text, None)
            self._know(charge)
            self._resume(charge, now)

    def drop_all(self) -> None:
        """Forget everything: it is another's now, or will be read anew."""
        self._charges.clear()
        self._by_key.clear()
        self._outrun.clear()
        self._times.clear()
        self._agains.clear()
        self._errands.clear()

    def on_refused(self, order: str) -> Charge | None:
        """Forget a charge that could not be stored: its order or its serial is another's; return it."""
        if order in self._outrun:  # that other one is known here by now, and stays
            return self._outrun.pop(order)
        charge = self._charges.pop(order, None)
        if charge is not None:
            self._by_key.pop(charge.key.text, None)
        return charge

    def on_stored(self, key: str, version: int, now: Now) -> None:
        """Do what rests on a charge's state; its key names it, as its order may have been begun anew."""
        charge = self._charges.get(self._by_key.get(key, ""))
        if charge is not None and charge.version == version:
            self._act(charge, now)

    def on_outcome(self, ticket: tuple[str, str, int], reply: Reply | None, taken: bool, now: Now) -> None:
        """Take an answer to an errand; None with `taken`: it was sent, and nothing came back."""
        charge = self._charges.get(self._by_key.get(ticket[1], ""))
        if charge is None or charge.version != ticket[2]:
            return  # it has moved on meanwhile
        state = charge.state
        if state is ChargeState.INTENT:
            self._on_charged(charge, reply, taken, now)
        elif state is ChargeState.CREDITING:
            self._on_credited(charge, reply, taken, now)
        elif state in (ChargeState.TIMED_OUT, ChargeState.DOUBTED):
            self._on_blocked(charge, reply, now)

    def on_late(self, key: str, approved: bool, now: Now) -> bool:
        """Note an answer that came too late; returns whether the charge is known here."""
        charge = self._charges.get(self._by_key.get(key, ""))
        if charge is None:
            return False
        self._count(charge, "late_approval" if approved else "late_refusal")
        if not approved:
            if charge.state is ChargeState.WAITING:
                self._end(charge, ChargeState.DECLINED, now)
        elif charge.state is ChargeState.WAITING:
            self._reverse(charge, "late", now)
        elif charge.state in (ChargeState.INTENT, ChargeState.TIMED_OUT):
            self._charges[charge.order] = charge = _changed(charge, late=True)
            if charge.state is ChargeState.TIMED_OUT:
                self._move(charge, ChargeState.TIMED_OUT, now)
        elif charge.state in NOT_TAKEN_BACK and not charge.late:
            charge = self._move(charge, charge.state, now, late=True)
            if charge.state is not ChargeState.REVERSING or charge.vain:
                self._tell_break(charge, "late", now)
        return True

    def on_vain(self, key: str, now: Now) -> None:
        """A reversal found nothing: what is approved behind it, or was before, nobody has taken back."""
        charge = self._charges.get(self._by_key.get(key, ""))
        if charge is not None and not charge.vain:
            charge = self._move(charge, charge.state, now, vain=True)
            if charge.late:
                self._tell_break(charge, "late", now)

    def on_front_lost(self, bank: str) -> None:
        """Remember that a late answer may have been missed."""
        for order, charge in self._charges.items():
            if charge.bank == bank and charge.state in (ChargeState.TIMED_OUT, ChargeState.WAITING):
                self._charges[order] = _changed(charge, blind=True)

    def on_time(self, now: Now) -> None:
        """Ask the core again, and end what has waited long enough."""
        while self._agains and self._agains[0][0] <= now.mono_us:
            _, order, version = heappop(self._agains)
            charge = self._charges.get(order)
            if charge is not None and charge.version == version:
                self._act(charge, now)
        while self._times and self._times[0][0] <= now.wall_us:
            _, order, version = row = heappop(self._times)
            if not self._stale(row):
                self._on_due(self._charges[order], now)

    def take_errands(self) -> list[Errand]:
        """Return what may be asked since the last call."""
        errands, self._errands = self._errands, []
        return errands

    def take_effects(self) -> Effects:
        """Return counts and alarms since the last call."""
        effects, self._effects = self._effects, []
        return effects

    def _on_charged(self, charge: Charge, reply: Reply | None, taken: bool, now: Now) -> None:
        result = reply.result if reply is not None else None
        if result is Result.APPROVED:
            self._move(charge, ChargeState.CREDITING, now, until_us=now.wall_us + CREDIT_US, result=result)
        elif result is None and not taken:
            self._end(charge, ChargeState.DECLINED, now, result=Result.UNAVAILABLE)
        elif result is None:
            self._move(charge, ChargeState.TIMED_OUT, now, reason="house", blind=True)
        elif result in _NO_ANSWER:
            reason = reply.name if reply is not None and reply.name else "timeout"
            self._move(charge, ChargeState.TIMED_OUT, now, result=result, reason=reason)
        else:
            self._end(charge, ChargeState.DECLINED, now, result=result)

    def _on_credited(self, charge: Charge, reply: Reply | None, taken: bool, now: Now) -> None:
        if reply is None and not taken and now.wall_us < charge.until_us:
            self._again(charge, now)
        elif reply is None or reply.result in _NO_ANSWER:
            self._move(charge, ChargeState.DOUBTED, now)
        elif reply.result is Result.APPROVED:
            self._credited(charge, reply.order, now)
        elif reply.result is Result.DUPLICATE_SERIAL:
            self._unreversed(charge, now, reply.result)
        else:
            self._refund(charge, reply.result, now)

    def _on_blocked(self, charge: Charge, reply: Reply | None, now: Now) -> None:
        """The core has said what stands under the key: that decides between credit and reversal."""
        if reply is None or reply.result in _NO_ANSWER or reply.result in EDGE_RESULTS:
            self._again(charge, now)
        elif reply.result is Result.APPROVED:
            self._credited(charge, reply.order, now)
        elif reply.result is Result.DUPLICATE_SERIAL:
            self._unreversed(charge, now, reply.result)
        elif charge.state is ChargeState.DOUBTED:
            self._refund(charge, reply.result, now)
        elif not charge.reverses or charge.policy == "none":
            self._unreversed(charge, now)
        elif charge.policy == "on_timeout" or charge.reason != "timeout":  # no mere silence
            self._reverse(charge, charge.reason, now)
        elif charge.late:
            self._reverse(charge, "late", now)
        else:
            until_us = max(now.wall_us, charge.made_us + charge.late_seconds * SECOND_US)
            self._move(charge, ChargeState.WAITING, now, until_us=until_us)

    def _on_due(self, charge: Charge, now: Now) -> None:
        if charge.state is ChargeState.WAITING:
            if charge.blind:
                self._reverse(charge, "house", now)
            else:
                self._end(charge, ChargeState.LAPSED, now)
        elif charge.ended_us:
            self._charges.pop(charge.order, None)
            self._by_key.pop(charge.key.text, None)

    def _refund(self, charge: Charge, result: Result, now: Now) -> None:
        """Charged, and not credited: it goes back, or stands as a break where it cannot."""
        if charge.refunds:
            self._undo(charge, Kind.CHARGE_REFUND, ChargeState.REFUNDING, "refused", now, result)
        elif charge.reverses:
            self._undo(charge, Kind.CHARGE_REVERSAL, ChargeState.REVERSING, "refused", now, result)
        else:
            self._unreversed(charge, now, result)

    def _reverse(self, charge: Charge, reason: str, now: Now) -> None:
        self._undo(charge, Kind.CHARGE_REVERSAL, ChargeState.REVERSING, reason, now, charge.result)

    def _undo(
        self, charge: Charge, kind: Kind, state: ChargeState, reason: str, now: Now, result: Result | None
    ) -> None:
        """End a charge together with the entry that takes it back."""
        entry = self._entry_about(charge, kind, reason, now)
        self._end(charge, state, now, reason=reason, result=result)
        self._saf.put([entry], now)

    def _credited(self, charge: Charge, work_order: str, now: Now) -> None:
        """End a charge whose money stands; where it was only put aside, an advice takes it."""
        entries = [self._entry_about(charge, Kind.ADVICE, "", now)] if charge.advises else []
        self._end(charge, ChargeState.CREDITED, now, work_order=work_order)
        self._saf.put(entries, now)

    def _entry_about(self, charge: Charge, kind: Kind, reason: str, now: Now) -> Entry:
        """Return an entry about a charge, with a serial and a deadline of its own."""
        date = business_date(now.wall_us, self._zone)
        own = self._serial(charge.space, date, len(charge.serial)) or charge.serial
        deadline_us = self._policy.deadline_us(charge.date, now.wall_us, self._zone)
        return undoing(charge, kind, reason, own, deadline_us, self._saf.next_number(now), now)

    def _unreversed(self, charge: Charge, now: Now, result: Result | None = None) -> None:
        """End a charge as an open break: nobody can take it back, or its key is another charge's."""
        self._end(charge, ChargeState.UNREVERSED, now, result=charge.result if result is None else result)
        self._tell_break(charge, "unreversed", now)

    def _tell_break(self, charge: Charge, reason: str, now: Now) -> None:
        self._effects.append(Alarm(f"charge_{reason}", {"order": charge.order, "key": charge.key.text}))
        entry: Entry = break_of(charge, reason, self._saf.next_number(now), now)
        self._saf.put([entry], now)

    def _move(self, charge: Charge, state: ChargeState, now: Now, **changes: Any) -> Charge:
        """Change a charge, and let it wait until that is stored."""
        moved = _changed(charge, state=state, version=charge.version + 1, **changes)
        self._charges[moved.order] = moved
        self._keeping.add([moved], [(WHO, moved.key.text, moved.version)])
        if state is ChargeState.WAITING or moved.ended_us:
            heappush(self._times, (due_us(moved), moved.order, moved.version))
        return moved

    def _end(self, charge: Charge, state: ChargeState, now: Now, **changes: Any) -> None:
        self._move(charge, state, now, ended_us=now.wall_us, **changes)
        self._count(charge, state.value)

    def _act(self, charge: Charge, now: Now) -> None:
        """Ask what a stored state asks for; called again while the core gives no answer."""
        ticket = (WHO, charge.key.text, charge.version)
        if not self._keeping.holds(now):
            self._again(charge, now)
        elif charge.state is ChargeState.INTENT:
            left_us = charge.until_us - now.wall_us
            if left_us <= ANSWER_SLACK_US:  # it took too long to store, and nothing has gone out
                self._end(charge, ChargeState.DECLINED, now, result=Result.UNAVAILABLE)
            else:
                self._errands.append(Errand(ticket, charge.bank, charging(charge), now.mono_us + left_us))
        elif charge.state is ChargeState.CREDITING:
            self._errands.append(Errand(ticket, CORE, crediting(charge), now.mono_us + CORE_US))
        elif charge.state in (ChargeState.TIMED_OUT, ChargeState.DOUBTED):
            self._errands.append(Errand(ticket, CORE, blocking(charge), now.mono_us + CORE_US))

    def _again(self, charge: Charge, now: Now) -> None:
        heappush(self._agains, (now.mono_us + AGAIN_US, charge.order, charge.version))

    def _resume(self, charge: Charge, now: Now) -> None:
        """Go on with a charge of a former life, or of a dead node."""
        if charge.state is ChargeState.INTENT:
            self._move(charge, ChargeState.TIMED_OUT, now, reason="house", blind=True)
        elif charge.state is ChargeState.CREDITING:
            self._move(charge, ChargeState.DOUBTED, now)
        elif charge.state in (ChargeState.TIMED_OUT, ChargeState.WAITING):
            self._move(charge, charge.state, now, blind=True)
        elif charge.ended_us:
            heappush(self._times, (due_us(charge), charge.order, charge.version))
        else:
            self._again(charge, now)

    def _stale(self, row: tuple[int, str, int]) -> bool:
        charge = self._charges.get(row[1])
        return charge is None or charge.version != row[2]

    def _know(self, charge: Charge) -> None:
        self._charges[charge.order] = charge
        self._by_key[charge.key.text] = charge.order

    def _serial(self, space: str, date: int, digits: int) -> str | None:
        """Take the next serial of this node's slot; what is used is written with what uses it."""
        number = self._serials.get((space, date), 1)
        serial = str(number * SLOTS + self._slot).zfill(digits)
        if len(serial) > digits or self._slot >= SLOTS:
            return None
        self._serials[space, date] = number + 1
        self._keeping.add([Serials(space, date, self._slot, number + 1)])
        return serial

    def _count(self, charge: Charge, what: str) -> None:
        self._effects.append(Count(CHARGES, (charge.bank, what)))
