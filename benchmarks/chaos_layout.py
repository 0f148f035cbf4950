"""How the carrier's site is laid out for the chaos run: its machines' addresses, its daemons, who dials whom,
and a configuration with fewer banks where that is wanted.  Nothing is started here.

Beside its banks the site has a network that we ask for money, whose answers are awaited for seconds instead
of half a minute, and store-and-forward tries sooner: so that what nobody answered is settled within the run.
"""

import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from qianzhi.cli.daemons import programs_of as supervised
from qianzhi.link.site import bridges_of, fronts, machines, nodes_of, parse_address
from qianzhi.link.tables import Site
from qianzhi.runtime.urls import hosts_of

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "config"
SITE = "carrier"
ADDRESSES = {
    "mq1": "10.77.1.1",
    "mq2": "10.77.1.2",
    "if1": "10.77.2.1",
    "if2": "10.77.2.2",
    "if3": "10.77.3.1",
    "if4": "10.77.3.2",
    "core1": "10.77.4.1",
    "core2": "10.77.4.2",
    "banks": "10.77.9.1",
}
BALANCER = "10.77.4.10"  # held by core1; what HAProxy dials comes from it too
OURS = "10.77.0.0/16"
NETWORK = "unet"
NETWORK_PLACE = f"""
[banks.{NETWORK}]
machine = "if1"
group = "one"
instances = 2
entry = "{BALANCER}:17391"
allow = ["10.77.9.0/24"]
proxies = ["10.77.4.0/24"]
listen = "{ADDRESSES["if1"]}:17391"
metrics_port = 18391
others = [{{ machine = "if2", listen = "{ADDRESSES["if2"]}:17391", metrics_port = 18491 }}]
"""
SITE_SOONER = [
    (r"(?m)^fast_seconds = \d+", "fast_seconds = 2"),
    (r"(?m)^slow_seconds = \d+", "slow_seconds = 8"),
    (r"(?m)^answer_seconds = \d+", "answer_seconds = 6"),
]
PROFILE_SOONER = [(r"(?m)^answer_seconds = \d+(?=.*\nlate_seconds)", "answer_seconds = 4")]


class Program(NamedTuple):
    """A daemon: its machine, what it is, and the banks that notice its death."""

    name: str
    machine: str
    kind: str  # front, node, bridge
    banks: tuple[str, ...]
    group: str  # supervisord's


def derived_config(folder: Path, banks: list[str]) -> Path:
    """Make a configuration whose site is the carrier's, with only some banks where any are named."""
    folder.mkdir(parents=True)
    for name in ("specs", "parsers", "schemas"):
        if (CONFIG / name).exists():
            (folder / name).symlink_to(CONFIG / name)
    shutil.copytree(CONFIG / "banks", folder / "banks")
    profile = folder / "banks" / f"{NETWORK}.toml"
    profile.write_text(changed(profile.read_text(encoding="utf-8"), PROFILE_SOONER), encoding="utf-8")
    text = with_banks((CONFIG / "sites" / f"{SITE}.toml").read_text(encoding="utf-8"), banks)
    (folder / "site.toml").write_text(changed(text, SITE_SOONER) + NETWORK_PLACE, encoding="utf-8")
    return folder


def changed(text: str, rules: list[tuple[str, str]]) -> str:
    """Return a file's text with what is to be found by each pattern replaced, which must be there once."""
    for pattern, instead in rules:
        text, times = re.subn(pattern, instead, text)
        if times != 1:
            raise SystemExit(f"{pattern!r} stands {times} times where it should stand once")
    return text


def with_banks(text: str, banks: list[str]) -> str:
    """Return a site's text with only these banks; all without any.  Raises SystemExit for an unknown one."""
    sections = re.split(r"(?m)^(?=\[)", text)
    names = {match[1]: part for part in sections if (match := re.match(r"\[banks\.(\w+)\]", part))}
    unknown = set(banks) - set(names)
    if unknown:
        raise SystemExit(f"no such bank: {', '.join(sorted(unknown))}; the site has {', '.join(names)}")
    dropped = {part for name, part in names.items() if banks and name not in banks}
    return "".join(part for part in sections if part not in dropped)


def load_profiles(config: Path) -> dict[str, Any]:
    """Return the profiles of the site's banks."""
    from qianzhi.cli.checks import require

    checked, _ = require(config)
    return dict(checked.profiles)


def programs_of(site: Site) -> list[Program]:
    """Return the site's daemons."""
    banks = {name: (bank,) for name, bank, _, _ in fronts(site)}
    for name, each in site.groups.items():
        served = tuple(bank for bank in site.banks if site.banks[bank].group == name)
        banks.update(dict.fromkeys(each.nodes, served))
    kinds = dict.fromkeys(site.nodes, "node") | dict.fromkeys(site.bridges, "bridge")
    everybody = tuple(site.banks)
    groups = {program.name: program.group for program in supervised(site)}
    return [
        Program(name, machine, kinds.get(name, "front"), banks.get(name, everybody), groups[name])
        for name, machine in machines(site).items()
    ]


def ports_of(site: Site) -> dict[str, list[tuple[str, str, int]]]:
    """Return which (machine, host, port) each machine's daemons dial on other machines."""
    machine_of = {address: machine for machine, address in ADDRESSES.items()}
    found: dict[str, dict[tuple[str, int], None]] = {machine: {} for machine in ADDRESSES}
    urls = [str(site.core["database"]), site.state.database]
    databases = [parse_address(host) for url in urls for host in hosts_of(url)]
    for machine in machines(site).values():
        found[machine].update(dict.fromkeys(databases))
    for _, bank, _, place in fronts(site):
        found[place.machine].update(dict.fromkeys(nodes_of(site, site.banks[bank].group).values()))
        if site.banks[bank].engine == "rabbitmq" and site.broker is not None:
            found[place.machine].update(dict.fromkeys(map(parse_address, site.broker.hosts)))
    for node in site.nodes.values():
        found[node.machine].update(dict.fromkeys(bridges_of(site).values()))
    return {
        machine: [(machine_of[host], host, port) for host, port in dialled if machine_of[host] != machine]
        for machine, dialled in found.items()
        if dialled
    }


def lack(status: dict[str, Any]) -> str:
    """Say what a daemon still lacks, empty when it is as it should be."""
    from qianzhi.cli.machine import missing_peers

    if status["state"] != "running":
        return str(status.get("reason", status["state"]))
    if status.get("broker_state", "ready") != "ready":
        return f"broker {status['broker_state']}"
    if not status.get("ready", True):
        return f"database {status.get('database')}"
    missing = missing_peers(status)
    return f"waits for {', '.join(missing)}" if missing else ""
