"""Dotted paths into a message and into the cells of a spec: `private.PZ.number`."""

from typing import Any

from simulators.codecs.cells import Cell
from simulators.codecs.source import BankCodecError


def value_at(message: dict[str, Any], path: str) -> Any:
    """Return the value at a path, None where there is none."""
    value: Any = message
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def put_at(message: dict[str, Any], path: str, value: Any) -> None:
    """Set the value at a path, making tables on the way."""
    *tables, last = path.split(".")
    for name in tables:
        message = message.setdefault(name, {})
    message[last] = value


def inner_cell(cell: Cell, names: list[str]) -> Cell:
    """Return the cell below another one; raises BankCodecError where there is none."""
    for name in names:
        found = cell.inside.get(name)
        if found is None:
            raise BankCodecError(f"there is no {name} in {cell.name}")
        cell = found
    return cell
