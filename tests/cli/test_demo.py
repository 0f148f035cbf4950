"""The demonstration's proof: it is good only when everything is true, and it says so in one fixed line."""

from dataclasses import replace
from pathlib import Path

import pytest

from qianzhi.cli.demo import Proof, victim
from qianzhi.cli.derived import derive, with_data
from qianzhi.cli.output import CommandError
from qianzhi.cli.watching import Watch
from qianzhi.link.site import data_folder, load_site

ROOT = Path(__file__).parents[2]
GOOD = Proof(banks=2, requests=2000, answered=2000, lost=0, balanced=True, faults=())


def test_the_last_line_is_what_scripts_look_for() -> None:
    assert GOOD.good
    assert GOOD.line == "demo: 2 banks, 2000 requests, 2000 answered, 0 lost, books balanced"


@pytest.mark.parametrize(
    "change", [{"lost": 1}, {"balanced": False}, {"faults": ("something",)}, {"answered": 1999}]
)
def test_anything_that_is_not_true_spoils_it(change: dict[str, object]) -> None:
    assert not replace(GOOD, **change).good


def test_the_gap_after_a_kill_is_the_time_to_the_next_approval() -> None:
    watch = Watch()
    watch.grew = [1.0, 2.0, 3.5, 3.75, 5.75]
    assert watch.gap_after(3.0) == (0.5, 2.0)
    assert watch.gap_after(9.0) == (float("inf"), float("inf"))


def test_who_is_killed_is_the_first_of_a_kind_or_a_daemon_by_its_name() -> None:
    site, _ = load_site(ROOT / "config")
    assert site is not None
    assert [victim(site, kind) for kind in ("node", "bridge")] == ["node1", "bridge1"]
    assert victim(site, "front").startswith("front-")
    for name in ("node2", "bridge1", "front-hz_citic-1"):
        assert victim(site, name) == name
    with pytest.raises(CommandError, match="node9"):
        victim(site, "node9")


def test_a_derived_configuration_differs_in_its_data_folder_only(tmp_path: Path) -> None:
    derive(ROOT / "config", "", tmp_path / "config", tmp_path / "some where")
    site, problems = load_site(tmp_path / "config")
    original, _ = load_site(ROOT / "config")
    assert problems == []
    assert site is not None
    assert original is not None
    assert data_folder(site) == tmp_path / "some where"
    assert replace(site, data=original.data, file=original.file) == original
    assert (tmp_path / "config" / "banks").resolve() == ROOT / "config" / "banks"


def test_a_site_without_a_data_folder_gets_one() -> None:
    text = with_data('[site]\nname = "x"\n\n[groups.one]\ndata = "not this"\n', Path("/var/d"))
    assert text == '[site]\ndata = "/var/d"\nname = "x"\n\n[groups.one]\ndata = "not this"\n'
