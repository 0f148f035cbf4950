"""What the house asks of its journal: fences, breaks with their suspense, voids, reversals after the fence,
release from quarantine.
"""

import pytest

from crm_bridge.audit import audit_books
from crm_bridge.gateway import Gateway
from crm_bridge.lookup import (
    find_breaks,
    find_due,
    find_entries,
    find_fences,
    find_journal,
    find_order,
    totals,
)
from crm_bridge.settings import CoreSettings
from qianzhi.domain.requests import Kind, Request
from qianzhi.domain.results import Result
from tests.crm_bridge.conftest import NOON, ZONE

EVE, TODAY = 20261116, 20261117
EMPTY, TWO_BILLS = "13800000007", "13800000005"


@pytest.fixture(autouse=True)
def books_stay_proved(url):
    yield
    assert audit_books(url).violations == []


def close(space="citic", date=EVE, by="wang 7"):
    return Request(Kind.CLOSE, space, date, "-", "", "", reason=by)


def broken(
    serial="1", reason="saf", stamp=10, fen=700, kind=Kind.BREAK, date=EVE, space="citic", bank="00101"
):
    return Request(kind, space, date, serial, "unet", bank, "", fen, stamp_us=stamp, reason=reason)


def mended(serial="1", stamp=10, **more):
    return broken(serial, "", stamp, kind=Kind.MEND, **more)


def results(replies):
    return [reply.result.name for reply in replies]


def suspense(url):
    return totals(url).balances_fen.get("suspense", 0)


both = pytest.mark.parametrize("core_kind", ["embedded", "remote"], indirect=True)


@both
def test_a_fence_says_when_and_by_whom_and_a_second_close_changes_nothing(run, journal_url):
    first, again, older = run(close(), close(by="chen 8"), close(date=20261101))
    assert [first.stored, again.stored, older.stored] == [False, True, True]
    (row,) = find_fences(journal_url)
    assert (row.space, row.closed_through, row.closed_us, row.by) == ("citic", EVE, NOON.wall_us, "wang 7")


@both
def test_a_date_is_closed_no_sooner_than_half_an_hour_after_its_end(run, journal_url):
    assert results(run(close(date=TODAY), hours=12.49)) == ["TOO_EARLY"]
    assert results(run(close(date=20261131))) == ["BAD_DATE"]
    assert find_fences(journal_url) == []
    assert results(run(close(date=TODAY), hours=12.51)) == ["APPROVED"]


@both
def test_an_open_break_holds_its_date_and_all_later_ones_and_no_earlier_one(run, journal_url):
    run(broken("1"), broken("2", fen=50), broken("3", space="icbc"))
    held = run(close(), close(date=20261115), close("icbc"), close("boc"))
    assert results(held) == ["BREAK_OPEN", "APPROVED", "BREAK_OPEN", "APPROVED"]
    assert (held[0].count, held[0].amount_fen) == (2, 750)
    run(mended("1"))
    assert [(one.key, one.kind) for one in find_breaks(journal_url, space="citic")] == [
        ("citic/20261116/2", "saf")
    ]
    assert results(run(close(date=TODAY), mended("2"), close(date=TODAY), hours=13)) == [
        "BREAK_OPEN",
        "APPROVED",
        "APPROVED",
    ]


@both
def test_a_list_is_judged_in_its_order_around_a_close(run, ask, account):
    replies = run(
        ask(Kind.RECHARGE, "1", EMPTY, 500, date=EVE),
        broken("9"),
        close(),
        mended("9"),
        close(),
        ask(Kind.RECHARGE, "2", EMPTY, 500, date=EVE),
        ask(Kind.STATUS, "3", date=EVE),
    )
    assert results(replies) == [
        *("APPROVED", "APPROVED", "BREAK_OPEN", "APPROVED", "APPROVED", "DATE_CLOSED", "NOT_FOUND")
    ]
    assert account(EMPTY).balance_fen == 500


def test_a_manual_break_stands_in_suspense_until_it_is_mended(core, run, url):
    run(broken())
    assert suspense(url) == 0
    run(broken(reason="manual"), broken(reason="manual"), broken(reason="saf"))
    assert [alarm.name for alarm in core.take_alarms()] == ["break_manual"]
    (row,) = find_breaks(url)
    assert (row.kind, row.suspense_fen, suspense(url)) == ("manual", 700, 700)
    run(mended(), mended())
    assert (find_breaks(url), suspense(url)) == ([], 0)
    assert [(one.what, one.amount_fen) for one in find_entries(url, "break/citic/20261116/1")] == [
        ("suspense", 700),
        ("undo suspense", 700),
    ]
    (row,) = find_breaks(url, open_only=False)
    assert (row.open, row.kind) == (False, "manual")


def test_what_one_writer_put_into_suspense_another_takes_out(run, url):
    run(broken(reason="manual"))
    other = Gateway(url, CoreSettings(database=url), ZONE, bridge="bridge2")
    assert results(other.execute([mended(bank="")], NOON)) == ["APPROVED"]
    other.close()
    assert suspense(url) == 0


@both
def test_late_copies_of_a_break_and_its_end_change_nothing(run, journal_url):
    """BREAK and MEND of one episode carry one stamp; they come twice and in any order."""
    run(broken(stamp=10), mended(stamp=10), broken(stamp=10), broken(stamp=10, reason="manual"))
    assert find_breaks(journal_url) == []
    run(broken(stamp=20), mended(stamp=10))
    assert [one.key for one in find_breaks(journal_url)] == ["citic/20261116/1"]
    run(mended("2", stamp=30), broken("2", stamp=30))
    assert [one.key for one in find_breaks(journal_url)] == ["citic/20261116/1"]


@both
def test_a_break_of_a_closed_date_is_noted_with_an_alarm_and_holds_no_other(core, run, journal_url):
    run(close())
    assert results(run(broken(), close(date=TODAY), hours=14)) == ["APPROVED", "APPROVED"]
    assert [alarm.name for alarm in core.take_alarms()] == ["break_manual", "break_of_closed_date"]
    (row,) = find_breaks(journal_url)
    assert (row.kind, row.amount_fen) == ("manual", 700)


@pytest.mark.parametrize("closed_with_it", [False, True])
def test_what_a_node_stores_and_tells_after_its_date_was_closed_stands_in_suspense(
    core, run, url, closed_with_it
):
    """Its entry goes on meanwhile: expires, or is settled, and each word comes late and twice."""
    if closed_with_it:
        run(close(), broken(), broken())
    else:
        run(close())
        run(broken(), broken())
    (row,) = find_breaks(url)
    assert (row.kind, row.suspense_fen, suspense(url)) == ("manual", 700, 700)
    run(broken(reason="manual", stamp=20), broken(stamp=10))
    assert (len(find_breaks(url)), suspense(url)) == (1, 700)
    run(mended(stamp=30), mended(stamp=30), broken(stamp=10))
    assert (find_breaks(url), suspense(url)) == ([], 0)


@both
def test_a_clock_that_went_ahead_and_was_set_right_closes_no_date_too_early(run, journal_url):
    """The core's own time stands still until the clock has caught up; what may be closed, the clock says."""
    run(broken(space="icbc"), hours=12.9)
    assert results(run(close(date=TODAY), hours=12.1)) == ["TOO_EARLY"]
    assert find_fences(journal_url) == []


@both
@pytest.mark.parametrize(
    "bad",
    [
        broken(reason=""),
        broken(bank=""),
        broken(space="*"),
        Request(Kind.CLOSE, "citic", EVE, "1", "", ""),
        broken(reason="x" * 41),
        broken(stamp=-1),
    ],
    ids=["no reason", "no number", "every space", "a serial", "long", "stamp"],
)
def test_what_cannot_be_meant_is_refused_and_leaves_nothing(run, journal_url, bad):
    assert results(run(bad)) == ["FORMAT"]
    assert (find_breaks(journal_url, open_only=False), find_fences(journal_url)) == ([], [])


# -- reversals and voids -------------------------------------------------------------------------------------


@both
def test_a_banks_reversal_after_the_fence_goes_by_the_refund_path(run, ask, journal_url, account):
    back = ask(Kind.REVERSAL, "1", amount_fen=500, date=EVE)
    run(ask(Kind.RECHARGE, "1", EMPTY, 500, date=EVE), close())
    assert results(run(back, back)) == ["DATE_CLOSED"] * 2
    (row,) = find_breaks(journal_url)
    assert (row.key, row.kind, row.amount_fen, row.bank_number) == (back.key.text, "refund", 500, "00101")
    run(mended("1", stamp=NOON.wall_us))
    assert results(run(back)) == ["DATE_CLOSED"]
    assert find_breaks(journal_url) == []  # a person has seen to it
    assert account(EMPTY).balance_fen == 500


@both
def test_the_refund_path_is_noted_also_of_a_key_that_had_another_break_before(run, ask, journal_url):
    back = ask(Kind.REVERSAL, "1", amount_fen=500, date=EVE)
    run(ask(Kind.RECHARGE, "1", EMPTY, 500, date=EVE), broken("1"), mended("1", stamp=2 * NOON.wall_us))
    assert results(run(close(), back, back)) == ["APPROVED", "DATE_CLOSED", "DATE_CLOSED"]
    late_copies = [broken("1"), mended("1", stamp=2 * NOON.wall_us)]
    run(*late_copies)
    (row,) = find_breaks(journal_url)
    assert (row.key, row.kind) == (f"{back.key.text}:refund", "refund")
    run(mended("1:refund", stamp=row.noted_us), back)
    assert find_breaks(journal_url) == []  # a person has seen to it


@both
def test_a_reversal_of_ours_is_carried_out_after_the_fence_and_leaves_a_break(run, ask, journal_url, account):
    own = ask(Kind.REVERSAL, "1", date=EVE, reason="refund")
    run(ask(Kind.RECHARGE, "1", EMPTY, 500, date=EVE), close())
    first, again = run(own, own)
    assert (first.result, again.result, again.stored) == (Result.APPROVED, Result.APPROVED, True)
    assert account(EMPTY).balance_fen == 0
    assert [(one.key, one.kind) for one in find_breaks(journal_url)] == [(own.key.text, "refund")]


def test_a_void_undoes_unspent_money_alone(run, ask, account, url):
    run(ask(Kind.RECHARGE, "1", EMPTY, 500), ask(Kind.RECHARGE, "2", TWO_BILLS, 5_000))
    run(ask(Kind.RECHARGE, "3", TWO_BILLS, 3_000))  # pays a bill with what came before, too
    void = ask(Kind.VOID, "1", amount_fen=500)
    first, again, spent, other = run(void, void, ask(Kind.VOID, "2"), ask(Kind.VOID, "3", amount_fen=2_999))
    assert results([first, again, spent, other]) == ["APPROVED", "APPROVED", "SPENT", "AMOUNT_DIFFERS"]
    assert (again.stored, account(EMPTY).balance_fen) == (True, 0)
    view = account(TWO_BILLS)
    assert (view.arrears_fen, len(view.bills)) == (0, 1)
    (row,) = find_journal(url, void.key.text)
    assert (row.state, find_order(url, row.reversal_order).kind) == ("reversed", "void")
    assert results(run(ask(Kind.RECHARGE, "1", EMPTY, 500))) == ["REVERSED"]
    # The time-out reversal of the same money is not refused: the book goes into arrears.
    assert results(run(ask(Kind.REVERSAL, "2"))) == ["APPROVED"]
    assert account(TWO_BILLS).arrears_fen > 0


def test_a_refused_void_stays_refused_however_late_a_copy_of_it_comes(run, ask, account):
    run(ask(Kind.RECHARGE, "1", TWO_BILLS, 5_000), ask(Kind.RECHARGE, "2", TWO_BILLS, 3_000))
    void = ask(Kind.VOID, "1", own_serial="77")
    assert results(run(void)) == ["SPENT"]
    run(ask(Kind.RECHARGE, "3", TWO_BILLS, 9_000))  # there is money again
    (late,) = run(void)
    assert (late.result, late.stored) == (Result.SPENT, True)
    assert results(run(ask(Kind.STATUS, "1"))) == ["APPROVED"]
    assert results(run(ask(Kind.VOID, "1", own_serial="78"))) == ["APPROVED"]  # another one, asked for anew
    assert results(run(void)) == ["SPENT"]


@both
def test_a_void_of_what_was_never_seen_blocks_it_and_one_of_a_closed_date_is_refused(
    run, ask, account, journal_url
):
    run(ask(Kind.RECHARGE, "1", EMPTY, 500, date=EVE), ask(Kind.RECHARGE, "3", EMPTY, 0))
    replies = run(
        ask(Kind.VOID, "2"),
        ask(Kind.RECHARGE, "2", EMPTY, 70),
        ask(Kind.VOID, "3"),
        close(),
        ask(Kind.VOID, "1", date=EVE),
        ask(Kind.VOID, "4", date=EVE),
    )
    assert results(replies) == [
        *("NOT_FOUND", "BLOCKED", "ORIGINAL_REFUSED", "APPROVED", "DATE_CLOSED", "NOT_FOUND")
    ]
    assert account(EMPTY).balance_fen == 500
    assert find_breaks(journal_url) == []


@pytest.mark.parametrize("core_kind", ["remote"], indirect=True)
def test_a_remote_core_voids_nothing(run, ask, account):
    assert results(run(ask(Kind.RECHARGE, "1", EMPTY, 500), ask(Kind.VOID, "1"))) == [
        "APPROVED",
        "UNSUPPORTED",
    ]
    assert account(EMPTY).balance_fen == 500


# -- quarantine ----------------------------------------------------------------------------------------------


@both
def test_release_from_quarantine_confirms_the_block_and_frees_the_date(core, run, ask, journal_url, account):
    poisoned = ask(Kind.RECHARGE, "1", EMPTY, 500, date=EVE)
    assert core.quarantine(poisoned, NOON).result is Result.QUARANTINED
    assert core.quarantine(poisoned, NOON).result is Result.QUARANTINED
    assert [(one.key, one.kind) for one in find_breaks(journal_url, kind="quarantine")] == [
        (poisoned.key.text, "quarantine")
    ]
    assert results(run(close(), mended("1", stamp=NOON.wall_us), close())) == [
        *("BREAK_OPEN", "APPROVED", "APPROVED")
    ]
    assert results(run(poisoned, ask(Kind.STATUS, "1", date=EVE))) == ["QUARANTINED"] * 2
    assert account(EMPTY).balance_fen == 0


@both
def test_a_reversal_that_fails_leaves_its_original_standing_and_a_break(core, run, ask, journal_url):
    run(ask(Kind.RECHARGE, "1", EMPTY, 500))
    assert core.quarantine(ask(Kind.REVERSAL, "1"), NOON).result is Result.QUARANTINED
    assert [(one.kind, one.amount_fen) for one in find_breaks(journal_url)] == [("quarantine", 500)]


@both
def test_quarantine_takes_no_key_of_a_closed_date_and_none_for_what_the_house_asks(
    core, run, ask, journal_url
):
    run(close())
    for request in (ask(Kind.RECHARGE, "1", EMPTY, 500, date=EVE), close(), broken()):
        assert core.quarantine(request, NOON).result is Result.QUARANTINED
    assert (find_journal(journal_url, "1"), find_breaks(journal_url)) == ([], [])


# -- which dates are due -------------------------------------------------------------------------------------


@both
def test_the_oldest_open_date_of_each_space_is_due(run, ask, journal_url):
    run(
        ask(Kind.STATUS, "1", date=20261114),
        ask(Kind.STATUS, "1", date=EVE),
        ask(Kind.STATUS, "1", date=EVE, space="a b"),
        ask(Kind.STATUS, "1", date=TODAY, space="icbc"),
    )
    assert find_due(journal_url, EVE) == [("a b", EVE), ("citic", 20261114)]
    (reply,) = run(close("*", EVE))
    assert reply.name.split("\n") == ["20261116 a b", "20261114 citic"]
    run(close(date=20261115))
    assert find_due(journal_url, EVE) == [("a b", EVE), ("citic", EVE)]
    run(close(), close("a b"))
    assert find_due(journal_url, EVE) == []
    assert find_due(journal_url, TODAY) == [("icbc", TODAY)]


@pytest.mark.parametrize("core_kind", ["remote"], indirect=True)
def test_a_date_is_not_closed_while_a_remote_cores_word_is_out(core, run, ask, journal_url):
    """A call whose answer was lost: its money may have moved, so its day stays open until it is known."""
    gateway = core.gateway
    real = gateway._core.ask

    def lost(calls):
        from crm_bridge.remote.contract import Unanswered

        real(calls)
        return [Unanswered("timeout")] * len(calls)

    gateway._core.ask = lost
    try:
        assert results(run(ask(Kind.RECHARGE, "1", EMPTY, 500, date=EVE))) == ["UNKNOWN"]
    finally:
        gateway._core.ask = real
    (held,) = run(close())
    assert (held.result, held.count) == (Result.BREAK_OPEN, 1)
    assert results(run(broken("1"), mended("1"))) == ["APPROVED"] * 2  # noted though its outcome is open
    assert results(run(ask(Kind.STATUS, "1", date=EVE), close())) == ["APPROVED"] * 2


def test_what_was_closed_for_all_spaces_stays_closed(core, run, ask, url):
    from crm_bridge.store import fetch, writing

    with writing(url) as connection:
        fetch(connection, "UPDATE journal_fence SET closed_through = :eve RETURNING 1", eve=EVE)
    assert results(run(ask(Kind.RECHARGE, "1", EMPTY, 500, date=EVE), close("other"))) == [
        *("DATE_CLOSED", "APPROVED")
    ]
    assert find_due(url, EVE) == []
    assert [(one.space, one.closed_through) for one in find_fences(url)] == [("", EVE)]
