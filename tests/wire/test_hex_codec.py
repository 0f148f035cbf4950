"""Messages carried as hex text: the same message, twice the bytes, offsets of the outer text."""

import pytest

from qianzhi.wire.codec import load_codec
from qianzhi.wire.errors import EncodeError, Reason, RemoteProtocolError

TREE = {
    "kind": "fixed",
    "carried": "hex",
    "header": [
        {"name": "total", "type": "n", "length": 2, "computed": "total_bytes"},
        {"name": "name", "type": "ans", "length": 6, "sensitive": "name"},
        {"name": "mac", "type": "an", "length": 4},
    ],
}
WIRE = b"3132" + "张三".encode("gbk").hex().upper().encode() + b"2020" + b"41423132"


@pytest.fixture(scope="module")
def codec():
    found, problems = load_codec(TREE, "spec.toml")
    assert problems == []
    return found


def test_the_message_travels_as_hex(codec):
    message = {"total": "12", "name": "张三", "mac": "AB12"}
    assert codec.encode(message) == WIRE
    assert codec.decode(WIRE) == message
    assert codec.decode(WIRE.lower()) == message


@pytest.mark.parametrize(
    ("body", "field", "offset", "reason"),
    [
        (WIRE[:-1], "message", 23, Reason.TOTAL_LENGTH),
        (WIRE[:5] + b"G" + WIRE[6:], "message", 5, Reason.UNREADABLE),
        (WIRE[:4] + b" " + WIRE[4:], "message", 4, Reason.UNREADABLE),
        (WIRE.replace(b"4142", b"4180"), "mac", 18, Reason.VALUE),
        (WIRE + b"00", "total", 0, Reason.TOTAL_LENGTH),
    ],
)
def test_errors_count_in_the_outer_text(codec, body, field, offset, reason):
    with pytest.raises(RemoteProtocolError) as caught:
        codec.decode(body)
    error = caught.value
    assert (error.field, error.offset, error.reason) == (field, offset, reason)
    assert ("name" in error.partial) == (field in {"mac", "total"})


def test_masked_and_described_in_the_outer_text(codec):
    masked = codec.mask(WIRE)
    assert masked == WIRE[:4] + b"2A" * 6 + WIRE[16:]
    shown = codec.describe(masked)
    assert [(view.path, view.offset, view.length) for view in shown] == [
        ("total", 0, 4),
        ("name", 4, 12),
        ("mac", 16, 8),
    ]
    assert codec.mask(WIRE[:-1]) == b"*" * 23
    assert [view.tag for view in codec.describe(b"3g")] == ["!"]


def test_the_bytes_around_a_value_are_outer_ones(codec):
    assert codec.covered(WIRE, "mac", "before") == WIRE[:16]
    assert codec.covered(WIRE, "name", "after") == WIRE[16:]
    with pytest.raises(EncodeError):
        codec.covered(b"0", "mac", "before")
    assert codec.measure(WIRE + b"3") == 24
    assert codec.field_bytes("name", {"name": "张"}, False) == "张    ".encode("gbk")
    assert (codec.width("mac"), codec.sensitive("name"), codec.binary("mac")) == (4, "name", False)
    assert codec.paths() >= {"total", "name", "mac"}


def test_any_kind_may_be_carried_so(xml_tree):
    codec, problems = load_codec({**xml_tree, "carried": "hex"}, "spec.toml")
    assert problems == []
    message = {"Head": {"TrxCode": "010011"}, "Body": {"Name": "张三"}}
    wire = codec.encode(message)
    assert bytes.fromhex(wire.decode("ascii")).decode("gbk").endswith("<Name>张三</Name></Body></Message>")
    assert codec.decode(wire) == message
