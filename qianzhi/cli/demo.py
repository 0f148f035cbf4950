"""`qianzhi demo`: the whole path for a while on data of its own, and the proof that nothing was lost.

*Answered* means that the bank's own record of a serial is final and the core holds for it just the money that
the bank says it paid.  Records are compared one by one, then the sums, then the books are audited.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from qianzhi.cli.feeding import both, feed, live_view, show_result
from qianzhi.cli.looking import core_url
from qianzhi.cli.machine import Machine
from qianzhi.cli.output import BROKEN, USAGE, CommandError, say, show_table
from qianzhi.cli.running import ended_by_signals, running
from qianzhi.cli.watching import Killer, Watch

if TYPE_CHECKING:
    from qianzhi.cli.checks import Checked
    from qianzhi.cli.chosen import Chosen
    from qianzhi.link.tables import Site
    from simulators.compare import Disagreement
    from simulators.record import Record
    from simulators.traffic import TrafficResult

SETTLE_SECONDS = 60
SHOWN_MAX = 20


class Plan(NamedTuple):
    """What the demonstration does; `kill` is node, front, bridge, a daemon's name or empty."""

    seconds: int
    rate: int
    kill: str
    seed: int


@dataclass(frozen=True)
class Proof:
    """What came of it."""

    banks: int
    requests: int
    answered: int
    lost: int
    balanced: bool
    faults: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether everything is as it must be."""
        return not self.lost and self.balanced and not self.faults and self.answered == self.requests

    @property
    def line(self) -> str:
        """The last line."""
        books = "books balanced" if self.balanced else "books NOT balanced"
        return (
            f"demo: {self.banks} banks, {self.requests} requests, {self.answered} answered, "
            f"{self.lost} lost, {books}"
        )


def demo_command(chosen: "Chosen", seconds: int, rate: int, kill: str, seed: int) -> None:
    """Run the demonstration; exit 0 only if everything is proved."""
    from qianzhi.cli.checks import require
    from qianzhi.cli.laying_out import is_spread, own_copy
    from qianzhi.link.site import data_folder

    _, site = require(chosen.config, chosen.site)
    if kill:
        victim(site, kill)
    folder = data_folder(site) / (f"{site.name}-demo" if is_spread(site) else "demo")
    proof: list[Proof] = []
    with ended_by_signals(), own_copy(chosen, site, folder, own_ports=True) as own:
        proof.append(demonstrate(own, *require(own.config), Plan(seconds, rate, kill, seed)))
    if not proof:
        raise CommandError(BROKEN, "ended before its time, so nothing is proved")
    for fault in proof[0].faults:
        say(f"fault: {fault}")
    say(proof[0].line)
    if not proof[0].good:
        raise SystemExit(BROKEN)


def demonstrate(chosen: "Chosen", checked: "Checked", site: "Site", plan: Plan) -> Proof:
    """Start, feed, kill if wanted, settle, compare, stop."""
    system = Machine(chosen, site)
    system.refuse_taken_ports()
    watch = Watch()
    with running(system, checked):
        name = victim(site, plan.kill) if plan.kill else ""
        kill = f"; {name} is killed half-way" if name else ""
        say(f"{len(site.banks)} banks send {plan.rate} requests a second together for {plan.seconds} s{kill}")
        killer = Killer(system, name, plan.seconds / 2) if name else None
        if killer:
            killer.start()
        with live_view("qianzhi demo") as on_look:
            watchers = both(watch, on_look)
            result = feed(
                chosen, checked, site, [], plan.rate, plan.seconds, plan.seed, watchers, SETTLE_SECONDS
            )
        watch.end()
        faults = kill_report(killer, watch) if killer else []
        show_result(result)
        return prove(core_url(checked, site), result, faults)


def victim(site: "Site", kill: str) -> str:
    """Return the daemon that is killed: the one of this name, or the first of this kind.

    Raises CommandError where there is none.
    """
    from qianzhi.link.site import fronts

    names: dict[str, list[str]] = {
        "node": list(site.nodes),
        "bridge": list(site.bridges),
        "front": [name for name, _, _, _ in fronts(site)],
    }
    if kill in names:
        return names[kill][0]
    known = [name for kind in names.values() for name in kind]
    if kill not in known:
        raise CommandError(USAGE, f"--kill {kill!r}", f"one of node, front, bridge, or of {', '.join(known)}")
    return kill


def kill_report(killer: Killer, watch: Watch) -> list[str]:
    """Say what the kill did; return what is wrong about it."""
    killer.wait()
    if not killer.killed_at:
        return ["the daemon was not killed"]
    if killer.again_seconds is None:
        return [f"{killer.name} did not come back"]
    following, longest = watch.gap_after(killer.killed_at)
    say(f"killed {killer.name} (process {killer.pid}) with SIGKILL in mid-run:")
    say(f"    the longest gap without an approval was {gap_words(longest)}")
    say(f"    the next approved answer came after {gap_words(following)}")
    say(f"    {killer.name} was running again after {killer.again_seconds:.1f} s")
    return [] if following < float("inf") else ["no request was approved after the kill"]


def gap_words(seconds: float) -> str:
    """Write a gap in milliseconds; one that did not end has no number."""
    return f"{seconds * 1000:.0f} ms" if seconds < float("inf") else "never"


def prove(url: str, result: "TrafficResult", faults: list[str]) -> Proof:
    """Compare the banks' records with the journal, the sums with the books, and audit the books."""
    from crm_bridge.audit import audit_books
    from crm_bridge.lookup import totals

    records = [record for each in result.records.values() for record in each]
    wrong = disagreements(url, records)
    show_table(("disagreement", "the bank", "the core"), wrong[:SHOWN_MAX])
    paid_fen, held_fen = sum(record.standing_fen for record in records), totals(url).credited_fen
    if paid_fen != held_fen:
        faults.append(f"the banks paid {paid_fen} fen, the core holds {held_fen} fen")
    for bank, report in result.reports.items():
        faults += [f"{bank}: {n} times {what}" for what, n in report.surprises.items()]
    reports = result.reports.values()
    requests, answered = sum(each.sent for each in reports), sum(each.answered for each in reports)
    lost = max(len(wrong), requests - answered, sum(each.open for each in reports))
    return Proof(len(reports), requests, answered, lost, audit_books(url).balanced, tuple(faults))


def disagreements(url: str, records: "list[Record]") -> "list[Disagreement]":
    """Return the keys on which a bank and the core do not agree."""
    from crm_bridge.lookup import find_keys
    from simulators.compare import compare

    return compare(records, find_keys(url, [record.key for record in records]).values()).disagreements
