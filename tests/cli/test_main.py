"""The command's outer face: its words, its exit codes, and what it costs to say them."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from qianzhi.cli.main import app

ROOT = Path(__file__).parents[2]
HEAVY = ("twisted", "sqlalchemy", "pydantic", "lxml", "zmq", "alembic", "structlog", "supervisor")


def qianzhi(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    command = [sys.executable, "-m", "qianzhi.cli.main", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def test_help_names_every_command_and_exit_code_and_imports_nothing_heavy() -> None:
    found = qianzhi("--help")
    assert found.returncode == 0
    words = ["check", "run", "daemon", "status", "send", "traffic", "account", "trace", "describe", "seed"]
    words += ["audit-books", "supervisor", "drain", "undrain", "demo", "Exit codes"]
    words += ["docs", "new-bank", "diff-profile", "schema", "vectors", "import-packager"]
    for word in words:
        assert word in found.stdout
    script = "import sys, qianzhi.cli.main; print(' '.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not set(HEAVY) & set(loaded.stdout.split())


def helps(command: Any) -> Iterator[str]:
    """Every help text of a command and of those below it."""
    for one in (command, *command.params):
        yield from (str(getattr(one, name, "") or "") for name in ("help", "epilog"))
    for below in getattr(command, "commands", {}).values():
        yield from helps(below)


def test_no_bracket_of_a_help_text_is_taken_for_markup() -> None:
    texts = list(helps(typer.main.get_command(app)))
    assert any("[core]" in text for text in texts)
    assert [text for text in texts if re.search(r"(?<!\\)\[[a-z#/@]", text)] == []
    assert "as [core] names it" in " ".join(qianzhi("promote", "--help").stdout.split())


def test_a_front_starts_without_the_libraries_of_the_core() -> None:
    """A site has a front for each bank, and each pays for what it imports."""
    script = "import sys, frontends.daemon, frontends.profile; print(' '.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"sqlalchemy", "alembic", "crm_bridge", "simulators"} & set(loaded.stdout.split())


def test_a_wrong_word_and_a_missing_configuration_end_with_two(tmp_path: Path) -> None:
    assert qianzhi("nonsense").returncode == 2
    found = qianzhi("check", cwd=tmp_path)
    assert found.returncode == 2
    assert "config/site.toml" in found.stdout
    assert "Traceback" not in found.stderr


def test_status_of_a_system_that_is_down_says_so_and_ends_with_three(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/site.toml").write_bytes((ROOT / "config/site.toml").read_bytes())
    found = qianzhi("status", "--json", cwd=tmp_path)
    assert found.returncode == 3
    states = {name: status["state"] for name, status in json.loads(found.stdout).items()}
    assert states["node1"] == states["front-icbc-1"] == "down"
    assert "qianzhi run" in found.stderr


@pytest.mark.parametrize("command", ["drain", "daemon"])
def test_an_unknown_daemon_is_named_with_those_that_there_are(command: str) -> None:
    found = qianzhi(command, "node9")
    assert found.returncode == 2
    assert "node9" in found.stderr
    assert "front-icbc-1" in found.stderr
