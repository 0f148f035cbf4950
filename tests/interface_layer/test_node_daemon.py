"""Two whole nodes between a front and a bridge, over real sockets: a request, a death, a drain."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from interface_layer.daemon import NodeDaemon
from qianzhi.link.events import Hello, LinkEvent, PeerDraining, PeerUp, Requests
from qianzhi.link.messages import Answer, Envelope, Status
from qianzhi.link.shell import Link
from qianzhi.link.site import site_of
from qianzhi.link.tables import BankLimits, Site
from qianzhi.runtime import metrics
from qianzhi.runtime.admin import AdminError
from qianzhi.runtime.events import read_events
from simulators.free_ports import free_ports

KEY = b"k" * 32
CITIC = "105330100001"


def small_site(data: Path) -> Site:
    ports = free_ports(7)
    places = [{"host": "127.0.0.1", "port": ports[2 * i], "metrics_port": ports[2 * i + 1]} for i in range(3)]
    tree = {
        "site": {"name": "test", "data": str(data), "key": "test:" + "00" * 16},
        "groups": {"one": {"nodes": ["node1", "node2"]}},
        "nodes": {"node1": places[0], "node2": places[1]},
        "bridges": {"bridge1": places[2]},
        "banks": {"hz_citic": {"group": "one", "metrics_port": ports[6]}},
        "routes": [{"numbers": ["*"], "kinds": ["*"], "to": "bridges"}],
        "core": {},
    }
    site, problems = site_of(tree, "site.toml")
    assert site is not None, problems
    return site


class House:
    """A front, two nodes and a bridge that answers everything."""

    def __init__(self, reactor_thread: Any, data: Path) -> None:
        self.run = reactor_thread.run
        self.reactor = reactor_thread.reactor
        self.site = small_site(data)
        self.changed = threading.Condition()
        self.heard: list[tuple[str, LinkEvent]] = []
        self.bridge = Link(lambda: Hello("bridge1", "bridge"), KEY, self.on_bridge, reactor=self.reactor)
        front = Hello("front-hz_citic-1", "front", banks=("hz_citic",), numbers=(CITIC,))
        self.front = Link(lambda: front, KEY, self.on_front, reactor=self.reactor)
        limits = {"hz_citic": BankLimits(in_flight=200)}
        self.nodes = {name: NodeDaemon(self.site, name, limits, KEY) for name in self.site.nodes}
        self.silent = False
        self.ids: list[int] = []

    def start(self) -> None:
        place = self.site.bridges["bridge1"]
        self.bridge.listen(place.host, place.port).start()
        for name, node in self.nodes.items():
            node.start()
            self.front.dial(name, self.site.nodes[name].host, self.site.nodes[name].port).start()

    def on_bridge(self, items: list[tuple[str, LinkEvent]]) -> None:
        for peer, event in items:
            self.ids += [e.id for e in event.items] if isinstance(event, Requests) else []
            if isinstance(event, Requests) and not self.silent:
                self.bridge.send(peer, [Answer(e.id, Status.OK, e.key.encode()) for e in event.items])

    def on_front(self, items: list[tuple[str, LinkEvent]]) -> None:
        with self.changed:
            self.heard += items
            self.changed.notify_all()

    def wait(self, condition: Callable[[], Any]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, timeout=10), self.heard

    def ask(self, node: str, n: int) -> None:
        items = [Envelope(i, 1, CITIC, 2, 0, 30_000, 0, f"t{i}", b"", f"k{i}") for i in range(n)]
        self.run(lambda: self.front.send(node, items))

    def answers(self, node: str) -> list[Answer]:
        return [a for peer, e in self.heard if peer == node and hasattr(e, "items") for a in e.items]

    def ready(self, node: str) -> bool:
        return bool(self.run(self.nodes[node].status)["peers"]["bridge1"]["up"])


@pytest.fixture
def house(reactor_thread: Any, tmp_path: Path) -> Iterator[House]:
    house = House(reactor_thread, tmp_path)
    house.run(house.start)
    pause = threading.Event()
    for name in house.nodes:
        house.wait(lambda name=name: any(p == name and isinstance(e, PeerUp) for p, e in house.heard))
        while not house.ready(name):
            assert not pause.wait(0.01)
    yield house
    for end in (house.front, house.bridge, *house.nodes.values()):
        house.run(end.stop)


def test_a_request_passes_a_node_and_leaves_its_event(house: House, tmp_path: Path) -> None:
    house.ask("node1", 20)
    house.wait(lambda: len(house.answers("node1")) == 20)
    assert {(a.status, a.body) for a in house.answers("node1")} == {
        (Status.OK, f"k{i}".encode()) for i in range(20)
    }
    rows = list(read_events(tmp_path / "events" / "node1"))
    assert sorted(row.key for row in rows) == sorted(f"k{i}" for i in range(20))
    assert {row.data["peer"] for row in rows} == {"bridge1"}
    assert house.run(lambda: metrics.value("qianzhi_in_flight", ("hz_citic",))) == 0


def test_a_node_holds_half_of_a_banks_limits(house: House) -> None:
    house.silent = True
    house.ask("node2", 95)
    house.wait(lambda: len(house.answers("node2")) == 5)
    assert {a.status for a in house.answers("node2")} == {Status.BUSY}
    status = house.run(house.nodes["node2"].status)
    assert status["banks"]["hz_citic"] == {"in_flight": 90, "in_flight_max": 100, "busy_in_flight": 5}
    assert status["peers"]["bridge1"]["outstanding"] == 90
    assert house.run(lambda: metrics.value("qianzhi_in_flight", ("hz_citic",))) == 90


def test_draining_finishes_what_is_under_way_and_tells_the_front(house: House) -> None:
    house.silent = True
    house.ask("node1", 3)
    pause = threading.Event()
    while len(house.ids) < 3:
        assert not pause.wait(0.01)
    fired = threading.Event()
    house.run(lambda: house.nodes["node1"].drain().addCallback(lambda _: fired.set()) and None)
    house.wait(lambda: ("node1", PeerDraining(True)) in house.heard)
    house.ask("node1", 1)
    house.wait(lambda: [a.status for a in house.answers("node1")] == [Status.DRAINING])
    assert not fired.is_set()
    house.run(lambda: house.bridge.send("node1", [Answer(i, Status.OK) for i in house.ids]))
    assert fired.wait(10)
    assert len(house.answers("node1")) == 4
    with pytest.raises(AdminError, match="stopping"):
        house.run(lambda: house.nodes["node1"].commands()["undrain"]({}))


def test_standing_by_can_be_taken_back(house: House) -> None:
    commands = house.nodes["node1"].commands()
    assert house.run(lambda: commands["stand_by"]({})) == {"draining": True}
    house.ask("node1", 1)
    house.wait(lambda: [a.status for a in house.answers("node1")] == [Status.DRAINING])
    assert house.run(lambda: commands["undrain"]({})) == {"draining": False}
    house.ask("node1", 1)
    house.wait(lambda: [a.status for a in house.answers("node1")] == [Status.DRAINING, Status.OK])
    assert ("node1", PeerDraining(False)) in house.heard


def test_a_node_that_loses_its_bridge_refuses_at_once(house: House) -> None:
    house.run(house.bridge.stop)
    pause = threading.Event()
    while house.ready("node1"):
        assert not pause.wait(0.01)
    house.ask("node1", 2)
    house.wait(lambda: [a.status for a in house.answers("node1")] == [Status.DRAINING] * 2)
