"""Working keys: wrapping under a master key, check values and deliveries.

A key travels encrypted under a master key (ECB), with four bytes of check value.  Two forms of delivery are
known:

    cups   one key in a message of its own: of single length in one binary field, of double length behind a
           tag of the private field with the binary field zero; the delivery's MAC field holds four raw bytes
           of MAC and four of check value, both made with the new key, by the algorithm of its length
    slots  a MAC key, and perhaps a PIN key, each in a place of its own with its check value in another; a key
           of single length in a slot of sixteen bytes has eight zero bytes behind it

The first is patterned on the public UnionPay key reset, the second on the sign-on of POS terminals.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from qianzhi.runtime.table import table
from qianzhi.wire.codec import Codec
from qianzhi.wire.des import DesKey
from qianzhi.wire.errors import KeyCheckError
from qianzhi.wire.items import Message
from qianzhi.wire.mac import MacSpec, compute_mac
from qianzhi.wire.mackey import MacKey
from qianzhi.wire.paths import get_path, put_path
from qianzhi.wire.text import read_hex

CHECK_BYTES = 4
MAC_FIELD_BYTES = 8
_PARITY = bytes(byte ^ 1 if byte.bit_count() % 2 == 0 else byte for byte in range(256))

# The weak and semi-weak keys of DES, with odd parity.
_WEAK_TEXT = """
0101010101010101 FEFEFEFEFEFEFEFE E0E0E0E0F1F1F1F1 1F1F1F1F0E0E0E0E
011F011F010E010E 1F011F010E010E01 01E001E001F101F1 E001E001F101F101
01FE01FE01FE01FE FE01FE01FE01FE01 1FE01FE00EF10EF1 E01FE01FF10EF10E
1FFE1FFE0EFE0EFE FE1FFE1FFE0EFE0E E0FEE0FEF1FEF1FE FEE0FEE0FEF1FEF1
"""
_WEAK_HALVES = frozenset(map(bytes.fromhex, _WEAK_TEXT.split()))


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


def is_weak(key: bytes) -> bool:
    """Tell whether a key has a weak or semi-weak half, or two equal halves (which would be single DES)."""
    odd = with_parity(key)
    halves = [odd[at : at + 8] for at in range(0, len(odd), 8)]
    return len(set(halves)) < len(halves) or any(half in _WEAK_HALVES for half in halves)


def _sized(key: bytes) -> bytes:
    if len(key) not in (8, 16):
        raise KeyCheckError("a key has 8 or 16 bytes")
    return key


@table
class DeliverySpec:
    """Where the parts of a key delivery stand.

    form          "cups" or "slots", as the module's head says
    mac           cups: list, joins, prefixes and place of the delivery's own MAC; its algorithm and form do
                  not count here.  Not set in a file: there the profile's [mac] has them
    security      cups: the control field; its first digit tells the key's purpose (1 PIN key, 2 MAC key), its
                  second the length (0 single, 6 double)
    single        cups: where a key of single length stands
    double        cups: where one of double length stands
    mac_key       slots: the wrapped MAC key; bytes where the path is binary, else hex text
    mac_check     slots: its check value
    pin_key       slots: the wrapped PIN key; empty where none is delivered
    pin_check     slots: its check value
    slot_bytes    slots: how many bytes a wrapped key takes
    """

    form: Literal["cups", "slots"] = "cups"
    mac: MacSpec | None = None
    security: str = "security"
    single: str = "key_data"
    double: str = "private.NK.key"
    mac_key: str = "keys.mac_key"
    mac_check: str = "keys.mac_check"
    pin_key: str = ""
    pin_check: str = ""
    slot_bytes: Literal[8, 16] = 16

    @property
    def paths(self) -> list[str]:
        """The paths that a message spec must have for this delivery."""
        if self.form == "cups":
            return [self.security, self.single, self.double]
        return [path for path in (self.mac_key, self.mac_check, self.pin_key, self.pin_check) if path]


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
    spec: DeliverySpec, message: Message, codec: Codec, master: bytes, *delivered: Delivered
) -> Message:
    """Return the message with the keys in it; everything else of it is set by the caller.

    Slots take a MAC key and, where the spec has a place for one, a PIN key; a CUPS delivery takes one key.
    """
    message = {**message}
    for one in delivered:
        _FORMS[spec.form].build(spec, message, codec, master, one)
    return message


def read_deliveries(spec: DeliverySpec, message: Message, codec: Codec, master: bytes) -> list[Delivered]:
    """Return the keys that a delivery brings, the MAC key first, once all that proves them is found right.

    Raises KeyCheckError saying what is wrong: a check value, the MAC, a length, or a weak key.
    """
    delivered = _FORMS[spec.form].read(spec, message, codec, master)
    if any(is_weak(one.key) for one in delivered):
        raise KeyCheckError("the delivered key is a weak one")
    return delivered


def read_delivery(spec: DeliverySpec, message: Message, codec: Codec, master: bytes) -> Delivered:
    """Return the first of the keys that a delivery brings; see `read_deliveries`."""
    return read_deliveries(spec, message, codec, master)[0]


def sign_answer(spec: DeliverySpec, message: Message, codec: Codec, key: bytes) -> None:
    """Put into the answer to a delivery what proves that its sender has the key: with slots, nothing."""
    if spec.form == "cups":
        put_path(message, _mac_of(spec).field, delivery_mac(spec, message, codec, key))


def delivery_mac(spec: DeliverySpec, message: Message, codec: Codec, key: bytes) -> bytes:
    """Return four bytes of MAC and four of check value under the new key, for a delivery or its answer."""
    form = replace(_mac_of(spec), algorithm="by_length", form="raw4_kcv4", covers="fields", case="upper")
    return compute_mac(form, message, codec, MacKey(key))


def verify_delivery_mac(spec: DeliverySpec, message: Message, codec: Codec, key: bytes) -> None:
    """Check what proves a delivery or its answer under the new key: with slots, nothing does.

    Raises KeyCheckError.
    """
    if spec.form != "cups":
        return
    found = get_path(message, _mac_of(spec).field)
    if not isinstance(found, bytes) or len(found) != MAC_FIELD_BYTES:
        raise KeyCheckError("the delivery carries no MAC and check value")
    expected = delivery_mac(spec, message, codec, key)
    if not hmac.compare_digest(found[CHECK_BYTES:], expected[CHECK_BYTES:]):
        raise KeyCheckError("the check value does not fit the delivered key")
    if not hmac.compare_digest(found[:CHECK_BYTES], expected[:CHECK_BYTES]):
        raise KeyCheckError("the MAC of the delivery is wrong")


def _mac_of(spec: DeliverySpec) -> MacSpec:
    if spec.mac is None:
        raise KeyCheckError("a CUPS delivery needs the fields of its MAC")
    return spec.mac


# A key in a message of its own, with control field and MAC


def _build_cups(
    spec: DeliverySpec, message: Message, codec: Codec, master: bytes, delivered: Delivered
) -> None:
    double = len(_sized(delivered.key)) == 16
    control = _DIGITS[delivered.purpose] + ("6" if double else "0")
    put_path(message, spec.security, control.ljust(16, "0"))
    wrapped = wrap(master, delivered.key)
    put_path(message, spec.single, bytes(8) if double else wrapped)
    if double:
        put_path(message, spec.double, wrapped)
    put_path(message, _mac_of(spec).field, delivery_mac(spec, message, codec, delivered.key))


def _read_cups(spec: DeliverySpec, message: Message, codec: Codec, master: bytes) -> list[Delivered]:
    control = get_path(message, spec.security)
    if not isinstance(control, str) or control[:1] not in PURPOSES or control[1:2] not in ("0", "6"):
        raise KeyCheckError("the security control names no kind of key")
    wrapped = get_path(message, spec.double if control[1] == "6" else spec.single)
    if not isinstance(wrapped, bytes) or len(wrapped) != (16 if control[1] == "6" else 8):
        raise KeyCheckError("the delivery brings no key of the length that it names")
    key = unwrap(master, wrapped)
    verify_delivery_mac(spec, message, codec, key)
    return [Delivered(key, PURPOSES[control[0]])]


# Keys in slots of a message


def _build_slots(
    spec: DeliverySpec, message: Message, codec: Codec, master: bytes, delivered: Delivered
) -> None:
    wrapped = wrap(master, delivered.key)
    if len(wrapped) > spec.slot_bytes:
        raise KeyCheckError(f"a key of {len(wrapped)} bytes does not fit a slot of {spec.slot_bytes}")
    key_path, check_path = _slot_of(spec, delivered.purpose)
    _put_bytes(message, key_path, codec, wrapped.ljust(spec.slot_bytes, b"\0"))
    _put_bytes(message, check_path, codec, check_value(delivered.key)[:CHECK_BYTES])


def _slot_of(spec: DeliverySpec, purpose: str) -> tuple[str, str]:
    places = {"mac": (spec.mac_key, spec.mac_check), "pin": (spec.pin_key, spec.pin_check)}
    if not all(places[purpose]):
        raise KeyCheckError(f"there is no place for a key of purpose {purpose}")
    return places[purpose]


def _read_slots(spec: DeliverySpec, message: Message, codec: Codec, master: bytes) -> list[Delivered]:
    purposes = ["mac", "pin"] if spec.pin_key else ["mac"]
    return [Delivered(_read_slot(spec, message, master, purpose), purpose) for purpose in purposes]


def _read_slot(spec: DeliverySpec, message: Message, master: bytes, purpose: str) -> bytes:
    key_path, check_path = _slot_of(spec, purpose)
    slot = _bytes_at(message, key_path, spec.slot_bytes)
    check = _bytes_at(message, check_path, CHECK_BYTES)
    single = spec.slot_bytes == 16 and slot[8:] == bytes(8)
    key = unwrap(master, slot[:8] if single else slot)
    if not hmac.compare_digest(check_value(key)[:CHECK_BYTES], check):
        raise KeyCheckError(f"the check value does not fit the delivered {purpose} key")
    return key


def _put_bytes(message: Message, path: str, codec: Codec, value: bytes) -> None:
    put_path(message, path, value if codec.binary(path) else value.hex().upper())


def _bytes_at(message: Message, path: str, size: int) -> bytes:
    found = get_path(message, path)
    data = read_hex(found) if isinstance(found, str) else found
    if not isinstance(data, bytes) or len(data) != size:
        raise KeyCheckError(f"the delivery brings no {size} bytes at {path}")
    return data


class _Form(NamedTuple):
    """How one form of delivery is written and read."""

    build: Callable[[DeliverySpec, Message, Codec, bytes, Delivered], None]
    read: Callable[[DeliverySpec, Message, Codec, bytes], list[Delivered]]


_FORMS = {"cups": _Form(_build_cups, _read_cups), "slots": _Form(_build_slots, _read_slots)}
