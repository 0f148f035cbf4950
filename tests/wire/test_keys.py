"""Key delivery against public samples and worked values, and the ring of keys around an exchange."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianzhi.runtime.now import SECOND_US, Now
from qianzhi.wire.codec import put_path
from qianzhi.wire.errors import KeyCheckError
from qianzhi.wire.keys import (
    Delivered,
    DeliverySpec,
    KeyRing,
    build_delivery,
    check_value,
    delivery_mac,
    read_delivery,
    unwrap,
    verify_delivery_mac,
    with_parity,
    wrap,
)
from qianzhi.wire.mac import MacSpec, mac_input

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


def test_the_previous_key_stays_good_until_the_grace_window_ends():
    ring = KeyRing(grace_us=180 * SECOND_US, current=MAK1)
    old = ring.current
    ring.offer(MAK3)
    assert ring.current is old
    assert len(ring.verify_candidates(START)) == 2
    ring.confirm(START)
    new = ring.current
    assert new is not old
    assert ring.pending is None
    assert ring.verify_candidates(START.after(179 * SECOND_US)) == [new, old]
    assert ring.verify_candidates(START.after(180 * SECOND_US)) == [new]
    ring.on_time(START.after(180 * SECOND_US))
    assert ring.verify_candidates(START) == [new]


def test_a_refused_delivery_leaves_the_current_key():
    ring = KeyRing(grace_us=SECOND_US, current=MAK1)
    ring.offer(MAK3)
    ring.withdraw()
    assert ring.verify_candidates(START) == [ring.current]
    with pytest.raises(KeyCheckError):
        ring.confirm(START)


def test_a_ring_without_a_key_verifies_nothing():
    ring = KeyRing(grace_us=SECOND_US)
    assert ring.current is None
    assert ring.verify_candidates(START) == []
    ring.install(MAK3, START)
    assert ring.verify_candidates(START) == [ring.current]


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
