"""What a simulated bank does all day, as data: the mix of its actions, its customers, its patience.

An action is a short script of steps about one serial.  The shares are whole parts, not percentages: an
action with part 20 among parts of 100 in all is begun one time in five.  Nothing is read here;
`scenario_file` does that.
"""

from dataclasses import field
from enum import StrEnum
from typing import Protocol

from qianzhi.runtime.problems import Problem
from qianzhi.runtime.table import table


class Chance(Protocol):
    """The randomness that a pure model is given; `random.Random` fits."""

    def randrange(self, start: int, stop: int) -> int:
        """Return a number from `start` up to, not including, `stop`."""


class Step(StrEnum):
    """One request of the bank within an action."""

    OWED = "owed"
    ORIGINAL = "original"  # the recharge or payment itself
    REPEAT = "repeat"  # the same serial and content once more
    OTHER = "other"  # the same serial with another amount: must be refused as a duplicate
    STATUS = "status"
    REVERSAL = "reversal"


# Every action and its steps, in order; a step goes out when the one before it has its answer.
ACTIONS: dict[str, tuple[Step, ...]] = {
    "owed": (Step.OWED,),
    "recharge": (Step.ORIGINAL,),
    "pay": (Step.OWED, Step.ORIGINAL),
    "pay_changed": (Step.OWED, Step.ORIGINAL),  # quotes an amount that is not the bill's
    "repeat": (Step.ORIGINAL, Step.REPEAT),
    "status": (Step.ORIGINAL, Step.STATUS),
    "status_unseen": (Step.STATUS, Step.ORIGINAL),  # asking settles: the late original must be refused
    "reversal": (Step.ORIGINAL, Step.REVERSAL),
    "reversal_repeat": (Step.ORIGINAL, Step.REVERSAL, Step.REPEAT),
    "reversal_early": (Step.REVERSAL, Step.ORIGINAL),
    "reversal_lone": (Step.REVERSAL,),
    "duplicate": (Step.ORIGINAL, Step.OTHER),
    "unknown_phone": (Step.ORIGINAL,),
    "closed_phone": (Step.ORIGINAL,),
    "zero_amount": (Step.ORIGINAL,),
    "absurd_amount": (Step.ORIGINAL,),
}


@table
class Customers:
    """The bank's own customers: whose phones they recharge, and the money they have."""

    count: int = 1000
    phone_first: int = 13_800_000_000
    money_yuan: int = 10_000
    amounts_yuan: list[int] = field(default_factory=lambda: [10, 20, 30, 50, 100])
    unknown_phone: str = "19999999999"
    closed_phones: list[str] = field(default_factory=list)
    absurd_yuan: int = 9_999_999


@table
class Waits:
    """How long the bank waits for an answer, and how it spaces what it does when none came (milliseconds).

    Of messages on their way so many may be such as settle what got no answer: else all that an outage has
    left open is asked again at once, new requests find no room, and the outage outlives its cause.
    """

    reply_ms: int = 5_000
    backoff_ms: int = 200
    backoff_max_ms: int = 4_000
    in_flight_max: int = 2_000
    settling_max: int = 32


@table
class Settle:
    """What the bank does about an unknown outcome, in parts: ask again, query, or take it back."""

    repeat: int = 4
    status: int = 3
    reversal: int = 3


@table
class Scenario:
    """One scenario file; `rate` is requests a second over all steps."""

    title: str
    seed: int = 1
    rate: int = 20
    mix: dict[str, int]
    customers: Customers = Customers()
    waits: Waits = Waits()
    settle: Settle = Settle()


def check_scenario(scenario: Scenario, file: str) -> list[Problem]:
    """Return what the types cannot say: unknown actions, no action at all, nobody to call."""
    problems = [
        Problem(file, f"mix.{name}", repr(name), f"one of {', '.join(ACTIONS)}")
        for name in scenario.mix
        if name not in ACTIONS
    ]
    problems += [
        Problem(file, f"mix.{name}", str(part), "a part of 0 or more")
        for name, part in scenario.mix.items()
        if part < 0
    ]
    bounds = {
        "mix": sum(scenario.mix.values()),
        "rate": scenario.rate,
        "customers.count": scenario.customers.count,
        "customers.amounts_yuan": len(scenario.customers.amounts_yuan),
        "waits.reply_ms": scenario.waits.reply_ms,
        "waits.backoff_ms": scenario.waits.backoff_ms,
        "waits.settling_max": scenario.waits.settling_max,
        "settle": scenario.settle.repeat + scenario.settle.status + scenario.settle.reversal,
    }
    problems += [Problem(file, key, str(n), "more than 0") for key, n in bounds.items() if n <= 0]
    if scenario.mix.get("closed_phone") and not scenario.customers.closed_phones:
        problems.append(Problem(file, "customers.closed_phones", "none", "some, as the mix has closed_phone"))
    return problems


def choose(parts: dict[str, int], chance: Chance) -> str:
    """Pick a name by its part; the order of the dict is part of the seed's meaning."""
    roll = chance.randrange(0, sum(parts.values()))
    for name, part in parts.items():
        if roll < part:
            return name
        roll -= part
    raise AssertionError("the parts do not add up to their sum")
