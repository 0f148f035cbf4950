"""Short connections of a real profile, from the socket to the core of the front-end and back."""

import dataclasses
import queue
import socket
import threading
from pathlib import Path

import msgspec
import pytest

from frontends.front import DONE, TO_BANK
from frontends.front_core import make_processor
from frontends.profile import resolve_keys
from frontends.session_rows import NOTHING_SAVED
from frontends.socket_front import SocketFront
from qianzhi.domain.dates import business_date
from qianzhi.domain.requests import Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.link.events import Hello
from qianzhi.link.hop import Hop, HopLimits
from qianzhi.link.messages import Answer, Status
from qianzhi.runtime import clock
from qianzhi.runtime.effects import Close, Record, Send, Store
from qianzhi.wire.framing import FrameReader, frame
from qianzhi.wire.mac import make_mac, verify_mac
from qianzhi.wire.mackey import MacKey
from simulators.free_ports import free_port

CONFIG = Path(__file__).parents[2] / "config"


class House:
    """A front-end's core and its socket, with a node that the test plays."""

    def __init__(self, profile, config, reactor_thread, port=0):
        self.profile, self.thread = profile, reactor_thread
        keys = resolve_keys(profile, config, production=False)
        self.key = MacKey(keys["mac"]) if "mac" in keys else None
        self.asked, self.ends, self.events = queue.Queue(), queue.Queue(), []
        self.unrecorded = False
        self.clients = []
        hop = Hop(HopLimits(window=100), ["node1"])
        self.core = make_processor(profile, keys, NOTHING_SAVED, hop, "front-x-1", clock.now())
        self.front = SocketFront(profile, ("127.0.0.1", port), self.core, self.run, reactor_thread.reactor)
        self.port = int(reactor_thread.run(self.front.start))
        self.wake()

    def wake(self):
        self.thread.run(lambda: self.run(self.core.on_peer_up("node1", Hello("node1", "node"), clock.now())))

    def run(self, effects):
        for effect in effects:
            match effect:
                case Record(rows):
                    self.events += [(row.name, row.data) for row in rows]
                    for row in rows:
                        if row.name == "closed":
                            self.ends.put(row.data["reason"])
                case Send(to, items) if to == TO_BANK and self.unrecorded:
                    self.front.withhold(effect)
                case Send(to, items) if to == TO_BANK:
                    self.front.send(items)
                case Send(to, items) if to == DONE:
                    self.front.done(items)
                case Send(_, items):
                    for item in items:
                        self.asked.put(item)
                case Store(token, _):
                    self.run(self.core.on_stored(token, clock.now()))
                case Close(to, reason):
                    self.front.close(to, reason)

    def reply(self, result, **fields):
        """Answer what was asked first."""
        envelope = self.asked.get(timeout=10)
        body = msgspec.msgpack.encode(Reply(result, **fields))
        answers = [Answer(envelope.id, Status.OK, body)]
        self.thread.run(lambda: self.run(self.core.on_answers("node1", answers, clock.now())))

    def names(self):
        return [name for name, _ in self.events]

    def closed(self):
        """Why the next connection ended."""
        return self.ends.get(timeout=10)

    def body(self, serial):
        today = business_date(clock.now().wall_us, self.profile.mapping.zone)
        number = self.profile.numbers[0]
        request = Request(
            Kind.RECHARGE, self.profile.space, today, serial, self.profile.name, number, "13800000000", 5000
        )
        message = self.profile.mapping.request_message(request, clock.now())
        make_mac(self.profile.mac, message, self.profile.codec, self.key)
        return frame(self.profile.frame, self.profile.codec.encode(message))

    def connect(self):
        self.clients.append(socket.create_connection(("127.0.0.1", self.port), timeout=10))
        return self.clients[-1]

    def everything(self, connection):
        """What comes until the other side closes."""
        data = b""
        while part := connection.recv(65_536):
            data += part
        return data

    def result(self, connection):
        """The one answer on a connection that is closed behind it, None for silence."""
        data = self.everything(connection)
        frames = FrameReader(self.profile.frame).receive_data(data) if data else []
        if not frames:
            return None
        [body] = frames
        message = self.profile.codec.decode(body)
        verify_mac(self.profile.mac, message, self.profile.codec, [self.key], body)
        return self.profile.mapping.reply_of(message).result


@pytest.fixture
def house(edit, reactor_thread, request):
    edits = getattr(request, "param", ())
    made = House(edit("zhenghe", *edits), CONFIG, reactor_thread)
    yield made
    for client in made.clients:
        client.close()
    reactor_thread.run(made.front.stop)


SILENT = (('on_unknown = "code"', 'on_unknown = "silence"'), ('unknown = "901"\n', ""))


@pytest.mark.parametrize("half_closed", [False, True])
def test_each_message_is_answered_on_its_own_connection_which_is_then_closed(house, half_closed):
    for serial in ("A1", "A2"):
        with house.connect() as connection:
            connection.sendall(house.body(serial))
            if half_closed:
                connection.shutdown(socket.SHUT_WR)
            house.reply(Result.APPROVED, order="1")
            assert house.result(connection) is Result.APPROVED
        assert house.closed() == "answered"


def test_a_second_message_on_the_connection_is_not_served(house):
    with house.connect() as connection:
        connection.sendall(house.body("A1") + house.body("A2"))
        house.reply(Result.NO_SUCH_PHONE)
        assert house.result(connection) is Result.NO_SUCH_PHONE
    assert house.asked.empty()
    assert house.closed() == "second_frame"


def test_many_connections_at_once_hear_their_own_answers(house):
    connections = [house.connect() for _ in range(20)]
    for number, connection in enumerate(connections):
        connection.sendall(house.body(f"A{number}"))
    for _ in connections:
        house.reply(Result.APPROVED, order="1")
    assert [house.result(connection) for connection in connections] == [Result.APPROVED] * 20


@pytest.mark.parametrize("house", [SILENT], indirect=True)
def test_an_unknown_outcome_that_is_silence_closes_at_the_deadline(house):
    with house.connect() as connection:
        connection.sendall(house.body("A1"))
        house.asked.get(timeout=10)
        late = clock.now().after(11_000_000)
        house.thread.run(lambda: house.run(house.core.on_time(late)))
        assert house.result(connection) is None
    assert "silent" in house.names()
    assert house.closed() == "no_answer"


def test_what_cannot_be_read_closes_its_connection_alone(house):
    with house.connect() as good, house.connect() as bad:
        bad.sendall(frame(house.profile.frame, b"\xff" * 40))
        assert house.result(bad) is None
        good.sendall(house.body("A1"))
        house.reply(Result.APPROVED, order="1")
        assert house.result(good) is Result.APPROVED
    assert house.closed() == "format"


def test_an_answer_whose_record_failed_is_not_sent_and_its_connection_ends(house):
    with house.connect() as connection:
        connection.sendall(house.body("A1"))
        house.unrecorded = True
        house.reply(Result.APPROVED, order="1")
        assert house.result(connection) is None


def test_a_bad_mac_over_bytes_is_refused(house):
    with house.connect() as connection:
        body = bytearray(house.body("A1"))
        at = body.index(b"13800000000")
        body[at + 10] ^= 1
        connection.sendall(bytes(body))
        assert house.result(connection) is Result.BAD_MAC
    assert house.asked.empty()


# A dialect whose messages show their own end


@pytest.fixture
def psbc(edit, reactor_thread):
    made = House(edit("psbc"), CONFIG, reactor_thread)
    yield made
    for client in made.clients:
        client.close()
    reactor_thread.run(made.front.stop)


def sign_on(made, serial):
    message = made.profile.mapping.management_message("sign_on", serial, clock.now(), ours=False)
    return made.profile.codec.encode(message)


@pytest.mark.parametrize("cut", [0, 1, 4, 20, -1])
def test_a_message_without_a_length_is_found_however_it_is_cut(psbc, cut):
    body = sign_on(psbc, "900001")
    with psbc.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(body[:cut])
        psbc.thread.run(lambda: None)
        connection.sendall(body[cut:])
        answer = psbc.profile.codec.decode(psbc.everything(connection))
    assert (answer["mti"], answer["response_code"], answer["stan"]) == ("0830", "00", "900001")
    assert psbc.closed() == "answered"


def test_bytes_behind_a_message_without_a_length_are_told(psbc):
    with psbc.connect() as connection:
        connection.sendall(sign_on(psbc, "900001") + b"0")
        assert psbc.profile.codec.decode(psbc.everything(connection))["response_code"] == "00"
    assert psbc.closed() == "second_frame"


def test_a_message_that_ends_too_soon_is_told(psbc):
    with psbc.connect() as connection:
        connection.sendall(sign_on(psbc, "900001")[:-3])
        connection.shutdown(socket.SHUT_WR)
        assert psbc.everything(connection) == b""
    assert psbc.closed() == "closed_in_frame"


def test_what_can_be_no_message_closes_at_once(psbc):
    with psbc.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert psbc.everything(connection) == b""
    assert psbc.closed().startswith("bad_frame_")


@pytest.fixture
def sister(edit, reactor_thread):
    """One of two instances of a bank with long connections."""
    made = House(dataclasses.replace(edit("lianlian"), instances=2), CONFIG, reactor_thread, free_port())
    yield made
    for client in made.clients:
        client.close()
    reactor_thread.run(made.front.stop)


def test_an_instance_that_stands_by_as_it_starts_does_not_listen(edit, reactor_thread):
    profile = dataclasses.replace(edit("lianlian"), instances=2)
    port = free_port()
    front = SocketFront(profile, ("127.0.0.1", port), Idle(), lambda _: None, reactor_thread.reactor)

    def begin():
        front.stand_by(True)
        return front.start()

    assert reactor_thread.run(begin) == str(port)
    assert not listening(port)
    reactor_thread.run(lambda: front.stand_by(False))
    assert listening(port)
    reactor_thread.run(front.stop)


class Idle:
    """A core that has nothing to do, and hears of connections."""

    idle = True

    def on_connected(self, *_):
        return []

    on_closed = on_connected


def listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_an_instance_that_stands_by_lets_its_bank_go_and_listens_again(sister, reactor_thread):
    first = sister.connect()
    first.sendall(sister.body("000001"))
    pause = threading.Event()
    while sister.asked.empty():
        assert not pause.wait(0.01)
    reactor_thread.run(lambda: sister.run(sister.core.drain(True, clock.now())))
    reactor_thread.run(lambda: sister.front.stand_by(True))
    while listening(sister.port):
        assert not pause.wait(0.01)
    sister.reply(Result.APPROVED)
    assert sister.result(first) is Result.APPROVED
    reactor_thread.run(lambda: [sister.front.stand_by(way) for way in (False, True, False)] and None)
    reactor_thread.run(lambda: sister.run(sister.core.drain(False, clock.now())))
    while not listening(sister.port):
        assert not pause.wait(0.01)
    second = sister.connect()
    second.sendall(sister.body("000002"))
    sister.reply(Result.APPROVED)
    reactor_thread.run(sister.front.stop)
    assert sister.result(second) is Result.APPROVED
