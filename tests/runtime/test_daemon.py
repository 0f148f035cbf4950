"""Daemons as processes: how they come up, go down, and end when something is wrong."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from qianzhi.runtime.admin import ask

ROOT = Path(__file__).parent.parent.parent

PROGRAM = """
import sys
from pathlib import Path
from qianzhi.runtime.daemon import DaemonError, DaemonOptions, install_reactor, run
reactor = install_reactor()
from twisted.internet.defer import Deferred
from qianzhi.runtime.log import get_logger

class Toy:
    name = "toy"
    def start(self):
        if how == "broken":
            raise DaemonError("the toy is broken")
        if how == "raises":
            raise ZeroDivisionError("card 4111111111111111")
        if how == "deferred":
            failing = Deferred()
            failing.addCallback(lambda _: 1 / 0)
            failing.callback(None)
    def drain(self):
        if how == "stuck":
            return Deferred()
        finished = Deferred()
        reactor.callLater(0, finished.callback, None)
        return finished if how == "slow" else None
    def status(self):
        return {"toys": 3}
    def commands(self):
        return {"crash": lambda _: 1 / 0}

data, how = Path(sys.argv[1]), sys.argv[2]
options = DaemonOptions(data=data, production=how == "production", drain_seconds=0.3)
sys.exit(run(Toy(), options))
"""


class Process:
    """A daemon's process and the lines that it logs."""

    def __init__(self, data: Path, how: str, **environment: str) -> None:
        self.socket = data / "run" / "toy.sock"
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(data), how],
            cwd=ROOT,
            env={**os.environ, **environment},
            stderr=subprocess.PIPE,
        )

    def until(self, event: str) -> dict[str, Any]:
        """Read the log up to a line of that event."""
        stderr: IO[bytes] = self.process.stderr  # type: ignore[assignment]
        for line in stderr:
            found: dict[str, Any] = json.loads(line)
            assert found["daemon"] == "toy"
            if found["event"] == event:
                return found
        raise AssertionError(f"no line {event!r}")

    def ends(self) -> int:
        return self.process.wait(20)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    started: list[Process] = []

    def run(how: str = "", **environment: str) -> Process:
        started.append(Process(tmp_path, how, **environment))
        return started[-1]

    yield run
    for each in started:
        each.process.kill()
        each.process.communicate(timeout=20)


@pytest.mark.parametrize("how", ["", "slow"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_ends_it(start: Any, how: str, number: signal.Signals) -> None:
    toy = start(how)
    toy.until("started")
    status = ask(toy.socket, "status")
    assert {**status, "uptime_seconds": 0} == {
        "name": "toy",
        "pid": toy.process.pid,
        "uptime_seconds": 0,
        "state": "running",
        "toys": 3,
    }
    toy.process.send_signal(number)
    assert toy.until("draining")["reason"] == number.name
    toy.until("drained")
    assert toy.ends() == 0
    assert not toy.socket.exists()


def test_the_admin_command_drains_it_too(start: Any) -> None:
    toy = start()
    toy.until("started")
    assert ask(toy.socket, "drain") == {"draining": True}
    toy.until("drained")
    assert toy.ends() == 0


def test_a_drain_that_does_not_finish_is_cut_off(start: Any) -> None:
    toy = start("stuck")
    toy.until("started")
    toy.process.terminate()
    assert toy.until("stopped before all was finished")["status"] == {"toys": 3}
    assert toy.ends() == 0


def test_a_second_signal_does_not_wait(start: Any) -> None:
    toy = start("stuck")
    toy.until("started")
    toy.process.terminate()
    toy.until("draining")
    toy.process.terminate()
    assert toy.ends() == 0


@pytest.mark.parametrize(
    ("how", "words"), [("broken", "the toy is broken"), ("production", "do not run as root")]
)
def test_what_cannot_start_says_why_and_ends_with_69(start: Any, how: str, words: str) -> None:
    toy = start(how)
    assert words in toy.until("cannot start")["reason"]
    assert toy.ends() == 69


@pytest.mark.parametrize("how", ["raises", "deferred", "crash"])
def test_an_exception_that_nobody_handles_ends_it_with_70_and_a_masked_line(start: Any, how: str) -> None:
    toy = start(how)
    if how == "crash":
        toy.until("started")
        with pytest.raises(Exception, match="without an answer"):
            ask(toy.socket, "crash")
    line = toy.until("unhandled exception")
    assert line["error"] == "ZeroDivisionError"
    assert "Traceback" in line["traceback"]
    assert "4111111111111111" not in line["traceback"]
    assert toy.ends() == 70


PARENT = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", *sys.argv[1:]], env={**os.environ, "SUPERVISOR_ENABLED": "1"})
print(child.pid, flush=True)
child.wait()
"""


def test_it_drains_when_its_supervisor_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, PROGRAM, str(tmp_path), "slow"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    stderr: IO[bytes] = parent.stderr  # type: ignore[assignment]
    events = (json.loads(line)["event"] for line in stderr)
    assert next(events) == "started"
    parent.kill()
    assert list(events) == ["draining", "drained"]  # and then the pipe's last holder is gone
    parent.communicate(timeout=20)


STALLED = """
import os, sys
from qianzhi.runtime import log
log.start("toy")
logger = log.get_logger("test")
for number in range(30_000):
    logger.warning("line", number=number, fill="x" * 100)
os.write(1, b"not blocked")
sys.stdin.read()
log.stop()
"""


def test_a_reader_that_stalls_does_not_block_the_daemon_and_the_lost_lines_are_counted() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", STALLED],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    stdout: IO[bytes] = process.stdout  # type: ignore[assignment]
    assert stdout.read(11) == b"not blocked"  # while nobody has read a line
    _, stderr = process.communicate(timeout=30)
    lines = [json.loads(line) for line in stderr.splitlines()]
    lost = sum(line["count"] for line in lines if line["event"] == "log lines dropped")
    written = [line["number"] for line in lines if line["event"] == "line"]
    assert lost > 0
    assert len(written) + lost == 30_000
    assert written == sorted(written)


def test_timers_run_on_the_monotonic_clock(reactor_thread: Any) -> None:
    from qianzhi.runtime import clock

    before = clock.monotonic_seconds()
    assert before <= reactor_thread.reactor.seconds() <= clock.monotonic_seconds()
