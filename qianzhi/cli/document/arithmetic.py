"""A MAC worked out step by step, so that whoever programs it can compare each result on the way.

One function for each way of calculating, in STEPS; what it ends with must be what the platform itself
computes.
"""

import hmac
from collections.abc import Callable
from typing import NamedTuple

from qianzhi.cli.document.page import Both
from qianzhi.wire.algorithms import DIGESTS, KEY_PLACES, authenticate
from qianzhi.wire.des import BLOCK_BYTES, DesKey
from qianzhi.wire.mackey import MacKey


class Step(NamedTuple):
    """One intermediate result."""

    words: Both
    data: bytes


Steps = Callable[[bytes, bytes], list[Step]]


def worked(algorithm: str, key_place: str, key: bytes, data: bytes) -> list[Step]:
    """Return the steps from the data to the whole MAC, which the last one holds.

    Raises ArithmeticError if they end otherwise than the platform's own arithmetic.
    """
    steps = _digest(algorithm, key_place, key, data) if algorithm in DIGESTS else STEPS[algorithm](key, data)
    if not hmac.compare_digest(steps[-1].data, authenticate(algorithm, key_place, MacKey(key), data)):
        raise ArithmeticError(f"the steps of {algorithm} end with another MAC")
    return steps


def _padded(data: bytes, size: int = BLOCK_BYTES) -> bytes:
    short = -len(data) % size
    return data + bytes(short) if short else data or bytes(size)


def _filled(data: bytes, size: int = BLOCK_BYTES) -> Step:
    blocks = len(_padded(data, size)) // size
    words = Both(
        f"the {len(data)} bytes filled with zero bytes to {blocks} blocks of {size} (none where they "
        "fill the "
        "last block already)",
        f"{len(data)} 字节补零字节至 {blocks} 个 {size} 字节分组（恰为整数个分组时不补）",
    )
    return Step(words, _padded(data, size))


def _chained(key: bytes, data: bytes, words: Both) -> list[Step]:
    return [_filled(data), Step(words, DesKey(key[:8]).chain_single(data))]


CBC_LEFT = Both(
    "DES-CBC over the blocks under the left half of the key, initial vector zero: the last block",
    "以密钥左半做 DES-CBC，初始向量为零，取最后一个分组",
)
CBC = Both(
    "DES-CBC over the blocks, initial vector zero: the last block", "做 DES-CBC，初始向量为零，取最后一个分组"
)


def _x99(key: bytes, data: bytes) -> list[Step]:
    return _chained(key, data, CBC)


def _x919(key: bytes, data: bytes) -> list[Step]:
    steps = _chained(key, data, CBC_LEFT)
    middle = DesKey(key[8:]).decrypt(steps[-1].data)
    return [
        *steps,
        Step(Both("that block decrypted under the right half of the key", "再以密钥右半做 DES 解密"), middle),
        Step(
            Both("and encrypted under the left half: the MAC", "再以密钥左半做 DES 加密，即为 MAC"),
            DesKey(key[:8]).encrypt(middle),
        ),
    ]


def _by_length(key: bytes, data: bytes) -> list[Step]:
    return _x99(key, data) if len(key) == BLOCK_BYTES else _x919(key, data)


def _cbc3des(key: bytes, data: bytes) -> list[Step]:
    words = Both(
        "two-key 3DES-CBC over the blocks, initial vector zero: the last block, the MAC",
        "做双倍长 3DES-CBC，初始向量为零，最后一个分组即为 MAC",
    )
    return [_filled(data), Step(words, DesKey(key).chain_triple(data))]


def _pos_ecb(key: bytes, data: bytes) -> list[Step]:
    whole = _padded(data)
    total = 0
    for at in range(0, len(whole), BLOCK_BYTES):
        total ^= int.from_bytes(whole[at : at + BLOCK_BYTES])
    digits = total.to_bytes(BLOCK_BYTES).hex().upper().encode("ascii")
    des = DesKey(key)
    once = des.encrypt(digits[:8])
    mixed = bytes(one ^ other for one, other in zip(once, digits[8:], strict=True))
    cipher = Both("DES", "DES") if len(key) == BLOCK_BYTES else Both("two-key 3DES", "双倍长 3DES")
    return [
        _filled(data),
        Step(Both("all blocks XORed", "全部分组逐一异或"), total.to_bytes(BLOCK_BYTES)),
        Step(Both("its 16 upper-case hex digits, as bytes", "其 16 个大写十六进制字符的字节"), digits),
        Step(
            Both(f"the first 8 of them encrypted ({cipher.en}, ECB)", f"前 8 字节加密（{cipher.zh}，ECB）"),
            once,
        ),
        Step(Both("XORed with the last 8", "与后 8 字节异或"), mixed),
        Step(
            Both(f"encrypted again ({cipher.en}): the MAC", f"再次加密（{cipher.zh}），即为 MAC"),
            des.encrypt(mixed),
        ),
    ]


def _sm4cbc(key: bytes, data: bytes) -> list[Step]:
    words = Both(
        "SM4-CBC over the blocks, initial vector zero: the last block, the MAC",
        "做 SM4-CBC，初始向量为零，最后一个分组即为 MAC",
    )
    return [_filled(data, 16), Step(words, authenticate("sm4cbc", "after", MacKey(key), data))]


def _hmac(name: str, algorithm: str) -> Steps:
    def steps(key: bytes, data: bytes) -> list[Step]:
        words = Both(
            f"HMAC-{name} of the {len(data)} bytes under the key (RFC 2104), the MAC",
            f"以密钥对这 {len(data)} 字节做 HMAC-{name}（RFC 2104），即为 MAC",
        )
        return [Step(words, authenticate(algorithm, "after", MacKey(key), data))]

    return steps


DIGEST_NAMES = {"md5": "MD5", "sha1": "SHA-1", "sha256": "SHA-256", "sm3": "SM3"}


def _digest(algorithm: str, key_place: str, key: bytes, data: bytes) -> list[Step]:
    name = DIGEST_NAMES[algorithm]
    whole = KEY_PLACES[key_place](key, data)
    made = Step(Both(f"{name} of that: the MAC", f"对其做 {name}，即为 MAC"), DIGESTS[algorithm].make(whole))
    places = {
        "before": Both("the key's bytes, then the data", "密钥字节在前，数据在后"),
        "after": Both("the data, then the key's bytes", "数据在前，密钥字节在后"),
    }
    return [Step(places[key_place], whole), made] if key_place in places else [made]


STEPS: dict[str, Steps] = {
    "x99": _x99,
    "x919": _x919,
    "by_length": _by_length,
    "cbc3des": _cbc3des,
    "pos_ecb": _pos_ecb,
    "sm4cbc": _sm4cbc,
    "hmac_md5": _hmac("MD5", "hmac_md5"),
    "hmac_sha1": _hmac("SHA1", "hmac_sha1"),
    "hmac_sha256": _hmac("SHA256", "hmac_sha256"),
    "hmac_sm3": _hmac("SM3", "hmac_sm3"),
}
ALGORITHM_NAMES = {
    "x99": Both("ANSI X9.9 (single DES)", "ANSI X9.9（单倍长 DES）"),
    "x919": Both("ANSI X9.19 (retail MAC, ISO 9797-1 algorithm 3)", "ANSI X9.19（ISO 9797-1 算法 3）"),
    "by_length": Both(
        "ANSI X9.9 under a key of 8 bytes, X9.19 under one of 16", "8 字节密钥用 ANSI X9.9，16 字节用 X9.19"
    ),
    "cbc3des": Both("3DES-CBC-MAC", "3DES-CBC-MAC"),
    "pos_ecb": Both("XOR and ECB, as POS terminals do it", "POS 终端的异或加 ECB 算法"),
    "sm4cbc": Both("SM4-CBC-MAC", "SM4-CBC-MAC"),
    "hmac_md5": Both("HMAC-MD5", "HMAC-MD5"),
    "hmac_sha1": Both("HMAC-SHA1", "HMAC-SHA1"),
    "hmac_sha256": Both("HMAC-SHA256", "HMAC-SHA256"),
    "hmac_sm3": Both("HMAC-SM3", "HMAC-SM3"),
    "md5": Both("MD5 over the data and a key", "数据拼接密钥后做 MD5"),
    "sha1": Both("SHA-1 over the data and a key", "数据拼接密钥后做 SHA-1"),
    "sha256": Both("SHA-256 over the data and a key", "数据拼接密钥后做 SHA-256"),
    "sm3": Both("SM3 over the data and a key", "数据拼接密钥后做 SM3"),
}
