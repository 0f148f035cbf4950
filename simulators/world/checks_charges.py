"""What we ask networks for, held to their books and to ours: charges, and what is stored to be sent.  Pure.

I5   a charge or an entry that has ended never changes
I8   at the end nothing waits to be sent but what an operator has to end, and that is an open break
I12  what a network has taken = what is credited, or an open break, entry, or wait says why not
I13  a serial of ours means one charge          I14  entries of one account go out in their order
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from qianzhi.domain.requests import Key
from qianzhi.saf.rows import CHARGE_ENDED, WITH_OPERATOR, Charge, ChargeState, Entry, State
from simulators.network import State as NetworkState
from simulators.world.checks_books import standing, words
from simulators.world.checks_end import Party
from simulators.world.checks_order import Order, Serials
from simulators.world.observe import Violation

if TYPE_CHECKING:
    from crm_bridge.memory import Memory

_TAKEN = frozenset({NetworkState.TAKEN, NetworkState.HELD})
# Ends and waits that the schemes' own rules leave with the network: whoever clears the day finds them.
_THEIRS = frozenset({ChargeState.WAITING, ChargeState.LAPSED, ChargeState.UNREVERSED})


class Charges:
    """Follows the rows that nodes keep."""

    def __init__(self, serials: Serials, order: Order) -> None:
        self.charges: dict[str, Charge] = {}
        self.entries: dict[str, Entry] = {}
        self._serials = serials
        self._order = order
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

    def _entry(self, entry: Entry, node: str) -> None:
        was = self.entries.get(entry.id)
        self.entries[entry.id] = entry
        key = entry.request.key.text
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

    def _charge(self, charge: Charge) -> None:
        was = self.charges.get(charge.order)
        self.charges[charge.order] = charge
        if was is not None and was.state in CHARGE_ENDED and charge.state is not was.state:
            says = f"a charge that was {was.state.value} is {charge.state.value}"
            raise Violation("I5", charge.key.text, says)
        meaning = (charge.order, charge.phone, charge.amount_fen)
        self._serials.used(charge.space, charge.date, charge.serial, meaning)

    # -- the end

    def open_keys(self) -> set[Key]:
        """Return the keys about which somebody still has something to do, or the network alone has."""
        keys = {one.request.key for one in self.entries.values() if one.state is not State.SETTLED}
        return keys | {one.key for one in self.charges.values() if one.state in _THEIRS}

    def compare(self, networks: Sequence[Any], memory: "Memory") -> None:
        """Compare the networks' books with ours."""
        self._ended(memory)
        books = standing(memory)
        breaks = {key for key, one in memory.breaks.items() if one.open}
        open_keys = self.open_keys() | breaks
        known = {one.key: one for one in self.charges.values()}
        for network in networks:
            for key, charge in network.books.charges.items():
                taken_fen = charge.amount_fen if charge.state in _TAKEN else 0
                if taken_fen == books[key] or key in open_keys:
                    continue
                views = {
                    "network": f"{network.name}: {charge.state.value}, {charge.amount_fen} fen",
                    "journal": words(memory.journal.get(key)),
                    "node": known[key].state.value if key in known else "no charge",
                }
                says = f"the network has taken {taken_fen} fen, {books[key]} are credited"
                raise Violation("I12" if taken_fen > books[key] else "I3", key.text, says, **views)

    def _ended(self, memory: "Memory") -> None:
        for entry in self.entries.values():
            if entry.state is State.OPEN:
                raise Violation("I8", entry.request.key.text, f"entry {entry.id} still waits to be sent")
            one = memory.breaks.get(entry.request.key)
            if entry.state is State.MANUAL and entry.moves_money_back and (one is None or not one.open):
                says = f"entry {entry.id} is left to an operator, and no break holds its day open"
                raise Violation("rule 11", entry.request.key.text, says)
        for charge in self.charges.values():
            if charge.state not in CHARGE_ENDED and charge.state is not ChargeState.WAITING:
                raise Violation(
                    "I7", charge.key.text, f"a charge is {charge.state.value} after all has healed"
                )

    def parties(self, networks: Sequence[Any], memory: "Memory") -> list[Party]:
        """Return what each network's own record says, for the comparison of customers and totals."""
        found = []
        open_keys = self.open_keys()
        for network in networks:
            spent: Counter[str] = Counter()
            by_number: Counter[str] = Counter()
            for key, charge in network.books.charges.items():
                if charge.state in _TAKEN:
                    spent[charge.phone] += charge.amount_fen
                    row = memory.journal.get(key)
                    if row is not None or key not in open_keys:
                        number = row.bank_number if row is not None else network.name
                        by_number[number] += charge.amount_fen
            phones = {key: charge.phone for key, charge in network.books.charges.items()}
            found.append(Party(network.name, (), dict(spent), phones, dict(by_number)))
        return found
