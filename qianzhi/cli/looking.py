"""Looking at a configuration and at the core: check, account, seed, audit-books."""

from typing import TYPE_CHECKING

from qianzhi.cli.output import UNREACHABLE, USAGE, CommandError, say, show_json, show_problems

if TYPE_CHECKING:
    from qianzhi.cli.checks import Checked
    from qianzhi.cli.main import Chosen
    from qianzhi.link.tables import Site


def check_command(chosen: "Chosen", as_json: bool) -> None:
    """Show every problem of the configuration; exit 2 when there is one."""
    from qianzhi.cli.checks import check

    found = check(chosen.config, chosen.site)
    if as_json:
        show_json([problem._asdict() for problem in found.problems])
    elif found.problems:
        show_problems(found.problems)
    if found.problems or found.site is None:
        raise CommandError(
            USAGE, f"{len(found.problems)} problems in the configuration", "nothing would start"
        )
    if not as_json:
        banks = ", ".join(found.profiles)
        say(f"{found.site.file}: site {found.site.name!r} with banks {banks} is valid")


def core_url(checked: "Checked", site: "Site") -> str:
    """Return the core database's URL, with the site's data folder put in."""
    from qianzhi.link.site import data_folder

    return checked.core.database.replace("{data}", str(data_folder(site))) if checked.core else ""


def seed_command(chosen: "Chosen", subscribers: int, seed_number: int) -> None:
    """Make the core's tables; fill an empty core with subscribers."""
    from qianzhi.cli.checks import require

    checked, site = require(chosen.config, chosen.site)
    created, there = seed_core(checked, site, subscribers, seed_number)
    say(f"{created} subscribers created" if created else f"nothing to do: the core has {there} subscribers")


def seed_core(checked: "Checked", site: "Site", subscribers: int, seed_number: int = 1) -> tuple[int, int]:
    """Bring the core's tables up to date and fill an empty core; return (created, subscribers in all)."""
    from crm_bridge.gateway_errors import LockedError
    from crm_bridge.seed import seed
    from qianzhi.link.site import zone_of

    url = core_url(checked, site)
    try:
        report = seed(url, subscribers, seed_number, settings=checked.core, zone=zone_of(site))
    except LockedError as error:
        raise CommandError(UNREACHABLE, f"the core is in use: {error}", "stop the bridge first") from error
    return report.created, report.subscribers
