"""Straight-line code for what a mapping does with every message, made once from a profile's rows.  Pure.

A mapping's tables are walked row by row in `mapping_rows` and `mapping_parts`; here the same rows become the
lines of one function each: which message it is, what is echoed, what a request takes, what an answer gets.
Values of the commonest form are looked at in place, whatever else stands there goes through the row's own
functions, which know every other form and every error.  The lines hold names and numbers of ours alone: all
texts of a profile are handed over as values.
"""

from collections.abc import Callable, Sequence
from typing import Any

from frontends.mapping_rows import Chooser, Matcher, Message, Row, SerialRow, copy_of, putter
from frontends.transforms import FieldError, Moment

Find = Callable[[Message], str]
Take = Callable[[Message, Moment, dict[str, Any]], tuple[str, FieldError] | None]
Give = Callable[[Message, Any, Any, Moment], None]
Echo = Callable[[Message, Message, Moment], None]


class Made:
    """The lines of one function in the making, and the values that they name."""

    def __init__(self, head: str, **given: Any) -> None:
        self.given: dict[str, Any] = dict(given)
        self.lines = [head]

    def name(self, value: Any) -> str:
        """Return a name for a value."""
        name = f"g{len(self.given)}"
        self.given[name] = value
        return name

    def add(self, depth: int, *lines: str) -> None:
        """Add lines at a depth."""
        self.lines += [" " * depth + line for line in lines]

    def get(self, depth: int, path: str, message: str = "message", to: str = "v") -> None:
        """Add the lines of `mapping_rows.getter`: the value at a path, None when it is missing or blank."""
        first, *rest = path.split(".")
        self.add(depth, f"{to} = {message}.get({self.name(first)})")
        for step in rest:
            self.add(depth, f"{to} = {to}.get({self.name(step)}) if {to}.__class__ is dict else None")
        self.add(depth, f"if {to}.__class__ is str and (not {to} or {to}.isspace()): {to} = None")

    def put(self, depth: int, path: str, value: str) -> None:
        """Add the lines of `mapping_rows.putter` for a table named `answer`."""
        *tables, last = path.split(".")
        into = "answer"
        if len(tables) == 1:
            into, table = "inner", self.name(tables[0])
            self.add(depth, f"inner = answer.get({table})")
            self.add(depth, f"if not isinstance(inner, dict): inner = answer[{table}] = {{}}")
        elif tables:
            self.add(depth, f"{self.name(putter(path))}(answer, {value})")
            return
        self.add(depth, f"{into}[{self.name(last)}] = {value}")

    def function(self) -> Any:
        """Return the function that the lines define."""
        exec("\n".join(self.lines), self.given)  # noqa: S102  lines of ours; texts of a profile are values
        return self.given["made"]


def make_finder(chooser: Chooser) -> Find:
    """Return the function that finds the one name a message has, empty for none, as the chooser does."""
    made = Made("def made(message):")
    made.get(1, chooser.path, to="chosen")
    made.add(1, "if chosen is None or chosen.__class__ is str:")
    made.add(2, "pass")
    for value, choices in chooser.by_value.items():
        made.add(2, f"if chosen == {made.name(value)}:")
        _candidates(made, 3, choices)
    _candidates(made, 1, chooser.others)
    made.add(1, "return ''")
    found: Find = made.function()
    return found


def _candidates(made: Made, depth: int, choices: list[tuple[str, Matcher]]) -> None:
    """Say which of these fits first; a path is looked at once for all of them."""
    known: dict[str, str] = {}
    for _, matcher in choices:
        for row in matcher.rows:
            if row.path not in known:
                known[row.path] = f"at{depth}_{len(known)}"
                made.get(depth, row.path, to=known[row.path])
    for name, matcher in choices:
        tests = []
        for row in matcher.rows:
            found = known[row.path]
            test = f"{found} in {made.name(row.values)}"
            tests.append(f"({test} or {found} is not None)" if row.is_open else test)
        made.add(depth, f"if {' and '.join(tests) or 'True'}: return {made.name(name)}")
    made.add(depth, "pass")


def make_echo(flat: list[str], deep: list[str], copies: list[tuple[Row, str]]) -> Echo:
    """Return the function that echoes into an answer what is to come back; `copies` are transformed."""
    made = Made("def made(message, answer, moment):", copy_of=copy_of)
    for name in flat:
        told = made.name(name)
        made.add(1, f"if {told} in message:", f" v = message[{told}]")
        made.add(2, f"answer[{told}] = v if v.__class__ is str else copy_of(v)")
    for path in deep:
        made.get(1, path)
        made.add(1, "if v is not None:", " if v.__class__ is not str: v = copy_of(v)")
        made.put(2, path, "v")
    for row, path in copies:
        made.get(1, row.path)
        made.add(1, "if v is not None:", f" v = {made.name(row.transform.write)}(v, moment, None)")
        made.put(2, path, "v")
    made.add(1, "pass")
    echo: Echo = made.function()
    return echo


def make_constants(constants: list[tuple[str, str]]) -> Callable[[Message], None]:
    """Return the function that puts these values at their paths."""
    made = Made("def made(answer):")
    for path, value in constants:
        made.put(1, path, made.name(value))
    made.add(1, "pass")
    put: Callable[[Message], None] = made.function()
    return put


def make_taker(rows: Sequence[Row | SerialRow]) -> Take:
    """Return the function that puts the values of these rows under their fields; it returns the first row
    that cannot be read, as its path and error.
    """
    made = Made("def made(message, moment, values):", FieldError=FieldError)
    made.add(1, "fault = None")
    for row in rows:
        told, path = made.name(row.field), made.name(row.path)
        if not isinstance(row, Row):
            made.add(1, "try:", f" v = {made.name(row.read)}(message, moment)")
        elif row.transform.read is None:
            continue
        else:
            made.get(1, row.path)
            plain, taken = _plain(row)
            if plain:
                made.add(1, f"if {plain}: values[{told}] = {taken}", "else:", " try:")
            else:
                made.add(1, "if 1:", " try:")
            made.add(3, f"if v is not None: v = {made.name(row.transform.read)}(v, moment)")
        depth = 1 if not isinstance(row, Row) else 2
        made.add(depth, "except FieldError as error:", f" fault = fault or ({path}, error)")
        made.add(depth, "else:", f" if v is not None: values[{told}] = v")
    made.add(1, "return fault")
    take: Take = made.function()
    return take


def _plain(row: Row) -> tuple[str, str]:
    """Return the test for the commonest form of a row's value, and what is taken then; empty for none."""
    form, width = row.transform.plain, row.transform.width
    digits = "v.__class__ is str and v.isdecimal() and v.isascii()"
    if form == "digits":
        return f"{digits} and len(v) == {width}", "v"
    if form == "number":
        return f"{digits} and len(v) <= {width}", "int(v)"
    return "", ""


def make_giver(rows: Sequence[Row], source_of: Callable[[str], str], given: dict[str, Any]) -> Give:
    """Return the function that writes these rows into an answer.

    `source_of` returns for a row's field the expression of its value, made of `request`, `reply` and what is
    `given`.
    """
    made = Made("def made(answer, request, reply, moment):", **given)
    for row in rows:
        made.add(1, f"v = {source_of(row.field)}")
        made.add(1, "if v is not None and v != '':")
        made.get(2, row.path, "answer", "old")
        made.add(2, f"v = {made.name(row.transform.write)}(v, moment, old)", "if v is not None:")
        made.put(3, row.path, "v")
    made.add(1, "pass")
    give: Give = made.function()
    return give
