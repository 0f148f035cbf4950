"""Link over real sockets: a front with two nodes, one of which dies holding its requests."""

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from qianzhi.link.events import Answers, Hello, LinkEvent, PeerDown, PeerUp, Requests
from qianzhi.link.hop import Hop, HopLimits, Job, Outcome
from qianzhi.link.messages import Answer, Envelope, Status
from qianzhi.link.shell import Link
from qianzhi.runtime import clock, metrics
from qianzhi.runtime.effects import Effects, Send

KEY = b"a key of the site, for this test"


class End:
    """One daemon's link, and what it heard; `react` is called on the reactor's thread."""

    def __init__(self, reactor_thread: Any, name: str, role: str, key: bytes = KEY) -> None:
        self.run = reactor_thread.run
        self.heard: list[tuple[str, LinkEvent]] = []
        self.lists: list[int] = []
        self.changed = threading.Condition()
        self.react: Callable[[list[tuple[str, LinkEvent]]], None] = lambda items: None
        self.link = Link(lambda: Hello(name, role), key, self.on_events, reactor=reactor_thread.reactor)

    def on_events(self, items: list[tuple[str, LinkEvent]]) -> None:
        self.react(items)
        with self.changed:
            self.heard += items
            self.lists.append(len(items))
            self.changed.notify_all()

    def wait(self, condition: Callable[[], Any]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, timeout=10), self.heard

    def listen(self) -> int:
        port: int = self.run(lambda: self.link.listen("127.0.0.1", 0).start())
        return port

    def dial(self, name: str, port: int) -> None:
        self.run(lambda: self.link.dial(name, "127.0.0.1", port).start())

    def has(self, kind: type, peer: str) -> bool:
        return any(isinstance(event, kind) and name == peer for name, event in self.heard)

    def requests(self) -> list[Envelope]:
        return [item for _, event in self.heard if isinstance(event, Requests) for item in event.items]


@pytest.fixture
def end(reactor_thread: Any) -> Iterator[Callable[..., End]]:
    made: list[End] = []

    def make(name: str, role: str = "node", key: bytes = KEY) -> End:
        made.append(End(reactor_thread, name, role, key))
        return made[-1]

    yield make
    for one in made:
        one.run(one.link.stop)


class Front:
    """A hop over two nodes, as a front-end has it."""

    def __init__(self, end: End) -> None:
        self.end = end
        self.hop = Hop(HopLimits(), ["node1", "node2"])
        self.outcomes: list[Outcome] = []
        end.react = self.react

    def react(self, items: list[tuple[str, LinkEvent]]) -> None:
        for peer, event in items:
            if isinstance(event, PeerUp):
                self.do(self.hop.on_peer_up(peer, clock.now()))
            elif isinstance(event, PeerDown):
                self.do(self.hop.on_peer_down(peer, clock.now()))
            elif isinstance(event, Answers):
                self.do(self.hop.on_answers(peer, event.items, clock.now()))
        self.outcomes += self.hop.take_outcomes()

    def do(self, effects: Effects) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                self.end.link.send(effect.to[1], effect.items)  # type: ignore[index]

    def submit(self, n: int) -> None:
        deadline_us = clock.now().mono_us + 60_000_000
        jobs = [Job(i, "123", 2, 0, deadline_us, 0, f"t{i}", f"k{i}", b"body") for i in range(n)]
        self.end.run(lambda: self.do(self.hop.submit(jobs, clock.now())))


def echo(node: End) -> None:
    def react(items: list[tuple[str, LinkEvent]]) -> None:
        for peer, event in items:
            if isinstance(event, Requests):
                node.link.send(peer, [Answer(e.id, Status.OK, e.key.encode()) for e in event.items])

    node.react = react


def test_requests_and_answers_cross_and_what_a_dead_node_held_is_sent_to_the_partner(
    end: Callable[..., End],
) -> None:
    node1, node2 = end("node1"), end("node2")
    echo(node2)  # node1 takes requests and says nothing
    front_end = end("front-x-1", "front")
    front = Front(front_end)
    front_end.dial("node1", node1.listen())
    front_end.dial("node2", node2.listen())
    front_end.wait(lambda: front_end.has(PeerUp, "node1") and front_end.has(PeerUp, "node2"))
    front.submit(100)
    front_end.wait(lambda: len(front.outcomes) == 50)
    node1.wait(lambda: len(node1.requests()) == 50)
    assert {e.attempt for e in node1.requests()} == {1}
    node1.run(node1.link.stop)
    front_end.wait(lambda: len(front.outcomes) == 100)
    assert {o.ticket: o.body for o in front.outcomes} == {i: f"k{i}".encode() for i in range(100)}
    assert sorted(e.key for e in node2.requests() if e.attempt == 2) == sorted(
        e.key for e in node1.requests()
    )


def test_a_lost_node_is_dialled_again_and_used_again(end: Callable[..., End]) -> None:
    node = end("node1")
    echo(node)
    front_end = end("front-x-1", "front")
    front = Front(front_end)
    front_end.dial("node1", node.listen())
    front_end.wait(lambda: front_end.has(PeerUp, "node1"))
    node.run(lambda: node.link.close("front-x-1", "test"))
    front_end.wait(lambda: sum(isinstance(event, PeerUp) for _, event in front_end.heard) == 2)
    front.submit(3)
    front_end.wait(lambda: [o.status for o in front.outcomes] == [Status.OK] * 3)
    assert node.has(PeerDown, "front-x-1")


def test_what_arrives_together_is_one_list_and_one_answer_frame(
    end: Callable[..., End], reactor_thread: Any
) -> None:
    node = end("node1")
    echo(node)
    port = node.listen()
    fronts = [end(f"front-x-{i}", "front") for i in range(3)]
    for front in fronts:
        front.dial("node1", port)
        front.wait(lambda front=front: front.has(PeerUp, "node1"))
    node.wait(lambda: all(node.has(PeerUp, f"front-x-{i}") for i in range(3)))
    before = len(node.lists)

    def ask_all() -> None:
        for front in fronts:
            for number in range(5):
                front.link.send("node1", [Envelope(number, 1, "1", 2, 0, 9_000, 0, "", b"", "k")])

    reactor_thread.run(ask_all)
    for front in fronts:
        front.wait(
            lambda front=front: sum(len(e.items) for _, e in front.heard if isinstance(e, Answers)) == 5
        )
    assert len(node.requests()) == 15
    assert len(node.lists) - before <= 3
    assert all(len(event.items) == 5 for _, event in node.heard if isinstance(event, Requests))


def test_a_peer_with_another_key_never_reaches_the_core(end: Callable[..., End]) -> None:
    node = end("node1")
    stranger = end("front-x-1", "front", key=b"another key, of another site ...")
    refused = metrics.value("qianzhi_link_refused_total", ("wrong_key",))
    stranger.dial("node1", node.listen())
    friend = end("front-y-1", "front")
    friend.dial("node1", node.listen())
    friend.wait(lambda: friend.has(PeerUp, "node1"))
    deadline = threading.Event()
    while metrics.value("qianzhi_link_refused_total", ("wrong_key",)) == refused:
        assert not deadline.wait(0.01)
    assert not node.has(PeerUp, "front-x-1")
    assert stranger.heard == []


def test_garbage_closes_only_its_own_connection(end: Callable[..., End]) -> None:
    node = end("node1")
    port = node.listen()
    friend = end("front-y-1", "front")
    friend.dial("node1", port)
    friend.wait(lambda: friend.has(PeerUp, "node1"))
    with socket.create_connection(("127.0.0.1", port), timeout=10) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        heard = b""
        while chunk := stranger.recv(4096):
            heard += chunk
    assert b"frame_size" in heard
    friend.run(lambda: friend.link.send("node1", [Envelope(1, 1, "1", 2, 0, 9_000, 0, "", b"", "k")]))
    node.wait(lambda: len(node.requests()) == 1)
    assert not node.has(PeerDown, "front-y-1")


def test_a_second_connection_of_a_peer_takes_the_place_of_the_first(end: Callable[..., End]) -> None:
    node = end("node1")
    port = node.listen()
    former, later = end("front-x-1", "front"), end("front-x-1", "front")
    former.dial("node1", port)
    former.wait(lambda: former.has(PeerUp, "node1"))
    node.wait(lambda: len(node.heard) == 1)
    later.dial("node1", port)
    node.wait(lambda: len(node.heard) >= 3)
    kinds = [(type(event), getattr(event, "reason", "")) for _, event in node.heard[:3]]
    assert kinds == [(PeerUp, ""), (PeerDown, "replaced"), (PeerUp, "")]
    former.run(former.link.stop)


def test_two_ends_that_both_send_more_than_the_kernel_takes_do_not_wait_for_each_other(
    end: Callable[..., End],
) -> None:
    node, front = end("node1"), end("front-x-1", "front")
    front.dial("node1", node.listen())
    front.wait(lambda: front.has(PeerUp, "node1"))
    node.wait(lambda: node.has(PeerUp, "front-x-1"))
    many = [Envelope(number, 1, "1", 2, 0, 9_000, 0, "", bytes(4_000), "k") for number in range(4_000)]

    def both() -> None:
        node.link.send("front-x-1", many)
        front.link.send("node1", many)

    node.run(both)
    node.wait(lambda: len(node.requests()) == 4_000 or node.has(PeerDown, "front-x-1"))
    front.wait(lambda: len(front.requests()) == 4_000 or front.has(PeerDown, "node1"))
    assert len(node.requests()) == len(front.requests()) == 4_000
