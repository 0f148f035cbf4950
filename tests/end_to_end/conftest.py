"""The real system, once for all tests here: supervisord, five daemons, free ports, data of its own."""

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.request import urlopen

import pytest

from qianzhi.cli.derived import derive
from simulators.free_ports import free_ports

ROOT = Path(__file__).parents[2]


def with_free_ports(text: str) -> str:
    """A site's text in which every port is replaced by a free one."""
    ports = sorted(set(re.findall(r"\b17\d{3}\b", text)))
    for port, free in zip(ports, free_ports(len(ports)), strict=True):
        text = text.replace(port, str(free))
    return text


def make_config(folder: Path) -> Path:
    """The project's own configuration on free ports, with its data in `folder`; half a frame may stay half
    for one second."""
    config = folder / "config"
    derive(ROOT / "config", "", config, folder / "var")
    (config / "banks").unlink()
    shutil.copytree(ROOT / "config/banks", config / "banks")
    bank = config / "banks/hz_citic.toml"
    text = bank.read_text(encoding="utf-8")
    assert "partial_seconds = 10 " in text
    bank.write_text(text.replace("partial_seconds = 10 ", "partial_seconds = 1 "), encoding="utf-8")
    file = config / "site.toml"
    file.write_text(with_free_ports(file.read_text(encoding="utf-8")), encoding="utf-8")
    return config


class System:
    """A running system and the command that looks at it."""

    def __init__(self, folder: Path, config: Path) -> None:
        self.folder = folder
        self.config = config
        self.data = folder / "var"

    def run(self, *words: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run `qianzhi` as a user does."""
        command = [sys.executable, "-m", "qianzhi.cli.main", "--config", str(self.config), *words]
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=timeout, check=False
        )

    def ask(self, *words: str, code: int = 0) -> Any:
        """Run `qianzhi … --json`, expect an exit code, and return what it printed."""
        found = self.run(*words, "--json")
        assert found.returncode == code, f"{words}: {found.returncode}\n{found.stdout}\n{found.stderr}"
        return json.loads(found.stdout)

    def site(self) -> dict[str, Any]:
        """The site's file as it stands."""
        import tomllib

        return tomllib.loads((self.config / "site.toml").read_text(encoding="utf-8"))

    def address(self, bank: str) -> str:
        """Where a bank's line is listened for."""
        return str(self.site()["banks"][bank]["listen"])

    def counters(self, bank: str) -> dict[str, float]:
        """Every counter of a bank's front-end as Prometheus reads it, by name and labels."""
        port = self.site()["banks"][bank]["metrics_port"]
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            lines = answer.read().decode("utf-8").splitlines()
        return {
            name: float(value)
            for name, _, value in (line.rpartition(" ") for line in lines if line.startswith("qianzhi_"))
        }

    def wait_running(self) -> dict[str, Any]:
        """Wait until every daemon runs again; return their statuses."""
        for _ in range(60):
            found = self.run("status", "--json")
            if found.returncode == 0:
                return json.loads(found.stdout)
        raise AssertionError(found.stdout)

    def logs(self) -> str:
        """The ends of all logs, for a failure's message."""
        files = sorted((self.data / "log").glob("*"))
        return "\n".join(
            f"--- {file.name}\n{file.read_text(encoding='utf-8', errors='replace')[-3000:]}" for file in files
        )


def start(system: System) -> subprocess.Popen[str]:
    """Start `qianzhi run` and wait until it says that its daemons run."""
    command = [sys.executable, "-m", "qianzhi.cli.main", "--config", str(system.config), "run"]
    process = subprocess.Popen(
        command, cwd=system.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    seen = []
    assert process.stdout is not None
    for line in process.stdout:
        seen.append(line)
        if "daemons run" in line:
            return process
    process.wait()
    raise AssertionError("".join(seen) + system.logs())


def is_alive(pid: int) -> bool:
    """Whether a process exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="session")
def examples() -> dict[str, ModuleType]:
    """The clients of examples/ by bank: their codecs are their own and let anything be sent."""
    found = {}
    for bank in ("hz_citic", "icbc"):
        name = f"{bank}_client"
        spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        found[bank] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found[bank])
    return found


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The running system; ended with SIGTERM, after which none of its processes may be left."""
    folder = tmp_path_factory.mktemp("e2e")
    found = System(folder, make_config(folder))
    process = start(found)
    pids = []
    try:
        yield found
        pids = [status["pid"] for status in found.ask("status").values()]
    finally:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert not [pid for pid in pids if is_alive(pid)]
