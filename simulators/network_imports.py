"""Make-up booking at a simulated network: a day-end file of store-and-forward, booked once.

A line is what the network could not be told online: a reversal or refund to be carried out, or an advice to
be taken.  Each is booked under its charge's key and its id is kept in the same line of the books, so a file
may come as often as one likes, and a death on the way leaves nothing half booked.  What a line comes to is
judged by the rule that judges the network's answer online.
"""

from random import Random  # noqa: TID251 - seeded
from typing import TYPE_CHECKING

from qianzhi.domain.requests import Key, Kind, Request
from qianzhi.runtime.now import Now
from qianzhi.saf.exported import ExportError, Line, bring_in, read_export
from qianzhi.saf.policies import Meaning, meaning
from simulators.imported import Imported
from simulators.network import Network
from simulators.network_books import BooksFile

if TYPE_CHECKING:
    from frontends.profile import Profile

KINDS = {
    kind.name.lower(): kind for kind in (Kind.CHARGE_REVERSAL, Kind.CHARGE_REFUND, Kind.ADVICE)
}  # what a network is told of a charge


def import_file(profile: "Profile", books: BooksFile, data: bytes, now: Now) -> Imported:
    """Book a file's lines into the books of this profile's network.

    Raises ExportError for a file of which nothing may be booked, before anything is.
    """
    read = read_export(data)
    if read.head.destination != profile.name:
        raise ExportError(f"the file is for {read.head.destination}, and this is {profile.name}")
    requests = {line.id: _request(profile, line) for line in read.lines}
    new = bring_in(read, books.booked())
    advises = profile.outward is not None and profile.outward.terms.advises
    network = Network(Random(0), holds=advises)  # noqa: S311 - nothing is left to chance in a file
    network.restore(books.read())
    refused: list[tuple[str, str]] = []
    for line in new:
        request = requests[line.id]
        reply = network.book(request, now)
        settled = meaning(request, reply.result) is Meaning.SETTLED
        if not settled:
            refused.append((line.id, reply.result.name.lower()))
        books.write(request.key, network.charges.get(request.key), line.id if settled else "")
    return Imported(len(new) - len(refused), len(read.lines) - len(new), refused)


def _request(profile: "Profile", line: Line) -> Request:
    """Return what a line asks of the network; raises ExportError."""
    space = profile.outward.terms.space if profile.outward is not None else ""
    kind = KINDS.get(line.kind)
    if kind is None:
        raise ExportError(f"the line {line.id} is a {line.kind}, which a network does not book")
    try:
        key = Key.parse(line.key)
    except ValueError as error:
        raise ExportError(f"the line {line.id} cannot be booked: {error}") from error
    if key.space != space or line.amount_fen <= 0:
        raise ExportError(f"the line {line.id} is about no charge of {profile.name}: {line.key}")
    return Request(
        kind,
        key.space,
        key.date,
        key.serial,
        profile.name,
        "",
        phone=line.phone,
        amount_fen=line.amount_fen,
        own_serial=line.own_serial,
        reason=line.reason,
    )
