"""A site of many machines moved onto this one: addresses, networks and ports, and what its copy refuses."""

import re
import socket
import tomllib
from pathlib import Path

import pytest

from qianzhi.cli.chosen import Chosen
from qianzhi.cli.derived import derive
from qianzhi.cli.laying_out import is_spread, laid_out, own_copy, server_addresses
from qianzhi.cli.loopback import onto_loopback, with_ports
from qianzhi.cli.output import CommandError
from qianzhi.cli.ports import needs
from qianzhi.link.site import load_site, machines
from qianzhi.link.tables import Site
from qianzhi.runtime.problems import ConfigError

ROOT = Path(__file__).parents[2]


def site_of(config: Path, name: str = "") -> Site:
    """A site that is without problems."""
    site, problems = load_site(config, name or None)
    assert site is not None, problems
    return site


def test_machines_keep_their_addresses_apart_and_networks_become_loopback() -> None:
    text = (
        'listen = "tcp://10.77.2.1:17301"\nother = "10.77.2.2:17301"\nallow = ["10.77.9.0/24"]\nv = "1.2"\n'
    )
    assert onto_loopback(text, "127.5") == (
        'listen = "tcp://127.5.2.1:17301"\nother = "127.5.2.2:17301"\nallow = ["127.0.0.0/8"]\nv = "1.2"\n'
    )


def test_what_is_on_loopback_already_stays() -> None:
    text = 'host = "127.0.0.1"\nallow = ["127.0.0.0/8"]\n'
    assert onto_loopback(text) == text


def test_two_addresses_that_would_become_one_are_refused() -> None:
    with pytest.raises(CommandError, match="cannot both be laid out"):
        onto_loopback("10.1.2.3 and 10.2.2.3")


def test_a_server_s_port_is_changed_wherever_it_is_named_and_nowhere_else() -> None:
    text = "127.7.4.1:5432,127.7.4.2:5432 127.7.4.1:54321 127.7.4.1:5432/db"
    changed = with_ports(text, ["127.7.4.1:5432"], lambda count: [7000][:count])
    assert changed == "127.7.4.1:7000,127.7.4.2:5432 127.7.4.1:54321 127.7.4.1:7000/db"


@pytest.mark.parametrize("name", ["carrier", "pair"])
@pytest.mark.parametrize("own_ports", [False, True])
def test_a_laid_out_site_is_whole_and_has_every_listener_to_itself(
    tmp_path: Path, name: str, own_ports: bool
) -> None:
    derive(ROOT / "config", name, tmp_path / "config", tmp_path / "var", laid_out(own_ports))
    original, found = site_of(ROOT / "config", name), site_of(tmp_path / "config")
    assert machines(found) == machines(original)
    wanted = [(need.host, need.port) for need in needs(found)]
    assert len(wanted) == len(set(wanted)), "no two daemons listen on the same address"
    assert {host.split(".")[0] for host, _ in wanted} == {"127"}
    text = (tmp_path / "config" / "site.toml").read_text(encoding="utf-8")
    assert not re.search(r"\b10\.7", text)
    servers = server_addresses(tomllib.loads(text))
    assert not set(servers) & {f"{host}:{port}" for host, port in wanted}


def test_the_default_site_is_one_machine_s_and_the_others_are_not() -> None:
    assert [is_spread(site_of(ROOT / "config", name)) for name in ("", "carrier", "pair")] == [
        False,
        True,
        True,
    ]


def test_a_copy_that_could_not_run_is_refused_before_any_server_starts(tmp_path: Path) -> None:
    deep = tmp_path / ("deep" * 20)
    chosen = Chosen(ROOT / "config", "carrier")
    with (
        pytest.raises(ConfigError) as refused,
        own_copy(chosen, site_of(ROOT / "config", "carrier"), deep, own_ports=True),
    ):
        pass
    assert [problem.key for problem in refused.value.problems] == ["site.data"]


def test_a_copy_that_is_in_use_is_left_alone(tmp_path: Path) -> None:
    run = tmp_path / "copy" / "var" / "run"
    run.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(run / "supervisor.sock"))
        server.listen()
        with (
            pytest.raises(CommandError, match="runs already"),
            own_copy(Chosen(ROOT / "config"), site_of(ROOT / "config"), tmp_path / "copy", own_ports=False),
        ):
            pass
    assert run.exists()
