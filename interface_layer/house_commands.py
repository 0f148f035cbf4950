"""The admin commands of a node's own business: charges, and the entries of store-and-forward.

    charge      bank, phone, amount_fen, order (unique, for ever: asked again it goes on and says where),
                number="", agreement="", wait=true
                → {"order", "key", "state", "result", "reason", "work_order", "amount_fen", …}
    charges     order="", state="", bank="", limit=100          → {"charges": [...], "counts": {state: n}}
    saf_list    destination="", state="", limit=100          → {"entries": [...], "total": n, "lanes": {...}}
    saf_show    id                                              → the entry, ended ones too
    saf_retry   id, act, warrant, why=""       a manual or quarantined entry is open again
    saf_expire  id, act, warrant, why=""       an open entry's time is over now: it is manual
    saf_settle  id, act, warrant, why=""       what is with operators was settled by hand: ended and mended
    saf_export  destination, date=0            manual and quarantined entries as a file
                → {"path", "entries", "amount_fen", "sha256"}

`act` is the number of the operators' act, which needs a bridge's warrant (`qianzhi.saf.answers.Warranted`
holds the daemon's commands to it): the same act is carried out once, and says the same again.  A node that
does not own the entry refuses, and another one of its group is asked.  Acts and charges are answered once
what they have changed is stored.
"""

from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from interface_layer.charges import Wanted
from interface_layer.house import shown
from interface_layer.house_rows import HouseRows
from interface_layer.node import Node
from qianzhi.runtime import clock
from qianzhi.runtime.admin import AdminError, Answer, Arguments, Command
from qianzhi.runtime.effects import Effects, Send
from qianzhi.saf.answers import Given, NeverAdminError, refusal, write_export
from qianzhi.saf.exported import Head
from qianzhi.saf.lanes import RefusedError
from qianzhi.saf.rows import WITH_OPERATOR, Entry
from qianzhi.saf.shown import shown_entry

COMMANDS = (
    *("charge", "charges", "saf_list", "saf_show", "saf_retry"),
    *("saf_expire", "saf_settle", "saf_export"),
)


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
        self._rows = rows
        self._run = run
        self._folder = folder
        self._names = names
        self._askers: dict[str, Deferred[Answer]] = {}
        self._numbers = count(1)

    def commands(self) -> Mapping[str, Command]:
        """Return them by name."""
        return {
            "charge": self._charge,
            "charges": self._charges,
            "saf_list": self._list,
            "saf_show": self._show,
            "saf_retry": lambda arguments: self._act("retry", arguments),
            "saf_expire": lambda arguments: self._act("expire", arguments),
            "saf_settle": lambda arguments: self._act("settle", arguments),
            "saf_export": self._export,
        }

    def answer(self, effect: Send) -> None:
        """Give an asker the core's answer."""
        asker = self._askers.pop(str(effect.to[1]), None)  # type: ignore[index]  # ("asker", number)
        if asker is None:
            return
        (said,) = effect.items
        if isinstance(said, RefusedError):
            asker.errback(refusal(said))
        else:
            asker.callback(said)

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
        return self._ask(lambda asker: self._node.charge(asker, wanted, wait, clock.now()))

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

    def _list(self, arguments: Arguments) -> Answer:
        given = Given(arguments, "destination", "state", "limit")
        found = self._node.house.entries(given.text("destination", ""), given.text("state", ""))
        status = self._node.house.status(clock.now())
        entries = [shown_entry(entry) for entry in found[: given.number("limit", 100)]]
        counts = {"total": len(found), "counts": status["entries"]}
        return {"entries": entries, "lanes": status["lanes"], **counts}

    def _show(self, arguments: Arguments) -> "Answer | Deferred[Answer]":
        entry_id = Given(arguments, "id").text("id")
        entry = self._node.house.entry(entry_id)
        if entry is not None:
            return shown_entry(entry)
        shown_later: Deferred[Answer] = Deferred()
        self._rows.find(entry_id, lambda found: _say(shown_later, entry_id, found))
        return shown_later

    def _act(self, command: str, arguments: Arguments) -> "Deferred[Answer]":
        given = Given(arguments, "id", "act", "deadline_minutes" if command == "retry" else "why")
        act = {"id": given.text("id"), "act": given.text("act")}
        if command == "retry":
            minutes: dict[str, Any] = {"deadline_minutes": given.number("deadline_minutes", 0)}
        else:
            minutes = {"why": given.text("why", "")}
        if self._node.house.entry(act["id"]) is None:
            return self._act_again(command, act["id"], act["act"])
        return self._ask(lambda asker: self._node.act(asker, command, {**act, **minutes}, clock.now()))

    def _act_again(self, command: str, entry_id: str, act: str) -> "Deferred[Answer]":
        """Say how an entry stands that is not open here, if this very act has ended it."""
        answer: Deferred[Answer] = Deferred()

        def found(entry: Entry | None) -> None:
            if entry is not None and entry.act == act:
                answer.callback(shown_entry(entry))
            elif entry is not None and entry.ended_us:
                answer.errback(NeverAdminError("too_late", f"{entry_id} has ended: {entry.why or 'settled'}"))
            else:
                answer.errback(
                    AdminError(f"{entry_id} is not open at this node; ask another one of its group")
                )

        self._rows.find(entry_id, found)
        return answer

    def _export(self, arguments: Arguments) -> Answer:
        given = Given(arguments, "destination", "date")
        destination, date = given.text("destination"), given.number("date", 0)
        entries = [
            entry
            for entry in self._node.house.entries(destination)
            if entry.state in WITH_OPERATOR and date in (0, entry.request.date)
        ]
        site, node = self._names
        return write_export(self._folder, Head(site, node, destination, date), entries)

    def _ask(self, ask: Callable[[str], Effects]) -> "Deferred[Answer]":
        asker = str(next(self._numbers))
        answer: Deferred[Answer] = Deferred()
        self._askers[asker] = answer
        self._run(ask(asker))
        return answer


def _say(answer: "Deferred[Answer]", entry_id: str, found: Entry | None) -> None:
    if found is None:
        answer.errback(AdminError(f"there is no entry {entry_id!r}"))
    else:
        answer.callback(shown_entry(found))
