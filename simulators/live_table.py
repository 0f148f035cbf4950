"""The tables of simulated traffic, drawn by rich from the banks' reports, to fit 80 columns."""

from rich import box
from rich.table import Table

from simulators.report import Histogram, Report

FIGURES = ("sent", "approved", "refused", "reversed")
COLUMNS_MAX = 6  # of banks side by side
MOST_MAX = 2
AROUND_LINES = 7  # of the live table: title, heads, rules, all banks together
CAPTION_LINES = 2
NARROW_COLUMNS = 96  # below this the columns stand one blank apart
CAPTION = (
    "Some requests are wrong on purpose (unknown phones, bad amounts,\n"
    "used serials, nothing owed): most refusals are right answers."
)


class Rates:
    """Requests a second since the look before, per bank."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[int, int]] = {}

    def look(self, bank: str, sent: int, mono_us: int) -> int:
        """Return the rate since the last look; the first look has none."""
        before_sent, before_us = self._before.get(bank, (sent, mono_us))
        self._before[bank] = (sent, mono_us)
        passed_us = mono_us - before_us
        return (sent - before_sent) * 1_000_000 // passed_us if passed_us > 0 else 0


def live_table(rows: list[tuple[Report, int, int]], title: str, width: int = 80, height: int = 0) -> Table:
    """Return the table of (report, rate, in flight) rows, with a row for all banks together.

    On a terminal that is too low first the caption goes, then the last banks; all together always stand.
    """
    table = _table(
        title, ("bank", "per s", *FIGURES, "in\nflight", "no\nanswer", "p50\nms", "p99\nms"), width
    )
    room = height - AROUND_LINES if height else len(rows) + CAPTION_LINES
    if len(rows) + CAPTION_LINES <= room:
        table.caption, table.caption_justify = CAPTION, "left"
    shown = rows if len(rows) <= room else rows[: max(1, room - 1)]
    for report, rate, in_flight in shown:
        table.add_row(report.bank, str(rate), *_figures(report), str(in_flight), *_end(report))
    if len(shown) < len(rows):
        table.add_row(f"{len(rows) - len(shown)} more")
    if len(rows) > 1:
        table.add_section()
        whole = _whole([report for report, _, _ in rows])
        rate, in_flight = (sum(row[at] for row in rows) for at in (1, 2))  # type: ignore[misc]
        table.add_row(whole.bank, str(rate), *_figures(whole), str(in_flight), *_end(whole))
    return table


def final_table(reports: list[Report]) -> Table:
    """Return the table at the end: one row per bank; `refusals_table` says why requests were refused."""
    table = _table("", ("bank", *FIGURES, "unanswered", "open", "p50 ms", "p99 ms"), 80)
    for report in reports:
        unanswered, p50, p99 = _end(report)
        table.add_row(report.bank, *_figures(report), unanswered, str(report.open), p50, p99)
    return table


def refusals_table(reports: list[Report]) -> Table:
    """Return refusals by their reasons, the commonest first: one row per reason, one column per bank.

    Of more banks than columns fit, each row says all together and who had most.
    """
    many = len(reports) > COLUMNS_MAX
    columns = ("all", "most at") if many else tuple(report.bank for report in reports)
    table = _table("", ("refused because", *columns), 80)
    if many:
        table.columns[-1].justify = "left"
    sums: dict[str, int] = {}
    for report in reports:
        for name, n in report.refused.items():
            sums[name] = sums.get(name, 0) + n
    for name in sorted(sums, key=lambda name: (-sums[name], name)):
        words = name.lower().replace("_", " ")
        counts = [(report.bank, report.refused.get(name, 0)) for report in reports]
        if many:
            most = sorted((one for one in counts if one[1]), key=lambda one: -one[1])[:MOST_MAX]
            table.add_row(words, str(sums[name]), ", ".join(f"{bank} {n}" for bank, n in most))
        else:
            table.add_row(words, *(str(n) for _, n in counts))
    return table


def _table(title: str, columns: tuple[str, ...], width: int) -> Table:
    table = Table(
        title=title or None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 0 if width < NARROW_COLUMNS else 1),
    )
    for at, name in enumerate(columns):
        table.add_column(name, justify="left" if at == 0 else "right", no_wrap=True, vertical="bottom")
    return table


def _figures(report: Report) -> tuple[str, ...]:
    refused = sum(report.refused.values())
    return str(report.sent), str(report.approved), str(refused), str(report.reversed)


def _end(report: Report) -> tuple[str, str, str]:
    latency = report.latency
    return str(report.unanswered), _ms(latency.quantile_us(500)), _ms(latency.quantile_us(990))


def _whole(reports: list[Report]) -> Report:
    """Return all banks as one."""
    whole = Report("all", latency=Histogram())
    for report in reports:
        whole.sent += report.sent
        whole.approved += report.approved
        whole.refused["all"] = whole.refused.get("all", 0) + sum(report.refused.values())
        whole.reversed += report.reversed
        whole.unanswered += report.unanswered
        whole.latency.merge(report.latency)
    return whole


def _ms(us: int) -> str:
    return f"{us // 1000}.{us % 1000 // 100}"
