"""`qianzhi drain` and `undrain`: a daemon or a bank's fronts of this machine stand by, or take part again.

The last one that serves its kind is not drained unless somebody insists.  Who else serves is asked of this
machine's daemons by their sockets, and of other machines' by their heartbeat rows; it is asked once more
after the order was given, because somebody may drain the partner at the same moment.
"""

import getpass
import os
import re
import socket
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from qianzhi.cli.daemons import folder_of_sockets, programs_of, site_of
from qianzhi.cli.health import Look
from qianzhi.cli.noting import note
from qianzhi.cli.output import BROKEN, UNREACHABLE, USAGE, CommandError, say
from qianzhi.link.heartbeats import is_ready
from qianzhi.link.site import fronts, group_of, machines, zone_of
from qianzhi.runtime import clock
from qianzhi.runtime.admin import AdminError, ask
from qianzhi.runtime.now import SECOND_US

if TYPE_CHECKING:
    from qianzhi.cli.chosen import Chosen
    from qianzhi.link.tables import Site

LASTING = re.compile(r"([1-9][0-9]{0,4})([smhd])")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
UNTIL_ADVICE = "give 90s, 30m, 2h, 1d, 14:30 or 2026-11-22T14:30, in the site's time zone"
ANSWER_SECONDS = 10.0  # the heartbeat is written before the answer comes


@dataclass(frozen=True)
class Wish:
    """Why something is to be drained, until when in the words of the command, and whether at any price."""

    reason: str = ""
    until: str = ""
    force: bool = False


def drain_command(chosen: "Chosen", name: str, wish: Wish) -> None:
    """Let a daemon, or this machine's fronts of a bank, finish what they have and take nothing new."""
    site = site_of(chosen)
    until_us = until_of(wish.until, clock.now().wall_us, zone_of(site)) if wish.until else 0
    here = _here(site, name)
    if not wish.force:
        _refuse_last(chosen, site, here)
    for daemon in here:
        _ask(site, daemon, "stand_by", reason=wish.reason, by=os_user(), until_us=until_us)
    if not wish.force and not _others_serve(chosen, site, here):
        for daemon in here:
            _ask(site, daemon, "undrain")
        raise _last_error(here, "its partners were drained or lost at the same moment; nothing changed")
    until = f" until {_local(until_us, zone_of(site))}" if until_us else " until `undrain`"
    for daemon in here:
        detail = {"daemon": daemon, "reason": wish.reason, "until_us": until_us, "force": wish.force}
        note(site, os_user(), "drained", detail)
        say(f"{daemon}: stands by and takes nothing new{until}")


def undrain_command(chosen: "Chosen", name: str) -> None:
    """Let a daemon, or this machine's fronts of a bank, take part again."""
    site = site_of(chosen)
    for daemon in _here(site, name):
        _ask(site, daemon, "undrain")
        note(site, os_user(), "undrained", {"daemon": daemon})
        say(f"{daemon}: takes requests again")


def partners_of(site: "Site", name: str) -> list[str]:
    """Return the daemons that stand in for one: its group's nodes, the other bridges, its bank's fronts."""
    if name in site.nodes:
        found = list(site.groups[group_of(site, name)].nodes)
    elif name in site.bridges:
        found = list(site.bridges)
    else:
        banks = {daemon: bank for daemon, bank, _, _ in fronts(site)}
        found = [daemon for daemon, bank in banks.items() if bank == banks[name]]
    return [each for each in found if each != name]


def until_of(text: str, now_us: int, zone: ZoneInfo) -> int:
    """Read `30m`, `14:30` (the next one) or `2026-11-22T14:30` as µs since 1970; raises CommandError."""
    now = datetime.fromtimestamp(now_us // SECOND_US, zone)
    lasting = LASTING.fullmatch(text)
    try:
        if lasting:
            return now_us + int(timedelta(**{UNITS[lasting[2]]: int(lasting[1])}).total_seconds()) * SECOND_US
        if len(text) == len("14:30"):
            at = datetime.combine(now.date(), datetime.strptime(text, "%H:%M").time(), zone)
            until = at if at > now else at + timedelta(days=1)
        else:
            until = datetime.strptime(text, "%Y-%m-%dT%H:%M").replace(tzinfo=zone)
    except ValueError as error:
        raise CommandError(USAGE, f"--until {text!r} is no time", UNTIL_ADVICE) from error
    if until <= now:
        raise CommandError(USAGE, f"--until {text!r} is over", UNTIL_ADVICE)
    return int(until.timestamp()) * SECOND_US


def _here(site: "Site", name: str) -> list[str]:
    """Return the daemons of this machine that a name means; raises CommandError where there is none."""
    names = [program.name for program in programs_of(site)]
    banks = [bank for bank in site.banks if bank == name]
    meant = [daemon for daemon, bank, _, _ in fronts(site) if bank == name] if banks else [name]
    if not banks and name not in names:
        known = f"it has {', '.join(names)}, and the banks {', '.join(site.banks)}"
        raise CommandError(USAGE, f"the site has no daemon or bank {name!r}", known)
    here = [daemon for daemon in meant if (folder_of_sockets(site) / f"{daemon}.sock").exists()]
    where = machines(site)
    away = [f"{daemon} (machine {where[daemon]})" for daemon in meant if daemon not in here]
    if not here:
        raise CommandError(
            UNREACHABLE, f"not on this machine, or not running: {', '.join(away)}", "run the command there"
        )
    if away:
        say(f"not on this machine, and not touched: {', '.join(away)}")
    return here


def _refuse_last(chosen: "Chosen", site: "Site", here: list[str]) -> None:
    """Raise CommandError when nobody would be left who serves what these serve now."""
    look = Look(chosen, site)
    if any(is_ready(look.at(daemon)) for daemon in here) and not _others_serve(chosen, site, here, look):
        raise _last_error(here, look.trouble)


def _others_serve(chosen: "Chosen", site: "Site", here: list[str], look: "Look | None" = None) -> bool:
    """Tell whether for each of these a partner serves that is not one of them."""
    look = look or Look(chosen, site)
    return all(
        any(is_ready(look.at(partner)) for partner in partners_of(site, daemon) if partner not in here)
        for daemon in here
    )


def _last_error(here: list[str], why: str) -> CommandError:
    names = ", ".join(here)
    what = f"{names}: no other one is known to serve" + (f" ({why})" if why else "")
    return CommandError(BROKEN, what, "look at `qianzhi status`; --force drains it all the same")


def _ask(site: "Site", daemon: str, command: str, **arguments: Any) -> None:
    path = folder_of_sockets(site) / f"{daemon}.sock"
    try:
        ask(path, command, timeout_seconds=ANSWER_SECONDS, **arguments)
    except AdminError as error:
        raise CommandError(UNREACHABLE, str(error), f"start it with `qianzhi daemon {daemon}`") from error


def os_user() -> str:
    """Return who runs the command, as USER@HOST; behind sudo whoever called it."""
    return f"{os.environ.get('SUDO_USER') or getpass.getuser()}@{socket.gethostname()}"


def _local(us: int, zone: ZoneInfo) -> str:
    return f"{datetime.fromtimestamp(us // SECOND_US, zone):%Y-%m-%d %H:%M}"
