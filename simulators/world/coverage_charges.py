"""Which interleavings of charges and of store-and-forward happened, told from rows of the nodes.  Pure."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from crm_bridge.journal import State as RowState
from crm_bridge.journal_breaks import MANUAL
from qianzhi.domain.requests import Key, Kind
from qianzhi.domain.results import Result
from qianzhi.saf.rows import Charge, ChargeState, Entry, State
from simulators.codecs import BankCodecError, bank_codec
from simulators.codecs.paths import value_at
from simulators.network import State as NetworkState
from simulators.world.observe import Observer

if TYPE_CHECKING:
    from frontends.profile import Profile  # it reads files; its shape alone is used here
    from simulators.world.world import World

BY_STATE = {
    ChargeState.UNREVERSED: "charge-without-reversal",
    ChargeState.REFUNDING: "charge-credit-refused",
}
_TAKEN = frozenset({NetworkState.TAKEN, NetworkState.HELD})


class ChargeCoverage(Observer):
    """Counts in `world.kernel.coverage`; made as `ChargeCoverage(world)` before the first event."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._entries: dict[str, Entry] = {}
        self._charges: dict[str, Charge] = {}
        self._owner: dict[str, str] = {}
        self._orphans: set[str] = set()  # under way when the node died that had them
        self._aside: set[str] = set()  # destinations that had a poisoned entry
        self._waited: set[str] = set()  # entries that met a destination which had closed its line
        self._blocked: set[Key] = set()  # at the core
        self._taken_back: dict[Key, str] = {}  # what begun so is over once its money is back
        self._doubted: set[Key] = set()  # debited at the network when its answer was overdue
        self._expired: set[Key] = set()  # in suspense, its time being over
        self._marks = {
            one.plan.name: (bank_codec(one.profile.spec), one.profile.outward.mapping, _again(one.profile))
            for one in world.networks
            if one.profile.outward is not None
        }
        NotStored(world, lambda: self._world.kernel.saw("saf-not-stored"))

    def on_commit(self, bridge: str, changes: Any) -> None:
        """Take what the core blocks, and which breaks it opens and mends."""
        for row in changes.journal.inserts:
            if row.state is RowState.BLOCKED:
                self._blocked.add(row.key)
        for one in (*changes.journal.breaks, *changes.journal.changed_breaks):
            tries = [entry.tries for entry in self._entries.values() if entry.request.key == one.key]
            if one.open and one.kind == MANUAL and one.suspense_fen and max(tries, default=0):
                self._expired.add(one.key)
            else:
                self._expired.discard(one.key)

    def on_executed(self, bridge: str, requests: Sequence[Any], replies: Sequence[Any]) -> None:
        """Take which days are not closed."""
        for request, reply in zip(requests, replies, strict=False):
            held = reply is not None and request.kind is Kind.CLOSE and reply.result is Result.BREAK_OPEN
            if held and any(key.space == request.space and key.date <= request.date for key in self._expired):
                self._world.kernel.saw("saf-expires")

    def on_kept(self, node: str, rows: Sequence[Any]) -> None:
        """Take what a node has written."""
        for row in rows:
            if isinstance(row, Entry):
                self._owner[row.id] = node
                self._on_entry(row, self._entries.get(row.id))
                self._entries[row.id] = row
            elif isinstance(row, Charge):
                self._owner[row.order] = node
                self._on_charge(row, self._charges.get(row.order))
                self._charges[row.order] = row

    def on_death(self, process: str) -> None:
        """Note what a node leaves under way."""
        for name, node in self._owner.items():
            if node != process:
                continue
            entry, charge = self._entries.get(name), self._charges.get(name)
            sent = entry is not None and not entry.ended_us and entry.tries > 0
            if sent or (charge is not None and charge.state is ChargeState.INTENT):
                self._orphans.add(name)

    def on_tick(self) -> None:
        """Look which entries wait for a network that has closed its line."""
        for network in self._world.networks:
            if network.signed_off:
                name = network.plan.name
                self._waited |= {
                    one.id for one in self._entries.values() if one.destination == name and not one.ended_us
                }

    def on_end(self) -> None:
        """Count what the networks got marked as a repeat and answered alike."""
        for network in self._world.networks:
            self._world.kernel.coverage["saf-repeat-marked"] += network.books.repeats

    def on_frame_out(self, bank: str, front: str, frame: bytes) -> None:
        """Look whether what goes out to a network is marked, in its dialect's way, as sent again."""
        marks = self._marks.get(bank)
        if marks is None:
            return
        codec, mapping, again = marks
        try:
            message = codec.decode(frame)
        except BankCodecError:
            return
        constants = again.get(mapping.transaction_of(message))
        if constants and all(str(value_at(message, path)) == value for path, value in constants.items()):
            self._world.kernel.saw("saf-repeat-marked")

    def _on_entry(self, entry: Entry, before: Entry | None) -> None:
        saw = self._world.kernel.saw
        state = before.state if before is not None else None
        if entry.state is State.QUARANTINED:
            self._aside.add(entry.destination)
        if entry.state is not State.SETTLED or state is State.SETTLED:
            return
        key = entry.request.key
        if key in self._taken_back and self._at_network(key) is NetworkState.REVERSED:
            saw(self._taken_back.pop(key))
        if entry.id in self._orphans:
            saw("saf-node-dies")
        if entry.destination in self._aside and state is not State.QUARANTINED:
            saw("saf-poisoned")
        if entry.id in self._waited:
            saw("saf-signed-off")

    def _on_charge(self, charge: Charge, before: Charge | None) -> None:
        saw = self._world.kernel.saw
        if before is not None and before.state is charge.state:
            return
        if charge.state in BY_STATE:
            saw(BY_STATE[charge.state])
        self._without_answer(charge, before.state if before is not None else None)
        if charge.ended_us and charge.order in self._orphans:
            saw("charge-answer-after-death")

    def _without_answer(self, charge: Charge, before: ChargeState | None) -> None:
        """Follow a charge that was debited and whose answer did not come in time, to the reversal of it."""
        key = charge.key
        debited = self._at_network(key) in _TAKEN
        if charge.state is ChargeState.TIMED_OUT and charge.reason == "timeout" and debited:
            self._doubted.add(key)
        if charge.state is not ChargeState.REVERSING or key not in self._blocked or not debited:
            return
        if charge.policy == "on_late_approval":
            if before is ChargeState.WAITING and charge.reason == "late":
                self._taken_back[key] = "charge-late-approval"
        elif charge.reason == "timeout" and key in self._doubted:
            self._taken_back[key] = "charge-timed-out"

    def _at_network(self, key: Key) -> NetworkState | None:
        for network in self._world.networks:
            if key in network.books.charges:
                return network.books.charges[key].state
        return None


def _again(profile: "Profile") -> dict[str, dict[str, str]]:
    """Return with what each of a dialect's messages says that it is sent again; none where it has a flag."""
    rows = profile.table.outward
    return {name: one.again for name, one in rows.transactions.items()} if rows is not None else {}


class NotStored:
    """Watches what nodes are asked while nothing can be stored.

    Whoever asks first hears nothing, and nothing of it is sent; whoever asks next is refused.
    """

    def __init__(self, world: "World", saw: Callable[[], None]) -> None:
        self._world = world
        self._saw = saw
        self._silent: dict[str, set[int]] = {}  # by node: the questions of this full disk without an answer
        self._asked = count(1)
        for node in world.nodes:
            setattr(node, "ask", partial(self._ask, node, node.ask))  # noqa: B010 - only watched

    def _ask(self, node: Any, ask: Callable[..., None], what: Any, hear: Callable[[Any], None]) -> None:
        silent = self._silent.setdefault(node.name, set())
        if not node.disk.full:
            silent.clear()
        number = next(self._asked)

        def heard(answer: Any) -> None:
            silent.discard(number)
            refused = isinstance(answer, dict) and answer.get("state") == "refused"
            if refused and silent and node.disk.full:
                self._saw()
            hear(answer)

        if node.disk.full:
            silent.add(number)
        ask(what, heard)
