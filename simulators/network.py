"""A payment network as a pure model: its cardholders' money, and what becomes of every charge of ours.

Why here: requests that we send are proved against a network that keeps books of its own, answers late, loses
answers, never answers, and takes reversals, refunds and advices idempotently.  It knows no wire format: a
line (`network_line`) brings it requests as the network reads them.  It reads no clock and draws from the
randomness that it is given.

    a charge      taken ─▶ reversed │ refunded            where it holds:  held ─▶ taken │ reversed │ lapsed
    no charge     declined, or blocked by a reversal that came before it
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from qianzhi.domain.requests import Key, Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.runtime.now import SECOND_US, Now
from simulators.scenario import Chance

OPENING_FEN = 1_000_000  # what a cardholder has who was never heard of
HOLD_US = 600 * SECOND_US


_BACK = frozenset({Kind.CHARGE_REVERSAL, Kind.CHARGE_REFUND})


class Fate(StrEnum):
    """What becomes of one message."""

    ANSWERED = "answered"
    DECLINED = "declined"
    BUSY = "busy"  # not carried out, and it says so
    LATE = "late"  # carried out, and answered when nobody waits any more
    SILENT = "silent"  # carried out, and never answered: the answer is lost
    LOST = "lost"  # never seen

    # Of a charge alone: carried out and silent, and so is the first message about it.
    TWICE_SILENT = "twice_silent"


class State(StrEnum):
    """Where a charge stands in the network's books."""

    TAKEN = "taken"
    HELD = "held"
    DECLINED = "declined"
    REVERSED = "reversed"
    REFUNDED = "refunded"
    LAPSED = "lapsed"
    BLOCKED = "blocked"


# The last two digits of an amount that ask for a fate, so that a test or a person can have each one.
AMOUNTS = {
    51: Fate.DECLINED,
    68: Fate.LATE,
    95: Fate.TWICE_SILENT,
    96: Fate.BUSY,
    98: Fate.SILENT,
    99: Fate.LOST,
}


class Plan(NamedTuple):
    """How often, in a thousand messages, each fate comes by chance, and how late a late answer is."""

    declined: int = 0
    late: int = 0
    silent: int = 0
    lost: int = 0
    late_us: int = 60 * SECOND_US
    by_amount: bool = True
    odd: int = 0  # of reversals and refunds: answered with what makes no sense


@dataclass(slots=True)
class Charge:
    """One charge in the network's books."""

    phone: str
    amount_fen: int
    state: State
    number: str
    result: Result
    at_us: int
    quiet: int = 0  # messages about it that will hear nothing


class Told(NamedTuple):
    """An answer, and in how many microseconds it goes out."""

    reply: Reply
    in_us: int = 0


class Network:
    """One network's books; `holds` says that a charge only puts money aside until an advice takes it."""

    def __init__(
        self, chance: Chance, plan: Plan | None = None, *, holds: bool = False, hold_us: int = HOLD_US
    ) -> None:
        self._chance = chance
        self.plan = plan or Plan()
        self._holds = holds
        self._hold_us = hold_us
        self.charges: dict[Key, Charge] = {}
        self._spent: dict[str, int] = {}
        self._numbers = 0
        self.fates: dict[Fate, int] = {}
        self.repeats = 0  # messages that were marked as a repeat

    # What can be asked of its books

    def taken_fen(self) -> int:
        """Return what its cardholders have paid to us, in all."""
        return sum(each.amount_fen for each in self.charges.values() if each.state is State.TAKEN)

    def held_fen(self) -> int:
        """Return what is put aside for us and not taken."""
        return sum(each.amount_fen for each in self.charges.values() if each.state is State.HELD)

    def left_fen(self, phone: str) -> int:
        """Return what a cardholder has left."""
        return OPENING_FEN - self._spent.get(phone, 0)

    def balanced(self) -> bool:
        """Tell whether what its cardholders are short of is what was taken and put aside."""
        return sum(self._spent.values()) == self.taken_fen() + self.held_fen()

    @property
    def deadline(self) -> int | None:
        """When the next hold lapses (wall, in microseconds), or None."""
        held = [each.at_us for each in self.charges.values() if each.state is State.HELD]
        return min(held) + self._hold_us if held else None

    def on_time(self, now: Now) -> list[Key]:
        """Let holds lapse that nothing has taken; return their keys."""
        lapsed = [
            key
            for key, each in self.charges.items()
            if each.state is State.HELD and each.at_us + self._hold_us <= now.wall_us
        ]
        for key in lapsed:
            self._give_back(self.charges[key], State.LAPSED)
        return lapsed

    def restore(self, rows: Iterable[tuple[Key, Charge]]) -> None:
        """Take up books that were kept."""
        for key, charge in rows:
            self.charges[key] = charge
            self._numbers += 1
            if charge.state in (State.TAKEN, State.HELD):
                self._spent[charge.phone] = self._spent.get(charge.phone, 0) + charge.amount_fen

    # Requests

    def carry_out(self, asked: Request, now: Now) -> Told | None:
        """Do what one message asks; return the answer, or None where there is none."""
        self.repeats += asked.repeat
        if self.plan.odd and asked.kind in _BACK and self._chance.randrange(0, 1_000) < self.plan.odd:
            return Told(Reply(Result.FORMAT))
        fate = self._fate(asked)
        self.fates[fate] = self.fates.get(fate, 0) + 1
        if fate is Fate.LOST:
            return None
        if fate is Fate.BUSY:
            return Told(Reply(Result.BUSY))
        reply = HANDLERS[asked.kind](self, asked, fate, now)
        if fate is Fate.TWICE_SILENT and asked.key in self.charges:
            self.charges[asked.key].quiet = 1
        if fate in (Fate.SILENT, Fate.TWICE_SILENT):
            return None
        return Told(reply, self.plan.late_us if fate is Fate.LATE else 0)

    def book(self, asked: Request, now: Now) -> Reply:
        """Do what a line of a day-end file asks: a file is neither lost on the way nor answered late."""
        return HANDLERS[asked.kind](self, asked, Fate.ANSWERED, now)

    def _fate(self, asked: Request) -> Fate:
        charge = self.charges.get(asked.key)
        if asked.kind is not Kind.CHARGE and charge is not None and charge.quiet:
            charge.quiet -= 1
            return Fate.SILENT
        if asked.kind is Kind.CHARGE and self.plan.by_amount and asked.amount_fen % 100 in AMOUNTS:
            return AMOUNTS[asked.amount_fen % 100]
        drawn, plan = self._chance.randrange(0, 1_000), self.plan
        chances = [(Fate.SILENT, plan.silent), (Fate.LOST, plan.lost)]
        if asked.kind is Kind.CHARGE:
            chances += [(Fate.DECLINED, plan.declined), (Fate.LATE, plan.late)]
        for fate, share in chances:
            if drawn < share:
                return fate
            drawn -= share
        return Fate.ANSWERED

    def _charge(self, asked: Request, fate: Fate, now: Now) -> Reply:
        charge = self.charges.get(asked.key)
        if charge is not None:
            return self._charge_again(asked, charge)
        declined = fate is Fate.DECLINED or self.left_fen(asked.phone) < asked.amount_fen
        result = Result.OVER_QUOTA if declined else Result.APPROVED
        state = State.DECLINED if declined else State.HELD if self._holds else State.TAKEN
        charge = self._open(asked, state, result, now)
        if not declined:
            self._spent[asked.phone] = self._spent.get(asked.phone, 0) + asked.amount_fen
        return self._reply(charge, result)

    def _charge_again(self, asked: Request, charge: Charge) -> Reply:
        """Answer a repeat as before; what became of the charge meanwhile is told."""
        if charge.state is State.BLOCKED:
            return Reply(Result.BLOCKED)
        if (charge.phone, charge.amount_fen) != (asked.phone, asked.amount_fen):
            return Reply(Result.DUPLICATE_SERIAL)
        if charge.state in (State.REVERSED, State.REFUNDED, State.LAPSED):
            return self._reply(charge, Result.REVERSED)
        return self._reply(charge, charge.result)

    def _reversal(self, asked: Request, _: Fate, now: Now) -> Reply:
        charge = self.charges.get(asked.key)
        if charge is None:
            self._open(asked, State.BLOCKED, Result.BLOCKED, now)
            return Reply(Result.NOT_FOUND)
        if charge.state is State.BLOCKED:
            return Reply(Result.NOT_FOUND)
        if charge.state is State.DECLINED:
            return Reply(Result.ORIGINAL_REFUSED)
        if charge.amount_fen != asked.amount_fen:
            return Reply(Result.AMOUNT_DIFFERS)
        if charge.state in (State.TAKEN, State.HELD):
            back = State.REFUNDED if asked.kind is Kind.CHARGE_REFUND else State.REVERSED
            self._give_back(charge, back)
        return self._reply(charge, Result.APPROVED)

    def _advice(self, asked: Request, _: Fate, now: Now) -> Reply:
        charge = self.charges.get(asked.key)
        if charge is None:
            return Reply(Result.NOT_FOUND)
        if charge.state is State.LAPSED:  # it was taken from us too early: an advice tells a fact
            self._spent[charge.phone] = self._spent.get(charge.phone, 0) + charge.amount_fen
            charge.state = State.TAKEN
        if charge.state in (State.HELD, State.TAKEN):
            charge.state = State.TAKEN
            return self._reply(charge, Result.APPROVED)
        return Reply(Result.ORIGINAL_REFUSED if charge.state is State.DECLINED else Result.REVERSED)

    def _open(self, asked: Request, state: State, result: Result, now: Now) -> Charge:
        self._numbers += 1
        charge = Charge(asked.phone, asked.amount_fen, state, f"{self._numbers:012d}", result, now.wall_us)
        self.charges[asked.key] = charge
        return charge

    def _give_back(self, charge: Charge, state: State) -> None:
        self._spent[charge.phone] -= charge.amount_fen
        charge.state = state

    def _reply(self, charge: Charge, result: Result) -> Reply:
        return Reply(result, charge.number if result is Result.APPROVED else "", charge.amount_fen)


HANDLERS = {
    Kind.CHARGE: Network._charge,
    Kind.CHARGE_REVERSAL: Network._reversal,
    Kind.CHARGE_REFUND: Network._reversal,
    Kind.ADVICE: Network._advice,
}
