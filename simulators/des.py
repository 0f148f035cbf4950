"""MACs and key wrapping for the simulated banks, by pycryptodome alone.

Why here again: the platform's own arithmetic is in `wire`; a bank at the other end must not share its
mistakes. Two-key triple DES is put together from single DES, since the library refuses keys whose halves are
equal.
"""

from hmac import compare_digest
from typing import Any

from Crypto.Cipher import DES

ALLOWED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ,.")


def pick_text(value: str) -> str:
    """Return what goes into a CUPS MAC: capitals, digits, comma, full stop, single blanks."""
    kept = "".join(character for character in value.upper() if character in ALLOWED)
    return " ".join(kept.split())


def pick_bytes(data: bytes) -> bytes:
    """Return what of some bytes goes into a CUPS MAC: of a text beyond ASCII only what looks like ASCII."""
    return pick_text(data.decode("ascii", "ignore")).encode("ascii")


def x99(key: bytes, data: bytes) -> bytes:
    """Return the ANSI X9.9 MAC (8 bytes): DES-CBC from zero, data filled up with zero bytes."""
    return bytes(_cbc(key[:8]).encrypt(_filled(data))[-8:])


def x919(key: bytes, data: bytes) -> bytes:
    """Return the ANSI X9.19 MAC (8 bytes): X9.9 with the left half, then one triple step at the end."""
    last = x99(key, data)
    return bytes(_ecb(key[:8]).encrypt(_ecb(key[8:16]).decrypt(last)))


def cbc_triple(key: bytes, data: bytes) -> bytes:
    """Return the last block of triple DES in CBC from zero, data filled up with zero bytes."""
    block = bytes(8)
    whole = _filled(data)
    for at in range(0, len(whole), 8):
        mixed = bytes(one ^ other for one, other in zip(block, whole[at : at + 8], strict=True))
        block = _ede_encrypt(key, mixed)
    return block


def mac_of(key: bytes, data: bytes) -> bytes:
    """Return the MAC that fits the key's length: X9.9 for 8 bytes, X9.19 for 16."""
    return x99(key, data) if len(key) == 8 else x919(key, data)


def same_mac(one: bytes, other: bytes) -> bool:
    """Compare two MACs in constant time."""
    return compare_digest(one, other)


def unwrap(master: bytes, wrapped: bytes) -> bytes:
    """Decrypt a key of 8 or 16 bytes under the master key, block by block."""
    return b"".join(_ede_decrypt(master, wrapped[at : at + 8]) for at in range(0, len(wrapped), 8))


def wrap(master: bytes, key: bytes) -> bytes:
    """Encrypt a key of 8 or 16 bytes under the master key, block by block."""
    return b"".join(_ede_encrypt(master, key[at : at + 8]) for at in range(0, len(key), 8))


def encrypt(key: bytes, block: bytes) -> bytes:
    """Encrypt one block of 8 bytes under a key of single or double length."""
    return _ede_encrypt(key, block)


def check_value(key: bytes) -> bytes:
    """Return the first four bytes of the key encrypting zeros."""
    return _ede_encrypt(key, bytes(8))[:4]


def _ede_decrypt(key: bytes, block: bytes) -> bytes:
    left, right = _ecb(key[:8]), _ecb(key[-8:])
    return bytes(left.decrypt(right.encrypt(left.decrypt(block))))


def _ede_encrypt(key: bytes, block: bytes) -> bytes:
    left, right = _ecb(key[:8]), _ecb(key[-8:])
    return bytes(left.encrypt(right.decrypt(left.encrypt(block))))


def _ecb(key: bytes) -> Any:
    return DES.new(key, DES.MODE_ECB)  # noqa: S304 - what the dialect prescribes


def _cbc(key: bytes) -> Any:
    return DES.new(key, DES.MODE_CBC, bytes(8))  # noqa: S304 - what the dialect prescribes


def _filled(data: bytes) -> bytes:
    return (data + bytes(-len(data) % 8)) or bytes(8)
