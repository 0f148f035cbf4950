"""What came of a chaos run: the table by kinds of fault, what did not hold, and the last line."""

import statistics
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Done:
    """One fault that was carried out; moments are monotonic seconds, None for what did not come."""

    kind: str
    victim: str
    banks: tuple[str, ...]
    began: float
    lifted: float = 0.0
    served: float | None = None  # every bank that it touched had an approval again
    healed: float | None = None  # what it struck is as it should be
    over: float = 0.0
    gap: float = 0.0  # the longest time without an approval of any one bank that it touched
    struck: bool = True
    trouble: str = ""
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


@dataclass
class Outcome:
    """Everything that was found; `banks` is what the banks' process proved, `house` what was of our charges
    and acts (`chaos_money.judged`).
    """

    seed: int
    rate: int
    done: list[Done]
    banks: dict[str, Any]
    house: dict[str, Any] = field(default_factory=dict)
    untouched: tuple[int, int] = (0, 0)  # requests, and how many of them were not served
    database: dict[str, list[str]] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)
    unbounded: list[str] = field(default_factory=list)
    connections: int = 0
    leaks: list[str] = field(default_factory=list)
    chain: str = ""  # what is wrong with the audit chain
    scanned: tuple[int, ...] = ()

    @property
    def lost(self) -> int:
        """Requests whose money the bank has paid, or the network's cardholder, and the core does not hold."""
        missing = self.database.get("an approved key without its work order", ())
        return int(self.banks.get("lost", 0)) + len(missing) + len(self.house.get("lost", ()))

    @property
    def doubled(self) -> int:
        """Requests for which the core holds more than was paid."""
        twice = sum(len(rows) for what, rows in self.database.items() if "without its work order" not in what)
        return int(self.banks.get("doubled", 0)) + twice + len(self.house.get("doubled", ()))

    @property
    def unanswered(self) -> int:
        """Requests, charges and acts that have no final state after all has healed."""
        banks = max(int(self.banks.get("unanswered", 0)), int(self.banks.get("open", 0)))
        return banks + len(self.house.get("unanswered", ()))

    @property
    def requests(self) -> int:
        """The banks' requests, and the house's own."""
        return int(self.banks.get("requests", 0)) + int(self.house.get("asked", 0))

    @property
    def faults(self) -> list[str]:
        """Everything that did not hold, in words."""
        found = [] if self.banks else ["the banks' process has proved nothing"]
        for done in self.done:
            if done.trouble:
                found.append(f"{done.kind} {done.victim}: {done.trouble}")
            if done.served is None:
                found.append(f"{done.kind} {done.victim}: the banks that it touched were not served again")
            if done.healed is None:
                found.append(f"{done.kind} {done.victim}: not healed")
        for what, keys in self.banks.get("disagreements", {}).items():
            found += [f"{what}: {key}" for key in keys]
        charged_fen = self.house.get("credited_fen", 0)
        if self.banks and self.banks["paid_fen"] + charged_fen != self.banks["held_fen"]:
            found.append(
                f"the banks paid {self.banks['paid_fen']} fen and {charged_fen} were charged, the core holds "
                f"{self.banks['held_fen']}"
            )
        for what in ("lost", "doubled", "unanswered"):
            found += [f"{what}: {words}" for words in self.house.get(what, ())]
        found += self.house.get("faults", ())
        found += [f"the books: {check}, {number}" for check, number in self.banks.get("books", {}).items()]
        for report in self.banks.get("reports", ()):
            found += [f"{report['bank']}: {n} times {what}" for what, n in report["surprises"].items()]
            found += [
                f"{report['bank']}: totals of {day} {word}"
                for day, word in report["totals"].items()
                if word == "unequal"
            ]
        found += [f"{what}: {', '.join(rows[:5])}" for what, rows in self.database.items()]
        found += [f"{number} messages wait in {name}" for name, number in self.waiting.items()]
        found += [f"the audit chain: {self.chain}"] if self.chain else []
        return found + self.unbounded + [f"leaked into {leak}" for leak in self.leaks]

    @property
    def good(self) -> bool:
        """Whether everything held."""
        return not self.faults and not (self.lost or self.doubled or self.unanswered)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for the report's file."""
        return asdict(self) | {
            "faults": self.faults,
            "line": summary(self),
            "availability": availability(self),
        }


def availability(outcome: Outcome) -> float:
    """The share of the untouched banks' requests that were served, in percent."""
    requests, failed = outcome.untouched
    return 100.0 * (requests - failed) / requests if requests else 100.0


def table(outcome: Outcome) -> str:
    """Return the table by kinds of fault, as docs/RELIABILITY.md holds it, and the figures below it."""
    lines = [
        "| fault | times | served again after, s: median | worst | healed after, s: worst | longest gap, s |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    kinds: dict[str, list[Done]] = {}
    for done in outcome.done:
        kinds.setdefault(done.kind, []).append(done)
    for kind in sorted(kinds):
        same = kinds[kind]
        served = [each.served - each.lifted for each in same if each.served is not None]
        healed = [each.healed - each.lifted for each in same if each.healed is not None]
        missed = sum(not each.struck for each in same)
        name = f"{kind} ({missed} not reached)" if missed else kind
        middle = f"{statistics.median(served):.1f}" if served else "never"
        worst, well = (f"{max(each):.1f}" if len(each) == len(same) else "never" for each in (served, healed))
        gap = max(each.gap for each in same)
        lines.append(f"| {name} | {len(same)} | {middle} | {worst} | {well} | {gap:.1f} |")
    requests, failed = outcome.untouched
    charges, credited, acts = (outcome.house.get(name, 0) for name in ("charges", "credited", "acts"))
    files, size, configured, working = outcome.scanned or (0, 0, 0, 0)
    return "\n".join(
        [
            *lines,
            "",
            f"{outcome.banks.get('requests', 0)} requests, {outcome.banks.get('answered', 0)} answered",
            f"{charges} charges asked of a network, {credited} credited; {acts} acts of operators",
            f"untouched banks: {requests} requests, {failed} not served, "
            f"{availability(outcome):.3f} % served",
            f"files searched: {files} with {size / 1e6:.0f} MB, for 1000 cards, {configured} configured and "
            f"{working} working keys; found in {len(outcome.leaks)}",
            f"the database had at most {outcome.connections} connections",
        ]
    )


def summary(outcome: Outcome) -> str:
    """Return the last line."""
    return (
        f"chaos: {len(outcome.done)} faults, {outcome.requests} requests, "
        f"{outcome.lost} lost, {outcome.doubled} doubled, {outcome.unanswered} unanswered after heal"
    )
