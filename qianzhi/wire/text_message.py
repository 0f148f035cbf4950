"""Text messages, fixed or delimited: a header, the body that the header calls for, and a trailer.

    +--------------------+--------------------------------------+--------------+
    | header: code, date | body: one of several, by `when`      | trailer: MAC |
    +--------------------+--------------------------------------+--------------+

In a message the parts of header and trailer stand at the top, those of the body under `body`.  A body that no
`when` fits is kept unread, as bytes that nobody is shown, so that a request for something unknown can still
be answered as such.
"""

import re
from typing import NamedTuple

from qianzhi.wire.errors import EncodeError, Reason, RemoteProtocolError, shown
from qianzhi.wire.items import FieldView, Item, Message, Side, Span, mask_bytes, view
from qianzhi.wire.paths import get_path
from qianzhi.wire.rows import is_digits
from qianzhi.wire.text_paths import BODY, UNREAD, UNREAD_PATH, paths_of, sensitive_of, width_of
from qianzhi.wire.text_shape import Regions, Shape, body_region, sizes_of, too_long

WITH_TEXT = frozenset({"gbk", "gb18030", "utf-8"})  # numbers are always ASCII
_MANY_DIGITS = re.compile(rb"[0-9]{7}")
NOT_READABLE = "Not readable from here 无法解析"


class TextCodec:
    """A compiled dialect of fixed or delimited messages."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._by_path = paths_of((shape.header, *(body.section for body in shape.bodies), shape.trailer))
        self._computed = [part for part in shape.header.parts if part.computed]
        self._known = shape.header.names | shape.trailer.names | {BODY}
        names = {name for body in shape.bodies for name, _ in body.when}
        names |= {part.name for part in self._computed}
        self._deciding = {part.name: part.item for part in shape.header.parts if part.name in names}

    # -- decode --

    def decode(self, body: bytes) -> Message:
        """Read a message; raises only RemoteProtocolError, whatever the bytes are.

        Blank parts are absent in the message, and so is a body without any values.
        """
        message: Message = {}
        try:
            self._read(body, message)
        except RemoteProtocolError as error:
            error.partial = message
            raise
        return message

    def _read(self, body: bytes, message: Message) -> None:
        shape = self._shape
        regions = self._cut(body)
        shape.header.fill(body, *regions.header, message)
        self._check_sizes(body, regions, message)
        chosen = shape.body_of(message)
        inner: Message = {}
        message[BODY] = inner
        if chosen is not None:
            chosen.section.fill(body, *body_region(chosen.section, regions), inner)
        elif regions.body is not None and regions.body[0] < regions.body[1]:
            inner[UNREAD] = body[slice(*regions.body)]
        if not inner:
            del message[BODY]
        shape.trailer.fill(body, *regions.trailer, message)

    def _cut(self, body: bytes) -> Regions:
        shape = self._shape
        if len(body) > shape.bytes_max:
            raise too_long(shape.bytes_max, len(body))
        early = shape.ending and shape.ending in body[: -len(shape.ending)]
        if early or not body.endswith(shape.ending):
            expected = f"{shape.ending.hex().upper()} at the end alone"
            raise RemoteProtocolError("message", len(body), expected, "another end", Reason.TOTAL_LENGTH)
        return shape.cut(body)

    def _check_sizes(self, body: bytes, regions: Regions, message: Message) -> None:
        """Compare what the header says about sizes with what came."""
        for part in self._computed:
            stated = message.get(part.name)
            found = sizes_of(body, regions)[part.computed]
            if stated is None or not is_digits(stated) or int(stated) != found:
                path = part.item.about.path
                raise RemoteProtocolError(
                    path, self._offset(body, regions, path), str(found), shown(stated), Reason.TOTAL_LENGTH
                )

    def _offset(self, body: bytes, regions: Regions, path: str) -> int:
        spans: list[Span] = []
        self._shape.header.walk(body, *regions.header, spans)
        return next((span.start for span in spans if span.path == path), 0)

    # -- encode --

    def encode(self, message: Message) -> bytes:
        """Write a message, its sizes computed; absent parts are left blank.

        Raises EncodeError naming the path that the dialect cannot carry.
        """
        shape = self._shape
        unknown = message.keys() - self._known
        if unknown:
            raise EncodeError(min(map(str, unknown)), "a known part", "an unknown name")
        header = {name: value for name, value in message.items() if name in shape.header.names}
        trailer = {name: value for name, value in message.items() if name in shape.trailer.names}
        body = self._encode_body(message)
        end = shape.trailer.encode(trailer)
        if self._computed:
            self._compute(header, body, end)
        data = self._joined(shape.header.encode(header), body, end)
        if len(data) > shape.bytes_max:
            raise EncodeError("message", f"at most {shape.bytes_max} bytes", str(len(data)))
        return data

    def _compute(self, header: Message, body: bytes | None, end: bytes | None) -> None:
        """Write the sizes into the header; a size itself always has the same number of digits."""
        for part in self._computed:
            header[part.name] = "0" * (part.item.width or 1)
        size = self._shape.header.size
        head = bytes(size) if size is not None else self._shape.header.encode(header)
        sizes = {"total_bytes": len(self._joined(head, body, end)), "body_bytes": len(body or b"")}
        for part in self._computed:
            header[part.name] = f"{sizes[part.computed]:0{part.item.width or 1}d}"

    def _encode_body(self, message: Message) -> bytes | None:
        value = message.get(BODY, {})
        chosen = self._shape.body_of(message)
        if chosen is not None:
            return chosen.section.encode(value)
        if value == {}:
            return None
        unread = value.get(UNREAD) if isinstance(value, dict) and len(value) == 1 else None
        if type(unread) is not bytes:
            raise EncodeError(BODY, "a header that calls for a body", "one that fits none")
        return unread

    def _joined(self, *regions: bytes | None) -> bytes:
        return self._shape.glue.join([one for one in regions if one is not None]) + self._shape.ending

    def field_bytes(self, path: str, message: Message, with_prefix: bool) -> bytes | None:
        """Return a part as it stands on the wire with its padding, with or without its length digits.

        Of a list, or of `body`, it is all that stands there.  None when it is absent.
        """
        value = get_path(message, path)
        if value is None:
            return None
        if path in (BODY, UNREAD_PATH):
            return self._encode_body(message)
        if isinstance(value, list):
            return self._list_bytes(path, message)
        item = self._item(path, message)
        return item.encode(value) if with_prefix else item.bare(value)

    def _list_bytes(self, path: str, message: Message) -> bytes:
        body = self.encode(message)
        spans = [span for span in self._walk(body).spans if span.path.startswith(f"{path}.")]
        return body[spans[0].start : spans[-1].stop] if spans else b""

    def _item(self, path: str, message: Message) -> Item:
        """Return the part at a path, of the body that this message has where several have such a path."""
        plain = ".".join(step for step in path.split(".") if not is_digits(step))
        chosen = self._shape.body_of(message) if plain.startswith(f"{BODY}.") else None
        found = chosen and paths_of((chosen.section,)).get(plain)
        items = found or self._by_path.get(plain)
        if not items:
            raise EncodeError(path, "a known part", "an unknown name")
        return items[0]

    def covered(self, body: bytes, path: str, side: Side) -> bytes:
        """Return the bytes before or after the value at a path, delimiters and all; raises EncodeError."""
        for span in self._spans_for(body, path):
            if span.path == path:
                return body[: span.start] if side == "before" else body[span.stop :]
        raise EncodeError(path, "a part of this message", "none")

    def _spans_for(self, body: bytes, path: str) -> list[Span]:
        """Return where values stand, among them that of the path: a MAC is in header or trailer, and then the
        rest need not be looked at."""
        shape = self._shape
        spans: list[Span] = []
        name = path.partition(".")[0]
        if name == BODY:
            return self._walk(body).spans
        try:
            regions = self._cut(body)
            section, region = shape.header, regions.header
            if name in shape.trailer.names:
                section, region = shape.trailer, regions.trailer
            section.walk(body, *region, spans)
        except RemoteProtocolError:
            return []
        return spans

    def measure(self, buffer: bytes) -> int | None:
        """Return the size of the message at the head of the buffer, by its ending or by what its header says.

        Raises RemoteProtocolError where it has neither, or promises more than the dialect allows.
        """
        shape = self._shape
        if shape.ending:
            at = buffer.find(shape.ending)
            size = at + len(shape.ending) if at >= 0 else None
        else:
            size = self._measured(buffer)
        if (len(buffer) if size is None else size) > shape.bytes_max:
            raise too_long(shape.bytes_max, len(buffer) if size is None else size)
        return size

    def _measured(self, buffer: bytes) -> int | None:
        at = 0
        for part in self._shape.header.parts:
            if part.item.size is None:
                break
            if part.computed == "total_bytes":
                if len(buffer) < at + part.item.size:
                    return None
                value = part.item.decode(buffer, at, len(buffer))[0]
                if value is not None and int(value) >= at + part.item.size:
                    return int(value)
                raise part.item.about.error(at, "the size of the message", shown(value), Reason.TOTAL_LENGTH)
            at += part.item.size
        raise RemoteProtocolError(
            "message", 0, "a message that delimits itself", "another", Reason.UNREADABLE
        )

    # -- show --

    def describe(self, body: bytes) -> list[FieldView]:
        """Return a readable, masked dump; never raises: where the message breaks, the last line says so."""
        walked = self._walk(body)
        masked = self._masked(body, walked)
        views = [view(masked, span) for span in walked.spans]
        fault = walked.fault or self._fault_of_a_value(body)
        return views + ([fault_view(fault, len(body))] if fault else [])

    def _fault_of_a_value(self, body: bytes) -> RemoteProtocolError | None:
        """Return what is wrong with a sensitive value, which a walk does not look at; stars are nothing
        wrong."""
        if b"*" in body:
            return None
        try:
            self.decode(body)
        except RemoteProtocolError as error:
            return error
        return None

    def mask(self, body: bytes, *, decoded: bool = False) -> bytes:
        """Return the body with sensitive values starred, of the same length; never raises.

        A region that cannot be read is starred whole, and all that follows it: where something has shifted, a
        secret stands in a harmless place.  So is text before it that could be one: a phone after a column
        that was left out stands in the words beside a result.
        """
        return self._masked(body, self._walk(body))

    def _masked(self, body: bytes, walked: "Walked") -> bytes:
        masked = bytearray(body)
        for span in walked.spans:
            chunk = body[span.start : span.stop]
            strayed = walked.fault is not None and span.charset in WITH_TEXT and _may_be_secret(chunk)
            kind = span.sensitive or ("secret" if strayed else "")
            if kind:
                masked[span.start : span.stop] = mask_bytes(chunk, kind, span.charset)
        masked[walked.safe :] = b"*" * (len(body) - walked.safe)
        return bytes(masked)

    def _walk(self, body: bytes) -> "Walked":
        """Find all values; harmless ones are checked, sensitive ones may be starred already."""
        spans: list[Span] = []
        safe = 0
        try:
            regions = self._cut(body)
            self._shape.header.walk(body, *regions.header, spans)
            safe = regions.header[1]
            header = self._header_of(body, spans)
            self._check_sizes(body, regions, header)
            chosen = self._shape.body_of(header)
            if chosen is not None:
                chosen.section.walk(body, *body_region(chosen.section, regions), spans)
            elif regions.body is not None and regions.body[0] < regions.body[1]:
                spans.append(Span(UNREAD_PATH, "", "Unread 未解析", "secret", *regions.body, ""))
            safe = regions.trailer[0]
            self._shape.trailer.walk(body, *regions.trailer, spans)
        except RemoteProtocolError as error:
            return Walked(spans, error, safe)
        return Walked(spans, None, len(body))

    def _header_of(self, body: bytes, spans: list[Span]) -> Message:
        """Return the values that choose the body, and the sizes."""
        header: Message = {}
        for span in spans:
            item = self._deciding.get(span.path)
            if item is not None:
                header[span.path] = item.decode(body, span.start, span.stop)[0]
        return header

    # -- what it can carry --

    def paths(self) -> set[str]:
        """Return every path that a message of this dialect can have."""
        return set(self._by_path) | {BODY, UNREAD_PATH}

    def sensitive(self, path: str) -> str | None:
        """Return the kind of secrecy of a path (`pan`, `phone`, `name`, `secret`), or None."""
        return sensitive_of(self._by_path, path)

    def width(self, path: str) -> int | None:
        """Return the greatest length of a path's value in bytes that every body has room for; None where
        there is none."""
        return width_of(self._by_path, path)

    def binary(self, path: str) -> bool:
        """Tell whether a path's value is bytes."""
        return path == UNREAD_PATH or any(item.binary for item in self._by_path.get(path, []))


def _may_be_secret(chunk: bytes) -> bool:
    """Tell whether a text has a name's letters or as many digits in a row as a phone."""
    return not chunk.isascii() or _MANY_DIGITS.search(chunk) is not None


class Walked(NamedTuple):
    """What was found in a message, why no more, and up to where whole regions could be read."""

    spans: list[Span]
    fault: RemoteProtocolError | None
    safe: int


def fault_view(error: RemoteProtocolError, size: int) -> FieldView:
    """Return the line of a dump that says where it breaks."""
    at = min(error.offset, size)
    text = f"expected {error.expected}, found {error.found}"
    return FieldView(error.field, "!", NOT_READABLE, at, size - at, text)
