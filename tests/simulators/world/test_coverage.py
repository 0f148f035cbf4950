"""Each interleaving is told from facts: the facts make it, and their lack or another order does not."""

from collections import Counter
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from crm_bridge.journal import State
from qianzhi.domain.requests import Key, Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.runtime.effects import Event
from simulators.record import Record
from simulators.scenario import Step
from simulators.world.banks_deals import Deal, Sent
from simulators.world.checks_bench import Bench, asking
from simulators.world.coverage import Coverage, table
from simulators.world.faults import Fault
from simulators.world.sequences import NAMES

TODAY = 20260701
NOON_US = 1_782_878_400_000_000  # of that day, in Shanghai
DAY_US = 86_400_000_000
FRONT, OTHER_FRONT = "front-b-1", "front-b-2"
FIRST = ("13900000001", "01")


class Run:
    """A run of which the test says the facts."""

    def __init__(self, date: int = TODAY, *, dated: bool = True, queued: bool = False) -> None:
        self.coverage: Counter[str] = Counter()
        self.kernel = SimpleNamespace(saw=self.saw, wall_us=NOON_US)
        self.key = Key("bank", date, "000001")
        self.sent: dict[bytes, Sent] = {}
        self.deals: dict[tuple[str, str], Deal] = {}
        teller = SimpleNamespace(sent=self.sent, identity=SimpleNamespace(zone=ZoneInfo("Asia/Shanghai")))
        profile = SimpleNamespace(name="b", space="bank", transport=SimpleNamespace(redelivers=queued))
        bank = SimpleNamespace(profile=profile, teller=teller, dates_are_ours=not dated)
        self.facts = Coverage(SimpleNamespace(kernel=self.kernel, banks=[bank]))
        self.traces = 0

    def saw(self, name: str) -> None:
        assert name in NAMES
        self.coverage[name] += 1

    def came(self, step: Step, front: str = FRONT, who: tuple[str, str] = FIRST) -> "Run":
        phone, number = who
        record = Record(self.key, Kind.RECHARGE, "recharge", 0, phone, number, 1_000)
        deal = self.deals.setdefault(who, Deal(record))
        frame = f"{step}{who}".encode()
        self.sent[frame] = Sent(deal, step)
        self.facts.on_frame_in("b", front, frame)
        return self

    def told(self, kind: str, result: str, front: str = FRONT) -> "Run":
        self.traces += 1
        trace = str(self.traces)
        name, data = ("out", {"result": result}) if result else ("silent", {"why": "unknown"})
        rows = [
            Event(0, "in", self.key.text, trace, {"kind": kind}),
            Event(0, name, self.key.text, trace, data),
        ]
        self.facts.on_rows(front, rows)
        return self

    def row(self, state: State) -> "Run":
        row = SimpleNamespace(key=self.key, state=state)
        journal = SimpleNamespace(inserts=[row], reversals=[], fences=[])
        nothing = SimpleNamespace(orders=[], transfers=[])
        self.commit(SimpleNamespace(journal=journal, billing=nothing, ledger=nothing))
        return self

    def commit(self, changes: Any) -> None:
        self.facts.on_commit("bridge-1", changes)

    def core(self, kind: str, result: str) -> "Run":
        data = {"kind": kind, "result": result}
        self.facts.on_rows("bridge-1", [Event(0, "core", self.key.text, "t", data)])
        return self

    def closed(self) -> "Run":
        fence = SimpleNamespace(space="bank", closed_through=self.key.date)
        journal = SimpleNamespace(inserts=[], reversals=[], fences=[fence])
        nothing = SimpleNamespace(orders=[], transfers=[])
        self.commit(SimpleNamespace(journal=journal, billing=nothing, ledger=nothing))
        return self

    def next_day(self) -> "Run":
        self.kernel.wall_us += DAY_US
        return self

    def approved(self) -> "Run":
        return self.came(Step.ORIGINAL).row(State.APPROVED).told("recharge", "approved")

    @property
    def seen(self) -> set[str]:
        return set(self.coverage)


STORIES = {
    "serial-shared-by-two-numbers": lambda r: r.approved().came(Step.ORIGINAL, who=("13900000002", "02")),
    "other-content": lambda r: r.approved().came(Step.OTHER),
    "repeat-after-answer": lambda r: r.approved().came(Step.REPEAT),
    "repeat-in-flight": lambda r: r.came(Step.ORIGINAL).came(Step.REPEAT),
    "repeat-after-reversal": lambda r: r.approved().row(State.REVERSED).came(Step.REPEAT),
    "reversal-before-original": lambda r: r.came(Step.REVERSAL).row(State.BLOCKED).came(Step.ORIGINAL),
    "reversal-during-original": lambda r: r.came(Step.ORIGINAL).came(Step.REVERSAL),
    "reversal-after-original": lambda r: r.approved().came(Step.REVERSAL),
    "reversal-of-refused": lambda r: r.came(Step.ORIGINAL).row(State.REFUSED).came(Step.REVERSAL),
    "reversal-of-tombstone": lambda r: r.came(Step.STATUS).row(State.BLOCKED).came(Step.REVERSAL),
    "query-before-original": lambda r: r.came(Step.STATUS).row(State.BLOCKED).came(Step.ORIGINAL),
    "query-in-flight": lambda r: r.came(Step.ORIGINAL).came(Step.STATUS),
    "query-after-answer": lambda r: r.approved().came(Step.STATUS),
    "late-original-of-closed-day": lambda r: r.closed().came(Step.ORIGINAL),
    "query-of-closed-day": lambda r: r.closed().came(Step.STATUS),
    "reversal-after-fence": lambda r: r.approved().closed().came(Step.REVERSAL),
    "unknown-told-then-queried": lambda r: (
        r.came(Step.ORIGINAL).told("recharge", "unknown").came(Step.STATUS)
    ),
    "late-reply-dropped": lambda r: (
        r.came(Step.ORIGINAL).told("recharge", "").row(State.APPROVED).core("recharge", "approved")
    ),
    "budget-spent-waiting": lambda r: r.came(Step.ORIGINAL).row(State.BLOCKED).core("recharge", "blocked"),
    "refused-after-block-alone": lambda r: (
        r.came(Step.ORIGINAL).row(State.BLOCKED).core("block", "blocked").told("recharge", "closed_hours")
    ),
    "busy-then-approved": lambda r: r.came(Step.ORIGINAL).told("recharge", "busy").approved(),
    "bad-request-alone": lambda r: r.came(Step.ORIGINAL).row(State.QUARANTINED),
}


def unknown(run: Run, result: str = "unknown") -> Run:
    return run.came(Step.ORIGINAL).row(State.APPROVED).told("recharge", result)


@pytest.mark.parametrize("name", STORIES)
def test_the_facts_of_an_interleaving_are_that_interleaving_alone(name: str) -> None:
    run = STORIES[name](Run())
    assert run.seen == {name}


def test_an_ordinary_request_is_no_interleaving() -> None:
    assert Run().approved().seen == set()


def test_what_is_taken_back_was_unknown_to_its_bank_only_while_nothing_else_was_told() -> None:
    run = unknown(Run()).came(Step.REVERSAL)
    assert "reversal-of-unknown" not in run.seen  # before anything is said to it
    assert "reversal-of-unknown" in run.row(State.REVERSED).told("reversal", "approved").seen
    told = unknown(Run()).came(Step.REPEAT).told("recharge", "approved").came(Step.REVERSAL)
    assert "reversal-of-unknown" not in told.row(State.REVERSED).told("reversal", "approved").seen
    never = Run().came(Step.ORIGINAL).told("recharge", "unknown").came(Step.REVERSAL)
    assert "reversal-of-unknown" not in never.row(State.BLOCKED).told("reversal", "not_found").seen


def test_silence_is_asked_about_and_a_code_is_no_silence() -> None:
    for said, seen in (("", True), ("unknown", False)):
        run = unknown(Run(), said).came(Step.STATUS)
        assert "silence-then-asked" not in run.seen
        assert ("silence-then-asked" in run.told("status", "approved").seen) is seen


def test_a_failover_keeps_what_was_told_before_and_is_asked_after_it() -> None:
    fails = Fault("failover", "database", 0, 1)
    for told, seen in ((True, True), (False, False)):
        run = Run().came(Step.ORIGINAL).row(State.APPROVED)
        if told:
            run.told("recharge", "approved")
        run.facts.on_fault(fails, True)
        assert "failover-keeps-answers" not in run.seen
        assert ("failover-keeps-answers" in run.came(Step.STATUS).core("status", "approved").seen) is seen
    before = Run().approved().came(Step.STATUS).core("status", "approved")
    before.facts.on_fault(fails, True)
    assert "failover-keeps-answers" not in before.seen


def test_a_refusal_on_a_queue_is_another_matter_than_on_a_socket() -> None:
    for queued in (True, False):
        run = Run(queued=queued).came(Step.ORIGINAL).row(State.BLOCKED).core("block", "blocked")
        run.told("recharge", "amount_limit")
        assert ("queue-refusal-blocks-first" in run.seen) is queued


def test_a_second_reversal_is_a_repeated_one() -> None:
    run = Run().approved().came(Step.REVERSAL).row(State.REVERSED).came(Step.REVERSAL)
    assert run.seen == {"reversal-after-original", "reversal-repeated"}


def test_midnight_matters_only_where_the_date_is_ours() -> None:
    for dated in (False, True):
        repeat = Run(dated=dated).approved().next_day().came(Step.REPEAT)
        assert ("repeat-over-midnight" in repeat.seen) is not dated
        reversal = Run(dated=dated).approved().next_day().came(Step.REVERSAL)
        assert ("reversal-over-midnight" in reversal.seen) is not dated


def test_a_bank_a_day_ahead_is_served_and_a_date_too_far_stays_refused_when_it_comes() -> None:
    assert Run(TODAY + 1).approved().seen == {"bank-a-day-ahead"}
    assert Run(TODAY - 1).approved().seen == {"bank-a-day-behind"}
    far = Run(TODAY + 2).came(Step.ORIGINAL).row(State.REFUSED).told("recharge", "bad_date")
    far.came(Step.REPEAT).told("recharge", "bad_date")
    assert "date-too-far-ahead" not in far.seen
    far.next_day().came(Step.REPEAT).told("recharge", "bad_date")
    assert "date-too-far-ahead" in far.seen


def test_a_late_reply_is_not_dropped_by_a_front_that_died_meanwhile() -> None:
    run = Run().came(Step.ORIGINAL).told("recharge", "unknown").row(State.APPROVED)
    run.facts.on_death(FRONT)
    assert "late-reply-dropped" not in run.core("recharge", "approved").seen


def test_a_copy_at_another_front_joins_nothing() -> None:
    assert Run().came(Step.ORIGINAL).came(Step.REPEAT, OTHER_FRONT).seen == set()


def test_a_damaged_frame_is_nobodys() -> None:
    run = Run()
    run.facts.on_frame_in("b", FRONT, b"\x00")
    assert run.seen == set()


def test_reversals_through_a_drain_of_the_front_itself() -> None:
    drain = Fault("drain", FRONT, 0, 1)
    for drained, seen in ((True, {"reversal-through-drain"}), (False, set())):
        run = Run().approved()
        run.facts.on_fault(drain, True)
        run.facts.on_fault(drain, drained)
        assert run.told("reversal", "approved").seen == seen


def test_rows_of_nodes_and_silent_fronts_tell_of_resent_and_expired_requests() -> None:
    run = Run()
    node = {"attempt": 1, "sends": 1}
    run.facts.on_rows("node-1", [Event(0, "node", run.key.text, "t", node)])
    assert run.seen == set()
    run.facts.on_rows("node-1", [Event(0, "node", run.key.text, "t", node | {"attempt": 2})])
    run.facts.on_rows(FRONT, [Event(0, "silent", run.key.text, "t", {"why": "expired"})])
    assert run.seen == {"resend-to-partner", "expired-not-forwarded"}


def test_arrears_are_told_from_the_postings() -> None:
    bench, run = Bench(bill_fen=1_500), Run()
    for serial in ("000001", "000002"):
        run.commit(bench.changes(asking(serial=serial)))
    assert run.seen == set()
    run.commit(bench.changes(asking(Kind.REVERSAL)))
    assert run.seen == {"reversal-into-arrears"}


def test_what_the_house_hears() -> None:
    run = Run()
    for kind, result in (
        (Kind.VOID, Result.SPENT),
        (Kind.CLOSE, Result.BREAK_OPEN),
        (Kind.CLOSE, Result.TOO_EARLY),
        (Kind.VOID, Result.APPROVED),
    ):
        request = Request(kind, *run.key, bank="b", bank_number="01")
        run.facts.on_executed("bridge-1", [request], [Reply(result)])
    assert run.coverage == {"void-of-spent-money": 1, "fence-held-by-break": 1, "fence-too-early": 1}


def test_one_fence_is_asked_for_by_the_timer_and_by_operators() -> None:
    run = Run()
    for reason, stored in (("timer", False), ("timer", True), ("12 li wang", True)):
        assert run.seen == set()
        request = Request(Kind.CLOSE, *run.key, bank="", bank_number="", reason=reason)
        run.facts.on_executed("bridge-1", [request], [Reply(Result.APPROVED, stored=stored)])
    assert run.seen == {"fence-asked-twice"}


def test_the_table_has_every_interleaving_in_the_order_of_the_rules() -> None:
    rows = table({"other-content": 3})
    assert [name for name, _ in rows] == list(NAMES)
    assert dict(rows)["other-content"] == 3
    assert sum(count for _, count in rows) == 3
