"""Reading a site: what the daemons need of it, and everything that can be wrong with it, all at once."""

import copy
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qianzhi.link.maintenance import windows_of
from qianzhi.link.site import (
    daemon_names,
    data_folder,
    fronts,
    group_of,
    load_site,
    metrics_port,
    nodes_of,
    parse_address,
    site_of,
    zone_of,
)
from qianzhi.link.tables import MaintenanceTable, Site

CONFIG = Path(__file__).parents[2] / "config"
TREE = tomllib.loads((CONFIG / "site.toml").read_text())


def good(change: Callable[[Any], object] = lambda tree: None) -> Site:
    tree = copy.deepcopy(TREE)
    change(tree)
    site, problems = site_of(tree, "site.toml")
    assert problems == []
    assert site is not None
    return site


def test_the_shipped_site_is_sound_and_names_its_daemons() -> None:
    site, problems = load_site(CONFIG)
    assert problems == []
    assert site is not None
    names = daemon_names(site)
    assert names[:3] == ["bridge1", "node1", "node2"]
    assert names[3:] == [f"front-{bank}-1" for bank in TREE["banks"]]
    assert {"front-hz_citic-1", "front-icbc-1"} <= set(names)
    assert nodes_of(site, "one") == {"node1": ("127.0.0.1", 17211), "node2": ("127.0.0.1", 17221)}
    assert group_of(site, "node2") == "one"
    assert metrics_port(site, "front-icbc-1") == 17313
    assert str(zone_of(site)) == "Asia/Shanghai"


def test_data_lies_under_the_working_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert data_folder(good()) == tmp_path / "var"
    assert data_folder(good(lambda tree: tree["site"].update(data="/srv/qianzhi"))) == Path("/srv/qianzhi")


def test_another_site_has_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "sites").mkdir()
    text = (CONFIG / "site.toml").read_text()
    (tmp_path / "sites" / "carrier.toml").write_text(text.replace('"embedded"', '"carrier"'))
    site, _ = load_site(tmp_path, "carrier")
    assert site is not None
    assert site.name == "carrier"
    missing, problems = load_site(tmp_path, "nowhere")
    assert missing is None
    assert [Path(problem.file).name for problem in problems] == ["nowhere.toml"]


def two_instances(tree: Any) -> None:
    tree["banks"]["icbc"].update(
        instances=2,
        others=[{"machine": "second", "listen": "tcp://127.0.0.1:17311", "metrics_port": 17313}],
    )


def test_a_second_instance_has_a_place_of_its_own() -> None:
    site = good(two_instances)
    assert [
        (name, instance, place.machine) for name, bank, instance, place in fronts(site) if bank == "icbc"
    ] == [
        ("front-icbc-1", 1, "local"),
        ("front-icbc-2", 2, "second"),
    ]
    assert daemon_names(site, "second") == ["front-icbc-2"]
    assert "front-icbc-2" not in daemon_names(site, "local")


UNJOINED = {"hosts": ["mq1:5672", "mq2:5672"], "password": "test:x"}

CASES: list[tuple[Callable[[Any], object], str, str]] = [
    (lambda t: t["site"].update(timezone="Asia/Atlantis"), "site.timezone", "Asia/Atlantis"),
    (lambda t: t["site"].update(timezone="../../etc/passwd"), "site.timezone", "passwd"),
    (lambda t: t["site"].update(key="hunter2"), "site.key", "another form"),
    (lambda t: t["site"].update(key="test:00"), "site.key", "test:…"),
    (lambda t: t["site"].update(production=True), "site.key", "a test key"),
    (lambda t: t["groups"]["one"].update(nodes=[]), "groups.one.nodes", "an empty list"),
    (lambda t: t["groups"]["one"]["nodes"].append("node3"), "groups.one.nodes", "'node3'"),
    (lambda t: t["groups"]["one"]["nodes"].append("node1"), "groups.one.nodes", "twice"),
    (lambda t: t["groups"].update(two={"nodes": ["node2"]}), "groups.two.nodes", "another group"),
    (lambda t: t["groups"]["one"].update(nodes=["node1"]), "nodes.node2", "no group"),
    (lambda t: t["banks"]["icbc"].update(group="two"), "banks.icbc.group", "'two'"),
    (lambda t: t["banks"]["icbc"].update(instances=2), "banks.icbc.others", "0 places"),
    (lambda t: t["banks"]["icbc"].update(listen="nowhere"), "banks.icbc.listen", "'nowhere'"),
    (lambda t: t["banks"]["icbc"].update(listen="127.0.0.1:70000"), "banks.icbc.listen", "70000"),
    (lambda t: t["banks"]["icbc"].update(control="127.0.0.1:17301"), "banks.icbc.control", "17301"),
    (lambda t: t["nodes"]["node2"].update(machine="m2"), "state.database", "several machines"),
    (lambda t: t["nodes"]["node1"].update(port=17202), "nodes.node1.port", "17202"),
    (lambda t: t["nodes"]["node1"].update(port="17202"), "nodes.node1.port", "17202"),
    (lambda t: t["nodes"]["node1"].update(metrics_port=0), "nodes.node1.metrics_port", "0"),
    (lambda t: t["nodes"]["node1"].update(prot=1), "nodes.node1.prot", "unknown"),
    (lambda t: t["bridges"].update(node1=t["bridges"].pop("bridge1")), "nodes.node1", "bridge"),
    (lambda t: t.update(bridges={}), "bridges", "none"),
    (lambda t: t["banks"].update({"Hz-Citic": t["banks"].pop("hz_citic")}), "banks.Hz-Citic", "Hz-Citic"),
    (lambda t: t["routes"][0].update(to="bridge1"), "routes.0.to", "'bridge1'"),
    (lambda t: t["routes"][0].update(kinds=["refund"]), "routes.0.kinds", "'refund'"),
    (lambda t: t.update(routes=[]), "routes", "none"),
    (lambda t: t["link"].update(allow=["everybody"]), "link.allow.0", "'everybody'"),
    (lambda t: t["link"].update(dead_seconds=2), "link.dead_seconds", "2"),
    (lambda t: t.pop("core"), "core", "nothing"),
    (lambda t: t.update(broker=UNJOINED), "broker.cluster", "''"),
]


@pytest.mark.parametrize(("change", "key", "found"), CASES, ids=[f"{key}-{found}" for _, key, found in CASES])
def test_each_fault_is_found_where_it_stands(change: Callable[[Any], object], key: str, found: str) -> None:
    tree = copy.deepcopy(TREE)
    change(tree)
    site, problems = site_of(tree, "site.toml")
    assert site is None
    assert any(problem.key == key and found in problem.found for problem in problems), problems
    assert all("hunter2" not in str(problem) for problem in problems)


def test_all_faults_are_reported_at_once() -> None:
    tree = copy.deepcopy(TREE)
    tree["site"]["timezone"] = "Mars"
    tree["groups"]["one"]["nodes"] = ["node1", "node9"]
    tree["banks"]["icbc"]["group"] = "two"
    tree["nodes"]["node1"]["port"] = 17301
    _, problems = site_of(tree, "site.toml")
    assert {problem.key for problem in problems} >= {
        "site.timezone",
        "groups.one.nodes",
        "nodes.node2",
        "banks.icbc.group",
        "banks.hz_citic.listen",
    }


def test_the_same_port_on_another_machine_is_no_clash() -> None:
    def change(tree: Any) -> None:
        tree["nodes"]["node2"].update(machine="second", port=17211, metrics_port=17212)
        tree["state"] = {"database": "postgresql://qianzhi_front@h/qianzhi", "password": "file:state"}

    good(change)


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:1", ("127.0.0.1", 1)), ("tcp://h:65535", ("h", 65535)), ("[::1]:80", ("::1", 80))],
)
def test_addresses_are_read(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "host", ":80", "host:", "host:0", "host:+80", "host: 80", "host:８０"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        parse_address(text)


MAINTENANCE_MISTAKES = [
    ({"start": "2026-11-22 01:00", "end": "2026-11-22T02:00"}, "maintenance.0.start"),
    ({"start": "2026-11-22T1:00", "end": "2026-11-22T02:00"}, "maintenance.0.start"),
    ({"start": "2026-02-30T01:00", "end": "2026-11-22T02:00"}, "maintenance.0.start"),
    ({"start": "2026-11-22T01:00", "end": "never"}, "maintenance.0.end"),
    ({"start": "2026-11-22T02:00", "end": "2026-11-22T02:00"}, "maintenance.0.end"),
    ({"start": "2026-11-22T01:00", "end": "2026-11-22T02:00", "banks": ["nobody"]}, "maintenance.0.banks"),
]


@pytest.mark.parametrize(("table", "key"), MAINTENANCE_MISTAKES)
def test_a_maintenance_window_that_cannot_be_meant_is_named(table: dict[str, Any], key: str) -> None:
    site, problems = site_of({**copy.deepcopy(TREE), "maintenance": [table]}, "site.toml")
    assert site is None
    assert [problem.key for problem in problems] == [key]


def test_a_maintenance_window_is_of_its_banks_or_of_all() -> None:
    start, end = "2026-11-22T01:00", "2026-11-22T02:00"
    some = MaintenanceTable(banks=("icbc",), start=start, end=end)
    every = MaintenanceTable(reason="move", start=start, end=end)
    assert [window.reason for window in windows_of([some, every], "icbc")] == ["", "move"]
    assert [window.reason for window in windows_of([some, every], "abc")] == ["move"]
