"""The bytes of one message being read by the bank's side, and the one error of all that reads or writes.

A source never gives more than it has; what asks for more is told by `BankCodecError`.
"""


class BankCodecError(ValueError):
    """A message that the bank cannot read or write; names the field, never its value."""


class Source:
    """Bytes and how far they have been read; positions count from the start of the whole message."""

    def __init__(self, data: bytes, at: int = 0, end: int | None = None) -> None:
        self.data = data
        self.at = at
        self.end = len(data) if end is None else end

    @property
    def left(self) -> int:
        """Return how many bytes have not been read."""
        return self.end - self.at

    def take(self, count: int, what: str) -> bytes:
        """Read so many bytes; raises BankCodecError naming what they were for."""
        if count > self.left:
            raise BankCodecError(f"{what} reaches past the end")
        self.at += count
        return self.data[self.at - count : self.at]

    def part(self, count: int, what: str) -> "Source":
        """Read so many bytes as a source of their own, in the same positions."""
        start = self.at
        self.take(count, what)
        return Source(self.data, start, self.at)

    def finish(self, what: str) -> None:
        """Raise BankCodecError when something is left."""
        if self.left:
            raise BankCodecError(f"{what} has {self.left} bytes too many")
