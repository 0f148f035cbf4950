"""Writers with a core that fails on purpose, then with the real core on SQLite and a real thread."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

from crm_bridge.audit import audit_books
from crm_bridge.bridge import Batch, Work
from crm_bridge.gateway import Gateway
from crm_bridge.gateway_errors import CommitUnknownError, RaceError, RetryableError, Trouble
from crm_bridge.seed import seed
from crm_bridge.settings import CoreSettings
from crm_bridge.writer import Writer
from qianzhi.domain.dates import business_date
from qianzhi.domain.requests import Key, Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.link.messages import Status
from qianzhi.runtime import clock
from qianzhi.runtime.effects import Alarm
from qianzhi.runtime.now import SECOND_US, Now

ZONE = ZoneInfo("Asia/Shanghai")


class FaultyCore:
    """Approves everything, remembers what it did, and fails as told.

    `faults` are raised by the next calls of `execute`, one each; `poison` names serials that break any list
    that they stand in; a commit whose outcome is unknown has happened when `committed` says so.
    """

    def __init__(self) -> None:
        self.faults: list[Exception | None] = []
        self.poison: set[str] = set()
        self.broken_quarantine = False
        self.committed = True
        self.kept: dict[Key, Reply] = {}
        self.lists: list[list[Request]] = []
        self.quarantined: list[str] = []

    def execute(
        self, requests: Sequence[Request], now: Now, again: Callable[[], Sequence[Request]] | None = None
    ) -> list[Reply]:
        self.lists.append(list(requests))
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None and not (isinstance(fault, CommitUnknownError) and self.committed):
            raise fault
        if self.poison & {request.serial for request in requests}:
            raise ZeroDivisionError("one of them")
        replies = [self._settle(request) for request in requests]
        if fault is not None:
            raise fault
        return replies

    def quarantine(self, request: Request, now: Now) -> Reply:
        if self.broken_quarantine:
            raise ZeroDivisionError("here too")
        self.quarantined.append(request.serial)
        return Reply(Result.QUARANTINED)

    def take_alarms(self) -> list[Alarm]:
        return []

    def _settle(self, request: Request) -> Reply:
        result = Result.BLOCKED if request.kind is Kind.BLOCK else Result.APPROVED
        return self.kept.setdefault(request.key, Reply(result, order=request.serial))


class HandClock:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.at = Now(1_000_000, 1_793_000_000_000_000)
        self.slept: list[float] = []

    def now(self) -> Now:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at = self.at.after(int(seconds * SECOND_US))


class Bench:
    """A writer whose thread is the test's own."""

    def __init__(self) -> None:
        self.core = FaultyCore()
        self.clock = HandClock()
        self.barred_until_us = 0
        self.writer = Writer(
            0,
            self.core,
            500,
            lambda _number, _batch: None,
            require=self.require,
            now=self.clock.now,
            sleep=self.clock.sleep,
        )

    def require(self) -> None:
        if self.clock.at.mono_us < self.barred_until_us:
            raise RetryableError("it is 172800 s ahead of the database's", Trouble.CLOCK)

    def works(self, count: int, seconds: float = 5, kind: Kind = Kind.RECHARGE) -> list[Work]:
        deadline_us = self.clock.at.mono_us + int(seconds * SECOND_US)
        return [
            Work(n, Request(kind, "bank", 20261122, str(n), "bank", "9001", "13800000000", 100), deadline_us)
            for n in range(count)
        ]

    def settle(self, works: list[Work]) -> Batch:
        batch = self.writer.settle(works)
        assert sorted(done.ticket for done in batch.done) == [work.ticket for work in works]
        return batch


def outcomes(batch: Batch) -> dict[int, str]:
    return {d.ticket: d.reply.result.name if d.reply else d.status.name for d in batch.done}


@pytest.mark.parametrize("bad", [0, 77, 199])
def test_one_bad_request_in_a_list_of_two_hundred_fails_alone(bad: int) -> None:
    bench = Bench()
    bench.core.poison = {str(bad)}
    batch = bench.settle(bench.works(200))
    assert bench.core.quarantined == [str(bad)]
    found = outcomes(batch)
    assert found.pop(bad) == "QUARANTINED"
    assert set(found.values()) == {"APPROVED"}
    assert [alarm.name for alarm in batch.alarms] == ["quarantined"]
    assert len(bench.core.lists) < 20


def test_bad_ones_all_over_the_list_are_each_found() -> None:
    bench = Bench()
    bench.core.poison = {"3", "4", "50", "99"}
    batch = bench.settle(bench.works(100))
    assert sorted(bench.core.quarantined, key=int) == ["3", "4", "50", "99"]
    assert list(outcomes(batch).values()).count("APPROVED") == 96


def test_where_even_the_quarantine_fails_the_outcome_is_unknown_and_the_writer_goes_on() -> None:
    bench = Bench()
    bench.core.poison = {"1"}
    bench.core.broken_quarantine = True
    batch = bench.settle(bench.works(3))
    assert outcomes(batch) == {0: "APPROVED", 1: "UNKNOWN", 2: "APPROVED"}
    assert [alarm.name for alarm in batch.alarms] == ["quarantined", "quarantine_failed"]
    assert outcomes(bench.settle(bench.works(1))) == {0: "APPROVED"}


@pytest.mark.parametrize("fault", [RetryableError("locked"), RaceError("claimed")])
def test_a_batch_that_others_stand_in_the_way_of_again_is_halved(fault: Exception) -> None:
    bench = Bench()
    bench.core.faults = [fault, fault, None, fault, fault]
    batch = bench.settle(bench.works(5))
    assert set(outcomes(batch).values()) == {"APPROVED"}
    assert [len(items) for items in bench.core.lists] == [5, 5, 2, 3, 3, 1, 2]
    assert batch.retries == {type(fault).__name__: 4, "halved": 2}


def test_halves_that_others_still_stand_in_the_way_of_are_given_up_with_the_whole() -> None:
    bench = Bench()
    bench.core.faults = [RetryableError("locked")] * 1_000
    batch = bench.settle(bench.works(64, seconds=3))
    assert set(outcomes(batch).values()) == {"EXPIRED"}
    assert sum(bench.clock.slept) < 12
    assert bench.core.kept == {}


@pytest.mark.parametrize("fault", [RetryableError("down", Trouble.DOWN), CommitUnknownError("lost")])
def test_a_failure_that_smaller_lists_would_not_help_is_tried_again_whole(fault: Exception) -> None:
    bench = Bench()
    bench.core.faults = [fault, fault]
    batch = bench.settle(bench.works(5))
    assert set(outcomes(batch).values()) == {"APPROVED"}
    assert [len(items) for items in bench.core.lists] == [5, 5, 5]
    assert batch.retries == {type(fault).__name__: 2}
    assert bench.clock.slept == [0.02, 0.04]


def test_a_credit_whose_time_is_over_blocks_its_key_and_queries_go_on() -> None:
    bench = Bench()
    bench.core.faults = [RetryableError("down", Trouble.DOWN)] * 10
    credit, reversal = bench.works(1, seconds=0.5)[0], bench.works(2, seconds=0.5, kind=Kind.REVERSAL)[1]
    batch = bench.settle([credit, reversal])
    assert [[r.kind for r in items] for items in (bench.core.lists[0], bench.core.lists[-1])] == [
        [Kind.RECHARGE, Kind.REVERSAL],
        [Kind.BLOCK, Kind.REVERSAL],
    ]
    assert outcomes(batch) == {0: "BLOCKED", 1: "APPROVED"}


def test_a_batch_taken_too_late_claims_no_credit() -> None:
    bench = Bench()
    late, timely = bench.works(1, seconds=0)[0], bench.works(2, seconds=0.001)[1]
    batch = bench.settle([late, timely])
    assert outcomes(batch) == {0: "BLOCKED", 1: "APPROVED"}


@pytest.mark.parametrize(("seconds", "status", "lists"), [(3, Status.OK, 1), (3_600, Status.EXPIRED, 0)])
def test_while_nothing_may_be_carried_out_not_even_a_query_reaches_the_core(
    seconds: int, status: Status, lists: int
) -> None:
    bench = Bench()
    bench.barred_until_us = bench.clock.at.mono_us + seconds * SECOND_US
    batch = bench.settle(bench.works(2, kind=Kind.STATUS))
    assert [done.status for done in batch.done] == [status, status]
    assert len(bench.core.lists) == lists


@pytest.mark.parametrize("committed", [True, False])
def test_an_unknown_commit_is_settled_by_the_same_batch_again(committed: bool) -> None:
    bench = Bench()
    bench.core.committed = committed
    bench.core.faults = [CommitUnknownError("connection lost")]
    batch = bench.settle(bench.works(3))
    assert outcomes(batch) == {0: "APPROVED", 1: "APPROVED", 2: "APPROVED"}
    assert len(bench.core.kept) == 3


def test_an_unknown_commit_past_its_time_finds_the_credit_and_not_a_refusal() -> None:
    bench = Bench()
    bench.core.faults = [CommitUnknownError("connection lost"), *[RetryableError("down")] * 8]
    batch = bench.settle(bench.works(1, seconds=0.5))
    assert bench.core.lists[-1][0].kind is Kind.BLOCK
    assert outcomes(batch) == {0: "APPROVED"}


@pytest.mark.parametrize(("first", "status"), [(None, "EXPIRED"), (CommitUnknownError("?"), "UNKNOWN")])
def test_a_core_that_stays_away_is_given_up_within_bounds(first: Exception | None, status: str) -> None:
    bench = Bench()
    bench.core.committed = False
    down = RetryableError("down", Trouble.DOWN)
    bench.core.faults = [first or down, *[down] * 100]
    batch = bench.settle(bench.works(2, seconds=3))
    assert outcomes(batch) == {0: status, 1: status}
    assert [alarm.name for alarm in batch.alarms] == ["core_unavailable"]
    assert 10 <= sum(bench.clock.slept) < 13
    assert bench.core.kept == {}


class Collected:
    """Batches as a thread delivers them."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self._changed = threading.Condition()

    def take(self, _number: int, batch: Batch) -> None:
        with self._changed:
            self.batches.append(batch)
            self._changed.notify_all()

    def wait(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, timeout=20)

    def settled(self) -> int:
        return sum(len(batch.done) for batch in self.batches)


class SlowCore(FaultyCore):
    """Holds its first list until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.go_on = threading.Event(), threading.Event()

    def execute(
        self, requests: Sequence[Request], now: Now, again: Callable[[], Sequence[Request]] | None = None
    ) -> list[Reply]:
        self.entered.set()
        assert self.go_on.wait(20)
        return super().execute(requests, now, again)


def test_while_one_batch_commits_the_next_one_gathers_up_to_its_bound() -> None:
    core, collected, bench = SlowCore(), Collected(), Bench()
    writer = Writer(0, core, 40, collected.take)
    writer.start()
    works = bench.works(101)
    deadline_us = clock.now().mono_us + 60 * SECOND_US
    works = [msgspec.structs.replace(work, deadline_us=deadline_us) for work in works]
    writer.give(works[:1])
    assert core.entered.wait(20)
    for work in works[1:]:
        writer.give([work])
    core.go_on.set()
    collected.wait(lambda: collected.settled() == 101)
    assert [len(items) for items in core.lists] == [1, 40, 40, 20]
    assert [request.serial for items in core.lists for request in items] == [str(n) for n in range(101)]
    writer.stop(20)


def test_stopping_finishes_what_waits() -> None:
    core, collected, bench = SlowCore(), Collected(), Bench()
    writer = Writer(0, core, 10, collected.take)
    writer.start()
    writer.give(bench.works(25))
    assert core.entered.wait(20)
    core.go_on.set()
    writer.stop(20)
    assert collected.settled() == 25


def test_the_real_core_settles_lists_on_a_thread_and_its_books_balance(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/core.db"
    settings = CoreSettings(database=url)
    seed(url, 20)
    today = business_date(clock.now().wall_us, ZONE)
    collected = Collected()
    gateway = Gateway(url, settings, ZONE)
    writer = Writer(0, gateway, 50, collected.take)
    writer.start()
    deadline_us = clock.now().mono_us + 60 * SECOND_US
    requests = [
        Request(Kind.RECHARGE, "bank", today, str(n % 150), "bank", "9001", f"138{n % 150 % 20:08d}", 1000)
        for n in range(200)  # the last fifty are repeats
    ]
    requests.append(Request(Kind.REVERSAL, "bank", today, "7", "bank", "9001"))
    writer.give([Work(n, request, deadline_us) for n, request in enumerate(requests)])
    collected.wait(lambda: collected.settled() == 201)
    writer.stop(20)
    gateway.close()
    replies = {done.ticket: done.reply for batch in collected.batches for done in batch.done}
    assert all(done.status is Status.OK for batch in collected.batches for done in batch.done)
    assert {reply.result for reply in replies.values() if reply} == {Result.APPROVED}
    for n in range(50):
        first, again = replies[n], replies[150 + n]
        assert first is not None
        assert again is not None
        assert (again.order, again.stored) == (first.order, True)
    assert audit_books(url).balanced
