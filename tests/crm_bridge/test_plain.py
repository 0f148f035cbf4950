"""Plain recharges go a way of their own; it must come to just what the general one comes to."""

import random  # noqa: TID251 - seeded

import msgspec
import pytest

from crm_bridge import gateway_steps
from crm_bridge.gateway import Gateway
from crm_bridge.gateway_checks import AMOUNT_FEN_CAP, TIME_US_CAP, refusal
from crm_bridge.journal_dates import Calendar
from crm_bridge.memory import Memory
from crm_bridge.plain import Plain, Till, plain_of, still_plain
from crm_bridge.settings import CoreSettings
from crm_bridge.wanted import wants
from qianzhi.billing.bills import MonthBill
from qianzhi.billing.books import PhoneState, Subscriber
from qianzhi.domain.requests import Kind, Request
from qianzhi.domain.results import Result
from qianzhi.ledger.entries import Account
from tests.crm_bridge.conftest import NOON, TODAY, ZONE

DAY_US = 86_400_000_000
PHONES = [str(13_800_000_000 + number) for number in range(12)]
LIMIT = CoreSettings(database="").amount_fen_max
KINDS = [Kind.RECHARGE] * 12 + [Kind.REVERSAL] * 3 + [Kind.VOID, Kind.PAY, Kind.STATUS, Kind.BLOCK, Kind.OWED]
KINDS += [Kind.CLOSE, Kind.TOTALS, Kind.BREAK, Kind.MEND, Kind.CHARGE]
SPOILS = {
    "kind": [Kind.PAY, Kind.CHARGE],
    "space": ["", "*", "a\x00", "x" * 41, 7, None, ["citic"], "boc"],
    "date": [0, -1, 99_999_999, 100_000_000, 20261100, True, 20261117.0, "20261117", TODAY - 1, TODAY + 1],
    "serial": ["", "\n", "9" * 41, 9, None, "\ud800", "漢"],
    "bank": ["", "\x7f", "b" * 41, None, 5],
    "bank_number": ["", "\x1f", "n" * 41, None, 5, "00102"],
    "phone": ["", "\x00", "1" * 41, None, 13800000000, "13900000000"],
    "amount_fen": [0, -1, LIMIT, LIMIT + 1, AMOUNT_FEN_CAP + 1, -AMOUNT_FEN_CAP - 1, True, 5.0, "5"],
    "bill": ["B1", None, "\x00"],
    "date_ours": [True, 1],
    "received_us": [0, 1, -1, TIME_US_CAP, 1.0, None],
    "own_serial": ["77", None, 0],
    "count": [1, -1, True, False, None, 0.0],
    "reversed_count": [1, False, ""],
    "reversed_fen": [1, False, ""],
    "stamp_us": [1, -1, TIME_US_CAP, False, None],
    "reason": ["manual", None, "\x00"],
    "repeat": [True],
}


def memory() -> Memory:
    """Return books of people with and without bills and arrears, and one that is closed."""
    people, accounts, bills = [], [], []
    for number, phone in enumerate(PHONES):
        book = number + 1
        state = PhoneState.CLOSED if number == 3 else PhoneState.OPEN
        people.append(Subscriber(phone, state, f"户{number}", book, 2 * book - 1, 2 * book))
        accounts += [Account(2 * book - 1, 700 * number, 300 * (number == 6), 0)]
        accounts += [Account(2 * book, -2_000 if number in (4, 5) else 0)]
        if number in (5, 7, 8):
            bills += [MonthBill(f"B{number}{month}", book, 202600 + month, 900, 20261020) for month in (8, 9)]
    return Memory(people, bills, accounts)


def tables(books: Memory) -> list[object]:
    return [
        *(books.journal, books.totals, books.bills, books.accounts, books.house, books.orders),
        *(books.write_offs, books.transfers, books.fences, books.breaks, books.next_order),
        *([list(books.journal), list(books.orders)]),
    ]


class Pair:
    """One core that goes the straight way where it can, and one that never does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = CoreSettings(database="sqlite:///unused", late_fee_per_day=30)
        self.ours, self.theirs = memory(), memory()
        self._straight = Gateway(self.ours, settings, ZONE)
        self._general = Gateway(self.theirs, settings, ZONE)
        self._patch = monkeypatch

    def execute(self, requests, now, later=None):
        again = None if later is None else lambda: later
        mine = outcome(self._straight, requests, now, again)
        with self._patch.context() as patch:
            patch.setattr(gateway_steps, "plain_of", lambda requests: Plain([None] * len(requests)))
            wanted = outcome(self._general, requests, now, again)
        assert mine == wanted
        assert tables(self.ours) == tables(self.theirs)
        return mine[0]


def outcome(gateway, requests, now, again):
    """Return the replies and alarms of a list, or what it raised."""
    try:
        replies = gateway.execute(requests, now, again)
    except Exception as error:  # noqa: BLE001 - whatever it is, both must raise it
        return type(error), str(error)
    kinds = [[type(value) for value in msgspec.structs.astuple(reply)] for reply in replies]
    return replies, kinds, gateway.take_alarms()


class Bench:
    """Makes lists of requests, from a seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.past = []

    def request(self):
        draw = self.random
        if self.past and draw.random() < 0.15:
            return draw.choice(self.past)
        kind, serial = draw.choice(KINDS), f"{draw.randrange(60):06d}"
        number = draw.choice(["00101", "00101", "00102"])
        amount = draw.choice([100, 2_000, 2_500, 5_000, 0, -1, LIMIT, LIMIT + 1])
        date = draw.choice([TODAY] * 20 + [TODAY - 1, TODAY + 1, TODAY + 2, TODAY - 2, 20260101, 20269999])
        given = {"date_ours": draw.random() < 0.1, "received_us": draw.choice([0, NOON.wall_us - 5])}
        if kind is Kind.PAY:
            given["bill"] = draw.choice(["B58", "B79", "none"])
        elif kind is Kind.CLOSE:
            serial, date, number, given = "-", draw.choice([TODAY - 1, TODAY - 2]), "", {}
        elif kind in (Kind.BREAK, Kind.MEND):
            given["reason"] = "saf"
        space = draw.choice(["citic", "citic", "boc"])
        one = Request(kind, space, date, serial, "hz_citic", number, draw.choice(PHONES), amount, **given)
        if draw.random() < 0.1:
            one = self.spoilt(one)
        self.past.append(one)
        return one

    def spoilt(self, request):
        name = self.random.choice(list(SPOILS))
        return msgspec.structs.replace(request, **{name: self.random.choice(SPOILS[name])})

    def several(self):
        return [self.request() for _ in range(self.random.choice([1, 2, 8, 40]))]


@pytest.mark.parametrize("seed", range(30))
def test_both_ways_come_to_the_same_replies_rows_and_alarms(seed, monkeypatch):
    pair, bench = Pair(monkeypatch), Bench(seed)
    for turn in range(12):
        requests = bench.several()
        now = NOON.after(turn * bench.random.choice([1_000, 3_600_000_000, DAY_US // 3]))
        later = None
        if bench.random.random() < 0.4:  # the time of some is over meanwhile
            late = [one for one in requests if bench.random.random() < 0.3]
            later = [
                msgspec.structs.replace(one, kind=Kind.BLOCK) if one in late else one for one in requests
            ]
        pair.execute(requests, now, later)


def test_lists_of_plain_recharges_go_the_straight_way_and_come_to_the_same(monkeypatch, ask):
    taken = []
    settle = Till.settle
    monkeypatch.setattr(Till, "settle", lambda *given: taken.append(reply := settle(*given)) or reply)
    pair = Pair(monkeypatch)
    for turn in range(4):
        requests = [ask(Kind.RECHARGE, f"{turn}{n}", PHONES[n % 3], 100 + n) for n in range(50)]
        replies = pair.execute(requests, NOON.after(turn))
        assert {reply.result for reply in replies} == {Result.APPROVED}
        assert taken == replies
        taken.clear()


def test_a_fence_that_rises_in_a_list_closes_the_straight_way_behind_it(monkeypatch, ask):
    pair = Pair(monkeypatch)
    before, behind = (ask(Kind.RECHARGE, serial, PHONES[0], 100, date=TODAY - 1) for serial in ("1", "2"))
    close = Request(Kind.CLOSE, "citic", TODAY - 1, "-", "", "")
    replies = pair.execute([before, close, behind], NOON)
    assert [reply.result for reply in replies] == [Result.APPROVED, Result.APPROVED, Result.DATE_CLOSED]


def test_a_plain_recharge_is_undone_in_its_own_list(monkeypatch, ask):
    pair = Pair(monkeypatch)
    asked = [
        ask(Kind.RECHARGE, "1", PHONES[0], 100),
        ask(Kind.REVERSAL, "1"),
        ask(Kind.RECHARGE, "1", PHONES[0], 100),
    ]
    replies = pair.execute(asked, NOON)
    assert [reply.result for reply in replies] == [Result.APPROVED, Result.APPROVED, Result.REVERSED]


def test_whatever_is_spoilt_is_plain_only_where_nothing_refuses_it(ask):
    bench, calendar = Bench(1), Calendar(NOON, ZONE)
    good = ask(Kind.RECHARGE, "000001", PHONES[0], 100)
    cases = [
        msgspec.structs.replace(good, **{name: value}) for name, values in SPOILS.items() for value in values
    ]
    for spoilt in cases + [bench.spoilt(bench.spoilt(good)) for _ in range(2_000)]:
        for requests in ([spoilt], [good, spoilt], [spoilt, good]):
            plain = plain_of(requests)
            for request, key in zip(requests, plain.keys, strict=True):
                if key is None:
                    continue
                assert refusal(request) is None
                assert (type(key), key) == (type(request.key), request.key)
                assert request.kind is Kind.RECHARGE
                assert request.bill == ""
                assert not request.date_ours
            assert wants(requests, calendar, "b/0", plain) == wants(requests, calendar, "b/0")
    assert plain_of([good]).keys == [good.key]


def test_what_has_become_another_request_is_not_plain_any_more(ask):
    first, second = ask(Kind.RECHARGE, "1", PHONES[0], 100), ask(Kind.RECHARGE, "2", PHONES[0], 100)
    asked = [first, second]
    plain = plain_of(asked)
    assert still_plain(plain, asked, [first, second]) == [first.key, second.key]
    assert still_plain(plain, asked, [first, ask(Kind.BLOCK, "2", PHONES[0], 100)]) == [first.key, None]
    assert still_plain(plain, asked, [second]) == [None]
