"""Reading and writing the fields of one bitmap at a stroke, in pure Python: straight-line code, made once.

For every bitmap (and every order of names to be written) a function is put together whose lines read one
field after the other: values of the commonest form, ASCII letters and digits, without a call; whatever else
stands there goes through the field's own closures, which know every other form and every error.  `_kernel`
does the same compiled; `kernel` says which of both is used.

    at + 26 <= end and text[at:at+26].isdecimal()?   ──▶  four fields of 6 + 4 + 10 + 6 digits, sliced off
             │ no
             ▼
    each of the four by its closure                       (an error names field, offset and what was expected)
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from qianzhi.wire.items import Item, Message, Quick

# (body, start of the fields, end of the body, what is read) -> where the last field ends
Read = Callable[[bytes, int, int, Message], int]
# what is to be written -> the fields' bytes in the order of the wire
Write = Callable[[Message], bytes]

LENGTHS: dict[int, dict[str, int]] = {
    digits: {f"{length:0{digits}d}": length for length in range(10**digits)} for digits in range(1, 5)
}
# Lengths of two digits in a byte, as characters of Latin-1.
PACKED_LENGTHS: dict[int, list[str]] = {
    size: [bytes.fromhex(f"{length:0{2 * size}d}").decode("latin-1") for length in range(100**size)]
    for size in (1, 2)
}


def make_reader(items: Sequence[Item]) -> Read:
    """Return the function that reads these fields in their order; raises RemoteProtocolError as they do."""
    given: dict[str, Any] = {f"LENGTH{digits}": table.get for digits, table in LENGTHS.items()}
    lines = ["def made(body, at, end, message):", " text = body.decode('latin-1')"]
    if any(item.quick and (item.quick.packed or item.quick.packed_prefix) for item in items):
        lines.append(" packed = body.hex()")
    numbered = list(enumerate(items))
    for number, item in numbered:
        given[f"n{number}"], given[f"d{number}"] = item.name, item.decode
    for kind, run in groupby(numbered, lambda one: _digits_of(one[1].quick)):
        fields = list(run)
        if kind:
            lines += _digits_read([(number, item.quick) for number, item in fields if item.quick])
        else:
            for number, item in fields:
                lines += _field_read(number, item.quick)
    read: Read = _made([*lines, " return at"], given)
    return read


def make_writer(items: Sequence[Item]) -> Write:
    """Return the function that writes these fields in their order; raises EncodeError as they do."""
    given: dict[str, Any] = {f"LENGTH{digits}": list(table) for digits, table in LENGTHS.items()}
    given |= {f"PACKED{size}": table for size, table in PACKED_LENGTHS.items()}
    given |= {name: fill for fill, name in _FILLS.items()}
    lines = ["def made(message):"]
    pieces = []
    for number, item in enumerate(items):
        given[f"n{number}"], given[f"e{number}"] = item.name, item.encode
        lines.append(f" v{number} = message[n{number}]")
    numbered = [(number, item.quick) for number, item in enumerate(items)]
    lines += _written_at_once(numbered, given)
    for kind, run in groupby(numbered, lambda one: _written_as(one[1])):
        of_run = list(run)
        if kind:
            pieces.append(f"p{of_run[0][0]}")
            lines += _run_written(kind, of_run)
        else:  # in turn, so that of several faults the first one is named
            pieces += [f"p{number}" for number, _ in of_run]
            lines += [f" p{number} = e{number}(v{number})" for number, _ in of_run]
    write: Write = _made([*lines, f" return b''.join(({', '.join([*pieces, ''])}))"], given)
    return write


def field_by_field(items: Sequence[Item]) -> Read:
    """Return what reads these fields by their closures alone; costs nothing to make."""

    def read(body: bytes, at: int, end: int, message: Message) -> int:
        for item in items:
            message[item.name], at = item.decode(body, at, end)
        return at

    return read


def one_by_one(items: Sequence[Item]) -> Write:
    """Return what writes these fields by their closures alone; costs nothing to make."""
    return lambda message: b"".join([item.encode(message[item.name]) for item in items])


def _digits_of(quick: Quick | None) -> str:
    """Return how fixed digits stand, empty for anything else."""
    if quick is None or quick.kind != "digits" or quick.prefix:
        return ""
    return "packed" if quick.packed else "plain"


def _digits_read(fields: list[tuple[int, Quick]]) -> Iterator[str]:
    """Read a run of fields of digits that follow each other at fixed distances."""
    is_packed = bool(fields[0][1].packed)
    places, start = [], 0
    for number, quick in fields:
        odd = is_packed and quick.size % 2
        begin = start + (1 if odd and quick.packed == "left" else 0)
        places.append((number, begin, begin + quick.size))
        start += quick.size + (1 if odd else 0)
    total, text, at = start, "text", "at"
    if is_packed:
        yield " place = 2 * at"
        total, text, at = start // 2, "packed", "place"
    yield f" if at + {total} <= end and {text}[{at} : {at} + {start}].isdecimal():"
    for number, begin, stop in places:
        yield f"  message[n{number}] = {text}[{at} + {begin} : {at} + {stop}]"
    yield f"  at += {total}"
    yield " else:"
    for number, _ in fields:
        yield f"  message[n{number}], at = d{number}(body, at, end)"


def _field_read(number: int, quick: Quick | None) -> Iterator[str]:
    by_closure = f"message[n{number}], at = d{number}(body, at, end)"
    if quick is None:
        yield f" {by_closure}"
        return
    bound, test = "", "" if quick.kind == "bytes" else f" and {_test(quick.kind, 'value')}"
    source = "body" if quick.kind == "bytes" else "text"
    if quick.prefix:
        yield f" begin = at + {quick.prefix}"
        if quick.packed_prefix:
            yield f" size = LENGTH{2 * quick.prefix}(packed[2 * at : 2 * begin])"
        else:
            yield f" size = LENGTH{quick.prefix}(text[at:begin])"
        bound = f" and size <= {quick.limit}"
        if quick.packed:
            yield " stop = end + 1 if size is None else begin + (size + 1) // 2"
            yield f" place = 2 * begin{' + (size or 0) % 2' if quick.packed == 'left' else ''}"
            yield " value = packed[place : place + (size or 0)]"
        else:
            yield " stop = end + 1 if size is None else begin + size"
            yield f" value = {source}[begin:stop]"
    else:
        yield f" begin = at; stop = at + {quick.size}"
        yield f" value = {source}[at:stop]{_stripped(quick)}"
    yield f" if stop <= end{bound}{test}:"
    yield f"  message[n{number}] = value; at = stop"
    yield " else:"
    yield f"  {by_closure}"


def _stripped(quick: Quick) -> str:
    if not quick.strip:
        return ""
    return f".{'l' if quick.side == 'left' else 'r'}strip({quick.fill!r})"


_TESTS = {"digits": "isdecimal", "letters": "isalnum", "printable": "isprintable"}


def _test(kind: str, name: str) -> str:
    return f"{name}.{_TESTS[kind]}() and {name}.isascii()"


def _written_as(quick: Quick | None) -> str:
    """Return what kind of a run a field belongs to, empty for one that is written by its closure."""
    if quick is None or (quick.kind == "bytes" and quick.prefix):
        return ""
    return "packed" if quick.packed else quick.kind


_FILLS = {" ": "BLANK", "0": "ZERO", "\0": "NUL"}
_CLASSES = {"digits": "[0-9]", "letters": "[A-Za-z0-9]", "printable": "[ -~]"}


def _written_at_once(fields: list[tuple[int, Quick | None]], given: dict[str, Any]) -> Iterator[str]:
    """Write all fields together where every text has its commonest form: one pattern tells it of all."""
    texts = [(number, quick) for number, quick in fields if quick is not None and quick.kind != "bytes"]
    if not texts:
        return
    patterns = []
    for _, quick in texts:
        least = 1 if quick.prefix or quick.side else quick.size
        patterns.append(f"{_CLASSES[quick.kind]}{{{least},{quick.limit if quick.prefix else quick.size}}}")
    given["fit"], given["TEXTS"], given["join"] = re.compile("\0".join(patterns)).fullmatch, {str}, "\0".join
    pieces = []
    for kind, run in groupby(fields, lambda one: _written_as(one[1])):
        of_run = list(run)
        forms = [(number, quick) for number, quick in of_run if quick is not None]
        if kind in ("", "bytes"):
            pieces += [f"v{number}" if kind else f"e{number}(v{number})" for number, _ in of_run]
        else:
            pieces.append(_packed(forms) if kind == "packed" else _joined(forms))
    yield f" texts = ({', '.join(f'v{number}' for number, _ in texts)},)"
    tests = ["{*map(type, texts)} == TEXTS", "fit(join(texts))"]
    tests += [
        _fits(number, quick)
        for number, quick in fields
        if quick and quick.kind == "bytes" and not quick.prefix
    ]
    yield f" if {' and '.join(tests)}:"
    yield f"  return b''.join(({', '.join(pieces)},))"


def _run_written(kind: str, fields: list[tuple[int, Quick | None]]) -> Iterator[str]:
    """Write a run of fields of one kind together where all have their commonest form."""
    first = fields[0][0]
    by_closures = f"  p{first} = b''.join(({', '.join(f'e{number}(v{number})' for number, _ in fields)},))"
    forms = [(number, quick) for number, quick in fields if quick is not None]
    yield f" if {' and '.join(_fits(number, quick) for number, quick in forms)}:"
    if kind == "bytes":
        yield f"  p{first} = {' + '.join(f'v{number}' for number, _ in forms)}"
    else:
        yield f"  text = {' + '.join(f'v{number}' for number, _ in forms)}"
        yield f"  if {_test('digits' if kind == 'packed' else kind, 'text')}:"
        yield f"   p{first} = {_packed(forms) if kind == 'packed' else _joined(forms)}"
        yield "  else:"
        yield f" {by_closures}"
    yield " else:"
    yield by_closures


def _fits(number: int, quick: Quick) -> str:
    if quick.kind == "bytes":
        return f"v{number}.__class__ is bytes and len(v{number}) == {quick.size}"
    if quick.prefix:
        return f"v{number}.__class__ is str and 0 < len(v{number}) <= {quick.limit}"
    if quick.side:
        return f"v{number}.__class__ is str and 0 < len(v{number}) <= {quick.size}"
    return f"v{number}.__class__ is str and len(v{number}) == {quick.size}"


def _joined(fields: Iterable[tuple[int, Quick]]) -> str:
    """Return what the run's bytes are: its texts filled and with their lengths, in one."""
    parts, charset = [], ""
    for number, quick in fields:
        if quick.packed_prefix:
            parts.append(f"{{PACKED{quick.prefix}[len(v{number})]}}")
            charset = "'latin-1'"
        elif quick.prefix:
            parts.append(f"{{LENGTH{quick.prefix}[len(v{number})]}}")
        parts.append(f"{{{_filled(number, quick)}}}")
    return f'f"{"".join(parts)}".encode({charset})'


def _packed(fields: Iterable[tuple[int, Quick]]) -> str:
    """Return the bytes of digits that stand two in a byte, as their lengths do."""
    parts = []
    for number, quick in fields:
        filler = "0" if quick.size % 2 else ""
        if quick.prefix:
            filler = f"{{'0'[len(v{number}) % 2 ^ 1 :]}}"
            parts.append(f"{{LENGTH{2 * quick.prefix}[len(v{number})]}}")
        value = f"{{{_filled(number, quick)}}}"
        parts.append(f"{filler}{value}" if quick.packed == "left" else f"{value}{filler}")
    return f'bytes.fromhex(f"{"".join(parts)}")'


def _filled(number: int, quick: Quick) -> str:
    if not quick.side:
        return f"v{number}"
    return f"v{number}.{'r' if quick.side == 'left' else 'l'}just({quick.size}, {_FILLS[quick.fill]})"


def _made(lines: list[str], given: dict[str, Any]) -> Any:
    """Return the function that these lines define; they hold numbers and names of ours, no text of a spec."""
    exec("\n".join(lines), given)  # noqa: S102  made here from a table's sizes alone
    return given["made"]
