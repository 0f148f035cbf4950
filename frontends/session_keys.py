"""The working MAC keys of one bank line: made, stored, and changed without a gap.

Pure: randomness is given (`add_random`), rows are stored before a key is used, nothing is sent from here.

    none ─make─▶ pending ─stored, sent, proved─▶ (stored) ─▶ current ─change─▶ previous ─grace─▶ gone

A delivered key that verifies a request counts as proved, because the bank's answer may have been lost.
"""

from typing import Protocol

from frontends.session_rows import KeyRow, Slot
from qianzhi.runtime.now import SECOND_US, Now
from qianzhi.wire.errors import KeyCheckError
from qianzhi.wire.keys import CHECK_BYTES, KeyRing, check_value, is_weak, unwrap, with_parity, wrap
from qianzhi.wire.mackey import MacKey


class Keys(Protocol):
    """What verifies and signs on a line: exchanged working keys, or one static key."""

    def candidates(self, now: Now) -> list[MacKey]:
        """Return the keys under which a message may stand now, the likeliest first."""
        ...


class StaticKeys:
    """One key by reference that no message changes, or none at all."""

    def __init__(self, key: bytes = b"") -> None:
        self._keys = [MacKey(key)] if key else []

    def candidates(self, now: Now) -> list[MacKey]:
        """Return the one key, if there is one."""
        return self._keys


class LineKeys:
    """The current, previous and pending key of one line, each with the row that keeps it.

    `key_bytes` is 8 (single length) or 16 (double length) and holds for the keys made from now on.
    """

    def __init__(self, line: str, master: bytes, key_bytes: int, grace_seconds: int) -> None:
        self._line = line
        self._master = master
        self._key_bytes = key_bytes
        self._ring = KeyRing(grace_seconds * SECOND_US)
        self._random = b""
        self._rows: dict[Slot, KeyRow] = {}

    def restore(self, rows: list[KeyRow], now: Now) -> None:
        """Take up the keys that the store kept; a previous key has only what is left of its grace.

        Raises KeyCheckError when a row's check value does not fit: the master key is another one by now.
        """
        self._rows = {row.slot: row for row in rows}
        for slot in ("previous", "current"):
            row = self._rows.get(slot)
            if row is not None:
                ago_us = max(0, now.wall_us - row.since_us)
                self._ring.install(self._opened(row), Now(now.mono_us - ago_us, row.since_us))
        if "pending" in self._rows:
            self._ring.offer(self._opened(self._rows["pending"]))

    def candidates(self, now: Now) -> list[MacKey]:
        """Return current, pending, and previous within its grace."""
        return self._ring.verify_candidates(now)

    @property
    def pending(self) -> bytes | None:
        """The clear key that was made and is not proved yet."""
        return self._ring.pending

    def is_pending(self, key: MacKey) -> bool:
        """Tell whether this is the pending key."""
        row = self._rows.get("pending")
        return row is not None and key.encrypt(bytes(8))[:CHECK_BYTES] == row.check_value

    def shown(self) -> dict[str, str]:
        """Return the keys' check values by slot, which is all that may be shown of a key."""
        return {slot: row.check_value.hex().upper() for slot, row in self._rows.items()}

    @property
    def random_wanted(self) -> int:
        """How many random bytes are wanted: for the next key, and another should it turn out weak."""
        return max(0, 2 * self._key_bytes - len(self._random))

    def add_random(self, data: bytes) -> None:
        """Give random bytes; each is used for one key only."""
        self._random += data

    def make(self, now: Now) -> KeyRow | None:
        """Make a new pending key; return its row, to be stored before it is sent.

        None when random bytes are missing, or these made a weak key and others are wanted.
        """
        if len(self._random) < self._key_bytes:
            return None
        raw, self._random = self._random[: self._key_bytes], self._random[self._key_bytes :]
        key = with_parity(raw)
        if is_weak(key):
            return None
        self._ring.offer(key)
        wrapped, check = wrap(self._master, key), check_value(key)[:CHECK_BYTES]
        row = self._rows["pending"] = KeyRow(self._line, "pending", wrapped, check, now.wall_us)
        return row

    def rows_of_change(self, now: Now) -> list[KeyRow]:
        """Return the rows that make the pending key current; `change` follows once they are stored."""
        rows = [self._rows["pending"]._replace(slot="current", since_us=now.wall_us)]
        if "current" in self._rows:
            rows.append(self._rows["current"]._replace(slot="previous", since_us=now.wall_us))
        return rows

    def change(self, rows: list[KeyRow], now: Now) -> None:
        """Make the pending key current, the one before it previous for the grace window."""
        self._ring.confirm(now)
        del self._rows["pending"]
        self._rows |= {row.slot: row for row in rows}

    def _opened(self, row: KeyRow) -> bytes:
        key = unwrap(self._master, row.wrapped)
        if check_value(key)[:CHECK_BYTES] != row.check_value:
            raise KeyCheckError(f"the stored {row.slot} key of {row.line} does not fit its check value")
        return key
