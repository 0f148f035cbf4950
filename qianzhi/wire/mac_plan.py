"""What a MAC covers, gathered from the fields of a message at a stroke, in pure Python.

Listed fields are written as they stand on the wire, cut, cleaned as the dialect says, and joined.  Which they
are is worked out once for each list; `_kernel` does the same compiled, and `kernel` says which is used.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from qianzhi.wire.items import Message, Nest, Quick
from qianzhi.wire.text import SELECTIONS

Gather = Callable[[Message], bytes]


class Covered(NamedTuple):
    """One field under a MAC: `write` returns its bytes, of which the first `take` count (0: all); `nest` with
    its length only where it is `whole`.
    """

    name: str
    write: Callable[[Any], bytes]
    quick: Quick | None
    take: int
    nest: Nest | None = None
    whole: bool = True


class Joining(NamedTuple):
    """How the fields are cleaned and joined; `empty` says that an absent one adds an empty text."""

    selection: str
    join: bytes
    empty: bool


@runtime_checkable
class Gathers(Protocol):
    """A codec that gathers fields at a stroke; `gatherers` keeps what was made, with what it was made for."""

    gatherers: dict[tuple[int, int], tuple[Gather | None, object, object]]

    def gatherer(
        self,
        paths: list[str],
        with_prefix: Container[str],
        take: Mapping[str, int],
        joining: Joining,
        slow: Gather,
    ) -> Gather | None:
        """Return what gathers these fields as `slow` does one by one; None where it cannot."""


def make_gatherer(fields: Sequence[Covered], joining: Joining) -> Gather:
    """Return the function that gathers these fields from a message; raises EncodeError as they do."""
    select, empty = SELECTIONS[joining.selection], joining.empty
    rows = [(field.name, field.write, field.take or None) for field in fields]
    join = joining.join.join

    def gather(message: Message) -> bytes:
        texts: list[bytes] = []
        for name, write, take in rows:
            value = message.get(name)
            if value is not None:
                texts.append(select(write(value)[:take]))
            elif empty:
                texts.append(b"")
        return join(texts)

    return gather
