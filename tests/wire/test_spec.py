"""Specs that are wrong: every problem is reported, with its place, at once; and rows that no shipped dialect
uses."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianzhi.wire.codec import load_codec
from qianzhi.wire.errors import EncodeError, RemoteProtocolError

BCD = {
    "kind": "iso8583",
    "defaults": {"digits": "bcd", "text": "ascii"},
    "fields": {
        "2": {"name": "pan", "type": "n", "prefix": "LL_bcd", "length": 19, "encoding": "bcd_left"},
        "3": {"name": "processing_code", "type": "n", "length": 6},
        "22": {"name": "entry_mode", "type": "n", "length": 3},
        "35": {"name": "track2", "type": "z", "prefix": "LL_bcd", "length": 37, "encoding": "bcd_left"},
        "41": {"name": "terminal", "type": "ans", "length": 8},
        "60": {"name": "reserved", "type": "n", "prefix": "LLL_bcd", "length": 20},
        "62": {"name": "keys", "type": "b", "prefix": "binary_2", "length": 600},
        "63": {"name": "note", "type": "ans", "prefix": "LLLL", "length": 1000, "encoding": "utf-8"},
    },
}


@pytest.fixture(scope="module")
def packed():
    codec, problems = load_codec(BCD, "pos.toml")
    assert problems == []
    return codec


def test_packed_digits_stand_as_a_terminal_writes_them(packed):
    message = {"mti": "0200", "pan": "622556162034517", "processing_code": "310000", "entry_mode": "051"}
    body = packed.encode({**message, "reserved": "22000001000", "keys": b"\x01\x02"})
    assert body[12:].hex().upper() == "1562255616203451703100000051001102200000100000020102"
    assert packed.decode(body) == {**message, "reserved": "22000001000", "keys": b"\x01\x02"}


@given(
    pan=st.text("0123456789", min_size=1, max_size=19),
    track=st.text("0123456789=", max_size=37),
    note=st.text("充值 é x", max_size=100),
)
def test_packed_and_utf8_fields_come_back(packed, pan, track, note):
    message = {"mti": "0200", "pan": pan, "track2": track, "note": note}
    assert packed.decode(packed.encode(message)) == message


def test_nibbles_that_are_no_digits_are_refused(packed):
    body = packed.encode({"mti": "0200", "processing_code": "310000"})
    with pytest.raises(RemoteProtocolError):
        packed.decode(body[:-1] + b"\x0a")
    with pytest.raises(RemoteProtocolError):
        packed.decode(b"0200" + bytes.fromhex("4000000000000000") + b"\x0a" + b"1" * 10)
    with pytest.raises(EncodeError):
        packed.encode({"mti": "0200", "track2": "1X3"})


def problems_of(tree):
    codec, problems = load_codec(tree, "specs/x.toml")
    assert (codec is None) == bool(problems)
    return {problem.key: problem for problem in problems}


def test_all_problems_of_a_spec_are_reported_at_once():
    found = problems_of(
        {
            "kind": "iso8583",
            "header": "cups47",
            "nonsense": 1,
            "defaults": {"digits": "ebcdik"},
            "fields": {
                "1": {"name": "x", "type": "n", "length": 1},
                "129": {"name": "y", "type": "n", "length": 1},
                "3": {"name": "a", "type": "N", "length": 6, "titel": "x"},
                "4": {"name": "a", "type": "n", "length": "12"},
                "5": {"type": "n", "length": 0},
                "6": {"name": "b", "type": "n", "prefix": "LL", "length": 100},
                "7": {"name": "header", "type": "n", "length": 1, "sensitive": "very"},
                "8": {"name": "c", "layout": "parts", "length": 3},
                "9": {"name": "d", "layout": "tlv", "prefix": "LLL", "length": 3, "tags": {"9F": {}}},
                "10": {"name": "e", "layout": "tagged", "prefix": "LL", "length": 9, "cases": {"LONG": {}}},
                "11": 7,
            },
        }
    )
    expected = {
        "header",
        "nonsense",
        "defaults.digits",
        "fields.1",
        "fields.129",
        "fields.3.type",
        "fields.3.titel",
    }
    expected |= {"fields.4.length", "fields.4.name", "fields.5.name", "fields.5.length", "fields.6.length"}
    expected |= {"fields.7.name", "fields.7.sensitive", "fields.8.parts", "fields.9.tags.9F"}
    expected |= {"fields.10.cases.LONG", "fields.11"}
    assert expected <= set(found)
    assert str(found["fields.6.length"]).startswith("specs/x.toml: fields.6.length: found 100, expected")


def test_problems_of_an_xml_spec():
    found = problems_of(
        {
            "kind": "xml",
            "root": "1x",
            "charset": "EBCDIC",
            "elements": {
                "A.B": {"title": "no parent"},
                "C": {"type": "n", "length": 3},
                "C.D": {"type": "n", "length": 3},
                "E": {"type": "b", "length": 3},
                "F": {"type": "n"},
                "G.": {},
                "charset": {},
            },
        }
    )
    assert {"charset", "elements.A.B", "elements.C.D", "elements.E.type", "elements.F.length"} <= set(found)
    assert {"elements.G.", "elements.charset"} <= set(found)


@pytest.mark.parametrize("tree", [{}, {"kind": "csv"}, {"kind": 3}, {"kind": "iso8583"}, {"kind": "xml"}])
def test_empty_and_foreign_specs_are_problems_not_errors(tree):
    assert problems_of(tree)


JUNK = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-5, 300), st.text(max_size=5), st.floats(allow_nan=False)
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.data())
def test_a_spec_with_anything_in_it_never_raises(cups_tree, xml_tree, data):
    tree = copy.deepcopy((data.draw(st.sampled_from([0, 1])) and cups_tree) or xml_tree)
    table = tree
    while True:
        key = data.draw(st.sampled_from(sorted(table) if isinstance(table, dict) else range(len(table))))
        inner = table[key]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.integers(0, 3)) == 0:
            break
        table = inner
    table[key] = data.draw(JUNK)
    problems_of(tree)


@pytest.mark.parametrize("root", ["M)x", "报文", "1a", "a b", "", None])
def test_a_root_that_is_no_elements_name_is_a_problem(root):
    codec, problems = load_codec(
        {"kind": "xml", "root": root, "elements": {"A": {"type": "n", "length": 3}}}, "x"
    )
    assert codec is None
    assert {problem.key for problem in problems} == {"root"}
