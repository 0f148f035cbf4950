"""Reading a spec: what a parsed TOML tree states about fields, checked wholly, with all problems at once.

Nothing here raises for a bad spec, and no file is read; the tree comes from `runtime.settings.read_toml`.
"""

from typing import Any

from qianzhi.runtime.problems import Problem
from qianzhi.wire.items import SENSITIVES


class Table:
    """One table of a spec being read; unknown keys are reported by `close`."""

    def __init__(self, tree: Any, at: str, file: str, problems: list[Problem]) -> None:
        self.at = at
        self.file = file
        self.problems = problems
        self._used: set[str] = set()
        self._tree: dict[str, Any] = tree if isinstance(tree, dict) else {}
        if not isinstance(tree, dict):
            self.problem("", type(tree).__name__, "a table")

    def problem(self, key: str, found: object, expected: str) -> None:
        """Report that `key` of this table is wrong."""
        where = ".".join(part for part in (self.at, key) if part) or "."
        text = found if isinstance(found, str) else repr(found)
        self.problems.append(Problem(self.file, where, text[:60], expected))

    def has(self, key: str) -> bool:
        """Tell whether the table holds the key."""
        return key in self._tree

    def take(self, key: str, kind: type, expected: str, default: Any) -> Any:
        """Return a value of exactly this type, or the default after reporting a wrong one."""
        self._used.add(key)
        if key not in self._tree:
            return default
        value = self._tree[key]
        if type(value) is not kind:
            self.problem(key, value, expected)
            return default
        return value

    def raw(self, key: str) -> Any:
        """Return a value of whatever type, for the caller to judge; None where there is none."""
        self._used.add(key)
        return self._tree.get(key)

    def text(self, key: str, default: str = "") -> str:
        """Return a text."""
        value: str = self.take(key, str, "a text", default)
        return value

    def choice(self, key: str, choices: Any, default: str) -> str:
        """Return one of the choices, or the default after reporting."""
        value = self.text(key, default)
        if value not in choices:
            self.problem(key, value, "one of " + ", ".join(sorted(choices)))
            return default
        return value

    def number(self, key: str, low: int, high: int, default: int) -> int:
        """Return a whole number between two bounds, or the default after reporting."""
        value: int = self.take(key, int, f"a whole number from {low} to {high}", default)
        if not low <= value <= high and key in self._tree:
            self.problem(key, value, f"a whole number from {low} to {high}")
            return default
        return value

    def flag(self, key: str, default: bool = False) -> bool:
        """Return true or false."""
        value: bool = self.take(key, bool, "true or false", default)
        return value

    def name(self, key: str = "name") -> str:
        """Return a name that can be a step of a path; reports a missing or unusable one."""
        value = self.text(key)
        if not value or not value.replace("_", "a").isalnum() or not value.isascii():
            self.problem(key, value or "nothing", "a name of letters, digits and _")
            return value or "unnamed"
        return value

    def sensitive(self) -> str:
        """Return the kind of secrecy, empty for none."""
        return self.choice("sensitive", ("", *SENSITIVES), "")

    def table(self, key: str) -> "Table":
        """Return a table below this one, empty when there is none."""
        self._used.add(key)
        return Table(
            self._tree.get(key, {}), f"{self.at}.{key}" if self.at else key, self.file, self.problems
        )

    def names(self) -> list[str]:
        """Return the keys in the order of the file."""
        return list(self._tree)

    def tables(self, key: str) -> list["Table"]:
        """Return a list of tables below this one."""
        self._used.add(key)
        found = self._tree.get(key, [])
        if not isinstance(found, list):
            self.problem(key, found, "a list of tables")
            return []
        base = f"{self.at}.{key}" if self.at else key
        return [Table(one, f"{base}.{at}", self.file, self.problems) for at, one in enumerate(found)]

    def close(self) -> None:
        """Report the keys that nobody asked for."""
        for key in self._tree.keys() - self._used:
            self.problem(key, "an unknown key", "one of " + ", ".join(sorted(self._used)))
