"""Every type in every encoding, behind every prefix, with every padding: what is written is what is read."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qianzhi.wire.codec import load_codec
from qianzhi.wire.errors import EncodeError, RemoteProtocolError
from qianzhi.wire.fields import make_simple
from qianzhi.wire.items import About, mask_bytes
from qianzhi.wire.rows import ENCODINGS, PADDINGS, PREFIXES, TYPES
from qianzhi.wire.simple import Simple, prefix_of, problem_of

LENGTHS = (5, 8)  # an odd and an even one, short enough for every prefix
DIGITS = "0123456789"
ALPHABETS = {
    "n": DIGITS,
    "an": DIGITS + "ABCXYZabc ",
    "z": DIGITS + "=",
    "dec": DIGITS,
    "xn": DIGITS,
}
TEXTS = {
    "ascii": "ABC xyz,.-019",
    "ebcdic": "ABC xyz,.-019é",
    "gbk": "中行ABC xyz",
    "gb18030": "中行㐀é019 ",
    "utf-8": "中é😀ABC ",
}


def all_rows():
    """Return every combination that a spec may state."""
    rows = []
    for kind, encoding in product(TYPES, ENCODINGS):
        if TYPES[kind].family not in ENCODINGS[encoding].families:
            continue
        fixed = product(["fixed"], PADDINGS, [""])
        others = product(["rest", *PREFIXES], [TYPES[kind].padding], ["", "digits", "bytes"])
        for (prefix, padding, unit), length in product([*fixed, *others], LENGTHS):
            row = Simple(kind, encoding, prefix, padding, length, length, unit)
            if problem_of(row) is None and _has_room(row):
                rows.append(row)
    return rows


def _has_room(row):
    prefix = prefix_of(row)
    return prefix is None or prefix.limit >= row.length


def value_of(row, random):
    """Return a value that comes back as it was: blanks at its ends would be taken for padding."""
    full = row.prefix == "fixed" and (row.type == "b" or not PADDINGS[row.padding].strip)
    if row.unit == "bytes" and row.encoding.startswith("bcd"):
        units = random.choice(range(2, row.length + 1, 2))
    else:
        units = row.length if full else random.randint(1, row.length)
    if row.type == "b":
        return random.randbytes(units)
    text = _text(row, units, random)
    return text if full else _trimmed(row, text)


def _text(row, units, random):
    if row.type == "xn":
        units = max(units, 2)
        return random.choice("CD") + "".join(random.choices(DIGITS, k=units - 1))
    if row.type == "dec" and units > 2:
        return "".join(random.choices(DIGITS, k=units - 2)) + "." + random.choice(DIGITS)
    letters = ALPHABETS.get(row.type) or TEXTS[row.encoding]
    charset = {"ebcdic": "cp500"}.get(row.encoding, row.encoding)
    if row.encoding.startswith("bcd"):
        return "".join(random.choices(letters, k=units))
    text, size = "", 0
    while size < units:
        letter = random.choice([one for one in letters if size + len(one.encode(charset)) <= units] or "A")
        text, size = text + letter, size + len(letter.encode(charset))
    return text


def _trimmed(row, text):
    if row.prefix != "fixed":
        return text
    return text.strip(" ") or ("A" if row.type in ("an", "ans", "z") else "1")


def table_of(row, name="value"):
    """Return the row as a spec's table."""
    table = {"name": name, "title": "t", "type": row.type, "encoding": row.encoding, "prefix": row.prefix}
    table |= {"padding": row.padding, "length": row.length}
    return {**table, "unit": row.unit} if row.unit else table


ABOUT = About("value", "2", "t", 2)
ROWS = all_rows()
ITEMS = [(row, make_simple(ABOUT, "value", row)) for row in ROWS]
RANDOMS = st.randoms(use_true_random=True)


def test_the_enumeration_reaches_every_row_of_every_table():
    assert len(ROWS) > 1500
    assert {row.type for row in ROWS} == set(TYPES)
    assert {row.encoding for row in ROWS} == set(ENCODINGS)
    assert {row.prefix for row in ROWS} == {"fixed", "rest", *PREFIXES}
    assert {row.padding for row in ROWS if row.prefix == "fixed"} == set(PADDINGS)
    assert {row.unit for row in ROWS} == {"", "digits", "bytes"}


@settings(max_examples=15)
@given(RANDOMS)
def test_every_field_reads_what_it_wrote(rng):
    for row, item in ITEMS:
        value = value_of(row, rng)
        data = item.encode(value)
        before, after = rng.randbytes(3), b"" if row.prefix == "rest" else rng.randbytes(2)
        body = before + data + after
        assert item.decode(body, 3, len(body)) == (value, 3 + len(data)), row
        begin, stop = item.bounds(body, 3, len(body))
        assert body[begin:stop] == item.bare(value), row
        assert item.size in (None, len(data)), row


@settings(max_examples=25)
@given(RANDOMS)
def test_any_bytes_are_a_value_or_the_declared_error(rng):
    for row, item in ITEMS:
        body = rng.choice([rng.randbytes, _digits(rng), _printable(rng)])(rng.randint(0, 14))
        try:
            value, stop = item.decode(body, 0, len(body))
        except RemoteProtocolError:
            continue
        again = item.encode(value)
        assert item.decode(again, 0, len(again)) == (value, len(again)), row
        assert stop <= len(body)


def _digits(rng):
    return lambda size: bytes(rng.choices(b"0123456789", k=size))


def _printable(rng):
    return lambda size: bytes(rng.choices(b"0123456789ABCD =. \xf0\xf1\xf9\x40", k=size))


@settings(max_examples=15)
@given(RANDOMS)
def test_a_cut_field_is_the_declared_error_or_a_shorter_rest(rng):
    for row, item in ITEMS:
        data = item.encode(value_of(row, rng))
        for cut in range(len(data)) if row.prefix != "rest" else ():
            with pytest.raises(RemoteProtocolError):
                item.decode(data[:cut], 0, cut)


@pytest.mark.parametrize(
    ("row", "value", "wire"),
    [
        (Simple("n", "bcd", "fixed", "zeros_left", 3, 3), "072", "0072"),  # F22 072, both ways
        (Simple("n", "bcd_left", "fixed", "zeros_left", 3, 3), "072", "0720"),
        (Simple("n", "bcd_left", "LL_bcd", "zeros_left", 19, 19), "6225123", "0762251230"),
        (Simple("z", "bcd_left", "LL_bcd", "none", 37, 37), "6225=123", "086225D123"),
        (Simple("n", "bcd", "LL_bcd", "zeros_left", 19, 19, "bytes"), "1234", "021234"),
        (Simple("n", "ebcdic", "LL_ebcdic", "zeros_left", 19, 19), "123", "F0F3F1F2F3"),
        (Simple("ans", "ebcdic", "fixed", "spaces_right", 4, 4), "AB", "C1C24040"),
        (Simple("ans", "ascii", "LLL_bcd", "none", 999, 999), "AB", "00024142"),
        (Simple("b", "hex", "LL", "none", 8, 8), b"\x0a\xff", "303430414646"),  # 04 counts hex digits
        (Simple("b", "hex", "LL", "none", 8, 8, "bytes"), b"\x0a\xff", "303230414646"),
        (Simple("b", "raw", "binary_2", "none", 300, 300), b"\x0a" * 2, "00020A0A"),
    ],
)
def test_fields_stand_as_the_public_descriptions_draw_them(row, value, wire):
    item = make_simple(ABOUT, "value", row)
    assert item.encode(value).hex().upper() == wire
    assert item.decode(bytes.fromhex(wire), 0, len(wire) // 2) == (value, len(wire) // 2)


def test_lower_case_hex_is_read_and_blanks_are_no_hex():
    item = make_simple(ABOUT, "value", Simple("b", "hex", "fixed", "none", 2, 2))
    assert item.decode(b"0aff", 0, 4)[0] == b"\x0a\xff"
    for wrong in (b"0 ff", b" 0ff", b"0x0a", "²²".encode()):
        with pytest.raises(RemoteProtocolError):
            item.decode(wrong, 0, 4)


def test_an_odd_number_of_digits_cannot_be_counted_in_bytes():
    item = make_simple(ABOUT, "value", Simple("n", "bcd", "LL_bcd", "zeros_left", 19, 19, "bytes"))
    with pytest.raises(EncodeError, match="even"):
        item.encode("123")


def test_an_odd_count_of_hex_digits_is_no_length():
    item = make_simple(ABOUT, "value", Simple("b", "hex", "LL", "none", 8, 8))
    with pytest.raises(RemoteProtocolError, match="length"):
        item.decode(b"030AF", 0, 5)


@pytest.mark.parametrize("nibbles", ["12A4", "12F4", "1B34", "C234", "123E"])
def test_nibbles_that_are_no_digits_are_refused(nibbles):
    for kind in ("n", "z"):
        item = make_simple(ABOUT, "value", Simple(kind, "bcd", "fixed", "none", 4, 4))
        with pytest.raises(RemoteProtocolError):
            item.decode(bytes.fromhex(nibbles), 0, 2)


# -- secrets --


@settings(max_examples=10)
@given(RANDOMS, st.sampled_from(["pan", "phone", "name", "secret"]))
def test_no_canary_of_a_sensitive_field_is_ever_shown(rng, kind):
    about = About("value", "2", "t", 2, kind)
    for row in ROWS:
        if row.length != 8 or row.type not in ("n", "z", "b"):
            continue
        size = 9 if row.type == "b" else 18
        row = Simple(row.type, row.encoding, row.prefix, row.padding, size, size, row.unit)
        if not _has_room(row):
            continue
        ends = "".join(rng.choices("012", k=10))  # what may be seen, apart from what may not
        canary = ends[:6] + "".join(rng.choices("3456789", k=8)) + ends[6:]
        value = bytes.fromhex(canary) if row.type == "b" else canary
        item = make_simple(about, "value", row)
        data = item.encode(value)
        begin, stop = item.bounds(data, 0, len(data))
        shown = [mask_bytes(data[begin:stop], kind, item.charset)]
        at = rng.randrange(begin, stop)
        for wrong in (b"\xff", b" ", b"\0"):
            try:
                item.decode(data[:at] + wrong + data[at + 1 :], 0, len(data))
            except RemoteProtocolError as error:
                shown.append(f"{error} {error.found}".encode())
        for text in shown:
            assert _hidden(row, canary, text), (row, text)
            assert len(shown[0]) == stop - begin


def _hidden(row, canary, shown):
    """No four of the digits that may never be seen stand in the text, or as nibbles in the bytes."""
    middle = canary[6:-4]
    forms = [shown.decode("latin-1"), shown.decode("cp500")]
    if row.encoding in ("bcd", "bcd_left", "raw") and b" " not in shown:
        forms.append(shown.hex())
    return not any(middle[at : at + 4] in form for at in range(len(middle) - 3) for form in forms)


# -- what a spec may not combine --


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"type": "ans", "encoding": "bcd"}, "encoding"),
        ({"type": "b", "encoding": "ascii"}, "encoding"),
        ({"type": "n", "encoding": "hex"}, "encoding"),
        ({"type": "n", "encoding": "bcd", "prefix": "rest"}, "prefix"),
        ({"type": "n", "encoding": "bcd", "padding": "spaces_right"}, "padding"),
        ({"type": "b", "padding": "zeros_left"}, "padding"),
        ({"type": "xn", "padding": "zeros_left"}, "padding"),
        ({"type": "n", "encoding": "ascii", "prefix": "LL", "unit": "digits"}, "unit"),
        ({"type": "n", "encoding": "bcd", "unit": "bytes"}, "unit"),
        ({"type": "b", "encoding": "hex", "prefix": "LL", "length": 50}, "length"),
        ({"type": "n", "encoding": "bcd", "prefix": "LL_bcd", "unit": "bytes", "length": 199}, "length"),
    ],
)
def test_what_no_message_could_carry_is_no_spec(change, key):
    row = {"name": "a", "title": "t", "length": 4, **change}
    codec, problems = load_codec({"kind": "iso8583", "name": "x", "fields": {"2": row}}, "x.toml")
    assert codec is None
    assert [problem.key for problem in problems] == [f"fields.2.{key}"]


def test_the_tables_rows_load_from_a_spec():
    for row in ROWS:
        if row.prefix != "rest":
            tree = {"kind": "iso8583", "name": "x", "fields": {"2": table_of(row)}}
            assert load_codec(tree, "x.toml")[1] == [], row


def test_an_error_shows_no_more_digits_of_packed_fields_than_of_text():
    packed = make_simple(ABOUT, "value", Simple("n", "bcd", "fixed", "none", 16, 16))
    with pytest.raises(RemoteProtocolError) as caught:
        packed.decode(bytes.fromhex("62255616203451AF"), 0, 8)
    assert caught.value.found == "6225… of 8 bytes"


def test_of_secret_bytes_in_hex_not_even_the_ends_are_shown():
    item = make_simple(About("value", "2", "t", 2, "pan"), "value", Simple("b", "hex", "fixed", "none", 8, 8))
    data = item.encode(bytes.fromhex("6225561620345170"))
    assert mask_bytes(data, "pan", item.charset) == b"*" * 16
