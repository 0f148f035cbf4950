"""The admin commands of what a bridge has promised to the remote core; named and answered as a node's are.

    saf_list    destination="", state="", limit=100   → {"entries": [...], "total": n, "lanes": {...}}
    saf_show    id                                    → the entry, ended ones and other bridges' too
    saf_retry   id, act, warrant, why=""              a manual or quarantined entry is open again
    saf_expire  id, act, warrant, why=""              an open entry's time is over now: it is manual
    saf_settle  id, act, warrant, why=""              what is with operators was seen to: ended and mended
    saf_export  destination, date=0                   manual and quarantined entries as a file

`act` is the number of the operators' act, which is carried out once and needs its warrant, to which the
daemon holds these commands as a node does.  Before an entry is settled by hand the core is asked what became
of it; while it does not say, the act is refused.
"""

from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from crm_bridge.remote.forwarding import Forwarding
from crm_bridge.remote.promises import DESTINATION
from qianzhi.runtime import clock
from qianzhi.runtime.admin import AdminError, Answer, Arguments, Command
from qianzhi.runtime.effects import Effects, Send
from qianzhi.saf.answers import Given, NeverAdminError, refusal, write_export
from qianzhi.saf.exported import Head
from qianzhi.saf.lanes import RefusedError
from qianzhi.saf.rows import WITH_OPERATOR, Entry
from qianzhi.saf.shown import shown_entry

Find = Callable[[str, Callable[[Entry | None], None]], None]
Conclude = Callable[[Entry, Callable[[Exception | None], None]], None]


class PromiseCommands:
    """Answers them from the core, and by it; on the reactor's thread."""

    NAMES = ("saf_list", "saf_show", "saf_retry", "saf_expire", "saf_settle", "saf_export")

    def __init__(
        self,
        core: Forwarding,
        find: Find,
        conclude: Conclude,
        run: Callable[[Effects], None],
        folder: Path,
        names: tuple[str, str],
    ) -> None:
        """`conclude` calls back on the reactor's thread; `names` are the site's and the bridge's."""
        self._core = core
        self._find = find
        self._conclude = conclude
        self._run = run
        self._folder = folder
        self._names = names
        self._askers: dict[str, Deferred[Answer]] = {}
        self._numbers = count(1)

    def commands(self) -> Mapping[str, Command]:
        """Return them by name."""
        return {
            "saf_list": self._list,
            "saf_show": self._show,
            "saf_retry": lambda arguments: self._act("retry", arguments),
            "saf_expire": lambda arguments: self._act("expire", arguments),
            "saf_settle": lambda arguments: self._act("settle", arguments),
            "saf_export": self._export,
        }

    def answer(self, effect: Send) -> None:
        """Give an asker the core's answer."""
        to: Any = effect.to
        asker = self._askers.pop(str(to[1]), None)
        if asker is None:
            return
        (said,) = effect.items
        if isinstance(said, RefusedError):
            asker.errback(refusal(said))
        else:
            asker.callback(said)

    def _list(self, arguments: Arguments) -> Answer:
        given = Given(arguments, "destination", "state", "limit")
        found = self._core.entries(given.text("destination", ""), given.text("state", ""))
        status = self._core.status(clock.now())
        entries = [shown_entry(entry) for entry in found[: given.number("limit", 100)]]
        counts = {"total": len(found), "counts": status["entries"]}
        return {"entries": entries, "lanes": status["lanes"], **counts}

    def _show(self, arguments: Arguments) -> "Answer | Deferred[Answer]":
        entry_id = Given(arguments, "id").text("id")
        entry = self._core.entry(entry_id)
        if entry is not None:
            return shown_entry(entry)
        answer: Deferred[Answer] = Deferred()

        def found(entry: Entry | None) -> None:
            if entry is None:
                answer.errback(AdminError(f"there is no entry {entry_id!r}"))
            else:
                answer.callback(shown_entry(entry))

        self._find(entry_id, found)
        return answer

    def _act(self, command: str, arguments: Arguments) -> "Deferred[Answer]":
        given = Given(arguments, "id", "act", "deadline_minutes" if command == "retry" else "why")
        entry_id, act = given.text("id"), given.text("act")
        more: dict[str, Any] = (
            {"deadline_minutes": given.number("deadline_minutes", 0)}
            if command == "retry"
            else {"why": given.text("why", "")}
        )
        asked = {"id": entry_id, "act": act, **more}
        entry = self._core.entry(entry_id)
        if entry is None:
            return self._act_again(entry_id, act)
        asker, answer = self._asker()
        if command == "settle" and entry.destination == DESTINATION and entry.state in WITH_OPERATOR:
            self._conclude(entry, lambda error: self._concluded(asker, asked, error))
        else:
            self._run(self._core.act(asker, command, asked, clock.now()))
        return answer

    def _concluded(self, asker: str, asked: dict[str, Any], error: Exception | None) -> None:
        if error is None:
            self._run(self._core.act(asker, "settle", asked, clock.now()))
        else:
            self._askers.pop(asker).errback(AdminError(f"{error}; settle it when the core answers"))

    def _act_again(self, entry_id: str, act: str) -> "Deferred[Answer]":
        """Say how an entry stands that is not open here, if this very act has ended it."""
        answer: Deferred[Answer] = Deferred()

        def found(entry: Entry | None) -> None:
            if entry is not None and entry.act == act:
                answer.callback(shown_entry(entry))
            elif entry is not None and entry.ended_us:
                answer.errback(NeverAdminError("too_late", f"{entry_id} has ended: {entry.why or 'settled'}"))
            else:
                answer.errback(AdminError(f"{entry_id} is not open at this bridge; ask another one"))

        self._find(entry_id, found)
        return answer

    def _export(self, arguments: Arguments) -> Answer:
        given = Given(arguments, "destination", "date")
        destination, date = given.text("destination"), given.number("date", 0)
        entries = [
            entry
            for entry in self._core.entries(destination)
            if entry.state in WITH_OPERATOR and date in (0, entry.request.date)
        ]
        site, bridge = self._names
        return write_export(self._folder, Head(site, bridge, destination, date), entries)

    def _asker(self) -> "tuple[str, Deferred[Answer]]":
        asker = str(next(self._numbers))
        answer: Deferred[Answer] = Deferred()
        self._askers[asker] = answer
        return asker, answer
