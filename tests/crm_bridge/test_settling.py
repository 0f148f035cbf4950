"""A batch settled step by step: what is yielded when, and that others may come in between."""

from collections.abc import Iterable
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from crm_bridge.bridge import Batch, Work
from crm_bridge.gateway_errors import CommitUnknownError, RetryableError, Trouble
from crm_bridge.gateway_steps import SteppedGateway, rules_of
from crm_bridge.memory import Memory, MemoryTransaction
from crm_bridge.settings import CoreSettings
from crm_bridge.settling import Settling
from crm_bridge.steps import Committing, Loading, Pause, Saving, Step, Steps, finish
from qianzhi.billing.books import PhoneState, Subscriber
from qianzhi.domain.dates import business_date
from qianzhi.domain.requests import Kind, Request
from qianzhi.ledger.entries import Account
from qianzhi.runtime.now import SECOND_US, Now

ZONE = ZoneInfo("Asia/Shanghai")
START = Now(1_000_000, 1_795_300_000_000_000)
TODAY = business_date(START.wall_us, ZONE)
PHONE = "13800000000"


class Around:
    """A writer's surroundings, all of them the test's own."""

    def __init__(self) -> None:
        self.at = START
        self.ending = False
        self.barred = False
        self.heard: list[str] = []

    def now(self) -> Now:
        return self.at

    def stopping(self) -> bool:
        return self.ending

    def require(self) -> None:
        if self.barred:
            raise RetryableError("the clock is wrong", Trouble.CLOCK)

    def hurt(self, trouble: Trouble, detail: str) -> None:
        self.heard.append(f"hurt {trouble.name}")

    def again(self, reason: str, error: Exception) -> None:
        self.heard.append(f"again {reason}")

    def quarantined(self, work: Work, cause: Exception) -> None:
        self.heard.append(f"quarantined {work.request.serial}")

    def quarantine_failed(self, work: Work, error: Exception) -> None:
        self.heard.append(f"quarantine failed {work.request.serial}")


class Books(Memory):
    """A memory whose COMMITs may be unknown, written or not; `lost` is said by whoever drives."""

    unknown: str = ""

    def transaction(self) -> Any:
        books = self

        class Transaction(MemoryTransaction):
            def __enter__(self) -> "Transaction":
                return self

            def __exit__(self, *_: object) -> None:
                return None

            def commit(self) -> None:
                said, books.unknown = books.unknown, ""
                if said != "lost":
                    super().commit()
                if said:
                    raise CommitUnknownError("nobody knows")

        return Transaction(self)


def books() -> Books:
    person = Subscriber(PHONE, PhoneState.OPEN, "户", 1, 1, 2)
    return Books([person], (), [Account(1, floor_fen=0), Account(2)])


def settling(kept: Books, around: Around, part: str = "bridge1/0") -> Settling:
    rules = rules_of(CoreSettings(database="sqlite:///none"), ZONE)
    return Settling(SteppedGateway(kept, rules, part), around)


def works(*serials: int, seconds: float = 5, kind: Kind = Kind.RECHARGE) -> list[Work]:
    deadline_us = START.mono_us + int(seconds * SECOND_US)
    return [
        Work(n, Request(kind, "bank", TODAY, str(n), "bank", "9001", PHONE, 100), deadline_us)
        for n in serials
    ]


def drive(steps: Steps[Batch], around: Around) -> tuple[list[Step], Batch]:
    """Let steps come to their end; a pause moves the clock."""
    seen: list[Step] = []
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            return seen, end.value
        seen.append(step)
        if isinstance(step, Pause):
            around.at = around.at.after(int(step.seconds * SECOND_US))


def kinds(steps: Iterable[Step]) -> list[str]:
    return [type(step).__name__ for step in steps]


def said(batch: Batch) -> list[str]:
    return [done.reply.result.name if done.reply else done.status.name for done in batch.done]


ONCE = ["Loading", "Saving", "Committing"]


def test_a_batch_is_three_calls_of_the_database_and_no_pause() -> None:
    around, kept = Around(), books()
    seen, batch = drive(settling(kept, around).settle(works(1, 2)), around)
    assert kinds(seen) == ONCE
    assert isinstance(seen[0], Loading)
    assert [key.serial for key in seen[0].wanted.keys] == ["1", "2"]
    assert said(batch) == ["APPROVED", "APPROVED"]


@pytest.mark.parametrize("unknown", ["written", "lost"])
def test_an_unknown_commit_is_a_pause_and_the_same_batch_again(unknown: str) -> None:
    around, kept = Around(), books()
    kept.unknown = unknown
    seen, batch = drive(settling(kept, around).settle(works(1)), around)
    assert kinds(seen) == [*ONCE, "Pause", *ONCE]
    assert said(batch) == ["APPROVED"]
    assert kept.accounts[1].balance_fen == 100
    assert around.heard == ["again CommitUnknownError"]


def test_what_another_writer_commits_between_two_steps_is_seen_and_not_doubled() -> None:
    """Whoever has decided already is judged by the insert, and decides anew."""
    for steps_before, after in enumerate((ONCE, ONCE[1:], ONCE)):
        around, kept = Around(), books()
        first = settling(kept, around).settle(works(7))
        second = settling(kept, around, "bridge2/0").settle(works(7))
        for _ in range(steps_before):
            next(second)
        _, batch = drive(first, around)
        seen, other = drive(second, around)
        assert said(batch) == said(other) == ["APPROVED"]
        assert kept.accounts[1].balance_fen == 100
        assert batch.done[0].reply.order == other.done[0].reply.order  # type: ignore[union-attr]
        assert kinds(seen) == after


def test_a_thread_that_ends_between_two_steps_has_written_nothing() -> None:
    around, kept = Around(), books()
    for count in (1, 2, 3):
        steps = settling(kept, around).settle(works(1))
        for _ in range(count):
            next(steps)
        steps.close()
        assert kept.journal == {}
        assert kept.accounts[1].balance_fen == 0


def test_a_credit_whose_time_runs_out_while_it_waits_for_others_blocks_its_key() -> None:
    around, kept = Around(), books()
    steps = settling(kept, around).settle(works(1, seconds=1))
    assert isinstance(next(steps), Loading)
    around.at = around.at.after(2 * SECOND_US)  # somebody held what it needs
    seen, batch = drive(steps, around)
    assert kinds(seen) == ["Saving", "Committing"]
    assert said(batch) == ["BLOCKED"]


def test_while_nothing_may_be_carried_out_only_pauses_are_yielded() -> None:
    around, kept = Around(), books()
    around.barred = True
    seen, batch = drive(settling(kept, around).settle(works(1, kind=Kind.STATUS)), around)
    assert set(kinds(seen)) == {"Pause"}
    assert said(batch) == ["EXPIRED"]
    assert "hurt CLOCK" in around.heard


def test_finish_sleeps_through_pauses_and_calls_nothing_else() -> None:
    slept: list[float] = []

    def steps() -> Steps[str]:
        yield Pause(0.5)
        yield Saving()
        yield Committing()
        yield Pause(0.25)
        return "done"

    assert finish(steps(), slept.append) == "done"
    assert slept == [0.5, 0.25]
