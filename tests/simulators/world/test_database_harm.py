"""Two bridges that die, over a model database with every fault: what must hold whatever happens."""

import random  # noqa: TID251 - a seeded stream

import pytest

from qianzhi.domain.requests import Kind, Request
from simulators.world.faults import DATABASE_FAULTS, Fault
from tests.simulators.world.bridges_bench import PHONES, Bench, request

HARM = [kind for kind in DATABASE_FAULTS if kind not in ("bad_request", "bad_row")]


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
