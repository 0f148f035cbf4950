"""A front-end's core on a bench: the real profiles, codecs and hop, a bank and nodes that the test plays."""

import copy
import dataclasses
import functools
import shutil
import sys
import tomllib
from itertools import count
from pathlib import Path

import msgspec
import pytest

from frontends.front import BACKOUT, DONE, TO_BANK, Frame
from frontends.front_core import make_processor
from frontends.mapping import Sort
from frontends.profile import load_profile, resolve_keys
from frontends.session_rows import NOTHING_SAVED, DateRow, KeyRow, LeaseRow, RetiredRow, Saved, SignOnRow
from frontends.store import open_file
from qianzhi.domain.requests import Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.link.events import Hello
from qianzhi.link.hop import Hop, HopLimits
from qianzhi.link.messages import Answer, Status
from qianzhi.runtime.effects import Alarm, Close, Count, Load, Pause, Record, Send, Store
from qianzhi.runtime.now import Now
from qianzhi.wire.keys import DeliverySpec, delivery_mac, read_delivery
from qianzhi.wire.mac import make_mac, verify_mac
from qianzhi.wire.mackey import MacKey

sys.path.insert(0, str(Path(__file__).parent))  # for what several of these tests share

CONFIG = Path(__file__).parents[2] / "config"
WALL_US = 1_795_312_800_250_000  # 2026-11-22 10:00:00 in Shanghai
TODAY = 20261122
SECOND = 1_000_000


@functools.cache
def profile_of(name):
    """A profile, read once."""
    profile, problems = load_profile(CONFIG, name)
    assert problems == []
    return profile


def edited(folder, bank, *edits):
    """A shipped profile with some of its text replaced, read from a copy of config/ in an empty folder."""
    config = Path(shutil.copytree(CONFIG, folder / "config"))
    path = config / "banks" / f"{bank}.toml"
    text = path.read_text(encoding="utf-8")
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1)
    path.write_text(text, encoding="utf-8")
    profile, problems = load_profile(config, bank)
    assert problems == []
    return profile


class Bench:
    """One core; what it sends is kept in lists, what it stores is stored at once unless `hold_stores`."""

    def __init__(
        self, name, saved=NOTHING_SAVED, now=None, window=100, profile=None, front="front-x-1", **changes
    ):
        whole = profile or profile_of(name)
        parts = {part: dataclasses.replace(getattr(whole, part), **changes[part]) for part in changes}
        parts["results"] = copy.copy(whole.results)
        profile = self.profile = dataclasses.replace(whole, **parts)
        self.keys = resolve_keys(profile, CONFIG, production=False)
        self.now = now or Now(5_000_000, WALL_US)
        self.hop = Hop(HopLimits(window=window), ["node1", "node2"])
        self.core = make_processor(profile, self.keys, saved, self.hop, front, self.now)
        self.rows, self.answers, self.asked, self.closed, self.done = [], [], [], [], []
        self.backed_out = []
        self.alarms, self.pauses, self.stores, self.counts = [], [], [], []
        self.hold_stores = False
        self.kept = {}
        self.mac_key = MacKey(self.keys["mac"]) if "mac" in self.keys else None
        self.sources = count(1)
        self.random = count(1)
        self.unrecorded = 0
        self.top_up()

    # -- the shell ---------------------------------------------------------------------------------------

    def run(self, effects):
        for effect in effects:
            match effect:
                case Record(rows):
                    self.rows += rows
                    self.unrecorded += sum(row.name in ("out", "shed") for row in rows)
                case Send(to, items) if to == TO_BANK:
                    for source, body in items:
                        self.unrecorded -= self.is_business(body)
                        assert self.unrecorded >= 0, "an answer went out before its record"
                        self.answers.append((source, body))
                case Send(to, items) if to == DONE:
                    self.done += items
                case Send(to, items) if to == BACKOUT:
                    self.backed_out += items
                case Send((_, peer), items):
                    self.asked += [(peer, item) for item in items]
                case Close(to, reason):
                    self.closed.append((to, reason))
                case Store(token, rows):
                    self.stores.append((token, rows))
                case Load():
                    self.stores.append((None, []))
                case Alarm(name, _):
                    self.alarms.append(name)
                case Pause(_, paused):
                    self.pauses.append(paused)
                case Count(name, labels, n):
                    self.counts.append((name, labels, n))
        if not self.hold_stores:
            self.store()

    def store(self):
        while self.stores:
            token, rows = self.stores.pop(0)
            for row in rows:
                name = row.check_value if isinstance(row, RetiredRow) else getattr(row, "slot", "")
                self.kept[type(row), name] = row
            self.top_up()
            self.run(self.core.on_stored(token, self.now))

    def top_up(self):
        wanted = self.core.random_wanted
        self.core.add_random(bytes((next(self.random) * 37 + 11 * at) % 251 for at in range(wanted)))

    def saved(self):
        """What a restarted front would find."""
        keys = [row for row in self.kept.values() if isinstance(row, KeyRow) and row.wrapped]
        sign_on = self.kept.get((SignOnRow, ""))
        lease = self.kept.get((LeaseRow, ""))
        retired = frozenset(row.check_value for row in self.kept.values() if isinstance(row, RetiredRow))
        date = self.kept.get((DateRow, ""))
        signed_on, leased = bool(sign_on and sign_on.signed_on), lease.leased_until if lease else 0
        return Saved(keys, signed_on, leased, retired, noticed=date.noticed if date else 0)

    def is_business(self, body):
        if self.profile.name == "hz_citic" and body[41:46] != b"00000":
            return False  # a frame sent back with its reject code
        message = self.profile.codec.decode(body)
        sort = self.profile.mapping.sort_of(message)
        return sort is Sort.ANSWER and not about_the_line(message)

    def wait(self, seconds):
        """Let time pass, waking the core whenever it asked to be woken."""
        end = self.now.mono_us + int(seconds * SECOND)
        for _ in range(10_000):
            due = self.core.deadline
            if due is None or due > end:
                break
            self.now = self.now.after(max(0, due - self.now.mono_us))
            self.run(self.core.on_time(self.now))
        else:
            raise AssertionError("the core never comes to rest")
        self.now = self.now.after(end - self.now.mono_us)

    # -- the bank ----------------------------------------------------------------------------------------

    def connect(self):
        source = next(self.sources)
        self.run(self.core.on_connected(source, "127.0.0.1:1", self.now))
        return source

    def request(self, kind, serial="000001", **fields):
        number = self.profile.numbers[0]
        if kind in (Kind.RECHARGE, Kind.PAY, Kind.OWED):
            fields = {"phone": "13800000000", **fields}
        if kind in (Kind.RECHARGE, Kind.PAY, Kind.REVERSAL):
            fields = {"amount_fen": 5000, **fields}
        if kind in (Kind.STATUS, Kind.REVERSAL):
            fields = {"own_serial": f"{int(serial) + 500_000:06d}", **fields}
        fields = {"date": TODAY, **fields}
        return Request(
            kind, self.profile.space, serial=serial, bank=self.profile.name, bank_number=number, **fields
        )

    def body(self, request, key=None, edit=None, extra=None):
        """The bytes with which the bank asks."""
        message = self.profile.mapping.request_message(request, self.now, extra)
        if edit:
            edit(message)
        key = key or self.mac_key
        if key is not None:
            make_mac(self.profile.mac, message, self.profile.codec, key)
        return self.profile.codec.encode(message)

    def send(self, source, *bodies, expires_us=0):
        frames = [Frame(source, body, expires_us) for body in bodies]
        self.run(self.core.on_frames(frames, self.now))

    def ask(self, source, kind, **fields):
        self.send(source, self.body(self.request(kind, **fields)))

    def manage(self, source, name, serial="900001", **extra):
        message = self.profile.mapping.management_message(name, serial, self.now, ours=False, extra=extra)
        self.send(source, self.profile.codec.encode(message))

    def sign_on(self, source):
        """Sign on and take the key that is delivered."""
        self.manage(source, "sign_on")
        self.take_key(source)

    def take_key(self, source, code="00"):
        delivery = next(
            m for m in reversed(self.heard()) if self.profile.mapping.management_of(m) == "key_delivery"
        )
        spec = DeliverySpec(mac=self.profile.mac)
        delivered = read_delivery(spec, delivery, self.profile.codec, self.keys["master"])
        answer = self.profile.mapping.refusal_message(delivery, Result.APPROVED, self.now)
        answer["response_code"] = code
        answer["mac"] = delivery_mac(spec, answer, self.profile.codec, delivered.key)
        self.send(source, self.profile.codec.encode(answer))
        self.mac_key = MacKey(delivered.key)
        return delivered.key

    def heard(self, source=None):
        """All messages that the bank got (on one connection), decoded."""
        return [self.profile.codec.decode(body) for to, body in self.answers if source in (None, to)]

    def results(self, source=None):
        """The results of the business answers that the bank got, their MACs proved."""
        found = []
        for message in self.heard(source):
            if self.profile.mapping.sort_of(message) is Sort.ANSWER and not about_the_line(message):
                found.append(self.profile.mapping.reply_of(message).result)
        return found

    def macs_right(self, source, key):
        messages = [m for m in self.heard(source) if self.profile.mac_required(m)]
        for message in messages:
            verify_mac(self.profile.mac, message, self.profile.codec, [key])
        return len(messages)

    # -- the house ---------------------------------------------------------------------------------------

    def node_up(self, *names):
        for name in names or ("node1", "node2"):
            self.run(self.core.on_peer_up(name, Hello(name, "node"), self.now))

    def node_down(self, name):
        self.run(self.core.on_peer_down(name, "gone", self.now))

    def take_asked(self):
        asked, self.asked = self.asked, []
        return asked

    def reply(self, peer, envelope, result=Result.APPROVED, **fields):
        body = msgspec.msgpack.encode(Reply(result, **fields))
        self.run(self.core.on_answers(peer, [Answer(envelope.id, Status.OK, body)], self.now))

    def turn_away(self, peer, envelope, status):
        self.run(self.core.on_answers(peer, [Answer(envelope.id, status)], self.now))

    def names(self):
        return [row.name for row in self.rows]


@pytest.fixture
def bench():
    """Make benches: bench("hz_citic"), bench("icbc")."""
    return Bench


@pytest.fixture(scope="session")
def instances_of():
    """Return a bank's kind of instance: kind = instances_of("psbc"); kind(store, number)."""
    from shared import instance_of

    return lambda name, profile=None: instance_of(Bench, profile or profile_of(name))


@pytest.fixture
def pair_of(tmp_path, instances_of):
    """Make two instances of a bank's front-end that share a file: one, two = pair_of("psbc")."""
    stores = []

    def make(name, profile=None):
        kind = instances_of(name, profile)
        stores.extend(open_file(tmp_path / f"{name}.db") for _ in range(2))
        return [kind(store, number) for number, store in enumerate(stores[-2:], 1)]

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def refused(tmp_path):
    """Plant one mistake and return what is told: refused("icbc", "bank", old, new), or "spec" or a path.

    Nothing may be told of a key, and no profile may come of it.
    """

    def look(bank, where, old, new):
        config = Path(shutil.copytree(CONFIG, tmp_path / "config"))
        path = file_of(config, bank, where)
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{path.name} no longer says {old!r}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        profile, problems = load_profile(config, bank)
        assert profile is None, "the profile is accepted"
        secrets = [word[5:13] for word in text.replace('"', " ").split() if word.startswith("test:")]
        for problem in problems:
            assert problem.found, problem
            assert problem.expected, problem
            assert not any(secret in str(problem) for secret in secrets)
        return [(Path(problem.file).relative_to(config), problem.key, problem) for problem in problems]

    return look


def about_the_line(message):
    """Whether a message of the shipped dialects is no transaction."""
    return bool({"network_code", "INFOCODE"} & set(message)) or str(message.get("mti", ""))[:2] == "08"


def file_of(config, bank, where):
    """The file of a bank, of its spec, or any other one."""
    path = config / "banks" / f"{bank}.toml"
    if where == "spec":
        spec = tomllib.loads(path.read_text(encoding="utf-8"))["message"]["spec"]
        path = config / "specs" / f"{spec}.toml"
    return path if where in ("bank", "spec") else config / where


@pytest.fixture
def edit(tmp_path):
    """Read edited profiles: edit("wenzhou", (old, new), …)."""
    return functools.partial(edited, tmp_path)


@pytest.fixture
def citic():
    """hz_citic, nodes up, signed on over connection 1 with a key in force."""
    made = Bench("hz_citic")
    made.node_up()
    source = made.connect()
    made.sign_on(source)
    assert "key_installed" in made.names()
    made.answers.clear()
    made.rows.clear()
    return made


@pytest.fixture
def icbc():
    """icbc, nodes up."""
    made = Bench("icbc")
    made.node_up()
    return made


@pytest.fixture(params=["hz_citic", "icbc"])
def ready(request):
    """Either bank, ready to ask; `ready.source()` is where the next message comes from."""
    return request.getfixturevalue({"hz_citic": "citic", "icbc": "icbc"}[request.param])


@pytest.fixture
def make_place(tmp_path, reactor_thread):
    """Make a place; everything of it is gone after the test."""
    from killable import PATIENCE_SECONDS, Place

    places = []

    def make(bank, **options):
        places.append(Place(bank, tmp_path, reactor_thread, **options))
        return places[-1]

    yield make
    for place in places:
        for bank in place.banks:
            bank.close()
        for process in place.processes:
            process.kill()
            process.wait(PATIENCE_SECONDS)
        reactor_thread.run(place.core.link.stop)
