"""The banks' own codecs, one for each kind of spec: a second implementation from the same tables.

    bank_codec(tree) ─▶ encode(message) ─▶ bytes ─▶ decode ─▶ message

Messages have the shapes of `wire`; nothing of `wire` is used.
"""

from collections.abc import Callable
from typing import Any, Protocol

from simulators.codecs.carried import HexCarried
from simulators.codecs.iso import IsoBankCodec
from simulators.codecs.pairs import PairsBankCodec
from simulators.codecs.source import BankCodecError
from simulators.codecs.texts import TextBankCodec
from simulators.codecs.xml import XmlBankCodec

__all__ = ["BankCodec", "BankCodecError", "bank_codec"]

Message = dict[str, Any]


class BankCodec(Protocol):
    """One dialect's messages, without the transport's length."""

    def encode(self, message: Message) -> bytes:
        """Return a message's bytes; raises BankCodecError naming what does not fit."""

    def decode(self, data: bytes) -> Message:
        """Read a message; raises BankCodecError naming what cannot be read."""

    def field(self, path: str, message: Message, *, with_prefix: bool = False) -> bytes | None:
        """Return a value as it stands on the wire, None when it is absent."""

    def covered(self, data: bytes, path: str, side: str) -> bytes:
        """Return the bytes of a message `before` or `after` the value at a path."""

    def binary(self, path: str) -> bool:
        """Tell whether a path's value is bytes."""

    @property
    def card_path(self) -> str:
        """Return where a card number stands in any request, empty for nowhere."""


MAKERS: dict[str, Callable[[Message], BankCodec]] = {
    "delimited": TextBankCodec,
    "fixed": TextBankCodec,
    "iso8583": IsoBankCodec,
    "pairs": PairsBankCodec,
    "xml": XmlBankCodec,
}


def bank_codec(tree: Message) -> BankCodec:
    """Make the codec of a spec that was read into a tree; raises BankCodecError for one it cannot make."""
    kind = str(tree.get("kind", ""))
    if kind not in MAKERS:
        raise BankCodecError(f"the banks speak no {kind or 'such'} messages")
    codec = MAKERS[kind](tree)
    return HexCarried(codec) if tree.get("carried") == "hex" else codec
