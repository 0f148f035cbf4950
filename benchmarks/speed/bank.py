"""The bank's end of what is measured: its key, frames under it, and the check of everything that came back.

A dialect of six-digit serials has a million for each business date; when they are used up, frames are of the
next date, then of the one before, both of which are open (`site.toml`).
"""

import os
import pickle
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from load import Run, boxed, frames_in, phone_of
from product import BANK, QUEUE_BANK, Product

from frontends.profile import load_profile, resolve_keys
from qianzhi.cli.chosen import Chosen
from qianzhi.cli.daemons import site_of
from qianzhi.domain.dates import business_date
from qianzhi.domain.requests import Kind, Request
from qianzhi.link.site import parse_address
from qianzhi.runtime import clock
from qianzhi.runtime.now import Now
from qianzhi.wire.mac import make_mac, verify_mac
from qianzhi.wire.mackey import MacKey
from simulators.state_file import StateFile

PROCESSES = 2  # that prepare and check
SERIALS = 999_999  # of a business date
DAYS = (0, 1, -1)  # from today
DAY_US = 86_400_000_000
AMOUNT_FEN = 100


class Series(NamedTuple):
    """Serials that follow each other: the day, counted from today, and the first."""

    day: int
    first: int


class Serials:
    """The serials of one line that nobody has used yet."""

    def __init__(self) -> None:
        self._used = 0

    def take(self, count: int) -> Series:
        """Take so many, all of one date; raises SystemExit when there are no more."""
        if count > SERIALS:
            raise SystemExit(f"a run of {count} requests has more than a date's serials; fewer seconds")
        if self._used % SERIALS + count > SERIALS:
            self._used += SERIALS - self._used % SERIALS
        if self._used // SERIALS >= len(DAYS):
            raise SystemExit("all serials of three business dates are used; fewer rounds or seconds")
        taken = Series(DAYS[self._used // SERIALS], self._used % SERIALS + 1)
        self._used += count
        return taken


class Bank:
    """One bank."""

    def __init__(self, product: Product, bank: str = BANK) -> None:
        """Take its profile from a running system, and a working key where the dialect delivers one."""
        own = site_of(Chosen(product.config))
        profile, problems = load_profile(product.config, bank, own)
        if profile is None or profile.mac is None:
            raise SystemExit("\n".join(map(str, problems)))
        self.profile, self.mac, self.site = profile, profile.mac, own
        self.subscribers = product.subscribers
        self.serials = Serials()
        self.folder = product.folder
        self.approved = "0000" if bank == QUEUE_BANK else "00"
        self.key = self._key(product)

    def _key(self, product: Product) -> MacKey:
        keys = resolve_keys(self.profile, product.config, production=False)
        if "master" not in keys:
            return MacKey(keys["mac"])
        product.qianzhi("send", self.profile.name, "key-exchange")
        key = StateFile(product.data, self.profile.name).load_key(keys["master"])
        if key is None:
            raise SystemExit("no working key was delivered")
        return MacKey(key)

    @property
    def address(self) -> tuple[str, int]:
        """Where the bank dials."""
        return parse_address(self.site.banks[self.profile.name].listen)

    def fresh(
        self, count: int, serials: Serials | None = None, *, one_phone: bool = False
    ) -> tuple[Path, int]:
        """Write signed recharges that nobody has sent, over all subscribers or to one phone; return the file
        and the first serial.  `serials` are somebody else's, who does not share the platform's journal.
        """
        taken = (serials or self.serials).take(count)
        target = self.folder / f"frames-{self.profile.name}"
        step = -(-count // PROCESSES)
        end = taken.first + count
        ranges = [(at, min(at + step, end)) for at in range(taken.first, end, step)]
        works = [partial(self._frames, taken.day, one_phone, each) for each in ranges]
        target.write_bytes(b"".join(in_processes(works)))
        return target, taken.first

    def _frames(self, day: int, one_phone: bool, serials: tuple[int, int]) -> bytes:
        bodies = []
        mapping, codec = self.profile.mapping, self.profile.codec
        real = clock.now()
        now = Now(real.mono_us, real.wall_us + day * DAY_US)
        date, name = business_date(now.wall_us, mapping.zone), self.profile.name
        bank_number = self.profile.numbers[0]
        for number in range(*serials):
            phone = phone_of(0 if one_phone else number, self.subscribers)
            request = Request(
                Kind.RECHARGE, name, date, f"{number:06d}", name, bank_number, phone, AMOUNT_FEN
            )
            message = mapping.request_message(request, now)
            make_mac(self.mac, message, codec, self.key)
            bodies.append(codec.encode(message))
        return boxed(bodies)

    def check(self, run: Run) -> Counter[str]:
        """Read every answer, as `codes_of` does; return how often each code was given."""
        return Counter(self.codes_of(run).values())

    def codes_of(self, run: Run) -> dict[int, str]:
        """Read every answer: its MAC must be right, its serial one of its own; return the codes by serial."""
        bodies = frames_in(run.answers)
        run.answers.unlink()
        run.answers.parent.rmdir()
        step = max(1, -(-len(bodies) // PROCESSES))
        lists = [bodies[at : at + step] for at in range(0, len(bodies), step)]
        codes: dict[int, str] = {}
        for some in in_processes([partial(self._check, each) for each in lists]):
            codes |= some
        if len(codes) != len(bodies) or run.strange:
            raise SystemExit(f"{len(bodies)} answers have {len(codes)} serials, {run.strange} to no request")
        return codes

    def _check(self, bodies: list[bytes]) -> dict[int, str]:
        codes: dict[int, str] = {}
        for body in bodies:
            message = self.profile.codec.decode(body)
            if verify_mac(self.mac, message, self.profile.codec, [self.key]) is None:
                raise SystemExit("an answer has no MAC")
            serial = message["stan"] if "stan" in message else message["Head"]["Serial"]
            codes[int(str(serial))] = self.profile.mapping.reply_of(message).code
        return codes


def in_processes(works: list[Callable[[], Any]]) -> list[Any]:
    """Do each work in a process of its own, a copy of this one; return what they return, in their order."""
    with tempfile.TemporaryDirectory(prefix="qianzhi-parts-") as folder:
        started = []
        for number, work in enumerate(works):
            path = Path(folder, str(number))
            pid = os.fork()
            if pid == 0:
                try:
                    path.write_bytes(pickle.dumps(work()))
                finally:
                    os._exit(0 if path.exists() else 1)
            started.append((pid, path))
        for pid, _ in started:
            if os.waitpid(pid, 0)[1]:
                raise SystemExit("a process that prepares or checks frames failed")
        return [pickle.loads(path.read_bytes()) for _, path in started]  # noqa: S301  written by ourselves
