"""The banks' MACs: published values, other libraries' results, and the platform's over every algorithm."""

import hashlib
import hmac
from typing import Any, get_args

import pytest
from Crypto.Cipher import DES, DES3
from cryptography.hazmat.primitives.hashes import SM3
from cryptography.hazmat.primitives.hmac import HMAC
from hypothesis import given, settings
from hypothesis import strategies as st

from qianzhi.wire.codec import load_codec
from qianzhi.wire.mac import FORMS, KEY_BYTES, MacSpec, make_mac, spec_faults, verify_mac
from qianzhi.wire.mackey import MacKey
from simulators.codecs import bank_codec
from simulators.macs import (
    ALGORITHMS,
    DIGESTS,
    FORM_SIZES,
    hmac_sm3,
    is_signed,
    pos_ecb,
    sign,
    sm4_cbc,
    written,
)

KEY = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
TREE: dict[str, Any] = {
    "kind": "delimited",
    "name": "any",
    "title": "any",
    "charset": "gbk",
    "delimiter": "|",
    "header": [
        {"name": "code", "title": "code", "type": "n", "length": 4},
        {"name": "name", "title": "name", "type": "ans", "length": 40},
        {"name": "amount", "title": "amount", "type": "n", "length": 12},
    ],
    "bodies": [],
    "trailer": [
        {"name": "mac", "title": "mac", "type": "an", "length": 64},
        {"name": "after", "title": "after", "type": "ans", "length": 20},
    ],
}
MESSAGE = {"code": "1001", "name": "张三 |".replace("|", "x"), "amount": "5000", "after": "end"}


def test_hmac_over_sm3_is_that_of_another_library() -> None:
    for key in (KEY, bytes(64), bytes(range(100))):
        maker = HMAC(key, SM3())
        maker.update(b"abc")
        assert hmac_sm3(key, b"abc") == maker.finalize()


def test_sm4_of_one_block_is_the_published_example() -> None:
    """GB/T 32907, appendix A: one encryption of a block under itself."""
    assert sm4_cbc(KEY, KEY).hex().upper() == "681EDF34D206965E86B3E94F536E4246"
    assert sm4_cbc(KEY, b"") == sm4_cbc(KEY, bytes(16))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [  # RFC 2202 and RFC 4231, test case 2
        ("hmac_md5", "750c783e6ab0b503eaa86e310a5db738"),
        ("hmac_sha1", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        ("hmac_sha256", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    ],
)
def test_hmacs_are_the_published_ones(name: str, wanted: str) -> None:
    assert ALGORITHMS[name](b"Jefe", b"what do ya want for nothing?").hex() == wanted


def test_triple_des_in_chains_is_that_of_a_library_that_has_it_whole() -> None:
    for size in (1, 8, 20):
        data = bytes(range(size))
        chain = DES3.new(KEY, DES3.MODE_CBC, bytes(8)).encrypt(data.ljust(-(-size // 8) * 8, b"\0"))
        assert ALGORITHMS["cbc3des"](KEY, data) == chain[-8:]


def test_the_mac_of_terminals_folds_writes_in_hex_and_encrypts_half_by_half() -> None:
    """Two blocks whose exclusive or is known, step by step as the terminals' manuals say."""
    data = bytes.fromhex("0102030405060708") + bytes.fromhex("F0F0F0F0")
    letters = b"F1F2F3F405060708"
    des = DES.new(KEY[:8], DES.MODE_ECB)  # noqa: S304 - what terminals use
    once = des.encrypt(letters[:8])
    mixed = bytes(one ^ other for one, other in zip(once, letters[8:], strict=True))
    assert pos_ecb(KEY[:8], data) == des.encrypt(mixed)


def test_digests_take_the_key_where_the_table_says() -> None:
    for place, data in (("before", KEY + b"text"), ("after", b"text" + KEY), ("none", b"text")):
        table = MacSpec(algorithm="sha256", key_place=place, form="hex64", lists={"default": ["code"]})
        assert written(table, KEY, b"text") == hashlib.sha256(data).hexdigest().upper().encode()


def tables() -> list[MacSpec]:
    """Return every algorithm in every form, cover, case and place of the key that can be."""
    found = []
    for algorithm in get_args(MacSpec.__annotations__["algorithm"]):
        for form in FORMS:
            for covers in get_args(MacSpec.__annotations__["covers"]):
                for place in ("before", "after", "none") if algorithm in DIGESTS else ("after",):
                    case = "lower" if len(found) % 2 else "upper"
                    table = MacSpec(
                        algorithm=algorithm,
                        form=form,
                        covers=covers,
                        case=case,
                        key_place=place,
                        choose_by="code",
                        lists={"default": ["name", "amount", "code"]} if covers == "fields" else {},
                        selection="cups" if len(found) % 3 else "none",
                        absent="empty" if len(found) % 5 else "skip",
                    )
                    if not spec_faults(table) and not form.startswith("raw"):
                        found.append(table)
    return found


def key_for(algorithm: str) -> bytes:
    return (KEY * 2)[: 16 if 16 in KEY_BYTES[algorithm] else 8]


def test_every_form_has_its_size() -> None:
    assert {name: form.length for name, form in FORMS.items()} == FORM_SIZES
    assert set(ALGORITHMS) | set(DIGESTS) == set(get_args(MacSpec.__annotations__["algorithm"]))


def test_each_end_finds_the_others_mac_right_and_a_changed_one_wrong() -> None:
    platform, problems = load_codec(TREE, "any")
    assert platform is not None, problems
    bank = bank_codec(TREE)
    checked = tables()
    assert len(checked) > 150
    for table in checked:
        key = key_for(table.algorithm)
        ours, theirs = dict(MESSAGE), dict(MESSAGE)
        sign(table, ours, bank, key)
        make_mac(table, theirs, platform, MacKey(key))
        assert ours == theirs, table
        frame = bank.encode(ours)
        verify_mac(table, platform.decode(frame), platform, [MacKey(key)], frame)
        assert is_signed(table, bank.decode(frame), bank, key, frame)
        changed = {**ours, "amount": "6000", "after": "END"}
        assert not is_signed(table, changed, bank, key, bank.encode(changed)), table
        del changed["mac"]
        assert not is_signed(table, changed, bank, key, bank.encode(changed))


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=200), name=st.sampled_from(sorted(ALGORITHMS)))
def test_all_algorithms_agree_with_the_platforms_on_any_bytes(data: bytes, name: str) -> None:
    from qianzhi.wire.algorithms import authenticate

    key = key_for(name)
    assert ALGORITHMS[name](key, data) == authenticate(name, "after", MacKey(key), data)


def test_a_mac_of_raw_bytes_and_check_value_is_both_ends_same() -> None:
    table = MacSpec(algorithm="x919", form="raw4_kcv4", lists={"default": ["code"]})
    made = written(table, KEY, b"data")
    assert made[4:].hex().upper() == "08D7B4FB"  # of this key, as published with it
    assert written(MacSpec(algorithm="x919", form="raw4", lists={}), KEY, b"data") == made[:4]
    assert hmac.compare_digest(FORMS["raw4_kcv4"].write(ALGORITHMS["x919"](KEY, b"data"), MacKey(KEY)), made)
