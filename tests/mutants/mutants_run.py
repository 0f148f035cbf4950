"""Plants one fault after the other and sees whether the check that must notice it does.

    python tests/mutants/mutants_run.py [NAME …] [--jobs 2]

A mutant is a module of this folder, `m_*.py`: the rule that it breaks (0: four eyes and audit chain), one
sentence, the file, what stands there and what stands there instead, and the check that must notice: a test,
or `simulate` for random worlds.  Each is planted in a copy of the tree, never in the tree itself, and its
run ends at the first catch.  Before all of them every check is carried out on a copy without a fault, because
a check that fails anyhow catches nothing.
"""

import argparse
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
LEFT_OUT = shutil.ignore_patterns(".*", "var", "build", "*.egg-info", "node_modules")
SIMULATE = "simulate"
SEEDS, REQUESTS = "120", "200"  # within which a catch by simulation must come
SECONDS_MAX = 300  # a check that runs longer has noticed nothing
TAIL_LINES = 12
CAUGHT_PART = 0.95  # of all mutants
RULES = range(17)  # 0 stands for four eyes and the audit chain, which stand beside the sixteen


class Mutant(NamedTuple):
    """One fault to plant; `survives` says why it may go unnoticed, empty where it may not."""

    name: str
    rule: int
    says: str
    file: str
    old: str
    new: str
    noticed_by: str
    survives: str


class Outcome(NamedTuple):
    """What became of one: `word` is what noticed it, in the check's own words."""

    mutant: Mutant
    caught: bool
    seconds: float
    word: str
    tail: str


def mutants() -> list[Mutant]:
    """Return all mutants, in the order of the rules."""
    found = [_read(path) for path in HERE.glob("m_*.py")]
    return sorted(found, key=lambda mutant: (mutant.rule, mutant.name))


def _read(path: Path) -> Mutant:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    says = " ".join((module.__doc__ or "").split())
    what = (module.FILE, module.OLD, module.NEW, module.NOTICED_BY, getattr(module, "SURVIVES", ""))
    return Mutant(path.stem[2:], module.RULE, says, *what)


def planted(mutant: Mutant, text: str) -> str:
    """Return a file's text with the fault in it; what it replaces stands there once."""
    found = text.count(mutant.old)
    if found != 1:
        raise ValueError(f"{mutant.name}: what it replaces stands {found} times in {mutant.file}, not once")
    return text.replace(mutant.old, mutant.new)


def command_of(*checks: str) -> list[str]:
    """Return the command that carries checks out: the simulation, or tests."""
    if checks == (SIMULATE,):
        command = [sys.executable, "-c", "from qianzhi.cli.main import main; main()", "simulate", "--stop"]
        return [*command, "--seeds", SEEDS, "--requests", REQUESTS, "--jobs", "1", "--no-shrink"]
    return [sys.executable, "-m", "pytest", "-x", "-q", *checks]


def try_one(mutant: Mutant, seconds_max: float) -> Outcome:
    """Plant one fault in a copy of the tree and carry out its check there."""
    began = time.monotonic()
    with copied() as tree:
        file = tree / mutant.file
        file.write_text(planted(mutant, file.read_text(encoding="utf-8")), encoding="utf-8")
        status, output = carry_out(command_of(mutant.noticed_by), tree, seconds_max)
    word = word_of(mutant.noticed_by, output) if status == 1 else ""
    return Outcome(mutant, bool(word), time.monotonic() - began, word, _tail(output))


def word_of(check: str, output: str) -> str:
    """Return with which words a check says that it has noticed something, empty where it says nothing.

    What keeps a check from running at all has noticed nothing.
    """
    found = re.findall(r"^(?:seed \d+: |FAILED )(.+)", output, re.MULTILINE)
    if check == SIMULATE and not found and "FAILS" in output:
        found = output.strip().splitlines()[-1:]  # something fell over
    return found[-1][:110] if found else ""


@contextmanager
def copied() -> Iterator[Path]:
    """Copy the tree, compiled modules too, so that they need not be compiled anew."""
    with tempfile.TemporaryDirectory(prefix="qianzhi-mutant-", ignore_cleanup_errors=True) as folder:
        tree = Path(folder, "tree")
        shutil.copytree(ROOT, tree, ignore=LEFT_OUT, symlinks=True)
        yield tree


def carry_out(command: list[str], tree: Path, seconds_max: float) -> tuple[int | None, str]:
    """Run a check in a tree; return how it ended, None where it took too long, and what it said."""
    process = subprocess.Popen(
        command,
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=seconds_max)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return None, f"{output}\nnothing noticed in {seconds_max:.0f} s"
    return process.returncode, output


def sound(checks: Sequence[str], jobs: int, seconds_max: float) -> bool:
    """Carry all checks out on a copy without a fault; say what is wrong with the tree itself."""
    groups: dict[str, list[str]] = {}
    for check in checks:  # each folder of tests has a conftest of its own
        groups.setdefault(check.partition("::")[0].rpartition("/")[0], []).append(check)
    well = True
    with copied() as tree, ThreadPoolExecutor(jobs) as pool:
        wanted = list(groups.values())
        runs = pool.map(lambda group: carry_out(command_of(*group), tree, 2 * seconds_max), wanted)
        for group, (status, output) in zip(wanted, runs, strict=True):
            if status != 0:
                well = False
                print(f"{group[0]} fails without any fault:\n{_tail(output)}", flush=True)
    return well


def main() -> int:
    """Try all, or those that are named; return 0 when at least 95 in 100 were caught."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="only these")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--unproved", action="store_true", help="do not carry the checks out without a fault")
    parser.add_argument("--seconds", type=float, default=SECONDS_MAX, help="that a check may run")
    chosen = parser.parse_args()
    known = mutants()
    wanted = [mutant for mutant in known if not chosen.names or mutant.name in chosen.names]
    if len(wanted) < len(set(chosen.names)):
        parser.error("known are: " + ", ".join(mutant.name for mutant in known))
    began = time.monotonic()
    if not chosen.unproved:
        if not sound(sorted({mutant.noticed_by for mutant in wanted}), chosen.jobs, chosen.seconds):
            print("mutants: 0 planted, 0 caught")
            return 1
        print(f"without a fault all checks pass, in {time.monotonic() - began:.0f} s", flush=True)
    with ThreadPoolExecutor(chosen.jobs) as pool:
        outcomes = [_told(outcome) for outcome in pool.map(try_one, wanted, repeat(chosen.seconds))]
    caught = sum(outcome.caught for outcome in outcomes)
    print(f"it took {(time.monotonic() - began) / 60:.1f} min")
    print(f"mutants: {len(outcomes)} planted, {caught} caught")
    return 0 if caught >= CAUGHT_PART * len(outcomes) else 1


def _told(outcome: Outcome) -> Outcome:
    mutant = outcome.mutant
    word = "caught" if outcome.caught else "SURVIVED"
    rule = f"rule {mutant.rule:2}" if mutant.rule else "operators"
    print(f"{word:9}{outcome.seconds:6.1f} s  {rule:9}  {mutant.name}: {mutant.says}", flush=True)
    if outcome.caught:
        print(f"{'':28}by {outcome.word}", flush=True)
    else:
        print(f"{'':28}must be noticed by {mutant.noticed_by}")
        print(f"{'':28}why: {mutant.survives}" if mutant.survives else outcome.tail, flush=True)
    return outcome


def _tail(output: str) -> str:
    return "\n".join(output.strip().splitlines()[-TAIL_LINES:])


if __name__ == "__main__":
    sys.exit(main())
