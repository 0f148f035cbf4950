"""The live table of simulated traffic: one row per bank, drawn by rich from the banks' reports."""

from rich.table import Table

from simulators.report import Report

COLUMNS = (
    "bank",
    "per s",
    "sent",
    "approved",
    "refused",
    "reversed",
    "in flight",
    "unanswered",
    "open",
    "p50 ms",
    "p99 ms",
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


def live_table(rows: list[tuple[Report, int, int]], title: str) -> Table:
    """Return the table of (report, rate, in flight) rows."""
    table = Table(title=title, title_justify="left")
    for name in COLUMNS:
        table.add_column(name, justify="left" if name == "bank" else "right")
    for report, rate, in_flight in rows:
        latency = report.latency
        table.add_row(
            report.bank,
            str(rate),
            str(report.sent),
            str(report.approved),
            str(sum(report.refused.values())),
            str(report.reversed),
            str(in_flight),
            str(report.unanswered),
            str(report.open),
            _ms(latency.quantile_us(500)),
            _ms(latency.quantile_us(990)),
        )
    return table


def final_table(reports: list[Report]) -> Table:
    """Return the table at the end: one row per bank, refusals by their reasons."""
    table = Table(title="Traffic", title_justify="left")
    for name in (
        "bank",
        "sent",
        "approved",
        "refused by reason",
        "reversed",
        "unanswered",
        "open",
        "p50 ms",
        "p99 ms",
    ):
        table.add_column(name, justify="left" if name in ("bank", "refused by reason") else "right")
    for report in reports:
        reasons = ", ".join(f"{name.lower()} {n}" for name, n in sorted(report.refused.items()))
        latency = report.latency
        table.add_row(
            report.bank,
            str(report.sent),
            str(report.approved),
            reasons or "none",
            str(report.reversed),
            str(report.unanswered),
            str(report.open),
            _ms(latency.quantile_us(500)),
            _ms(latency.quantile_us(990)),
        )
    return table


def _ms(us: int) -> str:
    return f"{us // 1000}.{us % 1000 // 100}"
