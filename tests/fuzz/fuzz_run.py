#!/usr/bin/env python
"""Fuzz the parsers one after the other, each in a process of its own, and print what was executed.

Usage: fuzz_run.py [--runs N] [--seconds N] [--keep] [PARSER …]

Every parser runs until --runs executions or --seconds have passed, whichever is first, and begins from its
seeds, the kept corpus (tests/fuzz/corpus/PARSER) and what earlier runs found (build/fuzz/PARSER).  An input
that breaks a property, hangs or fills the memory is written to build/fuzz/failures/ and ends its parser's
run; the others go on, and the exit code is 1.  Whoever mends it copies it to the kept corpus as found-NAME.
--keep then makes the kept corpus anew: the fewest inputs that reach every line that any of them reaches.
"""

import argparse
import hashlib
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build" / "fuzz"
SECONDS_PER_INPUT_MAX = 5
MEGABYTES_MAX = 1024
FOUND = "found-"  # how the names of inputs begin that once broke something; they stay
KEPT_BYTES_MAX = 12_000  # per parser


class Run(NamedTuple):
    """What one parser's run came to."""

    name: str
    executions: int
    seconds: float
    inputs: int
    coverage: int
    failure: str


def main() -> int:
    """Run what is asked for; return the exit code."""
    sys.path[:0] = [str(HERE), str(ROOT)]
    asked = _asked()
    if asked.inside:
        _fuzz(asked.inside, asked.rest)
    from fuzz_parsers import PARSERS

    unknown = set(asked.parsers) - set(PARSERS)
    if unknown:
        print(f"no such parser: {', '.join(sorted(unknown))}; there are: {', '.join(PARSERS)}")
        return 2
    names = asked.parsers or list(PARSERS)
    runs = [_run(name, asked.runs, asked.seconds) for name in names]
    if asked.keep:
        for name in names:
            _keep(name)
    _report(runs)
    return 1 if any(run.failure for run in runs) else 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fuzz the parsers, one after the other.")
    parser.add_argument("--runs", type=int, default=-1, help="executions per parser")
    parser.add_argument("--seconds", type=int, default=0, help="seconds per parser")
    parser.add_argument("--keep", action="store_true", help="make the kept corpus anew afterwards")
    parser.add_argument("--inside", default="", help=argparse.SUPPRESS)
    parser.add_argument("parsers", nargs="*", help="names of parsers; all without any")
    asked, asked.rest = parser.parse_known_args()[0], []
    if asked.inside:
        asked.rest, asked.parsers = asked.parsers, []
    return asked


def _run(name: str, runs: int, seconds: int) -> Run:
    """Fuzz one parser in a process of its own."""
    from fuzz_parsers import CORPUS, PARSERS

    found, failures = BUILD / name, BUILD / "failures"
    found.mkdir(parents=True, exist_ok=True)
    failures.mkdir(parents=True, exist_ok=True)
    for seed in PARSERS[name].seeds():
        _write(found, seed)
    for path in (CORPUS / name).glob("*"):
        _write(found, path.read_bytes())
    limits = [f"-runs={runs}", f"-max_total_time={seconds}", f"-max_len={PARSERS[name].bytes_max}"]
    bounds = [f"-timeout={SECONDS_PER_INPUT_MAX}", f"-rss_limit_mb={MEGABYTES_MAX}", "-print_final_stats=1"]
    places = [f"-artifact_prefix={failures}/{name}-", str(found)]
    command = [sys.executable, str(Path(__file__)), "--inside", name, "--", *limits, *bounds, *places]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    took = time.monotonic() - began
    (BUILD / f"{name}.log").write_text(done.stdout + done.stderr, encoding="utf-8")
    said, inputs = done.stderr, len(list(found.iterdir()))
    run = Run(name, _executed(said), took, inputs, _covered(said), _failed(done.returncode, said))
    print(_line(run), flush=True)
    return run


def _fuzz(name: str, options: list[str]) -> None:
    """Become the fuzzer of one parser; never returns."""
    import atheris

    with atheris.instrument_imports(include=["qianzhi", "crm_bridge", "socket_pool"]):
        from fuzz_parsers import PARSERS
    check = PARSERS[name].check()
    atheris.Setup([sys.argv[0], *options], check)
    atheris.Fuzz()


def _executed(said: str) -> int:
    numbers = re.findall(r"number_of_executed_units:\s*(\d+)", said) or re.findall(r"^#(\d+)\s", said, re.M)
    return int(numbers[-1]) if numbers else 0


def _covered(said: str) -> int:
    numbers = re.findall(r"\bcov: (\d+)", said)
    return int(numbers[-1]) if numbers else 0


def _failed(code: int, said: str) -> str:
    """Return what ended a run early in one line, "" when nothing did."""
    if code == 0:
        return ""
    found = re.search(r"=== Uncaught Python exception: ===\n(.+)|==\d+== (ERROR.+)", said)
    return (found.group(1) or found.group(2) if found else f"ended with {code}")[:120]


def _write(folder: Path, data: bytes) -> None:
    (folder / hashlib.sha1(data, usedforsecurity=False).hexdigest()).write_bytes(data)


def _keep(name: str) -> None:
    """Make the kept corpus of a parser anew: short inputs first, each for the lines that it alone adds."""
    from fuzz_parsers import CORPUS, PARSERS, kept

    check = PARSERS[name].check()
    found = [path.read_bytes() for path in (BUILD / name).glob("*")]
    seen: set[tuple[str, int, int]] = set()
    for seed in PARSERS[name].seeds():
        seen |= _arcs(check, seed)
    chosen: list[bytes] = []
    for data in sorted({*found, *kept(name)}, key=lambda one: (len(one), one)):
        reached = _arcs(check, data)
        if reached - seen and sum(map(len, chosen)) + len(data) <= KEPT_BYTES_MAX:
            seen |= reached
            chosen.append(data)
    for path in (CORPUS / name).glob("*"):
        if not path.name.startswith(FOUND):
            path.unlink()
    if chosen:
        (CORPUS / name).mkdir(parents=True, exist_ok=True)
    for data in chosen:
        _write(CORPUS / name, data)


def _arcs(check: "object", data: bytes) -> set[tuple[str, int, int]]:
    """Return the pairs of lines of ours that follow each other while an input is checked."""
    arcs: set[tuple[str, int, int]] = set()
    last: dict[int, int] = {}

    def trace(frame, event, _argument):  # type: ignore[no-untyped-def]
        if not any(f"/{ours}/" in frame.f_code.co_filename for ours in ("qianzhi", "crm_bridge")):
            return None
        if event == "line":
            arcs.add((frame.f_code.co_filename, last.get(id(frame), 0), frame.f_lineno))
            last[id(frame)] = frame.f_lineno
        return trace

    sys.settrace(trace)
    try:
        check(data)  # type: ignore[operator]
    except Exception:  # noqa: BLE001 - a failing input is worth keeping until it is mended
        arcs.add(("failed", len(data), 0))
    finally:
        sys.settrace(None)
    return arcs


def _line(run: Run) -> str:
    rate = run.executions / max(run.seconds, 0.001)
    text = f"{run.name:<20} {run.executions:>10} {rate:>8.0f}/s {run.coverage:>8} {run.inputs:>7}"
    return f"{text}  {run.failure}" if run.failure else text


def _report(runs: list[Run]) -> None:
    print(f"\n{'parser':<20} {'executions':>10} {'rate':>10} {'coverage':>8} {'inputs':>7}")
    for run in runs:
        print(_line(run))
    failed = [run.name for run in runs if run.failure]
    total, fewest = sum(run.executions for run in runs), min(run.executions for run in runs)
    end = f"{len(failed)} failed ({', '.join(failed)}; see build/fuzz/failures/)" if failed else "none failed"
    print(f"\nfuzz: {len(runs)} parsers, {total} executions, at least {fewest} each, {end}")


if __name__ == "__main__":
    sys.exit(main())
