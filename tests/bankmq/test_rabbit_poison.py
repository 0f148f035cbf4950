"""A message that ends its front, on a live broker: found among its neighbours, put aside, nothing doubled.

Real processes die where `QIANZHI_CRASH` says; and what thirty deaths of other origin do not do is shown too.
"""

import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bankmq.rabbit import RabbitLimits, RabbitQueueServer
from frontends.alone import Alone
from frontends.front import TO_BANK
from frontends.profile import load_profile
from frontends.queue_front import QueueFront
from qianzhi.domain.requests import Kind, Reply
from qianzhi.domain.results import Result
from qianzhi.link.events import Hello
from qianzhi.link.messages import Answer, Status
from qianzhi.link.site import load_site
from qianzhi.runtime import clock
from qianzhi.runtime.effects import Pause, Record, Send, Withheld
from qianzhi.runtime.events import read_events
from qianzhi.runtime.shell import Interpreter
from qianzhi.wire.mac import make_mac
from qianzhi.wire.mackey import MacKey
from tests.frontends.conftest import Bench
from tests.frontends.killable import PATIENCE_SECONDS, Place

BROKER = """
[broker]
hosts = ["{node.host}:{node.port}"]
vhost = "{vhost}"
user = "{node.admin_user}"
password = "test:{node.admin_password}"
prefix = "qz."
"""


class QueuePlace(Place):
    """A front-end of its own process on the broker of a bench."""

    def __init__(self, rabbit: Any, folder: Path, reactor_thread: Any) -> None:
        super().__init__(
            "icbc", folder, reactor_thread, state=BROKER.format(node=rabbit.node, vhost=rabbit.vhost)
        )
        file = self.config / "site.toml"
        head, _, rest = file.read_text(encoding="utf-8").partition("[banks.icbc]\n")
        lines = rest.split("\n")
        kept = [line for line in lines[:6] if not line.startswith(("listen", "control"))]
        text = "\n".join([*kept, *lines[6:]])
        file.write_text(f'{head}[banks.icbc]\nengine = "rabbitmq"\n{text}', encoding="utf-8")
        self.site, problems = load_site(self.config)
        assert problems == []
        self.profile, problems = load_profile(self.config, "icbc", self.site)
        assert problems == []

    def die(self, crash: str) -> None:
        """Let one process live until it ends where it is told to."""
        assert self.launch(crash).wait(2 * PATIENCE_SECONDS) == -signal.SIGKILL

    def body(self, request: Any) -> bytes:
        message = self.profile.mapping.request_message(request, clock.now(), None)
        make_mac(self.profile.mac, message, self.profile.codec, MacKey(self.keys["mac"]))
        return bytes(self.profile.codec.encode(message))

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait(PATIENCE_SECONDS)


@pytest.fixture
def place(rabbit: Any, tmp_path: Path, reactor_thread: Any) -> Iterator[QueuePlace]:
    made = QueuePlace(rabbit, tmp_path, reactor_thread)
    yield made
    made.close()
    reactor_thread.run(made.core.link.stop)


def test_a_message_over_which_a_front_dies_twice_is_put_aside_and_its_neighbours_answered(
    rabbit: Any, place: QueuePlace
) -> None:
    rabbit.stop(rabbit.serve())  # the queues stand from here on
    bank = rabbit.bank()
    requests = [place.recharge(f"{number:06d}") for number in range(1, 6)]
    bodies = [place.body(request) for request in requests]
    for number, body in enumerate(bodies):
        bank.send(body, b"%d" % number)
    place.die("front.before_record")  # over all of them, before anything is known of any
    for _ in range(2):
        place.die("front.handling_alone")  # over the first, which comes first again
    place.start()
    aside, properties = bank.receive(rabbit.names.backout)
    assert (aside, properties.message_id) == (bodies[0], "0")
    assert properties.headers["qianzhi-reason"] == "failed_alone"
    answers = dict(bank.answer() for _ in range(4))
    assert answers.keys() == {b"1", b"2", b"3", b"4"}
    replies = [place.profile.mapping.reply_of(place.profile.codec.decode(body)) for body in answers.values()]
    assert {reply.result for reply in replies} == {Result.APPROVED}
    assert place.core.credits == Counter({request.key: 1 for request in requests[1:]})
    names = rabbit.names
    assert [rabbit.depth(queue) for queue in (names.main, names.dead, names.backout, bank.reply_to)] == [
        0
    ] * 4
    rows = Counter(row.name for row in read_events(place.data / "events" / place.name))
    assert (rows["backed_out"], rows["in"], rows["out"]) == (1, 4, 4)


class Life:
    """A front from its start until its connection is cut off: its core asks a node, which the test plays."""

    def __init__(self, rabbit: Any, reactor: Any, path: Path) -> None:
        self.bench = Bench("icbc", now=clock.now())
        self.asked: list[Any] = []
        self.asks = threading.Event()
        handlers = {
            Record: lambda effect: None,
            Send: self._send,
            Pause: lambda effect: self.front.pause(effect.paused),
            Withheld: lambda effect: self.front.withhold(effect.send),
        }
        self.shell = Interpreter(self.bench.core, handlers, reactor)
        self.server = RabbitQueueServer(rabbit.names, rabbit.settings(), RabbitLimits(), reactor)
        self.front = QueueFront(
            rabbit.main, self.server, self.bench.core, self.shell.run, clock.now, Alone(path, reactor)
        )

    def start(self) -> None:
        self.shell.run(self.bench.core.on_peer_up("node1", Hello("node1", "node"), clock.now()))
        self.front.start()

    def die(self) -> None:
        """Drop the connection with all that is unacknowledged on it."""
        self.server._session._connection.give_up("killed")
        self.front.stop()

    def answer(self) -> None:
        """Let the node answer what it was asked."""
        body = msgspec.msgpack.encode(Reply(Result.APPROVED, order="WO1"))
        answers = [Answer(envelope.id, Status.OK, body) for envelope in self.asked]
        self.shell.run(self.bench.core.on_answers("node1", answers, clock.now()))

    def _send(self, effect: Send) -> None:
        if effect.to == TO_BANK:
            self.front.send(effect.items)
        elif isinstance(effect.to, tuple):
            self.asked += effect.items
            self.asks.set()
        else:
            self.front.finish(effect)


def test_thirty_deaths_that_are_not_its_fault_put_no_message_aside(
    rabbit: Any, reactor_thread: Any, tmp_path: Path
) -> None:
    """Each front handles it alone, to the end, and dies with the answer still to come."""
    path = tmp_path / "front-icbc-1.alone"
    rabbit.stop(rabbit.serve())
    bank = rabbit.bank()
    bench = Bench("icbc", now=clock.now())
    request = bench.request(Kind.RECHARGE)
    bank.send(bench.body(request), b"1")
    for death in range(31):
        life = Life(rabbit, reactor_thread.reactor, path)
        reactor_thread.run(life.start)
        assert life.asks.wait(PATIENCE_SECONDS), death
        if death < 30:
            reactor_thread.run(life.die)
    reactor_thread.run(lambda: None)  # what was asked is also handled to its end
    (message,) = life.server._core.in_flight.values()
    assert message.failures == 30
    assert path.read_text(encoding="ascii") == ""
    try:
        reactor_thread.run(life.answer)
        assert bank.answer()[0] == b"1"
    finally:
        reactor_thread.run(life.front.stop)
    assert [rabbit.depth(queue) for queue in (rabbit.names.backout, rabbit.names.dead)] == [0, 0]
