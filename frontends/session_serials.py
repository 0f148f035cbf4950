"""Serials of our own messages to a bank: leased in blocks, so that a restart never repeats one.

Pure.  A block is ours only once its row is stored; what is left of it at a restart is skipped.
"""

from frontends.session_rows import LeaseRow

BLOCK_SERIALS = 1_000
STAN_MAX = 999_999


class Serials:
    """The serials of one line; `leased_until` is what the store kept."""

    def __init__(self, line: str, leased_until: int) -> None:
        self._line = line
        self._next = leased_until
        self._end = leased_until
        self._asked_until = leased_until

    @property
    def available(self) -> bool:
        """Whether a serial can be taken now."""
        return self._next < self._end

    def take(self) -> str:
        """Return the next serial as a STAN of six digits, 000001 to 999999; only when one is available."""
        if not self.available:
            raise LookupError("no serial is leased")
        self._next += 1
        return f"{(self._next - 1) % STAN_MAX + 1:06d}"

    def lease(self) -> LeaseRow | None:
        """Return the row to store when half a block or less is left and nothing was asked for yet."""
        if self._end - self._next > BLOCK_SERIALS // 2 or self._asked_until > self._end:
            return None
        self._asked_until = self._end + BLOCK_SERIALS
        return LeaseRow(self._line, self._end, self._asked_until)

    def on_stored(self, row: LeaseRow) -> None:
        """Use a block, now that its row is stored."""
        self._end = row.leased_until
