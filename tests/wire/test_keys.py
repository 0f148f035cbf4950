"""Key delivery against public samples and worked values."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianzhi.runtime.now import SECOND_US, Now
from qianzhi.wire.codec import load_codec, put_path
from qianzhi.wire.des import DesKey
from qianzhi.wire.errors import KeyCheckError
from qianzhi.wire.keys import (
    Delivered,
    DeliverySpec,
    build_delivery,
    check_value,
    delivery_mac,
    is_weak,
    read_deliveries,
    read_delivery,
    sign_answer,
    unwrap,
    verify_delivery_mac,
    with_parity,
    wrap,
)
from qianzhi.wire.mac import MacSpec, mac_input
from qianzhi.wire.mackey import MacKey

MASTER = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
PIK = bytes.fromhex("1A2A3D4C5E6E708091A2B3C4D5E6F708")
MAK1 = bytes.fromhex("0123456789ABCDEF")
MAK3 = bytes.fromhex("FEDCBA98765432100123456789ABCDEF")
SPEC = DeliverySpec(
    mac=MacSpec(
        algorithm="by_length",
        lists={
            "default": [
                "mti",
                "transmission_time",
                "stan",
                "response_code",
                "security",
                "network_code",
                "receiver",
            ]
        },
        with_prefix=["receiver"],
    )
)
START = Now(10**12, 1_795_000_000 * SECOND_US)


@pytest.fixture
def reset():
    return {
        "header": {"destination": "99992900", "source": "00010000"},
        "mti": "0800",
        "transmission_time": "1121101500",
        "stan": "000001",
        "network_code": "101",
        "receiver": "99992900",
    }


def test_worked_check_values_and_wrapped_keys():
    assert check_value(MASTER).hex().upper() == "08D7B4FB629D0885"
    assert check_value(PIK).hex().upper() == "5A9B601759AB13D8"
    assert check_value(MAK1).hex().upper() == "D5D44FF720683D0D"
    assert check_value(MAK3).hex().upper() == "7B83586D405902B3"
    assert wrap(MASTER, PIK).hex().upper() == "4B3BA18A6291BA20B175E781A8F63696"
    assert wrap(MASTER, MAK3).hex().upper() == "1FD1B02B237AF9AE1A4D672DCA6CB335"
    assert unwrap(MASTER, wrap(MASTER, PIK)) == PIK


@pytest.mark.parametrize(
    ("key", "purpose", "security", "mac"),
    [
        (PIK, "pin", "1600000000000000", "0DC3F1BC5A9B6017"),
        (MAK3, "mac", "2600000000000000", "0F9944E67B83586D"),
    ],
)
def test_the_worked_deliveries_of_double_length(cups, reset, key, purpose, security, mac):
    message = build_delivery(SPEC, reset, cups, MASTER, Delivered(key, purpose))
    assert message["security"] == security
    assert message["key_data"] == bytes(8)
    assert message["private"]["NK"]["key"] == wrap(MASTER, key)
    assert message["mac"].hex().upper() == mac
    expected = f"0800 1121101500 000001 {security} 101 0899992900".encode()
    assert mac_input(SPEC.mac, message, cups) == expected
    read = cups.decode(cups.encode(message))
    assert read_delivery(SPEC, read, cups, MASTER) == Delivered(key, purpose)


@pytest.mark.parametrize(
    ("number", "purpose", "key", "check"),
    [
        (2, "mac", "51490E75F192EF91", "8945EAB7"),
        (3, "pin", "BF94BF2304D59E9E1C45640131320BE6", "70AF4B76"),
    ],
)
def test_the_public_deliveries_open(vectors, cups, number, purpose, key, check):
    file = vectors("unionpay_upi_keyreset_mac.json")
    master = bytes.fromhex(file["master_key_MMK"])
    assert check_value(master).hex().upper() == "F399F7063F3708CC"
    body = bytes.fromhex(file["messages"][number]["hex"])
    message = cups.decode(body)
    delivered = read_delivery(SPEC, message, cups, master)
    assert (delivered.purpose, delivered.key.hex().upper()) == (purpose, key)
    assert check_value(delivered.key)[:4].hex().upper() == check
    # and building the same delivery gives the captured bytes again
    bare = {
        name: value
        for name, value in message.items()
        if name not in ("private", "key_data", "mac", "security")
    }
    assert cups.encode(build_delivery(SPEC, bare, cups, master, delivered)) == body


def test_a_single_length_key_travels_in_the_binary_field(cups, reset):
    message = build_delivery(SPEC, reset, cups, MASTER, Delivered(MAK1, "mac"))
    assert message["security"] == "2000000000000000"
    assert "private" not in message
    assert read_delivery(SPEC, message, cups, MASTER) == Delivered(MAK1, "mac")


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("private.NK.key", bytes(16), "check value"),
        ("stan", "000002", "MAC"),
        ("mac", bytes(8), "check value"),
        ("mac", b"1234", "no MAC"),
        ("mac", None, "no MAC"),
        ("security", "2000000000000000", "check value"),
        ("security", "9600000000000000", "names no kind"),
        ("security", None, "names no kind"),
        ("private.NK", {}, "no key"),
    ],
)
def test_a_delivery_that_does_not_fit_is_refused(cups, reset, path, value, says):
    message = build_delivery(SPEC, reset, cups, MASTER, Delivered(MAK3, "mac"))
    put_path(message, path, value)
    with pytest.raises(KeyCheckError, match=says) as caught:
        read_delivery(SPEC, message, cups, MASTER)
    assert MAK3.hex() not in str(caught.value).lower()


def test_a_wrong_master_key_shows_as_a_wrong_check_value(cups, reset):
    message = build_delivery(SPEC, reset, cups, MASTER, Delivered(MAK3, "mac"))
    with pytest.raises(KeyCheckError, match="check value"):
        read_delivery(SPEC, message, cups, PIK)


def test_the_answer_is_checked_under_the_new_key(cups, reset):
    answer = {**reset, "mti": "0810", "response_code": "00", "security": "2600000000000000"}
    answer["mac"] = delivery_mac(SPEC, answer, cups, MAK3)
    verify_delivery_mac(SPEC, answer, cups, MAK3)
    with pytest.raises(KeyCheckError):
        verify_delivery_mac(SPEC, answer, cups, PIK)
    with pytest.raises(KeyCheckError):
        verify_delivery_mac(SPEC, {**answer, "response_code": "A7"}, cups, MAK3)


@given(st.sampled_from([8, 16]).flatmap(lambda size: st.binary(min_size=size, max_size=size)))
def test_parity_is_odd_and_changes_no_arithmetic(key):
    odd = with_parity(key)
    assert all(byte.bit_count() % 2 == 1 for byte in odd)
    assert check_value(odd) == check_value(key)


@pytest.mark.parametrize("size", [0, 7, 9, 24])
def test_keys_of_other_sizes_are_refused(size):
    for act in (
        lambda: wrap(MASTER, bytes(size)),
        lambda: unwrap(MASTER, bytes(size)),
        lambda: check_value(bytes(size)),
    ):
        with pytest.raises(KeyCheckError):
            act()
    assert "0123" not in repr(Delivered(MAK1, "mac"))


# Keys in slots

POS_MASTER = bytes.fromhex("CA5D92598DCA48CE8A4C76361A9269E9")
POS_FIELD = "6701EAD6A9AD51E51AA406E2C27FCFA98D0A74B8" + "B651F9E9BACE9AE1" + "0000000000000000" + "AB7153CA"
POS_PIK = bytes.fromhex("807A23AD32B36D457AE91FDF927570EA")
POS_MAK = bytes.fromhex("5BB5C72CD00B7338")


def slot_part(name, length):
    return {"name": name, "title": name, "type": "b", "length": length, "sensitive": "secret"}


@pytest.fixture(scope="module")
def pos():
    """A message with the keys of a terminal's sign-on in field 62: two slots of 16 bytes, each with a check
    value."""
    parts = [slot_part("pin_key", 16), slot_part("pin_check", 4)]
    parts += [slot_part("mac_key", 16), slot_part("mac_check", 4)]
    field = {
        "name": "keys",
        "title": "Keys",
        "layout": "parts",
        "prefix": "LLL",
        "length": 60,
        "parts": parts,
    }
    tree = {"kind": "iso8583", "name": "pos", "title": "Terminal", "fields": {"62": field}}
    codec, problems = load_codec(tree, "pos.toml")
    assert problems == []
    return codec


SLOTS = DeliverySpec(form="slots", pin_key="keys.pin_key", pin_check="keys.pin_check")


def test_the_published_keys_of_a_terminal(pos):
    body = b"0810" + bytes.fromhex("0000000000000004") + b"040" + bytes.fromhex(POS_FIELD)
    message = pos.decode(body)
    delivered = read_deliveries(SLOTS, message, pos, POS_MASTER)
    assert delivered == [Delivered(POS_MAK, "mac"), Delivered(POS_PIK, "pin")]
    assert read_delivery(SLOTS, message, pos, POS_MASTER).key == POS_MAK
    built = build_delivery(SLOTS, {"mti": "0810"}, pos, POS_MASTER, *delivered)
    assert pos.encode(built) == body


def test_slots_in_text_are_hex(xml_tree):
    elements = {name: {"title": name, "type": "an", "length": 32} for name in ("MACKEY", "MACCHECK")}
    codec, problems = load_codec({**xml_tree, "elements": elements}, "spec.toml")
    assert problems == []
    spec = DeliverySpec(form="slots", mac_key="MACKEY", mac_check="MACCHECK")
    message = build_delivery(spec, {}, codec, MASTER, Delivered(MAK3, "mac"))
    assert message == {"MACKEY": "1FD1B02B237AF9AE1A4D672DCA6CB335", "MACCHECK": "7B83586D"}
    read = codec.decode(codec.encode(message))
    assert read_deliveries(spec, read, codec, MASTER) == [Delivered(MAK3, "mac")]
    single = build_delivery(spec, {}, codec, MASTER, Delivered(SINGLE, "mac"))
    assert single["MACKEY"][16:] == "0" * 16
    assert read_delivery(spec, single, codec, MASTER).key == SINGLE
    short = replace(spec, slot_bytes=8)
    message = build_delivery(short, {}, codec, MASTER, Delivered(SINGLE, "mac"))
    assert len(message["MACKEY"]) == 16
    assert read_delivery(short, message, codec, MASTER).key == SINGLE
    with pytest.raises(KeyCheckError, match="does not fit a slot"):
        build_delivery(short, {}, codec, MASTER, Delivered(MAK3, "mac"))
    verify_delivery_mac(spec, message, codec, MAK3)  # nothing to check, since slots have no MAC of their own
    sign_answer(spec, message, codec, MAK3)


SINGLE = bytes.fromhex("5BB5C72CD00B7338")


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("keys.mac_key", None, "no 16 bytes at keys.mac_key"),
        ("keys.mac_key", bytes(8), "no 16 bytes at keys.mac_key"),
        ("keys.mac_key", "00112233 445566778899AABBCCDDEEFF", "no 16 bytes at keys.mac_key"),
        ("keys.mac_key", bytes(16), "check value"),
        ("keys.mac_check", b"\1\2\3", "no 4 bytes at keys.mac_check"),
        ("keys.mac_check", bytes(4), "check value"),
        ("keys.pin_check", bytes(4), "check value does not fit the delivered pin key"),
        ("keys.pin_key", ["x"], "no 16 bytes at keys.pin_key"),
    ],
)
def test_slots_that_do_not_fit_are_refused(pos, path, value, says):
    delivered = (Delivered(MAK3, "mac"), Delivered(PIK, "pin"))
    message = build_delivery(SLOTS, {"mti": "0810"}, pos, MASTER, *delivered)
    put_path(message, path, value)
    with pytest.raises(KeyCheckError, match=says):
        read_deliveries(SLOTS, message, pos, MASTER)


@pytest.mark.parametrize(
    "key", ["0101010101010101", "0123456789ABCDEF0123456789ABCDEF", "0123456789ABCDEFFEFEFEFEFEFEFEFE"]
)
def test_weak_keys_are_refused_in_every_form(pos, cups, reset, key):
    weak = Delivered(bytes.fromhex(key), "mac")
    assert is_weak(weak.key)
    spec = DeliverySpec(form="slots")
    with pytest.raises(KeyCheckError, match="weak"):
        read_deliveries(spec, build_delivery(spec, {}, pos, MASTER, weak), pos, MASTER)
    with pytest.raises(KeyCheckError, match="weak"):
        read_delivery(SPEC, build_delivery(SPEC, reset, cups, MASTER, weak), cups, MASTER)


def test_weakness_does_not_hide_behind_parity():
    assert is_weak(bytes(8))
    assert is_weak(bytes.fromhex("0123456789ABCDEF0022446688AACCEE"))
    assert not is_weak(MASTER)
    for weak in (b"\x01" * 8, b"\xfe" * 8, bytes.fromhex("E0E0E0E0F1F1F1F1")):
        assert DesKey(weak).encrypt(DesKey(weak).encrypt(b"8 bytes.")) == b"8 bytes."  # what makes it weak


def test_a_delivery_needs_its_places(cups, reset):
    with pytest.raises(KeyCheckError, match="fields of its MAC"):
        build_delivery(DeliverySpec(), reset, cups, MASTER, Delivered(MAK3, "mac"))
    with pytest.raises(KeyCheckError, match="no place"):
        build_delivery(DeliverySpec(form="slots"), {}, cups, MASTER, Delivered(MAK3, "pin"))
    assert DeliverySpec(form="slots").paths == ["keys.mac_key", "keys.mac_check"]
    assert "private.NK.key" in SPEC.paths


@given(key=st.binary(min_size=16, max_size=16), noise=st.binary(min_size=16, max_size=16))
def test_no_delivery_error_shows_a_key(pos, key, noise):
    message = build_delivery(SLOTS, {}, pos, MASTER, Delivered(key, "mac"), Delivered(noise, "pin"))
    shapes = [secret.hex() for secret in (key, noise, key[:8], key[8:])]
    for path, value in (("keys.mac_check", bytes(4)), ("keys.pin_key", noise), ("keys.mac_key", key)):
        changed = {"keys": {**message["keys"], path.split(".")[1]: value}}
        with pytest.raises(KeyCheckError) as caught:
            read_deliveries(SLOTS, changed, pos, MASTER)
        text = f"{caught.value} {caught.value!r} {caught.value.__context__!r}".lower()
        assert not any(shape in text for shape in shapes)
    text = repr([Delivered(key, "mac"), MacKey(key)]).lower()
    assert not any(shape in text for shape in shapes)
