"""What drives the systems that are measured: frames of a bank, the compiled generator, what it brings back.

The generator (`loadgen.c`) is compiled once into build/bench/, takes a file of frames and writes down when
each was due and answered.  Its own CPU is reported apart.
"""

import os
import resource
import shutil
import subprocess
import tempfile
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = Path(__file__).with_name("loadgen.c")
TYPE_AT, ANSWER_TYPE, SERIAL_AT = 46, "0210", 94  # of a CUPS frame with its header of 46 bytes
LENGTH_DIGITS = 4
NS_PER_US = 1000
FIRST_PHONE, CLOSED_EVERY = 13_800_000_000, 50  # as `qianzhi seed` makes them
PRIME = 7919  # apart from the number of subscribers, so that all are met


@dataclass
class Run:
    """What a run of the generator came to; times in µs, `seconds` from the first write to the last answer."""

    requests: int
    answered: int
    unanswered: int
    strange: int
    seconds: float
    write_late_us: int
    own_cpu_us: float
    latencies: list[int] = field(default_factory=list)
    answers: Path = Path()

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answered / self.seconds

    def at(self, part: float) -> float:
        """Return the latency that this part of the answers did not exceed, in ms."""
        return self.latencies[min(len(self.latencies) - 1, int(len(self.latencies) * part))] / 1000


def generator() -> Path:
    """Return the compiled generator; compiles it where it is missing or old.  Raises SystemExit."""
    target = ROOT / "build" / "bench" / "loadgen"
    if target.exists() and target.stat().st_mtime > SOURCE.stat().st_mtime:
        return target
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise SystemExit("the load generator needs a C compiler: apt-get install gcc libc6-dev")
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([compiler, "-O2", "-std=c11", "-Wall", "-o", target, SOURCE], check=True)
    return target


def drive(
    address: tuple[str, int],
    frames: Path,
    *,
    connections: int,
    window: int = 1,
    rate: float = 0.0,
    wait_ms: int = 15_000,
    first_serial: int = 1,
    answer_type: str = ANSWER_TYPE,
) -> Run:
    """Send a file of frames; `rate` above zero keeps that schedule, else each line `window` under way."""
    folder = Path(tempfile.mkdtemp(prefix="qianzhi-load-"))
    answers, times = folder / "answers", folder / "times"
    words = [*address, frames, answers, times, connections, window, rate, wait_ms]
    words += [TYPE_AT, answer_type, SERIAL_AT, first_serial]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [generator(), "drive", *map(str, words)], check=True, capture_output=True, text=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    answered, unanswered, _, last_ns, strange, late_ns = map(int, done.stdout.split())
    taken = array("q")
    with times.open("rb") as file:
        taken.frombytes(file.read())
    times.unlink()
    latencies = sorted(
        (at - due) // NS_PER_US for due, at in zip(taken[::2], taken[1::2], strict=True) if at >= 0
    )
    return Run(
        requests=answered + unanswered,
        answered=answered,
        unanswered=unanswered,
        strange=strange,
        seconds=max(last_ns, 1) / 1e9,
        write_late_us=late_ns // NS_PER_US,
        own_cpu_us=own * 1e6 / max(1, answered),
        latencies=latencies,
        answers=answers,
    )


def phone_of(number: int, subscribers: int) -> str:
    """Return a phone of the seeded population, another one for each number; never one that is closed."""
    index = number * PRIME % subscribers
    return str(FIRST_PHONE + index - (index % CLOSED_EVERY == CLOSED_EVERY - 1))


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
    return sum(_of_tree(pid) for pid in pids)


def _of_tree(pid: int) -> float:
    ticks = os.sysconf("SC_CLK_TCK")
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:  # a child that has ended meanwhile
        return 0.0
    return sum(map(int, fields[11:15])) / ticks + sum(_of_tree(int(child)) for child in children)


def peak_megabytes(pid: int) -> float:
    """Return the most memory that a process has had resident."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0
