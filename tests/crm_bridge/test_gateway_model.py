"""The gateway against a reference model of a few dicts, over random batches; other cores plug into CORES."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from crm_bridge.settings import CoreSettings
from qianzhi.domain.requests import OUTWARD_KINDS, Kind, Request
from qianzhi.domain.results import Result
from qianzhi.runtime.now import Now

ZONE = ZoneInfo("Asia/Shanghai")
START = datetime(2026, 11, 17, 11, 0, tzinfo=ZONE)
PHONES = [str(13_800_000_000 + i) for i in (0, 1, 2, 3, 4, 49)]
LIMIT = 40_000
RATE = 100


def number(day):
    return int(day.strftime("%Y%m%d"))


def day_of(yyyymmdd):
    return datetime.strptime(str(yyyymmdd), "%Y%m%d").replace(tzinfo=ZONE)


class Model:
    """What the core must do, told once more as plainly as possible; amounts in fen, times as datetimes."""

    def __init__(self, accounts):
        self.people = {}
        for phone, view in accounts.items():
            bills = [
                {"serial": b.serial, "month": b.month, "principal": b.principal_fen, "open": True}
                for b in sorted(view.bills, key=lambda b: b.month)
            ]
            person = {"state": view.state, "money": view.balance_fen, "debt": 0, "bills": bills}
            self.people[phone] = person
        self.keys = {}
        self.cleared = {}
        self.fences = {}
        self.breaks = {}

    def answer(self, r, at):
        if r.kind == Kind.OWED:
            return self.owed(r, at)
        if r.kind in (Kind.RECHARGE, Kind.PAY, Kind.BLOCK):
            return self.original(r, at)
        if r.kind == Kind.TOTALS:
            return self.totals(r, at)
        if r.kind == Kind.CLOSE:
            return self.close(r, at)
        if r.kind in (Kind.BREAK, Kind.MEND):
            return self.broken(r, r.stamp_us or int(at.timestamp()) * 1_000_000)
        return self.about(r, at)

    def close(self, r, at):
        after = self.fences.get(r.space, 0)
        if r.date <= after:
            return Result.APPROVED, 0, 0
        if at < day_of(r.date) + timedelta(days=1, minutes=30):
            return Result.TOO_EARLY, 0, 0
        held = [one for key, one in self.breaks.items() if one["open"] and key[0] == r.space]
        held = [one for one in held if after < one["date"] <= r.date]
        if held:
            return Result.BREAK_OPEN, sum(one["fen"] for one in held), 0
        self.fences[r.space] = r.date
        return Result.APPROVED, 0, 0

    def broken(self, r, stamp):
        entry, fen = self.breaks.get(tuple(r.key)), max(0, r.amount_fen)
        if r.kind == Kind.MEND:
            if entry is None:
                self.note(tuple(r.key), "", fen, stamp, is_open=False)
            elif entry["open"] and stamp >= entry["stamp"]:
                entry |= {"open": False, "stamp": stamp}
            elif not entry["open"]:
                entry["stamp"] = max(stamp, entry["stamp"])
        elif entry is None:
            self.note(tuple(r.key), r.reason, fen, stamp)
        elif entry["open"] and entry["kind"] not in ("manual", r.reason):
            self.note(tuple(r.key), r.reason, fen or entry["fen"], max(stamp, entry["stamp"]))
        elif not entry["open"] and stamp > entry["stamp"]:
            self.note(tuple(r.key), r.reason, fen or entry["fen"], stamp)
        return Result.APPROVED, self.breaks[tuple(r.key)]["fen"], 0

    def note(self, key, kind, fen, stamp, is_open=True):
        self.breaks[key] = {"open": is_open, "kind": kind, "fen": fen, "stamp": stamp, "date": key[1]}

    def house(self):
        """What must stand in the database: fences, open breaks, suspense."""
        rows = {"{}/{:08d}/{}".format(*key): one for key, one in self.breaks.items() if one["open"]}
        suspense = sum(one["fen"] for one in rows.values() if one["kind"] == "manual")
        return self.fences, {key: (one["kind"], one["fen"]) for key, one in rows.items()}, suspense

    def fee(self, bill, at):
        year, month = divmod(bill["month"], 100)
        due = date(year + month // 12, month % 12 + 1, 20)
        late = max(0, (at.date() - due).days)
        return min(bill["principal"], bill["principal"] * RATE * late // 10_000)

    def worth(self, phone):
        return self.people[phone]["money"] - self.people[phone]["debt"]

    def owed(self, r, at):
        person = self.people.get(r.phone)
        if person is None:
            return Result.NO_SUCH_PHONE, 0, 0
        total = person["debt"] + sum(b["principal"] + self.fee(b, at) for b in person["bills"] if b["open"])
        return (Result.APPROVED if total else Result.NOTHING_OWED), total, self.worth(r.phone)

    def totals(self, r, at):
        if (day_of(r.date).date() - at.date()).days > 1:
            return Result.BAD_DATE, 0, 0
        ours = self.sums(r.bank_number, r.date)
        theirs = (r.count, r.amount_fen, r.reversed_count, r.reversed_fen)
        return (Result.APPROVED if theirs == ours else Result.TOTALS_DIFFER), ours, 0

    def sums(self, bank_number, yyyymmdd):
        did = [(key[1], entry["state"], entry["did"]) for key, entry in self.keys.items() if entry["did"]]
        did = [(state, d["amount"]) for day, state, d in did if (d["bank"], day) == (bank_number, yyyymmdd)]
        undone = [amount for state, amount in did if state == "reversed"]
        return len(did), sum(amount for _, amount in did), len(undone), sum(undone)

    def content(self, r):
        return (r.phone, r.amount_fen, r.bank_number, r.bill)

    def near(self, r, dates):
        found = [
            self.keys.get((r.space, number(day_of(r.date) + timedelta(days=n)), r.serial)) for n in dates
        ]
        return [entry for entry in found if entry is not None]

    def clashes(self, r, entry):
        return any(a and b and a != b for a, b in zip(self.content(r), entry["content"], strict=True))

    def original(self, r, at):
        entry = self.keys.get(tuple(r.key))
        if entry is None and r.date_ours:
            for other in self.near(r, (-1, 1)):
                fresh = at - other["at"] < timedelta(hours=2)
                if fresh and (self.same(r, other) if other["seen"] else not self.clashes(r, other)):
                    entry = other
                    break
        if entry is not None:
            if entry["seen"] and not self.same(r, entry):
                return Result.DUPLICATE_SERIAL, 0, 0
            return self.repeated(entry)
        ahead = (day_of(r.date).date() - at.date()).days
        if ahead < -1:
            return Result.BAD_DATE, 0, 0
        if self.closed(r.space, r.date):
            return Result.DATE_CLOSED, 0, 0
        if ahead > 1:
            return self.keep(r, at, "refused", (Result.BAD_DATE, 0, 0))
        if r.kind == Kind.BLOCK:
            return self.keep(r, at, "blocked", (Result.BLOCKED, 0, 0), seen=False)
        reply = self.credit(r, at)
        return self.keep(r, at, "approved" if reply[0] is Result.APPROVED else "refused", reply)

    def same(self, r, entry):
        kind_fits = r.kind == Kind.BLOCK or r.kind == entry["kind"]
        return kind_fits and self.content(r) == entry["content"]

    def repeated(self, entry):
        if entry["state"] == "reversed":
            return Result.REVERSED, entry["reply"][1], 0
        return (Result.BLOCKED, 0, 0) if entry["state"] == "blocked" else entry["reply"]

    def closed(self, space, yyyymmdd):
        return yyyymmdd <= self.fences.get(space, 0)

    def keep(self, r, at, state, reply, seen=None):
        self.keys[tuple(r.key)] = {
            "state": state,
            "kind": r.kind,
            "content": self.content(r),
            "seen": r.kind in (Kind.RECHARGE, Kind.PAY) if seen is None else seen,
            "reply": reply,
            "at": at,
            "did": self.did if state == "approved" else None,
        }
        return reply

    def credit(self, r, at):
        person = self.people.get(r.phone)
        if r.amount_fen <= 0:
            return Result.BAD_AMOUNT, 0, 0
        if r.amount_fen > LIMIT:
            return Result.AMOUNT_LIMIT, 0, 0
        if person is None:
            return Result.NO_SUCH_PHONE, 0, 0
        if person["state"] == "closed":
            return Result.PHONE_CLOSED, 0, 0
        self.did = {"phone": r.phone, "amount": r.amount_fen, "bank": r.bank_number, "debt": 0, "bills": []}
        if r.kind == Kind.PAY:
            bill = next((b for b in person["bills"] if b["serial"] == r.bill), None)
            if bill is None:
                return Result.NO_SUCH_BILL, 0, 0
            if not bill["open"]:
                return Result.BILL_PAID, 0, 0
            if bill["principal"] + self.fee(bill, at) != r.amount_fen:
                return Result.BILL_CHANGED, 0, 0
            self.write_off(bill, at)
        else:
            money = person["money"] + r.amount_fen
            self.did["debt"] = min(money, person["debt"])
            person["debt"] -= self.did["debt"]
            money -= self.did["debt"]
            for bill in person["bills"]:
                if bill["open"] and bill["principal"] + self.fee(bill, at) > money:
                    break
                if bill["open"]:
                    money -= self.write_off(bill, at)
            person["money"] = money
        self.cleared[r.bank_number] = self.cleared.get(r.bank_number, 0) + r.amount_fen
        return Result.APPROVED, r.amount_fen, self.worth(r.phone)

    def write_off(self, bill, at):
        paid = bill["principal"] + self.fee(bill, at)
        bill["open"] = False
        self.did["bills"].append((bill, paid))
        return paid

    def about(self, r, at):
        entry = self.keys.get(tuple(r.key))
        if r.date_ours:
            found = ([entry] if entry else []) + self.near(r, (-1, 1))
            entry = next((e for e in found if not self.clashes(r, e)), found[0] if found else None)
        if entry is None:
            if self.closed(r.space, r.date):
                return Result.NOT_FOUND, 0, 0
            return self.keep(r, at, "blocked", (Result.NOT_FOUND, 0, 0), seen=False)
        if r.kind == Kind.STATUS:
            return self.repeated(entry) if entry["state"] == "reversed" else entry["reply"]
        return self.reverse(r, entry, at)

    def reverse(self, r, entry, at):
        if entry["reply"][0] is Result.NOT_FOUND:
            return entry["reply"]
        if entry["state"] in ("refused", "blocked"):
            return Result.ORIGINAL_REFUSED, 0, 0
        if r.amount_fen and r.amount_fen != entry["content"][1]:
            return Result.AMOUNT_DIFFERS, 0, 0
        if r.phone and r.phone != entry["content"][0]:
            return Result.DUPLICATE_SERIAL, 0, 0
        if entry["state"] == "reversed":
            return entry["undone"]
        key = next(key for key, value in self.keys.items() if value is entry)
        if self.closed(*key[:2]):
            if r.kind == Kind.REVERSAL and key not in self.breaks:
                self.note(key, "refund", entry["content"][1], int(at.timestamp()) * 1_000_000)
            if r.kind == Kind.VOID or not r.reason:
                return Result.DATE_CLOSED, 0, 0
        did = entry["did"]
        person = self.people[did["phone"]]
        back = sum(paid for _, paid in did["bills"]) + did["debt"]
        if r.kind == Kind.VOID and person["money"] + back < did["amount"]:
            return Result.SPENT, 0, 0
        for bill, paid in did["bills"]:
            bill["open"] = True
            person["money"] += paid
        person["money"] += did["debt"] - did["amount"]
        person["debt"] += did["debt"]
        if entry["kind"] == Kind.PAY:
            person["money"] += did["amount"] - sum(paid for _, paid in did["bills"])
        if person["money"] < 0:
            person["debt"] -= person["money"]
            person["money"] = 0
        self.cleared[did["bank"]] -= did["amount"]
        entry["state"] = "reversed"
        entry["undone"] = (Result.APPROVED, did["amount"], self.worth(did["phone"]))
        return entry["undone"]


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
            more = {"reason": "" if kind is Kind.MEND else data.draw(st.sampled_from(["saf", "manual"]))}
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
            assert self.held.close() == []


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
