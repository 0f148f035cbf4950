"""Straight-line code for what a mapping does with every message, made once from a profile's rows.  Pure.

A mapping's tables are walked row by row in `mapping_rows` and `mapping_parts`; here the same rows become the
lines of one function each: which message it is, what is echoed, what a request takes, what an answer gets.
Values of the commonest form are looked at in place, whatever else stands there goes through the row's own
functions, which know every other form and every error.  The lines hold names and numbers of ours alone: all
texts of a profile are handed over as values.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

from frontends.mapping_rows import Chooser, Matcher, Message, Row, SerialRow, copy_of, putter
from frontends.transforms import FieldError, Moment
from qianzhi.domain.requests import Kind, Request

Find = Callable[[Message], str]
Take = Callable[[Message, Moment, dict[str, Any]], tuple[str, FieldError] | None]
Give = Callable[[Message, Any, Any, Moment], None]
Echo = Callable[[Message, Message, Moment], None]
Ask = Callable[[Message, Moment, int, int], Request | None]


class Asked(NamedTuple):
    """What is the same of all requests of one transaction: `paths` must be there, with their value where one
    is given, and so must the values of the `needed` fields; `amount_fen_max` is None where no money moves."""

    kind: Kind
    space: str
    bank: str
    number: str
    numbers: Collection[str]
    amount_fen_max: int | None
    date_ours: bool
    needed: frozenset[str]
    paths: Sequence[tuple[str, str]]


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


def make_tester(matchers: Sequence[Matcher]) -> Callable[[Message], bool]:
    """Return the function that tells whether a message fits any of these."""
    made = Made("def made(message):")
    _candidates(made, 1, [(True, matcher) for matcher in matchers])
    made.add(1, "return False")
    test: Callable[[Message], bool] = made.function()
    return test


def _candidates(made: Made, depth: int, choices: list[tuple[Any, Matcher]]) -> None:
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
    taken, given = _table_names(
        made, [*deep, *[row.path for row, _ in copies]], [*deep, *[path for _, path in copies]]
    )
    for path in deep:
        _get_from(made, path, taken)
        made.add(1, "if v is not None:", " if v.__class__ is dict or v.__class__ is list: v = copy_of(v)")
        _put_into(made, path, given)
    for row, path in copies:
        _get_from(made, row.path, taken)
        made.add(1, "if v is not None:")
        whole = row.transform.text == "whole"
        write = f"v = {made.name(row.transform.write)}(v, moment, None)"
        made.add(2, f"if v.__class__ is not str: {write}" if whole else write)
        _put_into(made, path, given)
    made.add(1, "pass")
    echo: Echo = made.function()
    return echo


def _table_names(made: Made, read: list[str], put: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Look up once the tables at the head of paths of two steps; return their names on both sides."""
    taken: dict[str, str] = {}
    given: dict[str, str] = {}
    others = {path.partition(".")[0] for path in put if path.count(".") != 1}  # they may replace a table
    for side, names, paths in (("message", taken, read), ("answer", given, put)):
        for path in paths:
            head, *rest = path.split(".")
            if len(rest) == 1 and head not in names and (side == "message" or head not in others):
                names[head] = f"{side[0]}{len(names)}"
                made.add(1, f"{names[head]} = {side}.get({made.name(head)})")
                made.add(1, f"if {names[head]}.__class__ is not dict: {names[head]} = None")
    return taken, given


def _get_from(made: Made, path: str, tables: dict[str, str]) -> None:
    """Add the lines of `Made.get` for a path of which the table may be known."""
    head, *rest = path.split(".")
    if len(rest) != 1:
        return made.get(1, path)
    made.add(1, f"v = {tables[head]}.get({made.name(rest[0])}) if {tables[head]} is not None else None")
    made.add(1, "if v.__class__ is str and (not v or v.isspace()): v = None")
    return None


def _put_into(made: Made, path: str, tables: dict[str, str]) -> None:
    """Add the lines of `Made.put` for a path of which the table may be known."""
    head, *rest = path.split(".")
    if len(rest) != 1 or head not in tables:
        return made.put(2, path, "v")
    made.add(2, f"if {tables[head]} is None: {tables[head]} = answer[{made.name(head)}] = {{}}")
    made.add(2, f"{tables[head]}[{made.name(rest[0])}] = v")
    return None


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


def make_asker(rows: Sequence[Row | SerialRow], asked: Asked) -> Ask:
    """Return the function that makes the request of a message in which nothing is wrong, None of any other.

    Whatever is missing, unreadable or refused goes the way of `make_taker`, which says so.
    """
    made = Made(
        "def made(message, moment, date_of_ours, received_us):", FieldError=FieldError, Request=Request
    )
    made.add(1, *[f"f_{name} = {value}" for name, value in _usual(asked, made).items()], "try:")
    for row in rows:
        _take_into(made, row, row.field in asked.needed)
    made.add(1, "except FieldError: return None")
    for path, value in asked.paths:
        made.get(1, path)
        made.add(1, f"if v != {made.name(value)}: return None" if value else "if v is None: return None")
    made.add(1, f"if f_bank_number not in {made.name(asked.numbers)}: return None")
    if asked.amount_fen_max is not None:
        made.add(1, f"if f_amount_fen > {asked.amount_fen_max}: return None")
    made.add(1, "if not f_date or not f_serial: return None")
    names = Request.__struct_fields__
    last = max(names.index(name) for name in ("received_us", *[row.field for row in rows]))
    made.add(1, f"return Request({', '.join(f'f_{name}' for name in names[: last + 1])})")
    ask: Ask = made.function()
    return ask


def _usual(asked: Asked, made: Made) -> dict[str, str]:
    """Return the expression of each field of a request where no row gives another one."""
    names, values = Request.__struct_fields__, Request.__struct_defaults__
    usual = zip(names[len(names) - len(values) :], values, strict=True)
    return {
        **{name: made.name(value) for name, value in usual},
        "kind": made.name(asked.kind),
        "space": made.name(asked.space),
        "date": "date_of_ours or moment.today" if asked.date_ours else "0",
        "serial": "''",
        "bank": made.name(asked.bank),
        "bank_number": made.name(asked.number),
        "date_ours": str(asked.date_ours),
        "received_us": "received_us",
    }


def _take_into(made: Made, row: Row | SerialRow, needed: bool) -> None:
    """Add the lines that take one row's value."""
    absent = "return None" if needed else "pass"
    if not isinstance(row, Row):
        made.add(2, f"v = {made.name(row.read)}(message, moment)")
        made.add(2, f"if v is not None: f_{row.field} = v", f"else: {absent}")
        return
    if row.transform.read is None:
        return
    first, *rest = row.path.split(".")
    made.add(2, f"v = message.get({made.name(first)})")
    for step in rest:
        made.add(2, f"v = v.get({made.name(step)}) if v.__class__ is dict else None")
    plain, taken = _plain(row)
    blank = f"if v is None or (v.__class__ is str and (not v or v.isspace())): {absent}"
    if plain:
        made.add(2, f"if {plain}: f_{row.field} = {taken}", f"el{blank}")
    else:
        made.add(2, blank)
    made.add(2, "else:", f" f_{row.field} = {made.name(row.transform.read)}(v, moment)")
    made.add(2, f" if f_{row.field} is None: return None")


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
        if row.transform.looks:
            made.get(2, row.path, "answer", "old")
        write = f"v = {made.name(row.transform.write)}(v, moment, {'old' if row.transform.looks else 'None'})"
        if row.transform.text:
            cut = "pass" if row.transform.text == "whole" else f"v = v[-{row.transform.width}:]"
            made.add(2, f"if v.__class__ is str: {cut}", f"else: {write}")
        else:
            made.add(2, write)
        made.add(2, "if v is not None:")
        made.put(3, row.path, "v")
    made.add(1, "pass")
    give: Give = made.function()
    return give
