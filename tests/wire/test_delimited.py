"""Delimited messages: columns by characters, not bytes; too many and too few; lists; endings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianzhi.wire.codec import load_codec
from qianzhi.wire.errors import EncodeError, Reason, RemoteProtocolError

BILLS = {
    "name": "bills",
    "layout": "repeat",
    "counted_by": "count",
    "entries_max": 2,
    "parts": [{"name": "no", "type": "an", "length": 5}, {"name": "owed", "type": "n", "length": 8}],
}
TREE = {
    "kind": "delimited",
    "charset": "gbk",
    "delimiter": "|",
    "ending": "\n",
    "message_bytes_max": 200,
    "header": [
        {"name": "code", "type": "n", "length": 6},
        {"name": "size", "type": "n", "length": 4, "computed": "body_bytes"},
        {"name": "result", "type": "an", "length": 4},
    ],
    "bodies": [
        {"name": "none", "when": {"code": "000001"}, "parts": []},
        {
            "name": "asked",
            "when": {"result": ""},
            "parts": [
                {"name": "phone", "type": "ans", "length": 11, "sensitive": "phone"},
                {"name": "name", "type": "ans", "length": 20, "sensitive": "name"},
                {"name": "count", "type": "n", "length": 2},
                BILLS,
                {"name": "note", "type": "ans", "length": 10, "clip": True},
            ],
        },
    ],
    "trailer": [{"name": "mac", "type": "an", "length": 32}],
}
TRAP = "倈"  # its second byte in GBK is the bar
MESSAGE = {
    "code": "030012",
    "body": {
        "phone": "18200001234",
        "name": "张" + TRAP,
        "bills": [{"no": "1", "owed": "500"}, {"no": "2"}],
        "note": "ok",
    },
    "mac": "AB" * 16,
}
WIRE = ("030012|0031||18200001234|张" + TRAP + "|02|1|500|2||ok|" + "AB" * 16 + "\n").encode("gbk")


@pytest.fixture(scope="module")
def codec():
    found, problems = load_codec(TREE, "spec.toml")
    assert problems == []
    return found


def error_of(codec, body):
    with pytest.raises(RemoteProtocolError) as caught:
        codec.decode(body)
    return caught.value


def test_the_trap_is_one():
    assert TRAP.encode("gbk")[1:] == b"|"


def test_columns_are_parted_by_characters(codec):
    assert codec.encode(MESSAGE) == WIRE
    read = codec.decode(WIRE)
    assert read["body"].pop("count") == "02"
    assert read.pop("size") == "0031"
    assert read == MESSAGE


def test_empty_columns_are_absent_values(codec):
    wire = codec.encode({"code": "030012"})
    assert wire == b"030012|0003||||||\n"
    assert codec.decode(wire) == {"code": "030012", "size": "0003"}


def test_a_body_without_columns_takes_none(codec):
    wire = codec.encode({"code": "000001", "mac": "00"})
    assert wire == b"000001|0000||00\n"
    assert codec.decode(wire) == {"code": "000001", "size": "0000", "mac": "00"}


@pytest.mark.parametrize(
    ("old", "new", "field", "reason"),
    [
        (b"\n", b"", "message", Reason.TOTAL_LENGTH),
        (b"|ok|", b"|", "size", Reason.TOTAL_LENGTH),
        (b"|ok|", b"|ok|ok|", "size", Reason.TOTAL_LENGTH),
        (b"0031", b"0039", "size", Reason.TOTAL_LENGTH),
        (b"0031", b"38x", "size", Reason.VALUE),
        (b"|02|", b"|03|", "body.bills", Reason.LENGTH_TOO_LARGE),
        (b"|02|", b"|01|", "body.note", Reason.TOTAL_LENGTH),
        (b"|02|", b"|0x|", "body.count", Reason.VALUE),
        (b"|500|", b"|5.0|", "body.bills.owed", Reason.VALUE),
        (b"18200001234", b"182000012345", "size", Reason.TOTAL_LENGTH),
        (b"AB\n", b"ABC\n", "mac", Reason.LENGTH_TOO_LARGE),
        ("张".encode("gbk"), b"\xd5\x20", "body.name", Reason.VALUE),
        ("张".encode("gbk"), b"\x00a", "body.name", Reason.VALUE),
    ],
)
def test_what_is_wrong_is_named(codec, old, new, field, reason):
    assert old in WIRE
    error = error_of(codec, WIRE.replace(old, new, 1))
    assert (error.field, error.reason) == (field, reason)


def test_too_few_and_too_many_columns_are_named_with_their_place():
    tree = {
        "kind": "delimited",
        "header": [{"name": name, "type": "ans", "length": 4} for name in ("one", "two")],
        "bodies": [{"name": "any", "parts": [{"name": "three", "type": "ans", "length": 4}]}],
    }
    codec, _ = load_codec(tree, "spec.toml")
    error = error_of(codec, b"a")
    assert (error.field, error.offset, error.reason) == ("two", 1, Reason.MISSING)
    error = error_of(codec, b"a|b")
    assert (error.field, error.offset, error.reason) == ("body.three", 3, Reason.MISSING)
    error = error_of(codec, b"a|b|c|d|e")
    assert (error.field, error.offset, error.found) == ("body.three", 6, "2 more")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"note": "a|b"}, "body.note"),
        ({"name": "a\n"}, "body.name"),
        ({"phone": "182000012345"}, "body.phone"),
        ({"bills": [{"no": "1|2"}]}, "body.bills.no"),
        ({"bills": [{}] * 3}, "body.bills"),
        ({"phone": "1" * 11, "note": "\ufffe"}, "body.note"),
    ],
)
def test_what_cannot_be_written_is_named(codec, body, path):
    with pytest.raises(EncodeError) as caught:
        codec.encode({"code": "030012", "body": body})
    assert caught.value.path == path


def test_a_value_may_hold_the_byte_of_the_bar_and_be_cut_before_it(codec):
    wire = codec.encode({"code": "030012", "body": {"note": "123456789" + TRAP}})
    assert codec.decode(wire)["body"] == {"note": "123456789"}


def test_the_ending_delimits_the_message(codec):
    assert codec.measure(WIRE + b"0300") == len(WIRE)
    assert codec.measure(WIRE[:-1]) is None
    with pytest.raises(RemoteProtocolError, match="at most 200 bytes"):
        codec.measure(b"0" * 201)


COLUMN = [{"name": "text", "type": "ans", "length": 9}]


def test_an_ending_before_the_end_is_refused_even_where_nothing_is_read():
    bare = {"kind": "delimited", "ending": "\n", "header": [{"name": "code", "type": "n", "length": 4}]}
    codec, problems = load_codec(
        {**bare, "bodies": [{"name": "a", "when": {"code": "1"}, "parts": COLUMN}]}, ""
    )
    assert problems == []
    assert codec.decode(b"9|free|text\n")["body"] == {"unread": b"free|text"}
    with pytest.raises(RemoteProtocolError, match="0A at the end alone"):
        codec.decode(b"9|free\ntext\n")


def test_a_column_of_blanks_is_written_as_it_was_read():
    codec, _ = load_codec({"kind": "delimited", "header": [*COLUMN, {**COLUMN[0], "name": "more"}]}, "")
    assert codec.decode(b"  |") == {"text": "  "}
    assert codec.encode({"text": "  "}) == b"  |"


def test_the_bytes_around_a_value(codec):
    assert codec.covered(WIRE, "mac", "before") == WIRE[: WIRE.index(b"ABAB")]
    assert codec.covered(WIRE, "mac", "after") == b"\n"
    assert codec.field_bytes("body.bills", MESSAGE, False) == b"1|500|2|"


def test_secrets_are_starred_by_characters_too(codec):
    masked = codec.mask(WIRE)
    assert masked == WIRE.replace(b"182000", b"182***").replace(b"***01234", b"****1234").replace(
        ("张" + TRAP).encode("gbk"), b"****"
    )
    assert [view.value for view in codec.describe(masked)] == [view.value for view in codec.describe(WIRE)]
    assert codec.field_bytes("body.name", MESSAGE, False) == ("张" + TRAP).encode("gbk")


@given(st.integers(0, 90), st.binary(max_size=2))
def test_a_damaged_message_shows_no_secret(at, inserted):
    codec, _ = load_codec(TREE, "spec.toml")
    body = {"phone": "Q7Q7Q7Q7Q7Q", "name": "秘密Z9Z9", "note": "ok"}
    wire = codec.encode({"code": "030012", "body": body, "mac": "AB" * 16})
    damaged = wire[:at] + inserted + wire[at + 1 :]
    masked = codec.mask(damaged)
    shown = repr(codec.describe(damaged))
    assert len(masked) == len(damaged)
    assert b"Q7Q7Q7" not in masked
    assert "秘密".encode("gbk") not in masked
    assert "Q7Q7Q7" not in shown
    assert "秘密" not in shown
