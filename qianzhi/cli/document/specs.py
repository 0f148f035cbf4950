"""A message spec's tables as rows that can be explained: one `Field` for each place where a value stands.

A reader of its own, because a compiled codec keeps only what it needs to work.  The spec has been checked
before (`load_codec`), so that nothing here looks for mistakes.  A new kind of spec is a new row in READERS.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from qianzhi.cli.document.page import NOTHING, Both, split_title
from qianzhi.wire.header import HEADER_BYTES, walk_header
from qianzhi.wire.items import Span
from qianzhi.wire.rows import TYPES

Tree = dict[str, Any]


@dataclass(frozen=True)
class Form:
    """How a value is written; the words are a spec's own (`wire.rows`)."""

    type: str
    encoding: str
    prefix: str
    padding: str
    length: int
    unit: str = ""


@dataclass(frozen=True)
class Field:
    """A place in a message.

    `label` is what the document calls it; `offset` counts bytes from the start of the body where that is
    the same in every message; `form` is None for what only holds others; `entries_max` is not 0 for a list.
    """

    path: str
    label: str
    title: Both
    form: Form | None = None
    offset: int | None = None
    entries_max: int = 0
    layout: str = ""
    computed: str = ""
    tree: Tree = field(default_factory=dict, repr=False, compare=False)
    children: tuple["Field", ...] = ()

    def everything(self) -> Iterator["Field"]:
        """Yield this field and all below it, in the order of the wire."""
        yield self
        for child in self.children:
            yield from child.everything()


@dataclass(frozen=True)
class Shape:
    """The fields of the messages that one `when` describes; most dialects have a single shape."""

    name: str
    title: Both
    when: Tree
    fields: tuple[Field, ...]

    def everything(self) -> list[Field]:
        """Return every field, in the order of the wire."""
        return [found for field in self.fields for found in field.everything()]


@dataclass(frozen=True)
class Spec:
    """A message spec, read for explaining."""

    kind: str
    tree: Tree
    shapes: tuple[Shape, ...]

    @property
    def carried(self) -> str:
        """Return how the body is carried, `hex` or empty."""
        return str(self.tree.get("carried", ""))

    def find(self, path: str) -> Field | None:
        """Return the first field of a path, whatever the shape."""
        return next((one for shape in self.shapes for one in shape.everything() if one.path == path), None)

    def label(self, path: str) -> str:
        """Return what the document calls a path."""
        found = self.find(path)
        return found.label if found else path

    def title(self, path: str) -> Both:
        """Return a path's title."""
        found = self.find(path)
        return found.title if found else NOTHING


def read_spec(tree: Tree) -> Spec:
    """Read a spec's tree; raises KeyError for a kind that nobody has described here."""
    return Spec(tree["kind"], tree, READERS[tree["kind"]](tree))


# ISO 8583


def _iso(tree: Tree) -> tuple[Shape, ...]:
    defaults = {"digits": "ascii", "text": "gbk", "binary": "raw", **tree.get("defaults", {})}
    mti = Form("n", defaults.get("mti", "ascii"), "fixed", "none", 4)
    bitmap = Form("b", "hex" if tree.get("bitmap") == "hex" else "raw", "fixed", "none", 8)
    fields = [
        *_iso_header(tree, defaults),
        Field("mti", "MTI", Both("Message type", "消息类型"), mti),
        Field("bitmap", "bitmap", Both("Bitmap", "位图"), bitmap),
    ]
    for number, one in sorted(tree["fields"].items(), key=lambda item: int(item[0])):
        fields.append(_item(one, one["name"], f"F{number}", defaults))
    return (Shape("message", NOTHING, {}, tuple(fields)),)


def _iso_header(tree: Tree, defaults: Tree) -> list[Field]:
    if tree.get("header") == "cups":
        return [
            Field(
                span.path,
                span.path,
                split_title(span.title),
                Form(
                    _header_type(span),
                    "ascii" if span.charset else "raw",
                    "fixed",
                    _HEADER_PADDING.get(span.path, "none"),
                    span.stop - span.start,
                ),
                offset=span.start,
            )
            for span in walk_header(bytes(HEADER_BYTES))
        ]
    parts = [
        _item(one, f"header.{one['name']}", f"header.{one['name']}", defaults)
        for one in tree.get("header_parts", [])
    ]
    return _with_offsets(parts)


_HEADER_PADDING = {"header.destination": "spaces_right", "header.source": "spaces_right"}
_HEADER_DIGITS = frozenset({"header.total", "header.reject_code"})


def _header_type(span: Span) -> str:
    return "n" if span.path in _HEADER_DIGITS else "ans" if span.charset else "b"


def _item(one: Tree, path: str, label: str, defaults: Tree) -> Field:
    """Read a field or part, simple or composite."""
    title = split_title(one.get("title", ""))
    layout = one.get("layout", "simple")
    form = form_of(one, defaults)
    if layout == "simple":
        return Field(path, label, title, form, tree=one)
    children = tuple(_inside(one, path, label, defaults))
    if one.get("encoding") in ("bcd", "bcd_left"):
        children = tuple(map(_packed_together, children))
    entries = int(one.get("entries_max", 0)) if layout == "repeat" else 0
    return Field(path, label, title, form, entries_max=entries, layout=layout, tree=one, children=children)


def _packed_together(part: Field) -> Field:
    """Return a part of a field whose digits are packed as a whole: it has no bytes of its own."""
    return replace(part, form=part.form and replace(part.form, encoding="nibbles"))


def form_of(one: Tree, defaults: Tree) -> Form:
    """Return how a field or part is written, defaults filled in; a composite has no type."""
    if one.get("layout", "simple") != "simple":
        packing = one.get("encoding", "")
        return Form(
            "", packing, one.get("prefix", "fixed"), "none", one.get("length", 0), one.get("unit", "")
        )
    kind = one.get("type", "ans")
    family = TYPES[kind].family
    encoding = str(one.get("encoding") or defaults.get(family) or defaults["text"])
    padding = str(one.get("padding") or TYPES[kind].padding)
    prefix = one.get("prefix", "fixed")
    return Form(kind, encoding, prefix, padding, one.get("length", 0), one.get("unit", ""))


def _inside(one: Tree, path: str, label: str, defaults: Tree) -> Iterator[Field]:
    for part in one.get("parts", []):
        known = f"F{part['tag']}" if part.get("tag") and label.startswith("F") else f"{label}.{part['name']}"
        yield _item(part, f"{path}.{part['name']}", known, defaults)
    for tag, case in one.get("cases", {}).items():
        inner = tuple(_inside(case, f"{path}.{tag}", f"{label}.{tag}", defaults))
        yield Field(
            f"{path}.{tag}",
            f"{label}.{tag}",
            split_title(case.get("title", "")),
            layout="case",
            tree=case,
            children=inner,
        )
    for tag, leaf in one.get("tags", {}).items():
        form = Form("b", "raw", "rest", "none", leaf.get("length", 0))
        yield Field(f"{path}.{tag}", f"{label}.{tag}", split_title(leaf.get("title", "")), form, tree=leaf)


# XML


def _xml(tree: Tree) -> tuple[Shape, ...]:
    charset = tree.get("charset", "GBK").lower()
    tables: Tree = tree["elements"]

    def below(prefix: str) -> tuple[Field, ...]:
        depth = prefix.count(".") + 1 if prefix else 0
        paths = [
            path for path in tables if path.startswith(prefix and prefix + ".") and path.count(".") == depth
        ]
        return tuple(make(path, tables[path]) for path in paths)

    def make(path: str, one: Tree) -> Field:
        children = below(path)
        leaf = Form(one.get("type", "ans"), charset, "element", "none", one.get("length", 0))
        return Field(
            path,
            path,
            split_title(one.get("title", "")),
            None if children else leaf,
            entries_max=-1 if one.get("repeats") else 0,
            tree=one,
            children=children,
        )

    return (Shape("message", NOTHING, {}, below("")),)


# Text messages: fixed width, delimited, pairs


def _text(tree: Tree) -> tuple[Shape, ...]:
    charset = str(tree.get("charset", "gbk")).lower()
    defaults = {"digits": "ascii", "text": charset, "binary": "raw"}
    if tree["kind"] == "pairs":
        defaults["pairs"] = "names stand on the wire"
    fixed = tree["kind"] == "fixed"

    def items(parts: list[Tree], prefix: str, *, widths: bool) -> list[Field]:
        return [_text_item(part, prefix, defaults, widths=widths) for part in parts]

    header = items(tree.get("header", []), "", widths=fixed)
    trailer = items(tree.get("trailer", []), "", widths=fixed)
    shapes = []
    for body in tree.get("bodies", []):
        parts = items(body.get("parts", []), "body.", widths=fixed and body.get("layout", "parts") == "parts")
        fields = [*header, *parts, *trailer]
        shapes.append(
            Shape(
                body["name"],
                split_title(body.get("title", "")),
                body.get("when", {}),
                tuple(_with_offsets(fields) if fixed else fields),
            )
        )
    return tuple(shapes) or (Shape("message", NOTHING, {}, (*header, *trailer)),)


def _text_item(one: Tree, prefix: str, defaults: Tree, *, widths: bool) -> Field:
    path = f"{prefix}{one['name']}"
    title = split_title(one.get("title", ""))
    label = one.get("tag") or (path.removeprefix("body.") if "pairs" in defaults else path)
    if one.get("layout") == "repeat":
        inner = tuple(_text_item(part, f"{path}.", defaults, widths=widths) for part in one.get("parts", []))
        return Field(
            path,
            label,
            title,
            None,
            entries_max=one.get("entries_max", -1),
            layout="repeat",
            tree=one,
            children=inner,
        )
    form = form_of(one, defaults)
    if not widths:
        form = Form(form.type, form.encoding, "column", "none", form.length)
    return Field(path, label, title, form, computed=str(one.get("computed", "")), tree=one)


def _with_offsets(fields: list[Field]) -> list[Field]:
    """Give fields of a fixed width their place, up to the first one whose width is not fixed."""
    placed: list[Field] = []
    at: int | None = 0
    for one in fields:
        size = _bytes_of(one.form)
        placed.append(replace(one, offset=at))
        at = at + size if at is not None and size is not None else None
    return placed


def _bytes_of(form: Form | None) -> int | None:
    if form is None or form.prefix != "fixed" or not form.type:
        return None
    packed = form.encoding in {"bcd", "bcd_left"}
    return (form.length + 1) // 2 if packed else form.length * (2 if form.encoding == "hex" else 1)


READERS: dict[str, Callable[[Tree], tuple[Shape, ...]]] = {
    "iso8583": _iso,
    "xml": _xml,
    "fixed": _text,
    "delimited": _text,
    "pairs": _text,
}
