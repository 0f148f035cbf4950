"""The daemons' reactor: what is to follow a wake-up follows all of its sockets, and nothing of it is lost."""

import contextlib
import socket

import pytest
from twisted.internet.task import Clock

from qianzhi.runtime.reactor import WakeReactor, after_wake


class Ready:
    """A socket with something to read; says what it heard, and then does what it was given."""

    def __init__(self, heard, then=lambda: None):
        self.own, self.other = socket.socketpair()
        self.heard, self.then = heard, then

    def fileno(self):
        return self.own.fileno()

    def doRead(self):
        self.heard.append(self.own.recv(100).decode())
        self.then()

    def logPrefix(self):
        return "ready"

    def connectionLost(self, reason):
        self.heard.append(f"lost: {reason.value}")


@pytest.fixture
def reactor():
    made = WakeReactor()
    yield made
    made._poller.close()


@pytest.fixture
def ready(reactor):
    with contextlib.ExitStack() as stack:

        def make(text, *given):
            one = Ready(*given)
            stack.callback(one.own.close)
            stack.callback(one.other.close)
            stack.callback(reactor.removeReader, one)
            one.other.send(text.encode())
            reactor.addReader(one)
            return one

        yield make


def test_what_follows_a_wake_up_follows_all_that_was_ready(reactor, ready):
    heard = []
    for text in ("one", "two", "three"):
        ready(text, heard, lambda text=text: reactor.after_wake(lambda: heard.append(f"after {text}")))
    reactor.doPoll(1)
    assert sorted(heard[:3]) == ["one", "three", "two"]
    assert heard[3:] == [f"after {text}" for text in heard[:3]]


def test_what_is_asked_for_outside_of_a_wake_up_is_done_too(reactor):
    heard = []
    reactor.after_wake(lambda: heard.append("soon"))
    assert heard == []
    reactor.runUntilCurrent()
    assert heard == ["soon"]


def test_one_that_fails_keeps_nothing_from_the_others(reactor, ready):
    heard = []

    def ask():
        reactor.after_wake(lambda: 1 // 0)
        reactor.after_wake(lambda: heard.append("the other"))

    ready("one", heard, ask)
    with pytest.raises(ZeroDivisionError):  # the main loop logs it, and the daemon ends
        reactor.doPoll(1)
    reactor.runUntilCurrent()
    assert heard == ["one", "the other"]


def test_a_socket_that_was_closed_in_the_same_wake_up_is_not_read(reactor, ready):
    heard = []
    sockets = []

    def leave_alone():
        for one in sockets:
            reactor.removeReader(one)

    sockets += [ready("one", heard, leave_alone), ready("two", heard, leave_alone)]
    reactor.doPoll(1)
    assert len(heard) == 1


def test_a_reactor_of_another_kind_takes_it_as_a_call_without_delay():
    clock, heard = Clock(), []
    after_wake(clock)(lambda: heard.append("soon"))
    clock.advance(0)
    assert heard == ["soon"]
