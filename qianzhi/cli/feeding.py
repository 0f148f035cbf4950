"""Simulated banks that feed a running system from this process, with a live view."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qianzhi.cli.output import BROKEN, UNKNOWN, USAGE, CommandError, console, print_table, say, show_json
from qianzhi.cli.ports import refuse_deaf_lines
from qianzhi.runtime import clock

if TYPE_CHECKING:
    from qianzhi.cli.checks import Checked
    from qianzhi.cli.chosen import Chosen
    from qianzhi.link.tables import Site
    from simulators.traffic import Look, TrafficResult

PLAIN_SECONDS = 5.0  # how often a view without a terminal says a line
SETTLE_SECONDS = 30
BANKS_IN_A_LINE = 3

OnLook = Callable[[list["Look"]], None]


def traffic_command(
    chosen: "Chosen", banks: list[str], rate: int, seconds: int, seed: int, as_json: bool
) -> None:
    """Feed a running system until the time is over or Ctrl-C; exit 4 when outcomes stayed unknown."""
    from qianzhi.cli.checks import require

    checked, site = require(chosen.config, chosen.site)
    unknown = [bank for bank in banks if bank not in site.banks]
    if unknown:
        raise CommandError(
            USAGE, f"no bank of the site: {', '.join(unknown)}", f"it has {', '.join(site.banks)}"
        )
    refuse_deaf_lines(site, banks or with_lines(site) or list(site.banks))
    with contextlib.nullcontext(ignore) if as_json else live_view("Ctrl-C ends it") as on_look:
        result = feed(chosen, checked, site, banks, rate, seconds or None, seed, on_look)
    if as_json:
        show_json(result.as_dict())
    else:
        show_result(result)
    surprises = {bank: report.surprises for bank, report in result.reports.items() if report.surprises}
    if surprises:
        raise CommandError(BROKEN, f"answers contradicted each other: {surprises}")
    if not result.settled:
        raise CommandError(
            UNKNOWN, "some serials have no final state", "is the system up? see `qianzhi status`"
        )


def with_lines(site: "Site") -> list[str]:
    """Return the banks that can be simulated: files are put into a folder by hand."""
    return [bank for bank, place in site.banks.items() if not place.folder]


def feed(
    chosen: "Chosen",
    checked: "Checked",
    site: "Site",
    banks: list[str],
    rate: int,
    seconds: float | None,
    seed: int,
    on_look: OnLook,
    settle_seconds: int = SETTLE_SECONDS,
) -> "TrafficResult":
    """Run the simulated banks (all without a name), `rate` requests a second together; once in a process."""
    from qianzhi.link.site import data_folder
    from qianzhi.runtime import log
    from simulators.scenario_file import load_scenario
    from simulators.traffic import run_traffic

    log.say_what_is_wrong_only()
    profiles = [checked.profiles[bank] for bank in banks or with_lines(site)]
    here = replace(site, data=str(data_folder(site)))
    return run_traffic(
        here,
        chosen.config,
        profiles,
        load_scenario(),
        rate=rate,
        seconds=seconds,
        seed=seed,
        settle_seconds=settle_seconds,
        on_look=on_look,
    )


def ignore(_looks: "list[Look]") -> None:
    """Show nothing."""


@contextlib.contextmanager
def live_view(title: str) -> Iterator[OnLook]:
    """Give a function that shows looks: a live table on a terminal, a plain line now and then elsewhere."""
    if not sys.stdout.isatty():
        yield PlainView()
        return
    from rich.live import Live

    from simulators.live_table import live_table

    here = console()
    with Live(console=here, refresh_per_second=4, transient=True) as live:
        yield lambda looks: live.update(
            live_table([(*look,) for look in looks], title, here.width, here.height)
        )


class PlainView:
    """Says one line about all banks every few seconds."""

    def __init__(self) -> None:
        self._next = clock.monotonic_seconds() + PLAIN_SECONDS

    def __call__(self, looks: "list[Look]") -> None:
        """Take a look and say a line if it is time."""
        if clock.monotonic_seconds() < self._next:
            return
        self._next += PLAIN_SECONDS
        say(
            "  ".join(plain_words(look) for look in looks)
            if len(looks) <= BANKS_IN_A_LINE
            else words_of_all(looks)
        )


def plain_words(look: "Look") -> str:
    """Write one bank's look in a few words."""
    report = look.report
    p99_ms = report.latency.quantile_us(990) / 1000
    return (
        f"{report.bank}: {look.rate}/s, {report.sent} sent, {report.approved} approved, p99 {p99_ms:.1f} ms"
    )


def words_of_all(looks: "list[Look]") -> str:
    """Write many banks' looks in one short line: all together, and the slowest."""
    sent, approved = (sum(getattr(look.report, name) for look in looks) for name in ("sent", "approved"))
    slowest = max(looks, key=lambda look: look.report.latency.quantile_us(990)).report
    return (
        f"{len(looks)} banks: {sum(look.rate for look in looks)}/s, {sent} sent, {approved} approved; "
        f"the slowest, {slowest.bank}, p99 {slowest.latency.quantile_us(990) / 1000:.1f} ms"
    )


def show_result(result: "TrafficResult") -> None:
    """Print the table at the end."""
    from simulators.live_table import final_table, refusals_table

    reports = list(result.reports.values())
    say("")
    print_table(final_table(reports))
    if any(report.unanswered for report in reports):
        say("unanswered: not answered in time at first, settled by repeat, query or reversal")
    for report in reports:
        for day, word in sorted(report.totals.items()):
            say(f"totals of {report.bank}, {day}: {word}")
    if any(report.refused for report in reports):
        say("")
        print_table(refusals_table(reports))
    say("")


def both(*watchers: Any) -> OnLook:
    """Give one function that passes looks on to several."""

    def on_look(looks: "list[Look]") -> None:
        for watcher in watchers:
            watcher(looks)

    return on_look
