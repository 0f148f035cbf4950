"""A front-end of its own process, killed at each crash point: the bank asks again, and gets one credit."""

import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec
import pytest
import zmq

from frontends.profile import load_profile, resolve_keys
from frontends.session_rows import KeyRow, SignOnRow
from frontends.store import FrontStore
from qianzhi.cli.derived import derive
from qianzhi.domain.dates import business_date
from qianzhi.domain.requests import Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.link.events import Hello, Requests
from qianzhi.link.messages import Answer, Status
from qianzhi.link.shell import Link
from qianzhi.link.site import load_site, zone_of
from qianzhi.runtime import clock
from qianzhi.runtime.admin import AdminError, ask
from qianzhi.runtime.events import read_events
from qianzhi.runtime.secrets import resolve_key
from qianzhi.wire.framing import FrameReader, frame
from qianzhi.wire.keys import CHECK_BYTES, DeliverySpec, check_value, delivery_mac, read_delivery, wrap
from qianzhi.wire.mac import make_mac
from qianzhi.wire.mackey import MacKey
from simulators.free_ports import free_port

CONFIG = Path(__file__).parents[2] / "config"
PATIENCE_SECONDS = 20
WORKING_KEY = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")


class Core:
    """The node and all behind it: credits each key once, and gives a repeat the first one's reply."""

    def __init__(self, key, reactor):
        self.credits = Counter()
        self.replies = {}
        self.link = Link(lambda: Hello("node1", "node"), key, self.on_events, reactor=reactor)
        self.server = self.link.listen("127.0.0.1", 0)

    def on_events(self, items):
        for peer, event in items:
            if isinstance(event, Requests):
                self.link.send(peer, [self.carry_out(item) for item in event.items])

    def carry_out(self, envelope):
        request = msgspec.msgpack.decode(envelope.body, type=Request)
        if request.key not in self.replies:
            self.credits[request.key] += 1
            self.replies[request.key] = Reply(Result.APPROVED, order=f"WO{len(self.replies)}")
        return Answer(envelope.id, Status.OK, msgspec.msgpack.encode(self.replies[request.key]))


class Place:
    """A bank's front-end, its configuration and data, and the core that it asks."""

    def __init__(self, bank, folder, reactor_thread):
        derive(CONFIG, "", folder / "config", folder / "var")
        self.config, self.data, self.name = folder / "config", folder / "var", f"front-{bank}-1"
        site, _ = load_site(self.config)
        key = resolve_key(site.key, production=False, base=CONFIG)
        self.core = reactor_thread.run(lambda: Core(key, reactor_thread.reactor))
        ports = {17211: reactor_thread.run(self.core.server.start)}
        file = self.config / "site.toml"
        text = file.read_text(encoding="utf-8")
        for port in (17211, 17212, 17221, 17222, 17201, 17202, 17301, 17302, 17311, 17312, 17313):
            text = text.replace(str(port), str(ports.get(port) or free_port()))
        file.write_text(text, encoding="utf-8")
        self.site, problems = load_site(self.config)
        assert problems == []
        self.profile, problems = load_profile(self.config, bank, self.site)
        assert problems == []
        self.keys = resolve_keys(self.profile, self.config, production=False)
        self.processes, self.banks = [], []

    def start(self, crash=""):
        """Start the daemon, armed or not, and wait until it can reach the core."""
        process = subprocess.Popen(
            [sys.executable, "-m", "qianzhi.cli.main", "--config", self.config, "daemon", self.name],
            env={**os.environ, "QIANZHI_CRASH": crash},
            stderr=subprocess.DEVNULL,
        )
        self.processes.append(process)
        end = clock.monotonic_seconds() + PATIENCE_SECONDS
        while not self.is_up():
            assert process.poll() is None
            assert clock.monotonic_seconds() < end
            clock.sleep(0.02)
        return process

    def is_up(self):
        try:
            return ask(self.data / "run" / f"{self.name}.sock", "status")["nodes"]["node1"] == "up"
        except (AdminError, KeyError):
            return False

    def bank(self, key=None):
        """A new connection of the bank's, with a working key that it may have already."""
        self.banks.append((Queue if self.profile.name == "icbc" else Line)(self, key))
        return self.banks[-1]

    def store(self):
        return FrontStore(self.data / "fronts" / f"{self.name}.db")

    def saved(self):
        store = self.store()
        saved = store.load(self.profile.name)
        store.close()
        return saved

    def sign_on_before(self):
        """Leave what a former run left: the bank signed on, with a working key."""
        wrapped, check = wrap(self.keys["master"], WORKING_KEY), check_value(WORKING_KEY)[:CHECK_BYTES]
        since_us, bank = clock.now().wall_us, self.profile.name
        store = self.store()
        store.write([KeyRow(bank, "current", wrapped, check, since_us), SignOnRow(bank, True, since_us)])
        store.close()

    def recharge(self, serial="000001"):
        today = business_date(clock.now().wall_us, zone_of(self.site))
        profile = self.profile
        owner = (profile.space, today, serial, profile.name, profile.numbers[0])
        return Request(Kind.RECHARGE, *owner, "13800000000", 5000)

    def recorded(self, key):
        return [row.name for row in read_events(self.data / "events" / self.name) if row.key == key.text]


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


@pytest.fixture
def make_place(tmp_path, reactor_thread):
    """Make a place; everything of it is gone after the test."""
    places = []

    def make(bank):
        places.append(Place(bank, tmp_path, reactor_thread))
        return places[-1]

    yield make
    for place in places:
        for bank in place.banks:
            bank.close()
        for process in place.processes:
            process.kill()
            process.wait(PATIENCE_SECONDS)
        reactor_thread.run(place.core.link.stop)


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
    former = place.bank(WORKING_KEY)
    former.ask(request)
    assert process.wait(PATIENCE_SECONDS) == -signal.SIGKILL
    assert place.recorded(request.key) == recorded
    assert place.core.credits[request.key] == credits_before
    if bank == "hz_citic":
        assert former.answer() is None, "nothing is said before it is recorded"
    place.start()
    again = place.bank(WORKING_KEY)
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
    former = place.bank()
    former.sign_on()
    assert process.wait(PATIENCE_SECONDS) == -signal.SIGKILL
    saved = place.saved()
    assert saved.signed_on == (stored or number > 2)
    assert (slot in [row.slot for row in saved.keys]) == (stored and slot != "")
    assert (former.key is not None) == (slot == "current"), "a key is stored before it is sent"
    place.start()
    bank = place.bank()
    bank.key = former.key
    if bank.key is None:
        bank.sign_on()
    request = place.recharge()
    bank.ask(request)
    assert bank.answer().result is Result.APPROVED
    assert place.core.credits == {request.key: 1}
