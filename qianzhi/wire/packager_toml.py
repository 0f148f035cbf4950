"""A spec's tree as TOML text: only what specs hold (texts, whole numbers, flags, tables, lists of tables)."""

import json
from typing import Any


def spec_text(tree: dict[str, Any]) -> str:
    """Return the tree as TOML, scalars first, then its tables in order."""
    lines: list[str] = []
    _table(tree, "", lines)
    return "\n".join(lines).strip() + "\n"


def _table(tree: dict[str, Any], at: str, lines: list[str]) -> None:
    for key, value in tree.items():
        if not isinstance(value, dict | list):
            lines.append(f"{key} = {_scalar(value)}")
    for key, value in tree.items():
        if isinstance(value, list):
            lines += [f"{key} = [", *(f"  {_inline(one)}," for one in value), "]"]
    for key, value in tree.items():
        if isinstance(value, dict):
            where = f"{at}.{key}" if at else key
            if not all(isinstance(one, dict) for one in value.values()):
                lines += ["", f"[{where}]"]
            _table(value, where, lines)


def _inline(value: Any) -> str:
    """Return a table in one line; lists of tables inside it too."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_inline(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    """Return a text, number or flag; JSON writes them as TOML does, once nothing unprintable is left."""
    return json.dumps(value, ensure_ascii=False)
