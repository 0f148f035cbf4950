"""Crash points: named places at which a test kills the process with SIGKILL, as a power failure would.

They stand in shells and stores only, never in pure cores.  `QIANZHI_CRASH=name` arms one; `name:3` lets it
pass twice and kills at the third time.  Unarmed, a point costs one comparison.
"""

import os
import signal

VARIABLE = "QIANZHI_CRASH"

# Every point that exists; a test holds the source to this list, and each has a test of a real process.
CRASH_POINTS: tuple[str, ...] = (
    "bridge.before_commit",
    "bridge.after_commit",
    "operators.after_approval",
    "operators.before_done",
    "remote.before_calls",
    "remote.after_calls",
    "front.before_record",
    "front.after_record",
    "front.after_send",
    "front.before_store",
    "front.after_store",
    "front.handling_alone",
    "files.before_done",
    "saf.before_store",
    "saf.after_store",
)


def _read_arming(text: str) -> tuple[str, int]:
    """Split `name:3` into the name and how many passes are left; a plain name means the first pass."""
    name, colon, times = text.partition(":")
    return name, int(times) if colon and times.isascii() and times.isdigit() else 1


_armed, _passes_left = _read_arming(os.environ.get(VARIABLE, ""))


def crashpoint(name: str) -> None:
    """Kill this process here when the environment has armed `name`."""
    if name == _armed:
        _pass_or_die()


def _pass_or_die() -> None:
    global _passes_left
    _passes_left -= 1
    if _passes_left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
