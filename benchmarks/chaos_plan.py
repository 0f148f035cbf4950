"""What the chaos run does, and when: drawn from a seed alone, so that a run can be done again.

Every kind comes once before any comes twice, in an order of the seed's; of the heavy ones (a broker or a
database that must start anew) no two come together.  Now and then a second fault begins while the first
still lasts.
"""

from collections.abc import Iterator, Sequence
from random import Random
from typing import NamedTuple

TOGETHER = 0.25  # how often a fault has company
QUIET_SECONDS = (0.5, 3.0)  # between a recovery and the next fault
HEAVY = ("broker", "database", "promote", "standby", "machine", "supervisor", "roll")


class Strike(NamedTuple):
    """One fault of the plan: its kind, its own seed, and the quiet before it (0: beside the one before)."""

    kind: str
    seed: str
    quiet: float
    together: bool = False


def strikes(seed: int, kinds: Sequence[str], *, once: bool = False) -> Iterator[Strike]:
    """Yield faults without end, or with `once` each kind one time."""
    chance = Random(f"chaos/{seed}")
    number = 0
    while True:
        before = ""
        for kind in shuffled(kinds, chance):
            number += 1
            company = not once and bool(before) and chance.random() < TOGETHER
            company = company and not (is_heavy(kind) and is_heavy(before))
            yield Strike(kind, f"{seed}/{number}/{kind}", chance.uniform(*QUIET_SECONDS), company)
            before = "" if company else kind
        if once:
            return


def shuffled(kinds: Sequence[str], chance: Random) -> list[str]:
    """Return the kinds in another order."""
    found = list(kinds)
    chance.shuffle(found)
    return found


def is_heavy(kind: str) -> bool:
    """Whether a fault takes long to heal from."""
    return any(word in kind for word in HEAVY)
