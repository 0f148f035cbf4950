"""A site of many machines laid out on this machine's loopback network: its text with other addresses.

    10.77.2.1:17301 ──▶ 127.77.2.1:17301      every machine keeps an address and its ports to itself
    10.77.9.0/24    ──▶ 127.0.0.0/8           on loopback whoever dials comes from 127.0.0.1

Linux lets anybody listen on all of 127.0.0.0/8, so this needs neither root nor any setting.
"""

import re
from collections.abc import Callable, Iterable

from qianzhi.cli.output import USAGE, CommandError

ADDRESS = re.compile(
    r"(?<![\d.])(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(/\d{1,2})?(?![\d.]*\d)",
)
METRICS_PORT = re.compile(r"\bmetrics_port = (\d+)")
NETWORK = "127.77"  # a run's own; a demonstration takes another, so that both may go on side by side
LOOPBACK = "127.0.0.0/8"


def onto_loopback(text: str, network: str = NETWORK) -> str:
    """Return a site's text with every address in `network`, by its last two numbers.

    Raises CommandError when two addresses would become one.
    """
    taken: dict[str, str] = {}

    def moved(match: re.Match[str]) -> str:
        first, _, third, fourth, mask = match.groups()
        if first == "127":
            return match.group()
        if mask:
            return LOOPBACK
        address, ours = match.group(), f"{network}.{third}.{fourth}"
        if taken.setdefault(ours, address) != address:
            found = f"{address} and {taken[ours]} cannot both be laid out as {ours}"
            raise CommandError(USAGE, found, "run each machine's part with --machine NAME")
        return ours

    return ADDRESS.sub(moved, text)


def with_ports(text: str, addresses: Iterable[str], free: Callable[[int], list[int]]) -> str:
    """Return a text in which each HOST:PORT of some addresses has a free port."""
    wanted = sorted(set(addresses))
    for address, port in zip(wanted, free(len(wanted)), strict=True):
        host = address.rpartition(":")[0]
        text = re.sub(rf"{re.escape(address)}(?!\d)", f"{host}:{port}", text)
    return text


def with_metrics_ports(text: str, free: Callable[[int], list[int]]) -> str:
    """Return a site's text in which every daemon's metrics have a free port."""
    ports = iter(free(len(METRICS_PORT.findall(text))))
    return METRICS_PORT.sub(lambda _: f"metrics_port = {next(ports)}", text)
