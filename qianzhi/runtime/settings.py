"""Reading TOML files into `@table` dataclasses, with every problem of a file reported at once in plain words.

Validation itself is pydantic's, strict; this module translates.  It reads files, so no pure module imports
it: pure packages declare their tables and the daemons and the command read them.
"""

import codecs
import json
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from qianzhi.runtime.expected import describe, found_text, suggestion, type_at, without_branches
from qianzhi.runtime.problems import ConfigError, Problem

T = TypeVar("T")

FILE_BYTES_MAX = 4 * 1024 * 1024
UNKNOWN_KEY = ("unexpected_keyword_argument", "extra_forbidden")


def read_toml(path: Path) -> dict[str, Any]:
    """Read one TOML file; raises ConfigError when it is missing, unreadable, too big or no TOML."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise _broken(path, error.strerror or "an unreadable file", "a readable file") from error
    if len(data) > FILE_BYTES_MAX:
        raise _broken(path, f"more than {FILE_BYTES_MAX} bytes", "a configuration file of reasonable size")
    if data.startswith(codecs.BOM_UTF8):
        raise _broken(path, "a byte order mark", "text in UTF-8 without a byte order mark")
    try:
        return tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise _broken(path, f"bytes that are no UTF-8 at {error.start}", "text in UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise _broken(path, f"no TOML: {error}", "a file in TOML") from error


def _broken(path: Path, found: str, expected: str) -> ConfigError:
    return ConfigError([Problem(str(path), "(whole file)", found, expected)])


def build(cls: type[T], tree: dict[str, Any], file: str, at: str = "") -> tuple[T | None, list[Problem]]:
    """Turn a parsed table into an instance of the `@table` class `cls`, or say everything that is wrong with
    it.

    `file` names the file in the problems and `at` is the dotted key under which `tree` stands in it.  Returns
    (instance, []) or (None, problems); never raises for what a file may contain.
    """
    found, errors = _validated(cls, tree)
    return found, _problems(cls, errors, file, at)


def build_known(
    cls: type[T], tree: dict[str, Any], file: str, at: str = ""
) -> tuple[T | None, list[Problem]]:
    """Do as `build` does, but return an instance without the keys that are unknown, beside the problems.

    So what remains of a file with a misspelt key can be checked in the same go.  A caller must look at the
    problems, not at the instance, to know whether the file is good.
    """
    found, errors = _validated(cls, tree)
    if found is None:
        known = json.loads(json.dumps(tree, default=str))
        for error in errors:
            if error["type"] in UNKNOWN_KEY:
                _remove(known, without_branches(cls, error["loc"]))
        found = _validated(cls, known)[0]
    return found, _problems(cls, errors, file, at)


def _validated(cls: type[T], tree: dict[str, Any]) -> tuple[T | None, list[ErrorDetails]]:
    try:
        adapter: TypeAdapter[T] = _adapter(cls)  # type: ignore[arg-type]
        return adapter.validate_json(json.dumps(tree, default=str), strict=True), []
    except ValidationError as error:
        return None, error.errors(include_url=False)


def _remove(tree: Any, place: tuple[int | str, ...]) -> None:
    """Take one key out of a parsed file; nothing happens where it is not found."""
    for step in place[:-1]:
        if isinstance(tree, list) and isinstance(step, int) and step < len(tree):
            tree = tree[step]
        else:
            tree = tree.get(step) if isinstance(tree, dict) else None
    if isinstance(tree, dict) and place:
        tree.pop(str(place[-1]), None)


@cache
def _adapter(cls: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(cls)


def _problems(cls: type[Any], errors: list[ErrorDetails], file: str, at: str) -> list[Problem]:
    """Translate pydantic's errors; several branches of one union that all refuse a value become one
    problem."""
    problems: dict[str, Problem] = {}
    for error in errors:
        place = without_branches(cls, error["loc"])
        key = ".".join([at] * bool(at) + [str(step) for step in place]) or "(whole table)"
        problems.setdefault(key, _problem(cls, error, place, file, key))
    return list(problems.values())


def _problem(
    cls: type[Any], error: ErrorDetails, place: tuple[int | str, ...], file: str, key: str
) -> Problem:
    name = str(place[-1]) if place else ""
    kind = error["type"]
    if kind in UNKNOWN_KEY:
        return Problem(
            file, key, "an unknown key", "a known one; " + suggestion(type_at(cls, place[:-1]), name)
        )
    wanted = type_at(cls, place)
    if kind in ("missing", "missing_argument"):
        return Problem(file, key, "nothing", f"{describe(wanted)}; this key is required")
    found = found_text(name, error["input"])
    if kind in ("value_error", "assertion_error"):
        return Problem(
            file, key, found, error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
        )
    return Problem(file, key, found, describe(wanted))
