"""The daemons of a site as the command meets them: starting, asking, draining, rendering supervisor.d/.

Everything that a daemon needs is built here from the checked configuration, and given to it.
"""

import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qianzhi.cli.output import BROKEN, USAGE, CommandError, say
from qianzhi.cli.supervisor import Layout, Program, differences, render, write

if TYPE_CHECKING:
    from qianzhi.cli.checks import Checked
    from qianzhi.cli.chosen import Chosen
    from qianzhi.link.tables import Site

PRIORITY = {"bridge": 10, "node": 20, "front": 30}  # bridges start first, fronts stop first


def site_of(chosen: "Chosen") -> "Site":
    """Read the site alone; raises ConfigError with everything that is wrong with it."""
    from qianzhi.link.site import load_site
    from qianzhi.runtime.problems import ConfigError

    site, problems = load_site(chosen.config, chosen.site or None)
    if site is None:
        raise ConfigError(problems)
    return site


def programs_of(site: "Site", machine: str = "") -> list[Program]:
    """Return the programs of one machine (of all, without one), in starting order."""
    from qianzhi.link.site import daemon_names, fronts

    banks = {name: bank for name, bank, _, _ in fronts(site)}
    kinds = dict.fromkeys(site.bridges, "bridge") | dict.fromkeys(site.nodes, "node")
    return [
        Program(name, f"bank-{banks[name]}" if name in banks else name, PRIORITY[kinds.get(name, "front")])
        for name in daemon_names(site, machine or None)
    ]


def layout_of(chosen: "Chosen", site: "Site", here: Path, command: tuple[str, ...]) -> Layout:
    """Return where things lie for a rendering into `here`, with the present folder as the daemons' own."""
    from qianzhi.link.site import data_folder

    data = data_folder(site)
    return Layout(
        here=here, work=Path.cwd(), config=chosen.config, data=data, command=command, site=chosen.site
    )


def render_command(chosen: "Chosen", folder: Path, machine: str, program: Path, only_check: bool) -> None:
    """Write the rendering, or compare it with what stands there."""
    site = site_of(chosen)
    command = (str(program.absolute()),)
    files = render(layout_of(chosen, site, folder, command), programs_of(site, machine))
    if not only_check:
        write(folder, files)
        say(f"wrote {len(files)} files into {folder}")
        return
    found = differences(folder, files)
    if found:
        raise CommandError(BROKEN, f"{folder}: {'; '.join(found)}", "run `qianzhi supervisor render`")
    say(f"{folder} equals the rendering")


def daemon_command(chosen: "Chosen", name: str) -> None:
    """Check everything, then be that daemon until it has drained."""
    gc.disable()  # hardly anything of what is imported and read now is garbage; `Life` turns it on again
    from qianzhi.cli.checks import require
    from qianzhi.link.site import daemon_names
    from qianzhi.runtime.daemon import install_reactor

    install_reactor()  # before anything imports Twisted's default one
    checked, site = require(chosen.config, chosen.site, name)
    if name not in daemon_names(site):
        raise CommandError(
            USAGE, f"the site has no daemon {name!r}", f"it has {', '.join(daemon_names(site))}"
        )
    sys.exit(start(chosen, checked, site, name))


def start(chosen: "Chosen", checked: "Checked", site: "Site", name: str) -> int:
    """Build the daemon of that name and run it; import only what it needs.  Returns the exit status."""
    from qianzhi.link.heartbeats import Heartbeat
    from qianzhi.link.site import data_folder, metrics_port
    from qianzhi.runtime.daemon import DaemonOptions, run

    options = DaemonOptions(
        data=data_folder(site),
        metrics_port=metrics_port(site, name),
        production=site.production,
        heartbeat=Heartbeat(site, name, chosen.config),
    )
    return run(build(chosen, checked, site, name), options)


def build(chosen: "Chosen", checked: "Checked", site: "Site", name: str) -> Any:
    """Build the daemon's own object; raises KeyReferenceError."""
    from qianzhi.runtime.secrets import resolve_key

    key = resolve_key(site.key, production=site.production, base=chosen.config)
    if name in site.nodes:
        return build_node(chosen, checked, site, name, key)
    if name in site.bridges:
        return build_bridge(checked, site, name, key)
    return build_front(chosen, checked, site, name, key)


def build_front(chosen: "Chosen", checked: "Checked", site: "Site", name: str, key: bytes) -> Any:
    """Build a bank's front-end with its profile and the keys that the profile refers to."""
    from frontends.daemon import FrontDaemon
    from frontends.profile import resolve_keys
    from qianzhi.link.site import fronts

    profile = next(checked.profiles[bank] for daemon, bank, _, _ in fronts(site) if daemon == name)
    keys = resolve_keys(profile, chosen.config, production=site.production)
    if profile.keeps_rows:
        keys["state"] = state_password(chosen, site).encode()
    return FrontDaemon(site, profile, name, key, keys)


def state_password(chosen: "Chosen", site: "Site") -> str:
    """Return the password of the state database, empty where none is referred to; raises
    KeyReferenceError.
    """
    from qianzhi.runtime.secrets import resolve_password

    reference = site.state.password
    return resolve_password(reference, production=site.production, base=chosen.config) if reference else ""


def build_bridge(checked: "Checked", site: "Site", name: str, key: bytes) -> Any:
    """Build the bridge to the core."""
    from crm_bridge.daemon import BridgeDaemon
    from qianzhi.cli.looking import settings_of

    return BridgeDaemon(site, name, settings_of(checked, site), key)


def build_node(chosen: "Chosen", checked: "Checked", site: "Site", name: str, key: bytes) -> Any:
    """Build an interface node with the limits of every bank of the site."""
    from interface_layer.daemon import NodeDaemon
    from qianzhi.link.tables import BankLimits

    limits = {
        bank: BankLimits(
            in_flight=profile.limits.in_flight,
            rate_per_second=profile.limits.rate_per_second,
            burst=profile.limits.rate_per_second,
        )
        for bank, profile in checked.profiles.items()
    }
    return NodeDaemon(site, name, limits, key, state_password(chosen, site))


def folder_of_sockets(site: "Site") -> Path:
    """Return the folder of the admin sockets."""
    from qianzhi.link.site import data_folder

    return data_folder(site) / "run"


def statuses(site: "Site", machine: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (name, status) of every daemon of a machine (all, without one)."""
    for program in programs_of(site, machine):
        yield program.name, status_of(site, program.name)


def status_of(site: "Site", name: str) -> dict[str, Any]:
    """Ask one daemon; of one that does not answer, the state is "down" and the reason says why."""
    from qianzhi.runtime.admin import AdminError, ask

    try:
        return ask(folder_of_sockets(site) / f"{name}.sock", "status", timeout_seconds=2.0)
    except AdminError as error:
        return {"name": name, "state": "down", "reason": str(error)}
