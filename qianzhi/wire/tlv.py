"""BER-TLV, as chip data travels (EMV book 3, annex B): every tag is passed on, known or not.

    +----------------+-------------------------+-----------+
    | tag, 1–3 bytes | length, short or 81/82  | value     |
    +----------------+-------------------------+-----------+

The value of the field is `{tag in upper-case hex: bytes}` in the order of the wire; a tag that occurs several
times (issuer scripts) holds a list of bytes.  Constructed tags are not opened.
"""

from typing import Any

from qianzhi.wire.errors import EncodeError, Reason, shown
from qianzhi.wire.items import About, Item, Message, Span
from qianzhi.wire.layout import Layout

TAG_BYTES_MAX = 3
LENGTH_MAX = 0xFFFF


def tlv(about: About, known: dict[str, Item], items_max: int = 128) -> Layout:
    """Lay BER-TLV items in a row; `known` gives titles and sensitivity of tags that the spec lists; others
    are not shown."""

    def decode(body: bytes, start: int, stop: int) -> Message:
        value: Message = {}
        at = start
        count = 0
        while at < stop:
            tag, begin, end = read_item(about, body, at, stop)
            count += 1
            if count > items_max:
                raise about.error(at, f"at most {items_max} items", "more", Reason.LENGTH_TOO_LARGE)
            _put(value, tag, body[begin:end])
            at = end
        return value

    def encode(value: Any) -> bytes:
        if not isinstance(value, dict):
            raise EncodeError(about.path, "a table of tags", shown(value, about.sensitive))
        pieces: list[bytes] = []
        for tag, content in value.items():
            contents = content if isinstance(content, list) else [content]
            pieces += [_write_item(about, tag, one) for one in contents]
        return b"".join(pieces)

    def walk(body: bytes, start: int, stop: int, spans: list[Span]) -> None:
        at = start
        while at < stop:
            tag, begin, end = read_item(about, body, at, stop)
            item = known.get(tag)
            title, sensitive = (item.about.title, item.about.sensitive) if item else ("", "secret")
            spans.append(Span(f"{about.path}.{tag}", tag, title, sensitive, begin, end, ""))
            at = end

    return Layout(decode, encode, walk, tuple(known.values()), hides=True)


def _put(value: Message, tag: str, content: bytes) -> None:
    before = value.get(tag)
    if before is None:
        value[tag] = content
    elif isinstance(before, list):
        before.append(content)
    else:
        value[tag] = [before, content]


def read_item(about: About, body: bytes, at: int, stop: int) -> tuple[str, int, int]:
    """Return the tag at `at` in hex and where its value starts and stops."""
    begin = at + 1
    if body[at] & 0x1F == 0x1F:
        while begin < stop and body[begin] & 0x80:
            begin += 1
        begin += 1
    tag = body[at:begin]
    if len(tag) > TAG_BYTES_MAX or tag[0] in (0x00, 0xFF):
        raise about.error(at, "a tag", tag[:TAG_BYTES_MAX])
    if begin >= stop:
        raise about.truncated(at, begin - at + 1, stop - at)
    length = body[begin]
    begin += 1
    if length & 0x80:
        size = length & 0x7F
        if size not in (1, 2):
            raise about.error(
                begin - 1, "a length of one or two bytes", f"{length:02X}", Reason.LENGTH_CHARACTER
            )
        if begin + size > stop:
            raise about.truncated(begin, size, stop - begin)
        length = int.from_bytes(body[begin : begin + size], "big")
        begin += size
    if begin + length > stop:
        raise about.truncated(begin, length, stop - begin)
    return tag.hex().upper(), begin, begin + length


def is_tag(text: object) -> bool:
    """Tell whether this is one BER tag in upper-case hex."""
    if not (isinstance(text, str) and text.isascii() and text.isalnum() and text == text.upper()):
        return False
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        return False
    if not 1 <= len(raw) <= TAG_BYTES_MAX or raw[0] in (0x00, 0xFF):
        return False
    if raw[0] & 0x1F != 0x1F:
        return len(raw) == 1
    return len(raw) > 1 and not raw[-1] & 0x80 and all(byte & 0x80 for byte in raw[1:-1])


def _write_item(about: About, tag: Any, content: Any) -> bytes:
    if not is_tag(tag):
        raise EncodeError(about.path, "BER tags in upper-case hex", shown(tag))
    if type(content) is not bytes:
        raise EncodeError(f"{about.path}.{tag}", "bytes", shown(content, about.sensitive))
    size = len(content)
    if size > LENGTH_MAX:
        raise EncodeError(f"{about.path}.{tag}", f"at most {LENGTH_MAX} bytes", str(size))
    if size < 0x80:
        length = bytes((size,))
    else:
        length = bytes((0x81, size)) if size < 0x100 else b"\x82" + size.to_bytes(2, "big")
    return bytes.fromhex(tag) + length + content
