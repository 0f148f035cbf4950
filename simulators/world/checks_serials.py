"""Serials that we issue, held to one meaning each, across restarts and between the two of a pair (I13).

Pure.  What counts is what goes out: a front's own messages as its bank reads them, a node's charges and what
takes them back, the order numbers that banks are told.  A serial of ours may be said again, and then it means
the same; given to a second thing of the same destination and date it is a fault, whoever died in between.
"""

from collections.abc import Hashable, Mapping
from itertools import count
from typing import TYPE_CHECKING

from frontends.mapping import Sort
from simulators.codecs import BankCodecError, bank_codec
from simulators.codecs.paths import value_at
from simulators.world.observe import Violation

if TYPE_CHECKING:
    from frontends.profile import Profile  # it reads files; its shape alone is used here

# Of these each is a message of its own; of any other the same bytes may be said again.
_ONCE = frozenset({"echo"})
_OURS = frozenset({"echo", "key_delivery"})  # what a front begins by itself


class Serials:
    """What each of our serials was used for."""

    def __init__(self) -> None:
        self._used: dict[tuple[str, int, str], Hashable] = {}

    def used(self, space: str, date: int, serial: str, meaning: Hashable) -> None:
        """Take a serial as it went out; a repeat means the same."""
        was = self._used.setdefault((space, date, serial), meaning)
        if was != meaning:
            key = f"{space}/{date:08d}/{serial}"
            raise Violation("I13", key, "a serial of ours is used again", first=was, second=meaning)


class LineSerials:
    """The serials of what fronts say by themselves, read from their frames with the banks' own codecs.

    A line's serials are leased for good, whatever the date, so that none comes back within a run.
    """

    def __init__(self, serials: Serials, profiles: "Mapping[str, Profile]") -> None:
        self._serials = serials
        self._reads = {
            name: (bank_codec(one.spec), one.mapping, one.table.request.serial.partition("|")[0])
            for name, one in profiles.items()
            if _OURS & set(one.table.management)
        }
        self._said = count(1)

    def went(self, bank: str, front: str, frame: bytes) -> None:
        """Take a frame as a front sends it; only what it begins itself has a serial of ours."""
        if bank not in self._reads:
            return
        codec, mapping, path = self._reads[bank]
        try:
            message = codec.decode(frame)
        except BankCodecError:
            return  # an answer that is no message of the dialect is found out elsewhere
        if mapping.sort_of(message) is not Sort.MANAGEMENT:
            return
        name = mapping.management_of(message)
        meaning = f"{name} {next(self._said)} of {front}" if name in _ONCE else f"{name} {frame.hex()}"
        self._serials.used(f"line of {bank}", 0, str(value_at(message, path)), meaning)
