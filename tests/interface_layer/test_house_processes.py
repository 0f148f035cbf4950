"""Nodes as processes with a core and a network that the test plays: killed at every crash point, frozen,
taken over, a charge is credited or taken back, and the cardholder's money is right.

`QIANZHI_CRASH` says where a process dies.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qianzhi.domain.requests import Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.link.events import Hello, LinkEvent, OutwardTerms, Requests
from qianzhi.link.messages import Answer, Status
from qianzhi.link.shell import Link
from qianzhi.link.site import load_site
from qianzhi.runtime.admin import AdminError, ask
from qianzhi.runtime.crash import VARIABLE
from qianzhi.saf.exported import read_export
from qianzhi.saf.store import prepare
from qianzhi.saf.warrants import Asked, Warrants
from simulators.free_ports import free_ports

ROOT = Path(__file__).parents[2]
KEY = "5a" * 32
TERMS = OutwardTerms("unet", "unet-out", "900100", "on_timeout", 6, 20_000, 300, True, True, False)
ROLE = "DO $$ BEGIN CREATE ROLE qianzhi_front LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"

SITE = """\
[site]
name = "house"
data = "{data}"
key = "test:{key}"
[state]
heartbeat_seconds = 1
{state}
[saf]
fast_seconds = 1
lease_seconds = 3
[groups.one]
nodes = ["node1", "node2"]
[nodes.node1]
host = "127.0.0.1"
port = {ports[0]}
metrics_port = {ports[1]}
[nodes.node2]
host = "127.0.0.1"
port = {ports[2]}
metrics_port = {ports[3]}
[bridges.bridge1]
host = "127.0.0.1"
port = {ports[4]}
metrics_port = {ports[5]}
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
listen = "127.0.0.1:{ports[6]}"
metrics_port = {ports[7]}
"""


class Site:
    """The node processes, the core and the network; both settle a key once, whoever asks."""

    def __init__(self, folder: Path, reactor_thread: Any, state: str) -> None:
        self.config, self.data = folder / "config", folder / "var"
        self.run, self.reactor = reactor_thread.run, reactor_thread.reactor
        self.processes: list[subprocess.Popen[bytes]] = []
        self.journal: dict[str, Result] = {}
        self.breaks: dict[str, str] = {}
        self.debited: Counter[str] = Counter()  # the cardholders' own record, by key
        self.reversals: list[Request] = []
        self.deaf: set[Kind] = set()  # what the network never answers
        self.config.mkdir()
        for name in ("banks", "specs"):
            (self.config / name).symlink_to(ROOT / "config" / name)
        text = SITE.format(data=self.data, key=KEY, state=state, ports=free_ports(8))
        (self.config / "site.toml").write_text(text, encoding="utf-8")
        self.site, problems = load_site(self.config)
        assert self.site is not None, problems
        self.links = [self._bridge(), self._front()]

    def start(self, name: str = "node1", crash: str = "") -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "qianzhi.cli.main", "--config", str(self.config), "daemon", name]
        environment = {**os.environ, VARIABLE: crash}
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, env=environment)
        self.processes.append(process)
        self.until(lambda: process.poll() is not None or self._is_ready(name))
        return process

    def _is_ready(self, name: str) -> bool:
        lanes = self.command("status", name=name).get("saf", {}).get("lanes", {})
        return all(lanes.get(to, {}).get("ready") for to in ("unet", "core"))

    def command(self, command: str, *, name: str = "node1", **arguments: Any) -> dict[str, Any]:
        try:
            return ask(self.data / "run" / f"{name}.sock", command, timeout_seconds=20, **arguments)
        except AdminError as error:
            return {"error": str(error)}

    def act(self, command: str, entry: str, act: str, why: str = "") -> dict[str, Any]:
        """Ask the node for an act with the warrant of a bridge."""
        asked = Asked(act, command.replace("_", "-"), entry, why)
        warrant = Warrants(bytes.fromhex(KEY)).warrant(asked)
        return self.command(command, id=entry, act=act, why=why, warrant=warrant)

    def charge(self, order: str, name: str = "node1", wait: bool = True) -> dict[str, Any]:
        wanted = {"bank": "unet", "phone": "13800000001", "amount_fen": 5_000, "order": order, "wait": wait}
        return self.command("charge", name=name, **wanted)

    def until(self, condition: Callable[[], Any]) -> None:
        """Wait for something that nobody tells."""
        pause = threading.Event()
        for _ in range(2_000):
            if condition():
                return
            pause.wait(0.01)
        raise AssertionError(f"it never comes: {self.journal} {self.debited} {self.breaks} {self.reversals}")

    def is_right(self) -> bool:
        """Whether every cardholder has paid for what stands credited, and for nothing else."""
        credited = {key for key, result in self.journal.items() if result is Result.APPROVED}
        return {key for key, n in self.debited.items() if n} == credited and not self.breaks

    def stop(self) -> None:
        for link in self.links:
            self.run(link.stop)
        for process in self.processes:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()

    def _bridge(self) -> Link:
        def on_events(items: list[tuple[str, LinkEvent]]) -> None:
            for peer, event in items:
                for envelope in event.items if isinstance(event, Requests) else []:
                    reply = Reply(self._settle(msgspec.msgpack.decode(envelope.body, type=Request)))
                    body = msgspec.msgpack.encode(reply)
                    link.send(peer, [Answer(envelope.id, Status.OK, body)])

        assert self.site is not None
        place = self.site.bridges["bridge1"]
        link = Link(lambda: Hello("bridge1", "bridge"), bytes.fromhex(KEY), on_events, reactor=self.reactor)
        self.run(lambda: link.listen(place.host, place.port).start())
        return link

    def _settle(self, request: Request) -> Result:
        key = request.key.text
        if request.kind is Kind.BREAK:
            self.breaks[key] = request.reason
        elif request.kind is Kind.MEND:
            self.breaks.pop(key, None)
        else:
            says = Result.APPROVED if request.kind is Kind.RECHARGE else Result.BLOCKED
            return self.journal.setdefault(key, says)
        return Result.APPROVED

    def _front(self) -> Link:
        hello = Hello("front-unet-1", "front", banks=("unet",), numbers=("900100",), outward=(TERMS,))

        def on_events(items: list[tuple[str, LinkEvent]]) -> None:
            for peer, event in items:
                for envelope in event.items if isinstance(event, Requests) else []:
                    request = msgspec.msgpack.decode(envelope.body, type=Request)
                    self._move(request)
                    if request.kind not in self.deaf:
                        body = msgspec.msgpack.encode(Reply(Result.APPROVED))
                        link.send(peer, [Answer(envelope.id, Status.OK, body)])

        link = Link(lambda: hello, bytes.fromhex(KEY), on_events, reactor=self.reactor)
        assert self.site is not None
        for name, place in self.site.nodes.items():
            self.run(lambda name=name, place=place: link.dial(name, place.host, place.port).start())
        return link

    def _move(self, request: Request) -> None:
        """Move a cardholder's money, once for each serial, whatever is repeated."""
        key = request.key.text
        if request.kind is Kind.CHARGE:
            self.debited.setdefault(key, 1)
        else:
            self.reversals.append(request)
            self.debited[key] = 0


@pytest.fixture
def site(tmp_path: Path, reactor_thread: Any, request: pytest.FixtureRequest) -> Iterator[Site]:
    """A site whose nodes keep their rows in files, or, where a test asks for it, in PostgreSQL."""
    state = ""
    if getattr(request, "param", "") == "postgresql":
        server = request.getfixturevalue("postgres")
        url = server.new_database()
        server.psql(ROLE)
        prepare(url)
        state = f'database = "{url}?options=-c%20role%3Dqianzhi_front"'
    house = Site(tmp_path, reactor_thread, state)
    yield house
    house.stop()


@pytest.mark.parametrize(
    "crash", ["saf.before_store:1", "saf.before_store:3", "saf.after_store:1", "saf.after_store:2"]
)
def test_a_node_killed_around_a_write_settles_its_charge_in_its_next_life(site: Site, crash: str) -> None:
    node = site.start(crash=crash)
    told = site.charge("o1")
    assert (node.wait(20), "error" in told) == (-signal.SIGKILL, True)
    site.start()
    again = site.charge("o1")
    site.until(site.is_right)
    assert again["state"] in ("credited", "reversing", "refunding")
    assert (again["state"] == "credited") is (site.journal.get(again["key"]) is Result.APPROVED)
    site.until(lambda: site.command("saf_list")["counts"] == {})


@pytest.mark.parametrize("site", ["postgresql"], indirect=True)
def test_a_killed_nodes_charge_is_settled_by_its_partner(site: Site) -> None:
    node = site.start()
    site.start("node2")
    site.deaf = {Kind.CHARGE}
    site.charge("o1", wait=False)
    node.send_signal(signal.SIGKILL)
    site.until(lambda: site.reversals)  # it is the partner's: the first one died before it had a time-out
    site.until(site.is_right)
    (charge,) = site.command("charges", name="node2")["charges"]
    assert (charge["state"], charge["reason"]) == ("reversing", "house")
    assert site.charge("o1", "node2")["state"] == "reversing"


@pytest.mark.parametrize("site", ["postgresql"], indirect=True)
def test_a_node_that_was_frozen_and_replaced_changes_nothing_any_more(site: Site) -> None:
    node = site.start()
    site.start("node2")
    site.deaf = {Kind.CHARGE}
    site.charge("o1", wait=False)
    node.send_signal(signal.SIGSTOP)
    site.until(lambda: site.command("status", name="node2")["saf"]["charges"] == {"reversing": 1})
    sent = [request.own_serial for request in site.reversals]
    node.send_signal(signal.SIGCONT)
    site.until(lambda: site.command("status")["saf"]["charges"] == {})
    site.until(site.is_right)
    assert len({*sent, *(request.own_serial for request in site.reversals)}) == 1


def test_operators_list_show_expire_export_and_settle(site: Site) -> None:
    site.start()
    site.deaf = {Kind.CHARGE_REVERSAL}
    assert site.charge("o1")["state"] == "credited"
    site._settle = lambda request: (  # type: ignore[method-assign]
        Result.NO_SUCH_PHONE if request.kind is Kind.RECHARGE else Result.APPROVED
    )
    site.deaf = {Kind.CHARGE_REFUND}
    charge = site.charge("o2")
    assert charge["state"] == "refunding"
    (entry,) = site.command("saf_list", destination="unet")["entries"]
    assert (entry["kind"], entry["key"], entry["state"]) == ("charge_refund", charge["key"], "open")
    cut = site.command("saf_list", destination="unet", limit=0)
    assert (cut["entries"], cut["total"]) == ([], 1)
    assert site.command("saf_show", id=entry["id"])["amount_fen"] == 5_000
    site.deaf = {Kind.CHARGE_REFUND}
    assert "on its way" in site.act("saf_expire", entry["id"], "1")["error"]
    site.processes[0].kill()
    site.processes[0].wait()
    site.run(site.links.pop().stop)
    site.processes.append(_start_alone(site))
    unapproved = site.command("saf_expire", id=entry["id"], act="1", why="by hand", warrant="ab" * 32)
    assert "no second operator has approved act 1" in unapproved["error"]
    assert site.command("saf_show", id=entry["id"])["state"] == "open"
    assert site.act("saf_expire", entry["id"], "1", "by hand")["state"] == "manual"
    written = site.command("saf_export", destination="unet", date=int(charge["key"].split("/")[1]))
    read = read_export(Path(written["path"]).read_bytes())
    assert ([line.id for line in read.lines], written["entries"], written["amount_fen"]) == (
        [entry["id"]],
        1,
        5_000,
    )
    assert written["sha256"] == read.sha256
    assert json.loads(Path(written["path"]).read_text().splitlines()[0])["site"] == "house"
    assert site.act("saf_settle", entry["id"], "2", "booked")["state"] == "settled"
    assert site.act("saf_settle", entry["id"], "2", "booked")["state"] == "settled"
    late = site.act("saf_retry", entry["id"], "3")
    assert (late["result"], "has ended" in late["detail"]["why"]) == ("too_late", True)
    assert site.command("saf_show", id=entry["id"])["why"] == "booked"
    assert "there is no entry" in site.command("saf_show", id="x")["error"]
    assert "unknown arguments: ids" in site.command("saf_list", ids="x")["error"]
    assert "act is wanted" in site.command("saf_expire", id="x")["error"]


def _start_alone(site: Site) -> subprocess.Popen[bytes]:
    """Start a node that no front of the network is connected to."""
    command = [sys.executable, "-m", "qianzhi.cli.main", "--config", str(site.config), "daemon", "node1"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    site.until(lambda: site.command("saf_list").get("entries"))
    return process
