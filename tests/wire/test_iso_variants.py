"""ISO 8583 in BCD, EBCDIC and hex, with three bitmaps, against pyiso8583; what stands inside what."""

import copy
from functools import cache
from itertools import product

import iso8583
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qianzhi.wire.codec import load_codec
from qianzhi.wire.errors import Reason, RemoteProtocolError

RANDOMS = st.randoms(use_true_random=True)
DIGITS = "0123456789"

# our encoding -> pyiso8583's data_enc, what it counts in, and the side of its filler
DATA = {
    "ascii": ("ascii", "bytes", ""),
    "ebcdic": ("cp500", "bytes", ""),
    "utf-8": ("utf-8", "bytes", ""),
    "bcd": ("b", "nibbles", "left_pad"),
    "bcd_left": ("b", "nibbles", "right_pad"),
    "raw": ("b", "bytes", ""),
    "hex": ("ascii", "bytes", ""),
}
PREFIXES = {
    "fixed": ("ascii", 0),
    "L": ("ascii", 1),
    "LL": ("ascii", 2),
    "LLL": ("ascii", 3),
    "LLLL": ("ascii", 4),
    "LL_bcd": ("bcd", 1),
    "LLL_bcd": ("bcd", 2),
    "LL_ebcdic": ("cp500", 2),
    "LLL_ebcdic": ("cp500", 3),
    "binary_1": ("b", 1),
    "binary_2": ("b", 2),
}
KINDS = [("n", one) for one in ("ascii", "bcd", "bcd_left", "ebcdic")]
KINDS += [("z", "bcd"), ("z", "bcd_left"), ("ans", "ascii"), ("ans", "ebcdic"), ("ans", "utf-8")]
KINDS += [("b", "raw"), ("b", "hex")]
MTI = {"ascii": "ascii", "bcd": "b", "ebcdic": "cp500"}
BITMAP = {"binary": "b", "hex": "ascii", "hex_ebcdic": "cp500"}


def shared_fields():
    """Every type, encoding and prefix that both codecs have: an odd fixed length and an odd greatest one."""
    combos = list(product(KINDS, PREFIXES))
    known = [n for n in range(2, 193) if n != 65]
    numbers = [known[at * len(known) // len(combos)] for at in range(len(combos))]
    fields, peers = {}, {}
    for number, ((kind, encoding), prefix) in zip(numbers, combos, strict=True):
        length = 4 if encoding == "hex" and prefix == "L" else 7
        row = {"name": f"f{number}", "title": "t", "type": kind, "encoding": encoding, "length": length}
        fields[str(number)] = row | ({"prefix": prefix} if prefix != "fixed" else {})
        data, count, pad = DATA[encoding]
        peers[str(number)] = {
            "data_enc": data,
            "len_enc": PREFIXES[prefix][0],
            "len_type": PREFIXES[prefix][1],
            "len_count": count,
            "max_len": length * 2 if encoding == "hex" else length,
            "desc": "t",
        } | ({pad: "0"} if pad else {})
    return fields, peers


FIELDS, PEERS = shared_fields()


@cache
def ours(mti, bitmap):
    tree = {"kind": "iso8583", "name": "x", "bitmap": bitmap, "bitmaps_max": 3, "defaults": {"mti": mti}}
    codec, problems = load_codec({**tree, "fields": FIELDS}, "x.toml")
    assert problems == []
    return codec


def theirs(mti, bitmap):
    def row(data, size):
        return {"data_enc": data, "len_enc": "ascii", "len_type": 0, "max_len": size, "desc": ""}

    size = 8 if bitmap == "binary" else 16
    heads = {"h": row("b", 0), "t": row(MTI[mti], 2 if mti == "bcd" else 4)}
    return heads | {"p": row(BITMAP[bitmap], size), "1": row(BITMAP[bitmap], size), **PEERS}


def value_of(row, rng):
    fixed, length = "prefix" not in row, row["length"]
    units = length if fixed else rng.randint(1, length)
    if row["type"] == "b":
        return rng.randbytes(units)
    if row["type"] == "ans":
        return "".join(rng.choices("ABCxyz09", k=units))
    return "".join(rng.choices(DIGITS + ("=" if row["type"] == "z" else ""), k=units))


def peer_value(row, value):
    if row["type"] == "b":
        return value.hex().upper()
    return value.replace("=", "D") if row["encoding"] in ("bcd", "bcd_left") else value


def message_of(rng):
    numbers = rng.sample(sorted(FIELDS), rng.randint(0, 30))
    values = {number: value_of(FIELDS[number], rng) for number in numbers}
    return {"mti": "".join(rng.choices(DIGITS, k=4)), **{f"f{n}": v for n, v in values.items()}}, values


@pytest.mark.parametrize("mti", MTI)
@pytest.mark.parametrize("bitmap", BITMAP)
@settings(max_examples=20)
@given(rng=RANDOMS)
def test_an_independent_codec_writes_and_reads_the_same_bytes(mti, bitmap, rng):
    codec, spec = ours(mti, bitmap), theirs(mti, bitmap)
    message, values = message_of(rng)
    body = codec.encode(message)
    decoded = {"t": message["mti"], **{n: peer_value(FIELDS[n], v) for n, v in values.items()}}
    assert bytes(iso8583.encode(copy.deepcopy(decoded), spec)[0]) == body
    read, _ = iso8583.decode(body, spec)
    assert {n: read[n] for n in values} == {n: decoded[n] for n in values}
    assert codec.decode(body) == message
    assert codec.measure(body + b"\0" * 3) == len(body)


@pytest.mark.parametrize(("mti", "bitmap"), [("ascii", "hex"), ("bcd", "binary"), ("ebcdic", "hex_ebcdic")])
@settings(max_examples=40)
@given(rng=RANDOMS)
def test_damaged_bytes_decode_or_raise_the_declared_error(mti, bitmap, rng):
    codec = ours(mti, bitmap)
    body = bytearray(codec.encode(message_of(rng)[0]))
    for _ in range(rng.randint(1, 4)):
        body[rng.randrange(len(body))] = rng.randrange(256)
    if rng.random() < 0.5:
        del body[rng.randrange(len(body)) :]
    try:
        message = codec.decode(bytes(body))
    except RemoteProtocolError:
        message = {"mti": "0000"}
    codec.encode(message)
    assert len(codec.mask(bytes(body))) == len(body)
    codec.describe(bytes(body))


# -- bitmaps --


@given(rng=RANDOMS)
def test_the_third_bitmap_stands_behind_the_second(rng):
    codec = ours("ascii", "hex")
    third = next(n for n in FIELDS if int(n) > 128)
    value = value_of(FIELDS[third], rng)
    body = codec.encode({"mti": "0200", "f2": "1234567", f"f{third}": value})
    bit = f"{1 << (192 - int(third)):016X}".encode()
    assert body[:52] == b"0200" + b"C000000000000000" + b"8000000000000000" + bit
    assert body[52:59] == b"1234567"


def test_a_bitmap_announces_only_what_the_dialect_has():
    field = {"name": "a", "title": "", "type": "n", "length": 7}
    one = {"kind": "iso8583", "name": "x", "bitmaps_max": 1, "fields": {"2": field}}
    codec, problems = load_codec(one, "x.toml")
    assert problems == []
    with pytest.raises(RemoteProtocolError) as caught:
        codec.decode(b"0200" + bytes.fromhex("C000000000000000") + b"0" * 20)
    assert (caught.value.number, caught.value.reason) == (1, Reason.FORBIDDEN)
    assert load_codec({**one, "fields": {"66": field}}, "x.toml")[1]
    two, problems = load_codec({**one, "bitmaps_max": 2}, "x.toml")
    assert problems == []
    with pytest.raises(RemoteProtocolError) as caught:
        two.decode(b"0200" + bytes.fromhex("8000000000000000" + "8" + "0" * 31))
    assert caught.value.number == 65
    with pytest.raises(RemoteProtocolError) as caught:
        two.decode(b"0200" + bytes.fromhex("8000000000000000" + "0" * 15 + "1"))
    assert caught.value.number == 128


@pytest.mark.parametrize(
    "wrong", [b"4 00000000000000", b"4G00000000000000", b"+400000000000000", b"4_0000000000000"]
)
def test_a_hex_bitmap_is_hex(wrong):
    with pytest.raises(RemoteProtocolError) as caught:
        ours("ascii", "hex").decode(b"0200" + wrong + b"1234567")
    assert caught.value.field == "bitmap"


def test_a_lower_case_bitmap_is_read():
    codec = ours("ascii", "hex")
    message = {"mti": "0200", "f5": "1", "f6": "12"}
    body = codec.encode(message)
    assert body[4:8] == b"0C00"
    assert codec.decode(body[:4] + body[4:20].lower() + body[20:]) == message


def test_the_reference_input_of_a_concatenated_mac():
    """Thirteen values in a row, as the bank-private dialect has them: no separators, no length digits."""
    lengths = {2: 19, 3: 6, 4: 12, 11: 6, 12: 6, 13: 4, 32: 11, 38: 6, 39: 2, 41: 8, 49: 3}
    fields = {
        str(n): {"name": f"f{n}", "title": "", "type": "n", "length": size} for n, size in lengths.items()
    }
    fields["2"]["prefix"] = fields["32"]["prefix"] = "LL"
    codec, problems = load_codec({"kind": "iso8583", "name": "x", "bitmap": "hex", "fields": fields}, "x")
    assert problems == []
    values = ["4563516991068012009", "200000", "000000030000", "010001", "090925", "0523", "040000"]
    values += ["036048", "00", "12345678", "156"]
    message = {"mti": "0200", **{f"f{n}": value for n, value in zip(lengths, values, strict=True)}}
    again = codec.decode(codec.encode(message))
    parts = [codec.field_bytes(f"f{n}", again, with_prefix=False) for n in lengths]
    assert b"".join(parts).decode() == "".join(values)
    assert len("".join(values)) == 78


# -- what is inside what --


def test_composites_and_tlv_stand_inside_composites_as_deep_as_wished():
    inner = {"name": "deep", "title": "", "layout": "parts", "prefix": "LL_bcd", "length": 60, "parts": [
        {"name": "count", "title": "", "type": "n", "encoding": "bcd", "length": 3},
        {"name": "chip", "title": "", "layout": "tlv", "prefix": "LL", "length": 40,
         "tags": {"5A": {"title": "PAN", "sensitive": "pan"}, "9F26": {"title": "ARQC"}}},
    ]}  # fmt: skip
    fields = {"48": {"name": "private", "title": "", "layout": "parts", "prefix": "LLL", "length": 200,
                     "parts": [
        {"name": "head", "title": "", "type": "an", "encoding": "ebcdic", "length": 2},
        inner,
        {"name": "list", "title": "", "layout": "repeat", "prefix": "LLL", "length": 90, "parts": [
            {"name": "code", "title": "", "type": "n", "length": 2},
            {"name": "text", "title": "", "type": "ans", "encoding": "gbk", "prefix": "LL", "length": 20},
        ]},
    ]}}  # fmt: skip
    codec, problems = load_codec({"kind": "iso8583", "name": "x", "fields": fields}, "x.toml")
    assert problems == []
    chip = {"5A": bytes.fromhex("6225561620345170"), "9F26": b"12345678", "DF01": b"secret!"}
    deep = {"count": "072", "chip": chip}
    entries = [{"code": "01", "text": "中文"}, {"code": "02", "text": "b"}]
    message = {"mti": "0200", "private": {"head": "AB", "deep": deep, "list": entries}}
    body = codec.encode(message)
    assert codec.decode(body) == message
    masked = codec.mask(body)
    assert codec.describe(masked) == codec.describe(body)
    for hidden in (b"secret!", bytes.fromhex("6225561620345170")[3:6]):
        assert hidden not in masked
    assert "private.deep.chip.9F26" in codec.paths()


def test_what_no_spec_lists_is_hidden_though_nothing_beside_it_is_secret():
    fields = {
        "55": {"name": "chip", "layout": "tlv", "prefix": "LLL", "length": 99, "tags": {"95": {}}},
        "48": {"name": "own", "title": "", "layout": "tagged", "prefix": "LLL", "length": 99, "cases": {
            "AA": {"title": "", "parts": [{"name": "x", "title": "", "type": "n", "length": 1}]}}},
    }  # fmt: skip
    codec, problems = load_codec({"kind": "iso8583", "name": "x", "fields": fields}, "x.toml")
    assert problems == []
    body = codec.encode({"mti": "0200", "chip": {"DF01": b"canary1"}, "own": {"ZZ": {"text": "canary2"}}})
    assert b"canary" not in codec.mask(body)
    assert "canary" not in repr(codec.describe(body))
