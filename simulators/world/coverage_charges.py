"""Which interleavings of charges and of store-and-forward happened, told from rows of the nodes.  Pure."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qianzhi.saf.rows import Charge, ChargeState, Entry, State
from simulators.world.observe import Observer

if TYPE_CHECKING:
    from simulators.world.world import World

BY_STATE = {
    ChargeState.UNREVERSED: "charge-without-reversal",
    ChargeState.REFUNDING: "charge-credit-refused",
}


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
        """Count what the networks got marked as a repeat."""
        for network in self._world.networks:
            self._world.kernel.coverage["saf-repeat-marked"] += network.books.repeats

    def _on_entry(self, entry: Entry, before: Entry | None) -> None:
        saw = self._world.kernel.saw
        state = before.state if before is not None else None
        if entry.state is State.QUARANTINED:
            self._aside.add(entry.destination)
        if entry.state is State.MANUAL and state is not State.MANUAL:
            saw("saf-expires")
        if entry.state is not State.SETTLED or state is State.SETTLED:
            return
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
        if charge.state is ChargeState.REVERSING:
            saw("charge-late-approval" if charge.policy == "on_late_approval" else "charge-timed-out")
        if charge.ended_us and charge.order in self._orphans:
            saw("charge-answer-after-death")
