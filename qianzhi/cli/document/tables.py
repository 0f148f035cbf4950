"""The tables of messages: each field's form said once, what all messages of a kind share said once, the rest
with each message.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from qianzhi.cli.document.facts import Facts
from qianzhi.cli.document.holding import layout_words
from qianzhi.cli.document.page import NOTHING, Both, Page, Text, code, joined
from qianzhi.cli.document.rows import Row
from qianzhi.cli.document.specs import Field
from qianzhi.cli.document.words import format_words, length_words

Rows = list[Row]
STRONGEST = "MAEGPWKO–"  # a field that holds others is wanted as much as its most wanted part


def shared(facts: Facts, messages: Sequence[Rows]) -> Rows:
    """Return the rows that every message has, each as most of them have it.

    A message that has such a field in another way says so itself.  Where the order is all that tells fields
    apart, bodies are left whole.
    """
    if len(messages) < 2:
        return []
    found: Rows = []
    for row in messages[0]:
        versions = [one for rows in messages for one in rows if one.field.path == row.field.path]
        if len(versions) < len(messages) or (row.field.path.startswith("body.") and not once(facts)):
            continue
        often, times = Counter(map(_words, versions)).most_common(1)[0]
        if 2 * times > len(messages):
            found.append(next(one for one in versions if _words(one) == often))
    return _whole(found)


def others(rows: Rows, common: Rows) -> Rows:
    """Return a message's rows that the common ones do not say; what holds one of them stays with it."""
    said = {row.field.path: _words(row) for row in common}
    own = [row for row in rows if said.get(row.field.path) != _words(row)]
    holders = {parent for row in own for parent in _parents(row.field.path)}
    return [row for row in rows if row in own or row.field.path in holders]


def _words(row: Row) -> tuple[str, Both, str]:
    return row.presence, row.content, str(row.field.offset)


def _parents(path: str) -> list[str]:
    steps = path.split(".")
    return [".".join(steps[:size]) for size in range(1, len(steps))]


def _whole(rows: Rows) -> Rows:
    """Leave out what only holds others when none of them is there."""
    paths = {parent for row in rows for parent in _parents(row.field.path)}
    return [row for row in rows if not row.field.children or row.field.path in paths or row.presence == "E"]


def once(facts: Facts) -> bool:
    """Tell whether every field has one form in all messages, so that a table of fields can say it."""
    return facts.spec.kind not in ("fixed", "delimited")


def fields_table(page: Page, facts: Facts, rows: Iterable[Row]) -> None:
    """Write every field of the dialect's messages once, in the order of the wire, with its form."""
    wanted = {row.field.path for row in rows}
    cells = [
        (
            _indented(field),
            field.title,
            format_words(field.form) if field.form else _holder(field),
            length_words(field.form),
            layout_words(field),
        )
        for field in facts.spec.shapes[0].everything()
        if field.path in wanted
    ]
    heads = (
        ("field", "字段"),
        ("name", "名称"),
        ("format", "格式"),
        ("length", "长度"),
        ("how its parts stand", "各部分的排列"),
    )
    keep = 5 if any(row[4] != NOTHING for row in cells) else 4
    page.table([Both(*head) for head in heads][:keep], [row[:keep] for row in cells])


def table(page: Page, facts: Facts, rows: Iterable[Row]) -> None:
    """Write the table of a message's fields; in answers, echoes that need no place stand in one sentence."""
    rows = _with_holders(list(rows))
    if once(facts):
        rows = [row._replace(content=_briefly(row, rows)) for row in rows]
        echoes = [row for row in rows if row.presence == "E" and row.content == AS_ASKED]
        inside = tuple(f"{row.field.path}." for row in echoes)
        shown = [
            row for row in rows if row not in echoes and not row.field.path.startswith(inside or ("\0",))
        ]
        heads = [Both("field", "字段"), Both("use", "要求"), Both("content", "内容")]
        page.table(heads, [(_indented(row.field), row.presence, row.content) for row in shown])
        outer = [row for row in echoes if not row.field.path.startswith(inside)]
        if outer:
            names = ", ".join(code(row.field.label) for row in outer)
            page.say(f"As in the request (E): {names}.", f"与请求相同（E）：{names}。")
        return
    _wide(page, facts, rows)


AS_ASKED = Both("as in the request", "与请求相同")


def _briefly(row: Row, rows: Rows) -> Both:
    """Return a row's content without how its parts stand, which the table of fields says, but where it "
    "ends."""
    layout = layout_words(row.field)
    if not layout.en:
        return row.content
    kept = Both(
        row.content.en.removesuffix(layout.en).removesuffix("; "),
        row.content.zh.removesuffix(layout.zh).removesuffix("；"),
    )
    inside = [one for one in rows if one.field in row.field.children]
    if not row.field.tree.get("open") or not inside or inside[-1].field == row.field.children[-1]:
        return kept
    last = code(inside[-1].field.label)
    ends = Both(f"ends with {last}", f"到 {last} 结束")
    return ends if not kept.en or kept == AS_ASKED else joined([kept, ends], "; ", "；")


def _wide(page: Page, facts: Facts, rows: Rows) -> None:
    placed = any(row.field.offset is not None for row in rows) and facts.spec.kind == "fixed"
    heads = [("field", "字段"), ("name", "名称"), ("format", "格式"), ("length", "长度")]
    heads += [("use", "要求"), ("content", "内容")]
    cells: list[Sequence[Text]] = []
    for row in rows:
        field = row.field
        line: list[Text] = [
            _indented(field),
            field.title,
            format_words(field.form) if field.form else _holder(field),
            length_words(field.form),
            row.presence,
            row.content,
        ]
        cells.append(["" if field.offset is None else str(field.offset), *line] if placed else line)
    named = [Both(*head) for head in heads]
    page.table([Both("offset", "偏移"), *named] if placed else named, cells)


def _with_holders(rows: Rows) -> Rows:
    """Give a field that holds others the use of its most wanted part."""
    filled = []
    for row in rows:
        inside = [one.presence for one in rows if one.field.path.startswith(f"{row.field.path}.")]
        known = [one for one in inside if one]
        if not row.presence and known:
            row = row._replace(presence=min(known, key=STRONGEST.index))
        filled.append(row)
    return filled


def _indented(field: Field) -> str:
    depth = field.label.count(".") - (1 if field.path.startswith(("header.", "body.")) else 0)
    return "\u2003" * depth + code(field.label)


def _holder(field: Field) -> Both:
    if field.entries_max:
        return Both("list", "列表")
    return NOTHING if field.layout == "case" else Both("holds others", "包含下级")
