"""PIN blocks of ISO 9564: formats 0, 1 and 3, and format 0 without an account number.

    PIN field      C L P P P P … F F     C control digit, L length of the PIN, then the PIN, then fill
    account field  0 0 0 0 A … A         the twelve digits left of the check digit
    clear block    the exclusive or of both; format 1 has the PIN field alone

The clear block is encrypted under the PIN key (DES or two-key 3DES, ECB).  Random digits are an argument.  No
error and no text form shows a PIN or an account number.
"""

from typing import NamedTuple

from qianzhi.wire.des import BLOCK_BYTES, DesKey
from qianzhi.wire.errors import KeyCheckError, WireError
from qianzhi.wire.rows import is_digits

PIN_DIGITS = range(4, 13)
BLOCK_DIGITS = 2 * BLOCK_BYTES
ACCOUNT_DIGITS = 12
FILL_BYTES = BLOCK_DIGITS - 2 - PIN_DIGITS[0]  # one for each digit of the longest fill


class PinError(WireError):
    """A PIN block that cannot be made or read; nothing of it is said."""


class Format(NamedTuple):
    """One format: its control digit, whether an account number enters, and the least of `fills` fill digits
    up to F."""

    control: int
    with_account: bool
    fills: int


FORMATS: dict[str, Format] = {
    "0": Format(0, with_account=True, fills=1),
    "0_alone": Format(
        0, with_account=False, fills=1
    ),  # X9.8 as some lines have it, without the account number
    "1": Format(1, with_account=False, fills=16),
    "3": Format(3, with_account=True, fills=6),
}


def make_block(form: str, pin: str, pan: str = "", fill: bytes = b"") -> bytes:
    """Return the clear block of a PIN of 4 to 12 digits; `pan` counts in formats 0 and 3.

    `fill` is random bytes, FILL_BYTES are always enough, for formats 1 and 3.  Raises PinError.
    """
    row = _row(form)
    if not is_digits(pin) or len(pin) not in PIN_DIGITS:
        raise PinError("a PIN has 4 to 12 digits")
    wanted = BLOCK_DIGITS - 2 - len(pin)
    if row.fills > 1 and len(fill) < wanted:
        raise PinError(f"format {form} takes {wanted} random bytes")
    filling = (
        "".join(f"{15 - byte % row.fills:X}" for byte in fill[:wanted]) if row.fills > 1 else "F" * wanted
    )
    field = bytes.fromhex(f"{row.control:X}{len(pin):X}{pin}{filling}")
    return _mixed(field, _account(pan)) if row.with_account else field


def read_block(form: str, block: bytes, pan: str = "") -> str:
    """Return the PIN in a clear block; raises PinError when it is no block of that format and account."""
    row = _row(form)
    if len(block) != BLOCK_BYTES:
        raise PinError(f"a PIN block has {BLOCK_BYTES} bytes")
    digits = (_mixed(block, _account(pan)) if row.with_account else block).hex()
    control, length = int(digits[0], 16), int(digits[1], 16)
    pin, filling = digits[2 : 2 + length], digits[2 + length :]
    right = control == row.control and length in PIN_DIGITS and is_digits(pin)
    if not right or any(int(digit, 16) <= 15 - row.fills for digit in filling):
        raise PinError(f"not a PIN block of format {form} under this key and account number")
    return pin


def encrypt_block(key: bytes, block: bytes) -> bytes:
    """Encrypt a clear block under a PIN key of 8 or 16 bytes; raises PinError or
    KeyCheckError for other sizes."""
    return _key(key, block).encrypt(block)


def decrypt_block(key: bytes, block: bytes) -> bytes:
    """Decrypt a block; whether the key was right, `read_block` finds out.  Raises as `encrypt_block`."""
    return _key(key, block).decrypt(block)


def _key(key: bytes, block: bytes) -> DesKey:
    if len(block) != BLOCK_BYTES:
        raise PinError(f"a PIN block has {BLOCK_BYTES} bytes")
    if len(key) not in (8, 16):
        raise KeyCheckError("a PIN key has 8 or 16 bytes")
    return DesKey(key)


def _row(form: str) -> Format:
    if form not in FORMATS:
        raise PinError("a format among " + ", ".join(FORMATS))
    return FORMATS[form]


def _account(pan: str) -> bytes:
    """Return the account field: the last twelve digits but for the check digit."""
    if not is_digits(pan) or len(pan) <= ACCOUNT_DIGITS:
        raise PinError("an account number has at least 13 digits")
    return bytes.fromhex(pan[-ACCOUNT_DIGITS - 1 : -1].rjust(BLOCK_DIGITS, "0"))


def _mixed(one: bytes, other: bytes) -> bytes:
    return bytes(left ^ right for left, right in zip(one, other, strict=True))
