"""Which ports a machine's daemons need, whether they are free, and who holds one that is not (by /proc)."""

import contextlib
import errno
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from qianzhi.cli.output import UNREACHABLE, CommandError

if TYPE_CHECKING:
    from qianzhi.link.tables import Site

CONNECT_SECONDS = 3.0
COMMAND_CHARS_MAX = 60
LISTEN = "0A"  # the state's number in /proc/net/tcp


class Need(NamedTuple):
    """One address that a daemon is going to listen on."""

    daemon: str
    host: str
    port: int


def needs(site: "Site", machine: str = "") -> list[Need]:
    """Return every address that this machine's daemons (all, without a machine) listen on."""
    from qianzhi.link.site import fronts, parse_address

    found = []
    for places in (site.bridges, site.nodes):
        for name, place in places.items():
            if machine in ("", place.machine):
                found += [Need(name, place.host, place.port), Need(name, "127.0.0.1", place.metrics_port)]
    for name, _, _, front in fronts(site):
        if machine in ("", front.machine):
            found += [Need(name, *parse_address(text)) for text in (front.listen, front.control) if text]
            found.append(Need(name, "127.0.0.1", front.metrics_port))
    return found


def taken(wanted: list[Need]) -> list[tuple[Need, str]]:
    """Return the addresses that cannot be listened on, each with who holds it."""
    return [(need, holder(need.port)) for need in wanted if not is_free(need)]


def is_free(need: Need) -> bool:
    """Tell whether an address can be listened on now."""
    family = socket.AF_INET6 if ":" in need.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((need.host, need.port))
        except OSError as error:
            return error.errno != errno.EADDRINUSE
    return True


def refuse_deaf_lines(site: "Site", banks: list[str]) -> None:
    """Raise CommandError when nobody listens where a bank is to connect.

    A queue's client would wait in silence for somebody to listen, so this is asked of every kind of line.
    """
    for bank in banks:
        if site.banks[bank].folder:
            folder = f"{site.data}/{site.banks[bank].folder}/in"
            raise CommandError(UNREACHABLE, f"{bank} has no line", f"put a file of its lines into {folder}")
        found = [deafness(address) for address in entrances(site, bank)]
        if all(found):
            raise CommandError(
                UNREACHABLE,
                f"nobody listens for {bank} on {' or '.join(found)}",
                "start the system with `make run`, or see `qianzhi status`",
            )


def entrances(site: "Site", bank: str) -> list[str]:
    """Return the addresses of which a bank needs one: the broker's, its balancer's or its fronts'."""
    from qianzhi.link.site import entry_of

    place = site.banks[bank]
    if place.engine == "rabbitmq" and site.broker is not None:
        return list(site.broker.hosts)
    if place.entry or place.instances == 1:
        return [entry_of(place)]
    return [place.at(instance).listen for instance in range(1, place.instances + 1)]


def deafness(address: str) -> str:
    """Return an address with the reason why nobody can be reached there, empty where somebody listens."""
    from qianzhi.link.site import parse_address

    host, port = parse_address(address)
    try:
        socket.create_connection((host, port), CONNECT_SECONDS).close()
    except OSError as error:
        return f"{host}:{port} ({error.strerror or error})"
    return ""


def holder(port: int) -> str:
    """Name the process that listens on a port, as far as this user may see it."""
    inodes = listening_inodes(port)
    for folder in Path("/proc").glob("[0-9]*/fd"):
        if open_files(folder) & inodes:
            return f"process {folder.parent.name} ({command_of(folder.parent)})"
    return "a process that this user may not see"


def open_files(folder: Path) -> set[str]:
    """Return what a process's descriptors point at; nothing for another user's process, or one now ended."""
    links = set()
    with contextlib.suppress(OSError):
        for entry in folder.iterdir():
            with contextlib.suppress(OSError):
                links.add(os.readlink(entry))
    return links


def listening_inodes(port: int) -> set[str]:
    """Return the sockets that listen on a port, written as the links in /proc/PID/fd are."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            columns = line.split()
            if columns[3] == LISTEN and int(columns[1].rpartition(":")[2], 16) == port:
                found.add(f"socket:[{columns[9]}]")
    return found


def command_of(process: Path) -> str:
    """Return a process's command line; of a long one the end, where a daemon's name stands."""
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return "it has just ended"
    text = b" ".join(words).decode("utf-8", "replace").strip()
    return text if len(text) <= COMMAND_CHARS_MAX else f"…{text[-COMMAND_CHARS_MAX:]}"
