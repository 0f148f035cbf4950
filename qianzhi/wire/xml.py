"""XML messages in GBK or UTF-8: a flat list of elements by path, as data.

Bytes become text by Python's codecs first, so that a charset error is named as one; then lxml parses UTF-8.
There is no document type at all, hence no entity but XML's own five, no external file and no entity bomb;
size, depth and the number of elements are bounded before and while parsing.
"""

import re
from dataclasses import dataclass
from typing import Any

from lxml import etree

from qianzhi.wire.errors import EncodeError, Reason, RemoteProtocolError, shown
from qianzhi.wire.items import FieldView, Message, mask_bytes
from qianzhi.wire.paths import get_path
from qianzhi.wire.rows import TYPES

# Charsets by the names that declarations use; others are refused.
CHARSETS = {"gbk": "gbk", "gb2312": "gbk", "gb18030": "gb18030", "utf-8": "utf-8", "utf8": "utf-8"}
DEPTH_MAX = 16
TEXT_SHOWN = 64

_DECLARATION = re.compile(rb"\A<\?xml\s[^>]{0,200}?\?>")
_ENCODING = re.compile(rb"encoding\s*=\s*[\"']([A-Za-z0-9._-]{1,40})[\"']")
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_LEAF = re.compile(rb"<([A-Za-z_][A-Za-z0-9_.-]*)>([^<]*)</\1>")
_TAG = re.compile(rb"</?([A-Za-z_][A-Za-z0-9_.-]*)\s*/?>")


@dataclass(frozen=True)
class Element:
    """One element of a dialect; `children` is empty for text, `repeats` makes the value a list."""

    path: str
    name: str
    title: str
    type: str
    length: int
    sensitive: str
    repeats: bool
    children: tuple["Element", ...]

    def everything(self) -> list["Element"]:
        """Return this element and all below it."""
        return [self] + [found for child in self.children for found in child.everything()]


class XmlCodec:
    """A compiled XML dialect."""

    def __init__(self, root: Element, charset: str, bytes_max: int, elements_max: int) -> None:
        self._root = root
        self._charset = charset
        self._bytes_max = bytes_max
        self._elements_max = elements_max
        self._parser = _make_parser()
        self._by_path = {element.path: element for element in root.everything() if element.path}
        self._names = {element.name.encode("ascii") for element in root.everything()}
        self._leaves: dict[bytes, str] = {}
        for element in root.everything():
            name = element.name.encode("ascii")
            if not element.children:
                self._leaves[name] = self._leaves.get(name) or element.sensitive

    # -- decode --

    def decode(self, body: bytes) -> Message:
        """Read a body; raises only RemoteProtocolError, whatever the bytes are.

        Elements that are absent are absent in the message, empty ones are empty text.  `charset` is set when
        the message does not come in the dialect's own, so that an answer made from it goes back in the same.
        """
        root, charset = self._root_of(body)
        message: Message = {"charset": charset.upper()} if charset != self._charset else {}
        try:
            _Reader(body).fill(message, root, self._root)
        except RemoteProtocolError as error:
            error.partial = message
            raise
        return message

    def _root_of(self, body: bytes) -> tuple[etree._Element, str]:
        """Parse a body within its bounds; return the root element and the charset."""
        if len(body) > self._bytes_max:
            expected = f"at most {self._bytes_max} bytes"
            raise _error("message", 0, expected, str(len(body)), Reason.LENGTH_TOO_LARGE)
        charset, start = self._read_declaration(body)
        text = _decode_text(body, start, charset)
        if text.count("<") > 2 * self._elements_max:
            expected = f"at most {self._elements_max} elements"
            raise _error("message", start, expected, "more", Reason.LENGTH_TOO_LARGE)
        root = _parse(text, start, self._parser)
        if root.tag != self._root.name:
            raise _error("message", start, f"<{self._root.name}>", shown(str(root.tag)))
        return root, charset

    def _read_declaration(self, body: bytes) -> tuple[str, int]:
        """Return the charset that the declaration names (the dialect's own where none does) and where it
        ends."""
        if body.startswith((b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<")):
            raise _error("charset", 0, "GBK or UTF-8", "UTF-16")
        start = 3 if body.startswith(b"\xef\xbb\xbf") else 0
        bom = start > 0
        found = _DECLARATION.match(body[start:])
        if not found:
            return ("utf-8" if bom else self._charset), start
        named = _ENCODING.search(found.group())
        if not named:
            return ("utf-8" if bom else self._charset), start + found.end()
        charset = CHARSETS.get(named.group(1).decode("ascii").lower())
        if charset is None or (bom and charset != "utf-8"):
            raise _error("charset", start, "GBK or UTF-8", shown(named.group(1).decode("ascii")))
        return charset, start + found.end()

    # -- encode --

    def encode(self, message: Message) -> bytes:
        """Write a message in its own `charset`, or the dialect's; elements stand in the order of the spec.

        Raises EncodeError naming the path that the dialect cannot carry.
        """
        named = message.get("charset", self._charset)
        charset = CHARSETS.get(named.lower()) if isinstance(named, str) else None
        if charset is None:
            raise EncodeError("charset", "GBK or UTF-8", shown(named))
        pieces = [f'<?xml version="1.0" encoding="{charset.upper()}"?>']
        table = {name: value for name, value in message.items() if name != "charset"}
        _write(self._root, table, pieces)
        try:
            body = "".join(pieces).encode(charset)
        except UnicodeEncodeError as error:
            raise EncodeError("message", f"{charset} text", f"a character that {charset} lacks") from error
        if len(body) > self._bytes_max:
            raise EncodeError("message", f"at most {self._bytes_max} bytes", str(len(body)))
        return body

    def field_bytes(self, path: str, message: Message, with_prefix: bool) -> bytes | None:
        """Return an element's text in the message's charset, None when it is absent.

        Of an element with others in it, the texts stand in the order of the spec with one space between them.
        XML has no length digits, so `with_prefix` changes nothing.
        """
        value = get_path(message, path)
        if value is None:
            return None
        element = self._by_path.get(path)
        if element is None:
            raise EncodeError(path, "a known element", "an unknown name")
        charset = CHARSETS.get(str(message.get("charset", self._charset)).lower(), self._charset)
        try:
            return " ".join(_texts(element, value)).encode(charset)
        except UnicodeEncodeError as error:
            raise EncodeError(path, f"{charset} text", f"a character that {charset} lacks") from error

    # -- show --

    def describe(self, body: bytes) -> list[FieldView]:
        """Return a readable, masked dump; never raises.  Offsets and lengths count bytes of the body."""
        views: list[FieldView] = []
        at: list[str] = []
        masked = self.mask(body)
        tags = list(_TAG.finditer(masked))
        for tag, following in zip(tags, [*tags[1:], None], strict=True):
            self._describe_tag(masked, tag, following, at, views)
        error = self._fault(body) or self._value_fault(body)
        if error is not None:
            text = f"expected {error.expected}, found {error.found}"
            left = max(len(body) - error.offset, 0)
            views.append(FieldView(error.field, "!", "Not readable 无法解析", error.offset, left, text))
        return views

    def _value_fault(self, body: bytes) -> RemoteProtocolError | None:
        """Return what is wrong inside a well-formed body; starred values are none."""
        try:
            self.decode(body)
        except RemoteProtocolError as error:
            return None if error.reason is Reason.VALUE and b"*" in body else error
        return None

    def _describe_tag(
        self,
        masked: bytes,
        tag: re.Match[bytes],
        following: re.Match[bytes] | None,
        at: list[str],
        views: list[FieldView],
    ) -> None:
        """Append a view for an opening tag, keeping the path of the element in `at`."""
        name = tag.group(1).decode("ascii")
        if tag.group().startswith(b"</"):
            if at and at[-1] == name:
                at.pop()
            return
        path = ".".join([*at[1:], name]) if at else ""
        element = self._by_path.get(path)
        empty = tag.group().endswith(b"/>")
        if not empty and len(at) < DEPTH_MAX:
            at.append(name)
        if not path:
            return
        stop = following.start() if following and not empty else tag.end()
        value = masked[tag.end() : stop].decode(self._shown_charset(masked), "replace").strip()
        title = element.title if element else ""
        views.append(FieldView(path, name, title, tag.end(), stop - tag.end(), value[:TEXT_SHOWN]))

    def _shown_charset(self, body: bytes) -> str:
        try:
            return self._read_declaration(body)[0]
        except RemoteProtocolError:
            return "utf-8"

    def mask(self, body: bytes) -> bytes:
        """Return the body with sensitive elements starred, of the same length; never raises.

        Everything is starred but the tags that the dialect knows and the texts of its harmless elements; of a
        body that is not well-formed only known tags are left to be seen.
        """
        masked = bytearray(b"*" * len(body))
        for tag in _TAG.finditer(body):
            if tag.group(1) in self._names:
                masked[tag.start() : tag.end()] = tag.group()
        if self._fault(body) is not None:
            return bytes(masked)
        declaration = _DECLARATION.match(body)
        if declaration:
            masked[: declaration.end()] = declaration.group()
        for found in _LEAF.finditer(body):
            kind = self._leaves.get(found.group(1))
            if kind is not None:
                text = found.group(2)
                masked[found.start(2) : found.end(2)] = mask_bytes(text, kind, "ascii") if kind else text
        return bytes(masked)

    def _fault(self, body: bytes) -> RemoteProtocolError | None:
        """Return what keeps a body from being XML of this dialect's root, None when nothing does."""
        try:
            self._root_of(body)
        except RemoteProtocolError as error:
            return error
        return None

    # -- what it can carry --

    def paths(self) -> set[str]:
        """Return every path that a message of this dialect can have."""
        return set(self._by_path) | {"charset"}

    def sensitive(self, path: str) -> str | None:
        """Return the kind of secrecy of a path (`pan`, `phone`, `name`, `secret`), or None."""
        element = self._by_path.get(path)
        return (element.sensitive or None) if element else None

    def width(self, path: str) -> int | None:
        """Return the greatest length of a path's text in characters; None where there is none."""
        element = self._by_path.get(path)
        return (element.length or None) if element else None

    def binary(self, path: str) -> bool:
        """Tell whether a path's value is bytes; in XML none is."""
        return False


def _error(
    field: str, offset: int, expected: str, found: str, reason: Reason = Reason.VALUE
) -> RemoteProtocolError:
    return RemoteProtocolError(field, offset, expected, found, reason)


def _decode_text(body: bytes, start: int, charset: str) -> str:
    try:
        text = str(body[start:], charset)
    except UnicodeDecodeError as error:
        found = body[start + error.start : start + error.start + 2].hex().upper()
        raise _error("charset", start + error.start, f"{charset} text", found) from error
    if "\0" in text:
        raise _error("message", start + text.index("\0"), "text without NUL", "NUL")
    if "<!" in text:
        raise _error("message", body.find(b"<!", start), "elements and text only", "a <! section")
    if "<?" in text:
        raise _error("message", body.find(b"<?", start), "elements and text only", "a <? section")
    return text


def _make_parser() -> etree.XMLParser:
    return etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )


def _parse(text: str, start: int, parser: etree.XMLParser) -> etree._Element:
    try:
        return etree.fromstring(text.encode("utf-8"), parser)
    except (etree.XMLSyntaxError, UnicodeEncodeError) as error:
        # libxml2's own words can quote the text, so only its number and place are shown.
        code = getattr(error, "code", 0)
        raise _error(
            "message", start, "well-formed XML", f"syntax error {code}", Reason.UNREADABLE
        ) from error


class _Reader:
    """Reads elements into a message; `body` only serves to say where an error stands."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def fill(self, value: Message, node: etree._Element, element: Element) -> None:
        """Read an element that holds others into `value`, in their order, so that an error leaves what came
        first."""
        self._plain(node, element)
        if (node.text or "").strip():
            raise self._error(element, "elements only", "text")
        children = {child.name: child for child in element.children}
        for child_node in node:
            name = child_node.tag
            child = children.get(name) if isinstance(name, str) else None
            if child is None:
                raise self._error(element, "known elements", shown(str(name)))
            if (child_node.tail or "").strip():
                raise self._error(element, "elements only", "text")
            if child.name in value and not child.repeats:
                raise self._error(child, "this element once", "twice", Reason.FORBIDDEN)
            self._put(value, child_node, child)

    def _put(self, value: Message, node: etree._Element, element: Element) -> None:
        content: Any = {} if element.children else self._text(node, element)
        if element.repeats:
            value.setdefault(element.name, []).append(content)
        else:
            value[element.name] = content
        if element.children:
            self.fill(content, node, element)

    def _text(self, node: etree._Element, element: Element) -> str:
        self._plain(node, element)
        if len(node):
            raise self._error(element, "text only", "elements")
        text = node.text or ""
        if len(text) > element.length:
            raise self._error(
                element, f"at most {element.length} characters", str(len(text)), Reason.LENGTH_TOO_LARGE
            )
        if text and not TYPES[element.type].check(text):
            raise self._error(element, TYPES[element.type].expected, shown(text, element.sensitive))
        return text

    def _plain(self, node: etree._Element, element: Element) -> None:
        if len(node.attrib):
            raise self._error(element, "no attributes", "an attribute", Reason.FORBIDDEN)

    def _error(
        self, element: Element, expected: str, found: str, reason: Reason = Reason.VALUE
    ) -> RemoteProtocolError:
        offset = max(self._body.find(b"<" + element.name.encode("ascii")), 0)
        return _error(element.path or "message", offset, expected, found, reason)


def _write(element: Element, value: Any, pieces: list[str]) -> None:
    if not element.children:
        pieces.append(f"<{element.name}>{_escaped(element, value)}</{element.name}>")
        return
    if not isinstance(value, dict):
        raise EncodeError(element.path or "message", "a table of elements", shown(value, element.sensitive))
    unknown = value.keys() - {child.name for child in element.children}
    if unknown:
        path = f"{element.path}.{min(map(str, unknown))}".lstrip(".")
        raise EncodeError(path, "a known element", "an unknown name")
    pieces.append(f"<{element.name}>")
    for child in element.children:
        if child.name in value:
            for one in _entries(child, value[child.name]):
                _write(child, one, pieces)
    pieces.append(f"</{element.name}>")


def _entries(element: Element, value: Any) -> list[Any]:
    if not element.repeats:
        return [value]
    if not isinstance(value, list):
        raise EncodeError(element.path, "a list", shown(value, element.sensitive))
    return value


def _escaped(element: Element, value: Any) -> str:
    if type(value) is not str or (value and not TYPES[element.type].check(value)):
        raise EncodeError(element.path, TYPES[element.type].expected, shown(value, element.sensitive))
    if len(value) > element.length:
        raise EncodeError(element.path, f"at most {element.length} characters", str(len(value)))
    return value.translate(_ESCAPES)


def _texts(element: Element, value: Any) -> list[str]:
    """Return the texts of an element in the order of the spec."""
    if isinstance(value, list):
        return [text for one in value for text in _texts(element, one)]
    if isinstance(value, dict):
        return [
            text
            for child in element.children
            if child.name in value
            for text in _texts(child, value[child.name])
        ]
    return [str(value)]
