"""ISO 8583 messages: optional header, message type, one or two bitmaps, then the fields that the bitmaps
announce.

    +----------+-------+-----------------+--------------------------+---------------------------+
    | header   | MTI 4 | bitmap, 8 bytes | second bitmap if bit 1   | fields in ascending order |
    +----------+-------+-----------------+--------------------------+---------------------------+

What the fields are is data (`spec`).  The loop over them is planned once for each bitmap that occurs and
kept, so that a message costs one call for each of its fields.
"""

from qianzhi.wire import header as cups
from qianzhi.wire import iso_mask
from qianzhi.wire.errors import EncodeError, Reason, RemoteProtocolError, shown
from qianzhi.wire.items import Decode, Encode, FieldView, Item, Message, Span, mask_bytes, view
from qianzhi.wire.paths import get_path
from qianzhi.wire.rows import is_digits

PLANS_MAX = 512
FIELD_LAST = 128

Plan = list[tuple[str, Decode]]


class Iso8583Codec:
    """A compiled ISO 8583 dialect."""

    def __init__(
        self, items: dict[int, Item], header: bool, header_required: bool, message_bytes_max: int
    ) -> None:
        self._items = items
        self._header = header
        self._header_required = header and header_required
        self._bytes_max = message_bytes_max
        self._numbers = {item.name: number for number, item in items.items()}
        self._encoders: dict[int, tuple[str, Encode]] = {
            n: (item.name, item.encode) for n, item in items.items()
        }
        self._plans: dict[bytes, Plan] = {}
        self._mask_plans: dict[bytes, iso_mask.Plan] = {}
        self._by_path = {found.about.path: found for item in items.values() for found in item.everything()}

    # -- decode --

    def decode(self, body: bytes) -> Message:
        """Read a body; raises only RemoteProtocolError, whatever the bytes are."""
        message: Message = {}
        try:
            self._read(body, message)
        except RemoteProtocolError as error:
            error.partial = message
            raise
        return message

    def _read(self, body: bytes, message: Message) -> None:
        at = 0
        if self._header and (self._header_required or body[:1] == b"\x2e"):
            message["header"] = cups.decode_header(body)
            at = cups.HEADER_BYTES
        end = len(body)
        if end > self._bytes_max:
            expected = f"at most {self._bytes_max} bytes"
            raise RemoteProtocolError("message", 0, expected, str(end), Reason.LENGTH_TOO_LARGE)
        mti = body[at : at + 4]
        if len(mti) < 4 or not mti.isdigit():
            raise RemoteProtocolError("mti", at, "4 digits", shown(mti), Reason.UNREADABLE)
        message["mti"] = mti.decode("ascii")
        bitmap = self._read_bitmap(body, at + 4)
        plan = self._plans.get(bitmap)
        if plan is None:
            plan = self._make_plan(bitmap, at + 4)
        at += 4 + len(bitmap)
        for name, decode in plan:
            message[name], at = decode(body, at, end)
        if at != end:
            raise RemoteProtocolError("message", at, "its end", f"{end - at} bytes more", Reason.UNREADABLE)

    def _read_bitmap(self, body: bytes, at: int) -> bytes:
        size = 16 if body[at : at + 1] >= b"\x80" else 8
        bitmap = body[at : at + size]
        if len(bitmap) < size:
            raise RemoteProtocolError(
                "bitmap", at, f"{size} bytes", f"{len(bitmap)} bytes", Reason.UNREADABLE
            )
        return bitmap

    def _make_plan(self, bitmap: bytes, offset: int) -> Plan:
        """Return the decoders that a bitmap calls for, and keep them; a full store starts anew."""
        plan = [(item.name, item.decode) for item in self._items_of(bitmap, offset)]
        if len(self._plans) >= PLANS_MAX:
            self._plans.clear()
        self._plans[bitmap] = plan
        return plan

    def _items_of(self, bitmap: bytes, offset: int) -> list[Item]:
        """Return the fields that a bitmap announces; raises RemoteProtocolError for one that the table
        lacks."""
        items: list[Item] = []
        for number in bits_of(bitmap):
            if number == 1:
                continue
            item = self._items.get(number)
            if item is None:
                where = offset + (number - 1) // 8
                raise RemoteProtocolError(
                    "bitmap", where, "bits of known fields", f"bit {number}", Reason.FORBIDDEN, number
                )
            items.append(item)
        return items

    # -- encode --

    def encode(self, message: Message) -> bytes:
        """Write a message; raises EncodeError naming the path that the dialect cannot carry."""
        mti = message.get("mti")
        if type(mti) is not str or len(mti) != 4 or not is_digits(mti):
            raise EncodeError("mti", "4 digits", shown(mti))
        bits = 0
        pieces: list[bytes] = []
        for number in self._numbers_of(message):
            name, encode = self._encoders[number]
            pieces.append(encode(message[name]))
            bits |= 1 << (FIELD_LAST - number)
        if bits & 0xFFFFFFFFFFFFFFFF:
            bitmap = (bits | 1 << 127).to_bytes(16, "big")
        else:
            bitmap = (bits >> 64).to_bytes(8, "big")
        body = b"".join([mti.encode("ascii"), bitmap, *pieces])
        if "header" in message:
            body = cups.encode_header(message["header"], len(body)) + body
        if len(body) > self._bytes_max:
            raise EncodeError("message", f"at most {self._bytes_max} bytes", str(len(body)))
        return body

    def _numbers_of(self, message: Message) -> list[int]:
        """Return the fields of a message in the order of the wire."""
        numbers: list[int] = []
        known = self._numbers
        for name in message:
            number = known.get(name)
            if number is not None:
                numbers.append(number)
            elif name != "mti" and not (name == "header" and self._header):
                raise EncodeError(
                    name if isinstance(name, str) else "message", "a known field", "an unknown name"
                )
        if self._header_required and "header" not in message:
            raise EncodeError("header", "a table", "none")
        numbers.sort()
        return numbers

    def field_bytes(self, path: str, message: Message, with_prefix: bool) -> bytes | None:
        """Return a field as it stands on the wire, with or without its length digits; None when it is
        absent."""
        value = get_path(message, path)
        if value is None:
            return None
        if path == "mti":
            return str(value).encode("ascii")
        item = self._by_path.get(path)
        if item is None:
            raise EncodeError(path, "a known field", "an unknown name")
        return item.encode(value) if with_prefix else item.bare(value)

    # -- show --

    def describe(self, body: bytes) -> list[FieldView]:
        """Return a readable, masked dump; never raises: where the body breaks, the last line says so."""
        spans, fault = self._walk(body)
        views = [view(body, span) for span in spans]
        if fault is not None:
            stop = min(fault.offset, len(body))
            text = f"expected {fault.expected}, found {fault.found}"
            views.append(
                FieldView(fault.field, "!", "Not readable from here 无法解析", stop, len(body) - stop, text)
            )
        return views

    def mask(self, body: bytes) -> bytes:
        """Return the body with sensitive values starred, of the same length; what cannot be read is starred
        whole."""
        try:
            return self._mask_by_plan(body)
        except RemoteProtocolError:
            return self._mask_what_is_read(body)

    def _mask_by_plan(self, body: bytes) -> bytes:
        at = cups.HEADER_BYTES if self._header and body[:1] == b"\x2e" else 0
        bitmap = self._read_bitmap(body, at + 4)
        plan = self._mask_plans.get(bitmap)
        if plan is None:
            plan = iso_mask.make_plan(self._items_of(bitmap, at + 4))
            if len(self._mask_plans) >= PLANS_MAX:
                self._mask_plans.clear()
            self._mask_plans[bitmap] = plan
        return iso_mask.mask_fields(plan, body, at + 4 + len(bitmap))

    def _mask_what_is_read(self, body: bytes) -> bytes:
        spans, fault = self._walk(body)
        masked = bytearray(body)
        for span in spans:
            if span.sensitive:
                masked[span.start : span.stop] = mask_bytes(
                    body[span.start : span.stop], span.sensitive, span.charset
                )
        if fault is not None:
            read = max([span.stop for span in spans if span.charset is not None], default=0)
            stop = min(read, fault.offset)
            masked[stop:] = b"*" * (len(body) - stop)
        return bytes(masked)

    def _walk(self, body: bytes) -> tuple[list[Span], RemoteProtocolError | None]:
        spans: list[Span] = []
        at = 0
        if self._header and body[:1] == b"\x2e":
            spans += cups.walk_header(body)
            at = cups.HEADER_BYTES
        try:
            self._walk_message(body, at, spans)
        except RemoteProtocolError as error:
            return spans, error
        return spans, None

    def _walk_message(self, body: bytes, at: int, spans: list[Span]) -> None:
        bitmap = self._read_bitmap(body, at + 4)
        spans.append(Span("mti", "0", "Message type 消息类型", "", at, at + 4, "ascii"))
        spans.append(Span("bitmap", "1", "Bitmap 位图", "", at + 4, at + 4 + len(bitmap), ""))
        items = self._items_of(bitmap, at + 4)
        at += 4 + len(bitmap)
        end = len(body)
        for item in items:
            at = item.walk(body, at, end, spans)
        if at != end:
            raise RemoteProtocolError("message", at, "its end", f"{end - at} bytes more")

    # -- what it can carry --

    def paths(self) -> set[str]:
        """Return every path that a message of this dialect can have."""
        names = set(self._by_path) | {"mti"}
        if self._header:
            names |= {"header"} | {f"header.{name}" for name in cups.NAMES}
        return names

    def sensitive(self, path: str) -> str | None:
        """Return the kind of secrecy of a path (`pan`, `phone`, `name`, `secret`), or None."""
        item = self._by_path.get(path)
        return (item.about.sensitive or None) if item else None

    def width(self, path: str) -> int | None:
        """Return the greatest length of a path's value in bytes or digits; None where there is none."""
        if path == "mti":
            return 4
        if path.startswith("header."):
            return cups.header_width(path.removeprefix("header."))
        item = self._by_path.get(path)
        return item.width if item else None

    def binary(self, path: str) -> bool:
        """Tell whether a path's value is bytes."""
        item = self._by_path.get(path)
        return item.binary if item else False

    def number(self, path: str) -> int | None:
        """Return the number of the field that a path lies in."""
        return self._numbers.get(path.partition(".")[0])


def bits_of(bitmap: bytes) -> list[int]:
    """Return the numbers of the bits that are set; bit 1 is the most significant bit of the first byte."""
    number = int.from_bytes(bitmap, "big")
    size = 8 * len(bitmap)
    return [bit for bit in range(1, size + 1) if number >> (size - bit) & 1]
