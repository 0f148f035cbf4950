"""Serials of our own messages to a bank: leased in blocks, so that neither a restart nor another instance
repeats one.

Pure.  A block is ours only once its row is stored; what is left of it at a restart is skipped.
"""

from collections import deque

from frontends.session_rows import LeaseRow

BLOCK_SERIALS = 1_000
STAN_MAX = 999_999


class Serials:
    """The serials of one line; `leased_until` is what the store kept."""

    def __init__(self, line: str, leased_until: int) -> None:
        self._line = line
        self._free_from = leased_until  # of all instances' blocks, as far as is known
        self._blocks: deque[tuple[int, int]] = deque()  # ours: the next serial, and the end
        self._asked = False

    @property
    def available(self) -> bool:
        """Whether a serial can be taken now."""
        return bool(self._blocks)

    def take(self) -> str:
        """Return the next serial as a STAN of six digits, 000001 to 999999; only when one is available."""
        if not self._blocks:
            raise LookupError("no serial is leased")
        serial, end = self._blocks[0]
        if serial + 1 < end:
            self._blocks[0] = (serial + 1, end)
        else:
            self._blocks.popleft()
        return f"{serial % STAN_MAX + 1:06d}"

    def lease(self) -> LeaseRow | None:
        """Return the row to store when half a block or less is left and nothing was asked for yet."""
        left = sum(end - serial for serial, end in self._blocks)
        if left > BLOCK_SERIALS // 2 or self._asked:
            return None
        self._asked = True
        return LeaseRow(self._line, self._free_from, self._free_from + BLOCK_SERIALS)

    def on_stored(self, row: LeaseRow) -> None:
        """Use a block, now that its row is stored."""
        self._asked = False
        self._free_from = row.leased_until
        self._blocks.append((row.leased_from, row.leased_until))

    def adopt(self, leased_until: int) -> None:
        """Take up how far all instances have leased; a lease of ours that was on its way is not ours."""
        self._asked = False
        self._free_from = leased_until
