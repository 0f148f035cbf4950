"""ISO 8583 messages against pyiso8583, field by field, and what happens to messages that are wrong."""

import iso8583
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianzhi.wire.codec import put_path
from qianzhi.wire.errors import EncodeError, Reason, RemoteProtocolError

GBK_TEXT = "中国银行北京分行充值缴费　ABC xyz 0123,.-"
DIGITS = "0123456789"
LETTERS = DIGITS + "ABCXYZabc"
TRACK = DIGITS + "=D"


# -- an independent codec from the same table --


def peer_spec(tree):
    """pyiso8583's view of the table: opaque bytes for text and composites, ASCII for the rest."""
    spec = {
        "h": {"data_enc": "b", "len_enc": "ascii", "len_type": 0, "max_len": 0, "desc": ""},
        "t": {"data_enc": "ascii", "len_enc": "ascii", "len_type": 0, "max_len": 4, "desc": ""},
        "p": {"data_enc": "b", "len_enc": "ascii", "len_type": 0, "max_len": 8, "desc": ""},
        "1": {"data_enc": "b", "len_enc": "ascii", "len_type": 0, "max_len": 8, "desc": ""},
    }
    for number, row in tree["fields"].items():
        prefix = row.get("prefix", "fixed")
        opaque = row.get("type") in (None, "ans", "b")
        spec[number] = {
            "data_enc": "b" if opaque else "ascii",
            "len_enc": "ascii",
            "len_type": 0 if prefix == "fixed" else len(prefix),
            "max_len": row["length"],
            "desc": row["title"],
        }
    return spec


def text_of(alphabet, bytes_max):
    def fit(text):
        while len(text.encode("gbk")) > bytes_max:
            text = text[:-1]
        return text

    return st.text(alphabet, max_size=bytes_max).map(fit)


def simple_values(row):
    kind, length, fixed = row["type"], row["length"], row.get("prefix", "fixed") == "fixed"
    if kind == "b":
        return st.binary(min_size=length if fixed else 0, max_size=length)
    if kind == "n":
        return st.text(DIGITS, min_size=length if fixed else 1, max_size=length)
    if kind == "xn":
        return st.builds(
            str.__add__, st.sampled_from("CD"), st.text(DIGITS, min_size=length - 1, max_size=length - 1)
        )
    if kind == "z":
        return st.text(TRACK, max_size=length)
    if row.get("padding") == "zeros_left":
        return st.text(LETTERS, min_size=length, max_size=length)
    values = text_of(LETTERS if kind == "an" else GBK_TEXT, length)
    # A fixed field's trailing blanks are its padding, so they do not come back.
    return values.map(lambda value: value.rstrip(" ")) if fixed else values


def part_values(parts):
    return st.fixed_dictionaries({part["name"]: simple_values(part) for part in parts if "type" in part})


def composite_values(row):
    layout = row["layout"]
    if layout == "tlv":
        tags = st.sampled_from(["9F26", "95", "5A", "DF31", "71", "9F1E"])
        return st.dictionaries(tags, st.binary(max_size=30), max_size=6)
    if layout == "repeat":
        return st.lists(part_values(row["parts"]), max_size=row["entries_max"])
    if layout == "tagged" and row.get("length_digits"):
        return st.dictionaries(
            st.sampled_from(["SM", "TK"]),
            st.fixed_dictionaries({"bytes": st.binary(max_size=50)}),
            min_size=1,
        )
    if layout == "tagged":
        cases = row["cases"]
        return st.one_of(
            st.fixed_dictionaries({"NK": part_values(cases["NK"]["parts"])}),
            st.fixed_dictionaries({"PZ": part_values(cases["PZ"]["parts"])}),
            st.fixed_dictionaries({"ON": st.fixed_dictionaries({"text": text_of(GBK_TEXT, 60)})}),
        )
    if row["name"] == "details":
        bills = st.lists(part_values(row["parts"][1]["parts"]), max_size=11)
        return bills.map(lambda entries: {"count": f"{len(entries):02d}", "bills": entries})
    return part_values(row["parts"])


def field_values(row):
    return composite_values(row) if "layout" in row else simple_values(row)


@pytest.fixture(scope="session")
def messages(cups_tree):
    rows = cups_tree["fields"].values()
    strategies = {row["name"]: field_values(row) for row in rows}
    mti = st.fixed_dictionaries({"mti": st.text(DIGITS, min_size=4, max_size=4)})
    names = st.sets(st.sampled_from(sorted(strategies)), max_size=40)
    fields = names.flatmap(
        lambda chosen: st.fixed_dictionaries({name: strategies[name] for name in sorted(chosen)})
    )
    return st.builds(lambda head, tail: {**head, **tail}, mti, fields)


@given(st.data())
def test_an_independent_codec_reads_and_writes_the_same_bytes(bare_cups, cups_tree, messages, data):
    message = data.draw(messages)
    body = bare_cups.encode(message)
    spec = peer_spec(cups_tree)
    theirs, _ = iso8583.decode(body, spec)
    assert theirs["t"] == message["mti"]
    for number, row in cups_tree["fields"].items():
        assert (number in theirs) == (row["name"] in message)
        if number not in theirs:
            continue
        ours = bare_cups.field_bytes(row["name"], message, with_prefix=False)
        opaque = spec[number]["data_enc"] == "b"
        assert theirs[number] == (ours.hex().upper() if opaque else ours.decode("ascii"))
    again, _ = iso8583.encode(dict(theirs), spec)
    assert bytes(again) == body
    assert bare_cups.decode(bytes(again)) == message


@given(st.data())
def test_a_masked_message_keeps_its_length_and_can_still_be_shown(bare_cups, messages, data):
    message = data.draw(messages)
    body = bare_cups.encode(message)
    masked = bare_cups.mask(body)
    assert len(masked) == len(body)
    views = bare_cups.describe(masked)
    assert all(view.tag != "!" for view in views)
    assert views == bare_cups.describe(body)


# -- any bytes --


@given(st.binary(max_size=400))
def test_any_bytes_decode_or_raise_the_declared_error(cups, bare_cups, body):
    check_any(cups, body)
    check_any(bare_cups, body)


@given(st.data())
def test_damaged_messages_decode_or_raise_the_declared_error(bare_cups, messages, data):
    body = bytearray(bare_cups.encode(data.draw(messages)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        how = data.draw(st.sampled_from("xid"))
        if how == "x":
            body[at] = data.draw(st.integers(0, 255))
        elif how == "i":
            body[at:at] = data.draw(st.binary(min_size=1, max_size=4))
        elif len(body) > 1:
            del body[at]
    check_any(bare_cups, bytes(body))


def check_any(codec, body):
    try:
        message = codec.decode(body)
    except RemoteProtocolError as error:
        check_error(error, body)
    else:
        codec.encode(message)
    assert len(codec.mask(body)) == len(body)
    codec.describe(body)


def check_error(error, body):
    assert error.field
    assert 0 <= error.offset <= len(body)
    assert error.expected
    assert len(error.found) < 60


# -- what errors say --


def test_an_error_names_field_offset_expected_and_found(cups, purchase, broken):
    error, body = broken(cups, purchase, b"1121101530", b"11211O1530")
    assert (error.field, error.number, error.reason) == ("transmission_time", 7, Reason.VALUE)
    assert error.offset == body.index(b"11211O1530")
    assert error.expected == "10 bytes of digits"
    assert error.found == "3131… of 10 bytes"
    assert error.partial["pan"] == purchase["pan"]
    assert "transmission_time" not in error.partial


def test_an_error_in_a_sensitive_field_hides_what_was_found(cups, purchase, broken):
    error, _ = broken(cups, purchase, b"6225561620345170", b"62255616 0345170")
    assert error.field == "pan"
    assert "6225" not in str(error)
    assert "hidden" in error.found


@pytest.mark.parametrize("digits", ["\u00b2" * 6, "\uff11" * 6, " 00001", "+00001", "0_0001", "00001\n"])
def test_what_int_would_accept_is_no_digit(cups, purchase, digits):
    with pytest.raises(EncodeError) as caught:
        cups.encode({**purchase, "stan": digits})
    assert caught.value.path == "stan"


@pytest.mark.parametrize("raw", [b"\xb2\xb2\xb2\xb2\xb2\xb2", b" 00123", b"+00123", b"0_0123", b"00012\n"])
def test_what_int_would_read_is_no_digit_on_the_wire(cups, purchase, raw, broken):
    error, _ = broken(cups, purchase, b"000123", raw)
    assert error.field == "stan"


def test_lengths_that_are_no_number_too_large_or_too_long(cups, purchase, broken):
    error, _ = broken(cups, purchase, b"166225561620345170", b"1x6225561620345170")
    assert (error.field, error.reason) == ("pan", Reason.LENGTH_CHARACTER)
    error, _ = broken(cups, purchase, b"166225561620345170", b"206225561620345170")
    assert (error.field, error.reason) == ("pan", Reason.LENGTH_TOO_LARGE)
    error, _ = broken(cups, purchase, b"048PZ", b"512PZ")
    assert (error.field, error.reason) == ("private", Reason.TOTAL_LENGTH)


def test_text_with_nul_or_broken_gbk_is_refused(cups, purchase, broken):
    name = "中国银行北京分行".encode("gbk")
    error, _ = broken(cups, purchase, name, b"\0" + name[1:])
    assert error.field == "merchant_name"
    error, _ = broken(cups, purchase, name, name[:-1] + b"\xff")
    assert (error.field, error.expected) == ("merchant_name", "gbk text")
    error, _ = broken(cups, purchase, b"12345678", b"1234\x007" + b"8")
    assert error.field == "terminal"


def test_truncated_and_overlong_messages_are_refused(cups, purchase):
    body = cups.encode(purchase)
    for cut in range(len(body)):
        with pytest.raises(RemoteProtocolError):
            cups.decode(body[:cut])
    with pytest.raises(RemoteProtocolError) as caught:
        cups.decode(body + b"0")
    assert caught.value.field == "header.total"


def test_bytes_behind_the_last_field_are_refused(bare_cups, purchase):
    del purchase["header"]
    body = bare_cups.encode(purchase)
    with pytest.raises(RemoteProtocolError, match="1 bytes more"):
        bare_cups.decode(body + b"0")


def test_bits_of_unknown_fields_and_third_bitmaps_are_refused(bare_cups):
    for bit in (8, 17, 65, 127):
        bitmap = ((1 << 127 if bit > 64 else 0) | 1 << (128 - bit)).to_bytes(16, "big")
        with pytest.raises(RemoteProtocolError) as caught:
            bare_cups.decode(b"0200" + (bitmap if bit > 64 else bitmap[:8]) + b"0" * 40)
        assert (caught.value.reason, caught.value.number) == (Reason.FORBIDDEN, bit)


def test_many_different_bitmaps_do_not_fill_the_memory(bare_cups, cups_tree):
    numbers = [n for n in map(int, cups_tree["fields"]) if n <= 64]
    for at in range(2000):
        bits = sum(
            1 << (64 - number)
            for place, number in enumerate(numbers)
            if at >> (place % 12) & 1 and place < 24
        )
        with pytest.raises(RemoteProtocolError):
            bare_cups.decode(b"0200" + (bits | 1 << 62).to_bytes(8, "big"))
    assert len(bare_cups._readers) + len(bare_cups._seen) <= 1024


# -- what we refuse to send --


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("nonsense", "1"),
        ("private.PZ.nonsense", "1"),
        ("header.nonsense", "1"),
        ("pan", "6" * 20),
        ("pan", 6225561620345170),
        ("stan", "1234567"),
        ("amount", None),
        ("merchant_name", "行" * 21),
        ("merchant_name", "\ud800"),
        ("merchant_name", "a\0b"),
        ("merchant_name", "😀"),
        ("pin", b"1234567"),
        ("pin", "12345678"),
        ("mti", "020"),
        ("private", {}),
        ("private", {"NK": {"key": bytes(16)}, "PZ": {}}),
        ("private", {"N": {"text": ""}}),
        ("private.ON", {"bytes": b""}),
        ("original", {"mti": "0200"}),
        ("balance", {"amount": "1"}),
        ("balance", [{"amount": "1"}]),
        ("chip", {"9F": b""}),
        ("chip", {"9F26": "00"}),
        ("chip", {"9f26": b"1"}),
        ("details", {"count": "02", "bills": []}),
        ("header.reject_code", "1"),
        ("header.destination", "123456789012"),
        ("header.version", 256),
    ],
)
def test_a_message_that_the_dialect_cannot_carry_is_refused_by_path(cups, purchase, path, value):
    put_path(purchase, path, value)
    with pytest.raises(EncodeError) as caught:
        cups.encode(purchase)
    assert caught.value.path.split(".")[0] == path.split(".")[0]


def test_a_missing_header_is_refused(cups, purchase):
    del purchase["header"]
    with pytest.raises(EncodeError, match="header"):
        cups.encode(purchase)


def test_gbk_lengths_count_bytes(cups, purchase):
    body = cups.encode({**purchase, "additional_response": "余额不足"})
    assert b"08" + "余额不足".encode("gbk") in body
    assert "中国银行北京分行".encode("gbk") + b" " * 24 in body
