"""All banks of the chaos run in one process: they send until SIGINT, settle, and hold their own records
against the core's.

    python benchmarks/chaos_banks.py CONFIG RATE SEED SETTLE_SECONDS RESULT

stdout: the banks' names, then five lines a second, `[seconds, [[sent, answered, approved, unanswered,
refused at the edge], ...]]` in the order of the names.  RESULT gets what was proved, as JSON.
"""

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from chaos_proof import judged

from crm_bridge.audit import audit_books
from crm_bridge.lookup import JournalView, find_keys, totals
from qianzhi.cli.checks import require
from qianzhi.cli.chosen import Chosen
from qianzhi.cli.feeding import feed, with_lines
from qianzhi.cli.looking import core_url
from qianzhi.runtime import clock
from simulators.record import Record
from simulators.report import Report
from simulators.traffic import Look, TrafficResult

SAMPLE_SECONDS = 0.2
KEYS_AT_ONCE = 2_000
SHOWN_MAX = 50
EDGE = ("BUSY", "UNAVAILABLE", "NO_ROUTE", "NOT_SIGNED_ON")


class Samples:
    """Writes how far each bank is, by a thread that reads the growing reports."""

    def __init__(self) -> None:
        self._reports: list[Report] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write_all, daemon=True)

    def __call__(self, looks: list[Look]) -> None:
        """Take the reports from the first look; they go on changing."""
        if not self._reports and looks:
            self._reports = [look.report for look in looks]
            write([report.bank for report in self._reports])
            self._thread.start()

    def end(self) -> None:
        """Write no more."""
        self._over.set()
        if self._reports:
            self._thread.join()

    def _write_all(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            rows = [
                [each.sent, each.answered, each.approved, each.unanswered, refused_at_edge(each)]
                for each in self._reports
            ]
            write([round(clock.monotonic_seconds(), 3), rows])


def refused_at_edge(report: Report) -> int:
    """How many requests of a bank were turned away before the core saw them."""
    return sum(report.refused.get(name, 0) for name in EDGE)


def write(line: Any) -> None:
    """Write one line at once."""
    sys.stdout.write(json.dumps(line, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def proved(url: str, result: TrafficResult) -> dict[str, Any]:
    """Hold every record against the journal, the sums against the books, and the books against themselves."""
    records = [record for each in result.records.values() for record in each]
    money = judged(with_rows(url, records))
    reports = list(result.reports.values())
    books = audit_books(url)
    found = totals(url)
    return {
        "banks": len(reports),
        "requests": sum(each.sent for each in reports),
        "answered": sum(each.answered for each in reports),
        "open": sum(each.open for each in reports),
        "lost": len(money.lost),
        "doubled": len(money.doubled),
        "unanswered": len(money.unanswered),
        "disagreements": {
            name: getattr(money, name)[:SHOWN_MAX] for name in ("lost", "doubled", "unanswered")
        },
        "paid_fen": money.paid_fen,
        "held_fen": found.credited_fen,
        "keys": found.keys,
        "books": books.found,
        "violations": [list(each) for each in books.violations[:SHOWN_MAX]],
        "reports": [each.as_dict() for each in reports],
        "seconds": result.seconds,
    }


def with_rows(url: str, records: list[Record]) -> Iterator[tuple[Record, JournalView | None]]:
    """Yield every record with its row of the journal, None where there is none."""
    for at in range(0, len(records), KEYS_AT_ONCE):
        part = records[at : at + KEYS_AT_ONCE]
        rows = find_keys(url, [record.key for record in part])
        for record in part:
            yield record, rows.get(record.key)


def main() -> None:
    """Send, settle, prove."""
    config, rate, seed, settle_seconds, target = sys.argv[1:6]
    chosen = Chosen(Path(config))
    checked, site = require(chosen.config)
    samples = Samples()
    asking = [bank for bank in with_lines(site) if checked.profiles[bank].outward is None]
    result = feed(chosen, checked, site, asking, int(rate), None, int(seed), samples, int(settle_seconds))
    samples.end()
    found = proved(core_url(checked, site), result)
    Path(target).write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
