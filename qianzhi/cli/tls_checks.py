"""What is wrong with the protection of a site's links: files of no use, tables that do not fit their use.

A daemon needs the files of its own links alone; those of the others lie on their machines.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from qianzhi.runtime.problems import Problem

if TYPE_CHECKING:
    from frontends.profile import Profile
    from qianzhi.link.tables import Site, TlsTable


def tls_problems(
    site: "Site", profiles: "Mapping[str, Profile]", config: Path, daemon: str = ""
) -> list[Problem]:
    """Read the files of every [tls.NAME] table (of those that `daemon` uses, where one is named) and judge
    each use of one.
    """
    problems = list(_use_problems(site, profiles))
    for name in _tables_of(site, daemon) if daemon else sorted(site.tls):
        if name in site.tls:
            problems += _file_problems(site, name, site.tls[name], config)
    return problems


def _file_problems(site: "Site", name: str, table: "TlsTable", config: Path) -> Iterator[Problem]:
    from qianzhi.runtime.tls import trial  # loads OpenSSL, which a site without TLS does not need

    for key, found, expected in trial(name, table, config):
        yield Problem(site.file, f"tls.{name}.{key}", found, expected)


def _tables_of(site: "Site", daemon: str) -> list[str]:
    """Return the names of the tables that one daemon uses."""
    from qianzhi.link.site import fronts

    used = {site.link.tls}
    if daemon in site.bridges:
        used.add(_remote_tls(site))
    used.update(site.banks[bank].tls for name, bank, _, _ in fronts(site) if name == daemon)
    if site.broker is not None and daemon in {name for name, _, _, _ in fronts(site)}:
        used.add(site.broker.tls)
    return sorted(used - {""})


def _remote_tls(site: "Site") -> str:
    """Return the table that [core.remote] names; what else is wrong there, the core's own check says."""
    remote = site.core.get("remote")
    name = remote.get("tls", "") if isinstance(remote, dict) else ""
    return name if isinstance(name, str) else ""


def _use_problems(site: "Site", profiles: "Mapping[str, Profile]") -> Iterator[Problem]:
    both = "certificate, key, and ca or pins: each daemon dials and is dialled"
    table = site.tls.get(site.link.tls)
    if table is not None and not (table.certificate and table.knows_peer):
        yield Problem(site.file, "link.tls", f"{site.link.tls!r}, which proves one end only", both)
    called = {"core.remote.tls": _remote_tls(site)}
    if site.broker is not None:
        called["broker.tls"] = site.broker.tls
    for key, name in called.items():
        table = site.tls.get(name)
        if table is not None and not table.knows_peer:
            yield Problem(
                site.file, key, f"{name!r}, which cannot tell who answers", "a table with ca or pins"
            )
    for bank, place in site.banks.items():
        table = site.tls.get(place.tls)
        if table is not None and not table.certificate:
            found = f"{place.tls!r}, which has no certificate of ours"
            yield Problem(site.file, f"banks.{bank}.tls", found, "a table with certificate and key")
        if bank in profiles and profiles[bank].transport.kind != "socket":
            expected = "none for a bank on queues; [broker] has its own protection"
            for key in ("tls", "proxies"):
                if value := getattr(place, key):
                    yield Problem(site.file, f"banks.{bank}.{key}", repr(value), expected)
