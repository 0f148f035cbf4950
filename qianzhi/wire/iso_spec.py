"""From a spec's tables to a compiled ISO 8583 codec: one table for each field, defaults at the top of the
file."""

from qianzhi.wire.iso8583 import Iso8583Codec
from qianzhi.wire.iso_head import BITMAPS, MTIS, Head, cups_head, no_head, parts_head
from qianzhi.wire.item_spec import LENGTH_MAX, Defaults, make_item, make_items, read_defaults
from qianzhi.wire.items import About, Item
from qianzhi.wire.spec import Table

RESERVED_NAMES = frozenset({"mti", "header", "bitmap", "message"})
BITMAP_FIELDS = (1, 65)


def make_iso_codec(root: Table) -> Iso8583Codec:
    """Compile the dialect; problems are collected in the table, and the result is only good when there are
    none."""
    bytes_max = root.number("message_bytes_max", 12, LENGTH_MAX, LENGTH_MAX)
    bitmap = root.choice("bitmap", BITMAPS, "binary")
    bitmaps_max = root.number("bitmaps_max", 1, 3, 2)
    top = root.table("defaults")
    mti = top.choice("mti", MTIS, "ascii")
    defaults = read_defaults(top)
    top.close()
    head = _head(root, defaults)
    tables = root.table("fields")
    items: dict[int, Item] = {}
    for key in tables.names():
        item = _field(tables.table(key), key, 64 * bitmaps_max, defaults)
        if item is not None:
            items[item.about.number] = item
    if not items:
        root.problem("fields", "nothing", "at least one field")
    _check_names(tables, list(items.values()))
    return Iso8583Codec(items, head, MTIS[mti], BITMAPS[bitmap], bitmaps_max, bytes_max)


def _head(root: Table, defaults: Defaults) -> Head:
    """Compile what stands before the message type."""
    kind = root.choice("header", ("none", "cups", "parts"), "none")
    required = root.flag("header_required", True)
    if kind == "cups":
        return cups_head(required)
    if kind == "none":
        return no_head()
    about = About("header", "", "", 0)
    items = make_items(root, about, defaults, "header_parts")
    for item in items:
        if item.takes_rest:
            root.problem("header_parts", item.name, "parts with a length")
    return parts_head(about, items)


def _check_names(tables: Table, items: list[Item]) -> None:
    seen: set[str] = set()
    for item in items:
        if item.name in seen or item.name in RESERVED_NAMES:
            tables.problem(f"{item.about.number}.name", item.name, "a name of its own")
        seen.add(item.name)


def _field(table: Table, key: str, last: int, defaults: Defaults) -> Item | None:
    if not (key.isascii() and key.isdigit() and 2 <= int(key) <= last and int(key) not in BITMAP_FIELDS):
        table.problem("", key, f"a field number from 2 to {last} but 65")
        return None
    number = int(key)
    name = table.name()
    about = About(name, key, table.text("title"), number, table.sensitive())
    return make_item(table, about, name, defaults)
