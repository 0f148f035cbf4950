"""`qianzhi day close|status`: the reconciliation fences of business dates."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from qianzhi.cli.daemons import site_of
from qianzhi.cli.looking import core_of, not_reachable
from qianzhi.cli.office import Proposal, Who, propose, short_time
from qianzhi.cli.output import BROKEN, USAGE, CommandError, say, show_json, show_table
from qianzhi.domain.money import yuan_from_fen

if TYPE_CHECKING:
    from crm_bridge.lookup import BreakView, FenceView
    from qianzhi.cli.chosen import Chosen
    from qianzhi.link.tables import Site

DAY_SERIAL = "-"


def close_command(chosen: "Chosen", bank: str, date: str, who: Who, reason: str, as_json: bool) -> None:
    """Propose to close a business date of a bank: one act for each of its serial spaces."""
    from crm_bridge.lookup import find_fences
    from qianzhi.domain.dates import business_date
    from qianzhi.link.site import zone_of
    from qianzhi.runtime import clock

    site = site_of(chosen)
    number = date_of(date)
    today = business_date(clock.now().wall_us, zone_of(site))
    if number >= today:
        raise CommandError(USAGE, f"{number} is not over yet", "a business date is closed after it has ended")
    spaces, (_, core) = spaces_of(chosen, site, bank), core_of(chosen)
    with not_reachable(core.database):
        fences = find_fences(core.database)
    closed = {fence.space for fence in fences if fence.closed_through >= number}
    if "" in closed or closed.issuperset(spaces):
        said = f"`qianzhi day status {bank}` says since when, and by whom"
        raise CommandError(BROKEN, f"{number} of {bank} is closed already", said)
    proposals = [
        Proposal(
            "day-close",
            f"{space}/{number}/{DAY_SERIAL}",
            {
                "key": f"{space}/{number}/{DAY_SERIAL}",
                "bank": bank,
                "what": f"no new key of {number} after it",
            },
            reason,
        )
        for space in spaces
        if space not in closed
    ]
    propose(chosen, who, proposals, as_json)


def status_command(chosen: "Chosen", bank: str, as_json: bool) -> None:
    """Show for each serial space through which date it is closed, and what holds the next one open."""
    from crm_bridge.lookup import find_breaks, find_due, find_fences
    from qianzhi.domain.dates import business_date, shift
    from qianzhi.link.site import zone_of
    from qianzhi.runtime import clock

    site, core = core_of(chosen)
    wanted = spaces_of(chosen, site, bank) if bank else []
    yesterday = shift(business_date(clock.now().wall_us, zone_of(site)), -1)
    with not_reachable(core.database):
        fences = find_fences(core.database)
        breaks = find_breaks(core.database)
        due = dict(find_due(core.database, yesterday))
    spaces = wanted or sorted({fence.space for fence in fences} | set(due) | {_space(one) for one in breaks})
    found = [_day(space, fences, breaks, due.get(space, 0)) for space in spaces]
    if as_json:
        show_json(found)
        return
    if not found:
        say("no business date is closed, and none is due")
    columns: tuple[str, ...] = (
        "serial space",
        "closed through",
        "closed at",
        "by",
        "next to close",
        "open breaks>",
        "yuan>",
    )
    if any(one["closed_with_open"] for one in found):
        columns = (*columns, "closed with an open break")
    show_table(columns, [_row(one, site)[: len(columns)] for one in found])


def _day(space: str, fences: "list[FenceView]", breaks: "list[BreakView]", due: int) -> dict[str, Any]:
    last = next((fence for fence in fences if fence.space in (space, "")), None)
    held = [one for one in breaks if _space(one) == space]
    through = last.closed_through if last is not None else 0
    return {
        "space": space,
        "fence": asdict(last) if last else None,
        "due": due or None,
        "open_breaks": len(held),
        "open_fen": sum(one.amount_fen for one in held),
        "closed_with_open": sorted({date for one in held if (date := _date(one)) <= through}),
    }


def _row(day: dict[str, Any], site: "Site") -> tuple[object, ...]:
    fence = day["fence"] or {"closed_through": "no date yet", "closed_us": 0, "by": ""}
    when = short_time(fence["closed_us"], site)
    amount = yuan_from_fen(day["open_fen"]) if day["open_breaks"] else ""
    number = day["open_breaks"] or ""
    closed = ", ".join(map(str, day["closed_with_open"]))
    return day["space"], fence["closed_through"], when, fence["by"], day["due"], number, amount, closed


def _space(one: "BreakView") -> str:
    return one.key.split("/", 1)[0]


def _date(one: "BreakView") -> int:
    return int(one.key.split("/", 2)[1])


def spaces_of(chosen: "Chosen", site: "Site", bank: str) -> list[str]:
    """Return a bank's serial spaces: where it issues the serials, and where we do; raises CommandError."""
    from frontends.profile import load_profile
    from qianzhi.runtime.problems import ConfigError

    if bank not in site.banks:
        raise CommandError(USAGE, f"the site has no bank {bank!r}", f"it has {', '.join(site.banks)}")
    profile, problems = load_profile(chosen.config, bank, site, rehearsed=False)
    if profile is None:
        raise ConfigError(problems)
    outward = getattr(profile, "outward", None)
    ours = getattr(outward, "space", "") if outward is not None else ""
    return [profile.space, *([ours] if ours and ours != profile.space else [])]


def date_of(text: str) -> int:
    """Read YYYYMMDD; raises CommandError."""
    from qianzhi.domain.dates import as_date

    digits = text.replace("-", "")
    try:
        if not (digits.isascii() and digits.isdigit() and len(digits) == len("20261122")):
            raise ValueError("not eight digits")
        as_date(int(digits))
    except ValueError as error:
        raise CommandError(USAGE, f"{text[:40]!r} is no date", "write it as 20261122") from error
    return int(digits)
