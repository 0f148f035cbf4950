"""More than the product can do: does it shed at the edge, keep its word, and recover?

    python overload.py [--seconds 6] [--rounds 3] [--banks 4]

First the capacity is measured with a closed window.  Then twice and five times as much comes on a schedule
that waits for nobody, and falls to half of the capacity: what is accepted must be answered within the bank's
deadline, all else must hear a code of the edge, nothing may be lost or doubled, and after the fall the
product must serve normally again.  Then one bank floods, or reads none of its answers, while others send a
little: their p99 must be at most twice that of a control run, by turns, in which the same total load is
spread evenly.  Exit code 1 when something of this does not hold.  Results: build/bench/overload.json.
"""

import argparse
import json
import statistics
import sys
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parent))

from bank import SERIALS, Bank
from load import RESULTS, Run, at_part, drive
from machine import brief, machine
from neighbours import Neighbours
from product import Product
from system import SUBSCRIBERS, tell

WINDOW = 64
IN_FLIGHT = 1_000  # of each bank, as its profile has it
CONNECTIONS = 8
FACTORS = (2, 5)
AFTER = 0.5  # of the capacity, once the load has fallen
AFTER_SECONDS = 12
LOOK_NS = 500_000_000  # the pieces of time that are looked at for recovery
WELL_PART = 0.99  # of a piece's requests approved and quick: served normally
RECOVERED_SECONDS_MAX = 5
EDGE = ("96", "91")  # busy, unavailable: said before anything was forwarded
OPEN_ENDS = ("68", "09")  # unknown, in process: the bank has to ask, and nothing is lost
NEIGHBOUR_MAX = 2.0


@dataclass
class Overload:
    """What came of one load above the capacity."""

    factor: int
    offered_per_second: float
    codes: dict[str, int]
    unanswered: int
    accepted_per_second: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    deadline_ms: float
    recovered_seconds: float
    settled: int
    unexplained: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """What does not hold."""
        found = list(self.unexplained)
        if self.p99_ms > self.deadline_ms:
            found.append(f"p99 of the accepted {self.p99_ms:.0f} ms, deadline {self.deadline_ms:.0f} ms")
        if self.recovered_seconds > RECOVERED_SECONDS_MAX:
            found.append(f"served normally only {self.recovered_seconds:.1f} s after the load had fallen")
        return found


def capacity(product: Product, bank: Bank, seconds: float) -> float:
    """Return how many recharges a second the product makes when each line waits for its answers."""
    rate = 500.0
    for _ in range(3):
        frames, first = bank.fresh(int(max(CONNECTIONS * WINDOW * 2, rate * seconds)))
        run = drive(bank.address, frames, connections=CONNECTIONS, window=WINDOW, first_serial=first)
        if run.unanswered or bank.check(run)[bank.approved] != run.answered:
            raise SystemExit("the product refused or left open something below its capacity")
        rate = run.rate
    return rate


def overload(product: Product, bank: Bank, rate: float, factor: int, seconds: float) -> Overload:
    """Offer so many times the capacity for a while, then half of it; return what came of it."""
    high, low = rate * factor, rate * AFTER
    seconds = min(seconds, (SERIALS - low * AFTER_SECONDS) / high)  # one business date has no more
    flood, calm = int(high * seconds), int(low * AFTER_SECONDS)
    frames, first = bank.fresh(flood + calm)
    deadline_ms = bank.profile.limits.reply_seconds * 1000
    before = journal(product, bank)
    run = drive(
        bank.address, frames, connections=CONNECTIONS, rate=f"{high}:{seconds},{low}", first_serial=first,
        wait_ms=int(deadline_ms + 10_000),
    )  # fmt: skip
    codes = bank.codes_of(run)
    accepted = sorted(
        (run.times[2 * at + 1] - run.times[2 * at]) / 1e6
        for at in range(flood)
        if codes.get(run.first_serial + at) == bank.approved
    )
    found = Overload(
        factor=factor,
        offered_per_second=round(high),
        codes=dict(Counter(codes.values())),
        unanswered=run.unanswered,
        accepted_per_second=round(len(accepted) / seconds),
        p50_ms=at_part(accepted, 0.5),
        p99_ms=at_part(accepted, 0.99),
        p999_ms=at_part(accepted, 0.999),
        deadline_ms=deadline_ms,
        recovered_seconds=recovered(run, codes, bank.approved, flood, seconds),
        settled=journal(product, bank) - before,
    )
    found.unexplained = unexplained(found, run, codes, bank)
    return found


def unexplained(found: Overload, run: Run, codes: dict[int, str], bank: Bank) -> list[str]:
    """Return what no rule explains: other codes, money without an answer, answers without money."""
    said = []
    approved = found.codes.get(bank.approved, 0)
    known = {bank.approved, *EDGE, *OPEN_ENDS}
    said += [f"{count} × code {code}" for code, count in found.codes.items() if code not in known]
    open_ = found.unanswered + sum(found.codes.get(code, 0) for code in OPEN_ENDS)
    if found.settled < approved:
        said.append(f"LOST: {approved} were answered as approved, the journal has {found.settled}")
    if found.settled > approved + open_:
        said.append(f"DOUBLED: {found.settled} in the journal, {approved} approved and {open_} open")
    if found.unanswered > run.requests * 0.001:
        said.append(f"{found.unanswered} of {run.requests} requests heard nothing")
    return said


def recovered(run: Run, codes: dict[int, str], approved: str, flood: int, seconds: float) -> float:
    """Return after how many seconds from the fall of the load a piece of time is served normally again, and
    all later ones are: 99 of 100 of the requests due in it approved within a second.
    """
    pieces: dict[int, list[bool]] = {}
    for at in range(flood, run.requests):
        due, done = run.times[2 * at], run.times[2 * at + 1]
        well = codes.get(run.first_serial + at) == approved and 0 <= done - due < 1_000_000_000
        pieces.setdefault(int((due - seconds * 1e9) // LOOK_NS), []).append(well)
    bad = [piece for piece, all_ in pieces.items() if sum(all_) < len(all_) * WELL_PART]
    return (max(bad) + 1) * LOOK_NS / 1e9 if bad else 0.0


def journal(product: Product, bank: Bank) -> int:
    """Return how many approved keys the journal has of a bank."""
    space = bank.profile.space
    question = f"SELECT count(*) FROM journal WHERE space = '{space}' AND state = 1"  # noqa: S608
    return int(product.sql(question))


def neighbours(
    product: Product, banks: list[Bank], rate: float, rounds: int, seconds: float
) -> dict[str, Any]:
    """Return the others' p99 beside one that floods, and beside one that does not read, against controls."""
    house = Neighbours(banks[::-1], rate, seconds)  # the last one has all its serials yet
    found: dict[str, Any] = {}
    for name, work, control in (
        ("flooding", house.flooded, house.flood_control),
        ("stuck", house.stuck, house.stuck_control),
    ):
        pairs = [(work(), control()) for _ in range(rounds)]
        ratio = statistics.median(pair[0] for pair in pairs) / statistics.median(pair[1] for pair in pairs)
        found[name] = {"p99_ms": [list(pair) for pair in pairs], "ratio": round(ratio, 2)}
        tell(
            f"  beside a {name} bank: p99 {ratio:.2f} x the control's; {[list(map(round, p)) for p in pairs]}"
        )
    return found


def measure(given: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """Run everything; return results and faults."""
    product = Product(SUBSCRIBERS, banks=given.banks, in_flight=IN_FLIGHT)
    try:
        product.start()
        banks = [Bank(product, name) for name in product.banks]
        rate = capacity(product, banks[0], min(3.0, given.seconds))
        tell(f"capacity {rate:.0f} a second")
        faults, loads = [], []
        for factor in FACTORS:
            found = overload(product, banks[0], rate, factor, given.seconds)
            loads.append(asdict(found))
            tell(
                f"  {factor} x: {found.accepted_per_second}/s accepted, p50 {found.p50_ms:.0f} p99 "
                f"{found.p99_ms:.0f} p99.9 {found.p999_ms:.0f} ms of {found.deadline_ms:.0f}; codes "
                f"{found.codes}, {found.unanswered} unanswered; normal after {found.recovered_seconds:.1f} s"
            )
            faults += [f"{factor} x: {each}" for each in found.faults]
        beside = neighbours(product, banks, rate, given.rounds, given.seconds)
        for name, one in beside.items():
            if one["ratio"] > NEIGHBOUR_MAX:
                faults.append(f"beside a {name} bank the others' p99 is {one['ratio']} x the control's")
        product.qianzhi("audit-books")
        found_all = {"capacity": rate, "loads": loads, "neighbours": beside, "memory_mb": product.memory()}
    finally:
        product.close()
    return found_all, faults


def main() -> int:
    """Measure, write it down, and say what does not hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--banks", type=int, default=4)
    given = parser.parse_args()
    about = machine()
    tell(brief(about))
    found, faults = measure(given)
    RESULTS.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"machine": about, **found, "faults": faults}, indent=1, ensure_ascii=False)
    (RESULTS / "overload.json").write_text(text, encoding="utf-8")
    for fault in faults:
        tell(f"  {fault}")
    tell("bench-overload: " + (f"{len(faults)} faults" if faults else "holds") + ", books balanced")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
