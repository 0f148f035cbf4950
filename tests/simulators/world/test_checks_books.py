"""A core that breaks a rule in its commits or its tables is found out, each invariant by its name."""

import dataclasses

import pytest

from crm_bridge.batch import Changes
from crm_bridge.journal import Row, State
from crm_bridge.journal_fences import Fence
from qianzhi.billing.orders import Code
from qianzhi.domain.requests import Kind
from qianzhi.domain.results import Result
from qianzhi.ledger.entries import Delta
from simulators.record import Debit, Outcome
from simulators.world.checks_bench import KEY, NOW, OTHER_PHONE, TODAY, Bench, asking, bank_of, deal_of
from simulators.world.checks_books import audit
from simulators.world.checks_end import compare
from simulators.world.checks_open import opens_of
from simulators.world.observe import Violation


@pytest.fixture
def bench() -> Bench:
    return Bench()


def inserting(changes: Changes, row: Row) -> Changes:
    return changes._replace(journal=changes.journal._replace(inserts=[row]))


def refused(bench: Bench, changes: Changes) -> Violation:
    with pytest.raises(Violation) as found:
        bench.mirror.follow(changes, bench.memory)
    return found.value


def test_a_recharge_its_repeat_its_reversal_and_a_tombstone_are_all_in_order(bench: Bench) -> None:
    assert bench.ask().result is Result.APPROVED
    assert bench.ask().stored
    assert bench.ask(asking(Kind.REVERSAL)).result is Result.APPROVED
    assert bench.ask().result is Result.REVERSED
    assert bench.ask(asking(Kind.STATUS, "000009")).result is Result.NOT_FOUND
    audit(bench.memory)
    compare(
        bank_of(deal_of(Outcome.REVERSED, Debit.RETURNED)), bench.memory, bench.find, opens_of(bench.memory)
    )


def test_two_postings_under_one_key_are_a_double_credit(bench: Bench) -> None:
    changes = bench.changes()
    twice = dataclasses.replace(
        changes.ledger,
        transfers=changes.ledger.transfers * 2,
        deltas={number: Delta(2 * delta.balance_fen) for number, delta in changes.ledger.deltas.items()},
    )
    found = refused(bench, changes._replace(ledger=twice))
    assert (found.invariant, found.key) == ("I2", KEY.text)
    assert "2000 fen were posted for an amount of 1000" in found.says


def test_a_key_that_is_credited_a_second_time_is_a_double_credit(bench: Bench) -> None:
    changes = bench.changes()
    bench.mirror.follow(changes, bench.memory)
    found = refused(bench, changes)
    assert (found.invariant, found.says) == ("I2", "credited twice")


def test_a_credit_after_the_reversal_of_its_key_is_named(bench: Bench) -> None:
    changes = bench.changes()
    bench.mirror.follow(changes, bench.memory)
    bench.ask(asking(Kind.REVERSAL))
    found = refused(bench, changes)
    assert (found.invariant, found.says) == ("I3", "credited after its reversal")


def test_a_credit_in_spite_of_a_tombstone_is_named(bench: Bench) -> None:
    credit = Bench().changes()
    assert bench.ask(asking(Kind.STATUS)).result is Result.NOT_FOUND
    found = refused(bench, credit)
    assert (found.invariant, found.says) == ("I6", "credited although its key was blocked")
    assert found.views["before"].startswith("blocked")


def test_a_settled_answer_that_changes_is_named(bench: Bench) -> None:
    bench.ask(asking(amount_fen=0))
    (row,) = bench.memory.journal.values()
    assert row.state is State.REFUSED
    changes = Bench().changes()
    found = refused(bench, inserting(changes, row._replace(result=int(Result.OVER_QUOTA))))
    assert (found.invariant, found.says) == ("I5", "a settled key is settled anew")
    assert refused(bench, changes).says == "credited after it was refused"


def test_a_reversal_that_changes_more_than_the_state_is_named(bench: Bench) -> None:
    bench.ask()
    changes = bench.changes(asking(Kind.REVERSAL))
    (row,) = changes.journal.reversals
    changed = changes.journal._replace(reversals=[row._replace(phone=OTHER_PHONE)])
    found = refused(bench, changes._replace(journal=changed))
    assert (found.invariant, found.says) == ("I5", "its phone changed with its reversal")


def test_a_reversal_that_gives_nothing_back_is_named(bench: Bench) -> None:
    bench.ask()
    changes = bench.changes(asking(Kind.REVERSAL))
    nothing = dataclasses.replace(changes.ledger, transfers=[], deltas={})
    found = refused(bench, changes._replace(ledger=nothing))
    assert (found.invariant, found.says) == ("I3", "its reversal gave back 0 fen of 1000")


def test_a_reversal_that_is_carried_out_twice_is_named(bench: Bench) -> None:
    bench.ask()
    changes = bench.changes(asking(Kind.REVERSAL))
    bench.mirror.follow(changes, bench.memory)
    assert refused(bench, changes).says == "reversed became reversed"


def test_an_unbalanced_posting_is_named(bench: Bench) -> None:
    changes = bench.changes()
    number = next(iter(changes.ledger.deltas))
    deltas = changes.ledger.deltas | {number: Delta(7)}
    found = refused(bench, changes._replace(ledger=dataclasses.replace(changes.ledger, deltas=deltas)))
    assert found.invariant == "I4"
    assert found.key == f"account {number}"


def test_arrears_that_are_lost_are_named() -> None:
    bench = Bench(bill_fen=1_500)
    bench.ask()
    bench.ask(asking(serial="000002"))  # both together pay the bill, and 500 are left
    changes = bench.changes(asking(Kind.REVERSAL))
    shortage, *rest = changes.ledger.transfers
    assert (shortage.code, shortage.amount_fen) == (Code.SHORTAGE, 500)
    deltas = dict(changes.ledger.deltas)
    deltas[1] = Delta(deltas[1].balance_fen - 500)
    del deltas[2]
    lost = dataclasses.replace(changes.ledger, transfers=rest, deltas=deltas)
    found = refused(bench, changes._replace(ledger=lost))
    assert (found.invariant, found.key) == ("I4", "account 1")
    assert "-500, which is below its floor" in found.says


def test_money_that_no_row_names_is_named(bench: Bench) -> None:
    changes = bench.changes()
    found = refused(bench, changes._replace(journal=changes.journal._replace(inserts=[])))
    assert found.invariant == "I3"
    assert "moves money that no row names" in found.says


def test_a_work_orders_serial_that_is_used_again_after_a_restart_is_named(bench: Bench) -> None:
    bench.ask()
    bench.memory.next_order = 1
    again = Bench().changes()
    row = again.journal.inserts[0]._replace(serial="000002")
    orders = [order._replace(key_serial="000002") for order in again.billing.orders]
    billing = dataclasses.replace(again.billing, orders=orders)
    found = refused(bench, inserting(again, row)._replace(billing=billing))
    assert found.invariant == "I13"


def test_a_credit_under_a_closed_date_is_named(bench: Bench) -> None:
    changes = bench.changes()
    fence = Fence("bank", TODAY, NOW.wall_us, "timer")
    empty = Changes(
        changes.journal._replace(inserts=[], totals=[], fences=[fence]),
        type(changes.billing)(),
        type(changes.ledger)(),
    )
    bench.mirror.follow(empty, bench.memory)
    found = refused(bench, changes)
    assert (found.invariant, found.key) == ("rule 2", KEY.text)
    assert refused(bench, empty).invariant == "rule 10"


def test_a_balance_that_is_not_the_sum_of_its_postings_is_named(bench: Bench) -> None:
    bench.ask()
    account = bench.memory.accounts[1]
    bench.memory.accounts[1] = account._replace(balance_fen=account.balance_fen + 1)
    with pytest.raises(Violation, match="I4 account 1: balance 1001, its postings sum to 1000"):
        audit(bench.memory)


def test_a_balance_below_its_floor_is_named(bench: Bench) -> None:
    bench.ask()
    bench.memory.accounts[1] = bench.memory.accounts[1]._replace(reserved_fen=1_001)
    with pytest.raises(Violation, match="below its floor"):
        audit(bench.memory)


def test_money_that_stands_under_a_refused_key_is_named(bench: Bench) -> None:
    bench.ask()
    bench.memory.journal[KEY] = bench.memory.journal[KEY]._replace(state=State.REFUSED)
    with pytest.raises(Violation, match=r"I3 .*1000 fen stand in the books, 0 in the journal"):
        audit(bench.memory)
