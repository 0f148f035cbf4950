"""What a pure core asks its shell to do; plain data, in the order in which it is to happen.

Every core answers `on_<event>(source, items, now)` and `on_time(now)` with a list of these, and says in
`deadline` when it wants to be called next.  Order carries meaning: a `Record` that stands before a
`Send` is written first.
"""

from collections.abc import Hashable
from typing import Any, NamedTuple


class Send(NamedTuple):
    """Send `items` to `to`: whole frames to a bank's connection, messages to a link peer."""

    to: Hashable
    items: list[Any]

    @property
    def rests_on_records(self) -> bool:
        """Whether this must not be sent where a record before it could not be written.

        Items of a kind that says `unrecorded` tell how we are now, and will not be said again.
        """
        return not self.items or not all(getattr(item, "unrecorded", False) for item in self.items)


class Close(NamedTuple):
    """Close the connection `to`; `reason` is a stable name that is counted and logged."""

    to: Hashable
    reason: str


class Record(NamedTuple):
    """Append these rows to the daemon's event file before any later effect is carried out."""

    rows: list["Event"]


class Withheld(NamedTuple):
    """Said by an interpreter to a shell that wants to know: this was not sent, for its record could not be
    written.
    """

    send: Send


class Store(NamedTuple):
    """Write `rows` durably; the shell then calls `on_stored(token, now)`."""

    token: int
    rows: list[Any]


class Load(NamedTuple):
    """Read again what is stored, after what was to be stored before; the shell then calls
    `on_loaded(saved, now)`.
    """


class Count(NamedTuple):
    """Add `n` to the counter `name` under the values of its labels."""

    name: str
    labels: tuple[str, ...]
    n: int = 1


class Alarm(NamedTuple):
    """Raise a named alarm: a log line at error level and a counter; `fields` hold nothing secret."""

    name: str
    fields: dict[str, Any]


class Pause(NamedTuple):
    """Stop (`paused`) or go on reading from `source`."""

    source: Hashable
    paused: bool


class Event(NamedTuple):
    """One compact row of an event file.

    `key` is the request's key as text (`Key.text`), empty where there is none; `trace` ties the hops of
    one request together; `data` is small, msgpack-able and masked.
    """

    wall_us: int
    name: str
    key: str
    trace: str
    data: dict[str, Any]


Effect = Send | Close | Record | Store | Load | Count | Alarm | Pause
Effects = list[Effect]
