"""Two bridges on one model database: what interleaves, what is lost, and what never is."""

import random  # noqa: TID251 - a seeded stream
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from crm_bridge.memory import Memory
from crm_bridge.settings import CoreSettings
from qianzhi.billing.books import PhoneState, Subscriber
from qianzhi.domain.dates import business_date
from qianzhi.domain.requests import Key, Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.ledger.entries import Account
from qianzhi.link.events import Hello
from qianzhi.link.messages import Answer, Envelope, Status
from qianzhi.runtime.effects import Send
from simulators.world.bridge import BridgeProcess
from simulators.world.database import ModelDatabase
from simulators.world.faults import DATABASE_FAULTS, Fault
from simulators.world.kernel import Kernel
from simulators.world.network import Network
from simulators.world.observe import Observer

ZONE = ZoneInfo("Asia/Shanghai")
EPOCH_US = 1_795_300_000_000_000
TODAY = business_date(EPOCH_US, ZONE)
SECOND = 1_000_000
PHONES = [f"1380000{number:04d}" for number in range(6)]


class Commits(Observer):
    """What was committed, and who was told what when."""

    def __init__(self) -> None:
        self.rows: list[Any] = []

    def on_commit(self, bridge: str, changes: Any) -> None:
        self.rows += [(bridge, row) for row in changes.journal.inserts]


class Bench:
    """A database with some people, and bridges that a node asks."""

    def __init__(self, seed: int = 1, bridges: int = 2, writers: int = 1, **database: Any) -> None:
        self.kernel = Kernel(lambda name: random.Random(f"{seed} {name}"), EPOCH_US)
        self.kernel.observers.append(commits := Commits())
        self.commits = commits
        accounts: list[Account] = []
        people: list[Subscriber] = []
        for book, phone in enumerate(PHONES, 1):
            people.append(Subscriber(phone, PhoneState.OPEN, "户", book, 2 * book - 1, 2 * book))
            accounts += [Account(2 * book - 1, floor_fen=0), Account(2 * book)]
        self.database = ModelDatabase(self.kernel, Memory(people, (), accounts), **database)
        self.answers: dict[int, tuple[Status, Reply | None]] = {}
        self.asked = 0
        settings = CoreSettings(database="sqlite:///nowhere", writers=writers)
        network = Network(self.kernel)
        self.bridges = [
            BridgeProcess(self.kernel, f"bridge-{n}", network, self.database, settings, ZONE)
            for n in range(1, bridges + 1)
        ]
        for bridge in self.bridges:
            self.start(bridge)

    def start(self, bridge: BridgeProcess) -> None:
        bridge.start()
        to_writer = bridge.handlers[Send]

        def send(effect: Send) -> None:
            if effect.to == ("peer", "node-1"):
                for item in effect.items:
                    if isinstance(item, Answer):
                        body = msgspec.msgpack.decode(item.body, type=Reply) if item.body else None
                        self.answers[item.id] = (item.status, body)
            elif isinstance(effect.to, tuple) and effect.to[0] == "writer":
                to_writer(effect)

        bridge.handlers = {**bridge.handlers, Send: send}
        bridge.run(bridge.core.on_peer_up("node-1", Hello("node-1", "node"), bridge.now))

    def ask(self, at: int, *requests: Request, budget_ms: int = 20_000) -> list[int]:
        """Ask a bridge; return the numbers under which the answers will be found."""
        bridge = self.bridges[at]
        numbers = list(range(self.asked, self.asked + len(requests)))
        self.asked += len(requests)
        envelopes = [
            Envelope(n, 1, bridge.name, int(one.kind), 0, budget_ms, 0, "", msgspec.msgpack.encode(one))
            for n, one in zip(numbers, requests, strict=True)
        ]
        if bridge.up:
            bridge.run(bridge.core.on_requests("node-1", envelopes, bridge.now))
        return numbers

    def run(self, seconds: float) -> None:
        self.kernel.run(self.kernel.now_us + int(seconds * SECOND))

    def fault(self, kind: str, strength: int = 0) -> Fault:
        fault = Fault(kind, "database", 0, 0, strength)
        self.database.begin_fault(fault)
        return fault

    def said(self, number: int) -> str:
        status, reply = self.answers[number]
        return reply.result.name if reply is not None else status.name

    def balance(self, phone: str) -> int:
        memory = self.database.memory
        return memory.accounts[memory.subscribers[phone].account].balance_fen


def request(serial: int, kind: Kind = Kind.RECHARGE, phone: str = PHONES[0], fen: int = 1000) -> Request:
    return Request(kind, "icbc", TODAY, f"{serial:06d}", "icbc", "9001", phone, fen)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_request_is_carried_out_and_its_repeat_at_another_bridge_gets_the_same_answer(bench: Bench) -> None:
    (first,) = bench.ask(0, request(1))
    bench.run(1)
    (again,) = bench.ask(1, request(1))
    bench.run(1)
    assert (bench.said(first), bench.said(again)) == ("APPROVED", "APPROVED")
    assert bench.answers[first][1].order == bench.answers[again][1].order  # type: ignore[union-attr]
    assert bench.balance(PHONES[0]) == 1000


def test_two_copies_side_by_side_at_two_bridges_are_one_credit(bench: Bench) -> None:
    bench.ask(0, request(1), request(2))
    bench.ask(1, request(2), request(1))
    bench.run(1)
    assert [bench.said(n) for n in range(4)] == ["APPROVED"] * 4
    assert bench.balance(PHONES[0]) == 2000
    assert bench.kernel.coverage["same-serial-twice-at-once"] > 0


def test_transactions_on_other_accounts_stand_side_by_side(bench: Bench) -> None:
    bench.fault("slow_database", 500)
    bench.ask(0, request(1, phone=PHONES[0]))
    bench.ask(1, request(2, phone=PHONES[1]))
    both = False
    for _ in range(3_000):
        bench.run(0.001)
        both = both or len(bench.database._open) == 2
    assert both
    assert {bench.said(0), bench.said(1)} == {"APPROVED"}


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("seed", range(8))
def test_an_unknown_commit_ends_as_one_credit_however_late_it_lands(seed: int, written: bool) -> None:
    bench = Bench(seed)
    fault = bench.fault("commit_unknown_written" if written else "commit_unknown_lost", 1_000)
    (number,) = bench.ask(0, request(1))
    bench.run(0.004)
    bench.database.end_fault(fault)
    bench.run(30)
    assert bench.said(number) == "APPROVED"
    assert bench.balance(PHONES[0]) == 1000
    name = "commit-unknown-written" if written else "commit-unknown-lost"
    assert bench.kernel.coverage[name] >= 1


def test_a_commit_that_lands_late_keeps_others_waiting_until_it_has(bench: Bench) -> None:
    """The first bridge has given up; the second must not decide before the ghost has come to its end."""
    for seed in range(20):
        bench = Bench(seed)
        fault = bench.fault("commit_unknown_written", 1_000)
        bench.ask(0, request(1), budget_ms=60_000)
        bench.run(0.004)
        bench.database.end_fault(fault)
        ghosts = [one for one in bench.database._open if one.client_gone]
        bench.bridges[0].kill()
        (other,) = bench.ask(1, request(1, Kind.STATUS), budget_ms=60_000)
        bench.run(40)
        approved = bench.balance(PHONES[0]) == 1000
        assert bench.said(other) == ("APPROVED" if approved else "NOT_FOUND")
        if ghosts:
            assert approved


@pytest.mark.parametrize("kind", ["database_restart", "failover"])
def test_what_was_answered_is_there_after_the_server_died_and_what_was_not_is_settled(kind: str) -> None:
    for seed in range(12):
        bench = Bench(seed, writers=2)
        numbers = []
        for serial in range(60):
            numbers += bench.ask(serial % 2, request(serial, phone=PHONES[serial % 6]))
            bench.run(0.0007)
        before = {n for n in numbers if n in bench.answers}
        fault = bench.fault(kind)
        bench.run(2)
        bench.database.end_fault(fault)
        bench.run(30)
        assert before
        assert len(before) < len(numbers)
        assert {bench.said(n) for n in numbers} == {"APPROVED"}
        assert sum(bench.balance(phone) for phone in PHONES) == 60_000


def test_what_stood_on_a_primary_without_standby_goes_with_it_and_nobody_was_told(bench: Bench) -> None:
    cut = bench.fault("standby_cut")
    (lost,) = bench.ask(0, request(1), budget_ms=3_000)
    bench.run(2)
    assert lost not in bench.answers
    assert bench.balance(PHONES[0]) == 0
    bench.run(4)
    assert bench.balance(PHONES[0]) == 1000  # committed here, and told as uncertain
    failover = bench.fault("failover")
    assert bench.balance(PHONES[0]) == 0
    bench.run(1)
    bench.database.end_fault(failover)
    bench.database.end_fault(cut)
    bench.run(40)
    assert bench.said(lost) in ("BLOCKED", "UNKNOWN")
    assert bench.balance(PHONES[0]) == 0
    (again,) = bench.ask(1, request(1, Kind.STATUS))
    bench.run(2)
    assert bench.said(again) in ("BLOCKED", "NOT_FOUND")


def test_a_standby_that_comes_back_lets_waiting_commits_be_confirmed(bench: Bench) -> None:
    cut = bench.fault("standby_cut")
    (number,) = bench.ask(0, request(1))
    bench.run(1)
    assert number not in bench.answers
    bench.database.end_fault(cut)
    bench.run(1)
    assert bench.said(number) == "APPROVED"


@pytest.mark.parametrize("kind", ["deadlock", "serialization"])
def test_a_batch_that_others_stand_in_the_way_of_is_carried_out_again(kind: str, bench: Bench) -> None:
    bench.fault(kind, 500)
    numbers = []
    for n in range(12):
        numbers += bench.ask(0, request(n, phone=PHONES[n % 6]))
        bench.run(1)
    assert {bench.said(n) for n in numbers} == {"APPROVED"}
    assert bench.kernel.coverage["batch-again-after-conflict"] > 0


def test_a_bad_request_is_blocked_alone(bench: Bench) -> None:
    bench.fault("bad_request", 120)
    numbers = bench.ask(0, *(request(n, phone=PHONES[n % 6]) for n in range(40)))
    bench.run(10)
    said = [bench.said(n) for n in numbers]
    assert set(said) == {"APPROVED", "QUARANTINED"}
    assert sum(bench.balance(phone) for phone in PHONES) == 1000 * said.count("APPROVED")


@pytest.mark.parametrize("kind", ["read_only", "database_full", "database_restart"])
def test_while_nothing_can_be_written_new_money_is_refused_and_what_waits_is_served_after(
    kind: str, bench: Bench
) -> None:
    bench.run(1)
    fault = bench.fault(kind)
    (waiting,) = bench.ask(0, request(1))
    bench.run(5)
    (late,) = bench.ask(0, request(2))
    bench.run(0.01)
    assert bench.said(late) == "DRAINING"
    assert waiting not in bench.answers
    bench.database.end_fault(fault)
    bench.run(5)
    assert bench.said(waiting) == "APPROVED"
    (after,) = bench.ask(0, request(3))
    bench.run(1)
    assert bench.said(after) == "APPROVED"


def test_a_bridge_whose_clock_is_wrong_takes_nothing(bench: Bench) -> None:
    bench.bridges[0].offset_us = 3_600 * SECOND
    bench.run(4)
    (number,) = bench.ask(0, request(1))
    bench.run(0.1)
    assert bench.said(number) == "DRAINING"
    bench.bridges[0].offset_us = 0
    bench.run(2)
    (number,) = bench.ask(0, request(1))
    bench.run(1)
    assert bench.said(number) == "APPROVED"


def test_a_bridge_that_stands_still_in_mid_transaction_loses_it_and_does_it_again(bench: Bench) -> None:
    (held,) = bench.ask(0, request(1))
    while not any(one.batch for one in bench.database._open):
        bench.run(0.0001)
    bench.bridges[0].freeze()
    (other,) = bench.ask(1, request(2))  # the same account
    bench.run(8)
    assert bench.said(other) == "APPROVED"
    bench.bridges[0].thaw()
    bench.run(5)
    assert bench.said(held) == "APPROVED"
    assert bench.balance(PHONES[0]) == 2000


def test_a_database_of_one_transaction_at_a_time_is_waited_for() -> None:
    bench = Bench(bridges=1, whole=True)
    numbers = bench.ask(0, *(request(n) for n in range(5)))
    bench.run(1)
    assert {bench.said(n) for n in numbers} == {"APPROVED"}


HARM = [kind for kind in DATABASE_FAULTS if kind != "bad_request"]


@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_every_key_is_credited_once_at_most_and_no_answer_is_taken_back(seed: int) -> None:
    """Originals, repeats, queries, reversals at two bridges, that die, over a database with every fault."""
    chance = random.Random(seed)
    bench = Bench(seed, writers=1 + seed % 3)
    faults: list[Fault] = []
    asked: dict[int, Request] = {}
    for _ in range(120):
        roll = chance.random()
        if roll < 0.06:
            kind = chance.choice(HARM)
            faults.append(bench.fault(kind, chance.randrange(20, 300)))
        elif roll < 0.14 and faults:
            bench.database.end_fault(faults.pop(chance.randrange(len(faults))))
        elif roll < 0.17:
            bridge = chance.choice(bench.bridges)
            if bridge.up:
                bridge.kill()
            else:
                bench.start(bridge)
        else:
            kinds = (Kind.RECHARGE, Kind.RECHARGE, Kind.STATUS, Kind.REVERSAL)
            serial = chance.randrange(30)
            one = request(serial, chance.choice(kinds), PHONES[serial % 6])
            (number,) = bench.ask(chance.randrange(2), one, budget_ms=chance.choice((500, 5_000, 20_000)))
            asked[number] = one
        bench.run(chance.choice((0.0, 0.0005, 0.01, 0.3, 3)))
    for fault in faults:
        bench.database.end_fault(fault)
    for bridge in bench.bridges:
        if not bridge.up:
            bench.start(bridge)
    bench.run(60)
    told = {number: bench.said(number) for number in asked if number in bench.answers}
    final = {}
    for serial in range(30):
        (number,) = bench.ask(serial % 2, request(serial, Kind.STATUS, PHONES[serial % 6]))
        bench.run(1)
        final[serial] = bench.said(number)
    assert not bench.database._open
    check(bench, asked, told, final)


def check(bench: Bench, asked: dict[int, Request], told: dict[int, str], final: dict[int, str]) -> None:
    memory = bench.database.memory
    credited: dict[str, int] = dict.fromkeys(PHONES, 0)
    for serial, end in final.items():
        assert end in ("APPROVED", "REVERSED", "NOT_FOUND", "BLOCKED"), end
        if end == "APPROVED":
            credited[PHONES[serial % 6]] += 1000
        for number, one in asked.items():
            said = told.get(number)
            if int(one.serial) != serial or said is None:
                continue
            if one.kind is Kind.RECHARGE and said == "APPROVED":
                assert end in ("APPROVED", "REVERSED"), (serial, said, end)
            if one.kind is Kind.REVERSAL and said == "APPROVED":
                assert end == "REVERSED", (serial, said, end)
            if said in ("NOT_FOUND", "BLOCKED", "ORIGINAL_REFUSED"):
                assert end in ("NOT_FOUND", "BLOCKED"), (serial, said, end)
    for phone, fen in credited.items():
        assert bench.balance(phone) == fen
    sums = dict.fromkeys(memory.accounts, 0)
    for transfer in memory.transfers:
        sums[transfer.debit] -= transfer.amount_fen
        sums[transfer.credit] += transfer.amount_fen
    assert all(abs(memory.accounts[n].balance_fen) == abs(fen) for n, fen in sums.items())
    assert len({row.order_serial for row in memory.journal.values() if row.order_serial}) == sum(
        1 for row in memory.journal.values() if row.order_serial
    )


def test_equal_seeds_are_equal_runs() -> None:
    def trace(run: Callable[[int], Bench]) -> str:
        return run(3).kernel.trace.hexdigest()

    def run(seed: int) -> Bench:
        bench = Bench(seed)
        bench.fault("commit_unknown_written", 200)
        bench.fault("slow_database", 50)
        for serial in range(40):
            bench.ask(serial % 2, request(serial // 2, phone=PHONES[serial % 6]))
            bench.run(0.01)
        bench.run(30)
        return bench

    assert trace(run) == trace(run)
    assert trace(run) != run(4).kernel.trace.hexdigest()


def test_a_key_is_what_it_was(bench: Bench) -> None:
    bench.ask(0, request(7))
    bench.run(1)
    row = bench.database.memory.journal[Key("icbc", TODAY, "000007")]
    assert Result(row.result) is Result.APPROVED
    assert bench.commits.rows == [("bridge-1", row)]
