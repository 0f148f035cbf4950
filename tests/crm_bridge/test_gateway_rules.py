"""The money rules, one by one, on the real database."""

import pytest

from crm_bridge.audit import audit_books
from crm_bridge.lookup import find_entries, find_journal
from qianzhi.domain.requests import Key, Kind, Request
from qianzhi.domain.results import Result

RECHARGE, PAY, STATUS, REVERSAL, BLOCK, OWED = (
    Kind.RECHARGE,
    Kind.PAY,
    Kind.STATUS,
    Kind.REVERSAL,
    Kind.BLOCK,
    Kind.OWED,
)
pytestmark = pytest.mark.parametrize("core_kind", ["embedded", "remote"], indirect=True)
EMPTY, DEBTOR, TWO_BILLS, CLOSED = "13800000007", "13800000003", "13800000005", "13800000049"


@pytest.fixture(autouse=True)
def books_stay_proved(url):
    yield
    assert audit_books(url).violations == []


@pytest.fixture
def close():
    """Build the request that closes a space's date."""
    return lambda space, date, by="tester": Request(Kind.CLOSE, space, date, "-", "", "", reason=by)


def results(replies):
    return [reply.result.name for reply in replies]


def test_recharge_writes_off_the_oldest_bills_and_leaves_the_rest(run, ask, account):
    reply = run(ask(RECHARGE, "1", DEBTOR, 5_000))[0]
    fee = 6_541 * 30 * 58 // 10_000  # due on 20 September, today is 17 November
    assert [(bill.month, bill.principal_fen, bill.late_fee_fen) for bill in reply.bills] == [
        (202608, 6_541, fee)
    ]
    assert reply.balance_fen == 6_116 + 5_000 - 6_541 - fee
    view = account(DEBTOR)
    assert view.balance_fen == reply.balance_fen
    assert [bill.month for bill in view.bills] == [202609, 202610]


def test_a_recharge_that_covers_no_whole_bill_stays_in_the_book(run, ask, account):
    assert run(ask(RECHARGE, "1", TWO_BILLS, 7_000))[0].balance_fen == 7_000
    assert len(account(TWO_BILLS).bills) == 2


def test_reversal_undoes_exactly_what_its_order_did(run, ask, account, url):
    before = account(DEBTOR)
    first, back, again = run(
        ask(RECHARGE, "1", DEBTOR, 40_000), ask(REVERSAL, "1", amount_fen=40_000), ask(REVERSAL, "1")
    )
    after = account(DEBTOR)
    assert (after.balance_fen, after.arrears_fen, after.bills) == (before.balance_fen, 0, before.bills)
    assert (back.result, back.order, back.amount_fen) == (Result.APPROVED, first.order, 40_000)
    assert (again.result, again.order, again.stored) == (Result.APPROVED, first.order, True)
    assert {entry.what for entry in find_entries(url, after.orders[0].serial)} == {
        "undo late_fee",
        "undo principal",
        "undo credit",
    }


def test_a_short_book_goes_into_arrears_with_an_alarm_and_the_next_recharge_makes_it_good(
    core, run, ask, account
):
    run(ask(RECHARGE, "1", TWO_BILLS, 5_000))
    spent = 6_747 + 6_747 * 30 * 28 // 10_000
    assert run(ask(RECHARGE, "2", TWO_BILLS, 3_000))[0].balance_fen == 8_000 - spent
    assert core.take_alarms() == []
    short = 5_000 - (8_000 - spent)
    assert run(ask(REVERSAL, "1"))[0].balance_fen == -short
    assert [(alarm.name, alarm.fields["shortage_fen"]) for alarm in core.take_alarms()] == [
        ("reversal_left_arrears", short)
    ]
    assert (account(TWO_BILLS).balance_fen, account(TWO_BILLS).arrears_fen) == (0, short)
    assert run(ask(OWED, "3", TWO_BILLS))[0].amount_fen == short + 14_693
    assert run(ask(RECHARGE, "4", TWO_BILLS, 10_000))[0].balance_fen == 10_000 - short
    assert account(TWO_BILLS).arrears_fen == 0
    run(ask(REVERSAL, "4"))
    assert (account(TWO_BILLS).balance_fen, account(TWO_BILLS).arrears_fen) == (0, short)
    run(ask(REVERSAL, "2"))
    assert account(TWO_BILLS).balance_fen - account(TWO_BILLS).arrears_fen == 0
    assert len(account(TWO_BILLS).bills) == 2


def test_bill_payment_pays_the_quoted_bill_only(run, ask, account):
    before = account(DEBTOR)
    bill = before.bills[1]
    paid = ask(PAY, "1", DEBTOR, bill.total_fen, bill=bill.serial)
    wrong = ask(PAY, "2", DEBTOR, bill.principal_fen, bill=bill.serial)
    twice = ask(PAY, "3", DEBTOR, bill.total_fen, bill=bill.serial)
    foreign = ask(PAY, "4", EMPTY, bill.total_fen, bill=bill.serial)
    nothing = ask(PAY, "5", DEBTOR, 100)
    assert results(run(wrong, paid, twice, foreign, nothing)) == [
        "BILL_CHANGED",
        "APPROVED",
        "BILL_PAID",
        "NO_SUCH_BILL",
        "NO_SUCH_BILL",
    ]
    after = account(DEBTOR)
    assert (after.balance_fen, [b.serial for b in after.bills]) == (
        before.balance_fen,
        [before.bills[0].serial, before.bills[2].serial],
    )
    run(ask(REVERSAL, "1"))
    assert (account(DEBTOR).balance_fen, account(DEBTOR).bills) == (before.balance_fen, before.bills)


def test_owed_quotes_and_leaves_no_row(run, ask, journal_url, account):
    owed, nothing, nobody = run(ask(OWED, "1", DEBTOR), ask(OWED, "2", EMPTY), ask(OWED, "3", "13999999999"))
    assert owed.result is Result.APPROVED
    assert (owed.bills, owed.name) == (account(DEBTOR).bills, account(DEBTOR).name)
    assert owed.amount_fen == sum(bill.total_fen for bill in owed.bills)
    assert (nothing.result, nobody.result) == (Result.NOTHING_OWED, Result.NO_SUCH_PHONE)
    assert [row for serial in "123" for row in find_journal(journal_url, serial)] == []


def test_a_repeat_gets_the_stored_answer_and_moves_nothing(run, ask, account):
    first = run(ask(RECHARGE, "1", EMPTY, 5_000))[0]
    second, third = run(
        ask(RECHARGE, "1", EMPTY, 5_000, repeat=True, received_us=7), ask(STATUS, "1"), hours=1
    )
    assert second == third
    assert (second.order, second.settled_us, second.stored) == (first.order, first.settled_us, True)
    assert account(EMPTY).balance_fen == 5_000


@pytest.mark.parametrize(
    "other",
    [{"phone": DEBTOR}, {"amount_fen": 5_001}, {"bank_number": "00102"}, {"bill": "x"}, {"kind": PAY}],
    ids=lambda other: next(iter(other)),
)
def test_the_same_key_with_other_content_is_a_duplicate_serial(run, ask, account, other):
    given = {"kind": RECHARGE, "serial": "1", "phone": EMPTY, "amount_fen": 5_000}
    assert results(run(ask(**given), ask(**given | other))) == ["APPROVED", "DUPLICATE_SERIAL"]
    assert account(EMPTY).balance_fen == 5_000


@pytest.mark.parametrize("other", [{"space": "icbc"}, {"date": 20261116}, {"serial": "2"}])
def test_each_part_of_the_key_makes_another_request(run, ask, account, other):
    given = {"kind": RECHARGE, "serial": "1", "phone": EMPTY, "amount_fen": 5_000}
    assert results(run(ask(**given), hours=-1) + run(ask(**given | other), hours=-1)) == ["APPROVED"] * 2
    assert account(EMPTY).balance_fen == 10_000


def test_a_refusal_is_kept_as_it_was_given(run, ask):
    asked = [
        ask(RECHARGE, "1", "13999999999", 100),
        ask(RECHARGE, "2", CLOSED, 100),
        ask(RECHARGE, "3", EMPTY, 0),
        ask(RECHARGE, "4", EMPTY, -1),
        ask(RECHARGE, "5", EMPTY, 5_000_001),
    ]
    first = run(*asked)
    assert results(first) == ["NO_SUCH_PHONE", "PHONE_CLOSED", "BAD_AMOUNT", "BAD_AMOUNT", "AMOUNT_LIMIT"]
    again = run(*asked, *(ask(STATUS, str(n)) for n in range(1, 6)))
    assert results(again) == results(first) * 2
    assert all(reply.stored for reply in again)
    assert results(run(*(ask(REVERSAL, str(n)) for n in range(1, 6)))) == ["ORIGINAL_REFUSED"] * 5


@pytest.mark.parametrize("kind", [STATUS, REVERSAL])
def test_asking_settles(run, ask, account, kind):
    assert results(run(ask(kind, "1"))) == ["NOT_FOUND"]
    late = ask(RECHARGE, "1", EMPTY, 5_000)
    assert results(run(late, late, ask(STATUS, "1"), ask(REVERSAL, "1"))) == [
        "BLOCKED",
        "BLOCKED",
        "NOT_FOUND",
        "NOT_FOUND",
    ]
    assert account(EMPTY).balance_fen == 0


def test_a_block_keeps_its_original_out_and_an_approved_one_in(run, ask, account):
    original = ask(RECHARGE, "2", EMPTY, 300)
    assert results(run(ask(BLOCK, "1", EMPTY, 100), ask(RECHARGE, "1", EMPTY, 100))) == ["BLOCKED"] * 2
    assert results(run(ask(REVERSAL, "1"), ask(STATUS, "1"))) == ["ORIGINAL_REFUSED", "BLOCKED"]
    replies = run(original, ask(BLOCK, "2", EMPTY, 300), ask(BLOCK, "2"), ask(BLOCK, "2", EMPTY, 301))
    assert results(replies) == ["APPROVED", "APPROVED", "APPROVED", "DUPLICATE_SERIAL"]
    assert account(EMPTY).balance_fen == 300


def test_a_repeat_of_a_reversed_request_is_told_so(run, ask, account):
    original = ask(RECHARGE, "1", EMPTY, 5_000)
    first = run(original, ask(REVERSAL, "1"))[0]
    replies = run(original, ask(STATUS, "1"), ask(BLOCK, "1", EMPTY, 5_000))
    assert results(replies) == ["REVERSED"] * 3
    assert {reply.order for reply in replies} == {first.order}
    assert account(EMPTY).balance_fen == 0


def test_a_reversal_that_contradicts_its_original_moves_nothing(run, ask, account):
    run(ask(RECHARGE, "1", EMPTY, 5_000))
    replies = run(ask(REVERSAL, "1", amount_fen=4_999), ask(REVERSAL, "1", DEBTOR))
    assert results(replies) == ["AMOUNT_DIFFERS", "DUPLICATE_SERIAL"]
    assert account(EMPTY).balance_fen == 5_000


def test_a_business_date_is_closed_by_its_fence_and_by_no_clock(run, ask, close, account, url):
    eve = 20261116
    kept = ask(RECHARGE, "1", EMPTY, 5_000, date=eve)
    assert results(run(kept, ask(RECHARGE, "2", EMPTY, 500, date=eve), hours=11)) == ["APPROVED"] * 2
    assert results(run(ask(REVERSAL, "2", date=eve), close("citic", eve), hours=11)) == ["APPROVED"] * 2
    replies = run(
        kept,
        ask(RECHARGE, "3", EMPTY, 5_000, date=eve),
        ask(REVERSAL, "1", date=eve),
        ask(REVERSAL, "2", date=eve),
        ask(STATUS, "1", date=eve),
        ask(STATUS, "4", date=eve),
        ask(REVERSAL, "5", date=eve),
        ask(RECHARGE, "5", EMPTY, 5_000, date=eve),
        ask(RECHARGE, "6", EMPTY, 70, date=eve, space="icbc"),
        hours=11.5,
    )
    assert results(replies) == [
        "APPROVED",
        "DATE_CLOSED",
        "DATE_CLOSED",
        "APPROVED",
        "APPROVED",
        "NOT_FOUND",
        "NOT_FOUND",
        "DATE_CLOSED",
        "APPROVED",  # another space's day is its own
    ]
    assert account(EMPTY).balance_fen == 5_070


def test_dates_far_from_today(run, ask, journal_url):
    dates = {
        20261115: "BAD_DATE",
        20261119: "BAD_DATE",
        20251117: "TOO_OLD",
        20281117: "BAD_DATE",
        20261131: "BAD_DATE",
    }
    for date, expected in dates.items():
        assert results(run(ask(RECHARGE, "1", EMPTY, 5_000, date=date))) == [expected]
    assert results(run(ask(STATUS, "2", date=20251117), ask(REVERSAL, "2", date=20251117))) == ["TOO_OLD"] * 2
    assert results(run(ask(RECHARGE, "3", EMPTY, 5_000, date=20261118))) == ["APPROVED"]
    # Only the refusal that waiting would turn into an approval is kept.
    kept = [view.key for view in find_journal(journal_url, "1") if view.key.endswith("/1")]
    assert kept == ["citic/20261119/1"]
    assert results(run(ask(RECHARGE, "1", EMPTY, 5_000, date=20261119), hours=24)) == ["BAD_DATE"]


def test_a_key_that_is_kept_no_more_is_too_old_whatever_its_row_says(run, core, ask, account, noon):
    """Its row may still be there, or be gone: the answer is the same for all, and nothing moves."""
    money, unseen = ask(RECHARGE, "1", EMPTY, 5_000), ask(STATUS, "2")
    asked = [money, ask(STATUS, "1"), ask(REVERSAL, "1"), ask(Kind.VOID, "1", own_serial="9"), unseen]
    asked += [ask(BLOCK, "3"), ask(Kind.BREAK, "1", reason="manual")]
    assert results(run(money)) == ["APPROVED"]
    assert results(run(money, ask(STATUS, "1"), hours=200 * 24)) == ["APPROVED"] * 2
    assert results(run(*asked, hours=201 * 24)) == ["TOO_OLD"] * len(asked)
    late = noon.after(201 * 24 * 3_600_000_000)
    assert {core.quarantine(one, late).result.name for one in asked[:-1]} == {"TOO_OLD"}
    core.keep_after(20261117)  # the rows of today are gone, although keep_days has been raised since
    assert results(run(*asked)) == ["TOO_OLD"] * len(asked)
    assert account(EMPTY).balance_fen == 5_000


def test_our_own_dates_are_searched_beside_the_day(run, ask, account):
    late = ask(RECHARGE, "1", EMPTY, 5_000, date_ours=True)
    assert results(run(late, hours=11.9)) == ["APPROVED"]
    next_day = {"date": 20261118, "date_ours": True}
    repeat, status, other = run(
        ask(RECHARGE, "1", EMPTY, 5_000, **next_day),
        ask(STATUS, "1", **next_day),
        ask(RECHARGE, "1", EMPTY, 4_000, **next_day),
        hours=12.1,
    )
    assert (repeat.stored, status.order, other.stored) == (True, repeat.order, False)
    assert account(EMPTY).balance_fen == 9_000
    assert results(run(ask(REVERSAL, "1", amount_fen=5_000, **next_day), hours=12.2)) == ["APPROVED"]
    assert account(EMPTY).balance_fen == 4_000


def test_a_repeat_under_our_own_date_is_new_after_two_hours(run, ask, account):
    run(ask(RECHARGE, "1", EMPTY, 5_000, date_ours=True), hours=11)
    replies = run(ask(RECHARGE, "1", EMPTY, 5_000, date_ours=True, date=20261118), hours=13)
    assert (replies[0].result, replies[0].stored) == (Result.APPROVED, False)
    assert account(EMPTY).balance_fen == 10_000


def test_what_is_refused_under_a_closed_date_of_ours_is_refused_under_the_next_one_too(run, ask, account):
    """A fence that a wrong clock raised too early keeps nothing out where the next copy gets another date."""
    run(Request(Kind.CLOSE, "citic", 20261116, "-", "", "", reason="wang 7"))
    eve, today = {"date": 20261116, "date_ours": True}, {"date_ours": True}
    asked = run(
        ask(STATUS, "1", **eve),
        ask(REVERSAL, "2", amount_fen=5_000, **eve),
        ask(RECHARGE, "3", EMPTY, 5_000, **eve),
    )
    assert results(asked) == ["NOT_FOUND", "NOT_FOUND", "DATE_CLOSED"]
    late = run(*(ask(RECHARGE, serial, EMPTY, 5_000, **today) for serial in "123"))
    assert results(late) == ["BLOCKED", "BLOCKED", "DATE_CLOSED"]
    assert account(EMPTY).balance_fen == 0


def test_a_date_of_the_message_is_exact(run, ask, account):
    run(ask(RECHARGE, "1", EMPTY, 5_000), hours=11.9)
    tomorrow = {"date": 20261118}
    replies = run(ask(STATUS, "1", **tomorrow), ask(RECHARGE, "1", EMPTY, 5_000, **tomorrow), hours=12.1)
    assert results(replies) == ["NOT_FOUND", "BLOCKED"]
    assert account(EMPTY).balance_fen == 5_000


def test_lookup_says_what_a_repeat_would_be_told(core, run, ask):
    approved = run(ask(RECHARGE, "1", EMPTY, 5_000), ask(STATUS, "2"))[0]
    keys = [ask(STATUS, serial).key for serial in ("1", "2", "3")]
    found = core.lookup([*keys, Key("citic", 2**70, "1"), Key("\ud800", 1, "1")])
    assert {key.serial: reply.result.name for key, reply in found.items()} == {
        "1": "APPROVED",
        "2": "BLOCKED",
    }
    assert found[keys[0]].order == approved.order
