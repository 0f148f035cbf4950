"""A profile's rows, compiled: paths into functions that reach into a message, rows into readers and writers.

This is done once per profile, so that the hot path only calls what is here.  A message is what `wire`
decodes: texts, nested tables and lists under names; a missing value and one of spaces only are the same here.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from frontends.mapping_tables import When
from frontends.transforms import Moment, Transform, transform_of

ANYTHING = "*"  # in a `when`: whatever stands there, as long as something does
Message = dict[str, Any]
Get = Callable[[Message], Any]
Put = Callable[[Message, Any], None]


class Row(NamedTuple):
    """`field` of the domain stands at `path` of the message, written as `transform` says."""

    field: str
    path: str
    get: Get
    put: Put
    transform: Transform

    def read(self, message: Message, moment: Moment) -> Any:
        """Return the domain's value, None when there is nothing to read; raises FieldError."""
        raw = self.get(message)
        if raw is None or self.transform.read is None:
            return None
        return self.transform.read(raw, moment)

    def write(self, message: Message, value: Any, moment: Moment) -> None:
        """Write the domain's value into the message; what is empty or has no form there is left out."""
        if value is None or value == "":
            return
        written = self.transform.write(value, moment, self.get(message))
        if written is not None:
            self.put(message, written)


class Said(NamedTuple):
    """What a message says at one path; None among the values stands for a blank or absent one."""

    get: Get
    values: tuple[str | None, ...]
    is_open: bool
    path: str


class Matcher(NamedTuple):
    """What a message says to be something: at every path one of these values, or anything where it is `open`.

    None stands for a blank or absent value.
    """

    rows: tuple[Said, ...]

    def fits(self, message: Message) -> bool:
        """Tell whether the message says all of it."""
        for get, values, is_open, _ in self.rows:
            value = get(message)
            if value not in values and (not is_open or value is None):
                return False
        return True


class Chooser:
    """Finds the one name that a message has; by one look into a table of the path that most names share.

    `type_of` returns what a message has there.
    """

    def __init__(self, whens: list[tuple[str, When]]) -> None:
        """`whens` exclude each other (`mapping_checks`)."""
        shared = Counter(path for _, when in whens for path in when if ANYTHING not in values_of(when[path]))
        path = min(shared, key=lambda path: (-shared[path], path), default="")
        self.path = path
        self.type_of = getter(path)
        self.by_value: dict[str | None, list[tuple[str, Matcher]]] = {}
        self.others: list[tuple[str, Matcher]] = []
        for name, when in whens:
            wanted = values_of(when.get(path, []))
            rest = matcher_of({step: values for step, values in when.items() if step != path})
            if not wanted or ANYTHING in wanted:
                self.others.append((name, matcher_of(when)))
                continue
            for value in wanted:
                self.by_value.setdefault(value or None, []).append((name, rest))

    def find(self, message: Message) -> str:
        """Return the name that fits, empty for none."""
        value = self.type_of(message)
        found = self.by_value.get(value, []) if value is None or value.__class__ is str else []
        for candidates in (found, self.others):
            for name, matcher in candidates:
                if matcher.fits(message):
                    return name
        return ""


def row_of(field: str, text: str) -> Row:
    """Compile `path|transform`; raises ValueError saying what is wrong with it."""
    path, transform = split_row(text)
    return Row(field, path, getter(path), putter(path), transform_of(transform))


def split_row(text: str) -> tuple[str, str]:
    """Return path (or source) and transform of a row; without a transform it is `text`."""
    path, bar, transform = text.partition("|")
    return path, transform if bar else "text"


def matcher_of(when: When) -> Matcher:
    """Compile a `when`."""
    rows = []
    for path, wanted in when.items():
        values = values_of(wanted)
        exact = tuple(value or None for value in values if value != ANYTHING)
        rows.append(Said(getter(path), exact, ANYTHING in values, path))
    return Matcher(tuple(rows))


def meet(one: list[str], other: list[str]) -> bool:
    """Tell whether a value fits both of these, each the values that a `when` allows at one path."""
    both = set(one) & set(other)
    return bool(both) or (ANYTHING in one and any(other)) or (ANYTHING in other and any(one))


def written(when: When) -> dict[str, str]:
    """Return what the bank's side writes to say all of this; other rows write what may be anything."""
    said = {path: values_of(wanted)[0] for path, wanted in when.items()}
    return {path: value for path, value in said.items() if value and value != ANYTHING}


def values_of(wanted: str | list[str]) -> list[str]:
    """Return the values that a `when` allows at one path."""
    return [wanted] if isinstance(wanted, str) else wanted


def getter(path: str) -> Get:
    """Return a function that reads the value at a path, None when it is missing or blank."""
    first, *rest = path.split(".")

    def get_nested(message: Message) -> Any:
        value = message.get(first)
        for name in rest:
            if value.__class__ is not dict:
                return None
            value = value.get(name)
        return None if value.__class__ is str and (not value or value.isspace()) else value

    def get_flat(message: Message) -> Any:
        value = message.get(first)
        return None if value.__class__ is str and (not value or value.isspace()) else value

    return get_nested if rest else get_flat


def putter(path: str) -> Put:
    """Return a function that writes a value at a path and makes the tables on the way."""
    *tables, last = path.split(".")

    def put(message: Message, value: Any) -> None:
        for name in tables:
            inner = message.get(name)
            if not isinstance(inner, dict):
                inner = message[name] = {}
            message = inner
        message[last] = value

    return put


def copy_of(value: Any) -> Any:
    """Return a value that shares nothing with the message from which it is echoed."""
    if isinstance(value, dict):
        return {name: inner if inner.__class__ is str else copy_of(inner) for name, inner in value.items()}
    return [copy_of(inner) for inner in value] if isinstance(value, list) else value


class SerialRow:
    """The serial of a request: one row of any kind, or several `digits` rows joined in their order."""

    field = "serial"

    def __init__(self, texts: str | list[str]) -> None:
        self.rows = [row_of("serial", text) for text in values_of(texts)]

    @property
    def path(self) -> str:
        """The path of the first part, to be named in a refusal."""
        return self.rows[0].path

    def read(self, message: Message, moment: Moment) -> str | None:
        """Return the joined serial, None when a part is missing; raises FieldError."""
        parts = [row.read(message, moment) for row in self.rows]
        return None if None in parts else "".join(parts)

    def write(self, message: Message, value: str, moment: Moment) -> None:
        """Write the serial, cut into its parts."""
        for row in self.rows[:-1]:
            row.write(message, value[: row.transform.width], moment)
            value = value[row.transform.width :]
        self.rows[-1].write(message, value, moment)
