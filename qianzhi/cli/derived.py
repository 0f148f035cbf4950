"""A configuration folder derived from another one, for a run on data of its own: all the same but for `data`
and what a given function changes.

Everything in the folder is linked, only the site's file is written anew, with its text kept as it is.
"""

import re
from collections.abc import Callable
from pathlib import Path

from qianzhi.cli.output import USAGE, CommandError
from qianzhi.runtime.problems import ConfigError


def derive(
    config: Path, site_name: str, target: Path, data: Path, change: Callable[[str], str] = str
) -> None:
    """Make `target` a configuration whose default site is the given site with its data in `data`.

    `change` is given the site's text first.

    Raises ConfigError when the site cannot be read, CommandError when its file cannot be derived from.
    """
    from qianzhi.link.site import data_folder, load_site, site_file

    text = site_file(config, site_name or None).read_text(encoding="utf-8")
    target.mkdir(parents=True, exist_ok=True)
    for entry in config.absolute().iterdir():
        link = target / entry.name
        if entry.name not in ("site.toml", "sites") and not link.exists():
            link.symlink_to(entry)
    (target / "site.toml").write_text(with_data(change(text), data), encoding="utf-8")
    site, problems = load_site(target)
    if site is None:
        raise ConfigError(problems)
    if data_folder(site) != data.absolute():
        raise CommandError(USAGE, f"{config}: `data` of [site] cannot be replaced", "write it on one line")


def with_data(text: str, data: Path) -> str:
    """Return a site's text with another data folder in its [site] table."""
    folder = str(data.absolute()).replace("\\", "\\\\").replace('"', '\\"')
    line = f'data = "{folder}"'
    head, table, rest = text.partition("[site]")
    own, bracket, others = rest.partition("\n[")
    changed, n = re.subn(r"(?m)^data\s*=.*$", lambda _: line, own)
    return head + table + (changed if n else f"\n{line}{own}") + bracket + others
