"""What one recharge costs the front-end alone: its core and event rows, no socket, node or other process.

    python benchmarks/speed/front_loop.py [--lists 16] [--size 64] [--repeats 30] [--profile]

Frames of hz_citic go in by lists over eight connections, a played node approves each request, and what
the core wants done is carried out as far as the daemon does it in Python: event rows are encoded, frames are
framed and joined by connection, counters are counted.  Every answer's code and MAC is checked outside the
measured time.  Printed is the smallest CPU time of the repeats, in microseconds for each recharge.
"""

import argparse
import cProfile
import gc
import pstats
import time
from dataclasses import replace
from pathlib import Path

import msgspec

from frontends.front import TO_BANK, Frame
from frontends.front_core import make_processor
from frontends.profile import load_profile, resolve_keys
from frontends.session_rows import KeyRow, Saved
from qianzhi.domain.requests import Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.link.events import Hello
from qianzhi.link.hop import Hop, HopLimits
from qianzhi.link.messages import Answer, Status
from qianzhi.runtime import metrics
from qianzhi.runtime.effects import Count, Effects, Record, Send
from qianzhi.runtime.event_blocks import block_of
from qianzhi.runtime.now import Now
from qianzhi.wire import kernel
from qianzhi.wire.framing import frame
from qianzhi.wire.keys import CHECK_BYTES, check_value, wrap
from qianzhi.wire.mac import make_mac, verify_mac
from qianzhi.wire.mackey import MacKey

CONFIG = Path(__file__).parents[2] / "config"
BANK = "hz_citic"
SOURCES = 8
WALL_US = 1_795_312_800_250_000  # 2026-11-22 10:00:00 in Shanghai
TODAY = 20261122
WORKING_KEY = bytes.fromhex("0123456789ABCDEF1032547698BADCFE")


class Front:
    """One core with its bank's line signed on, and what it did with each list."""

    def __init__(self) -> None:
        profile, problems = load_profile(CONFIG, BANK)
        if profile is None or problems:
            raise SystemExit("\n".join(map(str, problems)))
        limits = replace(profile.limits, rate_per_second=1_000_000)  # of a bank that may send all it can
        self.profile = profile = replace(profile, limits=limits)
        keys = resolve_keys(profile, CONFIG, production=False)
        self.now = Now(5_000_000, WALL_US)
        check = check_value(WORKING_KEY)[:CHECK_BYTES]
        row = KeyRow(BANK, "current", wrap(keys["master"], WORKING_KEY), check, WALL_US)
        hop = Hop(HopLimits(window=4_000), ["node1", "node2"])
        self.core = make_processor(profile, keys, Saved([row], True, 1_000), hop, "front-1", self.now)
        self.sent: list[tuple[object, bytes]] = []
        self.asked: dict[str, list[int]] = {}
        self.event_bytes = 0
        for source in range(SOURCES):
            self.run(self.core.on_connected(source, "127.0.0.1:1", self.now))
        for name in ("node1", "node2"):
            self.run(self.core.on_peer_up(name, Hello(name, "node"), self.now))

    def run(self, effects: Effects) -> None:
        """Carry out what the core wants done, as the daemon's shell does."""
        for effect in effects:
            kind = type(effect)
            if kind is Record:
                self.event_bytes += len(block_of(effect.rows))
            elif kind is Send and effect.to == TO_BANK:
                self._write(effect.items)
            elif kind is Send and effect.to[0] == "peer":
                self.asked.setdefault(effect.to[1], []).extend([item.id for item in effect.items])
            elif kind is Count:
                metrics.count(effect.name, effect.labels, effect.n)
        _ = self.core.deadline

    def _write(self, items: list[tuple[object, bytes]]) -> None:
        writes: dict[object, bytearray] = {}
        for source, body in items:
            writes.setdefault(source, bytearray()).extend(frame(self.profile.frame, body))
        self.sent += items

    def frames(self, first: int, size: int) -> list[Frame]:
        """Return recharges as the bank sends them, each with its own serial and MAC."""
        profile, key = self.profile, MacKey(WORKING_KEY)
        found = []
        for serial in range(first, first + size):
            request = Request(
                Kind.RECHARGE, profile.space, TODAY, f"{serial:06d}", BANK, profile.numbers[0],
                phone=f"138{serial:08d}", amount_fen=5_000 + serial % 97,
            )  # fmt: skip
            message = profile.mapping.request_message(request, self.now)
            make_mac(profile.mac, message, profile.codec, key)
            found.append(Frame(serial % SOURCES, profile.codec.encode(message)))
        return found

    def serve(self, frames: list[Frame], bodies: list[bytes]) -> None:
        """Take one list of frames and the nodes' answers to it."""
        self.now = self.now.after(1_000)
        self.run(self.core.on_frames(frames, self.now))
        asked, self.asked = self.asked, {}
        left = iter(bodies)
        for peer, numbers in asked.items():
            answers = [Answer(number, Status.OK, next(left)) for number in numbers]
            self.run(self.core.on_answers(peer, answers, self.now))

    def check(self, wanted: int) -> None:
        """Prove that every recharge was approved under its MAC."""
        profile, key = self.profile, MacKey(WORKING_KEY)
        if len(self.sent) != wanted:
            raise SystemExit(f"{len(self.sent)} answers to {wanted} recharges")
        for _, body in self.sent:
            message = profile.codec.decode(body)
            verify_mac(profile.mac, message, profile.codec, [key])
            if message["response_code"] != profile.results.code_of(Result.APPROVED):
                raise SystemExit("a recharge was refused")
        self.sent.clear()


def bodies(first: int, size: int) -> list[bytes]:
    """Return what the core of the house says to so many recharges."""
    encode = msgspec.msgpack.encode
    return [
        encode(Reply(Result.APPROVED, order=f"{number:012d}", balance_fen=12_345, amount_fen=5_000))
        for number in range(first, first + size)
    ]


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--lists", type=int, default=16)
    options.add_argument("--size", type=int, default=64)
    options.add_argument("--repeats", type=int, default=30)
    options.add_argument("--profile", action="store_true")
    given = options.parse_args()
    front = Front()
    total = given.lists * given.size
    best, profiler = float("inf"), cProfile.Profile()
    for turn in range(-1, given.repeats):
        made = [(front.frames(at, given.size), bodies(at, given.size)) for at in range(1, total, given.size)]
        if given.profile and turn == given.repeats - 1:
            profiler.enable()
        gc.collect()
        gc.disable()
        began = time.process_time()
        for frames, answers in made:
            front.serve(frames, answers)
        took = time.process_time() - began
        gc.enable()
        profiler.disable()
        front.check(total)
        if turn >= 0:
            best = min(best, took / total * 1e6)
    print(f"front alone: {best:.1f} µs of CPU a recharge, lists of {given.size}, codec {kernel.FORM}")
    if given.profile:
        stats = pstats.Stats(profiler)
        print(f"{stats.total_calls / total:.0f} calls a recharge")
        stats.sort_stats("tottime").print_stats(60)


if __name__ == "__main__":
    main()
