"""Crash points: the list is the source's, and an armed one kills at once."""

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from qianzhi.runtime.crash import CRASH_POINTS, VARIABLE, crashpoint

ROOT = Path(__file__).parent.parent.parent
PRODUCT = ("qianzhi", "frontends", "bankmq", "socket_pool", "interface_layer", "crm_bridge")


def named_in_source() -> list[str]:
    return [
        node.args[0].value
        for folder in PRODUCT
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") == "crashpoint"
        and isinstance(node.args[0], ast.Constant)
    ]


def test_the_list_holds_every_point_once() -> None:
    assert sorted(CRASH_POINTS) == sorted(named_in_source())


def test_every_point_kills_a_real_process_in_some_test() -> None:
    tests = [path for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__)]
    sources = [path.read_text(encoding="utf-8") for path in tests]
    killing = [source for source in sources if VARIABLE in source and "SIGKILL" in source]
    assert [point for point in CRASH_POINTS if not any(f'"{point}' in source for source in killing)] == []
    assert len(CRASH_POINTS) <= 25


def test_an_unarmed_point_is_passed() -> None:
    crashpoint("bridge.before_commit")


@pytest.mark.parametrize(("armed", "passes"), [("a", 0), ("a:3", 2), ("b", 5), ("", 5), ("a:x", 0)])
def test_an_armed_point_kills_at_its_pass(armed: str, passes: int) -> None:
    program = """
import os
from qianzhi.runtime.crash import crashpoint
for number in range(5):
    crashpoint("a")
    os.write(1, b".")
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "QIANZHI_CRASH": armed},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == b"." * passes
    assert done.returncode == (0 if passes == 5 else -signal.SIGKILL)
