"""One reactor on a thread of its own for all tests that need sockets; tests talk to it and wait for it."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.threads import blockingCallFromThread

from qianzhi.runtime.daemon import install_reactor
from simulators.servers.postgres import Postgres
from simulators.servers.rabbitmq import Broker


class ReactorThread:
    """The running reactor, seen from the test's thread."""

    def __init__(self) -> None:
        self.reactor: Any = install_reactor()
        if self.reactor.running:
            return
        started = threading.Event()
        self.reactor.callWhenRunning(started.set)
        self._thread = threading.Thread(
            target=self.reactor.run, kwargs={"installSignalHandlers": False}, daemon=True
        )
        self._thread.start()
        assert started.wait(10)

    def run(self, work: Callable[[], Any]) -> Any:
        """Call `work` on the reactor's thread and return its result, or that of its Deferred."""
        return blockingCallFromThread(self.reactor, work)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep the reactor busy inside the block, so that it sees all that happens there at one wake-up."""
        holding, release = threading.Event(), threading.Event()

        def hold() -> None:
            holding.set()
            release.wait(10)

        self.reactor.callFromThread(hold)
        assert holding.wait(10)
        try:
            yield
        finally:
            release.set()


@pytest.fixture(scope="session")
def reactor_thread() -> ReactorThread:
    """The process's one reactor; it cannot be started twice, so it runs until the tests end."""
    return ReactorThread()


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """A running RabbitMQ node for all tests; each of them asks it for a virtual host of its own."""
    shared = os.environ.get("QIANZHI_TEST_SERVERS")
    if shared:
        yield Broker.attach(Path(shared) / "broker")
        return
    server = Broker.create()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL for all tests; each of them asks it for a database of its own."""
    shared = os.environ.get("QIANZHI_TEST_SERVERS")
    if shared:
        yield Postgres.attach(Path(shared) / "postgres")
        return
    server = Postgres.create()
    try:
        server.start()
        yield server
    finally:
        server.close()
