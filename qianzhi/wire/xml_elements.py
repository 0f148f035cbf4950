"""The elements of an XML dialect: reading a parsed tree into a message, and writing a message as text."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lxml import etree

from qianzhi.wire.errors import EncodeError, Reason, RemoteProtocolError, shown
from qianzhi.wire.items import Message
from qianzhi.wire.rows import TYPES

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


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


def wrong(
    field: str, offset: int, expected: str, found: str, reason: Reason = Reason.VALUE
) -> RemoteProtocolError:
    """Return the peer's error at a path, or in the `message` or its `charset`."""
    return RemoteProtocolError(field, offset, expected, found, reason)


class Reader:
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
        return wrong(element.path or "message", offset, expected, found, reason)


Write = Callable[[Any, list[str]], bool]


def make_writer(element: Element) -> Write:
    """Return what appends an element with its content to pieces as `write` does, where all of it has its
    commonest form; it returns False where anything has not, and then `write` has to begin anew.
    """
    head, tail = f"<{element.name}>", f"</{element.name}>"
    if not element.children:
        fits, length = TYPES[element.type].check, element.length

        def leaf(value: Any, pieces: list[str]) -> bool:
            if value.__class__ is not str or len(value) > length or (value and not fits(value)):
                return False
            pieces += (head, value if value.isalnum() else value.translate(_ESCAPES), tail)
            return True

        return leaf
    rows = [(child.name, child.repeats, make_writer(child)) for child in element.children]

    def table(value: Any, pieces: list[str]) -> bool:
        if value.__class__ is not dict:
            return False
        found = 0
        pieces.append(head)
        for name, repeats, put in rows:
            inner = value.get(name, ...)
            if inner is not ...:
                if repeats or not put(inner, pieces):
                    return False
                found += 1
        pieces.append(tail)
        return found == len(value)

    return table


def write(element: Element, value: Any, pieces: list[str]) -> None:
    """Append an element with its content to `pieces`; raises EncodeError naming the path that cannot be
    carried."""
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
                write(child, one, pieces)
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


def texts_of(element: Element, value: Any) -> list[str]:
    """Return the texts of an element in the order of the spec."""
    if isinstance(value, list):
        return [text for one in value for text in texts_of(element, one)]
    if isinstance(value, dict):
        return [
            text
            for child in element.children
            if child.name in value
            for text in texts_of(child, value[child.name])
        ]
    return [str(value)]
