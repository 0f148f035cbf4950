"""Every row of the MAC algorithms against values that others published or other libraries compute."""

import hashlib
import hmac

import psec
import pytest
from Crypto.Hash import HMAC, MD5, SHA1, SHA256
from hypothesis import given
from hypothesis import strategies as st

from qianzhi.wire.algorithms import (
    ALGORITHMS,
    DIGESTS,
    KEY_BYTES,
    KEY_PLACES,
    MAC_BYTES,
    authenticate,
    expected_key,
)
from qianzhi.wire.errors import KeyCheckError
from qianzhi.wire.mackey import MacKey

MAK1 = bytes.fromhex("0123456789ABCDEF")
MAK2 = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
TWENTY = bytes.fromhex("0102030405060708090A0B0C0D0E0F1011121314")
BLOCK = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")  # key and text of the published SM4 example


def made(algorithm, key, data, key_place="after"):
    return authenticate(algorithm, key_place, MacKey(key), data).hex().upper()


@pytest.mark.parametrize(
    ("algorithm", "key", "mac"),
    [
        ("x99", MAK1, "A36B313B45A3930C"),
        ("by_length", MAK1, "A36B313B45A3930C"),
        ("x919", MAK2, "1E9B170408AF75B5"),
        ("by_length", MAK2, "1E9B170408AF75B5"),
        ("pos_ecb", MAK1, "52E6864331300833"),
        ("pos_ecb", MAK2, "98053F027203879B"),
    ],
)
def test_the_worked_values_of_twenty_bytes(algorithm, key, mac):
    assert made(algorithm, key, TWENTY) == mac


@pytest.mark.parametrize(
    ("key", "once", "mixed"),
    [(MAK1, "EFDD3B2FA8839DAF", "DFE50B1798BBAC97"), (MAK2, "65714E46D1BAFCBC", "55497E7EE182CD84")],
)
def test_a_pos_mac_by_its_steps(key, once, mixed):
    """The steps by psec, from the folded block that the worked example prints."""
    folded = b"191A1B1C08080818"
    first = psec.des.encrypt_tdes_ecb(key, folded[:8])
    assert first.hex().upper() == once
    second = psec.tools.xor(first, folded[8:])
    assert second.hex().upper() == mixed
    assert psec.des.encrypt_tdes_ecb(key, second).hex().upper() == made("pos_ecb", key, TWENTY)
    assert made("pos_ecb", key, b"") == made("pos_ecb", key, bytes(16))


@pytest.mark.parametrize(
    ("key", "text", "mac"),
    [
        ("51490E75F192EF91", "0800 0517160726 000535 2000000000000000 101 0844190440", "FFAB6DBF1136E560"),
        (
            "BF94BF2304D59E9E1C45640131320BE6",
            "0800 0517094653 000522 1600000000000000 101 0844190440",
            "ED5F4AE9F793F2D9",
        ),
    ],
)
def test_the_whole_macs_of_two_captured_deliveries(key, text, mac):
    assert made("by_length", bytes.fromhex(key), text.encode()) == mac


def test_the_published_sm4_values():
    assert made("sm4cbc", BLOCK, BLOCK) == "681EDF34D206965E86B3E94F536E4246"
    # the chain of a published CBC example whose vector equals its first block: after it, zeros go in first
    assert made("sm4cbc", BLOCK, bytes(16) + BLOCK) == "F6125F7275CE552C3A2BBCF533DE8A3B"
    assert made("sm4cbc", BLOCK, BLOCK[:5]) == made("sm4cbc", BLOCK, BLOCK[:5] + bytes(11))
    assert made("sm4cbc", BLOCK, b"") == made("sm4cbc", BLOCK, bytes(16))


def test_the_published_sm3_values():
    assert DIGESTS["sm3"].make(b"abc").hex() == (
        "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
    )
    assert DIGESTS["sm3"].make(b"abcd" * 16).hex() == (
        "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732"
    )


@pytest.mark.parametrize(
    ("algorithm", "text", "digest"),
    [
        ("md5", b"abc", "900150983CD24FB0D6963F7D28E17F72"),
        ("sha1", b"abc", "A9993E364706816ABA3E25717850C26C9CD0D89D"),
        ("sha256", b"abc", "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"),
    ],
)
def test_the_published_digests(algorithm, text, digest):
    assert made(algorithm, b"", text, "none") == digest
    key = text[:1] * 16
    assert made(algorithm, key, text, "before") == made(algorithm, b"", key + text, "none")
    assert made(algorithm, key, text, "after") == made(algorithm, b"", text + key, "none")


@pytest.mark.parametrize(
    ("algorithm", "mac"),
    [
        ("hmac_md5", "56461EF2342EDC00F9BAB995690EFD4C"),
        ("hmac_sha1", "4C1A03424B55E07FE7F27BE1D58BB9324A9A5A04"),
        ("hmac_sha256", "A3B6167473100EE06E0C796C2955552B"),
    ],
)
def test_the_published_hmacs_of_a_cut_message(algorithm, mac):
    """The fifth cases of RFC 2202 and RFC 4231; the key of the one of MD5 is its own."""
    key = bytes([0x0C]) * (16 if algorithm == "hmac_md5" else 20)
    assert made(algorithm, key, b"Test With Truncation").startswith(mac)


@given(key=st.binary(min_size=16, max_size=64), data=st.binary(max_size=300))
def test_hmacs_and_digests_agree_with_other_libraries(key, data):
    for name, module in (("md5", MD5), ("sha1", SHA1), ("sha256", SHA256)):
        other = HMAC.new(key, data, module).hexdigest().upper()
        assert made(f"hmac_{name}", key, data) == other
        assert made(name, key, data) == module.new(data + key).hexdigest().upper()


@given(key=st.binary(min_size=16, max_size=64), data=st.binary(max_size=300))
def test_sm3_agrees_with_the_system_library(key, data):
    if "sm3" not in hashlib.algorithms_available:
        pytest.skip("the system's libcrypto has no SM3")
    assert made("hmac_sm3", key, data) == hmac.new(key, data, "sm3").hexdigest().upper()
    assert made("sm3", key, data, "before") == hashlib.new("sm3", key + data).hexdigest().upper()


@given(key=st.binary(min_size=16, max_size=16), data=st.binary(max_size=200))
def test_the_pos_mac_agrees_with_psec(key, data):
    blocks = [data[at : at + 8].ljust(8, b"\0") for at in range(0, len(data), 8)]
    folded = bytes(8)
    for block in blocks:
        folded = psec.tools.xor(folded, block)
    text = folded.hex().upper().encode()
    for size in (8, 16):
        once = psec.des.encrypt_tdes_ecb(key[:size], text[:8])
        last = psec.des.encrypt_tdes_ecb(key[:size], psec.tools.xor(once, text[8:]))
        assert made("pos_ecb", key[:size], data) == last.hex().upper()


def test_every_row_has_its_sizes():
    assert set(KEY_BYTES) == set(MAC_BYTES) == set(ALGORITHMS) | set(DIGESTS)
    for name, length in MAC_BYTES.items():
        key = MacKey(bytes(range(min(KEY_BYTES[name]))))
        for place in KEY_PLACES if name in DIGESTS else ("after",):
            assert len(authenticate(name, place, key, b"data")) == length


@pytest.mark.parametrize("algorithm", sorted(KEY_BYTES))
@pytest.mark.parametrize("size", [0, 7, 8, 9, 15, 16, 17, 24, 64, 65])
def test_a_key_of_the_wrong_length_is_refused(algorithm, size):
    key = MacKey(bytes(range(size)))
    if size in KEY_BYTES[algorithm]:
        assert authenticate(algorithm, "after", key, b"data")
        return
    with pytest.raises(KeyCheckError, match=expected_key(algorithm)):
        authenticate(algorithm, "after", key, b"data")


def test_the_lengths_in_words():
    assert [expected_key(name) for name in ("x99", "x919", "by_length", "hmac_sm3")] == [
        "8 bytes",
        "16 bytes",
        "8 or 16 bytes",
        "16 to 64 bytes",
    ]


@given(st.binary(min_size=16, max_size=64))
def test_no_key_shows_itself(material):
    key = MacKey(material)
    for text in (repr(key), str(key), f"{key}", repr([key])):
        assert text.strip("[]") == f"MacKey({len(material)} bytes)"


def test_the_mac_of_terminals_does_not_tell_in_which_order_its_blocks_stand():
    """What docs/adr/0008 warns of; should this ever fail, the warning may go."""
    key = MacKey(bytes.fromhex("0123456789ABCDEF1133557799BBDDFF"))
    one = authenticate("pos_ecb", "after", key, b"AMOUNT01PHONE002")
    assert one == authenticate("pos_ecb", "after", key, b"PHONE002AMOUNT01")
