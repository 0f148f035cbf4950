"""ISO 8583 messages: optional header, message type, up to three bitmaps, then the fields that they announce.

    +----------+-------+-----------------+---------------+---------------+---------------------------+
    | header   | MTI   | bitmap, 8 bytes | second, bit 1 | third, bit 65 | fields in ascending order |
    +----------+-------+-----------------+---------------+---------------+---------------------------+

The third bitmap stands right behind the second and not in the order of the fields: one reads all bitmaps
before any field, and independent codecs do so too.  What the fields are is data (`spec`).  How they are read
is worked out once for each bitmap that occurs, how they are written for each set of names (`kernel`).
"""

from collections.abc import Callable, Container, Mapping
from typing import Any

from qianzhi.wire import iso_mask, iso_plan
from qianzhi.wire.errors import EncodeError, Reason, RemoteProtocolError, shown
from qianzhi.wire.iso_head import BitmapRow, Head, MtiRow, bits_of, read_bitmaps
from qianzhi.wire.iso_plan import Read, Write
from qianzhi.wire.items import FieldView, Item, Message, Side, Span, view
from qianzhi.wire.kernel import Made, Whole, make_gatherer, make_masker, make_reader, make_whole, make_writer
from qianzhi.wire.mac_plan import Covered, Gather, Joining
from qianzhi.wire.paths import get_path
from qianzhi.wire.rows import is_digits

PLANS_MAX = 512
USES_MIN = 8
FIELD_LAST = 192
MTI_VERSIONS, MTI_CLASSES = "012", "12345678"  # the first two digits of any message type
BITMAP_FIELDS = (1, 65)  # they announce bitmaps and have no content of their own


class Iso8583Codec:
    """A compiled ISO 8583 dialect.

    `decode(body)` reads a body; raises only RemoteProtocolError, whatever the bytes are.  `encode(message)`
    writes a message; raises EncodeError naming the path that the dialect cannot carry.
    """

    decode: Callable[[bytes], Message]
    encode: Callable[[Message], bytes]

    def __init__(
        self,
        items: dict[int, Item],
        head: Head,
        mti: MtiRow,
        bitmap: BitmapRow,
        bitmaps_max: int,
        message_bytes_max: int,
    ) -> None:
        self._items = items
        self._head = head
        self._mti = mti
        self._bitmap = bitmap
        self._bitmaps_max = bitmaps_max
        self._bytes_max = message_bytes_max
        self._endless = any(item.takes_rest for item in items.values())
        self._numbers = {item.name: number for number, item in items.items()}
        self.gatherers: dict[tuple[int, int], tuple[Gather | None, object, object]] = {}  # `mac` keeps them
        self._seen: dict[bytes | tuple[Any, ...], int] = {}
        self._readers: dict[bytes, Read] = {}
        self._writers: dict[tuple[Any, ...], tuple[bytes, Write]] = {}
        self._mask_plans: dict[bytes, iso_mask.Mask] = {}
        own = Whole(self._decode, self._encode, lambda *_: None, self._mask_by_plan)
        bitmaps, made = (bitmap.size, bitmaps_max), Made(self._readers, self._mask_plans)
        whole = make_whole(own, head, mti.quick, bitmaps, message_bytes_max, made)
        self.decode, self.encode, self._add_whole, self._mask_whole = whole
        every = (*head.items, *items.values())
        self._by_path = {found.about.path: found for item in every for found in item.everything()}

    # -- decode --

    def _decode(self, body: bytes) -> Message:
        message: Message = {}
        try:
            self._read(body, message)
        except RemoteProtocolError as error:
            error.partial = message
            raise
        return message

    def _read(self, body: bytes, message: Message) -> None:
        header, at = self._head.decode(body)
        if header is not None:
            message["header"] = header
        end = len(body)
        if end > self._bytes_max:
            expected = f"at most {self._bytes_max} bytes"
            raise RemoteProtocolError("message", 0, expected, str(end), Reason.LENGTH_TOO_LARGE)
        message["mti"] = self._read_mti(body, at)
        bitmap_at = at + self._mti.size
        bitmap, at = read_bitmaps(self._bitmap, self._bitmaps_max, body, bitmap_at)
        read = self._readers.get(bitmap) or self._make_reader(bitmap, bitmap_at)
        at = read(body, at, end, message)
        if at != end:
            raise RemoteProtocolError("message", at, "its end", f"{end - at} bytes more", Reason.UNREADABLE)

    def _read_mti(self, body: bytes, at: int) -> str:
        size = self._mti.size
        data = body[at : at + size]
        mti = self._mti.read(data) if len(data) == size else None
        if mti is None:
            raise RemoteProtocolError("mti", at, "4 digits", shown(data), Reason.UNREADABLE)
        return mti

    def _make_reader(self, bitmap: bytes, offset: int) -> Read:
        """Return what reads the fields that a bitmap calls for, and keep it when it has come often enough."""
        items = self._items_of(bitmap, offset)
        if not self._worth(bitmap):
            return iso_plan.field_by_field(items)
        self._readers[bitmap] = read = make_reader(items)
        return read

    def _worth(self, shape: bytes | tuple[Any, ...]) -> bool:
        """Tell whether a bitmap or set of names has come so often that what was made for it is to be kept.

        Making it takes longer than a message: whoever sends ever new ones must not slow us down.
        """
        seen = self._seen
        if len(seen) >= PLANS_MAX:
            seen.clear()
        seen[shape] = seen.get(shape, 0) + 1
        if seen[shape] < USES_MIN:
            return False
        if len(self._readers) >= PLANS_MAX:
            self._readers.clear()
        if len(self._writers) >= PLANS_MAX:
            self._writers.clear()
        return True

    def _items_of(self, bitmap: bytes, offset: int) -> list[Item]:
        """Return the fields that a bitmap announces; raises RemoteProtocolError for one that the table
        lacks."""
        items: list[Item] = []
        for number in bits_of(bitmap):
            item = self._items.get(number)
            if item is not None:
                items.append(item)
            elif not (number in BITMAP_FIELDS and len(bitmap) > (number + 63) // 8):
                where = offset + (number - 1) // 8 * (self._bitmap.size // 8)
                raise RemoteProtocolError(
                    "bitmap", where, "bits of known fields", f"bit {number}", Reason.FORBIDDEN, number
                )
        return items

    def measure(self, buffer: bytes) -> int | None:
        """Return how many bytes the message at the head of the buffer has; None while more must come.

        For lines whose messages show their own end.  Only lengths are read.  Raises RemoteProtocolError when
        no further bytes can make a message of these, and in a dialect with a field that takes all the rest.
        """
        if self._endless:
            raise RemoteProtocolError("message", 0, "an end of its own", "a field without a length")
        end = len(buffer)
        try:
            at = self._head.start(buffer)
            if end < at + self._mti.size:
                return None
            items, _, at = self._read_announced(buffer, at)
            for item in items:
                _, at = item.bounds(buffer, at, end)
        except RemoteProtocolError as error:
            if error.reason is Reason.TOTAL_LENGTH:
                return None
            raise
        return at

    # -- encode --

    def _encode(self, message: Message) -> bytes:
        mti = self._write_mti(message.get("mti"))
        names = tuple(message)
        bitmaps, write = self._writers.get(names) or self._make_writer(names)
        body = mti + bitmaps + write(message)
        body = self._head.encode(message, len(body)) + body
        if len(body) > self._bytes_max:
            raise EncodeError("message", f"at most {self._bytes_max} bytes", str(len(body)))
        return body

    def _write_mti(self, mti: object) -> bytes:
        if type(mti) is not str or len(mti) != 4 or not is_digits(mti):
            raise EncodeError("mti", "4 digits", shown(mti))
        return self._mti.write(mti)

    def _make_writer(self, names: tuple[Any, ...]) -> tuple[bytes, Write]:
        """Return the bitmaps and what writes the fields of these names; kept as readers are."""
        numbers = self._numbers_of(names)
        items, bitmaps = [self._items[number] for number in numbers], self._write_bitmaps(numbers)
        if not self._worth(names):
            return bitmaps, iso_plan.one_by_one(items)
        self._writers[names] = made = bitmaps, make_writer(items)
        self._add_whole(names, *made)
        return made

    def _write_bitmaps(self, numbers: list[int]) -> bytes:
        """Write as many bitmaps as the last field needs, each announced by the one before."""
        count = max(1, (max(numbers, default=0) + 63) // 64)
        bits = 0
        for number in (*numbers, *BITMAP_FIELDS[: count - 1]):
            bits |= 1 << (FIELD_LAST - number)
        return self._bitmap.write((bits >> (FIELD_LAST - 64 * count)).to_bytes(8 * count, "big"))

    def _numbers_of(self, names: tuple[Any, ...]) -> list[int]:
        """Return the fields of these names in the order of the wire."""
        numbers: list[int] = []
        known = self._numbers
        for name in names:
            number = known.get(name)
            if number is not None:
                numbers.append(number)
            elif name not in ("mti", "header"):
                raise EncodeError(
                    name if isinstance(name, str) else "message", "a known field", "an unknown name"
                )
        numbers.sort()
        return numbers

    def field_bytes(self, path: str, message: Message, with_prefix: bool) -> bytes | None:
        """Return a field as it stands on the wire, with or without its length digits; None when it is
        absent."""
        value = get_path(message, path)
        if value is None:
            return None
        if path == "mti":
            return self._write_mti(value)
        item = self._by_path.get(path)
        if item is None:
            raise EncodeError(path, "a known field", "an unknown name")
        return item.encode(value) if with_prefix else item.bare(value)

    def gatherer(
        self, paths: list[str], with_prefix: Container[str], take: Mapping[str, int], joining: Joining,
        slow: Gather,
    ) -> Gather | None:  # fmt: skip
        """Return what gathers the bytes of these fields for a MAC, as `field_bytes` would one by one; None
        where one of them is a part of another, so that `slow` has to.
        """
        fields = []
        for path in paths:
            item = self._by_path.get(path)
            if path == "mti":
                quick = self._mti.quick
                fields.append(Covered(path, self._write_mti, quick, take.get(path, 0)))
            elif item is None or "." in path:
                return None
            else:
                whole = path in with_prefix
                write = item.encode if whole else item.bare
                quick = item.quick if whole or item.quick is None or not item.quick.prefix else None
                fields.append(Covered(path, write, quick, take.get(path, 0), item.nest, whole))
        return make_gatherer(fields, joining)

    def covered(self, body: bytes, path: str, side: Side) -> bytes:
        """Return the bytes of an encoded body before or after the value at a path.

        What is before begins with the message type, so that no header is in it; a length prefix of the value
        counts as before.  Raises EncodeError when the body has no such value or cannot be read.
        """
        spans, _ = self._walk(body)
        start = next((span.start for span in spans if span.path == "mti"), 0)
        for span in spans:
            if span.path == path:
                return body[start : span.start] if side == "before" else body[span.stop :]
        raise EncodeError(path, "a value in the message", "none")

    # -- show --

    def describe(self, body: bytes) -> list[FieldView]:
        """Return a readable, masked dump; never raises.

        Of a body that cannot be decoded it shows where fields were found, and no values but message type and
        bitmaps; the last line says where it breaks.
        """
        spans, fault = self._walk(body)
        fault = fault or self._fault_of(body)
        if fault is None:
            return [view(body, span) for span in spans]
        safe = self._safe(body)
        views = [view(body, span if span.start in safe else iso_mask.hidden(span)) for span in spans]
        stop = min(fault.offset, len(body))
        text = f"expected {fault.expected}, found {fault.found}"
        title = "Not readable, so values are hidden 无法解析"
        return [*views, FieldView(fault.field, "!", title, stop, len(body) - stop, text)]

    def mask(self, body: bytes, *, decoded: bool = False) -> bytes:
        """Return the body with sensitive values starred, of the same length; never raises.

        Where bytes are missing or too many, a card number stands in a harmless field: of a body that cannot
        be decoded everything is starred but message type and bitmaps, and these too where they are wrong.
        `decoded` says that the caller has read or written the body, which is not read again then.
        """
        if decoded or self._fault_of(body) is None:
            try:
                return self._mask_whole(body)
            except RemoteProtocolError:
                pass  # it was not what the caller said
        safe = self._safe(body)
        return b"*" * safe.start + body[safe.start : safe.stop] + b"*" * (len(body) - safe.stop)

    def _mask_by_plan(self, body: bytes) -> bytes:
        start = self._head.start(body)
        bitmap, at = read_bitmaps(self._bitmap, self._bitmaps_max, body, start + self._mti.size)
        plan = self._mask_plans.get(bitmap)
        if plan is None:
            plan = make_masker(self._items_of(bitmap, at))
            if len(self._mask_plans) >= PLANS_MAX:
                self._mask_plans.clear()
            self._mask_plans[bitmap] = plan
        return iso_mask.mask_fields(plan, body, at, self._head.items)

    def _fault_of(self, body: bytes) -> RemoteProtocolError | None:
        """Return why a body cannot be decoded; neither stars in place of a secret nor a header that was left
        away are a fault."""
        at, end = 0, len(body)
        try:
            for item in self._head.items:
                at = iso_mask.read_or_starred(item, body, at, end)
            at = self._head.start(body)
            if at and not self._head.items:
                self._head.decode(body)
            items, _, at = self._read_announced(body, at)
            for item in items:
                at = iso_mask.read_or_starred(item, body, at, end)
        except RemoteProtocolError as error:
            return error
        if at != end or end > self._bytes_max:
            return RemoteProtocolError("message", at, "its end", f"{end - at} bytes more", Reason.UNREADABLE)
        return None

    def _safe(self, body: bytes) -> range:
        """Return where message type and bitmaps of a damaged body stand, nowhere if they cannot be theirs.

        No header is among it: its parts may hold anything, and so what has moved there cannot be told.
        """
        try:
            at = self._head.start(body)
            _, mti, stop = self._read_announced(body, at)
        except RemoteProtocolError:
            return range(0)
        return range(at, stop) if mti[0] in MTI_VERSIONS and mti[1] in MTI_CLASSES else range(0)

    def _read_announced(self, body: bytes, at: int) -> tuple[list[Item], str, int]:
        """Return the fields that are announced, the message type, and where the fields begin; raises
        RemoteProtocolError."""
        mti, offset = self._read_mti(body, at), at + self._mti.size
        bitmap, at = read_bitmaps(self._bitmap, self._bitmaps_max, body, offset)
        return self._items_of(bitmap, offset), mti, at

    def _walk(self, body: bytes) -> tuple[list[Span], RemoteProtocolError | None]:
        spans: list[Span] = []
        try:
            at = self._head.walk(body, spans)
            self._walk_message(body, at, spans)
        except RemoteProtocolError as error:
            return spans, error
        return spans, None

    def _walk_message(self, body: bytes, at: int, spans: list[Span]) -> None:
        offset = at + self._mti.size
        bitmap, start = read_bitmaps(self._bitmap, self._bitmaps_max, body, offset)
        spans.append(Span("mti", "0", "Message type 消息类型", "", at, offset, self._mti.shown))
        spans.append(Span("bitmap", "1", "Bitmap 位图", "", offset, start, self._bitmap.shown))
        at, end = start, len(body)
        for item in self._items_of(bitmap, offset):
            at = item.walk(body, at, end, spans)
        if at != end:
            raise RemoteProtocolError("message", at, "its end", f"{end - at} bytes more")

    # -- what it can carry --

    def paths(self) -> set[str]:
        """Return every path that a message of this dialect can have."""
        names = set(self._by_path) | {"mti"}
        if self._head.names:
            names |= {"header"} | {f"header.{name}" for name in self._head.names}
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
            return self._head.width(path.removeprefix("header."))
        item = self._by_path.get(path)
        return item.width if item else None

    def binary(self, path: str) -> bool:
        """Tell whether a path's value is bytes."""
        item = self._by_path.get(path)
        return item.binary if item else False

    def number(self, path: str) -> int | None:
        """Return the number of the field that a path lies in."""
        return self._numbers.get(path.partition(".")[0])
