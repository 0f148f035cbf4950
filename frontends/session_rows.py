"""The rows that a session keeps across restarts; pure data, so that the core and its store agree on them."""

from typing import Literal, NamedTuple

Slot = Literal["current", "previous", "pending", "superseded", "pin"]


class Basis(NamedTuple):
    """First of the rows that are written together: they rest on the rows as `after` left them.

    `stamp` names what they leave, and no other write ever: so a write that was planned on rows which another
    instance has changed meanwhile is refused, and one whose outcome is not known may be said again.
    """

    line: str
    after: str
    stamp: str


class KeyRow(NamedTuple):
    """A key of a line, wrapped under the line's master key; an empty `wrapped` empties the slot.

    `since_us` is the wall time since which the key stands in this slot.
    """

    line: str
    slot: Slot
    wrapped: bytes = b""
    check_value: bytes = b""
    since_us: int = 0


class SignOnRow(NamedTuple):
    """Whether the bank is signed on, and since when (wall)."""

    line: str
    signed_on: bool
    changed_us: int


class LeaseRow(NamedTuple):
    """Serials from `leased_from` to before `leased_until` are ours; they are never given out again."""

    line: str
    leased_from: int
    leased_until: int


class DateRow(NamedTuple):
    """The business date of the bank's last cutover notice (YYYYMMDD), and since when (wall)."""

    line: str
    noticed: int
    changed_us: int


class RetiredRow(NamedTuple):
    """The check value of a key that another one has followed, and since when (wall)."""

    line: str
    check_value: bytes
    retired_us: int


class Saved(NamedTuple):
    """What the store kept of one line; `stamp` names the write that left it so, empty before the first.

    `noticed` is the business date of the bank's last cutover notice, 0 before the first.
    """

    keys: list[KeyRow]
    signed_on: bool
    leased_until: int
    retired: frozenset[bytes] = frozenset()
    stamp: str = ""
    noticed: int = 0


SessionRow = Basis | KeyRow | SignOnRow | LeaseRow | DateRow | RetiredRow
NOTHING_SAVED = Saved([], False, 0)
