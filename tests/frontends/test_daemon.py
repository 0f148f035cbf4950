"""The front-end daemon on real sockets and queues, with an interface node that the test plays."""

import dataclasses
import queue
import socket
from pathlib import Path

import msgspec
import pytest
import zmq

from frontends.daemon import FrontDaemon
from frontends.profile import load_profile, resolve_keys
from qianzhi.domain.requests import Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.link.events import Hello, Requests
from qianzhi.link.messages import Answer, Status
from qianzhi.link.shell import Link
from qianzhi.link.site import load_site
from qianzhi.link.tables import BankPlace, Group, Place
from qianzhi.runtime import clock, metrics
from qianzhi.runtime.events import EventsError, read_events
from qianzhi.wire.framing import FrameReader, frame
from qianzhi.wire.keys import DeliverySpec, delivery_mac, read_delivery
from qianzhi.wire.mac import make_mac, verify_mac
from qianzhi.wire.mackey import MacKey
from simulators.free_ports import free_port

CONFIG = Path(__file__).parents[2] / "config"
LINK_KEY = bytes(range(32))
PATIENCE_SECONDS = 20


class Node:
    """An interface node: answers with what `answer` says of a request, None for nothing yet."""

    def __init__(self, reactor, name="node1"):
        self.asked = queue.Queue()
        self.ids = []
        self.answer = lambda request: Reply(Result.APPROVED, order="WO1", balance_fen=5000)
        self.link = Link(lambda: Hello(name, "node"), LINK_KEY, self.on_events, reactor=reactor)
        self.server = self.link.listen("127.0.0.1", 0)

    def on_events(self, items):
        for peer, event in items:
            if isinstance(event, Requests):
                self.link.send(peer, [a for a in map(self.take, event.items) if a is not None])

    def take(self, envelope):
        request = msgspec.msgpack.decode(envelope.body, type=Request)
        self.asked.put(request)
        self.ids.append(envelope.id)
        reply = self.answer(request)
        return None if reply is None else Answer(envelope.id, Status.OK, msgspec.msgpack.encode(reply))


class House:
    """A front-end daemon of a bank, its node, and where everything lies."""

    def __init__(self, bank, data, reactor_thread):
        self.thread = reactor_thread
        self.node = reactor_thread.run(lambda: Node(reactor_thread.reactor))
        port = reactor_thread.run(self.node.server.start)
        site, problems = load_site(CONFIG)
        assert problems == []
        address = f"127.0.0.1:{free_port()}" if bank == "hz_citic" else "tcp://127.0.0.1:*"
        control = address if bank == "icbc" else ""
        self.site = dataclasses.replace(
            site,
            data=str(data),
            nodes={"node1": Place(host="127.0.0.1", port=port, metrics_port=1)},
            groups={"one": Group(nodes=["node1"])},
            banks={bank: BankPlace(listen=address, control=control, metrics_port=1)},
        )
        self.profile, problems = load_profile(CONFIG, bank, self.site)
        assert problems == []
        self.keys = resolve_keys(self.profile, CONFIG, production=False)
        self.name = f"front-{bank}-1"
        self.data = data
        self.clients = []
        self.start()

    def start(self):
        self.daemon = self.thread.run(
            lambda: FrontDaemon(self.site, self.profile, self.name, LINK_KEY, self.keys)
        )
        self.thread.run(self.daemon.start)
        self.wait_for(lambda: self.status()["nodes"]["node1"] == "up")

    def status(self):
        return self.thread.run(self.daemon.status)

    def wait_for(self, true):
        end = clock.monotonic_seconds() + PATIENCE_SECONDS
        while not true():
            assert clock.monotonic_seconds() < end, "what was waited for never came"
            clock.sleep(0.01)

    def stop(self):
        self.thread.run(self.daemon.stop)

    def events(self):
        return list(read_events(self.data / "events" / self.name))

    def request(self, kind, serial, **fields):
        today = int(clock_date(self.site.timezone))
        number = self.profile.numbers[0]
        common = {"phone": "13800000000", "amount_fen": 5000, **fields}
        return Request(kind, self.profile.space, today, serial, self.profile.name, number, **common)


def clock_date(timezone):
    from zoneinfo import ZoneInfo

    from qianzhi.domain.dates import business_date

    return business_date(clock.now().wall_us, ZoneInfo(timezone))


class CiticClient:
    """A bank on one plain socket."""

    def __init__(self, house):
        self.house, self.profile = house, house.profile
        self.socket = socket.create_connection(("127.0.0.1", int(house.status()["listening"])))
        self.socket.settimeout(PATIENCE_SECONDS)
        self.reader = FrameReader(self.profile.frame)
        self.frames = []
        self.key = None
        house.clients.append(self)

    def close(self):
        self.socket.close()

    def send(self, message):
        self.socket.sendall(frame(self.profile.frame, self.profile.codec.encode(message)))

    def receive(self):
        while not self.frames:
            data = self.socket.recv(65536)
            if not data:
                return None
            self.frames += self.reader.receive_data(data)
        return self.profile.codec.decode(self.frames.pop(0))

    def sign_on(self):
        mapping = self.profile.mapping
        self.send(mapping.management_message("sign_on", "900001", clock.now(), ours=False))
        assert self.receive()["response_code"] == "00"
        delivery = self.receive()
        spec = DeliverySpec(mac=self.profile.mac)
        key = read_delivery(spec, delivery, self.profile.codec, self.house.keys["master"]).key
        answer = mapping.refusal_message(delivery, Result.APPROVED, clock.now())
        answer["mac"] = delivery_mac(spec, answer, self.profile.codec, key)
        self.send(answer)
        self.key = MacKey(key)

    def ask(self, request):
        message = self.profile.mapping.request_message(request, clock.now(), None)
        make_mac(self.profile.mac, message, self.profile.codec, self.key)
        self.send(message)

    def answer(self):
        message = self.receive()
        verify_mac(self.profile.mac, message, self.profile.codec, [self.key])
        return self.profile.mapping.reply_of(message)


@pytest.fixture
def make_house(tmp_path, reactor_thread):
    """Start a house; everything is stopped after the test."""
    houses = []

    def make(bank):
        houses.append(House(bank, tmp_path / "var", reactor_thread))
        return houses[-1]

    yield make
    for house in houses:
        for client in house.clients:
            client.close()
        house.stop()
        reactor_thread.run(house.node.link.stop)


def test_a_recharge_travels_over_tcp_and_leaves_its_events(make_house):
    house = make_house("hz_citic")
    client = CiticClient(house)
    client.sign_on()
    before = metrics.value("qianzhi_requests_total", ("hz_citic", "recharge", "approved"))
    client.ask(house.request(Kind.RECHARGE, "000001"))
    reply = client.answer()
    assert (reply.result, reply.reply.order, reply.reply.balance_fen) == (Result.APPROVED, "WO1", 5000)
    asked = house.node.asked.get(timeout=PATIENCE_SECONDS)
    assert (asked.phone, asked.amount_fen, asked.serial) == ("13800000000", 5000, "000001")
    names = [row.name for row in house.events() if row.key == asked.key.text]
    assert names == ["in", "out"]
    assert house.status()["signed_on"]  # asked in the reactor: the turn that answered is over
    assert metrics.value("qianzhi_requests_total", ("hz_citic", "recharge", "approved")) == before + 1
    assert not any(b"13800000000" in path.read_bytes() for path in (house.data / "events").rglob("*.evt"))


def test_the_keys_survive_a_restart_of_the_daemon(make_house):
    house = make_house("hz_citic")
    client = CiticClient(house)
    client.sign_on()
    client.ask(house.request(Kind.OWED, "000001", amount_fen=0))
    assert client.answer().result is Result.APPROVED
    house.wait_for(lambda: "pending" not in house.status()["keys"])
    house.stop()
    house.start()
    again = CiticClient(house)
    again.key = client.key
    again.ask(house.request(Kind.RECHARGE, "000002"))
    assert again.answer().result is Result.APPROVED


def test_a_drain_finishes_what_is_in_flight_and_takes_nobody_new(make_house):
    house = make_house("hz_citic")
    client = CiticClient(house)
    client.sign_on()
    held = []
    house.node.answer = lambda request: held.append(request)
    client.ask(house.request(Kind.RECHARGE, "000001"))
    house.node.asked.get(timeout=PATIENCE_SECONDS)
    finished = queue.Queue()
    house.thread.run(lambda: house.daemon.drain().addCallback(finished.put) and None)
    client.ask(house.request(Kind.RECHARGE, "000002"))
    assert client.answer().code == "91"
    assert finished.empty()
    house.node.answer = lambda request: Reply(Result.NOT_FOUND)
    client.ask(house.request(Kind.REVERSAL, "000003", own_serial="500003", phone=""))
    assert client.answer().result is Result.NOT_FOUND
    house.thread.run(lambda: answer_held(house))
    assert client.answer().result is Result.APPROVED
    assert finished.get(timeout=PATIENCE_SECONDS) is None
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(house.status()["listening"])))


def answer_held(house):
    """Answer the first request that the node got, on the only connection there is."""
    reply = msgspec.msgpack.encode(Reply(Result.APPROVED))
    [peer] = house.node.link.peers()
    house.node.link.send(peer, [Answer(house.node.ids[0], Status.OK, reply)])


def test_nothing_is_said_when_the_event_file_cannot_be_written(make_house, monkeypatch):
    house = make_house("hz_citic")
    client = CiticClient(house)
    client.sign_on()

    def full(rows):
        raise EventsError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(house.daemon._events, "append", full)
        client.ask(house.request(Kind.RECHARGE, "000001"))
        house.wait_for(lambda: metrics.value("qianzhi_alarms_total", ("events_unwritable",)) > 0)
        assert house.node.asked.empty(), "what is not recorded is not forwarded either"
    client.send(house.profile.mapping.management_message("echo", "900002", clock.now(), ours=False))
    assert client.receive()["network_code"] == "301", "the daemon lives, and said nothing of the recharge"


def test_garbage_and_slow_bytes_disturb_nobody_else(make_house):
    house = make_house("hz_citic")
    good, bad, slow = CiticClient(house), CiticClient(house), CiticClient(house)
    good.sign_on()
    slow.socket.sendall(b"00")
    bad.socket.sendall(b"00ZZgarbage")
    assert bad.socket.recv(10) == b""
    good.ask(house.request(Kind.RECHARGE, "000001"))
    assert good.answer().result is Result.APPROVED


class QueueClient:
    """A bank's DEALER on each of its two queues."""

    def __init__(self, house):
        self.house, self.profile = house, house.profile
        self.context = zmq.Context()
        self.key = MacKey(house.keys["mac"])
        addresses = house.thread.run(house.daemon._front._server.addresses)
        self.lines = {name: self.context.socket(zmq.DEALER) for name in addresses}
        for name, line in self.lines.items():
            line.setsockopt(zmq.LINGER, 0)
            line.setsockopt(zmq.RCVTIMEO, PATIENCE_SECONDS * 1000)
            line.connect(addresses[name])
        house.clients.append(self)

    def ask(self, request, queue="icbc", message_id=b"m1"):
        message = self.profile.mapping.request_message(request, clock.now(), None)
        make_mac(self.profile.mac, message, self.profile.codec, self.key)
        self.lines[queue].send_multipart([message_id, self.profile.codec.encode(message)])

    def answer(self, queue="icbc"):
        message_id, body = self.lines[queue].recv_multipart()
        message = self.profile.codec.decode(body)
        verify_mac(self.profile.mac, message, self.profile.codec, [self.key])
        return message_id, self.profile.mapping.reply_of(message)

    def close(self):
        for line in self.lines.values():
            line.close()
        self.context.term()


def test_a_recharge_and_a_reversal_travel_over_the_queues(make_house):
    house = make_house("icbc")
    client = QueueClient(house)
    client.ask(house.request(Kind.RECHARGE, "A1"))
    message_id, reply = client.answer()
    assert (message_id, reply.result) == (b"m1", Result.APPROVED)
    client.ask(house.request(Kind.REVERSAL, "A1", own_serial="A2", phone=""), "icbc.ctl", b"m2")
    message_id, reply = client.answer("icbc.ctl")
    assert (message_id, reply.result) == (b"m2", Result.APPROVED)
    kinds = [house.node.asked.get(timeout=PATIENCE_SECONDS).kind for _ in range(2)]
    assert kinds == [Kind.RECHARGE, Kind.REVERSAL]


def test_a_queue_waits_for_its_node_and_serves_reversals_meanwhile_paused(make_house):
    house = make_house("icbc")
    client = QueueClient(house)
    house.thread.run(house.node.link.stop)
    house.wait_for(lambda: house.status()["nodes"]["node1"] == "down")
    client.ask(house.request(Kind.RECHARGE, "A1"))
    house.wait_for(lambda: house.status()["paused"])
    node = house.thread.run(lambda: Node(house.thread.reactor))
    node.server = house.thread.run(lambda: node.link.listen("127.0.0.1", house.site.nodes["node1"].port))
    house.thread.run(node.server.start)
    assert client.answer()[1].result is Result.APPROVED
    house.wait_for(lambda: not house.status()["paused"])
    house.node = node
