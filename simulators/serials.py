"""Serial numbers of a simulated bank: leased in blocks by the shell, taken one by one by the model; pure."""

from collections import deque


class SerialsSpentError(RuntimeError):
    """The leased serials are used up; the shell leases more long before that."""


class Serials:
    """Leased blocks of serial numbers, used in order."""

    def __init__(self) -> None:
        self._blocks: deque[range] = deque()
        self._at = 0

    def __call__(self) -> int:
        """Return the next unused number; raises SerialsSpentError."""
        while self._blocks:
            block = self._blocks[0]
            if self._at < len(block):
                self._at += 1
                return block[self._at - 1]
            self._blocks.popleft()
            self._at = 0
        raise SerialsSpentError("no serials are left: lease more")

    @property
    def left(self) -> int:
        """Return how many numbers are left."""
        return sum(map(len, self._blocks)) - self._at

    def add(self, block: range) -> None:
        """Put a leased block behind the others."""
        self._blocks.append(block)

    def rest(self) -> range:
        """Take back what is left of the last block."""
        if not self._blocks:
            return range(0)
        block = self._blocks[-1]
        at = self._at if len(self._blocks) == 1 else 0
        self._blocks.clear()
        self._at = 0
        return block[at:]
