"""What a simulated bank keeps between runs: next serial, working key and sums, in one file of mode 0600.

Several processes of one bank (`traffic`, `send`) share it: each leases serials of its own, and each finds
the key that another one was given.  The key stands there encrypted under the bank's master key, with its
check value.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from simulators.books import Books
from simulators.des import check_value, same_mac, unwrap, wrap

MODE = 0o600


class StateFile:
    """The file of one bank under `<data>/simulators/`; every call reads or writes it anew, under a lock."""

    def __init__(self, data: Path, bank: str) -> None:
        self.path = data / "simulators" / f"{bank}.json"
        self.books = Books(self._locked)

    def lease(self, count: int, date: int = 0, day_max: int = 0) -> range:
        """Take `count` serial numbers that no other process of this bank will get.

        With `day_max` above 0 the range is empty when the business date has had so many: a dialect's serials
        are few, and none may come twice on one date.
        """
        with self._locked() as state:
            first = int(state.get("next_serial", 0))
            taken = int(state.get("taken", 0)) if state.get("date") == date else 0
            if day_max and taken + count > day_max:
                return range(first, first)
            state |= {"next_serial": first + count, "date": date, "taken": taken + count}
        return range(first, first + count)

    def give_back(self, unused: range) -> None:
        """Return the end of a lease; it is lost where another process has leased since."""
        with self._locked() as state:
            if unused and state.get("next_serial") == unused.stop:
                state["next_serial"] = unused.start
                state["taken"] = max(0, int(state.get("taken", 0)) - len(unused))

    def load_key(self, master: bytes) -> bytes | None:
        """Return the working key, or None when there is none that this master key opens."""
        with self._locked() as state:
            wrapped, proof = state.get("key", ""), state.get("check_value", "")
        if not wrapped or not isinstance(wrapped, str) or not isinstance(proof, str):
            return None
        try:
            key = unwrap(master, bytes.fromhex(wrapped))
            return key if same_mac(check_value(key), bytes.fromhex(proof)) else None
        except ValueError:
            return None

    def save_key(self, master: bytes, key: bytes) -> None:
        """Keep a working key; it is on disk when this returns."""
        with self._locked() as state:
            state["key"] = wrap(master, key).hex().upper()
            state["check_value"] = check_value(key).hex().upper()

    @contextmanager
    def _locked(self) -> Iterator[dict[str, Any]]:
        """Give the state to be changed, and write it back when it was."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, MODE)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            state = self._read()
            before = json.dumps(state)
            yield state
            after = json.dumps(state)
            if after != before:
                self._write(after)
        finally:
            os.close(lock)

    def _read(self) -> dict[str, Any]:
        try:
            state = json.loads(self.path.read_text())
        except FileNotFoundError:
            return {}
        if not isinstance(state, dict):
            raise TypeError(f"{self.path} is no state of a simulated bank")
        return state

    def _write(self, text: str) -> None:
        new = self.path.with_suffix(".new")
        file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, MODE)
        try:
            os.write(file, text.encode("ascii"))
            os.fsync(file)
        finally:
            os.close(file)
        new.replace(self.path)
