"""A bank's limits: the table `[limits]` of a profile.

They are those of the bank as a whole; a profile that runs on several processes divides them by `share`.
"""

from typing import Annotated

from annotated_types import Gt, Le

from qianzhi.domain.money import AMOUNT_FEN_MAX
from qianzhi.runtime.table import table


@table
class Limits:
    """What a bank may have under way at once and what one request of it may ask for.

    reply_seconds     how long a bank's request may take here before it hears the code for unknown, or nothing
    in_flight         requests of this bank that are under way at once; the queue's prefetch
    rate_per_second   requests a second, averaged over a second; above it the bank hears "busy", a queue waits
    amount_fen_max    the most that one recharge or payment may move, in fen
    """

    reply_seconds: Annotated[float, Gt(0), Le(300)]
    in_flight: Annotated[int, Gt(0), Le(100_000)]
    rate_per_second: Annotated[int, Gt(0), Le(1_000_000)]
    amount_fen_max: Annotated[int, Gt(0), Le(AMOUNT_FEN_MAX)]


def share(limit: int, instances: int) -> int:
    """Return one process's part of a limit that `instances` processes hold together; never less than one."""
    return max(1, limit // instances)


def run_of(run: int, limits: Limits, nodes: int) -> int:
    """Return how many requests of a list may go to one node before the next one is chosen; at most `run`.

    A node holds its part of the bank's limit, and of that a run may take a quarter: no list is turned away
    where a partner has room.
    """
    return max(1, min(run, limits.in_flight // (4 * max(1, nodes))))
