"""What the command's global options chose; every command is given one of these."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Chosen:
    """The configuration that a command works with: its folder, and the site (empty: the default site)."""

    config: Path
    site: str = ""
