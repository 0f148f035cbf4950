"""`qianzhi reload`: this machine's daemons read their certificates anew; no connection is cut."""

from typing import TYPE_CHECKING, Any

from qianzhi.cli.daemons import folder_of_sockets, programs_of, site_of
from qianzhi.cli.output import BROKEN, UNREACHABLE, USAGE, CommandError, say

if TYPE_CHECKING:
    from qianzhi.cli.chosen import Chosen

ANSWER_SECONDS = 10.0


def reload_command(chosen: "Chosen", name: str) -> None:
    """Ask one daemon, or all that run on this machine; say what each has read, or why it goes on with what
    it had.
    """
    from qianzhi.runtime.admin import AdminError, ask

    site = site_of(chosen)
    names = [program.name for program in programs_of(site)]
    if name and name not in names:
        raise CommandError(USAGE, f"the site has no daemon {name!r}", f"it has {', '.join(names)}")
    folder = folder_of_sockets(site)
    here = [one for one in ([name] if name else names) if (folder / f"{one}.sock").exists()]
    if not here:
        raise CommandError(UNREACHABLE, "no daemon of this site runs here", "start it with `qianzhi run`")
    failed = False
    for one in here:
        try:
            answer = ask(folder / f"{one}.sock", "reload", timeout_seconds=ANSWER_SECONDS)
        except AdminError as error:
            failed = True
            say(f"{one}: {error}")
        else:
            say(f"{one}: {', '.join(answer['read']) or 'uses no certificates'}")
    if failed:
        advice = "put the files right and ask again; new connections use what was read before meanwhile"
        raise CommandError(BROKEN, "not all daemons have read new certificates", advice)


def certificate_words(status: dict[str, Any]) -> list[str]:
    """Say of a daemon's status which certificates are in trouble."""
    tables: dict[str, dict[str, str]] = status.get("tls", {})
    return [f"certificates of {name}: {one['trouble']}" for name, one in tables.items() if "trouble" in one]
