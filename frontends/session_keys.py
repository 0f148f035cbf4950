"""The working MAC keys of one bank line: made, delivered, proved by the bank's answer, and changed without a gap.

Pure: randomness is given (`add_random`), rows are stored before a key is used, nothing is sent from here.

    none ──make──▶ pending ──stored──▶ delivered ──answer proves it──▶ (stored) ──▶ current ──▶ previous ──grace──▶
                       ▲                   │ no answer: the same frame again, then given up

A delivered key that verifies a request counts as proved, because the bank's answer may have been lost.
"""

from typing import NamedTuple, Protocol

from qianzhi.wire.keys import check_value, unwrap, wrap

from frontends.session_rows import KeyRow
from qianzhi.runtime.now import SECOND_US, Now

CHECK_VALUE_BYTES = 4


class WorkingKey(NamedTuple):
    """A working key: clear only in memory, `wrapped` under the line's master key everywhere else."""

    clear: bytes
    wrapped: bytes
    check_value: bytes

    def __repr__(self) -> str:
        return f"WorkingKey({self.check_value.hex().upper()})"


class Keys(Protocol):
    """What verifies and signs on a line: exchanged working keys, or one static key."""

    def candidates(self, now: Now) -> list[bytes]:
        """Return the keys under which a request may stand now, the likeliest first."""
        ...


class StaticKeys:
    """One key by reference, never changed by messages."""

    def __init__(self, key: bytes) -> None:
        self._keys = [key]

    def candidates(self, now: Now) -> list[bytes]:
        """Return the one key."""
        return self._keys


class LineKeys:
    """The current, previous and pending key of one line; `key_bytes` is 8 (single) or 16 (double length)."""

    def __init__(self, line: str, master: bytes, key_bytes: int, grace_seconds: float) -> None:
        self._line = line
        self._master = master
        self._key_bytes = key_bytes
        self._grace_us = int(grace_seconds * SECOND_US)
        self._random = b""
        self._previous_until_us = 0
        self.current: WorkingKey | None = None
        self.previous: WorkingKey | None = None
        self.pending: WorkingKey | None = None

    def restore(self, rows: list[KeyRow], now: Now) -> None:
        """Take up the keys that the store kept; a previous key keeps only what is left of its grace."""
        for row in rows:
            key = WorkingKey(unwrap(self._master, row.wrapped), row.wrapped, row.check_value)
            setattr(self, row.slot, key)
            if row.slot == "previous":
                left_us = min(self._grace_us, row.since_us + self._grace_us - now.wall_us)
                self._previous_until_us = now.mono_us + left_us

    def candidates(self, now: Now) -> list[bytes]:
        """Return the keys under which a request may stand now: current, pending, previous within its grace."""
        keys = [key.clear for key in (self.current, self.pending) if key is not None]
        if self.previous is not None and now.mono_us < self._previous_until_us:
            keys.append(self.previous.clear)
        return keys

    @property
    def random_wanted(self) -> int:
        """How many random bytes are wanted for the next key."""
        return max(0, self._key_bytes - len(self._random))

    def add_random(self, data: bytes) -> None:
        """Give random bytes; each is used for one key only."""
        self._random += data

    def make(self, now: Now) -> list[KeyRow] | None:
        """Make a new pending key; return its row to be stored before it is sent, or None without random bytes."""
        if self.random_wanted:
            return None
        raw, self._random = self._random[: self._key_bytes], self._random[self._key_bytes :]
        clear = odd_parity(raw)
        if is_weak(clear):
            return None
        key = WorkingKey(clear, wrap(self._master, clear), check_value(clear)[:CHECK_VALUE_BYTES])
        self.pending = key
        return [KeyRow(self._line, "pending", key.wrapped, key.check_value, now.wall_us)]

    def rows_of_change(self, now: Now) -> list[KeyRow]:
        """Return the rows that make the pending key current; `change` follows once they are stored."""
        if self.pending is None:
            return []
        rows = [
            KeyRow(self._line, "current", self.pending.wrapped, self.pending.check_value, now.wall_us),
            KeyRow(self._line, "pending"),
        ]
        if self.current is not None:
            rows.append(
                KeyRow(self._line, "previous", self.current.wrapped, self.current.check_value, now.wall_us)
            )
        return rows

    def change(self, proved: WorkingKey, now: Now) -> None:
        """Make `proved` current, the one before it previous for the grace window."""
        if self.current is not None:
            self.previous, self._previous_until_us = self.current, now.mono_us + self._grace_us
        self.current = proved
        if self.pending is proved:
            self.pending = None


def odd_parity(raw: bytes) -> bytes:
    """Return a key whose bytes each have an odd number of ones, as DES keys are written."""
    return bytes(byte & 0xFE | (byte >> 1).bit_count() + 1 & 1 for byte in raw)


WEAK_HALVES = frozenset(
    bytes.fromhex(text)
    for text in ["0101010101010101", "FEFEFEFEFEFEFEFE", "E0E0E0E0F1F1F1F1", "1F1F1F1F0E0E0E0E", "011F011F010E010E", "1F011F010E010E01", "01E001E001F101F1", "E001E001F101F101", "01FE01FE01FE01FE", "FE01FE01FE01FE01", "1FE01FE00EF10EF1", "E01FE01FF10EF10E", "1FFE1FFE0EFE0EFE", "FE1FFE1FFE0EFE0E", "E0FEE0FEF1FEF1FE", "FEE0FEE0FEF1FEF1"]
)


def is_weak(key: bytes) -> bool:
    """Tell whether a key has a weak or semi-weak half, or two equal halves (which would be single DES)."""
    halves = [key[at : at + 8] for at in range(0, len(key), 8)]
    return len(set(halves)) < len(halves) or any(half in WEAK_HALVES for half in halves)
