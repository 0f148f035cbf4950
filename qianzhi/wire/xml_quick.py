"""XML of the commonest shape, read and gathered at a stroke: nothing but known elements and plain text.

    text ─▶ only <name>, </name>, <name>text</name>, one behind the other? ──▶ the message
              │ no: blanks, attributes, entities, sections, anything unknown or wrong
              ▼
            None: lxml and `xml_elements` look at all of it, and say what is wrong

What is read here is exactly what they would have read.  Pure.
"""

import re
from collections.abc import Callable
from typing import Any

from qianzhi.wire.items import Message
from qianzhi.wire.mac_plan import Gather
from qianzhi.wire.rows import TYPES
from qianzhi.wire.xml_elements import Element

_NAME = "[A-Za-z_][A-Za-z0-9_.-]*"
_TOKENS = re.compile(f"<({_NAME})>([^<]*)</\\1>|<({_NAME})>|</({_NAME})>").findall

# What a table may hold, by name: the element, the length and the test of a text, and what stands inside.
_Row = tuple[Element, int, Callable[[str], bool], dict[str, Any]]


class QuickReader:
    """Reads documents of one root."""

    def __init__(self, root: Element) -> None:
        self._root = root
        self._rows = _rows_of(root)

    def read(self, text: str) -> Message | None:
        """Return the message of a document without its declaration, None where it has another shape."""
        if "&" in text or "]]>" in text or not text.isprintable():
            return None
        tokens = _TOKENS(text)
        if not tokens or tokens[0][2] != self._root.name:
            return None
        message: Message = {}
        seen = len(self._root.name) + 2
        stack: list[tuple[str, Message, dict[str, _Row]]] = []
        name, value, rows = self._root.name, message, self._rows
        closed = False
        for leaf, content, opened, ended in tokens[1:]:
            if closed:
                return None
            if ended:
                seen += len(ended) + 3
                if ended != name:
                    return None
                if stack:
                    name, value, rows = stack.pop()
                else:
                    closed = True
                continue
            row = rows.get(leaf or opened)
            if row is None:
                return None
            element, length, fits, inside = row
            told: Any = content
            if opened:
                told = {}
                seen += len(opened) + 2
                if not inside:
                    return None
            else:
                seen += 2 * len(leaf) + 5 + len(content)
                if inside:
                    if content:
                        return None
                    told = {}
                elif len(content) > length or (content and not fits(content)):
                    return None
            if element.repeats:
                value.setdefault(element.name, []).append(told)
            elif element.name in value:
                return None
            else:
                value[element.name] = told
            if opened:
                stack.append((name, value, rows))
                name, value, rows = opened, told, inside
        return message if closed and seen == len(text) else None


def _rows_of(element: Element) -> dict[str, _Row]:
    return {
        child.name: (child, child.length, TYPES[child.type].check, _rows_of(child))
        for child in element.children
    }


def make_gatherer(
    paths: list[str], leaves: set[str], charset: str, join: str, empty: bool, slow: Gather
) -> Gather:
    """Return what joins the texts of these elements; `slow` does it wherever one of them is no plain text,
    and says what is wrong.  `leaves` are the paths of all elements that hold a text alone.
    """
    if not set(paths) <= leaves:
        return slow
    steps = [path.split(".") for path in paths]

    def gather(message: Message) -> bytes:
        if "charset" in message:
            return slow(message)
        tables: dict[str, Any] = {}
        texts: list[str] = []
        for path in steps:
            if len(path) == 2:
                head, name = path
                value = tables.get(head)
                if value is None:
                    value = tables[head] = message.get(head, _NOTHING)
            else:
                *heads, name = path
                value = message
                for head in heads:
                    value = value.get(head, _NOTHING) if value.__class__ is dict else None
            if value.__class__ is not dict:
                return slow(message)
            text = value.get(name)
            if text.__class__ is str:
                texts.append(text)
            elif text is not None:
                return slow(message)
            elif empty:
                texts.append("")
        try:
            return join.join(texts).encode(charset)
        except UnicodeEncodeError:
            return slow(message)

    return gather


_NOTHING: Message = {}
