"""The admin commands about entries, whichever daemon keeps them: a node its own, a bridge a remote core's.

    saf_list    destination="", state="", limit=100   → {"entries": [...], "total": n, "lanes": {...}}
    saf_show    id                                    → the entry, ended ones too
    saf_retry   id, act                               a manual or quarantined entry is open again
    saf_expire  id, act, why=""                       an open entry's time is over now: it is manual
    saf_settle  id, act, why=""                       what is with operators was seen to: ended and mended
    saf_export  destination, date=0                   manual and quarantined entries as a file
                → {"path", "entries", "amount_fen", "sha256"}

`act` is the number of the operators' act, which needs a bridge's warrant (`answers.Warranted` holds these
commands to it): the same act is carried out once, and says the same again.  A daemon that does not own the
entry refuses, and another one is asked.  An act is answered once what it has changed is stored.
"""

from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from twisted.internet.defer import Deferred

from qianzhi.runtime import clock
from qianzhi.runtime.admin import AdminError, Answer, Arguments, Command
from qianzhi.runtime.effects import Effects, Send
from qianzhi.runtime.now import Now
from qianzhi.saf.answers import Given, NeverAdminError, refusal, write_export
from qianzhi.saf.exported import Head
from qianzhi.saf.lanes import RefusedError
from qianzhi.saf.rows import WITH_OPERATOR, Entry
from qianzhi.saf.shown import shown_entry

NAMES = ("saf_list", "saf_show", "saf_retry", "saf_expire", "saf_settle", "saf_export")

Run = Callable[[Effects], None]
Act = Callable[[str, str, Mapping[str, Any], Now], Effects]  # asker, command, arguments
Find = Callable[[str, Callable[[Entry | None], None]], None]
Conclude = Callable[[Entry, Callable[[Exception | None], None]], None]


class Entries(Protocol):
    """The core that knows the entries which have not ended."""

    def entries(self, destination: str = "", state: str = "") -> list[Entry]:
        """Return them, oldest first."""

    def entry(self, entry_id: str) -> Entry | None:
        """Return one."""

    def status(self, now: Now) -> dict[str, Any]:
        """Return what operators see: `entries` counts them by state, `lanes` tells how each stands."""


class Place(NamedTuple):
    """Whose entries they are: the daemon's site and name, where else to ask, where exports are written."""

    site: str
    daemon: str
    elsewhere: str
    folder: Path


class Askers:
    """Those who asked for something and wait until the core has said what came of it."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._waiting: dict[str, Deferred[Answer]] = {}
        self._numbers = count(1)

    def ask(self, ask: Callable[[str], Effects]) -> "Deferred[Answer]":
        """Ask the core, by the name under which it will answer."""
        asker = str(next(self._numbers))
        answer: Deferred[Answer] = Deferred()
        self._waiting[asker] = answer
        self._run(ask(asker))
        return answer

    def answer(self, effect: Send) -> None:
        """Give an asker what the core says."""
        to: Any = effect.to
        (said,) = effect.items
        waiting = self._waiting.pop(str(to[1]), None)
        if waiting is None:
            return
        if isinstance(said, RefusedError):
            waiting.errback(refusal(said))
        else:
            waiting.callback(said)

    def refuse(self, asker: str, error: AdminError) -> None:
        """Refuse without the core."""
        self._waiting.pop(asker).errback(error)


class EntryCommands:
    """Answers them from the core, and by it; on the reactor's thread."""

    def __init__(
        self, core: Entries, act: Act, find: Find, run: Run, place: Place, conclude: Conclude | None = None
    ) -> None:
        """`find` looks an ended entry up; `conclude`, where there is one, has to succeed before an entry is
        settled by hand, and calls back on the reactor's thread.
        """
        self._core = core
        self._carry_out = act
        self._find = find
        self._run = run
        self._place = place
        self._conclude = conclude
        self.askers = Askers(run)

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
        given = Given(arguments, "id", "act", *(("why",) if command != "retry" else ()))
        asked = {"id": given.text("id"), "act": given.text("act"), "why": given.text("why", "")}
        entry = self._core.entry(asked["id"])
        if entry is None:
            return self._act_again(asked["id"], asked["act"])
        if command == "settle" and self._conclude is not None and entry.state in WITH_OPERATOR:
            return self.askers.ask(lambda asker: self._settle_after(asker, entry, asked))
        return self.askers.ask(lambda asker: self._carry_out(asker, command, asked, clock.now()))

    def _settle_after(self, asker: str, entry: Entry, asked: dict[str, str]) -> Effects:
        def concluded(error: Exception | None) -> None:
            if error is None:
                self._run(self._carry_out(asker, "settle", asked, clock.now()))
            else:
                self.askers.refuse(asker, AdminError(f"{error}; settle it when the core answers"))

        assert self._conclude is not None  # noqa: S101  it is looked at before
        self._conclude(entry, concluded)
        return []

    def _act_again(self, entry_id: str, act: str) -> "Deferred[Answer]":
        """Say how an entry stands that is not open here, if this very act has ended it."""
        answer: Deferred[Answer] = Deferred()

        def found(entry: Entry | None) -> None:
            if entry is not None and entry.act == act:
                answer.callback(shown_entry(entry))
            elif entry is not None and entry.ended_us:
                answer.errback(NeverAdminError("too_late", f"{entry_id} has ended: {entry.why or 'settled'}"))
            else:
                answer.errback(AdminError(f"{entry_id} is not open at this {self._place.elsewhere}"))

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
        head = Head(self._place.site, self._place.daemon, destination, date)
        return write_export(self._place.folder, head, entries)
