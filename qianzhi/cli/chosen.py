"""What the command's global options chose; every command is given one of these."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typer import Context


@dataclass(frozen=True)
class Chosen:
    """The configuration that a command works with: its folder, and the site (empty: the default site)."""

    config: Path
    site: str = ""


def chosen(context: "Context") -> Chosen:
    """Return what the global options chose."""
    found = context.find_object(Chosen)
    return found if found is not None else Chosen(Path("config"))
