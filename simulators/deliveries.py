"""Working keys in messages as a bank reads and writes them: the public key reset, or slots of a profile.

    cups   control field, wrapped key (where depends on its length), four bytes of MAC, four of check value
    slots  wrapped key and check value at paths of the profile; a short key in a long slot has zeros behind it

Nothing of `wire` is used.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

from simulators.codecs import BankCodec
from simulators.codecs.paths import put_at, value_at
from simulators.des import check_value, mac_of, same_mac, unwrap, wrap
from simulators.macs import field_text

if TYPE_CHECKING:
    from qianzhi.wire.keys import DeliverySpec  # their shapes alone: what the tables say
    from qianzhi.wire.mac import MacSpec

Message = dict[str, Any]

CHECK_BYTES = 4
MAC_PURPOSE = "2"  # first digit of the control field; 1 is a PIN key's


class Delivered(NamedTuple):
    """A key in the clear, and whether it is one for MACs."""

    key: bytes
    is_mac_key: bool = True

    def __repr__(self) -> str:
        return f"Delivered({len(self.key)} bytes)"


class WrongKeyError(ValueError):
    """A delivery that does not prove its key; the text never shows one."""


class Deliveries:
    """How one profile's keys travel; `master` is the key under which they are wrapped."""

    def __init__(self, table: "DeliverySpec", mac: "MacSpec | None", codec: BankCodec, master: bytes) -> None:
        self._table = table
        self._mac = mac
        self._codec = codec
        self._master = master

    def read(self, message: Message) -> Delivered:
        """Return the key that a message brings, the MAC key where it brings several; raises WrongKeyError."""
        return self._read_cups(message) if self._table.form == "cups" else self._read_slots(message)

    def write(self, message: Message, key: bytes) -> None:
        """Put a key of the bank's own into the slots of a message, the PIN key's too where there is one."""
        for slot in _slots(self._table):
            wrapped = wrap(self._master, key).ljust(self._table.slot_bytes, b"\0")
            self._put(message, slot.key, wrapped)
            self._put(message, slot.check, check_value(key)[:CHECK_BYTES])

    def sign_answer(self, message: Message, key: bytes) -> None:
        """Put the proof of a delivered key into the answer to its delivery; slots have none."""
        if self._table.form == "cups" and self._mac is not None:
            put_at(message, self._mac.field, self._proof(message, key))

    def proof_is_right(self, message: Message, key: bytes) -> bool:
        """Tell whether MAC and check value under the new key are right."""
        found = value_at(message, self._mac.field) if self._mac is not None else None
        return isinstance(found, bytes) and same_mac(found, self._proof(message, key))

    def _proof(self, message: Message, key: bytes) -> bytes:
        if self._mac is None:
            raise WrongKeyError("there is no MAC in this dialect")
        return mac_of(key, field_text(self._mac, message, self._codec))[:4] + check_value(key)

    def _read_cups(self, message: Message) -> Delivered:
        control = str(value_at(message, self._table.security) or "")
        double = control[1:2] == "6"
        wrapped = value_at(message, self._table.double if double else self._table.single)
        if not isinstance(wrapped, bytes) or len(wrapped) != (16 if double else 8):
            raise WrongKeyError("no key of the length that is stated")
        key = unwrap(self._master, wrapped)
        if not self.proof_is_right(message, key):
            raise WrongKeyError("MAC or check value are not the key's")
        return Delivered(key, control[:1] == MAC_PURPOSE)

    def _read_slots(self, message: Message) -> Delivered:
        keys = [self._slot(message, slot) for slot in _slots(self._table)]
        return Delivered(keys[0])

    def _slot(self, message: Message, slot: "Slot") -> bytes:
        size = self._table.slot_bytes
        wrapped, check = _bytes_at(message, slot.key, size), _bytes_at(message, slot.check, CHECK_BYTES)
        if size == 16 and wrapped.endswith(bytes(8)):
            wrapped = wrapped[:8]
        key = unwrap(self._master, wrapped)
        if not same_mac(check_value(key)[:CHECK_BYTES], check):
            raise WrongKeyError("the check value is not the key's")
        return key

    def _put(self, message: Message, path: str, value: bytes) -> None:
        put_at(message, path, value if self._codec.binary(path) else value.hex().upper())


class Slot(NamedTuple):
    """Where one key and its check value stand."""

    key: str
    check: str


def _slots(table: "DeliverySpec") -> list[Slot]:
    """Return the slots that a profile uses, the MAC key's first."""
    slots = [Slot(table.mac_key, table.mac_check)]
    return [*slots, Slot(table.pin_key, table.pin_check)] if table.pin_key else slots


def _bytes_at(message: Message, path: str, size: int) -> bytes:
    found = value_at(message, path)
    try:
        data = bytes.fromhex(found) if isinstance(found, str) else found
    except ValueError as error:
        raise WrongKeyError("a slot holds no hex") from error
    if not isinstance(data, bytes) or len(data) != size:
        raise WrongKeyError(f"a slot holds no {size} bytes")
    return data


def with_parity(key: bytes) -> bytes:
    """Return a key with odd parity in each byte, as generated keys have it."""
    return bytes(byte ^ (byte.bit_count() % 2 == 0) for byte in key)
