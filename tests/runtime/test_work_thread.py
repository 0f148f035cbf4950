"""A thread that does things in their order: what nobody expected ends the process instead of the thread."""

import subprocess
import sys
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from qianzhi.runtime.work_thread import WorkThread

BROKEN = """
import time
from qianzhi.runtime.work_thread import WorkThread
thread = WorkThread("rows", None, OSError, print)
thread.start()
thread.do(lambda: 1 / 0)
time.sleep(60)
"""


class Reactor:
    """Calls on the thread itself."""

    def callFromThread(self, call: Callable[..., None], *arguments: Any) -> None:
        call(*arguments)


def test_what_nobody_expected_ends_the_process_at_once_and_says_why() -> None:
    found = subprocess.run(
        [sys.executable, "-c", BROKEN], capture_output=True, text=True, timeout=50, check=False
    )
    assert found.returncode == 70
    assert "rows failed" in found.stderr
    assert "ZeroDivisionError" in found.stderr


def test_what_is_due_is_looked_at_between_two_things_and_when_nothing_comes() -> None:
    heard: SimpleQueue[str] = SimpleQueue()
    waits = iter([0.001, 0.001, None, None])

    def idle() -> float | None:
        heard.put("looked")
        return next(waits)

    thread = WorkThread("rows", Reactor(), OSError, heard.put, idle)
    thread.start()
    assert [heard.get(timeout=20) for _ in range(3)] == ["looked"] * 3
    thread.do(heard.put, "done")
    assert [heard.get(timeout=20) for _ in range(2)] == ["done", "looked"]
    thread.stop()
