"""The banks' codecs against the platform's on any values, over every shipped spec and variant of a field."""

import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qianzhi.wire.codec import Codec, load_codec
from qianzhi.wire.errors import EncodeError, RemoteProtocolError
from simulators.codecs import BankCodec, BankCodecError, bank_codec

SPECS = Path(__file__).parents[2] / "config" / "specs"
Tree = dict[str, Any]

LETTERS = {
    "n": "0123456789",
    "an": "AZaz09",
    "ans": "AZaz09 -.充值银行话费用户漢",
    "z": "0123456789=",
    "dec": "0123456789",
}


TREES = {path.stem: tomllib.loads(path.read_text()) for path in sorted(SPECS.glob("*.toml"))}


def specs(*kinds: str) -> list[str]:
    return [name for name, tree in TREES.items() if tree["kind"] in kinds]


def both(tree: Tree) -> tuple[Codec, BankCodec]:
    platform, problems = load_codec(tree, "spec")
    assert platform is not None, problems
    return platform, bank_codec(tree)


def agree(platform: Codec, bank: BankCodec, message: Tree) -> None:
    """Both write the same bytes, or none of them can; each reads the other's as the other does."""
    try:
        theirs = platform.encode(message)
    except EncodeError:
        assume(False)
        return
    ours = bank.encode(message)
    assert ours == theirs
    assert bank.decode(theirs) == platform.decode(ours)
    for path in message.keys() - {"header", "body"}:
        assert bank.field(path, message) == platform.field_bytes(path, message, False)
        prefixed = bank.field(path, message, with_prefix=True)
        assert prefixed == platform.field_bytes(path, message, True)


def value_of(data: st.DataObject, row: Tree, charset: str = "ascii") -> Any:
    """Draw a value that a simple field may have."""
    kind, length = str(row.get("type", "ans")), int(row.get("length", 8))
    if kind == "b":
        shortest = length if row.get("prefix", "fixed") == "fixed" else 0
        return data.draw(st.binary(min_size=shortest, max_size=length))
    if kind == "xn":
        return "C" + data.draw(st.text("0123456789", min_size=length - 1, max_size=length - 1))
    fixed = row.get("prefix", "fixed") == "fixed"
    shortest = length if fixed and kind in ("z", "dec") else 1
    letters = LETTERS[kind] if charset != "ascii" or kind != "ans" else "AZaz09 -."
    text = data.draw(st.text(letters, min_size=shortest, max_size=length))
    while len(text.encode(charset)) > length:
        text = text[:-1]
    return text.strip(" ") or "7"


def iso_message(data: st.DataObject, tree: Tree) -> Tree:
    """Draw a message of the simple fields of a spec."""
    charset = tree.get("defaults", {}).get("text", "gbk")
    rows = [row for row in tree["fields"].values() if row.get("layout", "simple") == "simple"]
    message: Tree = {"mti": "0200"}
    for row in data.draw(
        st.lists(st.sampled_from(rows), min_size=1, max_size=6, unique_by=lambda r: r["name"])
    ):
        encoding = row.get("encoding", charset)
        charset_here = encoding if encoding in ("gbk", "gb18030", "utf-8") else "ascii"
        message[row["name"]] = value_of(data, row, charset_here)
    if tree.get("header") == "cups":
        message["header"] = {"destination": "00010000", "source": "03023310", "version": 2, "batch": 0}
        message["header"] |= {"reserved": bytes(3), "user_info": b"\0", "transaction_info": "00000000"}
    elif tree.get("header") == "parts":
        message["header"] = {row["name"]: value_of(data, row) for row in tree["header_parts"]}
    return message


@pytest.mark.parametrize("spec", specs("iso8583"))
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_simple_fields_of_a_shipped_spec_travel_alike(spec: str, data: st.DataObject) -> None:
    tree = TREES[spec]
    platform, bank = both(tree)
    agree(platform, bank, iso_message(data, tree))


PREFIXES = ("fixed", "L", "LL", "LLL", "LLLL", "LL_bcd", "LLL_bcd", "LL_ebcdic", "LLL_ebcdic")
PREFIXES += ("binary_1", "binary_2")
ENCODINGS = {
    "n": ("ascii", "bcd", "bcd_left", "ebcdic"),
    "an": ("ascii", "ebcdic", "gbk"),
    "ans": ("ascii", "gbk", "gb18030", "utf-8"),
    "z": ("ascii", "bcd", "bcd_left"),
    "b": ("raw", "hex"),
}
VARIANTS = [
    {"type": kind, "encoding": encoding, "prefix": prefix, **unit}
    for kind, encodings in ENCODINGS.items()
    for encoding in encodings
    for prefix in PREFIXES
    for unit in ({}, {"unit": "bytes"})
    if not unit or (encoding in ("bcd", "bcd_left") and prefix != "fixed")
]


@pytest.mark.parametrize("bitmap", ["binary", "hex"])
@pytest.mark.parametrize("mti", ["ascii", "bcd", "ebcdic"])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_type_in_every_encoding_behind_every_prefix_travels_alike(
    bitmap: str, mti: str, data: st.DataObject
) -> None:
    chosen = data.draw(st.lists(st.sampled_from(VARIANTS), min_size=1, max_size=5))
    number = st.integers(2, 192).filter(lambda n: n != 65)
    numbers = data.draw(st.lists(number, min_size=len(chosen), max_size=len(chosen), unique=True))
    fields = {
        str(number): {"name": f"f{number}", "title": "t", "length": data.draw(st.integers(1, 4)), **row}
        for number, row in zip(numbers, chosen, strict=True)
    }
    tree = {
        "kind": "iso8583",
        "name": "any",
        "title": "any",
        "bitmap": bitmap,
        "bitmaps_max": 3,
        "defaults": {"mti": mti, "text": "gbk"},
        "fields": fields,
    }
    platform, bank = both(tree)
    message: Tree = {"mti": "0210"}
    for row in fields.values():
        charset = row["encoding"] if row["encoding"] in ("gbk", "gb18030", "utf-8") else "ascii"
        message[row["name"]] = value_of(data, row, charset)
    agree(platform, bank, message)


def when_of(row: Tree) -> dict[str, str]:
    """Return a header that calls for a body."""
    said = {name: value if isinstance(value, str) else value[0] for name, value in row["when"].items()}
    return {name: "0000" if value == "*" else value for name, value in said.items() if value}


def text_values(data: st.DataObject, rows: list[Tree], charset: str, forbidden: str) -> Tree:
    """Draw some of the parts of a section, lists among them; no value holds a delimiter."""
    values: Tree = {}
    for row in rows:
        if row.get("layout") == "repeat":
            size = data.draw(st.integers(0, 3))
            entries = [text_values(data, row["parts"], charset, forbidden) for _ in range(size)]
            if size and all(entries):
                values[row["name"]] = entries
        elif not row.get("computed") and not any(row["name"] == one.get("counted_by") for one in rows):
            value = value_of(data, row, charset)
            if data.draw(st.booleans()) and not set(str(value)) & set(forbidden):
                values[row["name"]] = value
    return values


@pytest.mark.parametrize("spec", specs("fixed", "delimited", "pairs"))
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_text_message_of_a_shipped_spec_travels_alike(spec: str, data: st.DataObject) -> None:
    tree = TREES[spec]
    platform, bank = both(tree)
    charset = tree["charset"]
    forbidden = "|;,"
    body = data.draw(st.sampled_from(tree["bodies"]))
    message = text_values(data, tree["header"], charset, forbidden)
    for row in tree["header"]:
        if any(row["name"] in other["when"] for other in tree["bodies"]):
            message.pop(row["name"], None)
    message |= when_of(body)
    inner = text_values(data, body.get("parts", []), charset, forbidden)
    if inner:
        message["body"] = inner
    message |= text_values(data, tree.get("trailer", []), charset, forbidden)
    agree(platform, bank, message)


@pytest.mark.parametrize("spec", specs("xml"))
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_document_of_a_shipped_spec_is_read_alike(spec: str, data: st.DataObject) -> None:
    tree = TREES[spec]
    platform, bank = both(tree)
    message: Tree = {}
    charset = str(tree["charset"]).lower()
    for path, row in tree["elements"].items():
        *above, last = path.split(".")
        repeats = any(tree["elements"][one].get("repeats") for one in [path, *above[:1]])
        if "length" in row and len(above) < 2 and not repeats and data.draw(st.booleans()):
            value = value_of(data, {**row, "prefix": "rest"}, charset)
            if row["type"] == "ans" and len(value) < row["length"]:
                value += data.draw(st.sampled_from("&<>'\"]"))
            (message.setdefault(above[0], {}) if above else message)[last] = value
    try:
        theirs = platform.encode(message)
    except EncodeError:
        assume(False)
        return
    ours = bank.encode(message)
    assert platform.decode(ours) == bank.decode(theirs) == platform.decode(theirs) == bank.decode(ours)


@pytest.mark.parametrize("spec", list(TREES))
@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=120))
def test_any_bytes_are_read_or_refused_and_nothing_else(spec: str, data: bytes) -> None:
    platform, bank = both(TREES[spec])
    with suppress(RemoteProtocolError):
        platform.decode(data)
    with suppress(BankCodecError):
        bank.decode(data)
