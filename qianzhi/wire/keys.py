"""Working keys: wrapping under a master key, check values, delivery by 0800/101, and the ring of keys in use.

A key is delivered encrypted under the member's master key (ECB): of single length in one binary field with no
tag, of double length behind a tag of the private field with the binary field zero.  The delivery's MAC field
holds four raw bytes of MAC and four of check value, both made with the new key; the algorithm follows the
key's length. Patterned on the public UnionPay key reset.
"""

import hmac
from dataclasses import dataclass, replace

from qianzhi.runtime.now import Now
from qianzhi.runtime.table import table
from qianzhi.wire.codec import Codec
from qianzhi.wire.des import DesKey
from qianzhi.wire.errors import KeyCheckError
from qianzhi.wire.items import Message
from qianzhi.wire.mac import MacSpec, compute_mac
from qianzhi.wire.mackey import MacKey
from qianzhi.wire.paths import get_path, put_path

CHECK_BYTES = 4
MAC_FIELD_BYTES = 8
_PARITY = bytes(byte ^ 1 if byte.bit_count() % 2 == 0 else byte for byte in range(256))


def wrap(master: bytes, key: bytes) -> bytes:
    """Encrypt a key of 8 or 16 bytes under the master key (ECB)."""
    return DesKey(master).encrypt(_sized(key))


def unwrap(master: bytes, wrapped: bytes) -> bytes:
    """Decrypt a key of 8 or 16 bytes; raises KeyCheckError for another size.  Whether it is right, its check
    value says."""
    return DesKey(master).decrypt(_sized(wrapped))


def check_value(key: bytes) -> bytes:
    """Return the check value of a key: eight zero bytes encrypted under it; four of them travel."""
    return DesKey(_sized(key)).encrypt(bytes(8))


def with_parity(key: bytes) -> bytes:
    """Return the key with odd parity in each byte, as generated keys have it; DES itself ignores the bit."""
    return key.translate(_PARITY)


def _sized(key: bytes) -> bytes:
    if len(key) not in (8, 16):
        raise KeyCheckError("a key has 8 or 16 bytes")
    return key


@table
class DeliverySpec:
    """Where the parts of a key delivery stand, and its MAC fields.

    `mac` gives the list, joins and prefixes; its algorithm and form do not count here.  `security` is the
    control field whose first digit tells the key's purpose (1 PIN key, 2 MAC key) and whose second its length
    (0 single, 6 double).
    """

    mac: MacSpec
    security: str = "security"
    single: str = "key_data"
    double: str = "private.NK.key"


PURPOSES = {"1": "pin", "2": "mac"}
_DIGITS = {purpose: digit for digit, purpose in PURPOSES.items()}


@dataclass(frozen=True)
class Delivered:
    """A delivered key in the clear, and what it is for (`mac` or `pin`); its text form shows no key."""

    key: bytes
    purpose: str

    def __repr__(self) -> str:
        return f"Delivered({len(self.key)} bytes, {self.purpose})"


def build_delivery(
    spec: DeliverySpec, message: Message, codec: Codec, master: bytes, delivered: Delivered
) -> Message:
    """Return the message (type, times, serial, receiver and code set by the caller) with key, control and
    MAC."""
    double = len(_sized(delivered.key)) == 16
    message = {**message}
    control = _DIGITS[delivered.purpose] + ("6" if double else "0")
    put_path(message, spec.security, control.ljust(16, "0"))
    wrapped = wrap(master, delivered.key)
    put_path(message, spec.single, bytes(8) if double else wrapped)
    if double:
        put_path(message, spec.double, wrapped)
    put_path(message, spec.mac.field, delivery_mac(spec, message, codec, delivered.key))
    return message


def delivery_mac(spec: DeliverySpec, message: Message, codec: Codec, key: bytes) -> bytes:
    """Return four bytes of MAC and four of check value under the new key, for a delivery or its answer."""
    form = replace(spec.mac, algorithm="by_length", form="raw4_kcv4")
    return compute_mac(form, message, codec, MacKey(key))


def read_delivery(spec: DeliverySpec, message: Message, codec: Codec, master: bytes) -> Delivered:
    """Return the key that a delivery brings, once its check value and MAC have been found right.

    Raises KeyCheckError saying which of them is wrong.
    """
    control = get_path(message, spec.security)
    if not isinstance(control, str) or control[:1] not in PURPOSES or control[1:2] not in ("0", "6"):
        raise KeyCheckError("the security control names no kind of key")
    wrapped = get_path(message, spec.double if control[1] == "6" else spec.single)
    if not isinstance(wrapped, bytes) or len(wrapped) != (16 if control[1] == "6" else 8):
        raise KeyCheckError("the delivery brings no key of the length that it names")
    key = unwrap(master, wrapped)
    verify_delivery_mac(spec, message, codec, key)
    return Delivered(key, PURPOSES[control[0]])


def verify_delivery_mac(spec: DeliverySpec, message: Message, codec: Codec, key: bytes) -> None:
    """Check the MAC field of a delivery or of its answer under the new key; raises KeyCheckError."""
    found = get_path(message, spec.mac.field)
    if not isinstance(found, bytes) or len(found) != MAC_FIELD_BYTES:
        raise KeyCheckError("the delivery carries no MAC and check value")
    expected = delivery_mac(spec, message, codec, key)
    if not hmac.compare_digest(found[CHECK_BYTES:], expected[CHECK_BYTES:]):
        raise KeyCheckError("the check value does not fit the delivered key")
    if not hmac.compare_digest(found[:CHECK_BYTES], expected[:CHECK_BYTES]):
        raise KeyCheckError("the MAC of the delivery is wrong")


class KeyRing:
    """The MAC keys of one line: pending until the other side has it, current, and previous for a grace
    window.

    Pure: the caller gives the time and stores what must survive a restart.
    """

    def __init__(self, grace_us: int, current: bytes | None = None) -> None:
        self._grace_us = grace_us
        self._current = MacKey(current) if current else None
        self._previous: MacKey | None = None
        self._previous_until_us = 0
        self._pending: bytes | None = None
        self._pending_key: MacKey | None = None

    @property
    def current(self) -> MacKey | None:
        """The key under which new messages are made; None before the first exchange."""
        return self._current

    @property
    def pending(self) -> bytes | None:
        """The key that was delivered and not yet taken into use."""
        return self._pending

    def offer(self, key: bytes) -> None:
        """Keep a delivered key as pending; a later delivery replaces it."""
        self._pending = _sized(key)
        self._pending_key = MacKey(key)

    def withdraw(self) -> None:
        """Forget the pending key: its delivery was refused."""
        self._pending = self._pending_key = None

    def confirm(self, now: Now) -> None:
        """Take the pending key into use; raises KeyCheckError when there is none."""
        if self._pending is None:
            raise KeyCheckError("no key is pending")
        self.install(self._pending, now)

    def install(self, key: bytes, now: Now) -> None:
        """Make this key current at once; the one before stays good for verifying until the grace window
        ends."""
        if self._current is not None:
            self._previous = self._current
            self._previous_until_us = now.mono_us + self._grace_us
        self._current = MacKey(_sized(key))
        self.withdraw()

    def verify_candidates(self, now: Now) -> list[MacKey]:
        """Return the keys under which a message may have been made, likeliest first.

        The pending key is among them: its receiver uses it from the moment of its answer, which may come
        after a message on another connection.
        """
        previous = self._previous if now.mono_us < self._previous_until_us else None
        return [key for key in (self._current, self._pending_key, previous) if key is not None]

    def on_time(self, now: Now) -> None:
        """Forget the previous key once its window has ended."""
        if self._previous is not None and now.mono_us >= self._previous_until_us:
            self._previous = None
