"""The house's own people on the stage: operators who act in pairs, and whoever asks a network for money."""

from functools import partial
from typing import Any

from crm_bridge.operators.acts import ActKind, Order
from crm_bridge.operators.house import request_of
from interface_layer.charges import Wanted
from qianzhi.domain.requests import Key, Kind, Reply, Request
from qianzhi.saf.rows import Entry
from simulators.network import Charge
from simulators.network import Plan as Fates
from simulators.world.banks_house import CHECKER, MAKER, PASSWORD
from simulators.world.population import people_of

TODAY = 20260702


class House:
    """Who asks the core and the networks; `cardholder` is whose money is asked for."""

    def __init__(self, site: Any) -> None:
        self._site, self._world = site, site.world
        self.said: list[dict[str, Any]] = []  # to whoever wants money
        if site.world.networks:
            self.network = site.world.networks[0]
            plan = self.network.plan
            people = people_of(plan.phone_first, plan.customers)
            self.cardholder, self.closed_phone = people.phones[0], people.closed[0]
            self.opening_fen = site.balance(self.cardholder)

    def asks_core(self, request: Request) -> Reply:
        """Ask a bridge what daemons of the house ask; return its answer."""
        heard: list[Reply] = []
        self._world.house.ask(request, heard.append)
        self._site.until(lambda: heard)
        return heard[0]

    def act(self, kind: ActKind, key: Key, **given: Any) -> Reply:
        """Let one operator propose an act and another approve it; return what the core said."""
        office, now_us = self._world.house._office, self._world.kernel.wall_us
        order = Order(kind, key.text, {"key": key.text, **given}, "as the customer wishes")
        made = office.propose(MAKER, PASSWORD, order, now_us)
        reply = self.asks_core(request_of(office.approve(CHECKER, PASSWORD, made.id, now_us)))
        office.finish("bridge", made.id, reply.result.name, {}, self._world.kernel.wall_us)
        return reply

    def day_close(self, space: str) -> Reply:
        """Let two operators close the day."""
        return self.act(ActKind.DAY_CLOSE, day_close(space))

    def charges(self, order: str, amount_fen: int = 5_000) -> None:
        """Let the house ask the network for the cardholder's money."""
        wanted = Wanted(order, self.network.plan.name, self.cardholder, amount_fen)
        self._site.node.ask(partial(_charge, self._site.node, wanted), self.said.append)

    def charge_that_times_out(self, order: str, **reversals: bool) -> None:
        """Let a charge be carried out and its answer be lost; with `reversals_lost` no reversal of it
        arrives, with `reversals_silent` none is answered, with `reversals_odd` the answer makes no sense.
        """
        self.fates(silent=1_000)
        self.charges(order)
        self._site.until(lambda: self.charge(order) and self.at_network(order))
        self.fates(**{name.removeprefix("reversals_"): 1_000 * given for name, given in reversals.items()})
        self._site.until(lambda: self.charge(order) == "reversing")

    def fates(self, **fates: int) -> None:
        """Say what becomes of all that the network is asked from now on (`simulators.network.Plan`)."""
        self.network.books.plan = Fates(by_amount=False, **fates)

    def charge(self, order: str) -> str:
        """Return how a charge stands in the nodes' rows, empty where none is stored."""
        rows = [shelf.charges[order][1] for shelf in self._world.shelves if order in shelf.charges]
        return rows[0].state.value if rows else ""

    def charge_key(self, order: str) -> Key:
        """Return the key under which a charge goes out."""
        (row,) = [shelf.charges[order][1] for shelf in self._world.shelves if order in shelf.charges]
        return row.key

    def at_network(self, order: str) -> Charge | None:
        """Return a charge as it stands in the network's own books."""
        return self.network.books.charges.get(self.charge_key(order))

    def entries(self) -> dict[str, str]:
        """Return how the entries about money that goes back stand in the nodes' rows, by their key."""
        return {one.request.key.text: one.state.value for _, one in self._entries()}

    def entry(self, order: str) -> Entry:
        """Return the entry about a charge."""
        return self._entry(order)[1]

    def tries(self, order: str) -> int:
        """Return how often the entry about a charge was tried."""
        return self.entry(order).tries

    def owner_of_entry(self, order: str) -> str:
        """Return the node whose business the entry about a charge is."""
        return self._entry(order)[0]

    def reason(self, order: str) -> str:
        """Return why a charge is taken back."""
        return self.entry(order).request.reason

    def _entry(self, order: str) -> tuple[str, Entry]:
        key = self.charge_key(order)
        (found,) = [one for one in self._entries() if one[1].request.key == key]
        return found

    def _entries(self) -> list[tuple[str, Entry]]:
        rows = [row for shelf in self._world.shelves for row in shelf.entries.values()]
        return [(node, one) for node, one in rows if one.moves_money_back]


def day_close(space: str = "short") -> Key:
    """Return what today's close is asked of."""
    return Key(space, TODAY, "-")


def house_request(kind: Kind, key: Key, reason: str = "", amount_fen: int = 0) -> Request:
    """Return what a daemon of the house asks about a key."""
    return Request(kind, *key, bank="short", bank_number="8811", amount_fen=amount_fen, reason=reason)


def _charge(node: Any, wanted: Wanted, asker: str, now: Any) -> Any:
    return node.core.charge(asker, wanted, False, now)
