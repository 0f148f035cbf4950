"""The working MAC keys of one bank line: made or taken, stored, and changed without a gap.

Pure: randomness is given (`add_random`), rows are stored before a key is told, nothing is sent from here.

    none ─make, take─▶ pending ─proved─▶ current ─another is proved─▶ previous ─grace─▶ gone
                          └──replaced unproved──▶ superseded ─another is proved, grace─▶ gone

A key is proved by a message that stands under it, or by the answer to its delivery.  Until then the one
before it stays current: the other side may never have heard of the new one.  Whoever has lost an answer asks
again, and is told the pending key again, so that it has either that one or the current one, and both verify.
A key of the other side's that has passed away is never taken again: a delivery can be repeated by whoever has
heard it, and the reason for a new key may be that the old one is known.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from frontends.session_rows import KeyRow, RetiredRow, Slot
from qianzhi.runtime.now import SECOND_US, Now
from qianzhi.wire.errors import KeyCheckError
from qianzhi.wire.keys import CHECK_BYTES, Delivered, check_value, is_weak, unwrap, with_parity, wrap
from qianzhi.wire.mackey import MacKey

VERIFYING: tuple[Slot, ...] = ("current", "pending", "previous", "superseded")  # the likeliest first
LASTING: frozenset[Slot] = frozenset({"current", "pending"})  # and superseded, until another key is proved
PURPOSE: dict[str, Slot] = {"mac": "pending", "pin": "pin"}


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
    """The keys of one line by slot, each with the row that keeps it; `pin` is stored and told, no more.

    `key_bytes` is 8 (single length) or 16 (double length) and holds for the keys made from now on; 0 says
    that the other side makes them.  `purposes` are "mac" and, where a PIN key is made with it, "pin".
    """

    def __init__(
        self,
        line: str,
        master: bytes,
        key_bytes: int,
        grace_seconds: int,
        purposes: tuple[str, ...] = ("mac",),
    ) -> None:
        self._line = line
        self._master = master
        self._key_bytes = key_bytes
        self._grace_us = grace_seconds * SECOND_US
        self._purposes = purposes
        self._random = b""
        self._rows: dict[Slot, KeyRow] = {}
        self._keys: dict[Slot, MacKey] = {}
        self._until_us: dict[Slot, int] = {}
        self._retired: set[bytes] = set()

    def restore(self, rows: list[KeyRow], now: Now, retired: Iterable[bytes] = ()) -> None:
        """Take up the keys that the store has, instead of those known; a passing key has only what is left
        of its grace.

        `retired` are the check values of keys that must not come back.

        Raises KeyCheckError when a row's check value does not fit, and changes nothing then: the master key
        is another one by now.
        """
        known = {key.material: key for key in self._keys.values()}  # which of them is which must stay clear
        opened = [(row, self._opened(row)) for row in rows]
        self._rows, self._keys, self._until_us = {}, {}, {}
        for row, material in opened:
            self._set(row, known.get(material) or MacKey(material))
            ago_us = max(0, now.wall_us - row.since_us)
            self._until_us[row.slot] = now.mono_us - ago_us + self._grace_us
        self._retired.update(retired)

    def candidates(self, now: Now) -> list[MacKey]:
        """Return current and pending, and those that pass away within their grace."""
        keys, until_us, now_us = self._keys, self._until_us, now.mono_us
        if len(keys) == 1 and "current" in keys:
            return [keys["current"]]
        lasting = LASTING | {"superseded"} if "pending" in keys else LASTING
        return [
            keys[slot]
            for slot in VERIFYING
            if slot in keys and (slot in lasting or now_us < until_us.get(slot, 0))
        ]

    @property
    def pending(self) -> bytes | None:
        """The clear key that was made or taken and is not proved yet."""
        key = self._keys.get("pending")
        return key.material if key is not None else None

    def is_pending(self, key: MacKey) -> bool:
        """Tell whether this, one of the candidates, is the pending key."""
        return key is self._keys.get("pending")

    def told(self) -> tuple[Delivered, ...]:
        """Return the keys that a delivery brings: the pending one and, where there is one, the PIN key."""
        return tuple(
            Delivered(self._keys[PURPOSE[purpose]].material, purpose)
            for purpose in self._purposes
            if PURPOSE[purpose] in self._keys
        )

    def shown(self) -> dict[str, str]:
        """Return the keys' check values by slot, which is all that may be shown of a key."""
        return {slot: row.check_value.hex().upper() for slot, row in self._rows.items()}

    def age_us(self, slot: Slot, now: Now) -> int | None:
        """Return since when a key stands in this slot, None for an empty one."""
        row = self._rows.get(slot)
        return max(0, now.wall_us - row.since_us) if row is not None else None

    @property
    def random_wanted(self) -> int:
        """How many random bytes are wanted: for the next keys, and as many should they turn out weak."""
        return max(0, 2 * self._needed_bytes - len(self._random))

    def add_random(self, data: bytes) -> None:
        """Give random bytes; each is used for one key only."""
        self._random += data

    @property
    def _needed_bytes(self) -> int:
        return self._key_bytes * len(self._purposes)

    def make(self, now: Now) -> list[KeyRow]:
        """Make a new pending key; return its rows, to be stored before it is told.

        None at all when random bytes are missing, or these made a weak key and others are wanted.
        """
        needed = self._needed_bytes
        if not needed or len(self._random) < needed:
            return []
        raw, self._random = with_parity(self._random[:needed]), self._random[needed:]
        parts = [raw[at : at + self._key_bytes] for at in range(0, needed, self._key_bytes)]
        if any(map(is_weak, parts)):
            return []
        return self._offer(zip(self._purposes, parts, strict=True), now)

    def take(self, delivered: Sequence[Delivered], now: Now) -> list[KeyRow]:
        """Take the keys that the other side made as pending; return rows to be stored before it is answered.

        A MAC key that stands in force, or waits already, is left where it is: a delivery was repeated.
        Raises KeyCheckError for one that has passed away.
        """
        if any(check_value(one.key)[:CHECK_BYTES] in self._retired for one in delivered):
            raise KeyCheckError("the delivered key has been retired")
        known = {self._keys[slot].material for slot in ("current", "pending") if slot in self._keys}
        new = [(one.purpose, one.key) for one in delivered if one.purpose != "mac" or one.key not in known]
        return self._offer(new, now)

    def promote(self, now: Now) -> tuple[KeyRow, list[KeyRow | RetiredRow]]:
        """Make the pending key current, the one before it previous for the grace; return its row, and all
        rows to be stored.

        Nothing need wait for them: until they are stored a restart would find the key pending, and verify.
        """
        row, key = self._rows.pop("pending"), self._keys.pop("pending")
        current = row._replace(slot="current", since_us=now.wall_us)
        gone: list[KeyRow] = []
        if "current" in self._rows:
            gone.append(self._pass_away("current", "previous", now))
        if "superseded" in self._rows:
            gone.append(self._pass_away("superseded", "superseded", now))
        self._set(current, key)
        return current, [current, KeyRow(self._line, "pending"), *gone, *self._retire(gone, now)]

    def _retire(self, gone: list[KeyRow], now: Now) -> list[RetiredRow]:
        """Let keys of the other side's never come back; ours are random and need no memory."""
        if self._key_bytes:
            return []
        self._retired.update(row.check_value for row in gone)
        return [RetiredRow(self._line, row.check_value, now.wall_us) for row in gone]

    def _offer(self, parts: Iterable[tuple[str, bytes]], now: Now) -> list[KeyRow]:
        rows = []
        for purpose, key in parts:
            slot = PURPOSE[purpose]
            if slot == "pending" and "pending" in self._rows:
                rows.append(self._pass_away("pending", "superseded", now))
            wrapped, check = wrap(self._master, key), check_value(key)[:CHECK_BYTES]
            rows.append(KeyRow(self._line, slot, wrapped, check, now.wall_us))
            self._set(rows[-1], MacKey(key))
        return rows

    def _pass_away(self, slot: Slot, into: Slot, now: Now) -> KeyRow:
        """Let a key verify for the grace only, in the slot for that; return the row that says so."""
        row = self._rows[slot]._replace(slot=into, since_us=now.wall_us)
        self._set(row, self._keys[slot])
        self._until_us[into] = now.mono_us + self._grace_us
        return row

    def _set(self, row: KeyRow, key: MacKey) -> None:
        self._rows[row.slot], self._keys[row.slot] = row, key

    def _opened(self, row: KeyRow) -> bytes:
        key = unwrap(self._master, row.wrapped)
        if check_value(key)[:CHECK_BYTES] != row.check_value:
            raise KeyCheckError(f"the stored {row.slot} key of {row.line} does not fit its check value")
        return key
