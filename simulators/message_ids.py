"""The ids of one bank's queue messages: who sends, which run, which request.

An answer comes back under the id of its question, so the ticket is read from it and nothing is looked up.
"""


class MessageIds:
    """`run` makes the ids unlike those of every other run of the same bank."""

    def __init__(self, bank: str, run: int) -> None:
        self._prefix = f"{bank}-{run:x}-".encode("ascii")

    def of(self, ticket: int) -> bytes:
        """Return the message id of a request's ticket."""
        return self._prefix + b"%d" % ticket

    def ticket(self, message_id: bytes) -> int:
        """Return the ticket of an id that `of` has made."""
        return int(message_id.removeprefix(self._prefix))
