"""PIN blocks against worked values, public vectors and psec; and that no error shows a PIN."""

import psec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianzhi.wire.errors import KeyCheckError, WireError
from qianzhi.wire.pin import (
    FILL_BYTES,
    FORMATS,
    PinError,
    decrypt_block,
    encrypt_block,
    make_block,
    read_block,
)

PIK = bytes.fromhex("1A2A3D4C5E6E708091A2B3C4D5E6F708")
FILL = bytes(range(FILL_BYTES))

pins = st.text("0123456789", min_size=4, max_size=12)
pans = st.text("0123456789", min_size=13, max_size=19)
fills = st.binary(min_size=FILL_BYTES, max_size=FILL_BYTES)


@pytest.mark.parametrize(
    ("pin", "pan", "clear", "encrypted"),
    [
        ("123456", "123456789012345678", "061253DFFEDCBA98", None),
        ("123456", "1234567890123456", "0612713176FEDCBA", "B424F00A920464B1"),
        ("123456", "6225561620345170", "061261379DFCBAE8", "0A30A1EB9E4E3E16"),
        ("1234", "9558990000000000001", "041234FFFFFFFFFF", "4D2D67729E43C15B"),
    ],
)
def test_the_worked_blocks(pin, pan, clear, encrypted):
    block = make_block("0", pin, pan)
    assert block.hex().upper() == clear
    assert read_block("0", block, pan) == pin
    if encrypted:
        assert encrypt_block(PIK, block).hex().upper() == encrypted
        assert read_block("0", decrypt_block(PIK, bytes.fromhex(encrypted)), pan) == pin


def test_public_blocks(vectors):
    tests = vectors("psec_mac_pin_cvv_tr31.json")["pinblock"]
    rows = {test["test"]: test.get("rows", []) for test in tests}
    for pin, pan, block in rows["test_encode_pinblock_iso_0"]:
        assert make_block("0", pin, pan).hex().upper() == block
    for pin, pan, start in rows["test_encode_pinblock_iso_3"]:
        block = make_block("3", pin, pan, FILL)
        assert block.hex().upper().startswith(start)
        assert read_block("3", block, pan) == pin
    for pin, pan, _ in rows["test_encode_pinblock_iso_0_exception"]:
        with pytest.raises(PinError):
            make_block("0", pin, pan)


@given(pin=pins, pan=pans, fill=fills, key=st.sampled_from([8, 16]))
def test_blocks_agree_with_psec(pin, pan, fill, key):
    assert make_block("0", pin, pan) == psec.pinblock.encode_pinblock_iso_0(pin, pan)
    assert psec.pinblock.decode_pinblock_iso_3(make_block("3", pin, pan, fill), pan) == pin
    assert read_block("3", psec.pinblock.encode_pinblock_iso_3(pin, pan), pan) == pin
    block = make_block("0", pin, pan)
    assert encrypt_block(PIK[:key], block) == psec.des.encrypt_tdes_ecb(PIK[:key], block)


@given(pin=pins, pan=pans, fill=fills, form=st.sampled_from(sorted(FORMATS)))
def test_what_is_made_can_be_read(pin, pan, fill, form):
    block = decrypt_block(PIK, encrypt_block(PIK, make_block(form, pin, pan, fill)))
    assert read_block(form, block, pan) == pin
    for other in set(FORMATS) - {form}:
        if {form, other} != {"0", "0_alone"}:  # the same control digit
            with pytest.raises(PinError):
                read_block(other, block, pan)


def test_the_fields_by_hand():
    assert make_block("0_alone", "1234").hex().upper() == "041234FFFFFFFFFF"
    assert make_block("1", "1234", fill=bytes(range(0, 160, 16)) + b"x").hex()[:6] == "141234"
    zeros = make_block("1", "123456789012", fill=bytes(2))
    assert zeros.hex().upper() == "1C123456789012FF"
    third = make_block("3", "1234", "0000000000000", bytes(range(10))).hex().upper()
    assert third == "341234FEDCBAFEDC"


@pytest.mark.parametrize("form", sorted(FORMATS))
@pytest.mark.parametrize("pin", ["", "123", "1234567890123", "12a4", "12 4", "１２３４", "-123"])
def test_a_pin_that_is_none(form, pin):
    with pytest.raises(PinError):
        make_block(form, pin, "6225561620345170", FILL)


@pytest.mark.parametrize("pan", ["", "622556162034", "622556162034517a", "６225561620345170"])
def test_an_account_number_that_is_none(pan):
    with pytest.raises(PinError):
        make_block("0", "1234", pan)


def test_sizes_and_names():
    with pytest.raises(PinError, match="random"):
        make_block("1", "1234", fill=bytes(9))
    with pytest.raises(PinError, match="format among"):
        make_block("2", "1234")
    with pytest.raises(PinError, match="8 bytes"):
        read_block("1", bytes(7))
    with pytest.raises(PinError, match="8 bytes"):
        encrypt_block(PIK, bytes(16))
    with pytest.raises(KeyCheckError):
        decrypt_block(PIK[:7], bytes(8))


@pytest.mark.parametrize(
    "block", ["031234FFFFFFFFFF", "0D1234567890123F", "04123AFFFFFFFFFF", "041234FFFFFFFFF0"]
)
def test_a_block_that_is_damaged(block):
    with pytest.raises(PinError):
        read_block("0_alone", bytes.fromhex(block))


@given(pin=pins, pan=pans, block=st.binary(max_size=9), form=st.sampled_from(["0", "0_alone", "1", "3", "9"]))
def test_no_error_shows_a_pin_or_an_account_number(pin, pan, block, form):
    calls = (
        lambda: make_block(form, pin + "x", pan),
        lambda: make_block(form, pin, pan[:12]),
        lambda: make_block(form, pin, pan, fill=b"1"),
        lambda: read_block(form, block, pan),
        lambda: read_block(form, make_block("0", pin, pan), pan[:-2] + "00"),
        lambda: encrypt_block(pin.encode(), make_block("0", pin, pan)),
    )
    for call in calls:
        error = refusal_of(call)
        assert pin not in str(error)
        assert pan[:12] not in str(error)
        assert error is None or error.__context__ is None


def refusal_of(call):
    try:
        call()
    except WireError as error:
        return error
    return None
