"""From a spec's tables to a compiled XML codec: one table for each element, named by its path.

An element whose path others continue holds those; the order of the file is the order on the wire.
"""

from dataclasses import dataclass, field

from qianzhi.wire.rows import TYPES
from qianzhi.wire.spec import Table
from qianzhi.wire.xml import CHARSETS, DEPTH_MAX, XmlCodec
from qianzhi.wire.xml_elements import Element

LENGTH_MAX = 65_536
TEXT_TYPES = sorted(set(TYPES) - {"b"})


@dataclass
class Draft:
    """An element while its spec is being read."""

    path: str
    name: str
    title: str = ""
    type: str = "ans"
    length: int = 0
    sensitive: str = ""
    repeats: bool = False
    children: dict[str, "Draft"] = field(default_factory=dict)

    def finished(self) -> Element:
        """Return the element with all that it holds."""
        children = tuple(child.finished() for child in self.children.values())
        return Element(
            self.path, self.name, self.title, self.type, self.length, self.sensitive, self.repeats, children
        )


def make_xml_codec(root: Table) -> XmlCodec:
    """Compile the dialect; problems are collected in the table, and the result is only good without any."""
    name = root.name("root")
    if name[:1].isdigit():
        root.problem("root", name, "a name that begins with a letter or _")
    top = Draft("", name if _is_name(name) else "unnamed")  # anything else is reported, and fits no pattern
    named = root.text("charset", "GBK")
    if named.lower() not in CHARSETS:
        root.problem("charset", named, "one of " + ", ".join(sorted(CHARSETS)))
    bytes_max = root.number("message_bytes_max", 64, 1_000_000, 65_536)
    elements_max = root.number("elements_max", 1, 100_000, 1000)
    declared = root.flag("declaration", True)
    tables = root.table("elements")
    for path in tables.names():
        _element(tables.table(path), path, top)
    if not tables.names():
        root.problem("elements", "nothing", "at least one element")
    charset = CHARSETS.get(named.lower(), "gbk")
    return XmlCodec(top.finished(), charset, bytes_max, elements_max, declared=declared)


def _element(table: Table, path: str, top: Draft) -> None:
    steps = path.split(".")
    if len(steps) >= DEPTH_MAX or not all(_is_name(step) for step in steps):
        table.problem("", path, "element names with full stops between them")
        return
    parent = top
    for step in steps[:-1]:
        if step not in parent.children:
            table.problem("", path, f"a table for {step} before it")
            return
        parent = parent.children[step]
        if parent.length:
            table.problem("", path, f"an element in {parent.path}, which has a length and so holds text")
    draft = Draft(path, steps[-1], table.text("title"))
    draft.repeats = table.flag("repeats")
    if table.has("type") or table.has("length"):
        draft.type = table.choice("type", TEXT_TYPES, "ans")
        draft.length = table.number("length", 1, LENGTH_MAX, 0)
        draft.sensitive = table.sensitive()
        if not draft.length and not table.has("length"):
            table.problem("length", "nothing", "the greatest length in characters")
    if path == "charset":
        table.problem("", path, "a name other than charset")
    parent.children[steps[-1]] = draft
    table.close()


def _is_name(step: str) -> bool:
    return step.isascii() and step.replace("_", "a").isalnum() and not step[0].isdigit()
