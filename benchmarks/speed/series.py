"""The runs of one thing, and the rows that set one thing beside another with goal and stretch."""

import statistics
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from load import Run
from product import part_of


@dataclass
class Series:
    """The runs of one thing: operations a second, µs of CPU for each, latencies in ms.

    `processes_us` are for each run µs of CPU for one operation by the name of a process, `generator_us` those
    of whoever made the load, which are in no other figure.
    """

    rates: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    processes_us: list[dict[str, float]] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    p999_ms: list[float] = field(default_factory=list)
    generator_us: list[float] = field(default_factory=list)
    write_late_us: list[int] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """The median rate."""
        return statistics.median(self.rates)

    @property
    def cpu(self) -> float:
        """The median CPU for one, in µs."""
        return statistics.median(self.cpu_us)

    def take(self, run: Run, processes_us: dict[str, float]) -> None:
        """Add a run of the generator with what it cost."""
        self.rates.append(round(run.rate, 1))
        self.cpu_us.append(round(sum(processes_us.values()), 2))
        self.processes_us.append(processes_us)
        self.generator_us.append(round(run.own_cpu_us, 2))
        self.write_late_us.append(run.write_late_us)
        for values, part in ((self.p50_ms, 0.5), (self.p99_ms, 0.99), (self.p999_ms, 0.999)):
            values.append(run.at(part))

    def parts_us(self, part: str) -> list[float]:
        """Return for each run the CPU of the processes of one kind (front, node, bridge …) together."""
        return [sum(us for name, us in each.items() if part_of(name) == part) for each in self.processes_us]

    def plain(self) -> dict[str, Any]:
        """Return all of it as plain data, medians first."""
        medians = {"rate": self.rate, "cpu_us": self.cpu} if self.rates else {}
        return {"median": medians, **{name: value for name, value in asdict(self).items() if value}}


@dataclass
class Row:
    """One row of the table: a figure of ours against a yardstick's, and how far it is meant to go.

    `rounds` are the figures of each round, from which the spread is seen.  A row that is `void` says why it
    counts for nothing.
    """

    title: str
    value: float
    goal: float
    stretch: float
    rounds: list[float]
    less: bool = False
    unit: str = "×"
    void: str = ""

    @property
    def met(self) -> bool:
        """Whether the goal is reached."""
        return not self.void and (self.value <= self.goal if self.less else self.value >= self.goal)

    @property
    def stretched(self) -> bool:
        """Whether the stretch is reached too."""
        return self.met and (self.value <= self.stretch if self.less else self.value >= self.stretch)

    @property
    def verdict(self) -> str:
        """One word for it."""
        if self.void:
            return f"void: {self.void}"
        return "stretch reached" if self.stretched else "goal reached" if self.met else "MISSED"

    def plain(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {**asdict(self), "verdict": self.verdict}


def ratio(
    title: str,
    ours: Iterable[float],
    theirs: Iterable[float],
    marks: tuple[float, float],
    *,
    less: bool = False,
    unit: str = "×",
) -> Row:
    """Return the row of one series' medians over another's; the rounds are compared pair by pair too."""
    ours, theirs = list(ours), list(theirs)
    value = statistics.median(ours) / statistics.median(theirs)
    rounds = [round(a / b, 3) for a, b in zip(ours, theirs, strict=True)]
    return Row(title, round(value, 3), *marks, rounds, less, unit)


def plainly(title: str, values: Iterable[float], marks: tuple[float, float], unit: str = "ms") -> Row:
    """Return the row of a figure that stands alone and is to be small."""
    rounds = [round(value, 3) for value in values]
    return Row(title, round(statistics.median(rounds), 3), *marks, rounds, True, unit)


def shown(row: Row, tell: Callable[[str], None]) -> Row:
    """Tell a row as one line, and return it."""
    sign = "at most" if row.less else "at least"
    spread = f"{min(row.rounds):.2f} to {max(row.rounds):.2f}"
    tell(f"  {row.title:46} {row.value:8.2f} {row.unit:2} ({spread}), {sign} {row.goal:g}: {row.verdict}")
    return row


def told(name: str, series: Series) -> str:
    """Return the medians of a series as a line or two."""
    low, high = min(series.rates), max(series.rates)
    lines = [f"  {name:28} {series.rate:9.0f}/s ({low:.0f} to {high:.0f}), {series.cpu:8.1f} us of CPU"]
    if series.p50_ms:
        p50, p99, p999 = map(statistics.median, (series.p50_ms, series.p99_ms, series.p999_ms))
        lines[0] += f", p50 {p50:.1f} p99 {p99:.1f} p99.9 {p999:.1f} ms"
    if series.processes_us:
        medians = {
            name: statistics.median(each.get(name, 0.0) for each in series.processes_us)
            for name in series.processes_us[0]
        }
        parts = ", ".join(f"{part} {us:.1f}" for part, us in medians.items())
        lines.append(f"  {'':28} {parts}; generator apart {statistics.median(series.generator_us):.1f}")
    return "\n".join(lines)
