"""Dotted paths into a message: `private.PZ.number`, `details.bills.0.serial`."""

from typing import Any

from qianzhi.wire.rows import is_digits


def get_path(message: dict[str, Any], path: str) -> Any:
    """Return the value at a path, or None where there is none; a number steps into a list."""
    if "." not in path:
        return message.get(path)
    value: Any = message
    for step in path.split("."):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and is_digits(step) and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def put_path(message: dict[str, Any], path: str, value: Any) -> None:
    """Set the value at a path, making tables on the way.

    Raises TypeError where a step before the last one holds something that is not a table.
    """
    *steps, last = path.split(".")
    table = message
    for step in steps:
        table = table.setdefault(step, {})
        if not isinstance(table, dict):
            raise TypeError(f"{path}: {step} is not a table")
    table[last] = value
