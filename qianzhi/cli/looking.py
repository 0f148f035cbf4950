"""Looking at a configuration and at the core: check, account, seed, audit-books."""

from typing import TYPE_CHECKING

from qianzhi.cli.output import USAGE, CommandError, say, show_json, show_problems

if TYPE_CHECKING:
    from qianzhi.cli.main import Chosen


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
