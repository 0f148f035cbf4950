"""Totals by bank number and business date: compared, never claimed, and never counted from the day's rows."""

# ruff: noqa: S608 - damage is planted with statements put together here
from zoneinfo import ZoneInfo

import msgspec
import pytest

from crm_bridge.audit import audit_books
from crm_bridge.bridge import Bridge
from crm_bridge.gateway import Gateway
from crm_bridge.journal_totals import Day
from crm_bridge.migrations.schema import downgrade, migrate
from crm_bridge.settings import CoreSettings
from crm_bridge.store import STATEMENTS, fetch, load_totals, reading, writing
from qianzhi.domain.requests import Key, Kind
from qianzhi.domain.results import Result
from qianzhi.link.events import Hello
from qianzhi.link.messages import Envelope, Status
from qianzhi.runtime.effects import Send
from qianzhi.runtime.now import Now
from simulators.tiny_core import TinyCore

TODAY, YESTERDAY = 20261117, 20261116
RICH, OTHER = "13800000010", "13800000020"


@pytest.fixture(autouse=True)
def books_stay_proved(url):
    yield
    assert audit_books(url).violations == []


@pytest.fixture
def totals(ask):
    """Build the question with a bank's figures: count and sum of payments, count and sum of reversals."""

    def build(*figures, serial="T", **more):
        count, paid_fen, reversed_count, reversed_fen = figures or (0, 0, 0, 0)
        given = {"count": count, "reversed_count": reversed_count, "reversed_fen": reversed_fen} | more
        return ask(Kind.TOTALS, serial, "", paid_fen, **given)

    return build


both_cores = pytest.mark.parametrize("core_kind", ["embedded", "remote"], indirect=True)


def told(reply):
    return reply.result.name, reply.count, reply.amount_fen, reply.reversed_count, reply.reversed_fen


@both_cores
def test_equal_and_unequal_figures_are_both_told_the_journals_own(run, ask, totals):
    run(
        ask(Kind.RECHARGE, "1", RICH, 1_000),
        ask(Kind.RECHARGE, "2", OTHER, 2_000),
        ask(Kind.RECHARGE, "3", RICH, 4_000),
        ask(Kind.RECHARGE, "4", "13999999999", 8_000),  # refused: no such phone
        ask(Kind.RECHARGE, "1", RICH, 1_000),  # a repeat
        ask(Kind.REVERSAL, "2"),
        ask(Kind.REVERSAL, "2"),
        ask(Kind.STATUS, "5"),
    )
    assert told(run(totals(3, 7_000, 1, 2_000))[0]) == ("APPROVED", 3, 7_000, 1, 2_000)
    wrong = (
        (2, 7_000, 1, 2_000),
        (3, 7_001, 1, 2_000),
        (3, 7_000, 0, 2_000),
        (3, 7_000, 1, 0),
        (2, 5_000, 0, 0),
    )
    for figures in wrong:
        assert told(run(totals(*figures))[0]) == ("TOTALS_DIFFER", 3, 7_000, 1, 2_000)


@both_cores
def test_each_bank_number_and_date_has_totals_of_its_own(run, ask, totals):
    run(
        ask(Kind.RECHARGE, "1", RICH, 1_000),
        ask(Kind.RECHARGE, "2", RICH, 2_000, bank_number="00102"),
        ask(Kind.RECHARGE, "3", RICH, 4_000, date=YESTERDAY),
        ask(Kind.RECHARGE, "1", RICH, 8_000, space="other line"),
        hours=-1,
    )
    run(ask(Kind.REVERSAL, "3", date=YESTERDAY), hours=-0.5)
    replies = run(
        totals(2, 9_000, 0, 0),
        totals(1, 2_000, 0, 0, bank_number="00102"),
        totals(1, 4_000, 1, 4_000, date=YESTERDAY),
        totals(0, 0, 0, 0, bank_number="00102", date=YESTERDAY),
    )
    assert {reply.result for reply in replies} == {Result.APPROVED}


@both_cores
def test_a_question_sees_what_stands_before_it_in_its_batch_and_nothing_behind_it(run, ask, totals):
    run(ask(Kind.RECHARGE, "0", RICH, 500))
    replies = run(
        totals(),
        ask(Kind.RECHARGE, "1", RICH, 1_000),
        totals(),
        ask(Kind.REVERSAL, "1"),
        totals(),
        ask(Kind.REVERSAL, "0"),
        ask(Kind.RECHARGE, "2", OTHER, 3_000),
        totals(),
    )
    assert [told(replies[at])[1:] for at in (0, 2, 4, 7)] == [
        (1, 500, 0, 0),
        (2, 1_500, 0, 0),
        (2, 1_500, 1, 1_000),
        (3, 4_500, 2, 1_500),
    ]
    assert told(run(totals(3, 4_500, 2, 1_500))[0])[0] == "APPROVED"


@both_cores
def test_a_question_claims_no_key_and_may_be_asked_under_a_used_one(core, run, ask, totals, journal_url):
    run(ask(Kind.RECHARGE, "1", RICH, 1_000))
    assert (
        run(totals(1, 1_000, 0, 0, serial="1"), totals(1, 1_000, 0, 0, serial="2"))[1].result
        is Result.APPROVED
    )
    assert core.lookup([Key("citic", TODAY, "2")]) == {}
    assert run(ask(Kind.RECHARGE, "2", RICH, 700))[0].result is Result.APPROVED
    with reading(journal_url) as connection:
        assert fetch(connection, "SELECT serial FROM journal ORDER BY serial") == [("1",), ("2",)]


def test_a_closed_date_is_answered_and_one_that_cannot_have_rows_is_refused(run, ask, totals):
    run(ask(Kind.RECHARGE, "1", RICH, 1_000))
    late = run(totals(1, 1_000, 0, 0), hours=24 * 9)[0]
    assert late.result is Result.APPROVED
    dates = {
        20261119: "BAD_DATE",
        20261301: "BAD_DATE",
        0: "BAD_DATE",
        20260101: "TOO_OLD",
        20261118: "APPROVED",
    }
    assert {date: run(totals(date=date))[0].result.name for date in dates} == dates


def test_a_number_that_nothing_was_paid_under_has_totals_of_nothing(run, totals):
    assert told(run(totals(1, 5, 0, 0, bank_number="unheard of"))[0]) == ("TOTALS_DIFFER", 0, 0, 0, 0)
    assert run(totals(bank_number="unheard of"))[0].result is Result.APPROVED


@pytest.mark.parametrize(
    "more",
    [{"bank_number": ""}, {"count": -1}, {"reversed_count": 10**16}, {"reversed_fen": -5}, {"count": "1"}],
)
def test_figures_that_cannot_be_looked_at_are_refused(run, totals, more):
    assert run(msgspec.structs.replace(totals(), **more))[0].result is Result.FORMAT


def test_a_question_that_fails_alone_leaves_no_row(core, totals, noon, url):
    assert core.quarantine(totals(), noon).result is Result.QUARANTINED
    with reading(url) as connection:
        assert fetch(connection, "SELECT count(*) FROM journal") == [(0,)]


def test_the_journals_rows_are_not_read_whatever_their_number(url):
    sql = STATEMENTS["sqlite"].load_totals.text
    with reading(url) as connection:
        plan = [
            row[3] for row in fetch(connection, f"EXPLAIN QUERY PLAN {sql}", days='[["00101", 20261117]]')
        ]
    assert any("SEARCH t USING PRIMARY KEY (business_date=? AND bank_number=?)" in step for step in plan), (
        plan
    )
    assert not any("journal" in step or step.startswith("SCAN t") for step in plan), plan


def test_a_batch_costs_the_totals_one_row_per_date_number_and_part(core, url, run, ask, totals, noon):
    other = Gateway(url, CoreSettings(database=url), ZoneInfo("Asia/Shanghai"), bridge="bridge2")
    run(*(ask(Kind.RECHARGE, str(serial), RICH, 100) for serial in range(50)))
    other.execute([ask(Kind.RECHARGE, "x", OTHER, 100), ask(Kind.REVERSAL, "7")], noon)
    other.close()
    with reading(url) as connection:
        rows = fetch(
            connection, "SELECT part, approved_count, reversed_count FROM journal_totals ORDER BY part"
        )
        assert rows == [("bridge1/0", 50, 0), ("bridge2/0", 1, 1)]
        assert load_totals(connection, [Day("00101", TODAY)]) == [(("00101", TODAY), (51, 5_100, 1, 100))]
    assert run(totals(51, 5_100, 1, 100))[0].result is Result.APPROVED


def test_a_database_of_the_version_before_gets_its_totals_from_its_journal(core, url, run, ask, totals):
    run(
        ask(Kind.RECHARGE, "1", RICH, 1_000),
        ask(Kind.RECHARGE, "2", OTHER, 2_000),
        ask(Kind.RECHARGE, "3", OTHER, 2_000, bank_number="00102"),
        ask(Kind.REVERSAL, "2"),
        ask(Kind.STATUS, "9"),
    )
    core.close()
    downgrade(url, "0001")
    migrate(url)
    replies = run(totals(2, 3_000, 1, 2_000), totals(1, 2_000, 0, 0, bank_number="00102"))
    assert {reply.result for reply in replies} == {Result.APPROVED}


@pytest.mark.parametrize("column", ["approved_count", "approved_fen", "reversed_count", "reversed_fen"])
def test_the_audit_finds_totals_that_are_not_the_books(core, url, run, ask, column):
    def more(by):
        change = f"{column} = {column} + {by}"
        with writing(url) as connection:
            connection.exec_driver_sql(f"UPDATE journal_totals SET {change} WHERE bank_number = '00102'")

    run(ask(Kind.RECHARGE, "1", RICH, 1_000), ask(Kind.RECHARGE, "2", RICH, 1_000, bank_number="00102"))
    core.close()
    more(1)
    found = [(v.check, v.id) for v in audit_books(url).violations]
    assert found == [("totals", "20261117/00102"), ("totals-posted", "20261117/00102")]
    more(-1)


def test_totals_hear_busy_and_draining_before_reversals_do(ask, totals):
    def answers(effects):
        return [
            answer.status for e in effects if isinstance(e, Send) and e.to[0] == "peer" for answer in e.items
        ]

    bridge = Bridge("bridge1", 1, 10)
    bridge.on_peer_up("node1", Hello("node1", "node"), Now(0, 0))
    requests = [totals(serial=str(number)) for number in range(10)] + [ask(Kind.REVERSAL, "r")]
    envelopes = [
        Envelope(
            n, 1, "00101", int(r.kind), 0, 1_000, int(r.kind is Kind.REVERSAL), "", msgspec.msgpack.encode(r)
        )
        for n, r in enumerate(requests)
    ]
    assert answers(bridge.on_requests("node1", envelopes, Now(0, 0))) == [Status.BUSY]
    bridge.drain(True)
    assert answers(bridge.on_requests("node1", envelopes[:1], Now(0, 0))) == [Status.DRAINING]


def test_the_small_core_says_the_same(run, ask, totals):
    small = TinyCore(range(13_800_000_000, 13_800_000_060))
    requests = [
        ask(Kind.RECHARGE, "1", RICH, 1_000),
        ask(Kind.RECHARGE, "2", OTHER, 2_000, bank_number="00102"),
        ask(Kind.RECHARGE, "3", OTHER, 3_000),
        ask(Kind.RECHARGE, "4", "13999999999", 8_000),
        ask(Kind.REVERSAL, "3"),
        ask(Kind.REVERSAL, "3"),
        ask(Kind.STATUS, "5"),
        totals(2, 4_000, 1, 3_000),
        totals(2, 4_000, 0, 0, bank_number="00102"),
    ]
    theirs, ours = [small.execute(request) for request in requests][-2:], run(*requests)[-2:]
    assert [told(reply) for reply in theirs] == [told(reply) for reply in ours]
    assert [reply.result.name for reply in ours] == ["APPROVED", "TOTALS_DIFFER"]
