"""The arithmetic of MACs, one row for each algorithm, from maintained libraries: what is the key, how long is
the result.

DES comes from `des`; digests and HMACs from the standard library; SM3 and SM4 from `cryptography`, which is
imported where a profile asks for them, since that takes time.  No row knows messages, fields or forms.
"""

import hashlib
import hmac
from collections.abc import Callable
from typing import NamedTuple

from qianzhi.wire.des import BLOCK_BYTES
from qianzhi.wire.errors import KeyCheckError
from qianzhi.wire.mackey import MacKey

SM4_BLOCK_BYTES = 16


class Algorithm(NamedTuple):
    """One way to make a MAC: its result has `mac_bytes`, its key one of the lengths in `key_bytes`."""

    make: Callable[[MacKey, bytes], bytes]
    mac_bytes: int
    key_bytes: frozenset[int]


class Digest(NamedTuple):
    """One digest, which becomes a MAC of sorts by the place where a key enters."""

    make: Callable[[bytes], bytes]
    mac_bytes: int


def _x99(key: MacKey, data: bytes) -> bytes:
    return key.des.chain_single(data)


def _x919(key: MacKey, data: bytes) -> bytes:
    return key.des.chain_retail(data)


def _by_length(key: MacKey, data: bytes) -> bytes:
    return key.des.chain_single(data) if key.bytes == BLOCK_BYTES else key.des.chain_retail(data)


def _cbc3des(key: MacKey, data: bytes) -> bytes:
    return key.des.chain_triple(data)


def _pos_ecb(key: MacKey, data: bytes) -> bytes:
    """Return the MAC of POS terminals.

        data, zeros up to whole blocks ─ XOR of all blocks ─▶ 8 bytes ─ as upper-case hex ─▶ 16 characters
        first 8 characters ─ encrypt ─▶ XOR last 8 characters ─ encrypt ─▶ 8 bytes

    Their first eight hex characters travel.  An exclusive or does not tell in which order the blocks stood,
    nor one change from two that cancel each other: this finds accidents, not forgeries (docs/adr/0008).
    """
    folded = _folded(data).hex().upper().encode("ascii")
    left, right = folded[:BLOCK_BYTES], folded[BLOCK_BYTES:]
    once = key.encrypt(left)
    return key.encrypt(bytes(one ^ other for one, other in zip(once, right, strict=True)))


def _folded(data: bytes) -> bytes:
    """Return the exclusive or of all blocks of eight bytes, the last one filled up with zeros."""
    total = 0
    for at in range(0, len(data), BLOCK_BYTES):
        total ^= int.from_bytes(data[at : at + BLOCK_BYTES].ljust(BLOCK_BYTES, b"\0"), "big")
    return total.to_bytes(BLOCK_BYTES, "big")


def _sm4cbc(key: MacKey, data: bytes) -> bytes:
    """Return the last block of SM4-CBC with a zero initial vector; `data` is padded with zeros."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    short = -len(data) % SM4_BLOCK_BYTES
    whole = data + bytes(short) if data else bytes(SM4_BLOCK_BYTES)
    writer = Cipher(algorithms.SM4(key.material), modes.CBC(bytes(SM4_BLOCK_BYTES))).encryptor()
    return writer.update(whole)[-SM4_BLOCK_BYTES:]


def _hmac_of(name: str) -> Callable[[MacKey, bytes], bytes]:
    return lambda key, data: hmac.digest(key.material, data, name)


def _hmac_sm3(key: MacKey, data: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SM3
    from cryptography.hazmat.primitives.hmac import HMAC

    maker = HMAC(key.material, SM3())
    maker.update(data)
    return maker.finalize()


def _digest_of(name: str) -> Callable[[bytes], bytes]:
    # The dialects prescribe their digest, and with it its weakness.
    return lambda data: hashlib.new(name, data, usedforsecurity=False).digest()


def _sm3(data: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SM3, Hash

    maker = Hash(SM3())
    maker.update(data)
    return maker.finalize()


_SINGLE, _DOUBLE = frozenset({8}), frozenset({16})
_LONG = frozenset(range(16, 65))  # shorter keys are guessed, longer ones no reference holds

ALGORITHMS: dict[str, Algorithm] = {
    "x99": Algorithm(_x99, 8, _SINGLE),
    "x919": Algorithm(_x919, 8, _DOUBLE),
    "by_length": Algorithm(_by_length, 8, _SINGLE | _DOUBLE),
    "cbc3des": Algorithm(_cbc3des, 8, _DOUBLE),
    "pos_ecb": Algorithm(_pos_ecb, 8, _SINGLE | _DOUBLE),
    "sm4cbc": Algorithm(_sm4cbc, 16, _DOUBLE),
    "hmac_md5": Algorithm(_hmac_of("md5"), 16, _LONG),
    "hmac_sha1": Algorithm(_hmac_of("sha1"), 20, _LONG),
    "hmac_sha256": Algorithm(_hmac_of("sha256"), 32, _LONG),
    "hmac_sm3": Algorithm(_hmac_sm3, 32, _LONG),
}

DIGESTS: dict[str, Digest] = {
    "md5": Digest(_digest_of("md5"), 16),
    "sha1": Digest(_digest_of("sha1"), 20),
    "sha256": Digest(_digest_of("sha256"), 32),
    "sm3": Digest(_sm3, 32),
}

# Where the key's bytes stand in what a digest is made of.  With a key that comes first, who has seen one MAC
# can make that of a longer message; messages of fixed sizes get away with it, and HMAC is better than either.
KEY_PLACES: dict[str, Callable[[bytes, bytes], bytes]] = {
    "before": lambda key, data: key + data,
    "after": lambda key, data: data + key,
    "none": lambda _key, data: data,
}

KEY_BYTES: dict[str, frozenset[int]] = {name: row.key_bytes for name, row in ALGORITHMS.items()}
KEY_BYTES |= dict.fromkeys(DIGESTS, _LONG)
MAC_BYTES: dict[str, int] = {name: row.mac_bytes for name, row in ALGORITHMS.items()}
MAC_BYTES |= {name: row.mac_bytes for name, row in DIGESTS.items()}


def expected_key(algorithm: str) -> str:
    """Say in words which keys an algorithm takes: `16 bytes`, `8 or 16 bytes`, `16 to 64 bytes`."""
    lengths = sorted(KEY_BYTES[algorithm])
    if len(lengths) > 2:
        return f"{lengths[0]} to {lengths[-1]} bytes"
    return " or ".join(map(str, lengths)) + " bytes"


def authenticate(algorithm: str, key_place: str, key: MacKey, data: bytes) -> bytes:
    """Return the whole MAC of `data`; `key_place` counts for digests alone.

    Raises KeyCheckError when the algorithm takes no key of that length.
    """
    digest = DIGESTS.get(algorithm)
    if digest is not None and key_place == "none":
        return digest.make(data)
    if key.bytes not in KEY_BYTES[algorithm]:
        raise KeyCheckError(f"{algorithm} takes a key of {expected_key(algorithm)}")
    if digest is not None:
        return digest.make(KEY_PLACES[key_place](key.material, data))
    return ALGORITHMS[algorithm].make(key, data)
