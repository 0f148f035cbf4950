"""The banks' codecs against the platform's, both ways, over all transactions: two readings of one spec."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frontends.profile import Profile, load_profile
from qianzhi.domain.requests import Bill, Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.runtime.now import Now
from qianzhi.wire.errors import MacError
from qianzhi.wire.mac import make_mac, verify_mac
from qianzhi.wire.mackey import MacKey
from simulators.cups_codec import CupsCodec
from simulators.cups_line import CupsLine
from simulators.line import Incoming
from simulators.record import Ask
from simulators.xml_line import XmlLine, read_xml, write_xml

CONFIG = Path(__file__).parents[2] / "config"
NOW = Now(1_000_000, 1_782_900_000_000_000)
KEY = bytes.fromhex("FEDCBA98765432100123456789ABCDEF")
BILLS = (
    Bill("B202605000000000001", 202605, 30_00, 1_25),
    Bill("B202606000000000002", 202606, 8_50, 0),
)


def profile_of(name: str) -> Profile:
    profile, problems = load_profile(CONFIG, name)
    assert profile is not None, problems
    return profile


def cups() -> tuple[Profile, CupsCodec]:
    tree = tomllib.loads((CONFIG / "specs" / "cups.toml").read_text())
    return profile_of("hz_citic"), CupsCodec(tree)


def request_for(profile: Profile, kind: Kind) -> Request:
    return Request(
        kind=kind,
        space=profile.space,
        date=20260701,
        serial="000123" if profile.name == "hz_citic" else "20260701000000000123",
        bank=profile.name,
        bank_number=profile.numbers[0],
        phone="13800000001",
        amount_fen=50_00 if kind is not Kind.PAY else 31_25,
        bill="B202605000000000001" if kind is Kind.PAY else "",
        own_serial=("000124" if profile.name == "hz_citic" else "20260701000000000124")
        if kind in (Kind.STATUS, Kind.REVERSAL)
        else "",
    )


def ask_for(profile: Profile, kind: Kind) -> Ask:
    return Ask(
        7, request_for(profile, kind), NOW.wall_us, NOW.wall_us - 5_000_000, card="6222000000000000018"
    )


def reply_for(kind: Kind) -> Reply:
    bills = BILLS if kind is Kind.OWED else ()
    return Reply(
        Result.APPROVED, order="202607010001", amount_fen=50_00, balance_fen=1_23, bills=bills, name="张三"
    )


def line_of(name: str) -> tuple[Profile, Any]:
    profile = profile_of(name)
    if name == "icbc":
        return profile, XmlLine(profile.mapping, KEY)
    return profile, CupsLine(cups()[1], profile.mapping, KEY, iter(range(1, 99)).__next__, KEY)


KINDS = [Kind.OWED, Kind.RECHARGE, Kind.PAY, Kind.STATUS, Kind.REVERSAL]


@pytest.mark.parametrize("name", ["hz_citic", "icbc"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_platform_reads_what_the_bank_writes_as_the_bank_meant_it(name: str, kind: Kind) -> None:
    profile, line = line_of(name)
    ask = ask_for(profile, kind)
    (out,) = line.carry([ask], NOW)
    message = profile.codec.decode(out.frame)
    request = profile.mapping.request_of(message, NOW)
    assert isinstance(request, Request), request
    wanted = ask.request
    assert (request.kind, request.key, request.bank_number) == (wanted.kind, wanted.key, wanted.bank_number)
    if kind in (Kind.RECHARGE, Kind.PAY):
        assert (request.phone, request.amount_fen, request.bill) == (
            wanted.phone,
            wanted.amount_fen,
            wanted.bill,
        )
    if kind in (Kind.STATUS, Kind.REVERSAL):
        assert request.own_serial == wanted.own_serial


@pytest.mark.parametrize("name", ["hz_citic", "icbc"])
@pytest.mark.parametrize("kind", KINDS)
def test_both_codecs_write_the_same_bytes_of_the_same_message(name: str, kind: Kind) -> None:
    profile, line = line_of(name)
    message = line.message_of(ask_for(profile, kind), NOW)
    if name == "hz_citic":
        message["header"].update(
            version=2, user_info=b"0", batch=1, reserved=b"000", transaction_info="10000000"
        )
        assert cups()[1].encode(message) == profile.codec.encode(message)
        assert cups()[1].decode(profile.codec.encode(message)) == profile.codec.decode(
            cups()[1].encode(message)
        )
    else:  # XML may be written in more than one way: what counts is that each reads the other's alike
        assert profile.codec.decode(write_xml(message, "gbk")) == profile.codec.decode(
            profile.codec.encode(message)
        )
        assert read_xml(profile.codec.encode(message)) == read_xml(write_xml(message, "gbk"))


@pytest.mark.parametrize("name", ["hz_citic", "icbc"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("result", [Result.APPROVED, Result.NO_SUCH_PHONE, Result.UNKNOWN])
def test_the_bank_reads_the_platforms_answer_and_finds_its_mac_right(
    name: str, kind: Kind, result: Result
) -> None:
    profile, line = line_of(name)
    (out,) = line.carry([ask_for(profile, kind)], NOW)
    asked = profile.codec.decode(out.frame)
    request = profile.mapping.request_of(asked, NOW)
    assert isinstance(request, Request)
    reply = reply_for(kind) if result is Result.APPROVED else Reply(result)
    answer = profile.mapping.reply_message(asked, request, reply, NOW)
    sign_as_the_platform_does(profile, answer)
    (heard,), said = line.on_frames([Incoming(profile.codec.encode(answer))], NOW)
    assert said == []
    assert (heard.ticket, heard.result) == (7, result)
    assert (line.bad, line.unmatched) == (0, 0)
    if result is Result.APPROVED and kind is Kind.OWED:
        assert heard.bills == BILLS
    if result is Result.APPROVED and kind is Kind.RECHARGE:
        assert heard.order == "202607010001"


def sign_as_the_platform_does(profile: Profile, message: dict[str, Any]) -> None:
    assert profile.mac is not None
    make_mac(profile.mac, message, profile.codec, MacKey(KEY))


@pytest.mark.parametrize("name", ["hz_citic", "icbc"])
def test_the_platform_finds_the_banks_mac_right_and_any_change_wrong(name: str) -> None:

    profile, line = line_of(name)
    assert profile.mac is not None
    for kind in KINDS:
        (out,) = line.carry([ask_for(profile, kind)], NOW)
        message = profile.codec.decode(out.frame)
        verify_mac(profile.mac, message, profile.codec, [MacKey(KEY)])
        if kind is Kind.RECHARGE:
            if name == "hz_citic":
                message["amount"] = "000000999900"
            else:
                message["Body"]["Amount"] = "9999.00"
            with pytest.raises(MacError):
                verify_mac(profile.mac, message, profile.codec, [MacKey(KEY)])


def test_the_bank_takes_an_answer_with_a_wrong_mac_for_no_answer() -> None:
    for name in ("hz_citic", "icbc"):
        profile, line = line_of(name)
        (out,) = line.carry([ask_for(profile, Kind.RECHARGE)], NOW)
        asked = profile.codec.decode(out.frame)
        request = profile.mapping.request_of(asked, NOW)
        assert isinstance(request, Request)
        answer = profile.mapping.reply_message(asked, request, reply_for(Kind.RECHARGE), NOW)
        sign_as_the_platform_does(profile, answer)
        frame = bytearray(profile.codec.encode(answer))
        at = frame.index(b"50.00" if name == "icbc" else b"000000005000")
        frame[at] = ord("9")
        assert line.on_frames([Incoming(bytes(frame))], NOW) == ([], [])
        assert line.bad == 1
        assert line.on_frames([Incoming(b"rubbish"), Incoming(b"")], NOW) == ([], [])


PLAIN = sorted(column.name for column in cups()[1].columns if column.parts is None and column.type != "b")


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_any_plain_fields_travel_alike_through_both_codecs(data: st.DataObject) -> None:
    profile, codec = cups()
    columns = {column.name: column for column in codec.columns}
    message: dict[str, Any] = {"mti": "0200", "header": {"destination": "00010000", "source": "03023310"}}
    message["header"].update(version=1, user_info=b"0")
    for name in data.draw(st.sets(st.sampled_from(PLAIN), min_size=1)):
        column = columns[name]
        letters = "0123456789" if column.type == "n" else "AZaz09"
        shortest = 1 if column.digits else column.length
        value = data.draw(st.text(letters, min_size=shortest, max_size=column.length))
        message[name] = "C" + "7" * (column.length - 1) if column.type == "xn" else value
    ours, theirs = codec.encode(message), profile.codec.encode(message)
    assert ours == theirs
    assert codec.decode(theirs) == profile.codec.decode(ours)


def test_xml_with_a_document_type_or_an_unknown_charset_is_refused() -> None:
    for text in (
        '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><Message>&b;</Message>',
        '<?xml version="1.0" encoding="klingon"?><Message/>',
        "<Message><Head>",
        "<Other/>",
    ):
        with pytest.raises(ValueError):  # noqa: PT011 - each for its own reason
            read_xml(text.encode())
