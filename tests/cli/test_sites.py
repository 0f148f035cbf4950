"""What is shipped for a site of several machines: the sites themselves, HAProxy's file, systemd's unit."""

import configparser
import shutil
import subprocess
import tomllib
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from crm_bridge.closer import Closer
from frontends.profile import load_profiles
from qianzhi.cli.balancer import render
from qianzhi.cli.checks import check
from qianzhi.cli.daemons import programs_of
from qianzhi.domain.dates import closes_us
from qianzhi.domain.requests import Kind
from qianzhi.link.site import load_site, machines
from qianzhi.link.tables import Site
from qianzhi.runtime.now import Now
from simulators.servers.packages import program, require

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config"


def site_of(name: str) -> Site:
    """A shipped site."""
    site, problems = load_site(CONFIG, name)
    assert site is not None, problems
    return site


@pytest.mark.parametrize("name", ["carrier", "pair"])
def test_a_shipped_site_is_valid(name: str) -> None:
    assert check(CONFIG, name).problems == []


SITES = ("", "carrier", "pair", "networks")  # "" is the default


@pytest.mark.parametrize("name", SITES)
def test_a_shipped_sites_timer_closes_yesterday_when_its_hour_has_come(name: str) -> None:
    site = site_of(name)
    core = check(CONFIG, name).core
    assert core is not None
    zone = ZoneInfo(site.timezone)
    closer = Closer(zone, core.close_minutes)
    hour_us = closes_us(20261121, 12 * 60, zone)  # noon of the 22nd

    def asked(wall_us: int) -> list[tuple[Kind, int]]:
        now = Now(wall_us, wall_us)
        requests, alarms = closer.on_time(now)
        assert alarms == []
        return [(request.kind, request.date) for request in requests]

    assert asked(hour_us - 1) == [(Kind.CLOSE, 20261120)]
    closer = Closer(zone, core.close_minutes)
    assert asked(hour_us) == [(Kind.CLOSE, 20261121)]


@pytest.mark.parametrize("name", SITES)
def test_a_shipped_site_names_its_timer_and_gives_up_no_entry_after_its_date_could_close(name: str) -> None:
    """What is open at the hour holds its date as a person's matter, not silently."""
    site = site_of(name)
    raw = tomllib.loads((CONFIG / (f"sites/{name}.toml" if name else "site.toml")).read_text("utf-8"))
    assert {"day_closes", "fence_minutes"} <= set(raw["core"])
    core = check(CONFIG, name).core
    assert core is not None
    assert raw["saf"]["deadline_minutes"] == site.saf.deadline_minutes <= core.close_minutes
    assert core.fence_minutes < core.close_minutes


def test_the_carrier_has_two_of_everything_on_machines_of_their_own() -> None:
    site = site_of("carrier")
    assert {name: group.nodes for name, group in site.groups.items()} == {
        "one": ["node1", "node2"],
        "two": ["node3", "node4"],
    }
    where = machines(site)
    pairs = [("node1", "node2"), ("node3", "node4"), ("bridge1", "bridge2")]
    pairs += [(f"front-{bank}-1", f"front-{bank}-2") for bank in site.banks]
    assert not [pair for pair in pairs if where[pair[0]] == where[pair[1]]]
    queue = {where[f"front-{bank}-1"] for bank, place in site.banks.items() if place.engine == "rabbitmq"}
    assert queue == {"mq1"}
    assert {bank.group for bank in site.banks.values() if bank.engine == "rabbitmq"} == {"one"}
    assert len(set(where.values())) == 8


def test_a_machine_runs_its_own_daemons_and_no_others() -> None:
    site = site_of("carrier")
    assert [each.name for each in programs_of(site, "core1")] == ["bridge1"]
    assert [each.name for each in programs_of(site, "if3")][:2] == ["node3", "front-psbc-1"]
    every = [each.name for machine in set(machines(site).values()) for each in programs_of(site, machine)]
    assert sorted(every) == sorted(each.name for each in programs_of(site))


def test_a_site_says_from_where_a_bank_may_dial() -> None:
    site = site_of("carrier")
    profiles, problems = load_profiles(CONFIG, site, [])
    assert problems == []
    assert profiles["psbc"].socket.allow == ("10.77.9.0/24",)
    assert profiles["psbc"].socket.connections_max == 512


def test_haproxy_s_file_is_the_carrier_s_rendering() -> None:
    shipped = (ROOT / "contrib/haproxy/haproxy.cfg").read_text(encoding="utf-8")
    assert shipped == render(site_of("carrier"))


def test_haproxy_takes_its_file_and_speaks_the_proxy_protocol_only_where_a_bank_s_front_does(
    tmp_path: Path,
) -> None:
    require("haproxy")
    site = site_of("carrier")
    plain = replace(site.banks["psbc"], proxies=())
    text = render(replace(site, banks={**site.banks, "psbc": plain}), service=False)
    (tmp_path / "haproxy.cfg").write_text(text, encoding="utf-8")
    subprocess.run([program("haproxy"), "-c", "-q", "-f", str(tmp_path / "haproxy.cfg")], check=True)
    lines = [line for line in text.splitlines() if "    server " in line]
    assert len(lines) == 20
    assert [line for line in lines if "send-proxy-v2" not in line] == [
        "    server front-psbc-1 10.77.3.1:17401",
        "    server front-psbc-2 10.77.3.2:17401",
    ]


def test_systemd_s_unit_runs_supervisord_as_a_user_of_its_own(tmp_path: Path) -> None:
    file = ROOT / "contrib/systemd/qianzhi.service"
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(file, encoding="utf-8")
    assert unit["Service"]["ExecStart"].endswith(
        "supervisord -n -c /var/lib/qianzhi/supervisor.d/supervisord.conf"
    )
    assert unit["Service"]["User"] not in ("", "root")
    analyze = shutil.which("systemd-analyze")
    if analyze is not None:  # no Debian without systemd needs it for this
        here = tmp_path / file.name
        text = file.read_text(encoding="utf-8").replace("/opt/qianzhi/.venv/bin/", "/bin/true #")
        here.write_text(text.replace("User=qianzhi\nGroup=qianzhi\n", ""), encoding="utf-8")
        found = subprocess.run([analyze, "verify", "--man=no", str(here)], capture_output=True, text=True)
        assert found.returncode == 0, found.stderr
