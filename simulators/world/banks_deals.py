"""The serials of a simulated bank: what it keeps about each, and how it draws a new one.  Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from qianzhi.domain.dates import business_date
from qianzhi.domain.requests import Key, Kind
from qianzhi.runtime.now import SECOND_US
from simulators.plans import Identity
from simulators.record import Heard, Record
from simulators.scenario import Chance, Step
from simulators.world.customers import People
from simulators.world.habits import ACTIONS, Habit, Move

DAY_US = 86_400 * SECOND_US
LATEST = 8  # so many of the latest serials may be met by the bank's other number
_PLAIN = frozenset({"recharge", "repeat", "shared"})  # whose serials another number may meet
_REFUSED = frozenset({"unknown_phone", "reversal_of_refused"})
_PAYS = frozenset({"pay", "pay_changed"})


@dataclass(slots=True, eq=False)
class Deal:
    """One serial of the bank; `at` is the next move of its script, its record's `round` grows with messages.

    `settled` says that nothing is waited for, `done` that nothing more will be sent.
    """

    record: Record
    moves: tuple[Move, ...] = ()
    at: int = 0
    line: int = 0
    settled: bool = False
    done: bool = False
    unknown: bool = False  # whether the bank ever gave up waiting for an answer
    met: bool = False  # whether the bank's other number has used its serial as well
    undoing: bool = False  # whether a reversal is out, so that nothing but its answer counts
    shut: bool = False  # whether a reversal heard that its date is closed: what is left is for people


class Sent(NamedTuple):
    """One message that was put on the wire: whose it is and what it asks."""

    deal: Deal
    step: Step


class HeardAt(NamedTuple):
    """One answer as the bank read it; `final` tells whether it ends what was asked."""

    bank: str
    deal: Deal
    step: Step
    heard: Heard
    final: bool


class Deals:
    """Draws the deals of one bank and keeps them, oldest first."""

    def __init__(
        self,
        identity: Identity,
        habit: Habit,
        people: People,
        dice: Chance,
        lines: int,
        serial: Callable[[int], str],
    ) -> None:
        """`serial` gives the next serial as the dialect writes it, for a business date."""
        self.all: list[Deal] = []
        self._identity = identity
        self._people = people
        self._dice = dice
        self._lines = lines
        self._serial = serial
        self._numbers: Sequence[str] = identity.numbers if habit.shares_serials else identity.numbers[:1]

    def draw(self, action: str, wall_us: int) -> Deal:
        """Begin one; `wall_us` is the bank's own time."""
        people, pick = self._people, self._dice.randrange
        met = self._to_be_met() if action == "shared" else None
        stamp_us = wall_us + (DAY_US if action == "two_days_ahead" else 0)
        phone = people.phones[pick(0, len(people.phones))]
        amount_fen = people.amounts_fen[pick(0, len(people.amounts_fen))]
        if action in _REFUSED:
            phone = people.unknown
        elif action == "closed_phone":
            phone = people.closed[pick(0, len(people.closed))]
        elif action == "zero_amount":
            amount_fen = 0
        elif action == "absurd_amount":
            amount_fen = people.absurd_fen
        record = Record(
            key=self.new_key(stamp_us) if met is None else met.record.key,
            kind=Kind.OWED if action == "owed" else Kind.PAY if action in _PAYS else Kind.RECHARGE,
            action=action,
            customer=0,
            phone=phone,
            bank_number=self._numbers[0] if met is None else self._numbers[1],
            amount_fen=amount_fen,
            stamp_us=stamp_us if met is None else met.record.stamp_us,
        )
        deal = Deal(record, ACTIONS[action], line=pick(0, self._lines))
        self.all.append(deal)
        return deal

    def new_key(self, stamp_us: int) -> Key:
        """Return a key that was not used before, of the date that the bank has then."""
        date = business_date(stamp_us, self._identity.zone)
        return Key(self._identity.space, date, self._serial(date))

    def _to_be_met(self) -> Deal | None:
        """Return one of the latest deals whose serial the other number may meet, once."""
        if len(self._numbers) < 2:
            return None
        found = [
            deal
            for deal in self.all[-LATEST:]
            if not deal.met and deal.record.action in _PLAIN and deal.record.bank_number == self._numbers[0]
        ]
        if not found:
            return None
        deal = found[self._dice.randrange(0, len(found))]
        deal.met = True
        return deal
