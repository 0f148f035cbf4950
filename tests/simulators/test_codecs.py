"""The banks' codecs and MACs against the platform's, both ways, over every profile."""

from pathlib import Path
from typing import Any

import pytest

from frontends.profile import Profile, load_profile, resolve_keys
from qianzhi.domain.requests import MONEY_KINDS, Bill, Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.runtime.now import Now
from qianzhi.wire.errors import MacError
from qianzhi.wire.mac import make_mac, verify_mac
from qianzhi.wire.mackey import MacKey
from qianzhi.wire.paths import get_path, put_path
from simulators.bank_line import BankLine, kinds_of
from simulators.codecs import BankCodecError, bank_codec
from simulators.line import Incoming
from simulators.record import Ask

CONFIG = Path(__file__).parents[2] / "config"
NOW = Now(1_000_000, 1_782_900_000_000_000)
WORKING_KEY = bytes.fromhex("FEDCBA98765432100123456789ABCDEF")
DATE = 20260701
BILLS = (
    Bill("B202605000000000001", 202605, 30_00, 1_25),
    Bill("B202606000000000002", 202606, 8_50, 0),
)
NETWORKS = ("lnet", "mnet", "unet", "vnet")  # which are asked by us: tests/frontends/test_outward.py
NAMES = sorted(path.stem for path in (CONFIG / "banks").glob("*.toml") if path.stem not in NETWORKS)
PROFILES: dict[str, Profile] = {}


def profile_of(name: str) -> Profile:
    if name not in PROFILES:
        profile, problems = load_profile(CONFIG, name)
        assert profile is not None, problems
        PROFILES[name] = profile
    return PROFILES[name]


def line_of(profile: Profile) -> BankLine:
    keys = resolve_keys(profile, CONFIG, production=False)
    stored = WORKING_KEY[: profile.session.key_bytes]
    return BankLine(profile, bank_codec(profile.spec), keys, iter(range(1, 99)).__next__, bytes, stored)


def asks_of(profile: Profile, line: BankLine) -> list[Ask]:
    """Return one request of every kind under every bank number that this profile knows."""
    asks = []
    for kind in sorted(kinds_of(profile)):
        for number in profile.numbers:
            request = request_for(profile, line, kind, number)
            asks.append(Ask(7, request, NOW.wall_us, NOW.wall_us - 5_000_000, card="6222000000000000018"))
    return asks


def request_for(profile: Profile, line: BankLine, kind: Kind, number: str) -> Request:
    settles, totals = kind in (Kind.STATUS, Kind.REVERSAL, Kind.VOID), kind is Kind.TOTALS
    return Request(
        kind=kind,
        space=profile.space,
        date=DATE,
        serial=line.serial_text(122, DATE),
        bank=profile.name,
        bank_number=number,
        phone="13800000001",
        amount_fen=31_25 if kind is Kind.PAY else 50_00,
        bill="B202605000000000001" if kind is Kind.PAY else "",
        own_serial=line.dialect.own_serial(line.serial_text(123, DATE)) if settles else "",
        count=3 if totals else 0,
        reversed_count=1 if totals else 0,
        reversed_fen=10_00 if totals else 0,
    )


def reply_for(kind: Kind) -> Reply:
    return Reply(
        Result.APPROVED,
        order="202607010001",
        amount_fen=50_00,
        balance_fen=1_23,
        bills=BILLS if kind is Kind.OWED else (),
        name="张三",
        count=3,
        reversed_count=1,
        reversed_fen=10_00,
    )


def answered(profile: Profile, frame: bytes, result: Result, line: BankLine) -> bytes:
    """Return what the platform's own code answers to a frame, signed under the line's key."""
    asked = profile.codec.decode(frame)
    request = profile.mapping.request_of(asked, NOW)
    assert isinstance(request, Request), request
    reply = reply_for(request.kind) if result is Result.APPROVED else Reply(result)
    answer = profile.mapping.reply_message(asked, request, reply, NOW)
    if profile.mac is not None and profile.mac_required(answer):
        make_mac(profile.mac, answer, profile.codec, MacKey(line.session.key or b""))
    return profile.codec.encode(answer)


def tells_whose(profile: Profile) -> bool:
    return profile.transport.kind == "queue" or profile.transport.connection == "short"


@pytest.mark.parametrize("name", NAMES)
def test_the_platform_reads_what_the_bank_writes_as_the_bank_meant_it(name: str) -> None:
    profile = profile_of(name)
    line = line_of(profile)
    for ask in asks_of(profile, line):
        wanted = ask.request
        frame = line.frame_of(line.message_of(ask, NOW))
        found = profile.mapping.request_of(profile.codec.decode(frame), NOW)
        assert isinstance(found, Request), (wanted.kind, found)
        assert (found.kind, found.bank_number) == (wanted.kind, wanted.bank_number)
        if wanted.kind is not Kind.TOTALS:
            assert found.key == wanted.key
        if wanted.kind in MONEY_KINDS:
            assert (found.phone, found.amount_fen) == (wanted.phone, wanted.amount_fen)
            assert found.bill == wanted.bill
        if wanted.kind is Kind.TOTALS:
            assert (found.date, found.count, found.amount_fen) == (DATE, 3, 50_00)
            assert (found.reversed_count, found.reversed_fen) == (1, 10_00)
        assert found.own_serial == wanted.own_serial


@pytest.mark.parametrize("name", NAMES)
def test_both_codecs_write_and_read_the_same_messages_alike(name: str) -> None:
    """XML may be written in more than one way: there it counts that each reads the other's alike."""
    profile = profile_of(name)
    line = line_of(profile)
    bank, platform = bank_codec(profile.spec), profile.codec
    for ask in asks_of(profile, line):
        asked = line.frame_of(line.message_of(ask, NOW))
        frames = [asked, answered(profile, asked, Result.APPROVED, line)]
        frames.append(answered(profile, asked, Result.UNKNOWN, line))
        for frame in frames:
            message = platform.decode(frame)
            assert bank.decode(frame) == message
            assert platform.decode(bank.encode(message)) == message
            assert bank.decode(platform.encode(message)) == message
            if profile.spec["kind"] != "xml":
                assert platform.encode(message) == frame == bank.encode(message)


@pytest.mark.parametrize("name", NAMES)
def test_the_bank_reads_the_platforms_answer_and_finds_its_mac_right(name: str) -> None:
    profile = profile_of(name)
    for result in (Result.APPROVED, Result.NO_SUCH_PHONE, Result.UNKNOWN):
        line = line_of(profile)
        line.on_connected(NOW)
        for ask in asks_of(profile, line):
            frame = line.frame_of(line.message_of(ask, NOW))
            incoming = Incoming(answered(profile, frame, result, line), 7 if tells_whose(profile) else None)
            heard, said = line.on_frames([incoming], NOW)
            assert said == []
            assert [(item.ticket, item.code) for item in heard] == [(7, profile.results.code_of(result))]
            assert (line.bad, line.unmatched) == (0, 0)
            if result is Result.APPROVED and ask.request.kind is Kind.OWED:
                assert heard[0].bills == BILLS
            if result is Result.APPROVED and ask.request.kind is Kind.RECHARGE:
                assert heard[0].order == "202607010001"


def amount_path(profile: Profile) -> str:
    rows = next(rows for rows in profile.table.transactions.values() if rows.kind == "recharge")
    return str({**profile.table.request.take, **rows.take}["amount_fen"]).partition("|")[0]


def with_another_amount(profile: Profile, frame: bytes) -> bytes:
    message = profile.codec.decode(frame)
    amount = get_path(message, amount_path(profile))
    assert "5" in amount
    put_path(message, amount_path(profile), amount.replace("5", "6", 1))
    return profile.codec.encode(message)


def with_another_result(profile: Profile, frame: bytes) -> bytes:
    message = profile.codec.decode(frame)
    put_path(message, profile.table.reply.result, profile.results.code_of(Result.NO_SUCH_PHONE))
    return profile.codec.encode(message)


@pytest.mark.parametrize("name", NAMES)
def test_the_platform_finds_the_banks_mac_right_and_that_of_another_amount_wrong(name: str) -> None:
    profile = profile_of(name)
    assert profile.mac is not None
    line = line_of(profile)
    key = MacKey(line.session.key or b"")
    for ask in asks_of(profile, line):
        frame = line.frame_of(line.message_of(ask, NOW))
        message = profile.codec.decode(frame)
        assert profile.mac_required(message)
        assert verify_mac(profile.mac, message, profile.codec, [key], frame) is key
        if ask.request.kind is Kind.RECHARGE:
            changed = with_another_amount(profile, frame)
            with pytest.raises(MacError):
                verify_mac(profile.mac, profile.codec.decode(changed), profile.codec, [key], changed)


@pytest.mark.parametrize("name", NAMES)
def test_the_bank_takes_a_changed_answer_or_rubbish_for_no_answer(name: str) -> None:
    profile = profile_of(name)
    line = line_of(profile)
    ask = next(ask for ask in asks_of(profile, line) if ask.request.kind is Kind.RECHARGE)
    answer = answered(profile, line.frame_of(line.message_of(ask, NOW)), Result.APPROVED, line)
    ticket = 7 if tells_whose(profile) else None
    assert line.on_frames([Incoming(with_another_result(profile, answer), ticket)], NOW) == ([], [])
    assert line.bad == 1
    assert line.on_frames([Incoming(b"rubbish"), Incoming(b"")], NOW) == ([], [])
    assert line.bad == 2


def test_xml_with_a_document_type_or_an_unknown_charset_is_refused() -> None:
    codec = bank_codec(profile_of("icbc").spec)
    for text in (
        '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><Message>&b;</Message>',
        '<?xml version="1.0" encoding="klingon"?><Message/>',
        "<Message><Head>",
        "<Other/>",
        "<Message><Head><Nothing>1</Nothing></Head></Message>",
        "<Message><Mac>1</Mac><Mac>2</Mac></Message>",
    ):
        with pytest.raises(BankCodecError):
            codec.decode(text.encode())


def test_a_kind_of_messages_that_nobody_speaks_is_refused() -> None:
    wrong: dict[str, Any]
    for wrong in ({}, {"kind": "asn1"}, {"kind": "iso8583"}, {"kind": "iso8583", "fields": {}}):
        with pytest.raises(BankCodecError):
            bank_codec(wrong)
