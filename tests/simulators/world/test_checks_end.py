"""Banks, journal and books that disagree at the end of a run are found out, and open breaks explain them."""

import msgspec
import pytest

from qianzhi.domain.requests import Kind, Request
from simulators.record import Debit, Outcome
from simulators.world import checks_end
from simulators.world.checks_bench import AMOUNT_FEN, KEY, PHONE, Bench, asking, bank_of, deal_of
from simulators.world.checks_end import Party
from simulators.world.checks_open import opens_of
from simulators.world.observe import Violation


@pytest.fixture
def bench() -> Bench:
    return Bench()


def break_of(kind: Kind, serial: str = KEY.serial, amount_fen: int = AMOUNT_FEN) -> Request:
    return msgspec.structs.replace(asking(kind, serial, amount_fen), reason="unreversed", stamp_us=1)


def compare(parties: list[Party], bench: Bench) -> None:
    checks_end.compare(parties, bench.memory, bench.find, opens_of(bench.memory))


@pytest.mark.parametrize(
    ("outcome", "debit", "reverse", "invariant", "says"),
    [
        (Outcome.REFUSED, Debit.RETURNED, False, "I1", "refused, and it is credited"),
        (Outcome.REVERSED, Debit.RETURNED, False, "I3", "credited still after a completed reversal"),
        (Outcome.APPROVED, Debit.DEBITED, True, "I3", "told of success, and the money is not credited"),
        (Outcome.APPROVED, Debit.UNKNOWN, False, "I7", "still open"),
    ],
)
def test_a_bank_and_a_core_that_disagree_are_named(
    bench: Bench, outcome: Outcome, debit: Debit, reverse: bool, invariant: str, says: str
) -> None:
    bench.ask()
    if reverse:
        bench.ask(asking(Kind.REVERSAL))
    with pytest.raises(Violation) as found:
        compare(bank_of(deal_of(outcome, debit)), bench)
    assert found.value.invariant == invariant
    assert says in found.value.says
    assert {"bank", "journal"} <= set(found.value.views)


def test_money_that_no_bank_knows_of_is_an_unexplained_difference(bench: Bench) -> None:
    bench.ask()
    with pytest.raises(Violation, match=r"I12 .*nobody asked for them"):
        compare(bank_of(), bench)


def test_a_customer_who_paid_more_than_was_credited_is_named(bench: Bench) -> None:
    bench.ask()
    deal = deal_of(Outcome.APPROVED, Debit.DEBITED)
    with pytest.raises(Violation, match=f"I12 {PHONE}: 1500 fen debited, 1000 credited, 0 open"):
        compare([Party("bank", [deal], {PHONE: 1_500})], bench)


def test_a_kept_total_that_is_not_the_journals_is_named(bench: Bench) -> None:
    bench.ask()
    (day,) = bench.memory.totals
    bench.memory.totals[day] = bench.memory.totals[day]._replace(approved_fen=1)
    with pytest.raises(Violation, match=r"I12 0101/20260701: journal 1000, books 1000, kept totals 1 fen"):
        compare(bank_of(deal_of(Outcome.APPROVED, Debit.DEBITED)), bench)


def test_a_difference_with_an_open_break_is_explained_and_one_that_is_mended_is_not(bench: Bench) -> None:
    bench.ask()
    deal = deal_of(Outcome.REFUSED, Debit.RETURNED)
    bench.ask(break_of(Kind.BREAK))
    compare(bank_of(deal), bench)
    bench.ask(break_of(Kind.MEND))
    with pytest.raises(Violation, match="I1 "):
        compare(bank_of(deal), bench)


@pytest.mark.parametrize(("serial", "amount_fen"), [("000002", AMOUNT_FEN), (KEY.serial, AMOUNT_FEN - 1)])
def test_a_break_of_another_key_or_amount_explains_nothing(
    bench: Bench, serial: str, amount_fen: int
) -> None:
    bench.ask()
    bench.ask(asking(serial="000002"))
    bench.ask(break_of(Kind.BREAK, serial, amount_fen))
    own, other = deal_of(Outcome.REFUSED, Debit.RETURNED), deal_of(Outcome.APPROVED, Debit.DEBITED)
    other.record.key = KEY._replace(serial="000002")
    with pytest.raises(Violation, match=f"I1 {KEY.text}"):
        compare(bank_of(own, other), bench)


def test_a_customer_with_something_open_is_counted_to_the_fen(bench: Bench) -> None:
    bench.ask()
    bench.ask(asking(serial="000002"))
    bench.ask(break_of(Kind.BREAK))
    own, other = deal_of(Outcome.REFUSED, Debit.RETURNED), deal_of(Outcome.APPROVED, Debit.DEBITED)
    other.record.key = KEY._replace(serial="000002")
    (bank,) = bank_of(own, other)
    compare([bank], bench)
    with pytest.raises(Violation, match=f"I12 {PHONE}: 1001 fen debited, 2000 credited, -1000 open"):
        compare([bank._replace(spent={PHONE: AMOUNT_FEN + 1})], bench)


def test_a_credit_of_another_customer_is_named(bench: Bench) -> None:
    bench.ask()
    (posting,) = bench.memory.transfers
    bench.memory.transfers[0] = posting._replace(credit=3)
    with pytest.raises(Violation, match=f"I12 {PHONE}: 1000 fen debited, 0 credited, 0 open"):
        compare(bank_of(deal_of(Outcome.APPROVED, Debit.DEBITED)), bench)


def test_a_bank_that_counts_a_day_otherwise_is_named(bench: Bench) -> None:
    bench.ask()
    deal = deal_of(Outcome.APPROVED, Debit.DEBITED)
    paid = [*bank_of(deal), Party("unet", (), {}, {}, {("0101", KEY.date): 1})]
    with pytest.raises(
        Violation, match=r"I12 0101/20260701: the bank counts 1001 fen, the books 1000, and 0"
    ):
        compare(paid, bench)


def test_a_clearing_account_that_owes_more_than_stands_is_named(bench: Bench) -> None:
    bench.ask()
    (number,) = [at for name, at in bench.memory.house.items() if name.kind == "clearing"]
    account = bench.memory.accounts[number]
    bench.memory.accounts[number] = account._replace(balance_fen=account.balance_fen - 1)
    with pytest.raises(Violation, match="I12 0101: clearing owes 1001 fen, 1000 stand"):
        compare(bank_of(deal_of(Outcome.APPROVED, Debit.DEBITED)), bench)


def test_what_stays_in_a_queue_is_named() -> None:
    checks_end.drained([("queue", 0)])
    with pytest.raises(Violation, match="I8 saf/1: 3 are left"):
        checks_end.drained([("queue", 0), ("saf/1", 3)])
