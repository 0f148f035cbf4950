"""A bank's listener behind a real HAProxy: who dials is told by its header, in both versions, TLS or not."""

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qianzhi.runtime import metrics
from qianzhi.runtime.tls import Protection
from qianzhi.runtime.tls_table import TlsTable
from simulators.free_ports import free_port
from simulators.servers.haproxy import Haproxy

CONFIG = """\
defaults
    mode tcp
    timeout connect 5s
    timeout client 30s
    timeout server 30s
listen bank
    bind 127.0.0.1:{entry}
    default-server inter 100ms
    server front 127.0.0.1:{port} {option}
"""
BALANCERS = ("127.0.0.1/32",)
BANK = "127.0.0.9"  # also this machine, but not the balancer's address


@pytest.fixture
def balanced() -> Iterator[Any]:
    made: list[Haproxy] = []

    def make(port: int, option: str) -> tuple[str, int]:
        entry = ("127.0.0.1", free_port())
        config = CONFIG.format(entry=entry[1], port=port, option=option)
        made.append(Haproxy.create(config, [entry]))
        made[-1].start()
        return entry

    yield make
    for one in made:
        one.close()


def dial(entry: tuple[str, int]) -> socket.socket:
    return socket.create_connection(entry, timeout=10, source_address=(BANK, 0))


@pytest.mark.parametrize("option", ["send-proxy", "send-proxy-v2"])
def test_the_bank_is_seen_through_the_balancer(line: Any, balanced: Any, option: str) -> None:
    served = line(proxies=BALANCERS, allow=(f"{BANK}/32",))
    with dial(balanced(served.port, option)) as bank:
        bank.sendall(b"0005hello")
        served.handler.wait(lambda: served.handler.frames == [b"hello"])
        conn, peer = served.handler.connected[-1]
        assert peer == "{}:{}".format(*bank.getsockname())
        served.run(lambda: served.server.send(conn, b"0002ok"))
        assert bank.recv(100) == b"0002ok"


def test_tls_passes_through_to_the_front(line: Any, balanced: Any, authority: Any, tmp_path: Path) -> None:
    ca = authority()
    ca.issue("front", "front.example")
    ca.issue("bank", "bank.example")
    table = TlsTable(certificate="front.pem", key="front.key", ca="ca.pem", names=("bank.example",))
    served = line(proxies=BALANCERS, allow=(f"{BANK}/32",), tls=Protection("banks", table, tmp_path))
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    context.load_cert_chain(tmp_path / "bank.pem", tmp_path / "bank.key")
    plain = dial(balanced(served.port, "send-proxy-v2"))
    with context.wrap_socket(plain, server_hostname="front.example") as bank:
        bank.sendall(b"0005hello")
        served.handler.wait(lambda: served.handler.frames == [b"hello"])
        assert served.handler.connected[-1][1].startswith(f"{BANK}:")


@pytest.mark.parametrize("option", ["send-proxy-v2 check", "send-proxy-v2 check check-send-proxy"])
def test_the_balancer_s_own_looks_are_no_banks(line: Any, balanced: Any, option: str) -> None:
    served = line(proxies=BALANCERS, allow=(f"{BANK}/32",))
    looks = ("qianzhi_connections_refused_total", ("test", "health_check"))
    before = metrics.value(*looks)
    entry = balanced(served.port, option)
    assert any(served.run(lambda: metrics.value(*looks)) >= before + 3 for _ in range(1_000_000))
    with dial(entry) as bank:
        bank.sendall(b"0005hello")
        served.handler.wait(lambda: served.handler.frames == [b"hello"])
    assert len(served.handler.connected) == 1
