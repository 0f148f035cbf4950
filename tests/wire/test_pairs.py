"""Named values: percent-encoding against the standard library's, any order in, one order out."""

from urllib.parse import parse_qsl, quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianzhi.wire.codec import load_codec
from qianzhi.wire.errors import EncodeError, Reason, RemoteProtocolError

TREE = {
    "kind": "pairs",
    "charset": "gbk",
    "header": [
        {"name": "code", "tag": "TxCode", "type": "an", "length": 6},
        {"name": "result", "type": "an", "length": 4},
    ],
    "bodies": [
        {
            "name": "asked",
            "when": {"code": "*", "result": ""},
            "parts": [
                {"name": "phone", "type": "ans", "length": 11, "sensitive": "phone"},
                {"name": "name", "type": "ans", "length": 20, "sensitive": "name"},
                {"name": "note", "type": "ans", "length": 20},
            ],
        },
        {
            "name": "told",
            "when": {"code": "*", "result": "0000"},
            "parts": [
                {
                    "name": "bills",
                    "layout": "repeat",
                    "inner": [";", ","],
                    "entries_max": 2,
                    "parts": [
                        {"name": "no", "type": "an", "length": 5},
                        {"name": "item", "type": "ans", "length": 8, "sensitive": "secret"},
                    ],
                }
            ],
        },
    ],
    "trailer": [{"name": "sign", "type": "an", "length": 40}],
}
MESSAGE = {
    "code": "C1",
    "body": {"phone": "18200001234", "name": "张三", "note": "a&b=c +%"},
    "sign": "AB12",
}
WIRE = b"TxCode=C1&phone=18200001234&name=%D5%C5%C8%FD&note=a%26b%3Dc%20%2B%25&sign=AB12"


@pytest.fixture(scope="module")
def codec():
    found, problems = load_codec(TREE, "spec.toml")
    assert problems == []
    return found


def error_of(codec, body):
    with pytest.raises(RemoteProtocolError) as caught:
        codec.decode(body)
    return caught.value


def test_values_are_written_in_order_and_read_in_any(codec):
    assert codec.encode(MESSAGE) == WIRE
    assert codec.decode(WIRE) == MESSAGE
    assert codec.decode(b"&".join(reversed(WIRE.split(b"&")))) == MESSAGE
    assert codec.decode(WIRE.replace(b"%20", b"+").replace(b"%D5%C5", b"%d5%c5")) == MESSAGE
    assert codec.decode(WIRE.replace(b"AB12", b"")) == {k: MESSAGE[k] for k in ("code", "body")}


@given(st.text(st.characters(codec="gbk", exclude_categories=["C", "Z"]), min_size=1, max_size=10))
def test_percent_encoding_is_the_standard_one(text):
    codec, _ = load_codec(TREE, "spec.toml")
    wire = codec.encode({"code": "C1", "body": {"note": text}})
    assert wire == f"TxCode=C1&note={quote(text, safe='', encoding='gbk')}".encode()
    assert dict(parse_qsl(wire.decode("ascii"), encoding="gbk"))["note"] == text
    assert codec.decode(wire)["body"] == {"note": text}


def test_a_list_is_one_value(codec):
    bills = [{"no": "1", "item": "月租"}, {"no": "2"}]
    wire = codec.encode({"code": "C1", "result": "0000", "body": {"bills": bills}})
    assert wire == b"TxCode=C1&result=0000&bills=" + quote("1,月租;2,", safe="", encoding="gbk").encode()
    assert codec.decode(wire)["body"] == {"bills": bills}
    for bad in ("1,2;3;", "1", "1,2,3", "1,a;2,b;3,c"):
        error = error_of(codec, b"TxCode=C1&result=0000&bills=" + bad.encode())
        assert error.field.startswith("body.bills")
    with pytest.raises(EncodeError, match=r"body\.bills\.item"):
        codec.encode({"code": "C1", "result": "0000", "body": {"bills": [{"item": "a;b"}]}})


@pytest.mark.parametrize(
    ("body", "field", "offset", "reason"),
    [
        (b"", "message", 0, Reason.UNREADABLE),
        (b"TxCode=C1&", "message", 10, Reason.UNREADABLE),
        (b"TxCode=C1&phone", "message", 10, Reason.UNREADABLE),
        (b"TxCode=C1&sign=1&sign=2", "message", 17, Reason.FORBIDDEN),
        (b"TxCode=C1&colour=red", "body", 10, Reason.FORBIDDEN),
        (b"TxCode=C1&bills=1,2", "body", 10, Reason.FORBIDDEN),
        (b"TxCode=%C", "TxCode", 7, Reason.VALUE),
        (b"TxCode=C\xd5", "TxCode", 8, Reason.VALUE),
        (b"TxCode=C1&note=%D5", "body.note", 15, Reason.VALUE),
        (b"TxCode=C1&note=%0A", "body.note", 15, Reason.VALUE),
        (b"TxCode=C1&phone=123456789012", "body.phone", 16, Reason.LENGTH_TOO_LARGE),
    ],
)
def test_what_is_wrong_is_named_with_its_place(codec, body, field, offset, reason):
    error = error_of(codec, body)
    assert (error.field.replace("code", "TxCode"), error.offset, error.reason) == (field, offset, reason)


def test_what_cannot_be_written_is_named(codec):
    for message, path in [
        ({"colour": "red"}, "colour"),
        ({"code": "C1", "body": {"colour": "red"}}, "body.colour"),
        ({"result": "9", "body": {"note": "x"}}, "body"),
        ({"code": "C1", "body": {"note": "\U0001f600"}}, "body.note"),
        ({}, "message"),
    ]:
        with pytest.raises(EncodeError) as caught:
            codec.encode(message)
        assert caught.value.path == path


def test_a_body_that_nothing_calls_for_is_kept_unread(codec):
    wire = b"result=9999&card=6225561620345170&sign=A"
    read = codec.decode(wire)
    assert read == {"result": "9999", "body": {"unread": b"card=6225561620345170"}, "sign": "A"}
    assert codec.decode(codec.encode(read)) == read
    assert b"6225" not in codec.mask(wire)


def test_the_bytes_of_a_value_and_around_it(codec):
    assert codec.field_bytes("body.name", MESSAGE, False) == "张三".encode("gbk")
    assert codec.field_bytes("code", MESSAGE, True) == b"TxCode=C1"
    assert codec.field_bytes("body.bills.0.no", {"body": {"bills": [{"no": "7"}]}}, False) == b"7"
    assert codec.field_bytes("result", MESSAGE, True) is None
    assert codec.field_bytes("body", MESSAGE, False) == WIRE[10:-10]
    assert codec.covered(WIRE, "sign", "before") == WIRE[:-4]
    assert codec.covered(WIRE, "code", "after") == WIRE[9:]
    with pytest.raises(EncodeError):
        codec.covered(WIRE, "result", "after")
    with pytest.raises(RemoteProtocolError):
        codec.measure(WIRE)


def test_a_dump_is_masked(codec):
    assert codec.mask(WIRE) == WIRE.replace(b"18200001234", b"182****1234").replace(
        b"%D5%C5%C8%FD", b"*" * 12
    )
    values = {view.path: view.value for view in codec.describe(codec.mask(WIRE))}
    assert values == {
        "code": "C1",
        "body.phone": "182****1234",
        "body.name": "*" * 12,
        "body.note": "a&b=c +%",
        "sign": "AB12",
    }
    assert [view.tag for view in codec.describe(b"TxCode=C1&colour=red")] == ["TxCode", "", "!"]
    assert b"red" not in codec.mask(b"TxCode=C1&colour=red&red")


@given(st.integers(0, 80), st.binary(max_size=2))
def test_a_damaged_message_shows_no_secret(at, inserted):
    codec, _ = load_codec(TREE, "spec.toml")
    body = {"phone": "Q7Q7Q7Q7Q7Q", "name": "ZWZWZWZWZW", "note": "ok"}
    wire = codec.encode({"code": "C1", "body": body, "sign": "AB" * 8})
    damaged = wire[:at] + inserted + wire[at + 1 :]
    masked, shown = codec.mask(damaged), repr(codec.describe(damaged))
    assert len(masked) == len(damaged)
    for canary in ("Q7Q7Q7", "ZWZWZ"):
        assert canary.encode() not in masked
        assert canary not in shown
