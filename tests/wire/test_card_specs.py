"""The shipped card dialects besides CUPS: published MAC input, messages drawn in bytes, what they hide."""

import tomllib
from dataclasses import replace
from functools import cache
from pathlib import Path

import iso8583
import psec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qianzhi.wire.codec import load_codec
from qianzhi.wire.errors import MacError, RemoteProtocolError
from qianzhi.wire.framing import FrameReader, FrameSpec, frame
from qianzhi.wire.mac import MacSpec, compute_mac, make_mac, verify_mac
from qianzhi.wire.mackey import MacKey

CONFIG = Path(__file__).resolve().parents[2] / "config"
SINGLE = MacKey(bytes.fromhex("0123456789ABCDEF"))
DOUBLE = MacKey(bytes.fromhex("0123456789ABCDEFFEDCBA9876543210"))
PHONE = "13800000000"
BANKS = ["boc", "psbc", "nb_ccb", "unionpay_web"]


@cache
def dialect(bank):
    """Return a bank's codec and its rules for MACs, both as they are shipped."""
    profile = tomllib.loads((CONFIG / "banks" / f"{bank}.toml").read_text(encoding="utf-8"))
    file = CONFIG / "specs" / f"{profile['message']['spec']}.toml"
    codec, problems = load_codec(tomllib.loads(file.read_text(encoding="utf-8")), file.name)
    assert problems == []
    return codec, MacSpec(**profile["mac"])


def ascii_field(size, prefix=0):
    return {"data_enc": "ascii", "len_enc": "ascii", "len_type": prefix, "max_len": size, "desc": ""}


# -- boc: fields concatenated, hex bitmap --

BOC = {
    "mti": "0210",
    "pan": "4563516991068012009",
    "processing_code": "200000",
    "amount": "000000030000",
    "stan": "010001",
    "local_time": "090925",
    "local_date": "0523",
    "acquirer": "040000",
    "authorization": "036048",
    "response_code": "00",
    "terminal": "12345678",
    "currency": "156",
}


def test_the_published_input_gives_the_worked_mac_after_a_way_over_the_wire():
    codec, spec = dialect("boc")
    paths = spec.lists["default"]
    published = [name for name in BOC if name != "mti"]
    assert paths[: len(published)] == published  # what we added follows
    message = codec.decode(codec.encode(BOC))
    theirs = replace(spec, lists={"default": published})
    assert compute_mac(theirs, message, codec, SINGLE) == b"74AE4E1F00000000"
    make_mac(spec, message, codec, SINGLE)
    body = codec.encode(message)
    assert body[:20] == b"0210" + b"7038000106808001"
    assert body[-8:] == b"0" * 8
    assert verify_mac(spec, codec.decode(body), codec, [SINGLE], body) is SINGLE


@pytest.mark.parametrize(
    ("path", "value"), [("amount", "000000030001"), ("original", {"stan": "000001", "date": "0523"})]
)
def test_what_moves_money_is_under_the_mac(path, value):
    codec, spec = dialect("boc")
    message = {**BOC, "private": {"phone": PHONE}}
    make_mac(spec, message, codec, SINGLE)
    with pytest.raises(MacError):
        verify_mac(spec, {**message, path: value}, codec, [SINGLE])
    with pytest.raises(MacError):
        verify_mac(spec, {**message, "private": {"phone": "13800000001"}}, codec, [SINGLE])


def test_an_independent_codec_reads_the_message_of_characters():
    codec, _ = dialect("boc")
    peer = {"h": ascii_field(0), "t": ascii_field(4), "p": ascii_field(16), "1": ascii_field(16)}
    sizes = {2: 19, 3: 6, 4: 12, 11: 6, 12: 6, 13: 4, 32: 11, 38: 6, 39: 2, 41: 8, 49: 3}
    peer |= {str(n): ascii_field(size, 2 if n in (2, 32) else 0) for n, size in sizes.items()}
    theirs, _ = iso8583.decode(codec.encode(BOC), peer)
    assert [theirs[str(n)] for n in sizes] == list(BOC.values())[1:]


# -- psbc: the message shows its own end --

TOTALS = {
    "mti": "0500",
    "processing_code": "091004",
    "transmission_time": "1121235900",
    "stan": "000009",
    "settlement_date": "1121",
    "acquirer": "0403",
    "paid_count": "0000000002",
    "reversed_count": "0000000001",
    "paid_amount": "0000000000003000",
    "reversed_amount": "0000000000001000",
    "mac": "0123456789ABCDEF",
}


def test_text_with_two_bitmaps_shows_its_own_end():
    codec, _ = dialect("psbc")
    body = codec.encode(TOTALS)
    assert body[:36] == b"0500" + b"A222000100000000" + b"0060060000000001"
    spec = FrameSpec(kind="message", frame_bytes_max=4096)
    assert frame(spec, body) == body
    reader = FrameReader(spec, codec.measure)
    for at in range(len(body) - 1):
        assert reader.receive_data(body[at : at + 1]) == []
    assert reader.receive_data(body[-1:] + body) == [body, body]
    reader.eof()
    assert reader.receive_data(body[:50]) == []
    with pytest.raises(RemoteProtocolError):
        reader.eof()


@pytest.mark.parametrize("stream", [b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x02\x00", b"0200" + b"Z" * 16])
def test_another_protocol_is_told_at_once(stream):
    codec, _ = dialect("psbc")
    with pytest.raises(RemoteProtocolError):
        FrameReader(FrameSpec(kind="message"), codec.measure).receive_data(stream)


def test_the_mac_covers_the_whole_text_before_it():
    codec, spec = dialect("psbc")
    message = {name: value for name, value in TOTALS.items() if name != "mac"}
    make_mac(spec, message, codec, SINGLE)
    body = codec.encode(message)
    assert codec.covered(body, "mac", "before") == body[:-16]
    theirs = psec.mac.generate_cbc_mac(SINGLE.material * 2, body[:-16], 1)
    assert message["mac"] == theirs.hex().upper()
    assert verify_mac(spec, codec.decode(body), codec, [SINGLE], body) is SINGLE


# -- nb_ccb: packed, behind a TPDU --

HEADER = {
    "protocol": "60",
    "destination": "0003",
    "origin": "0125",
    "application": "60",
    "version": "31",
    "state": "00",
    "minor": "311903",
}


def test_a_packed_recharge_stands_as_drawn():
    codec, spec = dialect("nb_ccb")
    message = {
        "header": HEADER,
        "mti": "0200",
        "processing_code": "000000",
        "amount": "000000005000",
        "stan": "000123",
        "local_date": "1121",
        "entry_mode": "012",
        "terminal": "00000001",
        "batch": {"type": "22", "number": "000001", "code": "000"},
        "private": {"phone": PHONE},
    }
    make_mac(spec, message, codec, DOUBLE)
    body = codec.encode(message)
    drawn = ["60", "0003", "0125", "60", "31", "00", "311903", "0200", "3028040000800013", "000000"]
    drawn += ["000000005000", "000123", "1121", "0120", b"00000001".hex(), "0011", "220000010000"]
    drawn += ["0011", PHONE.encode().hex(), message["mac"].hex()]
    assert body.hex() == "".join(drawn)
    assert codec.decode(body) == message
    assert verify_mac(spec, codec.decode(body), codec, [DOUBLE], body) is DOUBLE
    assert codec.covered(body, "mac", "before") == body[11:-8]
    assert message["mac"].decode("ascii").isalnum()


def test_the_header_is_not_under_the_mac_and_everything_else_is():
    codec, spec = dialect("nb_ccb")
    message = {"header": HEADER, "mti": "0200", "stan": "000123", "private": {"phone": PHONE}}
    make_mac(spec, message, codec, DOUBLE)
    body = codec.encode(message)
    for at in range(len(body) - 8):
        changed = body[:at] + bytes((body[at] ^ 1,)) + body[at + 1 :]
        try:
            again = codec.decode(changed)
        except RemoteProtocolError:
            continue
        if at < 11:
            assert verify_mac(spec, again, codec, [DOUBLE], changed) is DOUBLE
        else:
            with pytest.raises(MacError):
                verify_mac(spec, again, codec, [DOUBLE], changed)


def whole_message(bank):
    """Return a message with everything in it that the dialect keeps secret."""
    key, check = b"\x12\x34\x56\x78\x9a\xbc\xde\xf0", b"\x77" * 4
    values = {"pan": "6225561620345170", "private": {"phone": PHONE}, "track2": "6225561620345170=2512"}
    values |= {"name": "张三丰", "keys": {"mac_key": key, "mac_check": check}, "pin": b"\x55" * 8}
    if bank == "unionpay_web":
        values["private"] = {"PZ": {"number_type": "01", "number": PHONE}}
        values["header"] = {"destination": "00010000", "source": "09013310"}
    if bank == "nb_ccb":
        values["keys"] = {"pin_key": key * 2, "pin_check": check, "mac_key": key * 2, "mac_check": check}
        values["header"] = HEADER
    known = {path.partition(".")[0] for path in dialect(bank)[0].paths()}
    return {"mti": "0200", **{name: value for name, value in values.items() if name in known}}


@pytest.mark.parametrize("bank", BANKS)
def test_no_secret_of_these_dialects_is_shown(bank):
    codec, _ = dialect(bank)
    body = codec.encode(whole_message(bank))
    masked = codec.mask(body)
    shown = "".join(view.value for view in codec.describe(body)) + masked.decode("gbk", "replace")
    shown += masked.hex().upper() + masked.decode("ascii", "replace")
    for canary in ("61620345", "80000000", "张三", "123456789ABCDEF0", "5555555555"):
        assert canary not in shown, canary
    assert codec.describe(masked) == codec.describe(body)


@pytest.mark.parametrize("bank", BANKS)
@settings(max_examples=150)
@given(data=st.data())
def test_damaged_messages_decode_or_raise_the_declared_error(bank, data):
    codec, _ = dialect(bank)
    body = bytearray(codec.encode(whole_message(bank)))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
        body = body or bytearray(b"0")
    for read in (codec.decode, codec.measure):
        try:
            message = read(bytes(body))
        except RemoteProtocolError:
            continue
        if read == codec.decode:
            assert codec.decode(codec.encode(message)) == message
    assert len(codec.mask(bytes(body))) == len(body)
    codec.describe(bytes(body))
