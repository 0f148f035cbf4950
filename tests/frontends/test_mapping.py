"""A bank's messages through the real profiles and the real codecs, from both ends of the line."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frontends.mapping import Refusal, Sort
from frontends.profile import load_profile
from qianzhi.domain.dates import as_number, local_datetime
from qianzhi.domain.requests import Bill, Key, Kind, Reply, Request
from qianzhi.domain.results import HOUSE_RESULTS, Result
from qianzhi.runtime.now import Now
from qianzhi.wire.codec import get_path, put_path

CONFIG = Path(__file__).parents[2] / "config"
NOW = Now(5_000_000, 1_795_312_800_250_000)  # 2026-11-22 10:00:00 in Shanghai
TODAY = 20261122
PROFILES = {}
BILLS = (Bill("20261000000000000001", 202610, 5000, 12), Bill("20261100000000000001", 202611, 100, 0))
AMOUNT_PATHS = {"hz_citic": "amount", "icbc": "Body.Amount"}
PHONE_PATHS = {"hz_citic": "private.PZ.number", "icbc": "Body.Phone"}
NUMBER_PATHS = {"hz_citic": "merchant", "icbc": "Head.BankNo"}
SERIAL_PATHS = {"hz_citic": "stan", "icbc": "Head.Serial"}
CODES = {
    "hz_citic": {
        Result.APPROVED: "00",
        Result.UNKNOWN: "68",
        Result.IN_PROCESS: "09",
        Result.DUPLICATE_SERIAL: "94",
    },
    "icbc": {Result.APPROVED: "0000", Result.UNKNOWN: "0006", Result.IN_PROCESS: "0007", Result.BUSY: "0001"},
}


def profile_of(name):
    if name not in PROFILES:
        profile, problems = load_profile(CONFIG, name)
        assert problems == []
        PROFILES[name] = profile
    return PROFILES[name]


@pytest.fixture(params=["hz_citic", "icbc"])
def bank(request):
    return profile_of(request.param)


def travel(bank, message):
    """The message as the other side decodes it."""
    return bank.codec.decode(bank.codec.encode(message))


def example(bank, kind, **changes):
    """A sound request of each kind."""
    fields = {
        Kind.OWED: {"phone": "13800000000"},
        Kind.RECHARGE: {"phone": "13800000000", "amount_fen": 5000},
        Kind.PAY: {"phone": "13800000000", "amount_fen": 5012, "bill": "20261000000000000001"},
        Kind.STATUS: {"own_serial": "000009"},
        Kind.REVERSAL: {"own_serial": "000009", "amount_fen": 5000},
    }[kind]
    base = {
        "kind": kind,
        "space": bank.space,
        "date": TODAY,
        "serial": "000007",
        "bank": bank.name,
        "bank_number": bank.numbers[0],
        "received_us": NOW.wall_us,
    }
    return Request(**{**base, **fields, **changes})


KINDS = [Kind.OWED, Kind.RECHARGE, Kind.PAY, Kind.STATUS, Kind.REVERSAL]


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_arrives_as_it_was_meant(bank, kind):
    request = example(bank, kind)
    message = travel(bank, bank.mapping.request_message(request, NOW))
    assert bank.mapping.sort_of(message) is Sort.REQUEST
    assert bank.mapping.transaction_of(message) == kind.name.lower()
    assert bank.mapping.request_of(message, NOW) == request
    assert bank.mac_required(message)


@pytest.mark.parametrize("kind", KINDS)
def test_an_approval_returns_with_its_content(bank, kind):
    request = example(bank, kind)
    message = travel(bank, bank.mapping.request_message(request, NOW))
    told = {Kind.OWED: Reply(Result.APPROVED, amount_fen=5112, bills=BILLS)}
    reply = told.get(kind, Reply(Result.APPROVED, order="000000004711", amount_fen=5000, balance_fen=777))
    answer = travel(bank, bank.mapping.reply_message(message, request, reply, NOW))
    assert bank.mapping.sort_of(answer) is Sort.ANSWER
    assert bank.mac_required(answer)
    heard = bank.mapping.reply_of(answer)
    assert (heard.result, heard.code) == (Result.APPROVED, CODES[bank.name][Result.APPROVED])
    assert heard.match == bank.mapping.match_key(message)
    assert heard.reply.bills == reply.bills
    assert heard.reply.order == reply.order
    if kind in {Kind.RECHARGE, Kind.PAY}:
        assert heard.reply.balance_fen == 777
    if kind in {Kind.OWED, Kind.STATUS}:
        assert heard.reply.amount_fen == reply.amount_fen


# What a bank can hear: the results of totals and of a void belong to those alone.
TOLD = sorted(set(Result) - HOUSE_RESULTS - {Result.TOTALS_DIFFER, Result.SPENT})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("result", TOLD)
def test_every_result_has_a_code_that_is_never_mistaken_for_another_outcome(bank, kind, result):
    request = example(bank, kind)
    message = travel(bank, bank.mapping.request_message(request, NOW))
    reply = Reply(result, amount_fen=5000, balance_fen=1, bills=BILLS)
    heard = bank.mapping.reply_of(travel(bank, bank.mapping.reply_message(message, request, reply, NOW)))
    assert heard.code == CODES[bank.name].get(result, heard.code)
    open_results = {Result.UNKNOWN, Result.IN_PROCESS}
    assert (heard.result is Result.APPROVED) == (result is Result.APPROVED)
    assert (heard.result in open_results) == (result in open_results)
    if result is not Result.APPROVED:
        assert (heard.reply.bills, heard.reply.balance_fen) == ((), 0)


def test_a_code_that_nobody_agreed_on_is_no_result(bank):
    message = travel(bank, bank.mapping.request_message(example(bank, Kind.RECHARGE), NOW))
    answer = bank.mapping.refusal_message(message, Result.FORMAT, NOW)
    put_path(answer, bank.table.reply.result, "ZZ")
    heard = bank.mapping.reply_of(travel(bank, answer))
    assert (heard.result, heard.reply.result) == (None, Result.UNKNOWN)


def test_an_owed_answer_without_bills_is_still_an_answer(bank):
    request = example(bank, Kind.OWED)
    message = travel(bank, bank.mapping.request_message(request, NOW))
    heard = bank.mapping.reply_of(
        travel(bank, bank.mapping.reply_message(message, request, Reply(Result.APPROVED), NOW))
    )
    assert (heard.result, heard.reply.bills, heard.reply.amount_fen) == (Result.APPROVED, (), 0)


def test_a_balance_in_arrears_never_costs_the_answer(bank):
    request = example(bank, Kind.RECHARGE)
    message = travel(bank, bank.mapping.request_message(request, NOW))
    reply = Reply(Result.APPROVED, order="000000004711", balance_fen=-777)
    heard = bank.mapping.reply_of(travel(bank, bank.mapping.reply_message(message, request, reply, NOW)))
    assert (heard.result, heard.reply.order) == (Result.APPROVED, "000000004711")
    assert heard.reply.balance_fen == {"hz_citic": -777, "icbc": 0}[bank.name]


def test_more_bills_than_the_field_holds_are_cut_at_the_newest(bank):
    bills = tuple(Bill(f"B{n:019d}", 202401 + n % 12, 100 + n, n) for n in range(30))
    request = example(bank, Kind.OWED)
    message = travel(bank, bank.mapping.request_message(request, NOW))
    reply = Reply(Result.APPROVED, amount_fen=5000, bills=bills)
    heard = bank.mapping.reply_of(travel(bank, bank.mapping.reply_message(message, request, reply, NOW)))
    assert heard.reply.bills == bills[: bank.table.bills.max]


def test_an_answer_shares_nothing_with_its_request(bank):
    request = example(bank, Kind.STATUS)
    message = travel(bank, bank.mapping.request_message(request, NOW))
    before = msgspec.msgpack.encode(message)
    answer = bank.mapping.reply_message(message, request, Reply(Result.APPROVED, order="1" * 12), NOW)
    for value in answer.values():
        if isinstance(value, dict):
            value.clear()
    assert msgspec.msgpack.encode(message) == before


def damaged(bank, kind, path, value):
    """A sound message in which one value is another one, or missing."""
    message = bank.mapping.request_message(example(bank, kind), NOW)
    if value is None:
        *steps, last = path.split(".")
        table = get_path(message, ".".join(steps)) if steps else message
        del table[last]
    else:
        put_path(message, path, value)
    return bank.mapping.request_of(travel(bank, message), NOW)


@pytest.mark.parametrize("phone", ["1380000000", "138000000000", "1380000000a", "phone", "", None])
def test_a_phone_of_another_form_is_a_format_error_under_its_key(bank, phone):
    refusal = damaged(bank, Kind.RECHARGE, PHONE_PATHS[bank.name], phone)
    assert isinstance(refusal, Refusal)
    assert (refusal.result, refusal.field) == (Result.FORMAT, PHONE_PATHS[bank.name])
    assert refusal.key == Key(bank.space, TODAY, "000007")
    assert refusal.moves_money
    assert bank.blocks_first(refusal)
    assert not phone or phone not in refusal.reason


@pytest.mark.parametrize("path", ["amount", "bank number", "phone"])
def test_what_a_recharge_needs_must_be_there(bank, path):
    where = {"amount": AMOUNT_PATHS, "bank number": NUMBER_PATHS, "phone": PHONE_PATHS}[path][bank.name]
    refusal = damaged(bank, Kind.RECHARGE, where, None)
    assert (refusal.result, refusal.field, refusal.kind) == (Result.FORMAT, where, Kind.RECHARGE)


def test_what_is_needed_and_not_taken_must_be_there_too():
    for path in ("currency", "forwarder"):
        refusal = damaged(profile_of("hz_citic"), Kind.RECHARGE, path, None)
        assert (refusal.result, refusal.field) == (Result.FORMAT, path)


def test_of_results_that_share_a_code_the_first_is_read():
    results = profile_of("hz_citic").results
    assert (results.result_of("64"), results.result_of("22")) == (Result.BILL_CHANGED, Result.REVERSED)


def test_amounts_at_the_edge(bank):
    path = AMOUNT_PATHS[bank.name]
    wire = {"hz_citic": "{:012d}".format, "icbc": lambda fen: f"{fen // 100}.{fen % 100:02d}"}[bank.name]
    most = bank.limits.amount_fen_max
    assert damaged(bank, Kind.RECHARGE, path, wire(most)).amount_fen == most
    refusal = damaged(bank, Kind.RECHARGE, path, wire(most + 1))
    assert (refusal.result, refusal.field) == (Result.AMOUNT_LIMIT, path)
    assert bank.blocks_first(refusal)
    assert damaged(bank, Kind.RECHARGE, path, wire(0)).amount_fen == 0  # the core refuses it for good
    assert damaged(bank, Kind.REVERSAL, path, wire(most + 1)).amount_fen == most + 1  # never refused here


@pytest.mark.parametrize(
    ("amount", "result"),
    [
        ("-50.00", Result.BAD_AMOUNT),
        ("50.001", Result.BAD_AMOUNT),
        ("99999999999", Result.BAD_AMOUNT),
        ("5e1", Result.FORMAT),
        ("fifty", Result.FORMAT),
        (" 50.00 ", None),
        ("50", None),
    ],
)
def test_amounts_in_yuan_as_people_send_them(amount, result):
    found = damaged(profile_of("icbc"), Kind.RECHARGE, "Body.Amount", amount)
    assert found.amount_fen == 5000 if result is None else found.result is result


def test_a_bank_number_that_is_not_this_banks_goes_nowhere(bank):
    refusal = damaged(bank, Kind.RECHARGE, NUMBER_PATHS[bank.name], "9999")
    assert (refusal.result, refusal.field) == (Result.NO_ROUTE, NUMBER_PATHS[bank.name])
    assert refusal.key is not None
    assert bank.blocks_first(refusal) == (bank.transport.kind == "queue")


def test_without_a_date_or_serial_there_is_no_key():
    citic, icbc = profile_of("hz_citic"), profile_of("icbc")
    found = [
        damaged(citic, Kind.RECHARGE, "transmission_time", "1340000000"),
        damaged(citic, Kind.RECHARGE, "transmission_time", None),
        damaged(citic, Kind.STATUS, "original.transmission_time", "0230101010"),
        damaged(icbc, Kind.RECHARGE, "Head.TrxDate", "20261301"),
        damaged(icbc, Kind.RECHARGE, "Head.Serial", None),
        damaged(icbc, Kind.REVERSAL, "Body.OrigSerial", None),
        damaged(icbc, Kind.REVERSAL, "Body.OrigDate", "00000000"),
    ]
    for refusal in found:
        assert (refusal.result, refusal.key, refusal.moves_money) == (Result.FORMAT, None, False)
        assert not icbc.blocks_first(refusal)


def test_an_unknown_transaction_is_unsupported_and_can_be_answered(bank):
    message = bank.mapping.request_message(example(bank, Kind.RECHARGE), NOW)
    put_path(message, {"hz_citic": "processing_code", "icbc": "Head.TrxCode"}[bank.name], "999999")
    message = travel(bank, message)
    refusal = bank.mapping.request_of(message, NOW)
    assert (refusal.result, refusal.key, refusal.kind) == (Result.UNSUPPORTED, None, None)
    answer = travel(bank, bank.mapping.refusal_message(message, refusal.result, NOW))
    heard = bank.mapping.reply_of(answer)
    assert (heard.result, heard.match) == (Result.UNSUPPORTED, bank.mapping.match_key(message))
    assert bank.mapping.sort_of(answer) is Sort.ANSWER


def test_unproved_messages_never_block_a_key(bank):
    key = Key(bank.space, TODAY, "1")
    for result in (Result.BAD_MAC, Result.NOT_SIGNED_ON):
        assert not bank.blocks_first(Refusal(result, "", "", key, Kind.RECHARGE))
    assert not bank.blocks_first(Refusal(Result.FORMAT, "", "", key, Kind.STATUS))


def test_dates_around_new_year_mean_the_days_around_today():
    bank = profile_of("hz_citic")
    new_year = Now(0, 1_798_732_805_000_000)  # 2027-01-01 00:00:05 in Shanghai
    for date in (20261231, 20270101, 20270102):
        request = example(bank, Kind.RECHARGE, date=date, received_us=new_year.wall_us)
        message = travel(bank, bank.mapping.request_message(request, new_year))
        assert bank.mapping.request_of(message, new_year) == request


def test_a_resend_keeps_time_and_trace_number_and_an_xml_repeat_says_so():
    citic, icbc = profile_of("hz_citic"), profile_of("icbc")
    later = NOW.after(90_000_000)
    request = example(citic, Kind.RECHARGE)
    first = citic.mapping.request_message(request, NOW)
    resent = citic.mapping.request_message(request, later, {"transmission_time": first["transmission_time"]})
    assert citic.mapping.match_key(resent) == citic.mapping.match_key(first)
    repeat = icbc.mapping.request_message(example(icbc, Kind.RECHARGE, repeat=True), later)
    assert get_path(repeat, "Head.Repeat") == "1"
    assert icbc.mapping.request_of(travel(icbc, repeat), later).repeat


def test_answers_swap_the_addresses_of_the_header_and_echo_the_rest():
    bank = profile_of("hz_citic")
    request = example(bank, Kind.RECHARGE)
    extra = {"header.transaction_info": "10000000", "header.batch": 1}
    message = travel(bank, bank.mapping.request_message(request, NOW, extra))
    answer = travel(bank, bank.mapping.reply_message(message, request, Reply(Result.APPROVED, "1" * 12), NOW))
    header = answer["header"]
    assert (header["destination"], header["source"]) == ("03023310", "00010000")
    assert (header["transaction_info"], header["batch"], header["reject_code"]) == ("10000000", 1, "00000")
    assert (answer["mti"], answer["settlement_date"], answer["rrn"]) == ("0210", "1122", "1" * 12)
    assert answer["authorization"] == "111111"


def test_a_rejected_message_is_seen_before_it_is_taken_for_a_request():
    bank = profile_of("hz_citic")
    message = bank.mapping.request_message(example(bank, Kind.RECHARGE), NOW, {"header.reject_code": "10026"})
    assert bank.mapping.sort_of(travel(bank, message)) is Sort.REJECTED


def test_answers_in_any_order_find_their_requests(bank):
    requests = [example(bank, Kind.RECHARGE, serial=f"{n:06d}", amount_fen=n) for n in range(50)]
    messages = [travel(bank, bank.mapping.request_message(request, NOW)) for request in requests]
    waiting = {bank.mapping.match_key(m): r for m, r in zip(messages, requests, strict=True)}
    assert len(waiting) == len(requests)
    for message, request in sorted(
        zip(messages, requests, strict=True), key=lambda pair: pair[1].serial[::-1]
    ):
        answer = bank.mapping.reply_message(
            message, request, Reply(Result.APPROVED, order=request.serial), NOW
        )
        assert waiting.pop(bank.mapping.reply_of(travel(bank, answer)).match) == request


days = st.integers(min_value=-150, max_value=150)


@st.composite
def random_requests(draw):
    bank = profile_of(draw(st.sampled_from(["hz_citic", "icbc"])))
    kind = draw(st.sampled_from(KINDS))
    now = Now(0, NOW.wall_us + draw(st.integers(0, 3 * 10**14)))
    today = as_number(local_datetime(now.wall_us, bank.mapping.zone).date())
    word = st.text("ABCXYZ0123456789", min_size=1, max_size=20)
    serial = st.integers(0, 999_999).map("{:06d}".format) if bank.name == "hz_citic" else word
    fields = {"serial": draw(serial), "date": today, "received_us": now.wall_us}
    if kind not in {Kind.STATUS, Kind.REVERSAL}:
        fields["phone"] = f"1{draw(st.integers(0, 10**10 - 1)):010d}"
    else:
        fields["own_serial"] = draw(serial)
    if kind in {Kind.RECHARGE, Kind.PAY, Kind.REVERSAL}:
        fields["amount_fen"] = draw(st.integers(0, bank.limits.amount_fen_max))
    if kind is Kind.PAY:
        fields["bill"] = draw(word)
    if bank.name == "icbc":
        fields["repeat"] = draw(st.booleans())
    return bank, example(bank, kind, **fields), now


@settings(max_examples=300, deadline=None)
@given(random_requests())
def test_any_request_comes_back_from_the_wire_as_it_went(case):
    bank, request, now = case
    message = travel(bank, bank.mapping.request_message(request, now))
    assert bank.mapping.request_of(message, now) == request


values = st.recursive(
    st.none() | st.text(max_size=12) | st.binary(max_size=4) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["PZ", "number", "amount"]), inner)
    ),
    max_leaves=4,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["hz_citic", "icbc"]), st.sampled_from(KINDS), st.data())
def test_no_decoded_value_makes_the_mapping_raise(name, kind, data):
    bank = profile_of(name)
    message = bank.mapping.request_message(example(bank, kind), NOW)
    path = data.draw(st.sampled_from(sorted(bank.codec.paths() - {"Body", "Head"})))
    try:
        put_path(message, path, data.draw(values))
    except TypeError:
        return
    sort = bank.mapping.sort_of(message)
    bank.mapping.match_key(message)
    if sort is Sort.REQUEST:
        request = bank.mapping.request_of(message, NOW)
        assert isinstance(request, Request | Refusal)
    bank.mapping.reply_of(message)
