"""One port attacked: batches of frames, and after each a customer who must be answered soon.

    batch ─▶ port        the way changes: all on one connection, each on its own, byte by byte, unfinished
    question ─▶ port     its answer's wait is what any customer of that port would have waited

The next batch waits for that answer, so that a frame which stalls the daemon is among the last few dozen.
"""

import itertools
import json
from pathlib import Path
from random import Random  # noqa: TID251 - seeded
from typing import Any, NamedTuple, Protocol

from ports_frames import Made
from ports_site import PortSite, Times, Usage

from qianzhi.runtime import clock

HANG_US = 100_000
LOOK_BATCHES = 50
SENT_MAX = 4  # times as many frames are sent as shall be read, at most
GROWTH_BYTES_MAX = 24 << 20
DESCRIPTORS_MORE_MAX = 8
QUIET_SECONDS = 20
FAULTS_MAX = 3
SILENT_TRIES = 3


class Weapon(Protocol):
    """What makes one port's batches and sends them."""

    name: str
    daemon: str  # whose port it is

    def strike(self, chance: Random) -> list[Made]:
        """Send one batch; return it, each frame as it was sent."""

    def repeat(self, frames: list[Made]) -> None:
        """Send frames again, each on a connection of its own."""

    def ask(self) -> None:
        """Ask as a customer who behaves, and be answered; raises OSError for no answer."""

    def read(self, counters: dict[str, float]) -> int:
        """Return how many frames the daemon has read so far, by its own counters."""

    def masked(self, frame: bytes) -> str:
        """Return a frame for people, nothing secret in it."""

    def close(self) -> None:
        """Close everything."""


class Fault(NamedTuple):
    """What went wrong, after which batch, and where its frames lie."""

    batch: int
    what: str
    frames: list[str]
    file: str


class Struck(NamedTuple):
    """What an attack came to; `slow` counts the waits over 100 ms that were the machine's or came once."""

    frames: int
    read: int
    seconds: float
    longest_us: int
    slow: int
    silences: int
    redials: int
    faults: list[Fault]
    growth: dict[str, int]
    descriptors: dict[str, int]


class Attack:
    """One attack; `folder` takes the frames of what failed."""

    def __init__(self, site: PortSite, weapon: Weapon, seed: int, folder: Path) -> None:
        self._site, self._weapon, self._seed, self._folder = site, weapon, seed, folder
        self._faults: list[Fault] = []
        self._longest_us = self._slow = 0
        self.asked = self.silences = self.redials = 0  # questions without an answer, and lines that were cut
        self._last: list[Made] = []

    def run(self, frames: int) -> Struck:
        """Send until the daemon has read so many frames, or something breaks."""
        began, sent, read, looked = clock.monotonic_seconds(), 0, 0, 0
        first, before = self._site.usage(), self._read()
        warm: dict[str, Usage] = {}
        for number in itertools.count():
            chance = Random(f"{self._seed}/{self._weapon.name}/{number}")
            self._last = self._weapon.strike(chance)
            sent += len(self._last)
            self._judge(number)
            if len(self._faults) >= FAULTS_MAX or self._site.dead():
                break
            if number % LOOK_BATCHES == 0 or sent - looked + read >= frames:
                self._look(number)
                seen = self._read() - self.asked
                read += max(
                    0, min(sent - looked, seen - before)
                )  # a frame of zeros counts as many heartbeats
                looked, before = sent, seen
                if read >= frames or sent > frames * SENT_MAX:
                    break
            if not warm and sent >= frames // 4:
                warm = self._site.usage()
        seconds = clock.monotonic_seconds() - began
        self._weapon.close()
        self._look(-1)
        last = self._settled(first)
        growth = {name: last[name].resident - warm.get(name, last[name]).resident for name in last}
        more = {name: last[name].descriptors - first[name].descriptors for name in last}
        self._bounds(growth, more)
        waits = (self._longest_us, self._slow, self.silences, self.redials)
        return Struck(sent, read, seconds, *waits, self._faults, growth, more)

    def replay(self, file: Path) -> Struck:
        """Send the frames of a failure again, one by one, each followed by a question."""
        began = clock.monotonic_seconds()
        rows = json.loads(file.read_text(encoding="utf-8"))["frames"]
        for number, row in enumerate(rows):
            made = Made(bytes.fromhex(row["frame"]), row["how"])
            made.wire = bytes.fromhex(row["wire"])
            self._last = [made]
            self._weapon.repeat(self._last)
            self._judge(number)
            self._look(number)
        self._weapon.close()
        waits = (self._longest_us, self._slow, self.silences, self.redials)
        return Struck(len(rows), len(rows), clock.monotonic_seconds() - began, *waits, self._faults, {}, {})

    def _read(self) -> int:
        return self._weapon.read(self._site.counters(self._weapon.daemon))

    def _judge(self, number: int) -> None:
        """Ask, and see how long the answer takes; a long wait counts when it comes again."""
        wait_us, own_us = self._wait(number)
        self._longest_us = max(self._longest_us, own_us)
        if own_us <= HANG_US:
            self._slow += wait_us > HANG_US
            return
        for made in list(self._last):
            self._weapon.repeat([made])
            again_us = self._wait(number)[1]
            if again_us > HANG_US:
                self._fault(number, f"hang: a customer waited {again_us // 1000} ms", [made])
                return
        self._slow += 1

    def _wait(self, number: int) -> tuple[int, int]:
        """Return how long a customer waited, and how much of it was not the machine's other work."""
        for left in reversed(range(SILENT_TRIES)):
            before, start_us = self._site.times(), clock.now().mono_us
            self.asked += 1
            try:
                self._weapon.ask()
            except TimeoutError:
                self.silences += 1
            except OSError as error:
                self.redials += 1
                if self._site.dead():
                    self._fault(number, f"crash: {', '.join(self._site.dead())}", self._last)
                    return 0, 0
                if not left:
                    self._fault(number, f"silence: {error}", self._last)
                    return 0, 0
                continue
            wait_us = clock.now().mono_us - start_us
            return wait_us, _own_us(wait_us, before, self._site.times()) if wait_us > HANG_US else wait_us
        return 0, 0

    def _look(self, number: int) -> None:
        for line in self._site.undeclared():
            self._fault(number, f"undeclared: {line}", self._last)

    def _settled(self, first: dict[str, Usage]) -> dict[str, Usage]:
        """Return what the daemons hold once what we left behind has been given up."""
        until = clock.monotonic_seconds() + QUIET_SECONDS
        while True:
            last = self._site.usage()
            more = [one.descriptors - first[name].descriptors for name, one in last.items()]
            if max(more, default=0) <= DESCRIPTORS_MORE_MAX or clock.monotonic_seconds() > until:
                return last
            clock.sleep(0.2)

    def _bounds(self, growth: dict[str, int], more: dict[str, int]) -> None:
        for name, size in growth.items():
            if size > GROWTH_BYTES_MAX:
                self._fault(-1, f"memory: {name} grew by {size >> 20} MB", [])
        for name, count in more.items():
            if count > DESCRIPTORS_MORE_MAX:
                self._fault(-1, f"descriptors: {name} holds {count} more", [])

    def _fault(self, number: int, what: str, frames: list[Made]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / f"{self._weapon.name}-{self._seed}-{number}.json"
        rows: list[Any] = [
            {"how": made.how, "frame": made.data.hex(), "wire": made.wire.hex()} for made in frames
        ]
        file.write_text(
            json.dumps({"port": self._weapon.name, "what": what, "frames": rows}), encoding="utf-8"
        )
        shown = [f"{made.how}: {self._weapon.masked(made.data)}" for made in frames]
        self._faults.append(Fault(number, what, shown, str(file)))


def _own_us(wait_us: int, before: Times, after: Times) -> int:
    """Return the part of a wait that is the daemons' own: what one of them worked, or what nobody's want of a
    processor explains.
    """
    worked = [us - before.worked_us.get(name, 0) for name, us in after.worked_us.items()]
    return max(wait_us - (after.waited_us - before.waited_us), min(wait_us, max(worked, default=0)), 0)
