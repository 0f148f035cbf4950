"""The shape of a text message: its regions, and which body its header calls for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from qianzhi.wire.errors import Reason, RemoteProtocolError
from qianzhi.wire.items import Message
from qianzhi.wire.text_parts import BLANKS, Section

ANYTHING = "*"

Region = tuple[int, int]


class Regions(NamedTuple):
    """Where header, body and trailer stand; a body of no columns at all is None."""

    header: Region
    body: Region | None
    trailer: Region


@dataclass(frozen=True)
class Body:
    """One of the bodies: `when` pairs a part of the header with the values it may have.

    An empty value means a blank part, `*` any that is not blank.
    """

    name: str
    title: str
    when: tuple[tuple[str, tuple[str, ...]], ...]
    section: Section

    def fits(self, header: Message) -> bool:
        """Tell whether the header calls for this body."""
        return all(_allows(values, header.get(name)) for name, values in self.when)


@dataclass(frozen=True)
class Shape:
    """A dialect of text messages, compiled.

    `cut` finds the regions and raises RemoteProtocolError; `glue` stands between them, `ending` behind.
    """

    header: Section
    bodies: tuple[Body, ...]
    trailer: Section
    cut: Callable[[bytes], Regions]
    glue: bytes
    ending: bytes
    bytes_max: int

    def body_of(self, header: Message) -> Body | None:
        """Return the first body that the header calls for."""
        return next((body for body in self.bodies if body.fits(header)), None)


def _allows(values: tuple[str, ...], found: Any) -> bool:
    blank = not isinstance(found, str) or not found.strip(BLANKS)
    if blank:
        return "" in values
    return ANYTHING in values or found in values


def sizes_of(body: bytes, regions: Regions) -> dict[str, int]:
    """Return what the header may say about sizes, as it is."""
    inner = regions.body or (0, 0)
    return {"total_bytes": len(body), "body_bytes": inner[1] - inner[0]}


def body_region(section: Section, regions: Regions) -> Region:
    """Return where a body stands; raises RemoteProtocolError when it has columns and none came."""
    if regions.body is not None:
        return regions.body
    at = regions.header[1]
    if section.columns_min:
        raise section.parts[0].item.about.error(at, "a column", "none", Reason.MISSING)
    return at, at


def too_long(bytes_max: int, found: int) -> RemoteProtocolError:
    """Return the error of a message over the dialect's limit."""
    expected = f"at most {bytes_max} bytes"
    return RemoteProtocolError("message", 0, expected, str(found), Reason.LENGTH_TOO_LARGE)
