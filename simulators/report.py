"""What a simulated bank has seen: counters, and a histogram of latencies that does not grow."""

from dataclasses import dataclass, field
from typing import Any

SUB_BITS = 6  # 64 steps to each power of two: a quantile is right to within 1.6 %
BUCKETS = 64 * 40


class Histogram:
    """Counts of microseconds in logarithmic buckets; memory is fixed, whatever is added."""

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.n = 0
        self.max_us = 0

    def add(self, us: int) -> None:
        """Count one latency; a negative one (a clock that was set) counts as zero."""
        us = max(0, us)
        index = _bucket(us)
        self.counts[index] = self.counts.get(index, 0) + 1
        self.n += 1
        self.max_us = max(self.max_us, us)

    def quantile_us(self, per_mille: int) -> int:
        """Return the latency below which `per_mille` thousandths lie (a bucket's upper edge), 0 for none."""
        wanted = max(1, -(-self.n * per_mille // 1000))
        seen = 0
        for index in sorted(self.counts):
            seen += self.counts[index]
            if seen >= wanted:
                return min(_upper(index), self.max_us)
        return 0

    def merge(self, other: "Histogram") -> None:
        """Add all of another histogram."""
        for index, n in other.counts.items():
            self.counts[index] = self.counts.get(index, 0) + n
        self.n += other.n
        self.max_us = max(self.max_us, other.max_us)


def _bucket(us: int) -> int:
    shift = max(0, us.bit_length() - SUB_BITS - 1)
    return min(BUCKETS - 1, (shift << SUB_BITS) + (us >> shift))


def _upper(index: int) -> int:
    """Return the largest value that falls into a bucket."""
    shift = max(0, (index >> SUB_BITS) - 1)
    return (((index - (shift << SUB_BITS)) + 1) << shift) - 1


@dataclass(slots=True)
class Report:
    """One bank's numbers.

    `sent` counts requests (steps), `resent` the messages beyond these that settled them; `answered` the
    requests with a conclusive answer, `unanswered` those whose message once went without one in time,
    whatever came of them later; `open` the requests still without a final state.  `surprises` are answers
    that contradict what was said before.
    """

    bank: str
    sent: int = 0
    resent: int = 0
    answered: int = 0
    approved: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    reversed: int = 0
    unanswered: int = 0
    open: int = 0
    late: int = 0
    unmatched: int = 0
    bad: int = 0  # frames that could not be read or whose MAC was wrong
    held: int = 0
    skipped: int = 0
    line_losses: int = 0
    steps: dict[str, int] = field(default_factory=dict)
    surprises: dict[str, int] = field(default_factory=dict)
    totals: dict[str, str] = field(default_factory=dict)  # day -> equal, unequal, or no answer
    latency: Histogram = field(default_factory=Histogram)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for --json; latencies in microseconds."""
        return {
            "bank": self.bank,
            "sent": self.sent,
            "resent": self.resent,
            "answered": self.answered,
            "approved": self.approved,
            "refused": dict(sorted(self.refused.items())),
            "reversed": self.reversed,
            "unanswered": self.unanswered,
            "open": self.open,
            "late": self.late,
            "unmatched": self.unmatched,
            "bad": self.bad,
            "held": self.held,
            "skipped": self.skipped,
            "line_losses": self.line_losses,
            "steps": dict(sorted(self.steps.items())),
            "surprises": dict(sorted(self.surprises.items())),
            "totals": dict(sorted(self.totals.items())),
            "latency_us": {
                "n": self.latency.n,
                "p50": self.latency.quantile_us(500),
                "p99": self.latency.quantile_us(990),
                "max": self.latency.max_us,
            },
        }


def tally(counts: dict[str, int], name: str, n: int = 1) -> None:
    """Add `n` to one name's count."""
    counts[name] = counts.get(name, 0) + n
