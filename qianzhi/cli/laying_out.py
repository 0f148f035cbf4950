"""A configuration of its own for a run: a copy with data of its own, laid out here if it has many machines.

A site of one machine is copied as it stands.  One of several machines is moved onto the loopback network; the
servers that it names (RabbitMQ, PostgreSQL with its standby, HAProxy) are started beside it, and end with it.
"""

import contextlib
import shutil
import socket
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qianzhi.cli.derived import derive
from qianzhi.cli.loopback import NETWORK, onto_loopback, with_metrics_ports, with_ports
from qianzhi.cli.output import USAGE, CommandError, say

if TYPE_CHECKING:
    from qianzhi.cli.chosen import Chosen
    from qianzhi.link.tables import Site

OWN_NETWORKS = 100  # from 127.100 on, by process


def is_spread(site: "Site") -> bool:
    """Tell whether a site has more than one machine."""
    from qianzhi.link.site import machines

    return len(set(machines(site).values())) > 1


@contextlib.contextmanager
def own_copy(chosen: "Chosen", site: "Site", folder: Path, *, own_ports: bool) -> "Iterator[Chosen]":
    """Empty `folder`, put a copy of the configuration there, start what servers it needs; end them after.

    With `own_ports` nothing of it meets another copy that runs on this machine.  Raises CommandError, and
    ConfigError where the copy has problems of its own.
    """
    from qianzhi.cli.chosen import Chosen as Choice

    refuse_running(folder)
    shutil.rmtree(folder, ignore_errors=True)
    spread = is_spread(site)
    change = laid_out(own_ports) if spread else str
    derive(chosen.config, chosen.site, folder / "config", folder / "var", change)
    own = Choice(folder / "config")
    if not spread:
        yield own
        return
    from qianzhi.cli.checks import require
    from qianzhi.cli.servers import servers_of

    require(own.config)
    with servers_of(own):
        yield own


def refuse_running(folder: Path) -> None:
    """Raise CommandError when the copy in a folder is in use: its files must not be taken from under it."""
    with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
        probe.connect(str(folder / "var" / "run" / "supervisor.sock"))
        raise CommandError(
            USAGE, f"the copy in {folder} runs already", "end it first (Ctrl-C where it goes on)"
        )


def laid_out(own_ports: bool) -> Callable[[str], str]:
    """Return what changes a site's text into one of this machine's loopback network."""
    import os

    from simulators.free_ports import free_ports

    network = f"127.{100 + os.getpid() % OWN_NETWORKS}" if own_ports else NETWORK

    def changed(text: str) -> str:
        moved = onto_loopback(text, network)
        moved = with_ports(moved, server_addresses(tomllib.loads(moved)), free_ports)
        return with_metrics_ports(moved, free_ports) if own_ports else moved

    return changed


def server_addresses(tree: dict[str, Any]) -> list[str]:
    """Return HOST:PORT of every database and broker that a site's file names."""
    from qianzhi.runtime.urls import hosts_of, is_postgres

    urls = [tree.get(table, {}).get("database", "") for table in ("core", "state")]
    found = [host for url in urls if is_postgres(url) for host in hosts_of(url)]
    return found + list(tree.get("broker", {}).get("hosts", []))


def say_layout(site: "Site", own: "Chosen") -> None:
    """Say where the site's machines are, and how to reach them with other commands."""
    from qianzhi.cli.running import shown_path
    from qianzhi.link.site import machines

    names = dict.fromkeys(machines(site).values())
    say(f"site {site.name!r}: its {len(names)} machines are laid out on this one's loopback network")
    say(f"other commands: export QIANZHI_CONFIG={shown_path(own.config)}")
