"""A port that is taken is found, with the process that holds it."""

import os
import socket

from qianzhi.cli.machine import taken_words
from qianzhi.cli.ports import Need, taken


def test_a_taken_port_names_its_holder_and_a_free_one_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as idle:
        idle.bind(("127.0.0.1", 0))
        free_port = idle.getsockname()[1]
        idle.close()
        held = Need("front-icbc-1", "127.0.0.1", server.getsockname()[1])
        found = taken([held, Need("node1", "127.0.0.1", free_port)])
    assert [need for need, _ in found] == [held]
    assert found[0][1].startswith(f"process {os.getpid()} (")


def test_ports_of_one_daemon_and_holder_are_said_together() -> None:
    needs = [Need("node1", "127.0.0.1", 1), Need("node1", "127.0.0.1", 2), Need("bridge1", "127.0.0.1", 3)]
    assert taken_words([(need, "process 7 (x)") for need in needs]).split("\n         ") == [
        "ports 1, 2 for node1: held by process 7 (x)",
        "port 3 for bridge1: held by process 7 (x)",
    ]


def test_of_many_daemons_ports_the_first_few_are_named() -> None:
    needs = [Need(f"front-{at}", "127.0.0.1", at) for at in range(20)]
    lines = taken_words([(need, f"process {need.port} (x)") for need in needs]).split("\n         ")
    assert lines[0] == "port 0 for front-0: held by process 0 (x)"
    assert lines[3:] == ["and the ports of 17 more daemons"]
