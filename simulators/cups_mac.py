"""Which fields of a CUPS message its MAC covers, and where it stands: the bank's own reading of the rule.

Fields are joined by one blank; absent ones add nothing; variable fields keep their length digits; of the
original's data only the first twenty digits count.  Field 48, which no card network signs, comes last.  A
transaction carries four MAC bytes as eight hexadecimal letters, a key delivery and its answer four raw MAC
bytes, the delivery with four bytes of check value behind them.
"""

from typing import Any

from simulators.cups_codec import CupsCodec
from simulators.cups_parts import PARTS
from simulators.des import check_value, mac_of, pick_text, same_mac

TRANSACTION_FIELDS = (
    "pan",
    "processing_code",
    "amount",
    "transmission_time",
    "stan",
    "mcc",
    "condition",
    "fee",
    "acquirer",
    "forwarder",
    "authorization",
    "response_code",
    "terminal",
    "merchant",
    "original",
    "private",
)
MANAGEMENT_FIELDS = ("transmission_time", "stan", "response_code", "security", "network_code", "receiver")
ORIGINAL_DIGITS = 20

Message = dict[str, Any]


def mac_text(message: Message, codec: CupsCodec) -> bytes:
    """Return the bytes under the MAC."""
    mti = str(message["mti"])
    names = MANAGEMENT_FIELDS if mti[1] == "8" else TRANSACTION_FIELDS
    parts = [mti]
    for name in names:
        if message.get(name) is not None:
            parts.append(pick_text(_field_text(name, message[name], codec)))
    return " ".join(parts).encode("ascii")


def _field_text(name: str, value: Any, codec: CupsCodec) -> str:
    if name == "original":
        return PARTS[name].write(value, "ascii").decode("ascii")[:ORIGINAL_DIGITS]
    if name == "private":
        return codec.prefixed(name, PARTS[name].write(value, "gbk").decode("latin-1"))
    return codec.prefixed(name, str(value))


def sign(message: Message, codec: CupsCodec, key: bytes) -> None:
    """Put the transaction MAC into a message."""
    message["mac"] = mac_of(key, mac_text(message, codec))[:4].hex().upper().encode("ascii")


def is_signed(message: Message, codec: CupsCodec, key: bytes) -> bool:
    """Tell whether a transaction's MAC is right under this key."""
    found = message.get("mac")
    if not isinstance(found, bytes):
        return False
    return same_mac(found, mac_of(key, mac_text(message, codec))[:4].hex().upper().encode("ascii"))


def is_delivered(message: Message, codec: CupsCodec, key: bytes) -> bool:
    """Tell whether a delivery proves its key: the MAC under that key, and the check value."""
    found = message.get("mac")
    if not isinstance(found, bytes):
        return False
    return same_mac(found, mac_of(key, mac_text(message, codec))[:4] + check_value(key))


def sign_delivery_answer(message: Message, codec: CupsCodec, key: bytes) -> None:
    """Put the MAC under the new key, and its check value, into the answer to a delivery."""
    message["mac"] = mac_of(key, mac_text(message, codec))[:4] + check_value(key)
