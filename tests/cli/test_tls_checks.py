"""`qianzhi check` on protected lines: tables that do not fit their use, files of no use, whose they are."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qianzhi.cli.checks import check

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config(tmp_path: Path, authority_in: Callable[[Path, str], Any]) -> Path:
    """The project's own configuration with good certificates in tls/."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    folder = tmp_path / "config/tls"
    folder.mkdir()
    authority_in(folder, "ca").issue("own", "127.0.0.1")
    return tmp_path / "config"


OWN = 'certificate = "tls/own.pem"\nkey = "tls/own.key"\n'


def told(config: Path, uses: dict[str, str], tables: dict[str, str], daemon: str = "") -> dict[str, str]:
    """Put `tls = NAME` into tables of the site, add [tls.NAME], and return what `check` says by key."""
    file = config / "site.toml"
    text = file.read_text(encoding="utf-8")
    for table, line in uses.items():
        assert f"[{table}]\n" in text, table
        text = text.replace(f"[{table}]\n", f"[{table}]\n{line}\n", 1)
    text += "".join(f"\n[tls.{name}]\n{body}" for name, body in tables.items())
    file.write_text(text, encoding="utf-8")
    return {
        problem.key: f"{problem.found} / {problem.expected}" for problem in check(config, "", daemon).problems
    }


def test_a_protected_site_is_valid(config: Path) -> None:
    both = OWN + 'ca = "tls/ca.pem"\n'
    assert told(config, {"link": 'tls = "all"', "banks.wenzhou": 'tls = "all"'}, {"all": both}) == {}


def test_each_use_is_held_against_its_table(config: Path) -> None:
    uses = {
        "link": 'tls = "ours"',
        "banks.wenzhou": 'tls = "theirs"',
        "banks.icbc": 'tls = "ours"\nproxies = ["10.1.0.0/16"]',
        "banks.zhenghe": 'tls = "nowhere"',
    }
    broker = '[broker]\nhosts = ["127.0.0.1:5671"]\npassword = "test:x"\ntls = "ours"\n'
    found = told(config, uses, {"theirs": 'ca = "tls/ca.pem"\n', "ours": OWN + "\n" + broker})
    banks = {"banks.wenzhou.tls", "banks.icbc.tls", "banks.icbc.proxies", "banks.zhenghe.tls"}
    assert set(found) == {"link.tls", "broker.tls"} | banks
    assert "proves one end only" in found["link.tls"]
    assert "cannot tell who answers" in found["broker.tls"]
    assert "no certificate of ours" in found["banks.wenzhou.tls"]
    assert "none for a bank on queues" in found["banks.icbc.tls"]
    assert "one of ours, theirs" in found["banks.zhenghe.tls"]


def test_wrong_paths_are_named(config: Path) -> None:
    table = 'certificate = "tls/gone.pem"\nkey = "tls/own.key"\nca = "gone/ca.pem"\n'
    found = told(config, {"link": 'tls = "all"'}, {"all": table})
    assert set(found) == {"tls.all.certificate", "tls.all.ca"}
    assert found["tls.all.certificate"].startswith(f"{config}/tls/gone.pem: No such file")
    assert found["tls.all.ca"].startswith(f"{config}/gone/ca.pem: No such file")


def test_a_daemon_is_held_to_the_files_of_its_own_lines_alone(config: Path) -> None:
    both = OWN + 'ca = "tls/ca.pem"\n'
    tables = {"all": both, "banks": 'certificate = "tls/gone.pem"\nkey = "tls/gone.key"\n'}
    uses = {"link": 'tls = "all"', "banks.wenzhou": 'tls = "banks"'}
    assert set(told(config, uses, tables)) == {"tls.banks.certificate", "tls.banks.key"}
    for daemon, wrong in (("node1", False), ("front-zhenghe-1", False), ("front-wenzhou-1", True)):
        assert bool(check(config, "", daemon).problems) is wrong, daemon
