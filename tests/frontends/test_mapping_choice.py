"""Which message is which: values, anything, nothing; numbers and names that choose a transaction; totals."""

import msgspec
import pytest

from frontends.mapping import Refusal, Sort
from frontends.mapping_rows import Chooser, matcher_of, meet
from qianzhi.domain.requests import Key, Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.link.messages import Status
from qianzhi.runtime.now import Now
from qianzhi.wire.keys import Delivered, build_delivery
from qianzhi.wire.mackey import MacKey

NOW = Now(5_000_000, 1_795_312_800_250_000)  # 2026-11-22 10:00:00 in Shanghai
TODAY = 20261122


@pytest.mark.parametrize(
    ("when", "message", "fits"),
    [
        ({"a": "1"}, {"a": "1"}, True),
        ({"a": ["1", "2"]}, {"a": "3"}, False),
        ({"a": "*"}, {"a": "anything"}, True),
        ({"a": "*"}, {"a": "   "}, False),
        ({"a": "*"}, {}, False),
        ({"a": "*"}, {"a": b"\0"}, True),
        ({"a": ""}, {}, True),
        ({"a": ""}, {"a": "  "}, True),
        ({"a": ""}, {"a": "x"}, False),
        ({"a": ["", "x"]}, {}, True),
        ({"a": ["", "x"]}, {"a": "x"}, True),
        ({"a": ["", "x"]}, {"a": "y"}, False),
        ({"a.b": "*"}, {"a": {"b": "1"}}, True),
        ({"a.b": ""}, {"a": "text"}, True),
        ({"a": "1", "b": ""}, {"a": "1", "b": "2"}, False),
    ],
)
def test_what_a_when_fits(when, message, fits):
    assert matcher_of(when).fits(message) is fits
    assert Chooser([("this", when)]).find(message) == ("this" if fits else "")


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (["1"], ["1", "2"], True),
        (["1"], ["2"], False),
        (["*"], ["1"], True),
        (["*"], ["*"], True),
        (["*"], [""], False),
        ([""], ["1"], False),
        ([""], ["", "1"], True),
    ],
)
def test_what_fits_two_at_once(one, other, both):
    assert meet(one, other) is both
    assert meet(other, one) is both


def test_a_chooser_looks_at_those_without_the_shared_path_too():
    chooser = Chooser(
        [
            ("pay", {"code": "1", "result": ""}),
            ("owed", {"code": ["2", "3"], "result": ""}),
            ("answer", {"result": "*"}),
        ]
    )
    assert chooser.find({"code": "1"}) == "pay"
    assert chooser.find({"code": "3", "result": " "}) == "owed"
    assert chooser.find({"code": "1", "result": "00"}) == "answer"
    assert chooser.find({"result": "00"}) == "answer"
    assert chooser.find({"code": "4"}) == ""
    assert chooser.find({"code": ["1"]}) == ""
    assert chooser.find({}) == ""


# Several transactions of one kind

POINTS = """
[transactions.points]
kind = "recharge"
numbers = ["7109"]
when = { code = "6102", kind = "0", repeat = "P" }
need = ["body.phone", "body.amount"]

[transactions.points.take]
serial = "serial|word:16"
date = "day|date8"
phone = "body.phone|digits:11"
amount_fen = "body.amount|fen:12"

[bills]
"""


KINDS = ("owed", "recharge", "pay", "status", "reversal")


@pytest.fixture
def points(edit):
    """A vendor whose points recharge is told apart by a mark, and has a number of its own."""
    return edit(
        "zhenghe",
        ('numbers = ["7102"]', 'numbers = ["7102", "7109"]'),
        ('take = { bank_number = "vendor", repeat = "repeat|flag" }', ""),
        ('need = ["vendor", "day", "serial"]', 'need = ["day", "serial"]'),
        ('when = { code = "6102", kind = "0" }', 'when = { code = "6102", kind = "0", repeat = "" }'),
        *((f'kind = "{kind}"', f'kind = "{kind}"\nnumbers = ["7102"]') for kind in KINDS),
        ("\n[bills]\n", POINTS),
    )


def recharge(bank, number):
    return Request(
        Kind.RECHARGE,
        bank.space,
        TODAY,
        "A1",
        bank.name,
        number,
        "13800000000",
        5000,
        received_us=NOW.wall_us,
    )


def travel(bank, message):
    return bank.codec.decode(bank.codec.encode(message))


def test_a_bank_number_chooses_its_transaction_and_comes_back(points):
    for number, name in (("7102", "recharge"), ("7109", "points")):
        request = recharge(points, number)
        message = travel(points, points.mapping.request_message(request, NOW))
        assert points.mapping.transaction_of(message) == name
        assert points.mapping.request_of(message, NOW) == request


def test_a_name_chooses_its_transaction(points):
    message = points.mapping.request_message(recharge(points, "7102"), NOW, name="points")
    assert points.mapping.transaction_of(travel(points, message)) == "points"
    assert points.mapping.request_of(message, NOW).bank_number == "7109"
    for wrong in ("owed", "nothing"):
        with pytest.raises(LookupError):
            points.mapping.request_message(recharge(points, "7102"), NOW, name=wrong)


def test_a_number_of_another_transaction_is_no_route(edit):
    bank = edit("boc", ('kind = "pay"', 'kind = "pay"\nnumbers = ["0104"]'))
    request = Request(
        Kind.PAY,
        "boc",
        TODAY,
        "000001",
        "boc",
        "0104",
        "13800000000",
        5000,
        bill="B1",
        received_us=NOW.wall_us,
    )
    message = travel(bank, bank.mapping.request_message(request, NOW, {"acquirer": "0114"}))
    refusal = bank.mapping.request_of(message, NOW)
    assert isinstance(refusal, Refusal)
    assert (refusal.result, refusal.key) == (Result.NO_ROUTE, Key("boc", TODAY, "000001"))
    with pytest.raises(LookupError):
        bank.mapping.request_message(msgspec.structs.replace(request, bank_number="0114"), NOW)


# Totals

FIGURES = {"count": 12, "amount_fen": 60_000, "reversed_count": 2, "reversed_fen": 7_500}


@pytest.fixture
def psbc(bench):
    made = bench("psbc")
    made.node_up()
    return made


def totals(made, **figures):
    return made.request(Kind.TOTALS, "000042", **{**FIGURES, **figures})


def test_totals_are_a_request_like_any_other_and_hear_the_journal_s_figures(psbc):
    mapping = psbc.profile.mapping
    message = travel(psbc.profile, mapping.request_message(totals(psbc), NOW))
    assert mapping.sort_of(message) is Sort.REQUEST
    asked = mapping.request_of(message, NOW)
    assert asked == msgspec.structs.replace(totals(psbc), received_us=NOW.wall_us)
    for result, code in ((Result.APPROVED, "00"), (Result.TOTALS_DIFFER, "95")):
        reply = Reply(result, count=11, amount_fen=55_000, reversed_count=1, reversed_fen=2_500)
        heard = mapping.reply_of(travel(psbc.profile, mapping.reply_message(message, asked, reply, NOW)))
        assert (heard.code, heard.result) == (code, result)
        figures = (
            heard.reply.count,
            heard.reply.amount_fen,
            heard.reply.reversed_count,
            heard.reply.reversed_fen,
        )
        assert figures == (11, 55_000, 1, 2_500)
    refused = mapping.reply_message(message, asked, Reply(Result.BUSY, count=11), NOW)
    assert mapping.reply_of(travel(psbc.profile, refused)).reply.count == 0


def signed_on(made):
    """Sign on, and bring a key, as this bank does: each message on a connection of its own."""
    key = bytes.fromhex("133457799BBCDFF1")
    made.manage(made.connect(), "sign_on")
    spec = made.profile.table.delivery
    message = made.profile.mapping.management_message("key_delivery", "900002", made.now, ours=False)
    message = build_delivery(spec, message, made.profile.codec, made.keys["master"], Delivered(key, "mac"))
    made.send(made.connect(), made.profile.codec.encode(message))
    made.mac_key = MacKey(key)
    assert [made.profile.mapping.reply_of(answer).result for answer in made.heard()] == [Result.APPROVED] * 2
    made.answers.clear()


def test_totals_go_to_the_core_and_block_nothing(psbc):
    signed_on(psbc)
    source = psbc.connect()
    psbc.send(source, psbc.body(totals(psbc)))
    [(peer, envelope)] = psbc.take_asked()
    asked = msgspec.msgpack.decode(envelope.body, type=Request)
    assert (asked.kind, asked.count, asked.reversed_fen) == (Kind.TOTALS, 12, 7_500)
    psbc.reply(peer, envelope, Result.TOTALS_DIFFER, count=11, amount_fen=55_000)
    assert psbc.results() == [Result.TOTALS_DIFFER]
    other = psbc.connect()
    psbc.send(other, psbc.body(totals(psbc)))
    for _ in range(2):
        for peer, envelope in psbc.take_asked():
            psbc.turn_away(peer, envelope, Status.BUSY)
    assert psbc.results(other) == [Result.BUSY]
    assert not psbc.take_asked(), "nothing is blocked for a question"


def test_totals_with_other_figures_do_not_join_those_under_way(psbc):
    signed_on(psbc)
    for source, count in ((psbc.connect(), 12), (psbc.connect(), 13), (psbc.connect(), 12)):
        psbc.send(source, psbc.body(totals(psbc, count=count)))
    assert len(psbc.take_asked()) == 2


def test_totals_without_a_mac_are_refused(psbc):
    signed_on(psbc)
    source = psbc.connect()
    body = bytearray(psbc.body(totals(psbc)))
    body[-1] ^= 1
    psbc.send(source, bytes(body))
    assert psbc.results(source) == [Result.BAD_MAC]
