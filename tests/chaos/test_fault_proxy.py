"""The fault proxy between two machines that are network namespaces: what passes, and what does not."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from simulators.servers.fault_lines import FaultProxy, lay_wires
from simulators.servers.fault_wires import (
    DELAY,
    DRIBBLE,
    HOLD,
    REFUSE,
    SWALLOW,
    Order,
    Trouble,
    read_order,
    write_order,
)
from simulators.servers.namespaces import Machines
from simulators.servers.processes import wait_until

ADDRESSES = {"client": "10.77.1.1", "server": "10.77.2.1"}
PORT = 9000
PATIENCE = 10.0
NOTHING = 0.3  # so long a socket is listened to that must stay silent


class Place:
    """Two machines with the proxy between them, and a server that listens."""

    def __init__(self, stack: ExitStack) -> None:
        self.machines = Machines(ADDRESSES)
        stack.callback(self.machines.close)
        wires = lay_wires(self.machines, ADDRESSES, {"client": [("server", ADDRESSES["server"], PORT)]})
        self.listener = self.listen()
        stack.callback(lambda: self.listener.close())
        self.open: list[socket.socket] = []
        self.proxy = FaultProxy(wires)
        stack.callback(self.proxy.close)

    def listen(self) -> socket.socket:
        """Listen on the server's machine."""

        def made() -> socket.socket:
            return socket.create_server((ADDRESSES["server"], PORT))

        listener = self.machines.call("server", made)
        listener.settimeout(PATIENCE)
        return listener

    def dial(self) -> socket.socket:
        """Dial the server's own address on the client's machine."""
        made = self.machines.call("client", lambda: socket.create_connection((ADDRESSES["server"], PORT), 10))
        self.open.append(made)
        return made

    def pair(self) -> tuple[socket.socket, socket.socket]:
        """A connection: the client's end and the server's."""
        client = self.dial()
        client.sendall(b"!")
        while True:
            server, _ = self.listener.accept()
            server.settimeout(PATIENCE)
            self.open.append(server)
            if server.recv(1) == b"!":  # else one that was only tried
                return client, server


@pytest.fixture(scope="module")
def whole() -> Iterator[Place]:
    if os.geteuid() != 0:
        pytest.fail("machines of their own networks need root: sudo env PATH=$PATH make test")
    with ExitStack() as stack:
        yield Place(stack)


@pytest.fixture
def place(whole: Place) -> Iterator[Place]:
    """The place, mended after each test."""
    yield whole
    while whole.open:
        whole.open.pop().close()
    whole.proxy.both("client", "server", None)


def silent(end: socket.socket) -> bool:
    """Whether nothing comes."""
    end.settimeout(NOTHING)
    try:
        return end.recv(100) == b"never"
    except TimeoutError:
        return True
    finally:
        end.settimeout(PATIENCE)


def refused(dial: Callable[[], socket.socket]) -> bool:
    """Whether nobody listens, or nobody stays."""
    try:
        return dial().recv(1) == b"never"
    except TimeoutError:
        return False
    except OSError:
        return True


def read(end: socket.socket, length: int) -> bytes:
    """Read so many bytes."""
    found = b""
    while len(found) < length:
        found += end.recv(length - len(found))
    return found


def test_bytes_and_ends_pass_both_ways_and_the_server_sees_the_clients_machine(place: Place) -> None:
    client, server = place.pair()
    assert server.getpeername()[0] == "10.77.101.1"
    big = bytes(range(256)) * 8000
    client.sendall(b"ask")
    assert read(server, 3) == b"ask"
    server.sendall(big[:1000])
    assert read(client, 1000) == big[:1000]
    client.sendall(big[:200_000])
    client.shutdown(socket.SHUT_WR)
    assert read(server, 200_000) == big[:200_000]
    assert server.recv(1) == b""
    server.sendall(b"last")
    server.close()
    assert read(client, 4) == b"last"
    assert client.recv(1) == b""


def test_a_broken_connection_is_broken_on_the_other_side(place: Place) -> None:
    client, server = place.pair()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    with pytest.raises(ConnectionResetError):
        server.recv(1)


def test_what_is_held_one_way_comes_late_and_the_other_way_goes_on(place: Place) -> None:
    client, server = place.pair()
    place.proxy.set("client", "server", Trouble(HOLD))
    client.sendall(b"late")
    assert silent(server)
    server.sendall(b"answer")
    assert read(client, 6) == b"answer"
    place.proxy.set("client", "server", None)
    assert read(server, 4) == b"late"


def test_a_client_that_goes_while_its_bytes_are_held_is_missed_only_afterwards(place: Place) -> None:
    client, server = place.pair()
    place.proxy.both("client", "server", Trouble(HOLD))
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    assert silent(server)
    place.proxy.both("client", "server", None)
    with pytest.raises(ConnectionResetError):
        server.recv(1)


def test_a_connection_that_has_lost_bytes_does_not_outlive_it(place: Place) -> None:
    client, server = place.pair()
    place.proxy.set("server", "client", Trouble(SWALLOW))
    server.sendall(b"lost")
    client.sendall(b"ask")
    assert read(server, 3) == b"ask"
    assert silent(client)
    untouched, _ = place.pair()
    place.proxy.set("server", "client", None)
    for end in (client, server):
        with pytest.raises(ConnectionResetError):
            end.recv(1)
    assert silent(untouched)


def test_bytes_come_late_or_one_by_one_and_whole(place: Place) -> None:
    client, server = place.pair()
    place.proxy.set("client", "server", Trouble(DELAY, ms=400))
    client.sendall(b"late")
    assert silent(server)
    assert read(server, 4) == b"late"
    place.proxy.set("client", "server", Trouble(DRIBBLE, ms=20))
    client.sendall(b"drop by drop")
    assert len(server.recv(100)) < 12
    read(server, 1)
    place.proxy.set("client", "server", None)
    client.sendall(b"x")
    rest = b""
    while not rest.endswith(b"x"):
        rest += server.recv(1)


def test_new_connections_are_refused_and_those_that_stand_go_on(place: Place) -> None:
    client, server = place.pair()
    place.proxy.set("client", "server", Trouble(REFUSE))
    assert refused(place.dial)
    client.sendall(b"on")
    assert read(server, 2) == b"on"
    place.proxy.set("client", "server", None)
    wait_until(lambda: not refused_at_once(place), PATIENCE, "still refused")


def refused_at_once(place: Place) -> bool:
    """Whether the dialling itself fails."""
    try:
        place.dial()
    except OSError:
        return True
    return False


def test_every_connection_can_be_broken_at_once(place: Place) -> None:
    pairs = [place.pair(), place.pair()]
    place.proxy.reset("server", "client")
    for client, server in pairs:
        for end in (client, server):
            with pytest.raises(ConnectionResetError):
                end.recv(1)


def test_a_server_that_does_not_listen_is_refused_until_it_does(place: Place) -> None:
    place.listener.close()
    wait_until(lambda: refused_at_once(place), PATIENCE, "never refused")
    place.listener = place.listen()
    wait_until(lambda: not refused_at_once(place), PATIENCE, "still refused")


def test_a_pulled_cable_cuts_what_passes_the_proxy_too(place: Place) -> None:
    client, server = place.pair()
    place.machines.cut("server")
    client.sendall(b"behind the cut")
    assert silent(server)
    place.machines.mend("server")
    assert read(server, 14) == b"behind the cut"


@pytest.mark.parametrize(
    "order", [Order("stats"), Order("set", "a", "b", Trouble(DELAY, 3)), Order("set", "a", "b")]
)
def test_orders_are_read_as_they_were_written(order: Order) -> None:
    assert read_order(write_order(order)) == order


def test_a_trouble_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="melt"):
        read_order(write_order(Order("set", "a", "b", Trouble("melt"))))
