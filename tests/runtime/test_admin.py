"""The admin socket, asked by its client and by strangers."""

import json
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from qianzhi.runtime.admin import AdminError, AdminServer, ask, plain


def refuse(_arguments: dict[str, Any]) -> dict[str, Any]:
    raise AdminError("not now")


@pytest.fixture
def admin(tmp_path: Path, reactor_thread: Any) -> Iterator[Path]:
    path = tmp_path / "run" / "node1.sock"

    def later(arguments: dict[str, Any]) -> "Deferred[dict[str, Any]]":
        answer: Deferred[dict[str, Any]] = Deferred()
        work = (
            (lambda: answer.errback(AdminError("too late")))
            if arguments
            else (lambda: answer.callback({"n": 1}))
        )
        reactor_thread.reactor.callLater(0, work)
        return answer

    commands = {
        "echo": lambda arguments: {"heard": arguments},
        "refuse": refuse,
        "later": later,
        "plain": plain(dict),
    }
    server = AdminServer(path, commands)
    reactor_thread.run(lambda: server.start(reactor_thread.reactor))
    yield path
    reactor_thread.run(server.stop)


def test_a_command_is_answered_with_its_arguments(admin: Path) -> None:
    assert ask(admin, "echo", key="工单", n=1) == {"heard": {"key": "工单", "n": 1}}
    assert ask(admin, "later") == {"n": 1}


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [
        ("refuse", {}, "not now"),
        ("later", {"fail": 1}, "too late"),
        ("", {}, "known are echo, later, plain, refuse"),
    ],
)
def test_a_refusal_is_told_in_words(admin: Path, command: str, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(AdminError, match=words):
        ask(admin, command, **arguments)


def test_only_owner_and_group_may_open_it(admin: Path) -> None:
    assert stat.S_IMODE(admin.stat().st_mode) == 0o660


def test_strangers_lines_are_answered_one_by_one(admin: Path) -> None:
    lines = [
        b"garbage",
        b"[1]",
        b'{"command": 5}',
        b'{"command": ["echo"]}',
        b'{"command": "echo"}',
        b"\xff\x00",
        b"[" * 500_000,
        b'{"command": "\\ud800"}',
        b'{"command": "plain", "n": ' + b"9" * 10_000 + b"}",
        b'{"command": "plain", "n": NaN, "n": {}}',
        b'{"command": "plain", "": null}',
        b'{"command": "plain"}',
    ]
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(admin))
        connection.sendall(b"".join(line + b"\n" for line in lines))
        answers = connection.makefile("rb")
        assert [json.loads(answers.readline())["ok"] for _ in lines] == [False] * 4 + [True] + [False] * 6 + [
            True
        ]
        answers.close()


def test_an_endless_line_is_cut_off(admin: Path) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(admin))
        with pytest.raises(BrokenPipeError):
            connection.sendall(b"x" * 20_000_000)
    assert ask(admin, "echo") == {"heard": {}}


def test_a_second_daemon_of_the_name_is_refused_and_a_dead_ones_socket_replaced(
    admin: Path, tmp_path: Path, reactor_thread: Any
) -> None:
    second = AdminServer(admin, {})
    with pytest.raises(AdminError, match="another daemon answers"):
        reactor_thread.run(lambda: second.start(reactor_thread.reactor))
    stale = tmp_path / "run" / "stale.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(stale))
    server = AdminServer(stale, {"echo": lambda _: {}})
    reactor_thread.run(lambda: server.start(reactor_thread.reactor))
    assert ask(stale, "echo") == {}
    reactor_thread.run(server.stop)
    assert not stale.exists()


def test_a_path_that_the_kernel_cannot_bind_says_what_to_do(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 100) / "node1.sock"
    for attempt in (lambda: AdminServer(long, {}), lambda: ask(long, "status")):
        with pytest.raises(AdminError, match="shorter path"):
            attempt()


def test_nobody_there_and_nobody_answering(tmp_path: Path) -> None:
    with pytest.raises(AdminError, match="no daemon answers"):
        ask(tmp_path / "a.sock", "status")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "b.sock"))
        silent.listen()
        with pytest.raises(AdminError, match="no answer"):
            ask(tmp_path / "b.sock", "status", timeout_seconds=0.05)
