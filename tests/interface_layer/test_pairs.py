"""Two nodes as processes between a front and two bridges that the test plays: death, standstill, drain."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qianzhi.cli.chosen import Chosen
from qianzhi.cli.draining import Wish, drain_command, undrain_command
from qianzhi.cli.health import Look, row_of
from qianzhi.cli.output import BROKEN, USAGE, CommandError
from qianzhi.link.events import Answers, Hello, LinkEvent, PeerDown, PeerDraining, PeerUp, Requests
from qianzhi.link.hop import Hop, HopLimits, Job, Outcome
from qianzhi.link.messages import Answer, Envelope, Status
from qianzhi.link.shell import Link
from qianzhi.link.site import load_site
from qianzhi.link.store import Row, open_beats
from qianzhi.runtime import clock
from qianzhi.runtime.admin import AdminError, ask
from qianzhi.runtime.effects import Effects, Send
from simulators.free_ports import free_ports

ROOT = Path(__file__).parents[2]
KEY = "5a" * 32
NUMBER = "105330100001"
NODES = ("node1", "node2")
BRIDGES = ("bridge1", "bridge2")

SITE = """\
[site]
name = "pairs"
data = "{data}"
key = "test:{key}"
[state]
heartbeat_seconds = 1
[groups.one]
nodes = ["node1", "node2"]
[core]
database = "postgresql://qianzhi_app@127.0.0.1:1/qianzhi"
password = "test:unused"
[[routes]]
numbers = ["*"]
kinds = ["*"]
to = "bridges"
[banks.hz_citic]
machine = "elsewhere"
group = "one"
listen = "127.0.0.1:{ports[8]}"
metrics_port = {ports[9]}
"""
PLACE = """\
[{title}.{name}]
host = "127.0.0.1"
port = {port}
metrics_port = {metrics}
"""


class House:
    """The two node processes, and the test's own ends of link."""

    def __init__(self, folder: Path, reactor_thread: Any) -> None:
        self.config, self.data = folder / "config", folder / "var"
        self.chosen = Chosen(self.config)
        self.run, self.reactor = reactor_thread.run, reactor_thread.reactor
        self.changed = threading.Condition()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.outcomes: list[Outcome] = []
        self.taken: list[tuple[str, Envelope]] = []  # by the bridges, and by which
        self.held: list[tuple[str, str, int]] = []  # what a silent bridge took: its name, of whom, the id
        self.silent = False
        self._write(free_ports(10))
        site, problems = load_site(self.config)
        assert site is not None, problems
        self.site = site
        self.hop = Hop(HopLimits(), NODES)
        self.links: dict[str, Link] = {}

    def _write(self, ports: list[int]) -> None:
        self.config.mkdir()
        for name in ("banks", "specs"):
            (self.config / name).symlink_to(ROOT / "config" / name)
        text = SITE.format(data=self.data, key=KEY, ports=ports)
        places = [("nodes", name) for name in NODES] + [("bridges", name) for name in BRIDGES]
        for at, (title, name) in enumerate(places):
            text += PLACE.format(title=title, name=name, port=ports[2 * at], metrics=ports[2 * at + 1])
        (self.config / "site.toml").write_text(text, encoding="utf-8")

    # -- processes

    def start(self, *names: str) -> None:
        command = [sys.executable, "-m", "qianzhi.cli.main", "--config", str(self.config), "daemon"]
        for name in names:
            self.processes[name] = subprocess.Popen([*command, name], cwd=ROOT, stderr=subprocess.DEVNULL)
        for name in names:
            self.until(lambda name=name: self.status(name).get("state") == "running")

    def status(self, name: str) -> dict[str, Any]:
        try:
            return ask(self.data / "run" / f"{name}.sock", "status")
        except AdminError:
            return {}

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        self.processes[name].send_signal(number)

    def stop(self) -> None:
        for link in self.links.values():
            self.run(link.stop)
        for process in self.processes.values():
            process.kill()
            process.wait()

    def until(self, condition: Callable[[], Any]) -> None:
        """Wait for something that nobody tells."""
        pause = threading.Event()
        for _ in range(2_000):
            if condition():
                return
            pause.wait(0.01)
        raise AssertionError("it never comes")

    # -- link

    def join(self) -> None:
        """Let the bridges listen and the front dial, and wait until both nodes lead to both bridges."""
        for name in BRIDGES:
            hello = Hello(name, "bridge")
            self.links[name] = self._link(hello, lambda items, name=name: self._on_bridge(name, items))
            place = self.site.bridges[name]
            self.run(lambda name=name, place=place: self.links[name].listen(place.host, place.port).start())
        hello = Hello("front-hz_citic-1", "front", banks=("hz_citic",), numbers=(NUMBER,))
        self.links["front"] = front = self._link(hello, self._on_front)
        for name in NODES:
            place = self.site.nodes[name]
            self.run(lambda name=name, place=place: front.dial(name, place.host, place.port).start())
        self.until(lambda: all(peer.healthy for peer in self.hop.peers))
        self.until(lambda: all(len(self.links[name].peers()) == 2 for name in BRIDGES))

    def _link(self, hello: Hello, on_events: Callable[[list[tuple[str, LinkEvent]]], None]) -> Link:
        return Link(lambda: hello, bytes.fromhex(KEY), on_events, reactor=self.reactor, limits=self.site.link)

    def _on_bridge(self, name: str, items: list[tuple[str, LinkEvent]]) -> None:
        for peer, event in items:
            if isinstance(event, Requests):
                self.taken += [(name, envelope) for envelope in event.items]
                if self.silent:
                    self.held += [(name, peer, e.id) for e in event.items]
                else:
                    self.links[name].send(peer, [Answer(e.id, Status.OK, b"ok") for e in event.items])

    def answer_held(self, bridge: str) -> None:
        for name, peer, number in self.held:
            if name == bridge:
                self.links[name].send(peer, [Answer(number, Status.OK, b"ok")])

    def _on_front(self, items: list[tuple[str, LinkEvent]]) -> None:
        for peer, event in items:
            now = clock.now()
            match event:
                case PeerUp():
                    self._do(self.hop.on_peer_up(peer, now))
                case PeerDown():
                    self._do(self.hop.on_peer_down(peer, now))
                case PeerDraining(draining):
                    self._do(self.hop.on_peer_draining(peer, draining, now))
                case Answers(answers):
                    self._do(self.hop.on_answers(peer, answers, now))
        with self.changed:
            self.outcomes += self.hop.take_outcomes()
            self.changed.notify_all()

    def _do(self, effects: Effects) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                self.links["front"].send(effect.to[1], effect.items)  # type: ignore[index]

    def ask(self, *tickets: int) -> None:
        def submit() -> None:
            now = clock.now()
            deadline_us = now.mono_us + 60_000_000
            jobs = [Job(n, NUMBER, 2, 0, deadline_us, 0, f"t{n}", f"k{n}", b"") for n in tickets]
            self._do(self.hop.submit(jobs, now))

        self.run(submit)

    def answered(self, n: int) -> list[Outcome]:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.outcomes) >= n, timeout=20), self.outcomes
            return list(self.outcomes)

    def peer(self, name: str) -> str:
        return next(peer.state(clock.now()) for peer in self.hop.peers if peer.name == name)


@pytest.fixture
def house(reactor_thread: Any, tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path, reactor_thread)
    try:
        made.start(*NODES)
        made.join()
        yield made
    finally:
        made.stop()


def test_what_a_killed_node_and_a_killed_bridge_held_is_served_by_their_partners(house: House) -> None:
    house.silent = True
    house.ask(*range(100))
    house.until(lambda: len(house.taken) == 100)
    assert {e.attempt for _, e in house.taken} == {1}
    held = {e.key for name, e in house.taken if name == "bridge1"}
    house.silent = False
    house.run(house.links.pop("bridge1").stop)
    half = house.answered(50)
    assert {f"k{outcome.ticket}" for outcome in half} == held
    house.kill("node1")
    house.answered(75)
    house.run(lambda: house.answer_held("bridge2"))
    outcomes = house.answered(100)
    assert {(outcome.status, outcome.body) for outcome in outcomes} <= {(Status.OK, b"ok")}
    assert sorted(outcome.ticket for outcome in outcomes) == list(range(100))
    assert {e.attempt for name, e in house.taken if name == "bridge2"} == {1, 2}
    assert {outcome.attempts for outcome in outcomes} == {1, 2}


def test_a_node_that_stands_still_is_passed_over_before_its_connection_is_dead_and_used_again(
    house: House,
) -> None:
    house.kill("node1", signal.SIGSTOP)
    house.ask(1, 2)
    house.until(lambda: house.peer("node1") == "silent")
    house.ask(*range(10, 60))
    assert {outcome.peer for outcome in house.answered(51)} == {"node2"}
    house.kill("node1", signal.SIGCONT)
    assert {outcome.status for outcome in house.answered(52)} == {Status.OK}
    assert house.peer("node1") == "up"
    assert {outcome.attempts for outcome in house.outcomes} == {1}
    house.ask(*range(100, 110))
    assert {outcome.peer for outcome in house.answered(62)[52:]} == {"node1", "node2"}


def test_a_drained_node_says_who_and_why_stays_so_over_its_death_and_the_last_one_is_kept(
    house: House,
) -> None:
    drain_command(house.chosen, "node1", Wish("换硬盘", "2h"))
    house.until(lambda: house.peer("node1") == "draining")
    house.ask(*range(20))
    assert {outcome.peer for outcome in house.answered(20)} == {"node2"}
    name, state, _, _, words = row_of("node1", Look(house.chosen, house.site).at("node1"))
    assert (name, state) == ("node1", "stands by")
    assert "(换硬盘)" in str(words)
    assert " until " in str(words)
    with pytest.raises(CommandError, match="no other one is known to serve") as refusal:
        drain_command(house.chosen, "node2", Wish())
    assert refusal.value.code == BROKEN
    assert not house.status("node2")["draining"]
    house.kill("node1")
    house.processes["node1"].wait()
    house.start("node1")
    assert house.status("node1")["standing_by"]["reason"] == "换硬盘"
    house.until(lambda: house.peer("node1") == "draining")
    drain_command(house.chosen, "node2", Wish(force=True))
    undrain_command(house.chosen, "node1")
    undrain_command(house.chosen, "node2")
    house.until(lambda: [house.peer(name) for name in NODES] == ["up", "up"])


def test_another_machines_daemon_is_known_by_its_heartbeat(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    beats = open_beats("", "", house.data)
    house.until(lambda: sum(beat.row.ready for beat in beats.read()) == 2)
    os.rename(house.data / "run/node2.sock", house.data / "run/gone")  # as if node2 ran elsewhere
    seen = Look(house.chosen, house.site).at("node2")
    assert (seen["state"], seen["seen"]["machine"], seen["pid"]) == (
        "running",
        "local",
        house.processes["node2"].pid,
    )
    assert "on machine local, " in str(row_of("node2", seen)[-1])
    drain_command(house.chosen, "node1", Wish())
    undrain_command(house.chosen, "node1")
    house.kill("node2", signal.SIGSTOP)
    status = {**seen, "draining": True}
    beats.write(Row("node2", "local", "node", False, status))
    with pytest.raises(CommandError, match="no other one"):
        drain_command(house.chosen, "node1", Wish())
    beats.close()
    with pytest.raises(CommandError, match="machine elsewhere") as away:
        drain_command(house.chosen, "hz_citic", Wish())
    assert "front-hz_citic-1 (machine elsewhere)" in str(away.value)
    with pytest.raises(CommandError, match="no daemon or bank") as unknown:
        drain_command(house.chosen, "node9", Wish())
    assert unknown.value.code == USAGE
    assert "node1: takes requests again" in capsys.readouterr().out


def test_a_node_that_stood_still_passes_nothing_on_whose_time_was_over_meanwhile(house: House) -> None:
    house.kill("node1", signal.SIGSTOP)
    spent = [Envelope(n, 1, NUMBER, 2, 0, 300, 0, f"t{n}", b"", f"spent{n}") for n in range(10**9, 10**9 + 5)]
    house.run(lambda: house.links["front"].send("node1", spent))
    house.ask(1, 2)
    house.until(lambda: house.peer("node1") == "silent")
    until_us = clock.now().mono_us + 700_000
    house.until(lambda: clock.now().mono_us > until_us)
    house.kill("node1", signal.SIGCONT)
    assert {outcome.status for outcome in house.answered(2)} == {Status.OK}
    assert {envelope.key for _, envelope in house.taken} == {"k1", "k2"}
