"""The gateway against a reference model of a few dicts, over random batches; other cores plug into CORES."""

from datetime import timedelta

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from crm_bridge.settings import CoreSettings
from qianzhi.domain.requests import OUTWARD_KINDS, Kind, Request
from qianzhi.domain.results import Result
from qianzhi.runtime.now import Now
from tests.crm_bridge.core_model import LIMIT, PHONES, RATE, START, Model, number

ASKING = (Kind.STATUS, Kind.REVERSAL, Kind.VOID)
EACH = [kind for kind in Kind if kind not in OUTWARD_KINDS | {Kind.LATE_ANSWER}]
KINDS = [Kind.RECHARGE] * 6 + [Kind.PAY] * 2 + [Kind.REVERSAL] * 4 + [Kind.VOID, Kind.CLOSE] + EACH
# What must have come up in a run for it to have shown anything of the house.
HAPPENS = {(Kind.CLOSE, one) for one in (Result.APPROVED, Result.BREAK_OPEN, Result.TOO_EARLY)}
amounts = st.sampled_from([0, -5, 1, 3_000, 9_000, 20_000, LIMIT, LIMIT + 1])


class CoreMachine(RuleBasedStateMachine):
    """Random batches; `open_core` gives the core under test on a database of its own."""

    open_core = None
    compared = None
    told = None

    @initialize()
    def start(self):
        self.held = type(self).open_core()
        self.core = self.held.core
        self.at = START
        accounts = {phone: self.account(phone) for phone in PHONES}
        self.model = Model(accounts)
        self.bills = [bill for view in accounts.values() for bill in view.bills]
        self.orders = {}
        self.past = []

    def now(self):
        return Now(0, int(self.at.timestamp()) * 1_000_000)

    def account(self, phone):
        return self.held.account(phone, self.now())

    def draw(self, data):
        if self.past and not data.draw(st.integers(0, 4)):
            return data.draw(st.sampled_from(self.past))
        request = self.fresh(data)
        if self.past and request.kind in (*ASKING, Kind.BREAK, Kind.MEND) and data.draw(st.integers(0, 3)):
            key = data.draw(st.sampled_from(self.past)).key
            request = msgspec.structs.replace(request, space=key.space, date=key.date, serial=key.serial)
        self.past.append(request)
        return request

    def fresh(self, data):
        kind = data.draw(st.sampled_from(KINDS))
        bare = kind in ASKING and data.draw(st.integers(0, 3))
        phone = "" if bare else data.draw(st.sampled_from([*PHONES * 3, "13900000000"]))
        amount, bill = 0 if bare else data.draw(amounts), ""
        if kind is Kind.RECHARGE and data.draw(st.booleans()):
            amount = self.edge(phone, data.draw(st.sampled_from([-1, 0, 0, 1])))
        if kind is Kind.PAY and data.draw(st.integers(0, 9)):
            quoted = data.draw(st.sampled_from(self.bills))
            owner = next(
                p for p in PHONES for b in self.model.people[p]["bills"] if b["serial"] == quoted.serial
            )
            entry = next(b for b in self.model.people[owner]["bills"] if b["serial"] == quoted.serial)
            phone, bill = owner, quoted.serial
            amount = (
                entry["principal"] + self.model.fee(entry, self.at) + data.draw(st.sampled_from([0, 0, 0, 1]))
            )
        shift = data.draw(st.sampled_from([0] * 12 + [-1] * 8 + [1, 1, 2, -2]))
        if kind is Kind.TOTALS:
            return self.question(data, number(self.at + timedelta(days=shift)))
        if kind is Kind.CLOSE:
            space, back = (
                data.draw(st.sampled_from(["a", "a", "b"])),
                data.draw(st.sampled_from([1, 1, 1, 2, 0])),
            )
            return Request(kind, space, number(self.at - timedelta(days=back)), "-", "", "", reason="tester")
        more = {"reason": data.draw(st.sampled_from(["", "", "", "own"]))} if kind is Kind.REVERSAL else {}
        if kind in (Kind.BREAK, Kind.MEND):
            more = {"reason": data.draw(st.sampled_from(["saf", "" if kind is Kind.MEND else "manual"]))}
            more["stamp_us"] = data.draw(st.sampled_from([0, 10, 20, 30]))
        return Request(
            **more,
            kind=kind,
            space=data.draw(st.sampled_from(["a"] * 9 + ["b"])),
            date=number(self.at + timedelta(days=shift)),
            serial=str(data.draw(st.integers(1, 30))),
            bank="bank",
            bank_number=data.draw(st.sampled_from(["001", "001", "001", "002"])),
            phone=phone,
            amount_fen=amount,
            bill=bill,
            date_ours=data.draw(st.sampled_from([False, False, False, True])),
        )

    def question(self, data, yyyymmdd):
        bank_number = data.draw(st.sampled_from(["001", "002", "003"]))
        off = data.draw(st.sampled_from([9, 9, 9, 9, 0, 1, 2, 3]))
        sums = self.model.sums(bank_number, yyyymmdd)
        n, fen, undone, undone_fen = (figure + (at == off) for at, figure in enumerate(sums))
        more = {"count": n, "reversed_count": undone, "reversed_fen": undone_fen}
        return Request(Kind.TOTALS, "a", yyyymmdd, "1", "bank", bank_number, "", fen, **more)

    def edge(self, phone, more):
        """Just what the oldest open bill of a phone still lacks, or one fen beside it."""
        person = self.model.people.get(phone, {"bills": [], "money": 0, "debt": 0})
        due = next((b["principal"] + self.model.fee(b, self.at) for b in person["bills"] if b["open"]), 700)
        return min(max(due - person["money"] + person["debt"] + more, 1), LIMIT)

    @rule(data=st.data(), size=st.integers(1, 20))
    def batch(self, data, size):
        requests = [self.draw(data) for _ in range(size)]
        replies = self.core.execute(requests, self.now())
        assert len(replies) == size
        for request, reply in zip(requests, replies, strict=True):
            result, amount, balance = self.model.answer(request, self.at)
            assert reply.result is result, request
            self.told.add((request.kind, result))
            if request.kind is Kind.TOTALS and result is not Result.BAD_DATE:
                told = (reply.count, reply.amount_fen, reply.reversed_count, reply.reversed_fen)
                assert told == amount, request
                self.compared.add(result)
                continue
            if result in (Result.APPROVED, Result.NOTHING_OWED, Result.BREAK_OPEN):
                assert (reply.amount_fen, reply.balance_fen) == (amount, balance), request
            if result is Result.APPROVED and request.kind in (Kind.RECHARGE, Kind.PAY) and not reply.stored:
                assert reply.order not in self.orders
                self.orders[reply.order] = request

    @rule(hours=st.sampled_from([1, 1, 2, 12, 12, 24]))
    def wait(self, hours):
        self.at += timedelta(hours=hours)

    @invariant()
    def house_agrees(self):
        if hasattr(self, "model"):
            assert self.held.house() == self.model.house()

    @invariant()
    def accounts_agree(self):
        if not hasattr(self, "model"):
            return
        for phone, person in self.model.people.items():
            view = self.account(phone)
            assert (view.balance_fen, view.arrears_fen) == (person["money"], person["debt"])
            quoted = [(b.serial, b.late_fee_fen) for b in view.bills]
            assert quoted == [(b["serial"], self.model.fee(b, self.at)) for b in person["bills"] if b["open"]]

    def teardown(self):
        if hasattr(self, "held"):
            self.close_dates()
            assert self.held.close() == []

    def close_dates(self):
        """Close a date of a space that nobody else closes: too early, held by a break, and at last."""
        today, past = (number(self.at - timedelta(days=days)) for days in (0, 2))
        one = Request(Kind.BREAK, "c", past, "7", "bank", "001", reason="saf")
        mended = msgspec.structs.replace(one, kind=Kind.MEND)
        early, late = (Request(Kind.CLOSE, "c", date, "-", "", "", reason="tester") for date in (today, past))
        for request in (early, one, late, mended, late):
            [reply] = self.core.execute([request], self.now())
            assert reply.result is self.model.answer(request, self.at)[0], request
            self.told.add((request.kind, reply.result))


SETTINGS = CoreSettings(database="sqlite:///", amount_fen_max=LIMIT, late_fee_per_day=RATE)


@pytest.mark.parametrize("kind", ["memory", "postgresql", "sqlite"])
def test_core_does_what_the_model_does(kind, cores):
    start = Now(0, int(START.timestamp()) * 1_000_000)
    more = {"open_core": staticmethod(cores(kind, SETTINGS, start)), "compared": set(), "told": set()}
    machine = type("Machine", (CoreMachine,), more)
    examples = 12 if kind == "postgresql" else 45  # each on a database of its own
    far = settings(max_examples=examples, stateful_step_count=10, deadline=None, database=None)
    run_state_machine_as_test(machine, settings=settings(far, suppress_health_check=list(HealthCheck)))
    assert machine.compared == {Result.APPROVED, Result.TOTALS_DIFFER}
    assert machine.told >= HAPPENS
