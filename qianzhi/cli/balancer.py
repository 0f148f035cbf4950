"""The balancer before the banks' socket fronts: HAProxy's configuration as a site says it.

    bank ──▶ entry (HAProxy) ──PROXY v2──▶ the front of instance 1, 2, …

A long connection goes to the instance that has the fewest; one whose instance dies is closed, so that the
bank dials again and finds the other.  HAProxy takes no part in what is said: it passes bytes on, TLS too.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from qianzhi.cli.output import BROKEN, USAGE, CommandError, say

if TYPE_CHECKING:
    from qianzhi.cli.chosen import Chosen
    from qianzhi.link.tables import Site

HEADER = "# Rendered by `qianzhi haproxy render` from the site: edit that, then render again.\n"

SERVICE = """\
    user haproxy
    group haproxy
    log /dev/log local0 notice
    maxconn 20000
"""

PRIVATE = """\
    log stdout format raw local0 notice
    maxconn 2000
"""

DEFAULTS = """\
defaults
    mode tcp
    log global
    balance leastconn
    option dontlognull
    option clitcpka
    option srvtcpka
    # An instance that refuses is left at once for the other, and is asked again until it is back.
    retries 3
    option redispatch 1
    timeout connect 500ms
    timeout check 500ms
    # Lines stay open over quiet nights; who is dead is found by the checks and by the dialect's own echo.
    timeout client 24h
    timeout server 24h
    default-server check inter 1s fastinter 200ms downinter 500ms fall 2 rise 1
    default-server observe layer4 error-limit 1 on-error mark-down on-marked-down shutdown-sessions
"""


def render(site: "Site", *, service: bool = True) -> str:
    """Return the configuration: for the Debian package's service, or for a process in the foreground."""
    head = f"{HEADER}\nglobal\n{SERVICE if service else PRIVATE}\n{DEFAULTS}"
    return head + "".join(f"\n{section}" for section in sections(site))


def sections(site: "Site") -> Iterator[str]:
    """Yield the section of every bank that dials an entry."""
    from qianzhi.link.site import front_name

    for bank, place in site.banks.items():
        if not place.entry:
            continue
        lines = [f"listen bank-{bank}", f"    bind {place.entry}"]
        proxy = " send-proxy-v2 check-send-proxy" if place.proxies else ""
        lines += [
            f"    server {front_name(bank, instance)} {place.at(instance).listen}{proxy}"
            for instance in range(1, place.instances + 1)
        ]
        yield "\n".join(lines) + "\n"


def entries(site: "Site") -> list[tuple[str, int]]:
    """Return the addresses that the balancer listens on."""
    from qianzhi.link.site import parse_address

    return [parse_address(place.entry) for place in site.banks.values() if place.entry]


def render_command(chosen: "Chosen", file: Path, only_check: bool) -> None:
    """Write the configuration, or compare it with what stands there."""
    from qianzhi.cli.daemons import site_of

    site = site_of(chosen)
    if not entries(site):
        raise CommandError(USAGE, f"no bank of site {site.name!r} has an `entry`", "choose one with --site")
    text = render(site)
    if not only_check:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        say(f"wrote {file}")
    elif not file.exists() or file.read_text(encoding="utf-8") != text:
        raise CommandError(BROKEN, f"{file} differs from the rendering", "run `qianzhi haproxy render`")
    else:
        say(f"{file} equals the rendering")
