"""`qianzhi bench`: the names, and what is said where there is no source tree."""

import subprocess
import sys
from pathlib import Path

import pytest

from qianzhi.cli import benching
from qianzhi.cli.output import USAGE, CommandError


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "qianzhi.cli.main", "bench", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_list_names_each_benchmark() -> None:
    found = bench("--list")
    assert found.returncode == 0
    names = [line.split()[0] for line in found.stdout.splitlines()]
    assert {"all", "end-to-end", "relay", "queue", "latency", "codec", "overload", "growth"} <= set(names)


def test_a_name_that_is_none_is_refused_with_those_there_are() -> None:
    found = bench("fastest")
    assert found.returncode == USAGE
    assert "end-to-end" in found.stderr


def test_without_the_source_tree_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(benching, "__file__", str(tmp_path / "lib" / "qianzhi" / "cli" / "benching.py"))
    with pytest.raises(CommandError) as failure:
        benching.bench_command(["codec"])
    assert failure.value.code == USAGE
    assert "clone the source" in failure.value.advice
