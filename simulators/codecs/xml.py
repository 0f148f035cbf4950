"""XML documents as the simulated bank writes and reads them: xml.etree on text from Python's own codecs.

Why here again: the platform reads XML with lxml and limits of its own; the bank at the other end uses another
library.  The elements, their order and which of them repeat are the spec's.
"""

from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree as Tree

from simulators.codecs.paths import value_at
from simulators.codecs.source import BankCodecError

Message = dict[str, Any]
Row = dict[str, Any]


@dataclass
class Node:
    """One element of the spec; without children it holds text."""

    name: str
    repeats: bool = False
    children: dict[str, "Node"] = field(default_factory=dict)


class XmlBankCodec:
    """Documents of one spec that has been read into a tree."""

    def __init__(self, tree: Row) -> None:
        """Raises BankCodecError when the tree is no spec of this kind."""
        self._root = Node(str(tree["root"]))
        self._charset = str(tree.get("charset", "gbk")).lower()
        self._declared = bool(tree.get("declaration", True))
        self.card_path = ""
        for path, row in tree.get("elements", {}).items():
            *above, name = str(path).split(".")
            node = self._root
            for step in above:
                node = node.children[step]
            node.children[name] = Node(name, bool(row.get("repeats")))
            if row.get("sensitive") == "pan":
                self.card_path = str(path)

    def encode(self, message: Message) -> bytes:
        """Return the document in its character set, with its declaration; lists become repeated elements."""
        charset = str(message.get("charset", self._charset))
        root = Tree.Element(self._root.name)
        self._fill(root, self._root, {name: value for name, value in message.items() if name != "charset"})
        text = Tree.tostring(root, encoding="unicode")
        own = _charset(charset) == _charset(self._charset)
        head = f'<?xml version="1.0" encoding="{charset.upper()}"?>' if self._declared or not own else ""
        try:
            return (head + text).encode(charset)
        except UnicodeEncodeError as error:
            raise BankCodecError(f"a character that {charset} lacks") from error

    def _fill(self, parent: Tree.Element, node: Node, values: Message) -> None:
        unknown = set(values) - set(node.children)
        if unknown:
            raise BankCodecError(f"{node.name} has no element {min(unknown)}")
        for name, child in node.children.items():
            if values.get(name) is None:
                continue
            for entry in values[name] if child.repeats else [values[name]]:
                element = Tree.SubElement(parent, name)
                if child.children:
                    self._fill(element, child, entry)
                else:
                    element.text = str(entry)

    def decode(self, data: bytes) -> Message:
        """Read a document by its declared character set; raises BankCodecError.

        Python's codecs decode it, since the parser beneath knows no GBK; document types are refused.
        """
        charset = declared_charset(data) or self._charset
        try:
            text = data.decode(charset)
        except (LookupError, UnicodeDecodeError) as error:
            raise BankCodecError(f"no {charset} text") from error
        if "<!" in text:
            raise BankCodecError("a document type has no place in a message")
        body = text.partition("?>")[2] if text.startswith("<?xml") else text
        try:
            root = Tree.fromstring(body)  # noqa: S314 - no document type is let in, so no entity can be
        except Tree.ParseError as error:
            raise BankCodecError("not well-formed") from error
        if root.tag != self._root.name:
            raise BankCodecError(f"another root than {self._root.name}")
        own = _charset(charset) == _charset(self._charset)
        message: Message = {} if own else {"charset": charset.upper()}
        message.update(self._value(root, self._root))
        return message

    def _value(self, element: Tree.Element, node: Node) -> Any:
        if not node.children:
            return element.text or ""
        values: Message = {}
        for child in element:
            below = node.children.get(child.tag)
            if below is None:
                raise BankCodecError(f"{node.name} has no element {child.tag}")
            inner = self._value(child, below)
            if below.repeats:
                values.setdefault(child.tag, []).append(inner)
            elif child.tag in values:
                raise BankCodecError(f"{child.tag} comes twice")
            else:
                values[child.tag] = inner
        return values

    def field(self, path: str, message: Message, *, with_prefix: bool = False) -> bytes | None:
        """Return the text of an element in the document's character set, None when it is absent.

        Of an element with others in it the texts stand in the order of the spec, one blank between them.
        """
        value = value_at(message, path)
        if value is None:
            return None
        node = self._root
        for step in path.split("."):
            if step not in node.children:
                raise BankCodecError(f"there is no element {path}")
            node = node.children[step]
        return " ".join(_texts(node, value)).encode(str(message.get("charset", self._charset)))

    def covered(self, data: bytes, path: str, side: str) -> bytes:
        """Raise BankCodecError: a document's MAC never covers the bytes around an element."""
        raise BankCodecError("a document is not covered by its bytes")

    def binary(self, path: str) -> bool:
        """Tell whether a path's value is bytes: none is."""
        return False


def _texts(node: Node, value: Any) -> list[str]:
    if isinstance(value, list):
        return [text for entry in value for text in _texts(node, entry)]
    if not node.children:
        return [str(value)]
    return [
        text for name, child in node.children.items() if name in value for text in _texts(child, value[name])
    ]


def _charset(name: str) -> str:
    """Return one name for a character set that has several."""
    return {"gb2312": "gbk", "utf8": "utf-8"}.get(name.lower(), name.lower())


def declared_charset(data: bytes) -> str:
    """Return the character set of an XML declaration, empty for none."""
    head = data[:100].decode("ascii", "replace")
    if not head.startswith("<?xml") or 'encoding="' not in head:
        return ""
    return _charset(head.split('encoding="', 1)[1].split('"', 1)[0])
