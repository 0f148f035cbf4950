"""The point-of-sale dialect of the public descriptions: TPDU, packed digits, keys in a field."""

import pytest

from qianzhi.wire.codec import load_codec
from qianzhi.wire.errors import EncodeError, RemoteProtocolError

POS = {
    "kind": "iso8583",
    "name": "pos",
    "header": "parts",
    "bitmaps_max": 1,
    "defaults": {"mti": "bcd", "digits": "bcd", "text": "ascii"},
    "header_parts": [
        {"name": "protocol", "title": "TPDU", "type": "b", "length": 1},
        {"name": "destination", "title": "", "type": "b", "length": 2},
        {"name": "origin", "title": "", "type": "b", "length": 2},
        {"name": "application", "title": "", "type": "n", "length": 2},
        {"name": "version", "title": "", "type": "n", "length": 10},
    ],
    "fields": {
        "2": {
            "name": "pan",
            "title": "",
            "type": "n",
            "encoding": "bcd_left",
            "prefix": "LL_bcd",
            "length": 19,
            "sensitive": "pan",
        },
        "22": {"name": "entry_mode", "title": "", "type": "n", "encoding": "bcd_left", "length": 3},
        "60": {
            "name": "own",
            "title": "",
            "layout": "parts",
            "encoding": "bcd_left",
            "prefix": "LLL_bcd",
            "length": 13,
            "open": True,
            "parts": [
                {"name": "type", "tag": "60.1", "title": "", "type": "n", "length": 2},
                {"name": "batch", "tag": "60.2", "title": "", "type": "n", "length": 6},
                {"name": "code", "tag": "60.3", "title": "", "type": "n", "length": 3},
                {"name": "capability", "tag": "60.4", "title": "", "type": "n", "length": 1},
            ],
        },
        "62": {
            "name": "keys",
            "title": "",
            "layout": "parts",
            "prefix": "LLL_bcd",
            "length": 60,
            "open": True,
            "parts": [
                {"name": "pin_key", "title": "", "type": "b", "length": 16, "sensitive": "secret"},
                {"name": "pin_check", "title": "", "type": "b", "length": 4},
                {"name": "mac_key", "title": "", "type": "b", "length": 16, "sensitive": "secret"},
                {"name": "mac_check", "title": "", "type": "b", "length": 4},
            ],
        },
        "64": {"name": "mac", "title": "", "type": "b", "length": 8},
    },
}
HEADER = {
    "protocol": b"\x60",
    "destination": b"\0\0",
    "origin": b"\0\x03",
    "application": "60",
    "version": "3100311903",
}
# the published sample of a sign-on's keys
SAMPLE_KEYS = bytes.fromhex(
    "6701EAD6A9AD51E51AA406E2C27FCFA98D0A74B8B651F9E9BACE9AE10000000000000000AB7153CA"
)


@pytest.fixture
def pos():
    codec, problems = load_codec(POS, "pos.toml")
    assert problems == []
    return codec


def test_tpdu_and_header_stand_as_published(pos):
    body = pos.encode({"header": HEADER, "mti": "0200", "entry_mode": "072"})
    assert body.hex() == "6000000003" + "603100311903" + "0200" + "0000040000000000" + "0720"
    assert pos.decode(body) == {"header": HEADER, "mti": "0200", "entry_mode": "072"}
    assert pos.paths() >= {"header.destination", "header.version", "own.code", "keys.mac_key"}
    assert pos.width("header.origin") == 2
    assert pos.binary("header.origin")


def test_parts_that_begin_in_the_middle_of_a_byte(pos):
    own = {"type": "00", "batch": "000001", "code": "004"}
    body = pos.encode({"header": HEADER, "mti": "0800", "own": own})
    assert body[21:].hex() == "0011" + "000000010040"
    assert pos.decode(body)["own"] == own
    longer = {**own, "capability": "6"}
    body = pos.encode({"header": HEADER, "mti": "0800", "own": longer})
    assert body[21:].hex() == "0012" + "000000010046"
    assert pos.decode(body)["own"] == longer
    views = {view.path: (view.offset, view.length) for view in pos.describe(body)}
    assert views["own.code"] == (27, 2)
    assert views["own.capability"] == (28, 1)


def test_an_error_inside_packed_parts_says_its_byte(pos):
    body = pos.encode({"header": HEADER, "mti": "0800", "own": {"type": "00", "batch": "000001"}})
    with pytest.raises(RemoteProtocolError) as caught:
        pos.decode(body[:24] + b"\x0a" + body[25:])
    assert (caught.value.field, caught.value.offset) == ("own.batch", 24)


def test_packed_parts_hold_only_digits(pos):
    with pytest.raises(EncodeError):
        pos.encode({"header": HEADER, "mti": "0800", "own": {"rest": "G1"}})


def test_the_published_key_field_is_read(pos):
    body = pos.encode({"header": HEADER, "mti": "0810"})
    body = body[:13] + bytes.fromhex("0000000000000004") + b"\x00\x40" + SAMPLE_KEYS
    keys = pos.decode(body)["keys"]
    assert keys["mac_key"].hex().upper() == "B651F9E9BACE9AE10000000000000000"
    assert (keys["pin_check"].hex().upper(), keys["mac_check"].hex().upper()) == ("8D0A74B8", "AB7153CA")
    assert pos.encode(pos.decode(body)) == body
    shown = " ".join(view.value for view in pos.describe(body))
    for masked in (pos.mask(body).hex().upper(), shown):
        assert "6701EAD6" not in masked
        assert "B651F9E9" not in masked
        assert "AB7153CA" in masked


def test_a_header_is_needed_and_nothing_else_is_one(pos):
    for header in (None, {}, {**HEADER, "more": "1"}, {**HEADER, "origin": b"1"}, {**HEADER, "version": "x"}):
        with pytest.raises(EncodeError, match="header"):
            pos.encode({"mti": "0200", **({} if header is None else {"header": header})})
    body = pos.encode({"header": HEADER, "mti": "0200", "pan": "6225561620345170123"})
    for cut in range(len(body)):
        with pytest.raises(RemoteProtocolError):
            pos.decode(body[:cut])
        assert pos.measure(body[:cut]) is None
        assert len(pos.mask(body[:cut])) == cut
        assert "45170" not in pos.mask(body[:cut]).hex() + repr(pos.describe(body[:cut]))


def test_what_a_mac_covers_begins_with_the_message_type(pos):
    message = {"header": HEADER, "mti": "0200", "entry_mode": "072", "mac": b"ABCDEFGH"}
    body = pos.encode(message)
    assert pos.covered(body, "mac", "before") == body[11:-8]
    assert pos.covered(body, "entry_mode", "after") == b"ABCDEFGH"
    with pytest.raises(EncodeError):
        pos.covered(body, "pan", "before")


# -- packed parts, and what their neighbours must not show --


def packed_field(encoding, *parts):
    rows = [{"name": name, "title": "", "type": "n", "length": size, **more} for name, size, more in parts]
    length = sum(size for _, size, _ in parts)
    field = {"name": "own", "title": "", "layout": "parts", "encoding": encoding, "length": length}
    tree = {"kind": "iso8583", "name": "x", "fields": {"60": {**field, "parts": rows}}}
    codec, problems = load_codec(tree, "x.toml")
    assert problems == []
    return codec


def test_a_filler_in_front_moves_every_part_by_half_a_byte():
    codec = packed_field("bcd", ("a", 1, {}), ("b", 2, {}))
    body = codec.encode({"mti": "0200", "own": {"a": "1", "b": "23"}})
    assert body[12:].hex() == "0123"
    assert {view.path: (view.offset, view.length) for view in codec.describe(body)}["own.b"] == (13, 1)
    with pytest.raises(RemoteProtocolError) as caught:
        codec.decode(body[:12] + b"\x01\xa3")
    assert (caught.value.field, caught.value.offset) == ("own.b", 13)


def test_a_secret_among_packed_parts_hides_them_all():
    codec = packed_field("bcd_left", ("a", 3, {}), ("b", 3, {"sensitive": "secret"}))
    body = codec.encode({"mti": "0200", "own": {"a": "123", "b": "456"}})
    assert body[12:].hex() == "123456"
    assert codec.mask(body)[12:] == b"***"
    assert "4" not in "".join(view.value for view in codec.describe(body) if view.path.startswith("own"))


def test_a_secret_part_of_a_header_is_starred():
    part = {"name": "card", "title": "", "type": "n", "length": 16, "sensitive": "pan"}
    field = {"name": "x", "title": "", "type": "n", "length": 4}
    codec, problems = load_codec(
        {**POS, "header_parts": [part], "defaults": {"mti": "ascii"}, "fields": {"2": field}}, "x.toml"
    )
    assert problems == []
    body = codec.encode({"header": {"card": "6225561620345170"}, "mti": "0200", "x": "1234"})
    assert codec.mask(body) == b"622556******5170" + body[16:]
    assert codec.describe(codec.mask(body)) == codec.describe(body)


def test_a_message_with_a_field_that_takes_the_rest_shows_no_end():
    field = {"name": "x", "title": "", "type": "n", "prefix": "rest", "length": 9}
    codec, problems = load_codec({"kind": "iso8583", "name": "x", "fields": {"2": field}}, "x.toml")
    assert problems == []
    with pytest.raises(RemoteProtocolError, match="end"):
        codec.measure(b"0200")
