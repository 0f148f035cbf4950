"""DES and two-key 3DES arithmetic, from maintained libraries: the system's libcrypto, else pycryptodome.

libcrypto is called through ctypes, or by the compiled kernel at the addresses that ctypes has found: its DES
interface is deprecated but stable and several times faster for short messages.  Where it is absent or does
not reproduce a published value, pycryptodome does the same work.
Nothing here knows keys' purposes or formats.
"""

import ctypes
import ctypes.util
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from qianzhi.wire.kernel import compiled_cipher

BLOCK_BYTES = 8
_ZERO = bytes(BLOCK_BYTES)


class Cipher(Protocol):
    """Single DES under one key of eight bytes."""

    def encrypt(self, block: bytes) -> bytes:
        """Encrypt one block of eight bytes."""

    def decrypt(self, block: bytes) -> bytes:
        """Decrypt one block of eight bytes."""

    def chain(self, data: bytes) -> bytes:
        """Return the last block of DES-CBC with a zero initial vector; `data` is whole blocks and at least
        one."""

    def retail(self, other: Any, data: bytes) -> bytes:
        """Return the retail MAC of data of any length; `other` is the cipher of the right half."""


class PycryptoCipher:
    """Single DES by pycryptodome."""

    def __init__(self, key: bytes) -> None:
        from Crypto.Cipher import DES  # seldom needed, and slow to import

        self._new = partial(DES.new, key)
        self._cbc = DES.MODE_CBC
        self._blocks = self._new(DES.MODE_ECB)  # the banks' dialects prescribe DES

    def encrypt(self, block: bytes) -> bytes:
        """Encrypt one block of eight bytes."""
        return bytes(self._blocks.encrypt(block))

    def decrypt(self, block: bytes) -> bytes:
        """Decrypt one block of eight bytes."""
        return bytes(self._blocks.decrypt(block))

    def chain(self, data: bytes) -> bytes:
        """Return the last block of DES-CBC with a zero initial vector."""
        chained = self._new(self._cbc, iv=_ZERO)
        return bytes(chained.encrypt(data)[-BLOCK_BYTES:])

    def retail(self, other: Cipher, data: bytes) -> bytes:
        """Return the retail MAC of data of any length."""
        return _retail(self, other, data)


class _Schedule(ctypes.Structure):
    _fields_ = (("words", ctypes.c_uint32 * 32),)


class LibcryptoCipher:
    """Single DES by the system's libcrypto; one instance may not be used by two threads at once."""

    def __init__(self, library: ctypes.CDLL, key: bytes) -> None:
        self._schedule = ctypes.byref(_Schedule())
        self._out = ctypes.create_string_buffer(BLOCK_BYTES)
        self._ecb = library.DES_ecb_encrypt
        self._cksum = library.DES_cbc_cksum
        library.DES_set_key_unchecked(key, self._schedule)

    def encrypt(self, block: bytes) -> bytes:
        """Encrypt one block of eight bytes."""
        self._ecb(block, self._out, self._schedule, 1)
        return self._out.raw

    def decrypt(self, block: bytes) -> bytes:
        """Decrypt one block of eight bytes."""
        self._ecb(block, self._out, self._schedule, 0)
        return self._out.raw

    def chain(self, data: bytes) -> bytes:
        """Return the last block of DES-CBC with a zero initial vector."""
        self._cksum(data, self._out, len(data), self._schedule, _ZERO)
        return self._out.raw

    def retail(self, other: Cipher, data: bytes) -> bytes:
        """Return the retail MAC of data of any length."""
        return _retail(self, other, data)


def _retail(left: Cipher, right: Cipher, data: bytes) -> bytes:
    return left.encrypt(right.decrypt(left.chain(_padded(data))))


MakeCipher = Callable[[bytes], Cipher]


def load_libcrypto() -> ctypes.CDLL | None:
    """Return the system's libcrypto when it has the DES functions and computes a published value rightly."""
    name = ctypes.util.find_library("crypto")
    if name is None:
        return None
    try:
        library = ctypes.CDLL(name)
        pointer, buffer = ctypes.c_void_p, ctypes.c_char_p
        library.DES_set_key_unchecked.argtypes = (buffer, pointer)
        library.DES_set_key_unchecked.restype = None
        library.DES_ecb_encrypt.argtypes = (buffer, pointer, pointer, ctypes.c_int)
        library.DES_ecb_encrypt.restype = None
        library.DES_cbc_cksum.argtypes = (buffer, pointer, ctypes.c_long, pointer, buffer)
        library.DES_cbc_cksum.restype = ctypes.c_uint32
    except (OSError, AttributeError):
        return None
    cipher = LibcryptoCipher(library, bytes.fromhex("0123456789ABCDEF"))
    return library if cipher.encrypt(_ZERO) == bytes.fromhex("D5D44FF720683D0D") else None


def make_cipher_maker() -> MakeCipher:
    """Return what makes ciphers here: libcrypto's, or pycryptodome's where that is not to be had."""
    library = load_libcrypto()
    if library is None:
        return PycryptoCipher
    made = compiled_cipher()
    if made is None:
        return lambda key: LibcryptoCipher(library, key)
    functions = (library.DES_set_key_unchecked, library.DES_ecb_encrypt, library.DES_cbc_cksum)
    addresses = [ctypes.cast(function, ctypes.c_void_p).value for function in functions]
    cipher: MakeCipher = partial(made, *addresses)
    return cipher


make_cipher = make_cipher_maker()


class DesKey:
    """A DES key of 8 bytes or a two-key 3DES key of 16, ready for use; its text form shows nothing."""

    def __init__(self, key: bytes, make: MakeCipher = make_cipher) -> None:
        if len(key) not in (8, 16):
            raise ValueError("a DES key has 8 or 16 bytes")
        self.bytes = len(key)
        self._left = make(key[:8])
        self._right = make(key[8:]) if len(key) == 16 else self._left
        # The retail MAC (ANSI X9.19) of data of any length: X9.9 under the left half, the last block in 3DES.
        self.chain_retail: Callable[[bytes], bytes] = partial(self._left.retail, self._right)

    def __repr__(self) -> str:
        return f"DesKey({self.bytes} bytes)"

    def encrypt(self, data: bytes) -> bytes:
        """Encrypt whole blocks independently (ECB); raises ValueError for a broken block."""
        left, right, double = self._left, self._right, self.bytes == 16
        blocks = []
        for block in _blocks(data):
            once = left.encrypt(block)
            blocks.append(left.encrypt(right.decrypt(once)) if double else once)
        return b"".join(blocks)

    def decrypt(self, data: bytes) -> bytes:
        """Decrypt whole blocks independently (ECB); raises ValueError for a broken block."""
        left, right, double = self._left, self._right, self.bytes == 16
        blocks = []
        for block in _blocks(data):
            once = left.decrypt(block)
            blocks.append(left.decrypt(right.encrypt(once)) if double else once)
        return b"".join(blocks)

    def chain_single(self, data: bytes) -> bytes:
        """Return the last block of DES-CBC under the left half (ANSI X9.9); `data` is padded with zeros."""
        return self._left.chain(_padded(data))

    def chain_triple(self, data: bytes) -> bytes:
        """Return the last block of 3DES-CBC with a zero initial vector; `data` is padded with zeros."""
        last = _ZERO
        for block in _blocks(_padded(data)):
            mixed = int.from_bytes(last, "big") ^ int.from_bytes(block, "big")
            last = self.encrypt(mixed.to_bytes(BLOCK_BYTES, "big"))
        return last


def _blocks(data: bytes) -> list[bytes]:
    if len(data) % BLOCK_BYTES:
        raise ValueError("the data is not whole blocks of eight bytes")
    return [data[at : at + BLOCK_BYTES] for at in range(0, len(data), BLOCK_BYTES)]


def _padded(data: bytes) -> bytes:
    """Pad with zeros to whole blocks, adding none when they are whole (ISO 9797-1 padding 1); one block at
    least."""
    short = -len(data) % BLOCK_BYTES
    return data + bytes(short) if short else data or _ZERO
