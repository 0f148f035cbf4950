"""What the chaos run does, and when: drawn from a seed alone, so that a run can be done again.

The faults of one round begin together.  Every kind comes once before any comes twice, in an order of the
seed's; of the heavy ones (a broker or a database that must start anew) no two come together.
"""

from collections.abc import Iterator, Sequence
from random import Random
from typing import NamedTuple

TOGETHER = 0.9  # how often a fault has company, and so on
TOGETHER_MAX = 6
QUIET_SECONDS = (0.2, 1.0)  # between a recovery and the next round
LIGHT_BESIDE = 3  # where each kind comes but once
OF_MACHINES = ("machine", "supervisor", "roll")
HEAVY = ("broker", "database", "promote", "standby", *OF_MACHINES)


class Strike(NamedTuple):
    """One fault of the plan: its kind, and its own seed, from which its victim and strength are drawn."""

    kind: str
    seed: str


class Round(NamedTuple):
    """Faults that begin together, and the quiet before them in seconds."""

    strikes: tuple[Strike, ...]
    quiet: float


def endless(seed: int, kinds: Sequence[str]) -> Iterator[Round]:
    """Yield rounds without end."""
    chance = Random(f"chaos/{seed}")
    number = 0
    while True:
        left = shuffled(kinds, chance)
        while left:
            together = [left.pop()]
            while left and len(together) < TOGETHER_MAX and chance.random() < TOGETHER:
                heavy = any(map(is_heavy, together))
                beside = next((kind for kind in reversed(left) if not (heavy and is_heavy(kind))), None)
                if beside is None:
                    break
                left.remove(beside)
                together.append(beside)
            yield Round(numbered(seed, number, together), chance.uniform(*QUIET_SECONDS))
            number += len(together)


def each_once(seed: int, kinds: Sequence[str]) -> Iterator[Round]:
    """Yield each kind one time and without rest: a heavy one of a server's, with it one of a machine's while
    there are any, and light ones beside.
    """
    left = shuffled(kinds, Random(f"chaos/{seed}"))
    heavy = [kind for kind in left if is_heavy(kind)]
    servers = [kind for kind in heavy if not is_of_machine(kind)]
    machines = [kind for kind in heavy if is_of_machine(kind)]
    light = [kind for kind in left if not is_heavy(kind)]
    number = 0
    while servers or machines or light:
        together = [some.pop() for some in (servers, machines) if some]
        while light and len(together) <= LIGHT_BESIDE:
            together.append(light.pop())
        yield Round(numbered(seed, number, together), 0.0)
        number += len(together)


def numbered(seed: int, number: int, kinds: Sequence[str]) -> tuple[Strike, ...]:
    """Give each fault a seed of its own."""
    return tuple(Strike(kind, f"{seed}/{number + at}/{kind}") for at, kind in enumerate(kinds, 1))


def shuffled(kinds: Sequence[str], chance: Random) -> list[str]:
    """Return the kinds in another order."""
    found = list(kinds)
    chance.shuffle(found)
    return found


def is_heavy(kind: str) -> bool:
    """Whether a fault takes long to heal from."""
    return any(word in kind for word in HEAVY)


def is_of_machine(kind: str) -> bool:
    """Whether a fault is at all daemons of a machine."""
    return any(word in kind for word in OF_MACHINES)
