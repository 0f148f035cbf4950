"""Fixed messages: places in bytes, blanks, lists, sizes, and bodies by what the header says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianzhi.wire.codec import load_codec
from qianzhi.wire.errors import EncodeError, Reason, RemoteProtocolError

HEADER = [
    {"name": "total", "type": "n", "length": 6, "computed": "total_bytes"},
    {"name": "code", "type": "n", "length": 6},
    {"name": "result", "type": "an", "length": 4},
]
ASKED = [
    {"name": "phone", "type": "ans", "length": 11, "sensitive": "phone"},
    {"name": "name", "type": "ans", "length": 9, "sensitive": "name"},
    {"name": "amount", "type": "n", "length": 8, "padding": "spaces_left"},
    {"name": "count", "type": "n", "length": 2},
    {
        "name": "bills",
        "layout": "repeat",
        "counted_by": "count",
        "entries_max": 3,
        "parts": [
            {"name": "no", "type": "an", "length": 5},
            {"name": "card", "type": "n", "length": 16, "sensitive": "pan"},
        ],
    },
]
TREE = {
    "kind": "fixed",
    "charset": "gbk",
    "header": HEADER,
    "bodies": [
        {"name": "asked", "when": {"code": ["030012", "030013"], "result": ""}, "parts": ASKED},
        {
            "name": "told",
            "when": {"result": "*"},
            "layout": "delimited",
            "parts": [
                {"name": "order", "type": "an", "length": 12},
                {"name": "text", "type": "ans", "length": 20},
            ],
        },
    ],
    "trailer": [{"name": "mac", "type": "an", "length": 8}],
}
BILL = {"no": "00001", "card": "6225561620345170"}
MESSAGE = {
    "code": "030012",
    "body": {"phone": "18200001234", "name": "张三", "amount": "5000", "bills": [BILL, BILL]},
    "mac": "0123ABCD",
}
WIRE = (
    "000096030012    18200001234张三         5000020000162255616203451700000162255616203451700123ABCD".encode(
        "gbk"
    )
)


def compiled(tree):
    codec, problems = load_codec(tree, "spec.toml")
    assert problems == []
    return codec


def one_part(**part):
    return compiled({"kind": "fixed", "charset": "gb18030", "header": [{"name": "value", **part}]})


def error_of(codec, body):
    with pytest.raises(RemoteProtocolError) as caught:
        codec.decode(body)
    return caught.value


def said_of(codec, body):
    """Return the words of the error, none where the bytes can be read; any other error fails the test."""
    try:
        codec.decode(body)
    except RemoteProtocolError as error:
        return str(error)
    return ""


@pytest.fixture(scope="module")
def codec():
    return compiled(TREE)


def test_a_message_stands_as_its_table_says(codec):
    assert codec.encode(MESSAGE) == WIRE
    read = codec.decode(WIRE)
    assert read.pop("total") == str(len(WIRE)).rjust(6, "0")
    assert read["body"].pop("count") == "02"
    assert read == MESSAGE


def test_a_dry_place_is_an_absent_value(codec):
    body = codec.encode({"code": "030012"})
    assert body[16:-8] == b" " * 30
    assert codec.decode(body) == {"total": "000054", "code": "030012"}
    assert codec.encode({"code": "030012", "body": {"phone": "   ", "name": "\u3000"}}) == body


def test_the_header_chooses_the_body(codec):
    answer = {"code": "030012", "result": "0000", "body": {"order": "123456789012", "text": "成功"}}
    wire = codec.encode({**answer, "mac": "0" * 8})
    assert wire[16:-8] == "123456789012|成功".encode("gbk")
    assert codec.decode(wire)["body"] == answer["body"]


def test_a_body_that_nothing_calls_for_is_kept_unread(codec):
    wire = codec.encode({"code": "999999", "body": {"unread": b"6225561620345170"}, "mac": "0" * 8})
    read = codec.decode(wire)
    assert read["body"] == {"unread": b"6225561620345170"}
    assert codec.encode(read) == wire
    assert b"6225" not in codec.mask(wire)
    assert all("6225" not in view.value for view in codec.describe(wire))
    with pytest.raises(EncodeError, match=r"body: expected a header"):
        codec.encode({"code": "999999", "body": {"phone": "1"}})


@pytest.mark.parametrize(
    ("change", "field", "offset", "reason"),
    [
        (lambda wire: wire[:5], "total", 0, Reason.TOTAL_LENGTH),
        (lambda wire: wire[:14], "result", 12, Reason.TOTAL_LENGTH),
        (lambda wire: b"000097" + wire[6:], "total", 0, Reason.TOTAL_LENGTH),
        (lambda wire: b"      " + wire[6:], "total", 0, Reason.TOTAL_LENGTH),
        (lambda wire: b"00009x" + wire[6:], "total", 0, Reason.VALUE),
        (lambda wire: wire.replace("张三".encode("gbk"), b"\xd5\xc5\xc8 "), "body.name", 29, Reason.VALUE),
        (lambda wire: wire.replace(b"5000", b"50.0"), "body.amount", 36, Reason.VALUE),
        (lambda wire: wire.replace(b"500002", b"500003"), "body.bills.no", 88, Reason.TOTAL_LENGTH),
        (lambda wire: wire.replace(b"500002", b"500001"), "body", 67, Reason.TOTAL_LENGTH),
        (lambda wire: wire.replace(b"500002", b"500009"), "body.bills", 46, Reason.LENGTH_TOO_LARGE),
        (lambda wire: wire.replace(b"500002", b"5000x2"), "body.count", 44, Reason.VALUE),
    ],
)
def test_what_is_wrong_is_named_with_its_place(codec, change, field, offset, reason):
    error = error_of(codec, change(WIRE))
    assert (error.field, error.offset, error.reason) == (field, offset, reason)


def test_an_error_keeps_what_was_read_before_it(codec):
    error = error_of(codec, WIRE.replace(b"5000", b"50.0"))
    assert error.partial["code"] == "030012"
    assert error.partial["body"] == {"phone": "18200001234", "name": "张三"}


@pytest.mark.parametrize(
    ("message", "path"),
    [
        ({"code": "0300123"}, "code"),
        ({"code": 30012}, "code"),
        ({"colour": "red"}, "colour"),
        ({"code": "030012", "body": {"colour": "red"}}, "body.colour"),
        ({"code": "030012", "body": "phone"}, "body"),
        ({"code": "030012", "body": {"name": "张三李四王"}}, "body.name"),
        ({"code": "030012", "body": {"name": "\U0001f600"}}, "body.name"),
        ({"code": "030012", "body": {"count": "01", "bills": [BILL, BILL]}}, "body.count"),
        ({"code": "030012", "body": {"bills": [BILL] * 4}}, "body.bills"),
        ({"code": "030012", "body": {"bills": "none"}}, "body.bills"),
        ({"code": "030012", "body": {"bills": [{"colour": "red"}]}}, "body.bills.colour"),
    ],
)
def test_what_cannot_be_written_is_named(codec, message, path):
    with pytest.raises(EncodeError) as caught:
        codec.encode(message)
    assert caught.value.path == path


def test_sizes_are_written_by_the_codec_alone(codec):
    assert codec.encode({**MESSAGE, "total": "000001"}) == WIRE
    tree = {**TREE, "header": [{**HEADER[0], "computed": "body_bytes"}, *HEADER[1:]]}
    assert compiled(tree).encode(MESSAGE)[:6] == str(len(WIRE) - 16 - 8).rjust(6, "0").encode("ascii")


def test_a_long_value_is_cut_only_where_the_table_says_so_and_never_inside_a_character():
    plain = {"type": "ans", "length": 5}
    with pytest.raises(EncodeError, match="value: expected at most 5, found 6"):
        one_part(**plain).encode({"value": "张三李"})
    clipped = one_part(**plain, clip=True)
    assert clipped.encode({"value": "张三李"}) == "张三 ".encode("gb18030")
    assert clipped.encode({"value": "张𠀀李"}) == "张   ".encode("gb18030")
    with pytest.raises(EncodeError, match="text without"):
        clipped.encode({"value": "张三\x01李四"})


@pytest.mark.parametrize("charset", ["gbk", "gb18030", "utf-8"])
def test_half_a_character_is_an_error_with_its_place(charset):
    tree = {
        "kind": "fixed",
        "charset": charset,
        "header": [
            {"name": "first", "type": "ans", "length": 4},
            {"name": "second", "type": "ans", "length": 4},
        ],
    }
    text = "ab张三".encode(charset)[:8].ljust(8)
    cut = 3 + text.index("张".encode(charset)) - 2
    error = error_of(compiled(tree), b"a" + text[:7])
    assert error.field == "first"
    assert error.offset == cut
    with pytest.raises(UnicodeDecodeError):
        (b"a" + text[:3]).decode(charset)


def test_blanks_of_full_width_are_padding_too():
    assert one_part(type="ans", length=10).decode("张三\u3000 \u3000".encode("gb18030")[:10].ljust(10)) == {
        "value": "张三"
    }
    kept = one_part(type="ans", length=6, padding="spaces_kept")
    assert kept.decode("张\u3000  ".encode("gb18030")) == {"value": "张\u3000  "}


def test_the_bytes_around_a_value(codec):
    assert codec.covered(WIRE, "mac", "before") == WIRE[:-8]
    assert codec.covered(WIRE, "mac", "after") == b""
    assert codec.covered(WIRE, "code", "after") == WIRE[12:]
    assert codec.covered(WIRE, "body.phone", "before") == WIRE[:16]
    with pytest.raises(EncodeError, match="nothing"):
        codec.covered(WIRE, "nothing", "before")


def test_a_message_with_its_own_size_delimits_itself(codec):
    stream = WIRE + WIRE[:3]
    assert codec.measure(stream) == len(WIRE)
    assert codec.measure(stream[len(WIRE) :]) is None
    for head in (b"000003", b"00000x", b"      ", b"999999"):
        with pytest.raises(RemoteProtocolError):
            codec.measure(head)
    with pytest.raises(RemoteProtocolError, match="delimits itself"):
        one_part(type="n", length=4).measure(b"0000")


def test_a_field_as_it_stands_on_the_wire(codec):
    assert codec.field_bytes("body.amount", MESSAGE, False) == b"    5000"
    assert codec.field_bytes("body.bills.1.no", MESSAGE, False) == b"00001"
    assert codec.field_bytes("result", MESSAGE, False) is None
    assert codec.field_bytes("body.bills", MESSAGE, False) == WIRE[46:88]
    assert codec.field_bytes("body", MESSAGE, False) == WIRE[16:88]
    assert codec.field_bytes("body.unread", {"code": "1", "body": {"unread": b"?"}}, False) == b"?"
    assert codec.field_bytes("body.text", {"result": "0000", "body": {"text": "好"}}, True) == "好".encode(
        "gbk"
    )
    with pytest.raises(EncodeError, match="colour"):
        codec.field_bytes("body.colour", {"body": {"colour": "red"}}, False)


def test_what_a_dialect_can_carry(codec):
    assert {"code", "body", "body.phone", "body.bills", "body.bills.card", "mac"} <= codec.paths()
    assert codec.sensitive("body.bills.card") == "pan"
    assert codec.sensitive("code") is None
    assert codec.width("body.name") == 9
    assert codec.width("body.bills") is None
    assert codec.binary("body.unread")
    assert not codec.binary("mac")


def test_a_dump_is_masked_and_says_where_it_breaks(codec):
    shown = codec.describe(WIRE)
    values = {view.path: view.value for view in shown}
    assert values["body.phone"] == "182****1234"
    assert values["body.bills.card"] == "622556******5170"
    assert values["body.amount"] == "    5000"
    assert [view.path for view in shown][-1] == "mac"
    masked = codec.mask(WIRE)
    assert len(masked) == len(WIRE)
    assert codec.describe(masked)[:-1] == shown[:-1]
    broken = codec.describe(WIRE[:-1])
    assert (broken[-1].tag, broken[-1].path) == ("!", "total")


SECRETS = {"phone": "Q7Q7Q7Q7Q7Q", "name": "秘密Z9Z9"}


@given(st.integers(0, 110), st.binary(max_size=2))
def test_a_shifted_message_shows_no_secret(at, inserted):
    """A byte or two more, less or other, anywhere: what stood in a secret place is seen nowhere."""
    codec = compiled(TREE)
    bills = [{"no": "1", "card": "6225561620345170"}]
    wire = codec.encode({"code": "030012", "body": {**SECRETS, "bills": bills}, "mac": "0" * 8})
    damaged = wire[:at] + inserted + wire[at + 1 :]
    masked = codec.mask(damaged)
    shown = repr(codec.describe(damaged))
    assert len(masked) == len(damaged)
    for canary in (b"Q7Q7", "秘密".encode("gbk"), b"62034517"):
        assert canary not in masked
    for text in ("Q7Q7Q7Q7", "秘密", "62034517"):
        assert text not in shown
    told = said_of(codec, damaged)
    assert "Q7Q7Q7Q7Q" not in told
    assert "秘密" not in told
    assert "6225561620" not in told
