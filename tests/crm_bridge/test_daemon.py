"""The bridge as a process of its own, asked over link; it is killed at its crash points and started again."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from crm_bridge.audit import audit_books
from crm_bridge.seed import seed
from qianzhi.domain.dates import business_date
from qianzhi.domain.requests import Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.link.events import Answers, Hello, LinkEvent, PeerDown, PeerDraining, PeerUp
from qianzhi.link.messages import Answer, Envelope, Status
from qianzhi.link.shell import Link
from qianzhi.runtime import clock
from qianzhi.runtime.admin import AdminError, ask
from qianzhi.runtime.events import read_events

KEY = bytes(range(32))
ROOT = Path(__file__).parent.parent.parent

PROGRAM = """
import sys
from dataclasses import replace
from pathlib import Path
from qianzhi.runtime.daemon import DaemonOptions, install_reactor, run
install_reactor()
from crm_bridge.daemon import BridgeDaemon
from crm_bridge.settings import CoreSettings
from qianzhi.link.site import site_of
data, port = sys.argv[1], int(sys.argv[2])
place = {"host": "127.0.0.1", "port": port, "metrics_port": 2}
site, problems = site_of(
    {
        "site": {"name": "test", "data": data, "key": "test:" + bytes(range(32)).hex()},
        "groups": {"one": {"nodes": ["node1"]}},
        "nodes": {"node1": {"host": "127.0.0.1", "port": 3, "metrics_port": 4}},
        "bridges": {"bridge1": place},
        "banks": {},
        "routes": [{"numbers": ["*"], "kinds": ["*"], "to": "bridges"}],
        "core": {},
    },
    "site.toml",
)
assert site is not None, problems
settings = CoreSettings(database=f"sqlite:///{data}/core.db")
daemon = BridgeDaemon(site, "bridge1", settings, bytes(range(32)))
sys.exit(run(daemon, DaemonOptions(data=Path(data))))
"""


class Node:
    """The asking side: a link to the bridge on the test's reactor."""

    def __init__(self, reactor_thread: Any, port: int) -> None:
        self.run = reactor_thread.run
        self.events: list[LinkEvent] = []
        self.answers: dict[int, Answer] = {}
        self._changed = threading.Condition()
        self._link = Link(
            lambda: Hello("node1", "node"), KEY, self._on_events, reactor=reactor_thread.reactor
        )
        self.run(lambda: self._link.dial("bridge1", "127.0.0.1", port).start())

    def _on_events(self, items: list[tuple[str, LinkEvent]]) -> None:
        with self._changed:
            for _, event in items:
                self.events.append(event)
                if isinstance(event, Answers):
                    self.answers.update((answer.id, answer) for answer in event.items)
            self._changed.notify_all()

    def wait(self, condition: Callable[[], Any]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, timeout=30), self.events

    def wait_for_ups(self, count: int) -> None:
        self.wait(lambda: sum(isinstance(event, PeerUp) for event in self.events) >= count)

    def send(self, items: dict[int, Request]) -> None:
        envelopes = [
            Envelope(number, 1, "9001", r.kind, 0, 20_000, 0, "t", msgspec.msgpack.encode(r))
            for number, r in items.items()
        ]
        self.run(lambda: self._link.send("bridge1", envelopes))

    def replies(self, *numbers: int) -> list[Reply]:
        self.wait(lambda: all(number in self.answers for number in numbers))
        found = [self.answers[number] for number in numbers]
        assert {answer.status for answer in found} == {Status.OK}
        return [msgspec.msgpack.decode(answer.body, type=Reply) for answer in found]

    def stop(self) -> None:
        self.run(self._link.stop)


class Place:
    """A data folder with a seeded core, and the processes started on it."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.url = f"sqlite:///{data}/core.db"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        seed(self.url, 10)
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(self.data), str(self.port)],
            cwd=ROOT,
            env={**os.environ, **environment},
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def events(self) -> list[str]:
        return [row.data["result"] for row in read_events(self.data / "events" / "bridge1")]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    here = Place(tmp_path)
    yield here
    for process in here.processes:
        process.kill()
        process.communicate(timeout=20)


@pytest.fixture
def node(place: Place, reactor_thread: Any) -> Iterator[Node]:
    asking = Node(reactor_thread, place.port)
    yield asking
    asking.stop()


def recharge(serial: str) -> Request:
    today = business_date(clock.now().wall_us, ZoneInfo("Asia/Shanghai"))
    return Request(Kind.RECHARGE, "bank", today, serial, "bank", "9001", "13800000003", 5000)


def test_a_list_is_answered_then_a_signal_drains_and_the_database_is_free_again(
    place: Place, node: Node
) -> None:
    process = place.start()
    node.wait_for_ups(1)
    node.send({n: recharge(str(n)) for n in range(100)})
    assert {reply.result for reply in node.replies(*range(100))} == {Result.APPROVED}
    status = ask(place.data / "run" / "bridge1.sock", "status")
    assert (status["name"], status["state"], status["peers"]) == ("bridge1", "running", ["node1"])
    assert (status["settled"], status["waiting"]) == (100, [0])
    process.send_signal(signal.SIGTERM)
    node.wait(lambda: any(isinstance(event, PeerDraining) for event in node.events))
    node.wait(lambda: any(isinstance(event, PeerDown) for event in node.events))
    assert process.wait(20) == 0
    assert place.events() == ["approved"] * 100
    assert audit_books(place.url).balanced


def test_standing_by_refuses_new_requests_until_called_back(place: Place, node: Node) -> None:
    place.start()
    node.wait_for_ups(1)
    admin = place.data / "run" / "bridge1.sock"
    assert ask(admin, "stand_by") == {"draining": True}
    node.send({1: recharge("1")})
    node.wait(lambda: 1 in node.answers)
    assert node.answers[1].status is Status.DRAINING
    assert ask(admin, "undrain") == {"draining": False}
    node.send({2: recharge("1")})
    assert node.replies(2)[0].result is Result.APPROVED
    with pytest.raises(AdminError, match=r"unknown command; known are .*drain, "):
        ask(admin, "dance")


@pytest.mark.parametrize(
    ("point", "stored"), [("bridge.before_commit", False), ("bridge.after_commit", True)]
)
def test_killed_around_its_commit_it_credits_once(place: Place, node: Node, point: str, stored: bool) -> None:
    process = place.start(QIANZHI_CRASH=point)
    node.wait_for_ups(1)
    node.send({1: recharge("1")})
    assert process.wait(20) == -signal.SIGKILL
    assert node.answers == {}
    place.start()
    node.wait_for_ups(2)
    node.send({2: recharge("1")})
    (reply,) = node.replies(2)
    assert (reply.result, reply.stored) == (Result.APPROVED, stored)
    node.send({3: recharge("2")})
    assert node.replies(3)[0].balance_fen == reply.balance_fen + 5000
    assert audit_books(place.url).balanced


def test_a_second_bridge_on_the_same_database_refuses_to_start(place: Place, node: Node) -> None:
    place.start()
    node.wait_for_ups(1)
    other = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("/core.db", "/../core.db"), str(place.data / "other"), "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert other.returncode == 69
    assert "is held by process" in other.stderr
