"""Two bridges as processes of their own on one PostgreSQL: one is stopped with locks in its hands, one is
killed, and whatever either was asked is answered as defined.
"""

import os
import re
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from crm_bridge.audit import audit_books
from crm_bridge.database.store import connect
from crm_bridge.lookup import find_keys, totals
from crm_bridge.migrations.schema import migrate
from crm_bridge.seed import seed
from qianzhi.cli.derived import derive
from qianzhi.domain.dates import business_date
from qianzhi.domain.requests import Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.link.events import Answers, Hello, PeerDown, PeerUp
from qianzhi.link.messages import Envelope, Status
from qianzhi.link.shell import Link
from qianzhi.link.site import load_site, zone_of
from qianzhi.runtime import clock
from qianzhi.runtime.secrets import resolve_key
from simulators.free_ports import free_port

CONFIG = Path(__file__).parents[2] / "config"
PATIENCE_SECONDS = 60
LOOKS = 10
BRIDGES = ("bridge1", "bridge2")
PHONES = ("13800000003", "13800000007", "13800000013")
FEN, LIST_MAX, OPEN_MAX = 700, 8, 64
TRIES = 500

OLD_CORE = '[core]\ndatabase = "sqlite:///{data}/core.db"\n'
CORE = """\
[bridges.bridge2]
machine = "local"
host = "127.0.0.1"
port = 17901
metrics_port = 17902

[core]
database = "{database}?application_name={bridge}"
password = "test:{password}"
"""


class Open(NamedTuple):
    """A request that is not answered, and the bridge that has it."""

    request: Request
    bridge: str


class Node:
    """The asking side: gives the same keys to both bridges until told to end, and what a bridge that died
    was asked to the other.
    """

    def __init__(self, reactor_thread, site, key):
        self.reactor, self.run = reactor_thread.reactor, reactor_thread.run
        self.changed = threading.Condition()
        self.date = business_date(clock.now().wall_us, zone_of(site))
        self.up, self.open, self.credits, self.feeding = set(), {}, [], False
        self.numbers = self.lists = 0
        self.heard = defaultdict(list)
        self.answered = dict.fromkeys(BRIDGES, 0)
        self.link = Link(lambda: Hello("node1", "node"), key, self.on_events, reactor=self.reactor)
        for name in BRIDGES:
            place = site.bridges[name]
            self.run(lambda name=name, place=place: self.link.dial(name, place.host, place.port).start())

    def on_events(self, items):
        with self.changed:
            for peer, event in items:
                if isinstance(event, Answers):
                    self.hear(peer, event.items)
                elif isinstance(event, PeerUp):
                    self.up.add(peer)
                    self.send(peer, [n for n, one in self.open.items() if one.bridge not in self.up - {peer}])
                elif isinstance(event, PeerDown):
                    self.up.discard(peer)
                    self.again([n for n, one in self.open.items() if one.bridge == peer])
            self.feed()
            self.changed.notify_all()

    def hear(self, peer, answers):
        for answer in answers:
            one = self.open.get(answer.id)
            if one is None:
                continue
            if answer.status is Status.OK:
                del self.open[answer.id]
                self.answered[peer] += 1
                reply = msgspec.msgpack.decode(answer.body, type=Reply)
                self.heard[one.request.key, one.request.kind].append(reply)
            else:
                self.reactor.callLater(0.2, self.again, [answer.id])

    def again(self, numbers):
        """Give what is not answered to the other bridge, if that one is up."""
        for number in numbers:
            one = self.open.get(number)
            if one is not None:
                other = BRIDGES[one.bridge == BRIDGES[0]]
                self.send(other if other in self.up else one.bridge, [number])

    def send(self, bridge, numbers):
        for number in numbers:
            self.open[number] = self.open[number]._replace(bridge=bridge)
        if bridge not in self.up:
            return
        requests = [(number, self.open[number].request) for number in numbers]
        self.link.send(
            bridge,
            [
                Envelope(number, 1, "00101", one.kind, 0, 30_000, 0, "t", msgspec.msgpack.encode(one))
                for number, one in requests
            ],
        )

    def give(self, bridge, requests):
        numbers = range(self.numbers, self.numbers + len(requests))
        self.numbers += len(requests)
        self.open.update((number, Open(one, bridge)) for number, one in zip(numbers, requests, strict=True))
        self.send(bridge, numbers)

    def make(self):
        """The next list of credits, all to the same few phones."""
        first = len(self.credits)
        made = [
            Request(Kind.RECHARGE, "two", self.date, str(n), "hz_citic", "00101", PHONES[n % 3], FEN)
            for n in range(first, first + LIST_MAX)
        ]
        self.credits += made
        return made

    def feed(self):
        """The same list to both, in another order; now and then a reversal overtakes its original."""
        while self.feeding and len(self.open) < OPEN_MAX:
            made = self.make()
            self.lists += 1
            one, other = BRIDGES[:: -1 if self.lists % 2 else 1]
            before = self.credits[-3 * LIST_MAX : -2 * LIST_MAX : 3]
            self.give(one, made)
            self.give(other, [reversal_of(each) for each in (*before, made[self.lists % LIST_MAX])])
            self.give(other, made[::-1])

    def begin(self):
        self.feeding = True
        self.run(lambda: self.on_events([]))

    def ask(self, bridge, requests):
        """Ask one bridge and wait for its answers."""

        def give():
            with self.changed:
                self.give(bridge, requests)

        self.run(give)
        asked = [(one.key, one.kind) for one in requests]
        self.wait(lambda: all(each in self.heard for each in asked))
        return [self.heard[each][-1] for each in asked]

    def wait(self, true):
        with self.changed:
            assert self.changed.wait_for(true, PATIENCE_SECONDS), (self.up, len(self.open), self.answered)

    def wait_for_more(self, bridge, count=LIST_MAX):
        least = self.answered[bridge] + count
        self.wait(lambda: self.answered[bridge] >= least)


def reversal_of(one):
    return msgspec.structs.replace(one, kind=Kind.REVERSAL, phone="", amount_fen=0)


class Place:
    """The database, and the two bridges on it; each names itself to the server."""

    def __init__(self, folder, server):
        self.url = server.new_database()
        migrate(self.url)
        seed(self.url, 30)
        ports = defaultdict(free_port)
        name = self.url.rpartition("/")[2]
        self.configs, self.processes = {}, {}
        for bridge in BRIDGES:
            given = {"database": server.url(server.admin_user, name), "password": server.admin_password}
            core = CORE.format(bridge=bridge, **given)
            self.configs[bridge] = folder / bridge

            def change(text, core=core):
                assert OLD_CORE in text
                text = text.replace(OLD_CORE, core)
                return re.sub(r"\b17\d{3}\b", lambda found: str(ports[found[0]]), text)

            derive(CONFIG, "", self.configs[bridge], folder / "var", change)
        self.site, problems = load_site(self.configs["bridge1"])
        assert problems == []

    def start(self, bridge):
        config = self.configs[bridge]
        self.processes[bridge] = subprocess.Popen(
            [sys.executable, "-m", "qianzhi.cli.main", "--config", config, "daemon", bridge],
            stderr=subprocess.DEVNULL,
        )

    def signal(self, bridge, number):
        os.kill(self.processes[bridge].pid, number)

    def holds_locks(self, bridge):
        """Whether the bridge has written, and the server waits for what it sends next."""
        sql = """SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND backend_xid IS NOT NULL
                 AND (state = 'idle in transaction' OR wait_event = 'ClientRead')"""
        with connect(self.url, writing=False) as session:
            return session.execute(sql, [bridge]).fetchone() != (0,)

    def stop_in_mid_transaction(self, bridge, node):
        """Let a bridge stand still while it has written and not committed."""
        for _ in range(TRIES):
            node.wait_for_more(bridge, 1)
            if not self.holds_locks(bridge):
                continue
            self.signal(bridge, signal.SIGSTOP)
            if all(self.holds_locks(bridge) for _ in range(LOOKS)):
                return
            self.signal(bridge, signal.SIGCONT)
        raise AssertionError(f"{bridge} was never in a transaction")

    def wait_for_the_end_of_its_transaction(self, bridge):
        """It is ended; before bridge2 is answered only where both want the same rows."""
        until = clock.now().after(PATIENCE_SECONDS * 1_000_000).mono_us
        while self.holds_locks(bridge):
            assert clock.now().mono_us < until, f"{bridge} still holds its locks"

    def close(self):
        for process in self.processes.values():
            process.kill()  # also one that is stopped
            process.wait(PATIENCE_SECONDS)


@pytest.fixture
def place(postgres, tmp_path):
    made = Place(tmp_path, postgres)
    yield made
    made.close()


@pytest.fixture
def node(place, reactor_thread):
    key = resolve_key(place.site.key, production=False, base=CONFIG)
    for bridge in BRIDGES:
        place.start(bridge)
    asking = Node(reactor_thread, place.site, key)
    asking.wait(lambda: asking.up == set(BRIDGES))
    yield asking
    asking.feeding = False
    asking.run(asking.link.stop)


# What a credit may have been told, and its reversals, by what stands in the journal in the end.
TOLD = {
    "approved": ({Result.APPROVED}, set()),
    "reversed": ({Result.APPROVED, Result.REVERSED}, {Result.APPROVED}),
    "blocked": ({Result.BLOCKED}, {Result.NOT_FOUND}),
}


def test_one_stands_still_with_locks_one_is_killed_and_each_key_has_one_outcome(place, node):
    node.begin()
    for bridge in BRIDGES:
        node.wait_for_more(bridge)

    place.stop_in_mid_transaction("bridge1", node)
    node.feeding = False
    with node.changed:
        fresh = node.make()
    replies = node.ask("bridge2", fresh)  # the same phones, and bridge1 stands still
    assert {reply.result for reply in replies} == {Result.APPROVED}
    place.wait_for_the_end_of_its_transaction("bridge1")
    place.signal("bridge1", signal.SIGCONT)
    node.wait(lambda: "bridge1" in node.up)
    node.begin()
    node.wait_for_more("bridge1")

    node.wait(lambda: any(one.bridge == "bridge2" for one in node.open.values()))
    place.signal("bridge2", signal.SIGKILL)
    place.processes["bridge2"].wait(PATIENCE_SECONDS)
    node.wait(lambda: node.up == {"bridge1"})
    node.wait_for_more("bridge1")
    place.start("bridge2")
    node.wait(lambda: node.up == set(BRIDGES))
    node.wait_for_more("bridge2")
    node.feeding = False
    node.wait(lambda: not node.open)

    rows = find_keys(place.url, [one.key for one in node.credits])
    for one in node.credits:
        row, credit = rows[one.key], node.heard[one.key, Kind.RECHARGE]
        reversal = {reply.result for reply in node.heard.get((one.key, Kind.REVERSAL), [])}
        may, must = TOLD[row.state]
        assert {reply.result for reply in credit} <= may, row
        assert reversal == must, row
        assert len({reply.order for reply in credit if reply.result is Result.APPROVED}) <= 1, row
        assert [reply.stored for reply in credit].count(False) <= 1, row
    states = [row.state for row in rows.values()]
    assert set(states) == set(TOLD)
    assert totals(place.url).credited_fen == states.count("approved") * FEN
    assert audit_books(place.url).violations == []
