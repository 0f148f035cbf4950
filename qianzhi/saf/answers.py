"""What the admin commands about entries have in common, whichever daemon answers them.

Reads arguments strictly and writes the day-end file; which entries there are is the daemon's to say.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from qianzhi.runtime.admin import AdminError, Answer, Arguments, Command
from qianzhi.runtime.log import get_logger
from qianzhi.saf.exported import Head, export, read_export
from qianzhi.saf.lanes import NeverError, RefusedError
from qianzhi.saf.rows import Entry
from qianzhi.saf.warrants import Asked, Warrants

LIMIT_MAX = 1_000
ACTS = ("saf_retry", "saf_expire", "saf_settle")


class Given:
    """A command's arguments; what is not known is refused, so that a misspelt wish is never obeyed."""

    def __init__(self, arguments: Arguments, *names: str) -> None:
        unknown = sorted(set(arguments) - set(names))
        if unknown:
            raise AdminError(f"unknown arguments: {', '.join(unknown)}; known are {', '.join(names)}")
        self._arguments = arguments

    def text(self, name: str, otherwise: str | None = None) -> str:
        """Return a text; one without a default must be given."""
        value = self._arguments.get(name, otherwise)
        if not isinstance(value, str) or (otherwise is None and not value):
            raise AdminError(f"{name} is wanted, as text")
        return value

    def number(self, name: str, otherwise: int) -> int:
        """Return a whole number that is not negative."""
        value = self._arguments.get(name, otherwise)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise AdminError(f"{name} is a whole number, not negative")
        return min(value, LIMIT_MAX) if name == "limit" else value


class NeverAdminError(AdminError):
    """An act that can never be carried out any more, or never could; `result` says so in a word."""

    def __init__(self, result: str, why: str) -> None:
        super().__init__(why)
        self.result = result


def refusal(error: RefusedError) -> AdminError:
    """Return a refusal of the core's as a command answers it."""
    return (
        NeverAdminError(error.result, str(error)) if isinstance(error, NeverError) else AdminError(str(error))
    )


class Warranted:
    """The commands that change entries, each only with a bridge's warrant; what comes of it has a receipt.

    id, act, warrant, why=""    → {…the entry…, "result", "detail", "receipt"}
    """

    def __init__(self, link_key: bytes, daemon: str) -> None:
        self._warrants = Warrants(link_key)
        self._daemon = daemon
        self._log = get_logger("saf")

    def hold(self, commands: Mapping[str, Command]) -> dict[str, Command]:
        """Return the commands with those that change entries held to warrants."""
        held = {name: partial(self._ask, name, commands[name]) for name in ACTS if name in commands}
        return {**commands, **held}

    def _ask(self, name: str, command: Command, arguments: Arguments) -> Any:
        given = Given(arguments, "id", "act", "warrant", "why")
        asked = Asked(given.text("act"), name.replace("_", "-"), given.text("id"), given.text("why", ""))
        if not self._warrants.allows(asked, given.text("warrant", "")):
            self._log.warning("an act without a warrant was refused", **asked._asdict())
            raise AdminError(
                f"no second operator has approved act {asked.act} as {asked.kind} of {asked.entry}; "
                "`qianzhi approve` gives the warrant of one"
            )
        why = {} if name == "saf_retry" else {"why": asked.why}
        done: Any = command({"id": asked.entry, "act": asked.act, **why})
        return done.addCallbacks(partial(self._done, asked), partial(self._failed, asked))

    def _done(self, asked: Asked, shown: Answer) -> Answer:
        return shown | self._came_to(asked, "approved", {"state": shown["state"]})

    def _failed(self, asked: Asked, failure: Any) -> Answer:
        failure.trap(NeverAdminError)
        return self._came_to(asked, failure.value.result, {"why": str(failure.value)})

    def _came_to(self, asked: Asked, result: str, more: dict[str, str]) -> Answer:
        detail = {"node": self._daemon, **more}
        self._log.info("an operators' act has come to something", result=result, **asked._asdict() | more)
        return {
            "result": result,
            "detail": detail,
            "receipt": self._warrants.receipt(asked, result, detail),
        }


def write_export(folder: Path, head: Head, entries: Iterable[Entry]) -> Answer:
    """Write the day-end file of these entries, whole or not at all, and say where it is; raises
    AdminError.
    """
    data = export(head, entries)
    if "/" in head.destination or head.destination.startswith("."):
        raise AdminError("a destination is a bank's name")
    path = folder / f"{head.destination}-{head.date or 'all'}-{head.node}.jsonl"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(".part")
        half.write_bytes(data)
        half.replace(path)
    except OSError as error:
        raise AdminError(f"{path} cannot be written: {error.strerror}") from error
    read = read_export(data)
    return {
        "path": str(path),
        "entries": len(read.lines),
        "amount_fen": read.amount_fen,
        "sha256": read.sha256,
    }
