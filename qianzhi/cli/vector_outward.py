"""Vectors of what we ask of a network: each message of ours, its repeat, and the network's answers.

what we ask              written by the platform's own codec and MACs
what the network says    written by the simulators', which share nothing with `wire`
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from frontends.outward_mapping import OutwardMapping
from frontends.outward_tables import OutwardTransactionTable
from qianzhi.cli.sample_requests import AMOUNT_FEN, NOW, ORDER, PHONE, TODAY, serial_of
from qianzhi.domain.requests import Kind, Reply, Request
from qianzhi.domain.results import Result

if TYPE_CHECKING:
    from qianzhi.cli.vector_making import Bench, Vector

Message = dict[str, Any]

SERIAL, OWN = 701, 801  # of the charge, and of messages about it
MINUTE_US = 60_000_000
REFUSALS = {
    Kind.CHARGE: (Result.OVER_QUOTA, Result.UNKNOWN),
    Kind.CHARGE_REVERSAL: (Result.NOT_FOUND,),
    Kind.CHARGE_REFUND: (Result.ORIGINAL_REFUSED,),
    Kind.ADVICE: (Result.NOT_FOUND,),
}


def outward_vectors(bench: "Bench") -> Iterator[tuple["Vector", Message]]:
    """Yield each transaction as we ask for it, then its answers; nothing where nothing is asked."""
    outward, table = bench.profile.outward, bench.profile.table
    if outward is None or table.outward is None:
        return
    for at, (name, rows) in enumerate(table.outward.transactions.items()):
        what = f"outward.transactions.{name}"
        request = request_of(bench, outward, rows, at)
        message = outward.message_of(request)
        yield bench.vector(name, "out", what, message), message
        asked = bench.bank.decode(bench.by_us(message))
        read = outward.mapping.request_of(asked, NOW)
        for result in (Result.APPROVED, *REFUSALS[request.kind]):
            reply = Reply(result, ORDER if result is Result.APPROVED else "", AMOUNT_FEN)
            answer = outward.mapping.reply_message(
                asked, read if isinstance(read, Request) else None, reply, NOW
            )
            yield bench.vector(f"{name}.{result.name.lower()}", "in", what, answer), answer
        if rows.again or "repeat" in {**table.request.take, **rows.take}:
            again = outward.message_of(request_of(bench, outward, rows, at, repeat=True))
            yield bench.vector(f"{name}_repeat", "out", what, again), again


def request_of(
    bench: "Bench", outward: OutwardMapping, rows: OutwardTransactionTable, at: int, *, repeat: bool = False
) -> Request:
    """Return what a node asks for in this transaction; one about a charge is about that of the first one."""
    taken = {**bench.profile.table.request.take, **rows.take}
    kind = Kind[rows.kind.upper()]
    about = kind is not Kind.CHARGE
    reasons = bench.profile.table.outward.reasons if bench.profile.table.outward else {}
    return Request(
        kind,
        outward.terms.space,
        TODAY,
        serial_of(taken["serial"], SERIAL),
        bench.profile.name,
        bench.profile.numbers[0],
        phone=PHONE,
        amount_fen=AMOUNT_FEN,
        repeat=repeat,
        received_us=NOW.wall_us + MINUTE_US * about,
        own_serial=serial_of(taken["own_serial"], OWN + at) if about else "",
        stamp_us=NOW.wall_us if about else 0,
        reason=next(iter(reasons), "") if "reason" in taken else "",
    )
