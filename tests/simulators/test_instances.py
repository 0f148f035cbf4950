"""A simulated bank whose front-end has two instances, or whose line is protected, uses what the site says."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bankmq.kept import KeepLimits
from bankmq.queue import Delivery
from bankmq.zeromq import ZmqLimits, ZmqQueueServer
from qianzhi.link.site import load_site
from qianzhi.link.tables import BankPlace, FrontPlace, TlsTable
from simulators.bank_tls import bank_tls
from simulators.line import CONTROL, MAIN, Incoming, Outgoing
from simulators.lines import NoLineError
from simulators.queue_senders import DirectSenders

CONFIG = Path(__file__).parents[2] / "config"


class Instance:
    """One front-end's queues, which answer at once, or hold what comes."""

    def __init__(self, reactor_thread: Any) -> None:
        self.server = ZmqQueueServer(
            "icbc", "tcp://127.0.0.1:*", "tcp://127.0.0.1:*", ZmqLimits(), reactor_thread.reactor
        )
        self.holding = False
        self.seen: list[Delivery] = []
        self._changed = threading.Condition()
        reactor_thread.run(lambda: self.server.start(self))
        self.addresses = self.server.addresses()

    def on_deliveries(self, items: list[Delivery]) -> None:
        with self._changed:
            self.seen += items
            self._changed.notify_all()
        if not self.holding:
            self.server.reply([(item.tag, b"re:" + item.body) for item in items])

    def on_confirmed(self, tags: list[int]) -> None:
        self.server.acknowledge(tags)

    on_returned = on_confirmed

    def wait(self, n: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.seen) >= n, timeout=15)


@pytest.fixture
def pair(reactor_thread: Any) -> Iterator[tuple[Instance, Instance]]:
    both = Instance(reactor_thread), Instance(reactor_thread)
    yield both
    for one in both:
        reactor_thread.run(one.server.stop)


@pytest.fixture
def answers() -> tuple[list[Incoming], Callable[[list[Incoming]], None], Callable[[int], None]]:
    """Answers as they came, what takes them, and a wait for so many."""
    found: list[Incoming] = []
    changed = threading.Condition()

    def take(items: list[Incoming]) -> None:
        with changed:
            found.extend(items)
            changed.notify_all()

    def wait(n: int) -> None:
        with changed:
            assert changed.wait_for(lambda: len(found) >= n, timeout=15), len(found)

    return found, take, wait


def place_of(first: Instance, second: Instance) -> BankPlace:
    main, control = "icbc", "icbc.ctl"
    other = FrontPlace(listen=second.addresses[main], control=second.addresses[control], metrics_port=2)
    return BankPlace(
        instances=2,
        listen=first.addresses[main],
        control=first.addresses[control],
        metrics_port=1,
        others=(other,),
    )


def test_both_instances_are_used_and_what_one_held_is_answered_by_the_other(
    reactor_thread: Any, pair: tuple[Instance, Instance], answers: Any
) -> None:
    first, second = pair
    found, take, wait = answers
    limits = KeepLimits(answer_seconds=600)  # nothing is sent again by the clock in this test
    senders = DirectSenders("icbc", place_of(first, second), limits, take, reactor_thread.reactor)
    reactor_thread.run(senders.start)
    ticket = 0
    while not (first.seen and second.seen):
        ticket += 1
        warm = [Outgoing(MAIN, b"warm", ticket)]
        reactor_thread.run(lambda items=warm: senders.submit(items))
        wait(ticket)
    first.holding = True
    some = [Outgoing(CONTROL if n % 3 == 0 else MAIN, b"x%d" % n, ticket + 1 + n) for n in range(30)]
    before = len(first.seen)
    reactor_thread.run(lambda: senders.submit(some))
    first.wait(before + 1)
    reactor_thread.run(first.server.stop)
    wait(ticket + 30)
    assert {item.ticket: item.frame for item in found[ticket:]} == {
        item.ticket: b"re:" + item.frame for item in some
    }
    reactor_thread.run(senders.stop)


def test_a_protected_line_needs_the_banks_own_table() -> None:
    site, problems = load_site(CONFIG)
    assert site is not None, problems
    assert bank_tls(site, "", CONFIG) is None
    ours = replace(site, tls={"banks": TlsTable(certificate="ours.pem", key="ours.key", ca="banks.pem")})
    with pytest.raises(NoLineError, match=r"add \[tls\.banks_bank\]"):
        bank_tls(ours, "banks", CONFIG)
    theirs = TlsTable(ca="ours-ca.pem", names=("front.example",))
    both = replace(ours, tls={**ours.tls, "banks_bank": theirs})
    side = bank_tls(both, "banks", CONFIG)
    assert side is not None
    assert side.server_name("10.0.0.1") == "front.example"
    with pytest.raises(NoLineError, match=r"ours-ca\.pem"):
        side.protection()
    with pytest.raises(NoLineError, match=r"\[tls\.banks_bank\] cannot be used"):
        side.context()
