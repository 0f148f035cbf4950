"""What drives the systems that are measured: the compiled generator, what it brings back, and what the kernel
says of the processes that it drove.

The generator (`loadgen.c`) is compiled once into build/bench/, takes a file of frames and writes down when
each was due and answered.  Its own CPU is reported apart.
"""

import os
import shutil
import subprocess
import tempfile
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "build" / "bench"
SOURCE = Path(__file__).with_name("loadgen.c")
TYPE_AT, ANSWER_TYPE, SERIAL_AT = 46, "0210", 94  # of a CUPS frame with its header of 46 bytes
LENGTH_DIGITS = 4
NS_PER_US = 1000
FIRST_PHONE, CLOSED_EVERY = 13_800_000_000, 50  # as `qianzhi seed` makes them
PRIME = 7919  # apart from the number of subscribers, so that all are met


@dataclass
class Run:
    """What a run of the generator came to; times in µs, `seconds` from the first write to the last answer.

    `times` are for each request when it was due and when it was answered, in ns from the start; -1 is never.
    """

    requests: int
    answered: int
    unanswered: int
    strange: int
    seconds: float
    write_late_us: int
    own_cpu_us: float
    latencies: list[int] = field(default_factory=list)
    answers: Path = Path()
    times: "array[int]" = field(default_factory=lambda: array("q"))
    first_serial: int = 1

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answered / self.seconds

    def at(self, part: float) -> float:
        """Return the latency that this part of the answers did not exceed, in ms."""
        return at_part(self.latencies, part) / 1000


def at_part(ordered: Sequence[float], part: float) -> float:
    """Return what this part of an ordered list does not exceed; 0 of an empty one."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else 0.0


def compiled(source: Path, *words: str) -> Path:
    """Return what a C file is compiled to, in build/bench/; compiles where that is missing or old.

    Raises SystemExit.
    """
    target = RESULTS / source.stem
    if target.exists() and target.stat().st_mtime > source.stat().st_mtime:
        return target
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise SystemExit("the benchmarks need a C compiler: apt-get install gcc libc6-dev")
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [compiler, "-O2", "-std=gnu11", "-Wall", *words, "-o", str(target), str(source)]
    subprocess.run(command, check=True)
    return target


def generator() -> Path:
    """Return the compiled generator."""
    return compiled(SOURCE)


class Driving:
    """A generator at work; several may run at once."""

    def __init__(
        self,
        address: tuple[str, int],
        frames: Path,
        *,
        connections: int,
        window: int = 1,
        rate: float | str = 0.0,
        wait_ms: int = 15_000,
        first_serial: int = 1,
        answer_type: str = ANSWER_TYPE,
    ) -> None:
        """Begin at once; the arguments are those of `drive`."""
        self._first = first_serial
        self._folder = Path(tempfile.mkdtemp(prefix="qianzhi-load-"))
        words = [*address, frames, self._folder / "answers", self._folder / "times", connections, window]
        words += [rate, wait_ms, TYPE_AT, answer_type, SERIAL_AT, first_serial]
        command = [str(generator()), "drive", *map(str, words)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def finish(self) -> Run:
        """Wait until all is answered, or nothing more is waited for; raises SystemExit when it fails."""
        assert self._process.stdout is not None  # noqa: S101  it was asked for
        said = self._process.stdout.read()
        _, status, used = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        if status:
            raise SystemExit(f"the load generator ended with {self._process.returncode}")
        return run_of(said, self._folder, (used.ru_utime + used.ru_stime) * 1e6, self._first)


def drive(address: tuple[str, int], frames: Path, **how: Any) -> Run:
    """Send a file of frames and return what came of it.

    `rate` above zero keeps that schedule (a text may name several rates with their seconds), else each of the
    `connections` keeps `window` requests under way, or all together -`window`.
    """
    return Driving(address, frames, **how).finish()


def run_of(said: str, folder: Path, own_us: float, first_serial: int) -> Run:
    """Read what a generator printed and wrote; only its file of answers stays."""
    answered, unanswered, _, last_ns, strange, late_ns = map(int, said.split()[:6])
    times = array("q")
    times.frombytes((folder / "times").read_bytes())
    (folder / "times").unlink()
    return Run(
        requests=answered + unanswered,
        answered=answered,
        unanswered=unanswered,
        strange=strange,
        seconds=max(last_ns, 1) / 1e9,
        write_late_us=late_ns // NS_PER_US,
        own_cpu_us=own_us / max(1, answered),
        latencies=sorted(
            (at - due) // NS_PER_US for due, at in zip(times[::2], times[1::2], strict=True) if at >= 0
        ),
        answers=folder / "answers",
        times=times,
        first_serial=first_serial,
    )


def phone_of(number: int, subscribers: int) -> str:
    """Return a phone of the seeded population, another one for each number; never one that is closed."""
    index = number * PRIME % subscribers
    return str(FIRST_PHONE + index - (index % CLOSED_EVERY == CLOSED_EVERY - 1))


def boxed(bodies: Sequence[bytes]) -> bytes:
    """Return bodies one after the other, each behind four digits of its length."""
    return b"".join(b"%04d" % len(body) + body for body in bodies)


def frames_in(path: Path) -> list[bytes]:
    """Return the bodies of a file of frames."""
    data = path.read_bytes()
    found, at = [], 0
    while at < len(data):
        end = at + LENGTH_DIGITS + int(data[at : at + LENGTH_DIGITS])
        found.append(data[at + LENGTH_DIGITS : end])
        at = end
    return found


def cpu_seconds(pids: Sequence[int]) -> float:
    """Return the CPU seconds of processes and all their children, ended ones too, by the kernel's account."""
    ticks = os.sysconf("SC_CLK_TCK")
    spent = 0
    for pid in pids:
        for each in tree_of(pid):
            try:
                fields = Path(f"/proc/{each}/stat").read_text().rsplit(")", 1)[1].split()
            except (FileNotFoundError, ProcessLookupError):  # a child that has ended meanwhile
                continue
            spent += sum(map(int, fields[11:15]))
    return spent / ticks


def tree_of(pid: int) -> Iterator[int]:
    """Yield a process and all that it and its children have started."""
    yield pid
    try:
        found = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except (FileNotFoundError, ProcessLookupError):
        return
    for child in " ".join(found).split():
        yield from tree_of(int(child))


def peak_megabytes(pid: int) -> float:
    """Return the most memory that a process has had resident."""
    return round(_status_kilobytes(pid, "VmHWM") / 1024, 1)


def resident_megabytes(pid: int) -> float:
    """Return the memory that a process has resident now."""
    return round(_status_kilobytes(pid, "VmRSS") / 1024, 2)


def anonymous_megabytes(pid: int) -> float:
    """Return the memory that a server's processes have for themselves now, without what they share."""
    return round(sum(_status_kilobytes(each, "RssAnon") for each in tree_of(pid)) / 1024, 1)


def _status_kilobytes(pid: int, name: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(name + ":")), 0)
