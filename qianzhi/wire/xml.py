"""XML messages in GBK or UTF-8: a flat list of elements by path, as data.

Bytes become text by Python's codecs first, so that a charset error is named as one; then lxml parses UTF-8.
There is no document type at all, hence no entity but XML's own five, no external file and no entity bomb;
size, depth and the number of elements are bounded before and while parsing.
"""

import re
from collections.abc import Container, Mapping
from itertools import zip_longest

from lxml import etree

from qianzhi.wire.errors import EncodeError, Reason, RemoteProtocolError, shown
from qianzhi.wire.items import FieldView, Message, Side, mask_bytes
from qianzhi.wire.mac_plan import Gather, Joining
from qianzhi.wire.paths import get_path
from qianzhi.wire.xml_elements import Element, Reader, make_writer, texts_of, write, wrong
from qianzhi.wire.xml_quick import QuickReader, make_gatherer

# Charsets by the names that declarations use; others are refused.
CHARSETS = {"gbk": "gbk", "gb2312": "gbk", "gb18030": "gb18030", "utf-8": "utf-8", "utf8": "utf-8"}
DEPTH_MAX = 16
TEXT_SHOWN = 64

# The whole of XML's own rule: what only looks like a declaration could name one charset to us and another to
# somebody else, and would be shown in dumps, whatever it says.
_DECLARED = (
    rb"<\?xml\s{1,9}version\s?=\s?(?:\"1\.[0-9]\"|'1\.[0-9]')"
    rb"(?:\s{1,9}encoding\s?=\s?(?:\"[A-Za-z][A-Za-z0-9._-]{0,39}\"|'[A-Za-z][A-Za-z0-9._-]{0,39}'))?"
    rb"(?:\s{1,9}standalone\s?=\s?(?:\"(?:yes|no)\"|'(?:yes|no)'))?\s{0,9}\?>"
)
_DECLARATION = re.compile(rb"\A" + _DECLARED)
_ENCODING = re.compile(rb"encoding\s?=\s?[\"']([A-Za-z0-9._-]{1,40})[\"']")
_LEAF = re.compile(rb"<([A-Za-z_][A-Za-z0-9_.-]*)>([^<]*)</\1>")
_TAG = re.compile(rb"</?([A-Za-z_][A-Za-z0-9_.-]*)\s*/?>")


class XmlCodec:
    """A compiled XML dialect."""

    def __init__(
        self, root: Element, charset: str, bytes_max: int, elements_max: int, *, declared: bool = True
    ) -> None:
        self._root = root
        self._charset = charset
        self._declared = declared
        self._bytes_max = bytes_max
        self._elements_max = elements_max
        self._parser = _make_parser()
        self._quick = QuickReader(root)
        self._write = make_writer(root)
        self.gatherers: dict[tuple[int, int], tuple[Gather | None, object, object]] = {}  # `mac` keeps them
        self._by_path = {element.path: element for element in root.everything() if element.path}
        self._names = {element.name.encode("ascii") for element in root.everything()}
        self._leaves: dict[bytes, str] = {}
        for element in root.everything():
            name = element.name.encode("ascii")
            if not element.children:
                self._leaves[name] = self._leaves.get(name) or element.sensitive

        self._plain = _plain_pattern(self._names, set(self._leaves))
        hidden = [name for name, kind in self._leaves.items() if kind]
        self._secrets = re.compile(rb"<(%b)>([^<]*)</\1>" % (b"|".join(hidden) or b"(?!)"))

    # -- decode --

    def decode(self, body: bytes) -> Message:
        """Read a body; raises only RemoteProtocolError, whatever the bytes are.

        Elements that are absent are absent in the message, empty ones are empty text.  `charset` is set when
        the message does not come in the dialect's own, so that an answer made from it goes back in the same.
        """
        charset, start, text = self._text_of(body)
        quick = self._quick.read(text) if charset == self._charset else None
        if quick is not None:
            return quick
        root = self._parsed(text, start)
        message: Message = {"charset": charset.upper()} if charset != self._charset else {}
        try:
            Reader(body).fill(message, root, self._root)
        except RemoteProtocolError as error:
            error.partial = message
            raise
        return message

    def _text_of(self, body: bytes) -> tuple[str, int, str]:
        """Return the charset of a body within its bounds, where its declaration ends, and its text."""
        if len(body) > self._bytes_max:
            expected = f"at most {self._bytes_max} bytes"
            raise wrong("message", 0, expected, str(len(body)), Reason.LENGTH_TOO_LARGE)
        charset, start = self._read_declaration(body)
        text = _decode_text(body, start, charset)
        if text.count("<") > 2 * self._elements_max:
            expected = f"at most {self._elements_max} elements"
            raise wrong("message", start, expected, "more", Reason.LENGTH_TOO_LARGE)
        return charset, start, text

    def _parsed(self, text: str, start: int) -> etree._Element:
        """Parse a text; return the root element."""
        root = _parse(text, start, self._parser)
        if root.tag != self._root.name:
            raise wrong("message", start, f"<{self._root.name}>", shown(str(root.tag)))
        return root

    def _read_declaration(self, body: bytes) -> tuple[str, int]:
        """Return the charset that the declaration names (the dialect's own where none does) and where it
        ends."""
        if body.startswith((b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<")):
            raise wrong("charset", 0, "GBK or UTF-8", "UTF-16")
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
            raise wrong("charset", start, "GBK or UTF-8", shown(named.group(1).decode("ascii")))
        return charset, start + found.end()

    # -- encode --

    def encode(self, message: Message) -> bytes:
        """Write a message in its own `charset`, or the dialect's; elements stand in the order of the spec.

        Where the dialect has no declaration, one is written only when the charset is not the dialect's.
        Raises EncodeError naming the path that the dialect cannot carry.
        """
        named = message.get("charset", self._charset)
        charset = CHARSETS.get(named.lower()) if isinstance(named, str) else None
        if charset is None:
            raise EncodeError("charset", "GBK or UTF-8", shown(named))
        declared = self._declared or charset != self._charset
        head = [f'<?xml version="1.0" encoding="{charset.upper()}"?>'] if declared else []
        pieces = [*head]
        table = {name: value for name, value in message.items() if name != "charset"}
        if not self._write(table, pieces):
            write(self._root, table, pieces := head)
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
            return " ".join(texts_of(element, value)).encode(charset)
        except UnicodeEncodeError as error:
            raise EncodeError(path, f"{charset} text", f"a character that {charset} lacks") from error

    def gatherer(
        self, paths: list[str], with_prefix: Container[str], take: Mapping[str, int], joining: Joining,
        slow: Gather,
    ) -> Gather | None:  # fmt: skip
        """Return what joins the texts of these elements for a MAC, as `slow` does one by one."""
        if take or joining.selection != "none":
            return None
        leaves = {path for path, element in self._by_path.items() if not element.children}
        join = joining.join.decode("ascii")
        return make_gatherer(paths, leaves, self._charset, join, joining.empty, slow)

    def covered(self, body: bytes, path: str, side: Side) -> bytes:
        """Raise EncodeError: a document's MAC covers listed elements, never the bytes around one of them."""
        raise EncodeError(path, "a dialect whose MAC can cover everything before or after it", "XML")

    def measure(self, buffer: bytes) -> int | None:
        """Raise RemoteProtocolError: only a frame says where a document ends."""
        raise wrong("message", 0, "a message that delimits itself", "XML", Reason.UNREADABLE)

    # -- show --

    def describe(self, body: bytes) -> list[FieldView]:
        """Return a readable, masked dump; never raises.  Offsets and lengths count bytes of the body."""
        views: list[FieldView] = []
        at: list[str] = []
        masked = self.mask(body)
        tags = list(_TAG.finditer(masked))
        for tag, following in zip_longest(tags, tags[1:]):
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
            starred = b"*" in body and error.reason in (Reason.VALUE, Reason.LENGTH_TOO_LARGE)
            return None if starred else error
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

    def mask(self, body: bytes, *, decoded: bool = False) -> bytes:
        """Return the body with sensitive elements starred, of the same length; never raises.

        Everything is starred but the tags that the dialect knows and the texts of its harmless elements.  Of
        a body that has more in it than those, and is not well-formed either, only known tags are left to be
        seen.
        """
        if self._plain.fullmatch(body):
            return self._secrets.sub(self._starred, body)
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
                masked[found.start(2) : found.end(2)] = _masked(found.group(2), kind)
        return bytes(masked)

    def _starred(self, found: re.Match[bytes]) -> bytes:
        name, text = found.group(1), found.group(2)
        return b"<%b>%b</%b>" % (name, _masked(text, self._leaves[name]), name)

    def _fault(self, body: bytes) -> RemoteProtocolError | None:
        """Return what keeps a body from being XML of this dialect's root, None when nothing does."""
        try:
            _, start, text = self._text_of(body)
            self._parsed(text, start)
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


def _plain_pattern(names: set[bytes], leaves: set[bytes]) -> re.Pattern[bytes]:
    """Return a pattern for bodies that hold nothing but known tags, texts of known leaves and white space."""
    any_name, leaf = b"|".join(sorted(names)), b"|".join(sorted(leaves))
    # No two of these can match the same bytes, so that a body that does not match is found out in one pass.
    pieces = (rb"\s", rb"<(%b)>[^<\s][^<]*</\1>" % leaf, rb"</?(?:%b)>" % any_name, rb"<(?:%b)/>" % any_name)
    return re.compile(rb"(?:%b)?(?:%b)*" % (_DECLARED, b"|".join(pieces)))


def _masked(text: bytes, kind: str) -> bytes:
    """Return an element's text starred: in part where it is plain letters and digits, else whole."""
    if not kind:
        return text
    plain = text.replace(b"*", b"").isalnum()
    return mask_bytes(text, kind, "ascii") if plain else b"*" * len(text)


def _decode_text(body: bytes, start: int, charset: str) -> str:
    try:
        text = str(body[start:], charset)
    except UnicodeDecodeError as error:
        found = body[start + error.start : start + error.start + 2].hex().upper()
        raise wrong("charset", start + error.start, f"{charset} text", found) from error
    if "\0" in text:
        raise wrong("message", start + text.index("\0"), "text without NUL", "NUL")
    if "<!" in text:
        raise wrong("message", body.find(b"<!", start), "elements and text only", "a <! section")
    if "<?" in text:
        raise wrong("message", body.find(b"<?", start), "elements and text only", "a <? section")
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
        raise wrong("message", start, "well-formed XML", f"syntax error {code}", Reason.UNREADABLE) from error
