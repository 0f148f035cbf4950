"""The one door to message formats: `load_codec` turns a parsed spec into something that decodes and encodes.

A message is a dict of names: text for digits and characters, bytes for binary fields, dicts for composites,
lists for repeats.
"""

from collections.abc import Callable
from typing import Any, Protocol

from qianzhi.runtime.problems import Problem
from qianzhi.wire.hex_codec import HexCodec
from qianzhi.wire.iso_spec import make_iso_codec
from qianzhi.wire.items import FieldView, Message, Side
from qianzhi.wire.paths import get_path, put_path
from qianzhi.wire.spec import Table
from qianzhi.wire.text_spec import make_delimited_codec, make_fixed_codec, make_pairs_codec
from qianzhi.wire.xml_spec import make_xml_codec

__all__ = ["Codec", "FieldView", "Message", "Side", "get_path", "load_codec", "put_path"]


class Codec(Protocol):
    """A compiled dialect; see the implementations for each method's fine print."""

    def decode(self, body: bytes) -> Message:
        """Read a body; raises only RemoteProtocolError, whatever the bytes are."""

    def encode(self, message: Message) -> bytes:
        """Write a message; raises EncodeError naming the path that the dialect cannot carry."""

    def mask(self, body: bytes, *, decoded: bool = False) -> bytes:
        """Return the body with sensitive values starred, of the same length; never raises.

        `decoded` says that the caller has read or written the body, so that it need not be looked at again.
        """

    def describe(self, body: bytes) -> list[FieldView]:
        """Return a readable, masked dump; never raises."""

    def paths(self) -> set[str]:
        """Return every path that a message of this dialect can have."""

    def sensitive(self, path: str) -> str | None:
        """Return the kind of secrecy of a path (`pan`, `phone`, `name`, `secret`), or None."""

    def width(self, path: str) -> int | None:
        """Return the greatest length of a path's value; None where there is none."""

    def binary(self, path: str) -> bool:
        """Tell whether a path's value is bytes."""

    def field_bytes(self, path: str, message: Message, with_prefix: bool) -> bytes | None:
        """Return a field as it stands on the wire, with or without its length digits; None when it is
        absent."""

    def covered(self, body: bytes, path: str, side: Side) -> bytes:
        """Return the bytes of an encoded body before or after the value at a path, for MACs over all of it.

        What belongs to the transport (a header before the message type) is not among them.  Raises
        EncodeError where the dialect has no such order of bytes or the body no such value.
        """

    def measure(self, buffer: bytes) -> int | None:
        """Return how many bytes the message at the head of the buffer has, None while that cannot be said.

        For messages that delimit themselves; raises RemoteProtocolError where they do not, or cannot.
        """


MAKERS: dict[str, Callable[[Table], Codec]] = {
    "delimited": make_delimited_codec,
    "fixed": make_fixed_codec,
    "iso8583": make_iso_codec,
    "pairs": make_pairs_codec,
    "xml": make_xml_codec,
}

# How the body travels: as it is, or as hex text.
CARRIED: dict[str, Callable[[Codec], Codec]] = {"": lambda codec: codec, "hex": HexCodec}


def load_codec(tree: dict[str, Any], file: str) -> tuple[Codec | None, list[Problem]]:
    """Compile a spec that was read from `file`; returns the codec, or None and everything that is wrong."""
    problems: list[Problem] = []
    root = Table(tree, "", file, problems)
    kind = root.choice("kind", MAKERS, "")
    root.text("name")
    root.text("title")
    if kind not in MAKERS:
        return None, problems
    carried = root.choice("carried", CARRIED, "")
    codec = CARRIED[carried](MAKERS[kind](root))
    root.close()
    return (None, problems) if problems else (codec, [])
