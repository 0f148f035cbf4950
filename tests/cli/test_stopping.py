"""Daemons are stopped all of a kind at once, fronts first, through a real supervisord."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qianzhi.cli.stopping import stop_in_order
from qianzhi.cli.supervisor import Program
from qianzhi.runtime import clock

FRONTS = [Program(f"front-{at}", f"bank-{at}", 30) for at in range(6)]
PROGRAMS = [Program("bridge1", "bridge1", 10), Program("node1", "node1", 20), *FRONTS]
DAEMON = (
    "import signal, sys; signal.signal(15, lambda *_: sys.exit()); print('up', flush=True); signal.pause()"
)


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Path]:
    """A supervisord with programs that end when they are told to; its folder."""
    (tmp_path / "daemon.py").write_text(DAEMON, encoding="utf-8")
    text = f"""[supervisord]
logfile={tmp_path}/log
pidfile={tmp_path}/pid
childlogdir={tmp_path}
[unix_http_server]
file={tmp_path}/s
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""
    for program in PROGRAMS:
        text += f"[group:{program.group}]\nprograms={program.name}\n"
        text += f"[program:{program.name}]\ncommand={sys.executable} -S daemon.py\ndirectory={tmp_path}\n"
        text += f"autorestart=true\nstartsecs=0\nstdout_logfile={tmp_path}/{program.name}.out\n"
    (tmp_path / "conf").write_text(text, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(tmp_path / "conf")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = clock.monotonic_seconds() + 30
        while not all(up(tmp_path, program) for program in PROGRAMS):
            assert process.poll() is None
            assert clock.monotonic_seconds() < until
            clock.sleep(0.02)
        yield tmp_path
    finally:
        process.terminate()
        process.wait(30)


def up(folder: Path, program: Program) -> bool:
    """Whether a program has come to the point where it takes a signal as it should."""
    file = folder / f"{program.name}.out"
    return file.exists() and b"up" in file.read_bytes()


def test_fronts_stop_first_then_nodes_then_the_bridge_and_nothing_starts_again(supervised: Path) -> None:
    assert stop_in_order(supervised / "s", PROGRAMS)
    log = (supervised / "log").read_text(encoding="utf-8")
    ended = [line.partition("stopped: ")[2].split()[0] for line in log.splitlines() if "stopped: " in line]
    assert ended[:-2] == sorted(ended[:-2], key=lambda name: name.startswith("front"))
    assert sorted(ended[:6]) == [program.name for program in FRONTS]
    assert ended[6:] == ["node1", "bridge1"]
    assert stop_in_order(supervised / "s", PROGRAMS)  # what has stopped already is no fault


def test_a_supervisord_that_is_gone_is_no_fault(tmp_path: Path) -> None:
    assert not stop_in_order(tmp_path / "nobody", PROGRAMS)
