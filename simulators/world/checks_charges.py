"""What we ask networks for, held to their books and to ours: charges, and what is stored to be sent.  Pure.

I5   a charge or an entry that has ended never changes
I8   at the end nothing waits to be sent but what an operator has to end, and that is an open break
I12  what a network has taken = what is credited, or an open break or entry says why not, to the fen
I13  a serial of ours means one message         I14  entries of one account go out in their order
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING, Any

from qianzhi.domain.dates import business_date
from qianzhi.domain.requests import Key
from qianzhi.saf.rows import CHARGE_ENDED, WITH_OPERATOR, Charge, ChargeState, Entry, State
from simulators.network import State as NetworkState
from simulators.world.checks_books import standing, words
from simulators.world.checks_end import Party
from simulators.world.checks_open import Opens
from simulators.world.checks_order import Order
from simulators.world.checks_serials import Serials
from simulators.world.observe import Violation

if TYPE_CHECKING:
    from crm_bridge.memory import Memory


class Charges:
    """Follows the rows that nodes keep."""

    def __init__(self, serials: Serials, order: Order, zone: tzinfo = UTC) -> None:
        self.charges: dict[str, Charge] = {}
        self.entries: dict[str, Entry] = {}
        self._serials = serials
        self._order = order
        self._zone = zone
        self._owners: dict[str, str] = {}  # the node that made an entry
        # Entries that an operator had to look at, or another node took over, keep no order any more.
        self._aside: set[str] = set()

    def kept(self, rows: Iterable[Any], node: str = "") -> None:
        """Take what a node has written; the order of an account is promised within one node's lane."""
        for row in rows:
            if isinstance(row, Entry):
                self._entry(row, node)
            elif isinstance(row, Charge):
                self._charge(row)

    def loaded(self, entries: Iterable[Entry], node: str) -> None:
        """Take what a node has read: who made it may be dead, or may live again and make new ones."""
        for entry in entries:
            owner = self._owners.get(entry.id, node)
            if owner != node:
                self._aside.add(entry.id)
                self._order.settled(f"{owner} {entry.destination}".strip(), entry.account, entry.id)

    def _entry(self, entry: Entry, node: str) -> None:
        was = self.entries.get(entry.id)
        self.entries[entry.id] = entry
        key = entry.request.key.text
        self._own_serial(entry)
        if was is not None and was.state is State.SETTLED and entry.state is not State.SETTLED:
            raise Violation("I5", key, f"entry {entry.id} was settled and is {entry.state.value}")
        owner = self._owners.setdefault(entry.id, node)
        lane, account = f"{owner} {entry.destination}".strip(), entry.account
        if entry.state in WITH_OPERATOR or owner != node:
            self._aside.add(entry.id)
            self._order.settled(lane, account, entry.id)
        if entry.state is not State.OPEN:
            self._order.settled(lane, account, entry.id)
        elif entry.id not in self._aside:
            self._order.stored(lane, account, entry.id)
            if entry.tries and (was is None or entry.tries > was.tries):
                self._order.sent(lane, account, entry.id)

    def _own_serial(self, entry: Entry) -> None:
        """Hold the serial of an entry's own message to it: it is of the day on which the entry was made."""
        request = entry.request
        if request.own_serial:
            date = business_date(request.received_us, self._zone)
            self._serials.used(request.space, date, request.own_serial, f"entry {entry.id}")

    def _charge(self, charge: Charge) -> None:
        was = self.charges.get(charge.order)
        self.charges[charge.order] = charge
        if was is not None and was.state in CHARGE_ENDED and charge.state is not was.state:
            says = f"a charge that was {was.state.value} is {charge.state.value}"
            raise Violation("I5", charge.key.text, says)
        meaning = f"charge {charge.order} of {charge.phone}, {charge.amount_fen} fen"
        self._serials.used(charge.space, charge.date, charge.serial, meaning)

    # -- the end

    def compare(self, networks: Sequence[Any], memory: "Memory", opens: Opens) -> None:
        """Compare the networks' books with ours.

        A network that only holds money has taken none: the hold lapses, unless an advice takes it.
        """
        self._ended(memory)
        books = standing(memory)
        known = {one.key: one for one in self.charges.values()}
        numbers = self._numbers()
        for network in networks:
            for key, charge in network.books.charges.items():
                taken_fen = charge.amount_fen if charge.state is NetworkState.TAKEN else 0
                number = numbers.get(key, network.name)
                if opens.explains(key, taken_fen - books[key], charge.phone, number):
                    continue
                views = {
                    "network": f"{network.name}: {charge.state.value}, {charge.amount_fen} fen",
                    "journal": words(memory.journal.get(key)),
                    "node": known[key].state.value if key in known else "no charge",
                    "open": opens.why(key),
                }
                says = f"the network has taken {taken_fen} fen, {books[key]} are credited"
                raise Violation("I12" if taken_fen > books[key] else "I3", key.text, says, **views)

    def _ended(self, memory: "Memory") -> None:
        for entry in self.entries.values():
            if entry.state is State.OPEN:
                raise Violation("I8", entry.request.key.text, f"entry {entry.id} still waits to be sent")
            key = entry.request.key
            rows = (memory.breaks.get(seat) for seat in (key, key._replace(serial=f"{key.serial}:told")))
            one = next(
                (row for row in rows if row is not None and row.kind not in ("refund", "quarantine")), None
            )
            if entry.state is State.MANUAL and entry.moves_money_back and (one is None or not one.open):
                says = f"entry {entry.id} is left to an operator, and no break holds its day open"
                raise Violation("rule 11", entry.request.key.text, says)
        for charge in self.charges.values():
            if charge.state not in CHARGE_ENDED and charge.state is not ChargeState.WAITING:
                raise Violation(
                    "I7", charge.key.text, f"a charge is {charge.state.value} after all has healed"
                )

    def parties(self, networks: Sequence[Any]) -> list[Party]:
        """Return what each network's own record says, for the comparison of customers and totals."""
        found = []
        numbers = self._numbers()
        for network in networks:
            spent: Counter[str] = Counter()
            by_day: Counter[tuple[str, int]] = Counter()
            for key, charge in network.books.charges.items():
                if charge.state is NetworkState.TAKEN:
                    spent[charge.phone] += charge.amount_fen
                    by_day[numbers.get(key, network.name), key.date] += charge.amount_fen
            phones = {key: charge.phone for key, charge in network.books.charges.items()}
            found.append(Party(network.name, (), dict(spent), phones, dict(by_day)))
        return found

    def _numbers(self) -> dict[Key, str]:
        return {one.key: one.bank_number for one in self.charges.values()}
