"""The messages that our daemons exchange, and what they mean; the mux that carries them is `link.mux`.

    frame   +----------------+------------------------------------------+
            | length, 4 (BE) | msgpack [frame kind, payload]            |
            +----------------+------------------------------------------+
    payload of REQUESTS: a list of Envelope; of ANSWERS: a list of Answer

Unknown trailing fields of a struct are ignored and new ones have defaults, so version N talks to N+1.
"""

from enum import IntEnum

import msgspec


class Envelope(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One request on a hop; the interface layer reads this and never the body.

    `id` is the sender's number on this connection; `to` a bank number (inward) or a bank's name
    (outward); `lane` the hash of what limits the request; `budget_ms` what is left of its time;
    `priority` 1 for reversals, status queries and blocks, 0 otherwise; `key` the request's key as text,
    for events.
    """

    id: int
    attempt: int
    to: str
    kind: int
    lane: int
    budget_ms: int
    priority: int
    trace: str
    body: bytes
    key: str = ""


class Status(IntEnum):
    """What became of an envelope on its hop; only `OK` has a body."""

    OK = 0
    BUSY = 1  # not taken: a stage was full; certainly not forwarded by whoever answers it
    NO_ROUTE = 2  # not taken: nobody serves this
    EXPIRED = 3  # not taken: its budget was spent
    UNKNOWN = 4  # forwarded, and nothing came back: the outcome is not known
    DRAINING = 5  # not taken: this daemon is going away


class Answer(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The answer to the envelope with the same `id` on the same connection."""

    id: int
    status: Status
    body: bytes = b""


# All that msgspec raises for bytes that are no message of ours: its own error, another for text that is no
# UTF-8, and Python's for nesting without end.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

NOT_TAKEN = frozenset({Status.BUSY, Status.NO_ROUTE, Status.EXPIRED, Status.DRAINING})
