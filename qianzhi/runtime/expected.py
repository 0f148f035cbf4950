"""What a configuration key may hold, said in plain words from its type; pure, the vocabulary of
`settings`."""

import difflib
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import annotated_types

SECRET_WORDS = ("key", "secret", "password", "token", "pin")
FOUND_CHARACTERS_MAX = 60


def type_at(cls: Any, place: Sequence[int | str]) -> Any:
    """Follow the steps of a place (field names, keys, positions) down from a type; Any where they lead
    nowhere."""
    for step in place:
        cls = _step_into(cls, step)
    return cls


def _step_into(cls: Any, step: int | str) -> Any:
    inner, _ = _parts(cls)
    origin, arguments = get_origin(inner), get_args(inner)
    if is_dataclass(inner):
        return get_type_hints(inner, include_extras=True).get(str(step), Any)
    if origin in (Union, types.UnionType):
        found = [kind for kind in (_step_into(branch, step) for branch in arguments) if kind is not Any]
        return found[0] if found else Any
    if origin is not None and issubclass(origin, Mapping) and len(arguments) == 2:
        return arguments[1]
    if origin is tuple and isinstance(step, int) and arguments and Ellipsis not in arguments:
        return arguments[step] if step < len(arguments) else Any
    if origin in (list, tuple, set, frozenset) and arguments:
        return arguments[0]
    return Any


def without_branches(cls: Any, place: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Drop from pydantic's place the steps that only name a branch of a union, such as `int` or `[key]`."""
    kept: list[int | str] = []
    for step in place:
        inner, _ = _parts(type_at(cls, kept))
        branches = get_args(inner) if get_origin(inner) in (Union, types.UnionType) else ()
        plural = len([branch for branch in branches if branch is not type(None)]) > 1
        if step == "[key]" or (plural and type_at(inner, [step]) is Any):
            continue
        kept.append(step)
    return tuple(kept)


def suggestion(cls: Any, name: str) -> str:
    """Say which key was probably meant, or which keys there are."""
    inner, _ = _parts(cls)
    branches = get_args(inner) or (inner,)
    known = [field.name for branch in branches if is_dataclass(branch) for field in fields(branch)]
    near = difflib.get_close_matches(name, known, 1, 0.6)
    if near:
        return f"did you mean {near[0]}?"
    return f"known here are {', '.join(sorted(known))}" if known else "nothing may stand here"


def found_text(name: str, value: Any) -> str:
    """Show shortly what was found; of a key that may hold a secret only its kind is shown."""
    if any(word in name.lower() for word in SECRET_WORDS):
        return f"{_kind_of(value)} that is not shown"
    if isinstance(value, Mapping | list | tuple):
        return _kind_of(value)
    text = "true" if value is True else "false" if value is False else repr(value)
    return text if len(text) <= FOUND_CHARACTERS_MAX else text[:FOUND_CHARACTERS_MAX] + "…"


def _kind_of(value: Any) -> str:
    kinds = ((Mapping, "a table"), (list | tuple, "a list"), (str, "a text"), (bool, "true or false"))
    for kind, words in kinds:
        if isinstance(value, kind):
            return words
    return "a number"


def describe(cls: Any) -> str:
    """Say in plain words what a value of this type looks like."""
    inner, bounds = _parts(cls)
    origin, arguments = get_origin(inner), get_args(inner)
    if origin is Literal:
        return "one of " + ", ".join(_quoted(choice) for choice in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(describe(branch) for branch in arguments if branch is not type(None))
    if isinstance(inner, type) and issubclass(inner, Enum):
        return "one of " + ", ".join(_quoted(choice.value) for choice in inner)
    if is_dataclass(inner):
        return _describe_table(inner)
    if origin is not None and issubclass(origin, Mapping):
        return f"a table whose entries are each {describe(arguments[1])}"
    if origin in (list, tuple, set, frozenset):
        return _describe_list(origin, arguments, bounds)
    if inner is bool:
        return "true or false"
    if inner is int:
        return "a whole number" + _range_text(bounds)
    if inner is float:
        return "a number" + _range_text(bounds)
    return _describe_text(bounds) if inner is str else "another value"


def _quoted(choice: Any) -> str:
    return f'"{choice}"' if isinstance(choice, str) else str(choice)


def _describe_table(inner: Any) -> str:
    required = [f.name for f in fields(inner) if f.default is MISSING and f.default_factory is MISSING]
    return "a table" + (f" with {', '.join(required)}" if required else "")


def _describe_list(origin: Any, arguments: tuple[Any, ...], bounds: "Bounds") -> str:
    if origin is tuple and Ellipsis not in arguments:
        return "a list of " + ", ".join(describe(item) for item in arguments)
    items = describe(arguments[0]) if arguments else "values"
    return f"a list{_length_text(bounds, 'entries')}, each {items}"


def _describe_text(bounds: "Bounds") -> str:
    words = "a text" + _length_text(bounds, "characters")
    return words + (f" of the form {bounds.pattern}" if bounds.pattern else "")


class Bounds:
    """The limits that a type's annotations set; None where there is none."""

    def __init__(self) -> None:
        self.low: Any = None
        self.high: Any = None
        self.above: Any = None
        self.below: Any = None
        self.length_min: int | None = None
        self.length_max: int | None = None
        self.pattern: str = ""

    def take(self, mark: Any) -> None:
        """Take over what one annotation says (annotated_types, or a field with metadata of them)."""
        if isinstance(mark, annotated_types.GroupedMetadata):
            for part in mark:
                self.take(part)
        self.low = getattr(mark, "ge", None) if getattr(mark, "ge", None) is not None else self.low
        self.high = getattr(mark, "le", None) if getattr(mark, "le", None) is not None else self.high
        self.above = getattr(mark, "gt", None) if getattr(mark, "gt", None) is not None else self.above
        self.below = getattr(mark, "lt", None) if getattr(mark, "lt", None) is not None else self.below
        self.length_min = getattr(mark, "min_length", self.length_min)
        self.length_max = getattr(mark, "max_length", self.length_max)
        self.pattern = str(getattr(mark, "pattern", None) or self.pattern)
        for part in getattr(mark, "metadata", ()):
            self.take(part)


def _parts(cls: Any) -> tuple[Any, Bounds]:
    """Take a type apart into what it is and what limits it."""
    bounds = Bounds()
    while get_origin(cls) is Annotated:
        for mark in cls.__metadata__:
            bounds.take(mark)
        cls = get_args(cls)[0]
    return cls, bounds


def _range_text(bounds: Bounds) -> str:
    if bounds.low is not None and bounds.high is not None:
        return f" from {bounds.low} to {bounds.high}"
    words = [
        ("of at least", bounds.low),
        ("of at most", bounds.high),
        ("above", bounds.above),
        ("below", bounds.below),
    ]
    said = [f"{word} {limit}" for word, limit in words if limit is not None]
    return (" " + " and ".join(said)) if said else ""


def _length_text(bounds: Bounds, unit: str) -> str:
    if bounds.length_min and bounds.length_max is not None:
        if bounds.length_min == bounds.length_max:
            return f" of {bounds.length_min} {unit}"
        return f" of {bounds.length_min} to {bounds.length_max} {unit}"
    if bounds.length_max is not None:
        return f" of at most {bounds.length_max} {unit}"
    if bounds.length_min == 1:
        return " that is not empty"
    return f" of at least {bounds.length_min} {unit}" if bounds.length_min else ""
