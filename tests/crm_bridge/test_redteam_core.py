"""Interleavings that would cost money, played against the core; each is a sentence of the money rules."""

import itertools
import sqlite3
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from crm_bridge.audit import audit_books
from crm_bridge.bridge import Work
from crm_bridge.gateway import CommitUnknownError, Gateway, RetryableError
from crm_bridge.lookup import find_journal, totals
from crm_bridge.settings import CoreSettings
from crm_bridge.writer import Writer
from qianzhi.domain.dates import closes_us
from qianzhi.domain.requests import Kind, Request
from qianzhi.domain.results import Result
from qianzhi.link.messages import Status
from qianzhi.runtime.now import SECOND_US, Now

PHONE = "13800000007"
ZONE = ZoneInfo("Asia/Shanghai")


def fence(space, date):
    return Request(Kind.CLOSE, space, date, "-", "", "", reason="tester")


def names(replies):
    return [reply.result.name for reply in replies]


def broken_commit(core, monkeypatch, *, reached):
    """Let the next COMMIT fail; the driver leaves the transaction open where it was not reached."""
    dialect = core._store._engine.dialect
    real = type(dialect).do_commit

    def fail(connection):
        monkeypatch.undo()
        if reached:
            real(dialect, connection)
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(dialect, "do_commit", fail)


# -- COMMIT of unknown outcome -------------------------------------------------------------------------------


@pytest.mark.parametrize("reached", [True, False])
def test_a_commit_that_fails_leaves_nothing_open_behind_it(core, run, ask, url, monkeypatch, reached):
    broken_commit(core, monkeypatch, reached=reached)
    with pytest.raises(CommitUnknownError):
        run(ask(Kind.RECHARGE, "1", PHONE, 5_000))
    other = Gateway(url, CoreSettings(database=url), ZONE)
    assert names(other.execute([ask(Kind.RECHARGE, "2", PHONE, 100)], Now(0, 1_794_888_000_000_000))) == [
        "APPROVED"
    ]
    other.close()
    again = run(ask(Kind.RECHARGE, "1", PHONE, 5_000))[0]
    assert (again.result, again.stored) == (Result.APPROVED, reached)
    assert totals(url).orders == 2
    assert audit_books(url).balanced


def test_a_lone_request_survives_a_broken_commit_and_is_not_quarantined(core, ask, url, noon, monkeypatch):
    broken_commit(core, monkeypatch, reached=False)
    writer = Writer(0, core, 10, lambda *_: None, now=lambda: noon, sleep=lambda _: None)
    work = Work("t", ask(Kind.RECHARGE, "1", PHONE, 5_000), noon.mono_us + SECOND_US)
    batch = writer.settle([work])
    assert names(done.reply for done in batch.done) == ["APPROVED"]
    assert (batch.retries, batch.alarms) == ({"CommitUnknownError": 1}, [])


class Staged:
    """A core that fails as it is told and keeps no key."""

    def __init__(self, *faults):
        self.faults = list(faults)

    def execute(self, requests, now, again=None):
        raise self.faults.pop(0) if self.faults else RetryableError("the disk has gone")

    def quarantine(self, request, now):
        raise RetryableError("the disk has gone")

    def take_alarms(self):
        return []


@pytest.mark.parametrize("faults", [(), (ZeroDivisionError("one of them"),)])
def test_after_an_unknown_commit_no_part_of_a_batch_is_ever_called_certain(ask, faults):
    """The halves of a batch inherit its doubt: "expired" would let a front refuse what may be credited."""
    at = [Now(0, 0)]
    writer = Writer(
        0,
        Staged(CommitUnknownError("?"), *faults),
        10,
        lambda *_: None,
        now=lambda: at[0],
        sleep=lambda seconds: at.__setitem__(0, at[0].after(int(seconds * SECOND_US))),
    )
    works = [Work(n, ask(Kind.RECHARGE, str(n), PHONE, 100), SECOND_US) for n in range(2)]
    assert {done.status for done in writer.settle(works).done} == {Status.UNKNOWN}
    assert {done.status for done in writer.settle(works).done} == {Status.EXPIRED}, "a new batch is certain"


def test_an_alarm_is_raised_although_the_commit_was_lost_sight_of(core, run, ask, monkeypatch):
    phone = "13800000005"
    run(ask(Kind.RECHARGE, "3", phone, 5_000), ask(Kind.RECHARGE, "4", phone, 3_000))
    core.take_alarms()
    real = Connection.commit

    def lose(connection):
        real(connection)
        raise OperationalError("COMMIT", {}, sqlite3.OperationalError("disk I/O error"))

    monkeypatch.setattr(Connection, "commit", lose)
    with pytest.raises(CommitUnknownError):
        run(ask(Kind.REVERSAL, "3"))
    monkeypatch.undo()
    assert names(run(ask(Kind.REVERSAL, "3"))) == ["APPROVED"]
    assert "reversal_left_arrears" in [alarm.name for alarm in core.take_alarms()]


# -- quarantine ----------------------------------------------------------------------------------------------


def test_a_quarantined_query_never_calls_a_settled_key_refused(core, run, ask, noon):
    order = run(ask(Kind.RECHARGE, "1", PHONE, 200))[0].order
    asked = core.quarantine(ask(Kind.STATUS, "1"), noon)
    assert (asked.result, asked.order) == (Result.APPROVED, order)
    assert core.quarantine(ask(Kind.REVERSAL, "1"), noon).result is Result.QUARANTINED
    assert names(run(ask(Kind.STATUS, "1"), ask(Kind.REVERSAL, "1"))) == ["APPROVED", "APPROVED"]
    assert core.quarantine(ask(Kind.REVERSAL, "1"), noon).result is Result.APPROVED, "it is done"
    assert core.quarantine(ask(Kind.STATUS, "1"), noon).result is Result.REVERSED
    run(ask(Kind.STATUS, "2"))
    assert core.quarantine(ask(Kind.REVERSAL, "2"), noon).result is Result.NOT_FOUND


def test_a_quarantined_query_of_an_unseen_key_blocks_it(core, run, ask, noon, url):
    assert core.quarantine(ask(Kind.STATUS, "1"), noon).result is Result.QUARANTINED
    assert names(run(ask(Kind.RECHARGE, "1", PHONE, 100))) == ["QUARANTINED"]
    assert totals(url).orders == 0


# -- one key, many times, in any order and grouping ----------------------------------------------------------


def _groupings(items):
    """Every way of cutting a sequence into consecutive lists."""
    for cuts in itertools.product([False, True], repeat=len(items) - 1):
        lists = [[items[0]]]
        for item, cut in zip(items[1:], cuts, strict=True):
            lists.append([item]) if cut else lists[-1].append(item)
        yield lists


STORIES = {
    "ORO": ["APPROVED", "APPROVED", "REVERSED"],
    "OOR": ["APPROVED", "APPROVED", "APPROVED"],
    "ROO": ["NOT_FOUND", "BLOCKED", "BLOCKED"],
    "SOR": ["NOT_FOUND", "BLOCKED", "NOT_FOUND"],
    "OSR": ["APPROVED", "APPROVED", "APPROVED"],
    "ORR": ["APPROVED", "APPROVED", "APPROVED"],
    "BOR": ["BLOCKED", "BLOCKED", "ORIGINAL_REFUSED"],
    "OBR": ["APPROVED", "APPROVED", "APPROVED"],
    "ORS": ["APPROVED", "APPROVED", "REVERSED"],
    "RSO": ["NOT_FOUND", "NOT_FOUND", "BLOCKED"],
    "ORXO": ["APPROVED", "APPROVED", "DUPLICATE_SERIAL", "REVERSED"],
}


@pytest.mark.parametrize("story", STORIES)
def test_a_key_comes_to_the_same_in_one_list_and_in_several(core, ask, url, noon, account, story):
    before = account(PHONE).balance_fen
    for number, lists in enumerate(_groupings(story)):
        serial = f"{number:06d}"
        asked = {
            "O": ask(Kind.RECHARGE, serial, PHONE, 500),
            "X": ask(Kind.RECHARGE, serial, PHONE, 501),
            "R": ask(Kind.REVERSAL, serial, amount_fen=500),
            "S": ask(Kind.STATUS, serial),
            "B": ask(Kind.BLOCK, serial, PHONE, 500),
        }
        replies = [reply for letters in lists for reply in core.execute([asked[at] for at in letters], noon)]
        assert names(replies) == STORIES[story], lists
    assert account(PHONE).balance_fen == before
    assert audit_books(url).balanced


def test_a_batch_executed_twice_after_an_unknown_commit_ends_the_same(
    core, run, ask, url, account, monkeypatch
):
    """What a re-execution answers may differ only as rule 3 allows: reversed, and never credited twice."""
    asked = [
        ask(Kind.RECHARGE, "1", PHONE, 700),
        ask(Kind.REVERSAL, "1"),
        ask(Kind.STATUS, "2"),
        ask(Kind.RECHARGE, "2", PHONE, 900),
        ask(Kind.RECHARGE, "3", PHONE, 50),
    ]
    broken_commit(core, monkeypatch, reached=True)
    with pytest.raises(CommitUnknownError):
        run(*asked)
    assert names(run(*asked)) == ["REVERSED", "APPROVED", "NOT_FOUND", "BLOCKED", "APPROVED"]
    assert account(PHONE).balance_fen == 50
    assert audit_books(url).balanced


# -- the wall clock ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Kind.STATUS, Kind.REVERSAL])
def test_a_clock_set_back_over_the_close_of_a_day_does_not_let_the_late_original_in(
    core, ask, noon, url, kind
):
    """The date is closed and leaves no tombstone; by the clock that was set back it could not be closed."""
    close = noon.after(24 * 3600 * SECOND_US)
    asked = [fence("citic", 20261117), ask(kind, "1")]
    assert names(core.execute(asked, close)) == ["APPROVED", "NOT_FOUND"]
    stepped = Now(close.mono_us + SECOND_US, close.wall_us - 20 * 3600 * SECOND_US)
    assert names(core.execute([ask(Kind.RECHARGE, "1", PHONE, 100)], stepped)) == ["DATE_CLOSED"]
    assert totals(url).orders == 0


def test_a_clock_that_was_far_ahead_is_believed_again(core, ask, noon):
    core.execute([ask(Kind.OWED, "1", PHONE)], noon.after(40 * 24 * 3600 * SECOND_US))
    assert names(core.execute([ask(Kind.RECHARGE, "1", PHONE, 100)], noon)) == ["APPROVED"]


@pytest.mark.parametrize("date", [20271231, 20280101, 20280228, 20280229, 20280301])
def test_year_end_and_leap_day_may_be_closed_half_an_hour_after_their_end_and_not_before(
    core, ask, noon, date
):
    close_us = closes_us(date, 30, ZONE)
    just, over = Now(0, close_us - SECOND_US), Now(0, close_us)
    assert names(core.execute([fence("citic", date)], just)) == ["TOO_EARLY"]
    assert names(core.execute([ask(Kind.RECHARGE, "1", PHONE, 100, date=date)], just)) == ["APPROVED"]
    assert names(core.execute([fence("citic", date)], over)) == ["APPROVED"]
    assert names(core.execute([ask(Kind.RECHARGE, "2", PHONE, 100, date=date)], over)) == ["DATE_CLOSED"]
    assert names(core.execute([ask(Kind.REVERSAL, "1", date=date)], over)) == ["DATE_CLOSED"]


# -- dates of ours -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overtaking", [Kind.STATUS, Kind.REVERSAL, Kind.BLOCK])
def test_over_midnight_a_query_that_overtakes_its_original_keeps_it_out(core, ask, noon, url, overtaking):
    """The original was stamped with our date before midnight, the query after it."""
    midnight = noon.after(12 * 3600 * SECOND_US)
    more = {"date_ours": True}
    original = ask(Kind.RECHARGE, "1", PHONE, 100, **more, received_us=midnight.wall_us - SECOND_US)
    query = ask(overtaking, "1", **more, date=20261118, received_us=midnight.wall_us + SECOND_US)
    late = midnight.after(2 * SECOND_US)
    first = names(core.execute([query], late))
    assert first == ["BLOCKED" if overtaking is Kind.BLOCK else "NOT_FOUND"]
    assert names(core.execute([original], late)) == ["BLOCKED"]
    assert totals(url).orders == 0


def test_a_repeat_over_midnight_in_one_list_with_its_original(core, ask, noon, url):
    late = noon.after(12 * 3600 * SECOND_US + SECOND_US)
    original = ask(Kind.RECHARGE, "1", PHONE, 100, date_ours=True, received_us=late.wall_us - 2 * SECOND_US)
    repeat = ask(
        Kind.RECHARGE, "1", PHONE, 100, date_ours=True, date=20261118, received_us=late.wall_us, repeat=True
    )
    replies = core.execute([original, repeat], late)
    assert replies[0].order == replies[1].order
    assert totals(url).orders == 1
    assert [row.key for row in find_journal(url, "1")] == ["citic/20261117/1"]
