"""Fields with an inside, cut and joined by the bank's own code from the spec's tables.

    parts   a row of cells, open where the spec lets it end early      repeat  a row again and again
    tagged  tag (and length) before each content                       tlv     BER-TLV, kept by its tags

Shapes are wire's: a dict of parts, a list of dicts, a dict by tag; what the spec does not know is kept whole.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from simulators.codecs.cells import Cell, Defaults, Row, read_prefix, simple_cell, write_prefix
from simulators.codecs.source import BankCodecError, Source

Message = dict[str, Any]


class Inside(NamedTuple):
    """What stands in a field: read uses its source up, write returns the content without a prefix."""

    read: Callable[[Source], Any]
    write: Callable[[Any], bytes]
    cells: dict[str, Cell]


def make_cell(row: Row, path: str, defaults: Defaults) -> Cell:
    """Return the cell of any row, simple or with an inside."""
    layout = str(row.get("layout", "simple"))
    if layout == "simple":
        return simple_cell(row, path, defaults)
    inside = LAYOUTS[layout](row, path, defaults)
    if row.get("fallback"):
        inside = _with_fallback(inside, str(row["fallback"]), defaults)
    return _framed(row, path, inside)


def _framed(row: Row, path: str, inside: Inside) -> Cell:
    prefix, length = str(row.get("prefix", "fixed")), int(row.get("length", 0))

    def write(value: Any) -> bytes:
        data = inside.write(value)
        if prefix == "fixed" and len(data) != length:
            raise BankCodecError(f"{path} has another length than {length}")
        return write_prefix(prefix, len(data), path) + data

    def read(source: Source) -> Any:
        counted = read_prefix(prefix, source, path)
        size = source.left if prefix == "rest" else length if counted is None else counted
        content = source.part(size, path)
        value = inside.read(content)
        content.finish(path)
        return value

    return Cell(
        name=str(row["name"]),
        read=read,
        write=write,
        bare=inside.write,
        content=inside.read,
        takes_rest=prefix == "rest",
        inside=inside.cells,
    )


def cells_of(rows: list[Row], path: str, defaults: Defaults) -> list[Cell]:
    """Return the cells of a list of parts, in order."""
    return [make_cell(row, f"{path}.{row['name']}", defaults) for row in rows]


def _parts(row: Row, path: str, defaults: Defaults) -> Inside:
    cells = cells_of(row["parts"], path, defaults)
    counts: dict[str, str] = row.get("counts", {})
    if row.get("open"):
        return _open_row(cells, int(row.get("length_min", 0)), defaults)
    lengths = {str(part["name"]): int(part.get("length", 1)) for part in row["parts"]}

    def read(source: Source) -> Message:
        value = {cell.name: cell.read(source) for cell in cells}
        for name, counted in counts.items():
            if not str(value[name]).isdigit() or int(value[name]) != len(value[counted]):
                raise BankCodecError(f"{path}.{name} does not count {counted}")
        return value

    def write(value: Any) -> bytes:
        given = dict(value)
        for name, counted in counts.items():
            given.setdefault(counted, [])
            given.setdefault(name, f"{len(given[counted]):0{lengths[name]}d}")
        return b"".join([_write_in(cell, given, path) for cell in cells])

    return Inside(read, write, {cell.name: cell for cell in cells})


def _write_in(cell: Cell, values: Message, path: str) -> bytes:
    if cell.name not in values:
        raise BankCodecError(f"{path}.{cell.name} is missing")
    return cell.write(values[cell.name])


def _open_row(cells: list[Cell], shortest: int, defaults: Defaults) -> Inside:
    """Return a row that may end after any part; more than the parts is kept under `rest`."""
    rest = _whole_cell("rest", "text", defaults)

    def read(source: Source) -> Message:
        value: Message = {}
        for cell in cells:
            if source.left < max(1, len(cell.blank or b"")):
                break
            value[cell.name] = cell.read(source)
        if source.left:
            value["rest"] = rest.read(source)
        return value

    def write(value: Any) -> bytes:
        wanted = [at for at, cell in enumerate(cells) if cell.name in value]
        data = b""
        for at, cell in enumerate(cells):
            if (not wanted or at > wanted[-1]) and (len(data) >= shortest or set(value) == {"rest"}):
                break
            data += cell.write(value[cell.name]) if cell.name in value else cell.blank or b""
        return data + (rest.write(value["rest"]) if "rest" in value else b"")

    return Inside(read, write, {cell.name: cell for cell in [*cells, rest]})


def _whole_cell(name: str, form: str, defaults: Defaults) -> Cell:
    kind = "b" if form == "bytes" else "ans"
    row = {"name": name, "type": kind, "prefix": "rest"}
    return simple_cell(row, name, Defaults(defaults.text, defaults.text))


def _plain(form: str, defaults: Defaults) -> Inside:
    cell = _whole_cell(form, form, defaults)
    return Inside(
        lambda source: {form: cell.read(source)}, lambda value: cell.write(value[form]), {form: cell}
    )


def _with_fallback(inside: Inside, form: str, defaults: Defaults) -> Inside:
    """Read what does not fit the layout whole, under the name of the fallback."""
    plain = _plain(form, defaults)

    def read(source: Source) -> Any:
        start = source.at
        try:
            value = inside.read(source)
            source.finish(form)
        except BankCodecError:
            source.at = start
            return plain.read(source)
        return value

    def write(value: Any) -> bytes:
        return plain.write(value) if set(value) == {form} else inside.write(value)

    return Inside(read, write, inside.cells)


def _repeat(row: Row, path: str, defaults: Defaults) -> Inside:
    cells = cells_of(row["parts"], path, defaults)
    entries_max = int(row.get("entries_max", 999))

    def read(source: Source) -> list[Message]:
        entries = []
        while source.left:
            entries.append({cell.name: cell.read(source) for cell in cells})
            if len(entries) > entries_max:
                raise BankCodecError(f"{path} has more than {entries_max} entries")
        return entries

    def write(value: Any) -> bytes:
        return b"".join([_write_in(cell, entry, path) for entry in value for cell in cells])

    return Inside(read, write, {cell.name: cell for cell in cells})


def _tagged(row: Row, path: str, defaults: Defaults) -> Inside:
    width, digits = int(row.get("tag_length", 2)), int(row.get("length_digits", 0))
    other = _plain(str(row.get("other", "text")), defaults)
    cases = {tag: _parts(case, f"{path}.{tag}", defaults) for tag, case in row.get("cases", {}).items()}

    def read(source: Source) -> Message:
        value: Message = {}
        while source.left or not value:
            tag = source.take(width, path).decode("ascii", "replace")
            size = source.left
            if digits:
                stated = source.take(digits, path)
                if not stated.isdigit():
                    raise BankCodecError(f"{path} has a length that is no number")
                size = int(stated)
            content = source.part(size, path)
            value[tag] = cases.get(tag, other).read(content)
            content.finish(f"{path}.{tag}")
        return value

    def write(value: Any) -> bytes:
        data = b""
        for tag, content in value.items():
            inner = cases.get(tag, other).write(content)
            data += tag.encode("ascii") + (b"%0*d" % (digits, len(inner)) if digits else b"") + inner
        return data

    cells = {tag: _case_cell(tag, case) for tag, case in cases.items()}
    return Inside(read, write, cells)


def _case_cell(tag: str, case: Inside) -> Cell:
    return Cell(tag, case.read, case.write, case.write, case.read, inside=case.cells)


def _tlv(row: Row, path: str, _: Defaults) -> Inside:
    def read(source: Source) -> Message:
        value: Message = {}
        while source.left:
            tag = source.take(1, path)
            while (len(tag) == 1 and tag[0] & 31 == 31) or (len(tag) > 1 and tag[-1] & 128):
                tag += source.take(1, path)
            size = source.take(1, path)[0]
            if size > 127:
                size = int.from_bytes(source.take(size - 128, path), "big")
            content, name = source.take(size, path), tag.hex().upper()
            if name in value:
                before = value[name]
                value[name] = [*(before if isinstance(before, list) else [before]), content]
            else:
                value[name] = content
        return value

    def write(value: Any) -> bytes:
        data = b""
        for tag, contents in value.items():
            for content in contents if isinstance(contents, list) else [contents]:
                size = len(content)
                length = bytes((size,)) if size < 128 else size.to_bytes(1 + (size > 255), "big")
                mark = bytes((128 + len(length),)) if size > 127 else b""
                data += bytes.fromhex(tag) + mark + length + content
        return data

    return Inside(read, write, {})


LAYOUTS: dict[str, Callable[[Row, str, Defaults], Inside]] = {
    "parts": _parts,
    "repeat": _repeat,
    "tagged": _tagged,
    "tlv": _tlv,
}
