"""`@table`: a frozen dataclass that stands for one table of a TOML file.

Each package owns the dataclass of its own table; `runtime.settings` reads files into them.  Nothing is
read here, so that pure packages can declare their tables.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def table(cls: type[T]) -> type[T]:
    """Make `cls` a frozen, keyword-only dataclass in which unknown keys of the file are refused."""
    cls.__pydantic_config__ = {"extra": "forbid"}  # type: ignore[attr-defined]
    make: Callable[[type[Any]], type[Any]] = dataclass(frozen=True, kw_only=True)
    return make(cls)
