"""MACs over the bytes around their field, their written forms, and what does not fit together in a spec."""

import hashlib
import hmac

import psec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianzhi.wire.codec import load_codec
from qianzhi.wire.errors import KeyCheckError, MacError, WireError
from qianzhi.wire.mac import FORMS, MacSpec, carries_mac, compute_mac, make_mac, spec_faults, verify_mac
from qianzhi.wire.mackey import MacKey

MAK2 = MacKey(bytes.fromhex("0123456789ABCDEFFEDCBA9876543210"))
MAK3 = MacKey(bytes.fromhex("FEDCBA98765432100123456789ABCDEF"))
LONG = MacKey(bytes(range(100, 132)))
FIELDS = {"default": ["mti", "stan", "amount"]}


def test_all_bytes_before_the_mac_are_covered(cups, purchase):
    spec = MacSpec(algorithm="x919", covers="before", form="hex8")
    make_mac(spec, purchase, cups, MAK2)
    body = cups.encode(purchase)
    covered = body[46:-8]  # without the header of CUPS, with the bitmap that shows the MAC
    padded = covered + bytes(-len(covered) % 8)
    expected = psec.mac.generate_retail_mac(MAK2.material[:8], MAK2.material[8:], padded, 1)
    assert body[-8:] == expected[:4].hex().upper().encode()
    assert verify_mac(spec, cups.decode(body), cups, [MAK3, MAK2], body) is MAK2
    changed = body.replace(b"13800000000", b"13800000001")
    with pytest.raises(MacError):
        verify_mac(spec, cups.decode(changed), cups, [MAK2], changed)


def test_the_frame_counts_as_it_came_and_not_as_we_would_write_it(cups, purchase):
    """A field of another length that is read leniently must not be mended before its MAC is checked."""
    spec = MacSpec(algorithm="x919", covers="before")
    make_mac(spec, purchase, cups, MAK2)
    body = cups.encode(purchase)
    message = cups.decode(body)
    assert verify_mac(spec, message, cups, [MAK2]) is MAK2
    other = body[:-9] + bytes([body[-9] ^ 1]) + body[-8:]
    with pytest.raises(MacError):
        verify_mac(spec, message, cups, [MAK2], other)
    with pytest.raises(MacError):
        verify_mac(spec, message, cups, [MAK2], body[:30])


def test_bytes_after_the_mac(cups_tree):
    """The MAC field moved to the front, so that something stands behind it."""
    fields = {"61": cups_tree["fields"]["128"], "70": cups_tree["fields"]["70"]}
    codec, problems = load_codec({**cups_tree, "header": "none", "fields": fields}, "spec.toml")
    assert problems == []
    message = {"mti": "0820", "network_code": "301"}
    spec = MacSpec(algorithm="hmac_sha256", covers="after", form="hex8")
    make_mac(spec, message, codec, LONG)
    body = codec.encode(message)
    assert body.endswith(message["mac"] + b"301")
    assert message["mac"] == hmac.digest(LONG.material, b"301", "sha256")[:4].hex().upper().encode()
    assert verify_mac(spec, codec.decode(body), codec, [LONG], body) is LONG


def test_a_list_without_fields_still_says_who_carries_none(cups, purchase):
    spec = MacSpec(algorithm="x919", covers="before", lists={"0820": []})
    echo = {"mti": "0820", "stan": "000001"}
    assert not carries_mac(spec, echo)
    assert verify_mac(spec, echo, cups, [MAK2]) is None
    make_mac(spec, echo, cups, MAK2)
    assert "mac" not in echo
    assert carries_mac(spec, purchase)


@pytest.mark.parametrize("covers", ["fields", "before"])
def test_making_a_mac_changes_nothing_else(cups, purchase, covers):
    del purchase["mac"]
    before = repr(purchase)
    spec = MacSpec(algorithm="x919", covers=covers, lists=FIELDS if covers == "fields" else {})
    compute_mac(spec, purchase, cups, MAK2)
    assert repr(purchase) == before
    make_mac(spec, purchase, cups, MAK2)
    assert purchase.pop("mac")
    assert repr(purchase) == before


@pytest.mark.parametrize(
    ("form", "written"),
    [
        ("hex8", b"A9993E36"),
        ("hex16", b"A9993E364706816A"),
        ("hex32", b"A9993E364706816ABA3E25717850C26C"),
        ("hex40", b"A9993E364706816ABA3E25717850C26C9CD0D89D"),
        ("hex8_zeros16", b"A9993E3600000000"),
        ("ascii8", b"A9993E36"),
        ("raw4", bytes.fromhex("A9993E36")),
        ("raw8", bytes.fromhex("A9993E364706816A")),
    ],
)
def test_the_written_forms(form, written):
    """The digest of `abc`, which is well known."""
    mac = hashlib.sha1(b"abc", usedforsecurity=False).digest()
    assert FORMS[form].write(mac, LONG) == written
    assert len(written) == FORMS[form].length


def test_a_mac_with_its_check_value(cups, purchase):
    spec = MacSpec(algorithm="x919", form="raw4_kcv4", lists=FIELDS)
    assert compute_mac(spec, purchase, cups, MAK2)[4:].hex().upper() == "08D7B4FB"


def test_the_case_of_hex_is_part_of_the_form(xml):
    rows = {"field": "Mac", "choose_by": "Head.Type", "join": "|", "selection": "none"}
    lists = {"default": ["Head.TrxCode", "Body.Phone"]}
    message = {"Head": {"TrxCode": "010011"}, "Body": {"Phone": "13800000000"}}
    for case, other in (("lower", "upper"), ("upper", "lower")):
        spec = MacSpec(algorithm="hmac_md5", form="hex16", case=case, lists=lists, **rows)
        make_mac(spec, message, xml, LONG)
        expected = hmac.digest(LONG.material, b"010011|13800000000", "md5")[:8].hex()
        assert message["Mac"] == getattr(expected, case)()
        assert verify_mac(spec, message, xml, [LONG]) is LONG
        message["Mac"] = getattr(message["Mac"], other)()
        with pytest.raises(MacError):
            verify_mac(spec, message, xml, [LONG])


def test_a_digest_without_a_key_needs_none_and_a_keyed_one_does(xml):
    rows = {"field": "Mac", "choose_by": "Head.Type", "form": "hex16", "lists": {"default": ["Head.TrxCode"]}}
    message = {"Head": {"TrxCode": "010011"}}
    bare = MacSpec(algorithm="md5", key_place="none", **rows)
    make_mac(bare, message, xml, LONG)
    assert message["Mac"] == hashlib.md5(b"010011", usedforsecurity=False).hexdigest().upper()[:16]
    assert verify_mac(bare, message, xml, []) is not None
    keyed = MacSpec(algorithm="md5", **rows)
    with pytest.raises(MacError, match="no key"):
        verify_mac(keyed, message, xml, [])
    with pytest.raises(MacError, match="wrong"):
        verify_mac(keyed, message, xml, [LONG])


@pytest.mark.parametrize(
    ("rows", "key"),
    [
        ({"algorithm": "x919", "form": "hex32", "lists": FIELDS}, "form"),
        ({"algorithm": "x99", "form": "hex64", "lists": FIELDS}, "form"),
        ({"algorithm": "hmac_sha1", "form": "hex64", "lists": FIELDS}, "form"),
        ({"algorithm": "hmac_md5", "form": "raw4_kcv4", "lists": FIELDS}, "form"),
        ({"algorithm": "sm4cbc", "form": "raw4_kcv4", "lists": FIELDS}, "form"),
        ({"algorithm": "x919"}, "lists"),
        ({"algorithm": "x919", "lists": {"default": ["mti", "mac"]}}, "lists.default"),
        ({"algorithm": "x919", "lists": FIELDS, "join": "、"}, "join"),
        ({"algorithm": "x919", "lists": FIELDS, "take": {"stan": 0}}, "take.stan"),
        ({"algorithm": "x919", "lists": FIELDS, "take": {"pan": 4}}, "take.pan"),
        ({"algorithm": "x919", "lists": FIELDS, "with_prefix": ["pan"]}, "with_prefix.pan"),
        ({"algorithm": "x919", "covers": "before", "lists": FIELDS}, "lists.default"),
        ({"algorithm": "x919", "covers": "after", "take": {"stan": 2}}, "take"),
        ({"algorithm": "x919", "covers": "after", "with_prefix": ["stan"]}, "with_prefix"),
        ({"algorithm": "x919", "key_place": "before", "lists": FIELDS}, "key_place"),
        ({"algorithm": "hmac_sm3", "key_place": "none", "lists": FIELDS}, "key_place"),
    ],
)
def test_rows_that_do_not_fit_together(rows, key):
    assert [found for found, *_ in spec_faults(MacSpec(**rows))] == [key]


@pytest.mark.parametrize(
    "rows",
    [
        {"algorithm": "x919", "form": "raw4_kcv4", "lists": FIELDS},
        {"algorithm": "hmac_sm3", "form": "hex64", "lists": FIELDS},
        {"algorithm": "sha256", "key_place": "before", "form": "hex64", "covers": "before"},
        {"algorithm": "pos_ecb", "form": "ascii8", "covers": "before", "lists": {"0800": []}},
    ],
)
def test_rows_that_fit(rows):
    assert spec_faults(MacSpec(**rows)) == []


@given(st.sampled_from([8, 16, 24, 32]).flatmap(lambda size: st.binary(min_size=size, max_size=size)))
def test_no_error_shows_a_key(cups, material):
    key = MacKey(material)
    shapes = {material.hex(), material.hex().upper(), repr(material)}
    message = {"mti": "0200", "stan": "000123", "mac": b"00000000"}
    for algorithm in ("x99", "x919", "pos_ecb", "hmac_sha256", "md5", "sm4cbc"):
        spec = MacSpec(algorithm=algorithm, lists=FIELDS)
        with pytest.raises((KeyCheckError, MacError)) as caught:
            verify_mac(spec, message, cups, [key])
        error = caught.value
        assert isinstance(error, WireError)
        assert not any(shape in f"{error} {error!r} {error.__context__!r} {key}" for shape in shapes)
