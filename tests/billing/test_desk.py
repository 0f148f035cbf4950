"""Decisions at the desk on loaded state alone: no database, several requests of one book in one batch."""

import pytest

from qianzhi.billing.bills import MonthBill, Tariff
from qianzhi.billing.books import PhoneState, Subscriber
from qianzhi.billing.desk import Desk, Job, Loaded
from qianzhi.billing.orders import CLEARING, LATE_FEES, RECEIVABLE, SUSPENSE, Code
from qianzhi.domain.requests import Key, Kind
from qianzhi.domain.results import Result
from qianzhi.ledger.entries import Account, Delta, Name
from qianzhi.ledger.invariant import InvariantError
from qianzhi.ledger.sheet import Sheet
from qianzhi.runtime.now import Now

NOW = Now(1, 1_794_888_000_000_000)
TODAY = 20261117
BOOK, ARREARS, BANK, OWED, FEES, HELD = 10, 11, 20, 21, 22, 23
HOUSE = {
    Name(CLEARING, "001", "b/0"): BANK,
    Name(RECEIVABLE, "", "b/0"): OWED,
    Name(LATE_FEES, "", "b/0"): FEES,
    Name(SUSPENSE, "001", "b/0"): HELD,
}
BILLS = [
    MonthBill("B9", 1, 202609, 300, 20261020),
    MonthBill("B8", 1, 202608, 1_000, 20261107),
    MonthBill("B7", 1, 202607, 50, 20260920, "Q0"),
    MonthBill("X1", 2, 202608, 5, 20260920),
]


def desk(balance=0, arrears=0, reserved=0, state=PhoneState.OPEN):
    accounts = [
        Account(BOOK, balance, reserved, 0),
        Account(ARREARS, -arrears),
        *map(Account, (BANK, OWED, FEES, HELD)),
    ]
    loaded = Loaded(
        [Subscriber("138", state, "张三", 1, BOOK, ARREARS)], BILLS, [], HOUSE, iter(["Q1", "Q2", "Q3", "Q4"])
    )
    sheet = Sheet(accounts)
    return Desk(loaded, sheet, Tariff(10), TODAY, NOW, "b/0"), sheet


def job(amount, serial="1", kind=Kind.RECHARGE, bill="", phone="138"):
    return Job(kind, Key("s", TODAY, serial), phone, amount, "001", bill)


def test_bills_go_oldest_first_and_whole():
    one, sheet = desk()
    outcome = one.credit(job(1_309))  # 1000 + 10 for August, one fen short of 300 for September with its 8
    assert [bill.serial for bill in outcome.bills] == ["B8"]
    assert outcome.balance_fen == 299
    assert one.changes().bills == [("B8", None, "Q1")]
    assert sheet.changes().deltas == {
        BANK: Delta(-1_309),
        BOOK: Delta(299),
        OWED: Delta(1_000),
        FEES: Delta(10),
    }


def test_a_younger_bill_is_not_paid_before_an_older_one():
    one, _ = desk()
    assert one.credit(job(500)).bills == ()


def test_a_second_recharge_of_a_batch_sees_the_first():
    one, sheet = desk()
    assert one.credit(job(600)).bills == ()
    assert [bill.serial for bill in one.credit(job(718, "2")).bills] == ["B8", "B9"]
    assert one.credit(job(718, "3")).balance_fen == 718
    assert sheet.changes().deltas[BOOK] == Delta(718)


def test_reserved_money_pays_no_bill():
    one, _ = desk(balance=1_000, reserved=1_000)
    assert one.credit(job(1_009)).bills == ()


def test_a_reversal_does_not_take_reserved_money():
    one, sheet = desk(balance=500, reserved=500)
    first = one.credit(job(600)).order
    assert [bill.serial for bill in one.credit(job(410, "2")).bills] == ["B8"]
    assert one.reverse(first, Key("s", TODAY, "1"), "001").shortage_fen == 600
    assert (sheet.free_fen(BOOK), sheet.balance_fen(ARREARS)) == (0, -600)


def test_arrears_come_first():
    one, sheet = desk(arrears=200)
    outcome = one.credit(job(1_209))
    assert (outcome.bills, outcome.balance_fen, sheet.balance_fen(ARREARS)) == ((), 1_009, 0)
    less, sheet = desk(arrears=200)
    assert less.credit(job(150)).balance_fen == -50
    assert (sheet.balance_fen(BOOK), sheet.balance_fen(ARREARS)) == (0, -50)


def test_paid_and_reopened_in_one_batch_leaves_the_bill_untouched():
    one, sheet = desk()
    order = one.credit(job(1_010)).order
    assert one.reverse(order, Key("s", TODAY, "1"), "001").shortage_fen == 0
    changes = one.changes()
    assert (changes.bills, len(changes.write_offs), len(changes.orders)) == ([], 1, 2)
    assert changes.orders[1].reverses == order
    assert sheet.changes().deltas == {}
    assert [bill.serial for bill in one.credit(job(1_010, "2")).bills] == ["B8"]


def test_a_reversal_takes_what_is_missing_from_arrears():
    one, sheet = desk()
    first = one.credit(job(1_000)).order
    one.credit(job(10, "2"))
    outcome = one.reverse(first, Key("s", TODAY, "1"), "001")
    assert (outcome.result, outcome.shortage_fen, outcome.balance_fen) == (Result.APPROVED, 1_000, -1_000)
    assert sheet.changes().transfers[-2].code == Code.SHORTAGE
    assert (sheet.balance_fen(BOOK), sheet.balance_fen(ARREARS)) == (0, -1_000)


@pytest.mark.parametrize(
    ("amount", "bill", "result"),
    [
        (1_010, "B8", Result.APPROVED),
        (1_009, "B8", Result.BILL_CHANGED),
        (1_000, "B8", Result.BILL_CHANGED),
        (50, "B7", Result.BILL_PAID),
        (5, "X1", Result.NO_SUCH_BILL),
        (5, "B0", Result.NO_SUCH_BILL),
        (308, "B9", Result.APPROVED),
    ],
)
def test_payment_of_a_quoted_bill(amount, bill, result):
    one, sheet = desk(balance=70, arrears=30)
    assert one.credit(job(amount, kind=Kind.PAY, bill=bill)).result is result
    assert (sheet.balance_fen(BOOK), sheet.balance_fen(ARREARS)) == (70, -30)
    assert (sheet.balance_fen(BANK) == -amount) is (result is Result.APPROVED)


def test_nobody_and_nobody_any_more():
    one, _ = desk(state=PhoneState.CLOSED)
    assert one.credit(job(5)).result is Result.PHONE_CLOSED
    assert one.credit(job(5, phone="139")).result is Result.NO_SUCH_PHONE
    assert one.owed("139").result is Result.NO_SUCH_PHONE
    assert one.changes().orders == []


def test_what_the_ledger_refuses_is_a_programmers_error():
    one, sheet = desk()
    sheet._accounts.pop(OWED)
    with pytest.raises(InvariantError):
        one.credit(job(2_000))


def test_a_void_is_refused_for_one_fen_that_was_spent_and_moves_nothing():
    one, sheet = desk()
    order = one.credit(job(900)).order
    spent, spent_sheet = desk()
    again = spent.credit(job(900)).order
    spent.credit(job(111, "2"))  # 1011 in all: August's bill of 1010 is paid, one fen is left
    assert spent.reverse(again, job(900).key, "001", Kind.VOID).result is Result.SPENT
    assert spent_sheet.changes().deltas[BANK] == Delta(-1_011)
    assert one.reverse(order, job(900).key, "001", Kind.VOID).result is Result.APPROVED
    assert sheet.changes().deltas == {}
    assert [row.kind for row in one.changes().orders] == [Kind.RECHARGE, Kind.VOID]


def test_what_may_be_owed_stands_in_suspense_and_goes_back_the_way_it_came():
    one, sheet = desk()
    assert one.suspend("break/s/20261117/1", "001", 700) == 700
    assert sheet.changes().deltas == {BANK: Delta(-700), HELD: Delta(700)}
    one.restore("break/s/20261117/1", "001", 700)
    changes = sheet.changes()
    assert changes.deltas == {}
    assert [(row.reference, row.code) for row in changes.transfers] == [
        ("break/s/20261117/1", Code.SUSPENSE),
        ("break/s/20261117/1", 100 + Code.SUSPENSE),
    ]
