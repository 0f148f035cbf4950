"""Every text dialect that can be drawn: what is written is read back, and no bytes do harm.

The dialects are generated: type × character set × padding × place, lists, several bodies, all three kinds, as
they are or carried as hex.  Python's own codecs say how wide a text is and where a character ends.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qianzhi.wire.codec import load_codec
from qianzhi.wire.errors import EncodeError, RemoteProtocolError
from qianzhi.wire.items import SENSITIVES
from qianzhi.wire.text import clip

CHARSETS = ["gbk", "gb18030", "utf-8"]
ALPHABETS = {
    "n": st.sampled_from("0123456789"),
    "an": st.sampled_from("0123456789ABCDEFabcdef"),
    "z": st.sampled_from("0123456789=;?"),
}
PADDINGS = {
    "n": ["none", "zeros_left", "spaces_left", "spaces_right", "nul_right"],
    "an": ["none", "zeros_left", "spaces_left", "spaces_right", "spaces_kept", "nul_right"],
    "ans": ["none", "zeros_left", "spaces_left", "spaces_right", "spaces_kept", "nul_right"],
    "z": ["none", "zeros_left", "spaces_left", "spaces_right", "spaces_kept", "nul_right"],
    "dec": ["none", "zeros_left", "spaces_left", "spaces_right", "nul_right"],
    "xn": ["none", "spaces_left", "spaces_right", "nul_right"],
}
FILL = {"zeros_left": "0", "spaces_left": " ", "spaces_right": " ", "spaces_kept": " ", "nul_right": "\0"}


def texts(kind, charset):
    """Return values of a type: characters that the set has and that show something."""
    if kind == "dec":
        return st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,2})?", fullmatch=True)
    if kind == "xn":
        return st.from_regex(r"[CD][0-9]{1,5}", fullmatch=True)
    if kind == "ans":
        # Unassigned code points of a set are no text, and some of GB18030 have four bytes.
        letters = st.characters(codec=charset, exclude_categories=["C", "Z"])
        return st.text(letters, min_size=1, max_size=8)
    return st.text(ALPHABETS[kind], min_size=1, max_size=12)


@st.composite
def fields(draw):
    """Return (charset, part, value, its bytes on the wire, the value as it is read)."""
    charset = draw(st.sampled_from(CHARSETS))
    kind = draw(st.sampled_from(sorted(PADDINGS)))
    value = draw(texts(kind, charset))
    if kind == "ans" and draw(st.booleans()):
        value = f"{value[:1]}\u3000 {value[1:]}".rstrip("\u3000 ")
    padding = draw(st.sampled_from(PADDINGS[kind]))
    data = value.encode(charset)
    length = len(data) + (0 if padding == "none" else draw(st.integers(0, 5)))
    fill = FILL.get(padding, "").encode("ascii")
    wire = data.rjust(length, fill) if padding.endswith("left") else data.ljust(length, fill or b" ")
    kept = padding in {"zeros_left", "spaces_kept"}
    part = {"name": "value", "type": kind, "length": length, "padding": padding}
    return charset, part, value, wire, wire.decode(charset) if kept else value


@given(fields())
@settings(max_examples=200)
def test_every_field_is_padded_as_the_table_says_and_read_back(drawn):
    charset, part, value, wire, read = drawn
    codec, problems = load_codec({"kind": "fixed", "charset": charset, "header": [part]}, "spec.toml")
    assert problems == []
    assert codec.encode({"value": value}) == wire
    assert codec.decode(wire) == {"value": read}
    assert codec.encode({"value": read}) == wire
    assert codec.decode(b" " * len(wire)) == {}
    with pytest.raises(EncodeError, match="value"):
        codec.encode({"value": value + value + "00000000"})


@st.composite
def packed(draw):
    """Return (part, value) of a field that is not plain text of a fixed size."""
    kind = draw(st.sampled_from(["n", "an", "b"]))
    encodings = {"n": ["ascii", "bcd", "bcd_left", "ebcdic"], "an": ["gbk", "ebcdic"], "b": ["raw", "hex"]}
    encoding = draw(st.sampled_from(encodings[kind]))
    prefix = draw(st.sampled_from(["fixed", "L", "LL", "LLL", "LL_bcd", "LL_ebcdic", "binary_1", "binary_2"]))
    value = draw(st.binary(min_size=1, max_size=9) if kind == "b" else texts(kind, "ascii"))
    value = value[:4] if prefix == "L" else value  # 4 bytes in hex are 8 digits
    length = len(value) if prefix == "fixed" else 4 if prefix == "L" else 49
    part = {"name": "value", "type": kind, "encoding": encoding, "prefix": prefix, "length": length}
    return part, value


@given(packed(), st.binary(max_size=12))
@settings(max_examples=200)
def test_fields_with_lengths_and_packed_ones_stand_in_a_body_too(drawn, noise):
    part, value = drawn
    tree = {
        "kind": "fixed",
        "header": [{"name": "code", "type": "n", "length": 1}],
        "bodies": [{"name": "one", "parts": [part, {"name": "last", "type": "an", "length": 2}]}],
    }
    codec, problems = load_codec(tree, "spec.toml")
    assert problems == []
    message = {"code": "1", "body": {"value": value, "last": "Z"}}
    wire = codec.encode(message)
    assert codec.decode(wire) == message
    assert codec.covered(wire, "body.last", "after") == b""
    if part["prefix"] != "fixed":
        absent = {"code": "1", "body": {"last": "Z"}}
        assert codec.decode(codec.encode(absent)) == absent
    try:
        codec.decode(b"1" + noise)
    except RemoteProtocolError as error:
        assert error.offset <= len(noise) + 1  # noqa: PT017 - reading it is right as well


@given(st.text(max_size=12), st.integers(0, 20), st.sampled_from(CHARSETS))
def test_cutting_keeps_whole_characters(text, size, charset):
    cut = clip(text, size, charset)
    whole = "".join(letter.encode(charset, "replace").decode(charset) for letter in text)
    assert whole.startswith(cut)
    assert len(cut.encode(charset)) <= size
    longer = whole[: len(cut) + 1].encode(charset)
    assert cut == whole or len(longer) > size


@st.composite
def parts(draw, prefix, charset, kind, *, lists):
    """Return a list of parts and a table of values for them."""
    tables, values = [], {}
    for number in range(draw(st.integers(1, 4))):
        name = f"{prefix}{number}"
        type_ = draw(st.sampled_from(["n", "an", "ans", "dec"]))
        tables.append({"name": name, "type": type_, "length": 40, "padding": "spaces_right"})
        if draw(st.booleans()):
            tables[-1]["sensitive"] = draw(st.sampled_from(SENSITIVES))
        if draw(st.booleans()):
            values[name] = draw(texts(type_, charset).filter(no_delimiter))
    if lists and draw(st.booleans()):
        inside, _ = draw(parts("e", charset, kind, lists=False))
        entry = st.fixed_dictionaries(
            {}, optional={one["name"]: texts(one["type"], charset).filter(no_delimiter) for one in inside}
        )
        table = {"name": f"{prefix}s", "layout": "repeat", "entries_max": 3, "parts": inside}
        counted = kind != "pairs" and draw(st.booleans())
        if counted:
            tables.append({"name": f"{prefix}count", "type": "n", "length": 2})
            table["counted_by"] = f"{prefix}count"
        # A list without a count cannot tell no columns from one that is empty.
        entries = draw(st.lists(entry.filter(bool), max_size=3))
        if entries:
            values[f"{prefix}s"] = entries
            if counted:
                values[f"{prefix}count"] = f"{len(entries):02d}"
        tables.append(table)
    if kind != "fixed":
        for one in [*tables, *(one for table in tables for one in table.get("parts", []))]:
            one.pop("padding", None)
    return tables, values


def no_delimiter(text):
    return not set(text) & set("|;,")


@st.composite
def dialects(draw):
    """Return a spec and a message of it."""
    kind = draw(st.sampled_from(["fixed", "delimited", "pairs"]))
    charset = draw(st.sampled_from(CHARSETS))
    tree = {"kind": kind, "charset": charset, "carried": draw(st.sampled_from(["", "hex"]))}
    header, message = draw(parts("h", charset, kind, lists=False))
    header.append({"name": "code", "type": "an", "length": 1})
    message["code"] = draw(st.sampled_from("AB"))
    trailer, end = draw(parts("t", charset, kind, lists=False))
    tree |= {"header": header, "trailer": trailer, "bodies": []}
    for code in "AB":
        body, values = draw(parts("b", charset, kind, lists=True))
        tree["bodies"].append({"name": code, "when": {"code": code}, "parts": body})
        if code == message["code"] and values:
            message["body"] = values
    return tree, message | end


@given(dialects())
@settings(max_examples=100)
def test_every_message_of_every_dialect_is_read_back(drawn):
    tree, message = drawn
    codec, problems = load_codec(tree, "spec.toml")
    assert problems == []
    wire = codec.encode(message)
    read = codec.decode(wire)
    assert read == message
    assert codec.encode(read) == wire
    masked = codec.mask(wire)
    assert len(masked) == len(wire)
    assert [view.path for view in codec.describe(masked)] == [view.path for view in codec.describe(wire)]
    for view in codec.describe(wire):
        assert 0 <= view.offset <= view.offset + view.length <= len(wire)
        assert view.path in codec.paths()


@given(dialects(), st.data())
@settings(max_examples=100)
def test_any_bytes_raise_only_the_declared_error(drawn, data):
    tree, message = drawn
    codec, _ = load_codec(tree, "spec.toml")
    wire = codec.encode(message)
    at = data.draw(st.integers(0, len(wire)))
    noise = data.draw(st.binary(max_size=8) | st.just(b"|" * 200) | st.sampled_from([b"\x81", b"\x81\x30"]))
    for body in (
        noise,
        wire[:at],
        wire[:at] + noise + wire[at + len(noise) :],
        wire[:at] + noise + wire[at:],
    ):
        assert len(codec.mask(body)) == len(body)
        assert isinstance(codec.describe(body), list)
        try:
            read = codec.decode(body)
        except RemoteProtocolError as error:
            assert 0 <= error.offset <= len(body)  # noqa: PT017 - reading it is right as well
        else:
            assert codec.decode(codec.encode(read)) == read


@given(dialects(), st.data())
@settings(max_examples=60)
def test_anything_but_a_message_is_an_encode_error_or_can_be_read(drawn, data):
    tree, message = drawn
    codec, _ = load_codec(tree, "spec.toml")
    path = data.draw(st.sampled_from(sorted(codec.paths())))
    name = path.split(".")[0]
    odd = data.draw(
        st.none() | st.integers() | st.binary() | st.text(max_size=50) | st.just([1]) | st.just({})
    )
    try:
        wire = codec.encode({**message, name: odd})
    except EncodeError as error:
        assert error.path.split(".")[0] in {name, "message", "body"}  # noqa: PT017
    else:
        codec.decode(wire)


@given(dialects())
@settings(max_examples=50)
def test_the_bytes_around_a_value_are_those_of_the_message(drawn):
    tree, message = drawn
    codec, _ = load_codec(tree, "spec.toml")
    wire = codec.encode(message)
    for part in [*tree["header"], *tree["trailer"]]:
        if part["name"] not in message:
            continue
        before, after = (codec.covered(wire, part["name"], side) for side in ("before", "after"))
        value = codec.field_bytes(part["name"], message, False)
        stands = wire[len(before) : len(wire) - len(after)]
        assert wire == before + stands + after
        if tree["kind"] != "pairs":
            assert stands == (value.hex().upper().encode("ascii") if tree["carried"] else value)
