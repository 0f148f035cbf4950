"""A front-end of its own process, killed at each crash point: the bank asks again, and gets one credit.

`QIANZHI_CRASH` says where the process dies.
"""

import itertools
import signal
import socket

import pytest
import zmq
from killable import PATIENCE_SECONDS, WORKING_KEY

from qianzhi.domain.results import Result
from qianzhi.runtime import clock
from qianzhi.wire.framing import FrameReader, frame
from qianzhi.wire.keys import CHECK_BYTES, DeliverySpec, check_value, delivery_mac, read_delivery
from qianzhi.wire.mac import make_mac
from qianzhi.wire.mackey import MacKey
from simulators.connections import LineGoneError, ShortConnections, SocketConnection
from simulators.lines import LineMaker
from simulators.record import Ask
from simulators.sessions import ANSWER_US
from simulators.state_file import StateFile


class Line:
    """The bank on a socket."""

    def __init__(self, place, key):
        self.profile, self.master = place.profile, place.keys["master"]
        self.key = key and MacKey(key)
        host, _, port = place.site.banks["hz_citic"].listen.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS)
        self.reader = FrameReader(self.profile.frame)
        self.frames = []

    def close(self):
        self.socket.close()

    def send(self, message):
        self.socket.sendall(frame(self.profile.frame, self.profile.codec.encode(message)))

    def receive(self):
        """The next message, None when the line is dead."""
        while not self.frames:
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self.frames += self.reader.receive_data(data)
        return self.profile.codec.decode(self.frames.pop(0))

    def sign_on(self):
        """Sign on and take the key that is delivered, as far as the other end lives."""
        mapping = self.profile.mapping
        self.send(mapping.management_message("sign_on", "900001", clock.now(), ours=False))
        if (answer := self.receive()) is None:
            return
        assert answer["response_code"] == "00"
        if (delivery := self.receive()) is None:
            return
        spec = DeliverySpec(mac=self.profile.mac)
        key = read_delivery(spec, delivery, self.profile.codec, self.master).key
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
        return message and self.profile.mapping.reply_of(message)


class Queue(Line):
    """The bank on its queue."""

    def __init__(self, place, _key):
        self.profile = place.profile
        self.key = MacKey(place.keys["mac"])
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(place.site.banks["icbc"].listen)

    def close(self):
        self.socket.close()
        self.context.term()

    def send(self, message):
        self.socket.send_multipart([b"m1", self.profile.codec.encode(message)])

    def receive(self):
        if not self.socket.poll(PATIENCE_SECONDS * 1000):
            return None
        return self.profile.codec.decode(self.socket.recv_multipart()[1])


def bank_of(place, key=None):
    """A new connection of the bank's, with a working key that it may have already."""
    return place.add((Queue if place.profile.name == "icbc" else Line)(place, key))


@pytest.mark.parametrize(
    ("bank", "crash", "recorded", "credits_before"),
    [
        ("hz_citic", "front.before_record:2", [], 0),  # the first record is the connection's
        ("hz_citic", "front.after_record:2", ["in"], 0),
        ("hz_citic", "front.before_record:3", ["in"], 1),
        ("hz_citic", "front.after_record:3", ["in", "out"], 1),
        ("icbc", "front.after_record:2", ["in", "out"], 1),
        ("icbc", "front.after_send", ["in", "out"], 1),
    ],
)
def test_killed_around_its_record_the_bank_s_repeat_gets_one_credit(
    make_place, bank, crash, recorded, credits_before
):
    place = make_place(bank)
    if bank == "hz_citic":
        place.sign_on_before()
    process = place.start(crash)
    request = place.recharge()
    former = bank_of(place, WORKING_KEY)
    former.ask(request)
    assert process.wait(PATIENCE_SECONDS) == -signal.SIGKILL
    assert place.recorded(request.key) == recorded
    assert place.core.credits[request.key] == credits_before
    if bank == "hz_citic":
        assert former.answer() is None, "nothing is said before it is recorded"
    place.start()
    again = bank_of(place, WORKING_KEY)
    again.ask(request)
    answer = again.answer()
    assert (answer.result, answer.reply.order) == (Result.APPROVED, "WO0")
    assert place.core.credits == {request.key: 1}
    assert place.recorded(request.key) == [*recorded, "in", "out"]


@pytest.mark.parametrize(("point", "stored"), [("front.before_store", False), ("front.after_store", True)])
@pytest.mark.parametrize(
    ("number", "slot"),
    [(2, ""), (3, "pending"), (4, "current")],  # the first store leases serials
    ids=["sign-on", "key made", "key proved"],
)
def test_killed_around_its_store_the_bank_gets_or_has_its_key(make_place, point, stored, number, slot):
    """What was not stored was not said: the bank signs on again; a key that it was given is never lost."""
    place = make_place("hz_citic")
    process = place.start(f"{point}:{number}")
    former = bank_of(place)
    former.sign_on()
    assert process.wait(PATIENCE_SECONDS) == -signal.SIGKILL
    saved = place.saved()
    assert saved.signed_on == (stored or number > 2)
    assert (slot in [row.slot for row in saved.keys]) == (stored and slot != "")
    assert (former.key is not None) == (slot == "current"), "a key is stored before it is sent"
    place.start()
    bank = bank_of(place)
    bank.key = former.key
    if bank.key is None:
        bank.sign_on()
    request = place.recharge()
    bank.ask(request)
    assert bank.answer().result is Result.APPROVED
    assert place.core.credits == {request.key: 1}


class SimulatedBank:
    """A simulators' bank on real connections: its line outlives a connection, its state file outlives it."""

    def __init__(self, place):
        self.place, self.profile = place, place.profile
        state = StateFile(place.data, self.profile.name)
        self.maker = LineMaker(self.profile, place.config, state, production=False)
        self.serials = iter(state.lease(100))
        self.line = self.maker.make(self.serials.__next__)
        self.heard, self.asks, self.tickets, self.waited_us = {}, {}, itertools.count(1), 0
        self.connection = None
        place.banks.append(self)

    def close(self):
        self.line.on_closed()
        if self.connection is not None:
            self.connection.close()

    def connect(self):
        host, _, port = self.place.site.banks[self.profile.name].listen.rpartition(":")
        shape = ShortConnections if self.profile.transport.connection == "short" else SocketConnection
        self.connection = shape(host, int(port), self.profile.frame)

    def now(self):
        now = clock.now()
        return now._replace(mono_us=now.mono_us + self.waited_us)

    def open(self):
        """Begin the session as on every new connection, and come to a key."""
        self.connection.send(self.line.on_connected(self.now()))
        self.turn_until(lambda: self.line.ready)

    def change_key(self):
        """Ask for another key, or bring one."""
        key, known = self.line.session.key, self.profile.table.management
        name = "key_request" if "key_request" in known or "key_delivery" in known else "sign_on"
        self.connection.send(self.line.manage(name, self.now())[1])
        self.turn_until(lambda: self.line.session.key != key)

    def recharge(self, serial):
        """Ask for a recharge, the same one again under the same serial, and return its result."""
        if serial not in self.asks:
            text = self.line.serial_text(next(self.serials), 0)
            stamp_us = clock.now().wall_us
            self.asks[serial] = Ask(0, self.place.recharge(text), stamp_us, stamp_us)
        ticket = next(self.tickets)
        self.connection.send(self.line.carry([self.asks[serial]._replace(ticket=ticket)], self.now()))
        self.turn_until(lambda: ticket in self.heard)
        return self.heard[ticket]

    def turn_until(self, true):
        """Read and answer; raises LineGoneError when the front-end has died meanwhile."""
        end = clock.monotonic_seconds() + PATIENCE_SECONDS
        while not true():
            assert clock.monotonic_seconds() < end, self.line.state
            was_alive = self.place.processes[-1].poll() is None
            items = self.connection.receive(0.05)
            heard, out = self.line.on_frames(items, self.now())
            self.heard |= {item.ticket: item.result for item in heard}
            self.maker.keep_key(self.line)
            if not was_alive and not items:
                raise LineGoneError("the front-end is dead")
            self.connection.send([*out, *self.line.on_time(self.now())])

    def come_back(self):
        """Find the line again after its connection broke; one that had begun something begins it anew."""
        if self.profile.transport.connection == "short":
            self.waited_us += ANSWER_US
        else:
            self.close()
            self.connect()
        if self.line.session.key is None:
            if self.profile.transport.connection == "long":
                self.open()
            self.turn_until(lambda: self.line.ready)


@pytest.mark.parametrize(
    ("name", "crash", "told"),
    [
        ("wenzhou", "front.before_store:2", False),  # sign-on, key made; the first store leases serials
        ("wenzhou", "front.after_store:2", False),
        ("wenzhou", "front.before_store:3", True),  # key proved by its use
        ("wenzhou", "front.after_store:4", True),  # another key made, the first one in use
        ("nb_ccb", "front.after_store:1", False),  # sign-on, keys made
        ("nb_ccb", "front.after_send:1", None),  # handed over, and lost or not
        ("psbc", "front.before_store:1", False),  # sign-on
        ("psbc", "front.before_store:2", False),  # the bank's key taken
        ("psbc", "front.after_store:2", False),
        ("psbc", "front.after_send:2", None),
        ("psbc", "front.before_store:3", True),  # key proved
        ("psbc", "front.after_store:3", True),
        ("psbc", "front.after_store:4", True),  # another key taken, the first one in use
    ],
)
def test_killed_within_its_session_the_bank_goes_on_and_is_never_locked_out(make_place, name, crash, told):
    """Keys told in answers, and keys that the bank brings: what one side uses, both have."""
    place = make_place(name)
    process = place.start(crash)
    bank = SimulatedBank(place)
    bank.connect()
    with pytest.raises(LineGoneError):  # noqa: PT012 - at which of these it breaks is the case
        bank.open()
        bank.recharge("first")
        bank.change_key()
        bank.recharge("second")
    assert process.wait(PATIENCE_SECONDS) == -signal.SIGKILL
    used = bank.line.session.key
    assert told in (None, used is not None), "nothing is said before it is stored"
    kept = {row.check_value for row in place.saved().keys}
    assert used is None or check_value(used)[:CHECK_BYTES] in kept
    place.start()
    bank.come_back()
    assert bank.recharge("first") is Result.APPROVED, "without signing on where it has its key"
    bank.change_key()
    assert bank.recharge("second") is Result.APPROVED
    bank.close()
    other = SimulatedBank(place)  # the bank's own restart
    other.connect()
    other.open()
    assert other.recharge("third") is Result.APPROVED
    keys = [ask.request.key for ask in (*bank.asks.values(), *other.asks.values())]
    assert place.core.credits == dict.fromkeys(keys, 1)
    assert (bank.line.bad, other.line.bad) == (0, 0)
