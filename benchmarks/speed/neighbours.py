"""Several banks at once, of which one floods or reads no answers: the p99 of what the others had accepted.

A control run has the same total load, spread evenly over all banks, in the same minutes.
"""

import contextlib
import socket
import threading
from pathlib import Path
from typing import Any

from bank import Bank
from load import Driving, at_part, frames_in

CONNECTIONS = 4
FLOOD_TOTAL = 2.0  # of the capacity, all banks together
OTHERS_PART = 0.1  # of the capacity, each of the others beside the flood
STUCK_TOTAL = 0.6
STUCK_BUFFER = 4_096


class Neighbours:
    """Banks that share nodes, bridge and database; the first one is the one that misbehaves."""

    def __init__(self, banks: list[Bank], rate: float, seconds: float) -> None:
        """`rate` is the capacity of the whole."""
        if len(banks) < 2:
            raise SystemExit("others need at least two banks")
        self._banks, self._rate, self._seconds = banks, rate, seconds

    def flooded(self) -> float:
        """Return the others' p99 in ms, while the first bank floods."""
        others = self._rate * OTHERS_PART
        flood = self._rate * FLOOD_TOTAL - others * (len(self._banks) - 1)
        return self._p99([flood] + [others] * (len(self._banks) - 1))

    def flood_control(self) -> float:
        """Return the same banks' p99 when the flood is spread over all."""
        return self._p99([self._rate * FLOOD_TOTAL / len(self._banks)] * len(self._banks))

    def stuck(self) -> float:
        """Return the others' p99 while the first bank sends and does not read."""
        each = self._rate * STUCK_TOTAL / len(self._banks)
        frames, _ = self._banks[0].fresh(int(each * self._seconds))
        with Unread(self._banks[0].address, frames):
            return self._p99([0.0] + [each] * (len(self._banks) - 1))

    def stuck_control(self) -> float:
        """Return the same banks' p99 when all read."""
        return self._p99([self._rate * STUCK_TOTAL / len(self._banks)] * len(self._banks))

    def _p99(self, rates: list[float]) -> float:
        """Let each bank send at its rate; return the p99 of what all but the first had accepted."""
        works = []
        for bank, rate in zip(self._banks, rates, strict=True):
            if rate:
                works.append((bank, rate, *bank.fresh(max(50, int(rate * self._seconds)))))
        how: dict[str, Any] = {"connections": CONNECTIONS, "wait_ms": 20_000}
        begun = [
            (bank, Driving(bank.address, frames, rate=rate, first_serial=first, **how))
            for bank, rate, frames, first in works
        ]
        accepted: list[float] = []
        for bank, driving in begun:
            run = driving.finish()
            codes = bank.codes_of(run)
            if bank is not self._banks[0]:
                accepted += [
                    (run.times[2 * at + 1] - run.times[2 * at]) / 1e6
                    for at in range(run.requests)
                    if codes.get(run.first_serial + at) == bank.approved
                ]
        if not accepted:
            raise SystemExit("none of the others' requests was accepted")
        return at_part(sorted(accepted), 0.99)


class Unread:
    """Connections on which a bank sends all its frames as fast as they are taken, and reads nothing."""

    def __init__(self, address: tuple[str, int], frames: Path) -> None:
        bodies = frames_in(frames)
        self._lines = []
        for _ in range(CONNECTIONS):
            line = socket.socket()
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, STUCK_BUFFER)
            line.connect(address)
            self._lines.append(line)
        self._threads = [
            threading.Thread(target=_send, args=(line, bodies[at::CONNECTIONS]), daemon=True)
            for at, line in enumerate(self._lines)
        ]

    def __enter__(self) -> "Unread":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for line in self._lines:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)  # ends a send that waits
            line.close()
        for thread in self._threads:
            thread.join(10)


def _send(line: socket.socket, bodies: list[bytes]) -> None:
    with contextlib.suppress(OSError):
        for body in bodies:
            line.sendall(b"%04d" % len(body) + body)
