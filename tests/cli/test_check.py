"""`qianzhi check`: all that is wrong in a configuration is told in one go, and nothing starts on it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qianzhi.cli.checked_before import note
from qianzhi.cli.checks import check
from qianzhi.link.site import data_folder

ROOT = Path(__file__).parents[2]

PLANTED = [  # file, what stands there, what is written instead, the key under which it must be told
    ("site.toml", "[link]\n", "[link]\nwindows = 4\n", "link.windows"),
    ("site.toml", '["node1", "node2"]', '["node1", "node2", "node3"]', "groups.one.nodes"),
    ("site.toml", "metrics_port = 17212", "metrics_port = 17201", "nodes.node1.metrics_port"),
    ("site.toml", '"Asia/Shanghai"', '"Asia/Nowhere"', "site.timezone"),
    ("site.toml", "batch_max = 500", "batch_maximum = 500", "core.batch_maximum"),
    ("banks/hz_citic.toml", "in_flight = 1000", "in_flights = 1\nin_flight = 1000", "limits.in_flights"),
    ("banks/hz_citic.toml", 'master = "test:', 'master = "file:gone.key" # ', "keys.master"),
    ("banks/hz_citic.toml", 'mcc = "4814"', 'mmc = "4814"', "request.set.mmc"),
    ("banks/hz_citic.toml", 'rrn = "order"', 'terminal = "order"', "transactions.recharge.give.terminal"),
    ("banks/icbc.toml", 'numbers = ["0102"]', 'numbers = ["0102", "0302"]', "numbers"),
    ("banks/icbc.toml", 'spec = "icbc_xml"', 'spec = "icbc_xm1"', "message.spec"),
]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The project's own configuration, to be spoiled."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    return tmp_path / "config"


def plant(config: Path, file: str, old: str, new: str) -> None:
    path = config / file
    text = path.read_text(encoding="utf-8")
    assert old in text, old
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def qianzhi(config: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command in the folder that holds `config`."""
    command = [sys.executable, "-m", "qianzhi.cli.main", *words]
    return subprocess.run(command, cwd=config.parent, capture_output=True, text=True, timeout=60, check=False)


def test_faults_in_all_files_are_told_at_once_and_no_daemon_starts(config: Path) -> None:
    for file, old, new, _ in PLANTED:
        plant(config, file, old, new)
    found = qianzhi(config, "check", "--json")
    assert found.returncode == 2
    told = {(problem["file"], problem["key"]): problem for problem in json.loads(found.stdout)}
    assert {(f"config/{file}", key) for file, _, _, key in PLANTED} <= told.keys()
    assert all(problem["found"] and problem["expected"] for problem in told.values())
    assert told["config/banks/icbc.toml", "numbers"]["found"].endswith("banks/hz_citic.toml claims too")
    assert "0123456789ABCDEF" not in found.stdout
    for words in (("daemon", "node1"), ("daemon", "front-icbc-1"), ("run",)):
        refused = qianzhi(config, *words)
        assert refused.returncode == 2
        assert f"{len(told)} problems" in refused.stderr
        assert "nothing was started" in refused.stderr
    assert [path.name for path in config.parent.iterdir()] == ["config"], "not even a data folder was made"


def test_one_fault_in_a_bank_stops_the_daemons_of_all(config: Path) -> None:
    plant(config, "banks/icbc.toml", 'busy = "0001"', 'busy = "0000"')
    refused = qianzhi(config, "daemon", "bridge1")
    assert refused.returncode == 2
    assert "results.codes" in refused.stdout
    assert not (config.parent / "var").exists()


def test_two_banks_cannot_claim_one_number_or_one_serial_space(config: Path) -> None:
    plant(config, "banks/icbc.toml", 'numbers = ["0102"]', 'numbers = ["0302"]\nspace = "hz_citic"')
    told = {problem.key: problem.found for problem in check(config).problems}
    assert told.keys() == {"numbers", "space"}
    assert all(found.endswith("hz_citic.toml claims too") for found in told.values())


def test_a_daemon_rehearses_the_messages_of_its_own_bank_alone(config: Path) -> None:
    plant(config, "banks/icbc.toml", 'busy = "系统忙"', 'busy = "系统忙😀"')
    assert len(check(config).problems) == len(check(config, daemon="front-icbc-1").problems) > 0
    for daemon in ("front-hz_citic-1", "node1", "bridge1"):
        assert check(config, daemon=daemon).problems == []


def test_a_bank_s_daemon_leaves_to_run_what_it_has_just_checked_and_nothing_else(config: Path) -> None:
    whole = check(config)
    assert whole.site is not None
    data = data_folder(whole.site)
    note(data, whole.digest)
    assert check(config, daemon="front-icbc-1", noted=True).profiles.keys() == {"icbc"}
    assert check(config, daemon="node1", noted=True).profiles.keys() == whole.profiles.keys(), (
        "it has every bank's limits"
    )
    plant(config, "banks/hz_citic.toml", 'busy = "96"', 'busy = "00"')
    found = check(config, daemon="front-icbc-1", noted=True)
    assert {problem.key for problem in found.problems} >= {"results.codes"}
    note(data, found.digest[:9])
    assert check(config, daemon="front-icbc-1", noted=True).problems


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[site]", "[sight]"),
        ("instances = 1", "instances = 3"),
        ('nodes = ["node1", "node2"]', "nodes = []"),
        ("[nodes.node1]", "[nodes.node2]"),
        ('data = "var"', 'data = "' + "x" * 120 + '"'),
        ("[groups.one]", "[groups.two]"),
    ],
)
def test_a_broken_site_does_not_hide_what_is_wrong_with_a_bank(config: Path, old: str, new: str) -> None:
    plant(config, "site.toml", old, new)
    plant(config, "banks/icbc.toml", 'busy = "0001"', 'busy = "0000"')
    found = check(config)
    files = {Path(problem.file).name for problem in found.problems}
    assert {"site.toml", "icbc.toml"} <= files
    assert "results.codes" in [
        problem.key for problem in found.problems if problem.file.endswith("icbc.toml")
    ]


def test_a_site_in_which_nobody_is_named_is_told_and_nothing_more(config: Path) -> None:
    (config / "site.toml").write_text(
        '[site]\nname = "x"\nkey = "env:GONE"\n[groups]\n[nodes]\n[bridges]\n[banks]\n[core]\n'
        'database = "sqlite:///{data}/core.db"\n[[routes]]\nnumbers = ["*"]\nkinds = ["*"]\nto = "bridges"\n',
        encoding="utf-8",
    )
    assert {"groups", "nodes", "bridges", "site.key"} == {problem.key for problem in check(config).problems}


def test_problems_are_told_file_by_file_and_a_valid_site_in_few_words(config: Path) -> None:
    found = qianzhi(config, "check")
    assert found.returncode == 0
    assert max(map(len, found.stdout.splitlines())) <= 80
    assert "is valid: 17 banks, 2 nodes, 1 bridge" in found.stdout
    for file, old, new, _ in PLANTED[:6]:
        plant(config, file, old, new)
    told = qianzhi(config, "check").stdout
    for file in ("config/site.toml", "config/banks/hz_citic.toml"):
        assert told.count(f"{file}: key") == 1
