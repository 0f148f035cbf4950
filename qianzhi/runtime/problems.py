"""One thing that is wrong with a configuration: where, what stands there, what should."""

from typing import NamedTuple


class Problem(NamedTuple):
    """`file` and dotted `key` say where; `found` and `expected` are short texts without secrets."""

    file: str
    key: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.file}: {self.key}: found {self.found}, expected {self.expected}"


class ConfigError(Exception):
    """A configuration that cannot be used; `problems` holds everything that is wrong, not just the first."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems
