"""The carrier's site on machines of its own, struck once by every kind of fault while its banks send."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from chaos_servers import KINDS

ROOT = Path(__file__).parents[2]
BANKS = ("icbc", "hz_citic", "psbc")  # a queue and sockets, of both groups
RATE = 45
SECONDS_MAX = 300


def test_no_fen_is_lost_or_doubled_whatever_happens_once(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.fail("machines of their own networks need root: sudo env PATH=$PATH make test")
    words = ["--once", "--rate", str(RATE), "--banks", ",".join(BANKS), "--keep", str(tmp_path / "kept")]
    command = [sys.executable, str(ROOT / "benchmarks" / "chaos.py"), *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, **pipes) as process:
        try:
            said, errors = process.communicate(timeout=SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.terminate()  # it takes its machines away
            said, errors = process.communicate()
            pytest.fail(f"over {SECONDS_MAX} s:\n{said[-6000:]}\n{errors[-3000:]}")
    assert process.returncode == 0, f"{said[-6000:]}\n{errors[-3000:]}"
    last = said.splitlines()[-1]
    line = r"chaos: (\d+) faults, (\d+) requests, 0 lost, 0 doubled, 0 unanswered after heal"
    match = re.fullmatch(line, last)
    assert match, last
    assert int(match[1]) >= len(KINDS)
    assert int(match[2]) > 100 * len(BANKS)
    report = json.loads((tmp_path / "kept" / "report.json").read_text(encoding="utf-8"))
    struck = {each["kind"] for each in report["done"] if each["struck"]}
    assert struck == set(KINDS)
    assert report["scanned"][0] > 100
    assert min(report["scanned"][2:]) > 0, "keys were looked for"
    assert report["house"]["credited"] > 0
    assert report["house"]["acts"] > 0
