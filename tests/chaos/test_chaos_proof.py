"""The proof at the end of a chaos run has to notice a lost and a doubled credit: rows and records are
falsified here after an honest beginning, one at a time.
"""

import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from chaos_house import Told
from chaos_money import Act, Facts, Order
from chaos_money import judged as judged_charges
from chaos_proof import database_faults, judged
from chaos_report import Outcome, summary

from crm_bridge.gateway import Gateway
from crm_bridge.journal import State
from crm_bridge.lookup import find_keys, totals
from crm_bridge.operators.acts import ActState
from crm_bridge.seed import seed
from crm_bridge.settings import CoreSettings
from qianzhi.domain.dates import business_date
from qianzhi.domain.requests import Key, Kind, Request
from qianzhi.domain.results import Result
from qianzhi.runtime import clock
from simulators.record import Debit, Record
from simulators.record import Outcome as Ending

ZONE = ZoneInfo("Asia/Shanghai")
AMOUNT_FEN = 5_000


class Core:
    """A core with three credits, what their bank has of them, and its database open for falsifying."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "core.db"
        self.url = f"sqlite:///{self.file}"
        seed(self.url, 10)
        gateway = Gateway(self.url, CoreSettings(database=self.url), ZONE)
        now = clock.now()
        date = business_date(now.wall_us, ZONE)
        self.records = []
        for number in range(3):
            phone = f"1380000000{number}"
            asked = Request(Kind.RECHARGE, "bank", date, f"{number:06d}", "bank", "0302", phone, AMOUNT_FEN)
            (reply,) = gateway.execute([asked], now)
            assert reply.result is Result.APPROVED
            record = Record(asked.key, asked.kind, "recharge", number, phone, "0302", AMOUNT_FEN)
            record.outcome, record.debit = Ending.APPROVED, Debit.DEBITED
            self.records.append(record)
        gateway.close()

    def psql(self, statement: str, database: str = "") -> str:
        """Ask the database as the proof asks a server."""
        connection = sqlite3.connect(self.file)
        rows = connection.execute(statement).fetchall()
        connection.close()
        return "\n".join("|".join(map(str, row)) for row in rows)

    def falsify(self, *statements: str) -> None:
        """Change what nothing may change."""
        connection = sqlite3.connect(self.file)
        connection.execute("PRAGMA foreign_keys = OFF")
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            assert connection.execute(statement).rowcount > 0, statement
        connection.commit()
        connection.close()

    def outcome(self) -> Outcome:
        """What the chaos run would say of it."""
        rows = find_keys(self.url, [record.key for record in self.records])
        found = judged((record, rows.get(record.key)) for record in self.records)
        counts = {name: len(getattr(found, name)) for name in ("lost", "doubled", "unanswered")}
        banks = counts | {
            "requests": 3,
            "paid_fen": found.paid_fen,
            "held_fen": totals(self.url).credited_fen,
        }
        return Outcome(1, 300, [], banks, database=database_faults(self, "core"))


@pytest.fixture
def core(tmp_path: Path) -> Core:
    return Core(tmp_path)


def test_an_honest_core_and_its_bank_agree(core: Core) -> None:
    outcome = core.outcome()
    assert outcome.good, outcome.faults
    assert "0 lost, 0 doubled, 0 unanswered" in summary(outcome)


def of_record(**changes: Any) -> Callable[[Core], None]:
    """Let the bank have something else of its second serial."""

    def change(core: Core) -> None:
        for name, value in changes.items():
            setattr(core.records[1], name, value)

    return change


def in_database(*statements: str) -> Callable[[Core], None]:
    """Let the database have something else of it."""
    return lambda core: core.falsify(*statements)


ANOTHER_ORDER = """INSERT INTO billing_orders SELECT 'another', kind, space, business_date, key_serial, phone,
    book, amount_fen, bank_number, posted_us, reverses FROM billing_orders WHERE key_serial = '000001'"""
NO_ORDER = "DELETE FROM billing_orders WHERE key_serial = '000001'"
FORGOTTEN = "DELETE FROM journal WHERE serial = '000001'"


@pytest.mark.parametrize(
    ("falsify", "words"),
    [
        pytest.param(of_record(debit=Debit.RETURNED, outcome=Ending.REFUSED), "0 lost, 1 doubled", id="kept"),
        pytest.param(of_record(amount_fen=AMOUNT_FEN + 1), "1 lost, 0 doubled", id="paid more"),
        pytest.param(of_record(amount_fen=AMOUNT_FEN - 1), "0 lost, 1 doubled", id="paid less"),
        pytest.param(of_record(outcome=None), "0 doubled, 1 unanswered", id="no final state"),
        pytest.param(of_record(debit=Debit.UNKNOWN), "0 doubled, 1 unanswered", id="money nowhere"),
        pytest.param(
            in_database(FORGOTTEN, NO_ORDER),
            "1 lost, 0 doubled",
            id="gone",
        ),
        pytest.param(in_database(NO_ORDER), "1 lost, 0 doubled", id="no work order"),
        pytest.param(in_database(FORGOTTEN), "1 lost, 1 doubled", id="a work order of no key"),
        pytest.param(in_database(ANOTHER_ORDER), "0 lost, 2 doubled", id="two work orders"),
    ],
)
def test_a_lost_and_a_doubled_credit_of_a_bank_are_noticed(
    core: Core, falsify: Callable[[Core], None], words: str
) -> None:
    falsify(core)
    outcome = core.outcome()
    assert not outcome.good
    assert words in summary(outcome)


# -- what the house asked for


def key(number: int) -> str:
    return Key("unet-out", 20261122, f"{number:06d}").text


def told(number: int, state: str = "credited") -> Told:
    return Told(f"order-{number}", state, key(number), "13800000001", AMOUNT_FEN)


@pytest.fixture
def facts() -> Facts:
    """A credit, a charge that was reversed, a declined one, a credit that was cancelled; all settled."""
    paid = {key(1): AMOUNT_FEN, key(2): 0, key(3): 0, key(4): AMOUNT_FEN}
    journal = {
        key(1): (State.APPROVED, AMOUNT_FEN),
        key(2): (State.BLOCKED, 0),
        key(4): (State.REVERSED, AMOUNT_FEN),
    }
    states = {1: "credited", 2: "reversing", 3: "declined", 4: "credited"}
    orders = {f"order-{number}": Order(key(number), state, AMOUNT_FEN) for number, state in states.items()}
    acts = [Act(1, "void", key(4), ActState.DONE, "approved"), Act(2, "void", key(1), ActState.DONE, "spent")]
    return Facts(
        paid, {name: (int(state), fen) for name, (state, fen) in journal.items()}, orders, [], [], acts
    )


def judged_of(facts: Facts, *heard: Told) -> Outcome:
    """What the chaos run would say where the banks have no part in it."""
    house = judged_charges(facts, heard)
    banks = {"requests": 0, "paid_fen": 0, "held_fen": house["credited_fen"]}
    return Outcome(1, 300, [], banks, house=house)


def test_a_network_and_the_core_agree_where_all_is_settled(facts: Facts) -> None:
    outcome = judged_of(facts, told(1), told(2, "reversing"), told(4))
    assert outcome.good, outcome.faults
    assert outcome.house["credited_fen"] == AMOUNT_FEN
    assert (outcome.house["credited"], outcome.house["acts"]) == (2, 2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(lambda f: f.journal.update({key(1): (2, 0)}), "1 lost, 0 doubled", id="credit lost"),
        pytest.param(lambda f: f.paid_fen.update({key(2): AMOUNT_FEN}), "1 lost", id="never reversed"),
        pytest.param(lambda f: f.acts.clear(), "1 lost", id="cancelled by nobody"),
        pytest.param(lambda f: f.paid_fen.update({key(1): 0}), "1 doubled", id="given back too"),
        pytest.param(lambda f: f.journal.update({key(3): (1, 1)}), "1 doubled", id="declined and credited"),
        pytest.param(lambda f: f.journal.update({key(1): (1, 2 * AMOUNT_FEN)}), "1 doubled", id="too much"),
        pytest.param(lambda f: f.paid_fen.pop(key(4)), "1 doubled", id="cancelled unpaid"),
        pytest.param(lambda f: f.entries.append("entry to unet, open"), "1 unanswered", id="entry"),
        pytest.param(
            lambda f: f.orders.update({"order-9": Order(key(9), "timed_out", 1)}), "1 unanswered", id="charge"
        ),
        pytest.param(
            lambda f: f.acts.append(Act(3, "void", key(1), ActState.APPROVED, "")), "1 unanswered", id="act"
        ),
    ],
)
def test_what_is_lost_doubled_or_open_between_a_network_and_the_core_is_noticed(
    facts: Facts, change: Callable[[Facts], Any], words: str
) -> None:
    change(facts)
    outcome = judged_of(facts)
    assert not outcome.good
    assert words in summary(outcome)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda f: f.breaks.append(key(2)), id="an open break"),
        pytest.param(lambda f: f.orders.pop("order-3"), id="a serial that nobody stored"),
        pytest.param(lambda f: f.orders.update({"order-1": Order(key(1), "refunding", 1)}), id="told wrong"),
        pytest.param(
            lambda f: f.acts.append(Act(3, "void", key(1), ActState.DONE, "not_found")), id="an act in vain"
        ),
    ],
)
def test_what_is_wrong_beside_the_money_fails_the_run(facts: Facts, change: Callable[[Facts], Any]) -> None:
    change(facts)
    outcome = judged_of(facts, told(1))
    assert not outcome.good
    assert outcome.faults


def test_what_the_core_holds_beyond_banks_and_charges_fails_the_run(facts: Facts) -> None:
    outcome = judged_of(facts)
    outcome.banks["held_fen"] += 1
    assert not outcome.good
