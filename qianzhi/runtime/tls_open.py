"""Every protection that this process has in use: looked at twice a minute, and read anew when asked.

Apart from `tls`, so that what every daemon does for its certificates needs to know none of them.
"""

import weakref
from typing import Any, Protocol

from twisted.internet.task import LoopingCall

LOOK_SECONDS = 30.0


class Renewable(Protocol):
    """What `tls.Protection` offers here."""

    name: str

    def look(self) -> None:
        """Read the files again if they have changed."""

    def reload(self) -> bool:
        """Read the files again; False when the old ones stay."""

    def status(self) -> dict[str, Any]:
        """Return what is in force, and under `trouble` what was wrong with the files read last."""


_open: "weakref.WeakSet[Renewable]" = weakref.WeakSet()


def add(protection: Renewable) -> None:
    """Look after one more, for as long as somebody uses it."""
    _open.add(protection)


def watch(reactor: Any) -> None:
    """Look at the files of every protection twice a minute, from now on."""
    call = LoopingCall(look_all)
    call.clock = reactor
    call.start(LOOK_SECONDS, now=False)


def look_all() -> None:
    """Look at the files of every protection."""
    for protection in _sorted():
        protection.look()


def reload_all() -> dict[str, str]:
    """Read the files of every protection anew; return by name what came of it."""
    results: dict[str, str] = {}
    for one in _sorted():
        result = "done" if one.reload() else str(one.status()["trouble"])
        if results.get(one.name, "done") == "done":  # a table that is used twice is done when both are
            results[one.name] = result
    return results


def status_all() -> dict[str, Any]:
    """Return the state of every protection by name."""
    return {one.name: one.status() for one in _sorted()}


def _sorted() -> list[Renewable]:
    return sorted(_open, key=lambda protection: protection.name)
