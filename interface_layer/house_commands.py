"""The admin commands of a node's own business: charges, and the entries of store-and-forward.

    charge      bank, phone, amount_fen, order (unique, for ever: asked again it goes on and says where),
                number="", agreement="", wait=true
                → {"order", "key", "state", "result", "reason", "work_order", "amount_fen", …}
    charges     order="", state="", bank="", limit=100          → {"charges": [...], "counts": {state: n}}

and those about entries, `qianzhi.saf.commands`.  Charges are answered once what they have changed is stored.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from interface_layer.charges import Wanted
from interface_layer.house import shown
from interface_layer.house_rows import HouseRows
from interface_layer.node import Node
from qianzhi.runtime import clock
from qianzhi.runtime.admin import AdminError, Answer, Arguments, Command
from qianzhi.runtime.effects import Effects, Send
from qianzhi.saf.answers import Given
from qianzhi.saf.commands import NAMES, EntryCommands, Place

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

COMMANDS = ("charge", "charges", *NAMES)


class HouseCommands:
    """Answers them from the core, and by it."""

    def __init__(
        self,
        node: Node,
        rows: HouseRows,
        run: Callable[[Effects], None],
        folder: Path,
        names: tuple[str, str],
    ) -> None:
        """`folder` is where exports are written; `names` are the site's and the node's."""
        self._node = node
        place = Place(*names, "node; ask another one of its group", folder)
        self._entries = EntryCommands(node.house, node.act, rows.find, run, place)

    def commands(self) -> Mapping[str, Command]:
        """Return them by name."""
        return {
            "charge": self._charge,
            "charges": self._charges,
            **self._entries.commands(),
        }

    def answer(self, effect: Send) -> None:
        """Give an asker the core's answer."""
        self._entries.askers.answer(effect)

    def _charge(self, arguments: Arguments) -> "Deferred[Answer]":
        given = Given(arguments, "bank", "phone", "amount_fen", "order", "number", "agreement", "wait")
        wanted = Wanted(
            given.text("order"),
            given.text("bank"),
            given.text("phone"),
            given.number("amount_fen", 0),
            given.text("agreement", ""),
            given.text("number", ""),
        )
        if wanted.amount_fen <= 0:
            raise AdminError("amount_fen is a whole number of fen above 0")
        wait = arguments.get("wait", True)
        if not isinstance(wait, bool):
            raise AdminError("wait is true or false")
        return self._entries.askers.ask(lambda asker: self._node.charge(asker, wanted, wait, clock.now()))

    def _charges(self, arguments: Arguments) -> Answer:
        given = Given(arguments, "order", "state", "bank", "limit")
        found = self._node.house.charges(
            given.text("order", ""), given.text("state", ""), given.text("bank", "")
        )
        limit = given.number("limit", 100)
        return {
            "charges": [shown(charge) for charge in found[-limit:]],
            "counts": self._node.house.status(clock.now())["charges"],
        }
