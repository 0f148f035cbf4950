"""The carrier's site laid out on this machine: forty daemons, a broker, a database and standby, HAProxy."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulators.servers.processes import private_folder

pytestmark = pytest.mark.usefixtures("processors")
ROOT = Path(__file__).parents[2]


def demo(folder: Path, *words: str) -> str:
    """Run the demonstration in a folder of its own; return what it says."""
    command = [sys.executable, "-m", "qianzhi.cli.main", "--config", str(ROOT / "config"), *words]
    environment = {**os.environ, "COLUMNS": "120"}
    found = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=400,
        check=False,
    )
    logs = folder.glob("var/*/var/log/*")
    ends = [f"--- {file.name}\n{file.read_text(errors='replace')[-1500:]}" for file in sorted(logs)]
    assert found.returncode == 0, "\n".join([found.stdout, *ends])
    return found.stdout


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path, since those of UNIX sockets are bounded."""
    found = private_folder("demo")
    yield found
    shutil.rmtree(found)


def test_the_carrier_s_site_loses_nothing_when_a_front_is_killed(folder: Path) -> None:
    said = demo(folder, "--site", "carrier", "demo", "--seconds", "6", "--rate", "60", "--kill", "front")
    assert "starting private servers: rabbitmq-server, postgresql, haproxy" in said
    last = said.splitlines()[-1]
    assert last.startswith("demo: 17 banks, ")
    assert last.endswith(" answered, 0 lost, books balanced")


def test_the_site_of_two_machines_loses_nothing_when_a_bank_s_socket_front_is_killed(folder: Path) -> None:
    kill = "front-hz_citic-1"
    said = demo(folder, "--site", "pair", "demo", "--seconds", "4", "--rate", "60", "--kill", kill)
    assert f"killed {kill} (process " in said
    last = said.splitlines()[-1]
    assert last.startswith("demo: 17 banks, ")
    assert last.endswith(" answered, 0 lost, books balanced")
