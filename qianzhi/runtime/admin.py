"""The admin socket of a daemon: one UNIX socket that speaks JSON lines, one request and one answer each.

    request   {"command": "status", …arguments}
    answer    {"ok": true, "result": {…}}   or   {"ok": false, "error": "what is wrong, in plain words"}

Whoever may open the socket (mode 0660) may command the daemon; that is the whole access control.  The server
side runs on Twisted, `ask` is a blocking client for the command and the tests.
"""

import contextlib
import json
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

SOCKET_PATH_BYTES_MAX = 107  # sun_path of Linux, less its closing NUL
LINE_BYTES_MAX = 1024 * 1024

Arguments = dict[str, Any]
Answer = dict[str, Any]
Command = Callable[[Arguments], "Answer | Deferred[Answer]"]


class AdminError(Exception):
    """A command that cannot be carried out, or a daemon that cannot be asked; the text is for the
    operator."""


def check_socket_path(path: Path) -> None:
    """Raise AdminError when the kernel could not bind a socket of this name, saying what to do."""
    length = len(os.fsencode(path))
    if length > SOCKET_PATH_BYTES_MAX:
        raise AdminError(
            f"the socket path {path} has {length} bytes and the system allows {SOCKET_PATH_BYTES_MAX}; "
            "set `data` in site.toml to a folder with a shorter path"
        )


def plain(carry_out: "Callable[[], Answer | Deferred[Answer]]") -> Command:
    """Return the command that takes no arguments; it refuses any, so that a misspelt wish is never obeyed
    as another one."""

    def command(arguments: Arguments) -> "Answer | Deferred[Answer]":
        if arguments:
            raise AdminError("this command takes no arguments")
        return carry_out()

    return command


class AdminServer:
    """Answers commands on the socket `path`; `commands` maps each name to a function from arguments to
    answer.

    A command raises AdminError to refuse; it may return a Deferred when its answer takes time.  It must
    refuse arguments that it does not know or understand: whatever else it raises ends the daemon.
    """

    def __init__(self, path: Path, commands: Mapping[str, Command]) -> None:
        """Nothing is opened yet.  Raises AdminError when the path is too long."""
        check_socket_path(path)
        self._path = path
        self._commands = commands
        self._listening: Any = None

    def start(self, reactor: Any) -> None:
        """Bind the socket; a stale one of a dead daemon is replaced.

        Raises AdminError when a living daemon answers there.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.exists():
            if _is_answered(self._path):
                raise AdminError(f"another daemon answers on {self._path}; stop it first")
            self._path.unlink()
        factory: Any = Factory.forProtocol(_AdminProtocol)
        factory.noisy = False
        factory.commands = self._commands
        self._listening = reactor.listenUNIX(str(self._path), factory, mode=0o660)

    def stop(self) -> "Deferred[None] | None":
        """Stop answering and remove the socket."""
        return self._listening.stopListening() if self._listening is not None else None


def _is_answered(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


class _AdminProtocol(LineReceiver):
    """One client's connection; its commands are answered in order."""

    delimiter = b"\n"
    MAX_LENGTH = LINE_BYTES_MAX

    def lineReceived(self, line: bytes) -> None:
        """Carry out one command and answer it."""
        try:
            result = self._carry_out(line)
        except AdminError as error:
            self._refuse(str(error))
            return
        if isinstance(result, Deferred):
            result.addCallbacks(self._answer, self._answer_failure)
        else:
            self._answer(result)

    def _carry_out(self, line: bytes) -> "Answer | Deferred[Answer]":
        try:
            request = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise AdminError("a request is one line of JSON") from error
        name = request.pop("command", None) if isinstance(request, dict) else None
        commands: Mapping[str, Command] = self.factory.commands
        if not isinstance(name, str) or name not in commands:
            raise AdminError(f"unknown command; known are {', '.join(sorted(commands))}")
        return commands[name](request)

    def _answer(self, result: Answer) -> None:
        self._send({"ok": True, "result": result})

    def _answer_failure(self, failure: Failure) -> None:
        if not isinstance(failure.value, AdminError):
            failure.raiseException()
        self._refuse(str(failure.value))

    def _refuse(self, error: str) -> None:
        self._send({"ok": False, "error": error})

    def _send(self, answer: Answer) -> None:
        transport: Any = self.transport
        transport.write(json.dumps(answer, default=str).encode() + b"\n")


def ask(path: Path, command: str, *, timeout_seconds: float = 5.0, **arguments: Any) -> Answer:
    """Send one command to the daemon behind `path` and return its answer; blocks.

    Raises AdminError when nobody answers there in time or the daemon refuses.
    """
    check_socket_path(path)
    line = json.dumps({"command": command, **arguments}).encode() + b"\n"
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout_seconds)
            connection.connect(str(path))
            connection.sendall(line)
            with contextlib.closing(connection.makefile("rb")) as answers:
                answer = answers.readline(LINE_BYTES_MAX)
    except TimeoutError as error:
        raise AdminError(f"no answer on {path} within {timeout_seconds} seconds") from error
    except OSError as error:
        raise AdminError(f"no daemon answers on {path}: {error.strerror}") from error
    if not answer.endswith(b"\n"):
        raise AdminError(f"the daemon on {path} closed the connection without an answer")
    body = json.loads(answer)
    if not body.get("ok"):
        raise AdminError(str(body.get("error")))
    result: Answer = body["result"]
    return result
