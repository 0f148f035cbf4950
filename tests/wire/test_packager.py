"""Packager descriptions of our own making become specs that load, and say what they could not carry over."""

import tomllib

import pytest

from qianzhi.wire.codec import load_codec
from qianzhi.wire.packager import PackagerError, import_packager
from qianzhi.wire.packager_rows import CLASSES

DOCTYPE = '<!DOCTYPE isopackager PUBLIC "-//x//EN" "http://127.0.0.1:1/generic-packager-1.0.dtd">'


def description(*fields, attributes="", doctype=DOCTYPE, bitmap="IFB_BITMAP", mti="IFA_NUMERIC"):
    head = f'<isofield id="0" length="4" name="TYPE" class="org.jpos.iso.{mti}"/>'
    head += f'<isofield id="1" length="16" name="BITMAP" class="org.jpos.iso.{bitmap}"/>'
    text = f'<?xml version="1.0" encoding="UTF-8"?>{doctype}<isopackager {attributes}>'
    return f"{text}{head}{''.join(fields)}</isopackager>".encode()


def field(number, name, length, kind, pad=None):
    pad = f' pad="{pad}"' if pad else ""
    return f'<isofield id="{number}" length="{length}" name="{name}" class="org.jpos.iso.{kind}"{pad}/>'


def group(number, name, length, kind, *parts, packager="GenericSubFieldPackager", more=""):
    head = f'<isofieldpackager id="{number}" length="{length}" name="{name}" class="org.jpos.iso.{kind}"'
    head += f' packager="org.jpos.iso.packager.{packager}"{more}>'
    return head + "".join(parts) + "</isofieldpackager>"


def imported(xml):
    result = import_packager(xml)
    tree = tomllib.loads(result.spec_text)
    codec, problems = load_codec(tree, "imported.toml")
    assert problems == []
    return tree, codec, result.notes


def test_a_packed_packager_becomes_a_spec_that_speaks_it():
    xml = description(
        field(2, "PAN", 19, "IFB_LLNUM"),
        field(4, "AMOUNT", 12, "IFB_NUMERIC"),
        field(22, "ENTRY MODE", 3, "IFB_NUMERIC", pad="true"),
        field(23, "SEQUENCE", 3, "IFB_NUMERIC", pad="false"),
        field(35, "TRACK 2", 37, "IFB_LLNUM"),
        field(41, "TERMINAL", 8, "IF_CHAR"),
        field(60, "OWN \t&#228; &quot;data&quot;", 100, "IFB_LLLCHAR"),
        field(64, "MAC", 8, "IFB_BINARY"),
        mti="IFB_NUMERIC",
    )
    tree, codec, _ = imported(xml)
    message = {"mti": "0200", "pan": "6225561620345170123", "amount": "000000000100", "entry_mode": "072"}
    message |= {"card_sequence": "001", "track2": "622556=9", "terminal": "12345678", "mac": b"12345678"}
    body = codec.encode(message)
    assert body.hex() == (
        "0200" + "5000060020800001" + "1962255616203451701230" + "000000000100" + "0072" + "0010"
        "08622556d9" + "3132333435363738" + "3132333435363738"
    )
    assert codec.decode(body) == message
    assert [codec.sensitive(name) for name in ("pan", "track2", "terminal")] == ["pan", "secret", None]
    assert tree["fields"]["60"]["name"] == "own_data"
    assert tree["fields"]["60"]["title"] == 'OWN  ä "data"'


@pytest.mark.parametrize(
    ("mti", "bitmap", "start"),
    [
        ("IFA_NUMERIC", "IFA_BITMAP", b"0200" + b"2000000000000000"),
        ("IFB_NUMERIC", "IFB_BITMAP", b"\x02\x00" + b"\x20" + bytes(7)),
        ("IFE_NUMERIC", "IFE_BITMAP", ("0200" + "2000000000000000").encode("cp500")),
    ],
)
def test_type_and_bitmap_are_carried_over(mti, bitmap, start):
    _, codec, _ = imported(description(field(3, "CODE", 6, "IFA_NUMERIC"), mti=mti, bitmap=bitmap))
    assert codec.encode({"mti": "0200", "processing_code": "000000"}) == start + b"000000"


@pytest.mark.parametrize("kind", sorted(CLASSES))
def test_every_known_class_becomes_a_field_that_loads(kind):
    tree, _, _ = imported(description(field(50, "ANY", 8, kind), field(3, "CODE", 6, "IFA_NUMERIC")))
    assert tree["fields"]["50"]["name"] == "any"


@pytest.mark.parametrize(
    ("kind", "value", "wire"),
    [
        ("IFA_LLLCHAR", "AB", b"002AB"),
        ("IFA_AMOUNT", "C0000012", b"C0000012"),
        ("IFA_BINARY", b"12345678", b"3132333435363738"),
        ("IFA_LLABINARY", b"\x0a\xff", b"020AFF"),
        ("IFA_LLLBINARY", b"\x0a\xff", b"002\x0a\xff"),
        ("IFB_LLLBINARY", b"\x0a\xff", b"\x00\x02\x0a\xff"),
        ("IFB_LLHBINARY", b"\x0a\xff", b"\x02\x0a\xff"),
        ("IFE_LLCHAR", "AB", b"\xf0\xf2\xc1\xc2"),
        ("IFEA_LLCHAR", "AB", b"\xf0\xf2AB"),
        ("IFB_LLHNUM", "123", b"\x03\x12\x30"),
    ],
)
def test_a_class_reads_and_writes_what_its_name_says(kind, value, wire):
    _, codec, _ = imported(description(field(50, "ANY", 8, kind), bitmap="IFB_BITMAP"))
    assert codec.encode({"mti": "0200", "any": value})[12:] == wire


def test_a_signed_amount_of_packed_digits_takes_the_bytes_that_it_takes():
    """One byte of sign and eight digits in four: five, though the description says nine characters."""
    xml = description(field(28, "FEE", 9, "IFB_AMOUNT"), field(41, "TERMINAL", 8, "IF_CHAR"))
    _, codec, notes = imported(xml)
    body = codec.encode({"mti": "0200", "fee": b"C\x00\x00\x12\x34", "terminal": "12345678"})
    assert body.endswith(b"C\x00\x00\x12\x3412345678")
    assert codec.decode(body)["terminal"] == "12345678"
    assert any("field 28: sign" in note for note in notes)


def test_subfields_in_a_row_become_parts_as_deep_as_they_go():
    inner = group(3, "INNER", 20, "IFA_LLCHAR", field(2, "B", 2, "IF_CHAR"), field(1, "A", 1, "IFA_NUMERIC"))
    xml = description(group(48, "PRIVATE", 99, "IFA_LLLCHAR", field(1, "KIND", 2, "IF_CHAR"), inner))
    tree, codec, notes = imported(xml)
    assert [part["name"] for part in tree["fields"]["48"]["parts"]] == ["kind", "inner"]
    message = {"mti": "0200", "private": {"kind": "XY", "inner": {"a": "7", "b": "ZZ"}}}
    assert codec.encode(message)[12:] == b"007XY037ZZ"
    assert codec.decode(codec.encode(message)) == message
    assert len(notes) == 1


def test_what_cannot_be_carried_over_is_said():
    xml = description(
        field(3, "CODE", 6, "IFA_NUMERIC"),
        field(7, "NOT USED", 6, "IF_NOP"),
        field(8, "ODD", 6, "IFMC_LLCHAR"),
        field(9, "LONG", 500, "IFA_LLNUM"),
        field(3, "AGAIN", 6, "IFA_NUMERIC"),
        field(200, "FAR", 6, "IFA_NUMERIC"),
        group(48, "TAGGED", 99, "IFA_LLLCHAR", field(1, "A", 2, "IF_CHAR"), packager="GenericPackager"),
        group(61, "HEX", 99, "IFA_BINARY", field(1, "A", 2, "IF_CHAR")),
        attributes='headerLength="11" thirdBitmapField="65"',
    )
    tree, codec, notes = imported(xml)
    assert set(tree["fields"]) == {"3", "9", "48", "61"}
    for said in (
        "header of 11",
        "third bitmap",
        "field 8",
        "IFMC_LLCHAR",
        "field 9: the length",
        "twice",
        "200",
    ):
        assert any(said in note for note in notes), said
    assert codec.sensitive("private") == "secret"
    assert codec.paths() >= {"header", "header.data"}


def test_fields_past_128_ask_for_a_third_bitmap():
    tree, codec, _ = imported(description(field(130, "FAR", 6, "IFA_NUMERIC")))
    assert tree["bitmaps_max"] == 3
    assert len(codec.encode({"mti": "0200", "far": "000000"})) == 4 + 24 + 6


@pytest.mark.parametrize(
    "xml",
    [
        b"",
        b"<isopackager>",
        b"<isopackager/>",
        b"<other/>",
        b"no xml",
        description(field(3, "ODD", 6, "COM_OWN")),
        description(
            field(3, "&e;", 6, "IFA_NUMERIC"),
            doctype='<!DOCTYPE isopackager [<!ENTITY e SYSTEM "file:///etc/passwd">]>',
        ),
        description(
            field(3, "&e;", 6, "IFA_NUMERIC"),
            doctype='<!DOCTYPE isopackager [<!ENTITY d "dd"><!ENTITY e "&d;&d;&d;">]>',
        ),
        b"<isopackager>" + b" " * 4_000_001 + b"</isopackager>",
    ],
)
def test_what_is_no_description_is_refused(xml):
    with pytest.raises(PackagerError):
        import_packager(xml)


def test_names_of_fields_are_steps_of_paths_and_their_own():
    xml = description(
        field(60, "Mti", 1, "IF_CHAR"),
        field(61, "Same name!", 1, "IF_CHAR"),
        field(62, "same  NAME", 1, "IF_CHAR"),
        field(63, "中文", 1, "IF_CHAR"),
    )
    tree, _, _ = imported(xml)
    names = [tree["fields"][number]["name"] for number in ("60", "61", "62", "63")]
    assert names == ["mti_2", "same_name", "same_name_2", "field_63"]
