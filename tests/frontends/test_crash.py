"""A front-end of its own process, killed at each crash point: the bank asks again, and gets one credit.

`QIANZHI_CRASH` says where the process dies.
"""

import signal
import socket

import pytest
import zmq
from killable import PATIENCE_SECONDS, WORKING_KEY

from qianzhi.domain.results import Result
from qianzhi.runtime import clock
from qianzhi.wire.framing import FrameReader, frame
from qianzhi.wire.keys import DeliverySpec, delivery_mac, read_delivery
from qianzhi.wire.mac import make_mac
from qianzhi.wire.mackey import MacKey


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
