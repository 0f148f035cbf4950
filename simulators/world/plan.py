"""What a seed means: who is there, what they do, and what goes wrong; data that can be written down.  Pure.

Each seed turns on a random part of all faults, each with a random strength, at random times.  A run is its
plan and its seed: the seed decides what is drawn while it runs, so that a plan with a fault less is still
the same world.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from qianzhi.runtime.now import SECOND_US
from simulators.world.faults import Fault
from simulators.world.kernel import Dice
from simulators.world.parts import BankPlan, NetworkPlan

MINUTE_US = 60 * SECOND_US
NEWEST = 1_782_900_000_000_000  # 2026-07-01 18:00 in Shanghai; runs begin on a day from here on
MIDNIGHT_US = 6 * 3_600 * SECOND_US  # from there to the next local midnight
ON_PER_MILLE = 300  # how often a kind of fault is on in a seed
CHARGES_PER_MILLE = 350  # seeds in which the house asks a network for money
DEAF_PER_MILLE = 140  # of those, seeds in which it is away for longer than entries are tried
DEAF_US = 3_900 * SECOND_US
QUICK_SHARE = 3  # requests of a bank with a quick dialect, to one of another's
NETWORK_KILLS_MAX = 3  # deaths of nodes in a seed with a network, beside those of all seeds
OFF_MINUTES_MAX = 15
QUEUED_BEHIND_US = 20 * SECOND_US
CALM_PER_MILLE = 60  # seeds in which nothing goes wrong


class Plan(NamedTuple):
    """One run.  `load_us` is how long banks begin anew, `heal_us` when every fault is over."""

    seed: int
    epoch_us: int
    banks: tuple[BankPlan, ...]
    faults: tuple[Fault, ...] = ()
    networks: tuple[NetworkPlan, ...] = ()
    leased: bool = False  # the nodes share their rows, as on PostgreSQL
    nodes: int = 2
    bridges: int = 2
    writers: int = 1
    whole: bool = False  # a transaction has the whole database to itself, as on SQLite
    load_us: int = 60 * SECOND_US
    heal_us: int = 75 * SECOND_US
    settle_us: int = 900 * SECOND_US

    def text(self) -> str:
        """The plan as JSON, to be read by `Plan.read`."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def read(cls, text: str) -> "Plan":
        """Read what `text` wrote; raises msgspec.ValidationError."""
        return msgspec.json.decode(text, type=cls)


class Draw(NamedTuple):
    """How one kind of fault is drawn: how many times, how strong, how long, and of whom."""

    kind: str
    targets: str  # a key of `_targets`
    times: tuple[int, int] = (1, 2)
    strength: tuple[int, int] = (0, 1)
    for_us: tuple[int, int] = (SECOND_US, 10 * SECOND_US)
    whole: bool = False  # the whole run long


DRAWS = (
    Draw("kill", "fronts", (1, 4), (0, 12), (200_000, 8 * SECOND_US)),
    Draw("kill", "queued", (1, 3), (0, 12), (200_000, 8 * SECOND_US)),
    Draw("kill", "nodes", (1, 4), (0, 12), (200_000, 8 * SECOND_US)),
    Draw("kill", "bridges", (1, 4), (0, 12), (200_000, 8 * SECOND_US)),
    Draw("freeze", "ours", (1, 4), (0, 12), (300_000, 20 * SECOND_US)),
    Draw("clock_jump", "ours", (1, 3), (-3_600, 3_600), (5 * SECOND_US, 40 * SECOND_US)),
    Draw("clock_jump", "queued", (1, 2), (20, 90), (5 * SECOND_US, 40 * SECOND_US)),  # past messages' expiry
    Draw("drain", "ours", (1, 3), (0, 1), (SECOND_US, 10 * SECOND_US)),
    Draw("signed_off", "nets", (1, 2), (0, 1), (2 * SECOND_US, 30 * SECOND_US)),
    Draw("slow", "network", (1, 2), (10, 4_000), (2 * SECOND_US, 30 * SECOND_US)),
    Draw("lossy", "network", (1, 1), (1, 60), whole=True),
    Draw("split", "network", (1, 1), (5, 120), whole=True),
    Draw("cut", "pairs", (1, 4), (0, 1), (500_000, 20 * SECOND_US)),
    Draw("cut_one_way", "pairs", (1, 4), (0, 1), (500_000, 20 * SECOND_US)),
    Draw("reset", "network", (1, 2), (5, 200), (2 * SECOND_US, 20 * SECOND_US)),
    Draw("bank_frames_lost", "network", (1, 1), (2, 120), whole=True),
    Draw("bank_frames_twice", "network", (1, 1), (2, 120), whole=True),
    Draw("bank_frames_late", "network", (1, 1), (2, 120), whole=True),
    Draw("bank_frames_broken", "network", (1, 1), (2, 40), whole=True),
    Draw("disk_full", "disks", (1, 2), (0, 1), (SECOND_US, 15 * SECOND_US)),
    Draw("disk_slow", "disks", (1, 2), (5, 800), (2 * SECOND_US, 30 * SECOND_US)),
    Draw("torn", "disks", (1, 1), (100, 600), whole=True),
    Draw("deadlock", "database", (1, 1), (2, 150), whole=True),
    Draw("serialization", "database", (1, 1), (2, 150), whole=True),
    Draw("commit_unknown_written", "database", (1, 1), (2, 80), whole=True),
    Draw("commit_unknown_lost", "database", (1, 1), (2, 80), whole=True),
    Draw("slow_database", "database", (1, 2), (5, 1_500), (2 * SECOND_US, 20 * SECOND_US)),
    Draw("database_restart", "database", (1, 2), (0, 1), (300_000, 8 * SECOND_US)),
    Draw("failover", "database", (1, 1), (0, 1), (SECOND_US, 15 * SECOND_US)),
    Draw("standby_cut", "database", (1, 2), (0, 1), (SECOND_US, 20 * SECOND_US)),
    Draw("read_only", "database", (1, 1), (0, 1), (SECOND_US, 8 * SECOND_US)),
    Draw("database_full", "database", (1, 1), (0, 1), (SECOND_US, 10 * SECOND_US)),
    Draw("bad_request", "database", (1, 1), (2, 20), whole=True),
    Draw("bad_row", "database", (1, 1), (2, 20), whole=True),
    Draw("redelivery", "broker", (1, 1), (5, 150), whole=True),
    Draw("duplicate", "broker", (1, 1), (5, 100), whole=True),
    Draw("confirm_lost", "broker", (1, 1), (5, 150), whole=True),
    Draw("nack", "broker", (1, 1), (5, 100), whole=True),
    Draw("poison", "broker", (1, 1), (5, 50), whole=True),
    Draw("reply_queue_gone", "broker", (1, 2), (0, 1), (300_000, 6 * SECOND_US)),
    Draw("queue_gone", "broker", (1, 3)),
    Draw("body_broken", "broker", (1, 1), (2, 40), whole=True),
    Draw("broker_restart", "broker", (1, 2), (0, 1), (500_000, 10 * SECOND_US)),
    Draw("broker_pause", "broker", (1, 2), (0, 1), (500_000, 10 * SECOND_US)),
)


class Offer(NamedTuple):
    """What a plan may choose from: profiles by how often they are taken, and names of habits.

    `parts` are (profile, parts); a dialect that costs much is taken rarely.  `paired` may run on two fronts.
    `networks` are asked for money; of `noticed` some tell when their business date ends.  A `quick` one asks
    more than one beside it that is not.
    """

    parts: tuple[tuple[str, int], ...]
    habits: tuple[str, ...]
    paired: frozenset[str] = frozenset()
    queued: frozenset[str] = frozenset()
    networks: tuple[str, ...] = ()
    noticed: frozenset[str] = frozenset()
    quick: frozenset[str] = frozenset()


def make_plan(seed: int, offer: Offer, dice: Dice, requests: int = 500) -> Plan:
    """Return what this seed means."""
    epoch_us = NEWEST + dice.below(60) * 86_400 * SECOND_US + _time_of_day(dice)
    load_us = (20 + dice.below(50)) * SECOND_US
    banks = _banks(offer, dice, requests, load_us)
    bridges = 1 + dice.below(2)
    plan = Plan(
        seed,
        epoch_us,
        banks,
        bridges=bridges,
        whole=bridges == 1 and dice.below(2) == 0,
        writers=1 + dice.below(3),
        networks=_networks(offer, dice, requests),
        leased=dice.below(2) == 0,
        load_us=load_us,
        heal_us=load_us + 10 * SECOND_US,
    )
    if dice.hit(CALM_PER_MILLE):
        return plan
    return plan._replace(faults=tuple(sorted(_faults(plan, offer, dice), key=lambda fault: fault.at_us)))


def _time_of_day(dice: Dice) -> int:
    """Begin anywhere, or so that midnight or a day's closing comes while banks are busy."""
    kind = dice.below(3)
    if kind == 0:
        return dice.below(6 * 3_600) * SECOND_US
    return MIDNIGHT_US - dice.below(60) * SECOND_US


def _banks(offer: Offer, dice: Dice, requests: int, load_us: int) -> tuple[BankPlan, ...]:
    names = [name for name, parts in offer.parts for _ in range(parts)]
    chosen: list[str] = []
    for _ in range(2 + dice.below(3)):
        name = dice.pick(names)
        if name not in chosen:
            chosen.append(name)
    shares = [QUICK_SHARE if name in offer.quick else 1 for name in chosen]
    asked = [max(1, requests * share // sum(shares)) for share in shares]
    rates = [max(1, each * SECOND_US // load_us) for each in asked]
    return tuple(
        BankPlan(
            name,
            asked[number],
            rate=rates[number],
            habits=(dice.pick(offer.habits),),
            customers=4 + dice.below(30),
            phone_first=13_900_000_000 + 1_000 * number,
            instances=1 + (dice.below(2) if name in offer.paired else 0),
            in_flight=1 + dice.below(6) if dice.below(8) == 0 else 0,
            per_second=rates[number] + dice.below(4) if dice.below(8) == 0 else 0,
            offset_us=_off_us(dice, queued=name in offer.queued),
            notice_us=1 + dice.below(load_us) if name in offer.noticed and dice.below(2) else 0,
        )
        for number, name in enumerate(chosen)
    )


def _off_us(dice: Dice, *, queued: bool) -> int:
    """Return how far a bank's clock is from the true time: in most seeds not at all.

    What a queue's bank sends expires by that bank's own clock: one that is minutes behind sends nothing that
    could be served, and finds that out when it is set up.
    """
    if dice.below(4):
        return 0
    off_us = (1 + dice.below(OFF_MINUTES_MAX)) * MINUTE_US + dice.below(MINUTE_US)
    if queued:
        return dice.pick((off_us, -dice.below(QUEUED_BEHIND_US)))
    return dice.pick((off_us, -off_us))


def _networks(offer: Offer, dice: Dice, requests: int) -> tuple[NetworkPlan, ...]:
    """Return the networks of a seed, none in most."""
    if not offer.networks or not dice.hit(CHARGES_PER_MILLE):
        return ()
    odd = dice.pick((0, 300))
    return (
        NetworkPlan(
            dice.pick(offer.networks),
            charges=max(4, requests // 16),
            phone_first=13_700_000_000,
            declined=dice.below(100),
            late=dice.below(200),
            silent=dice.below(200) + dice.pick((0, 0, 250)),
            lost=dice.below(350),
            odd=odd,
        ),
    )


def _faults(plan: Plan, offer: Offer, dice: Dice) -> Iterator[Fault]:
    targets = _targets(plan, offer)
    for draw in DRAWS:
        if not targets[draw.targets] or not dice.hit(ON_PER_MILLE):
            continue
        for _ in range(_between(draw.times, dice) if not draw.whole else 1):
            target, other = dice.pick(targets[draw.targets])
            strength = _between(draw.strength, dice)
            if draw.whole:
                yield Fault(draw.kind, target, 0, plan.heal_us, strength, other)
            else:
                at_us = dice.below(plan.load_us)
                yield Fault(draw.kind, target, at_us, _between(draw.for_us, dice), strength, other)
    if plan.networks and dice.hit(DEAF_PER_MILLE):  # longer than any entry waits
        at_us = plan.load_us // 4
        yield Fault("deaf", f"net-{plan.networks[0].name}", at_us, DEAF_US)
    if dice.hit(ON_PER_MILLE):  # both nodes at once
        at_us = dice.below(plan.load_us)
        for number in range(1, plan.nodes + 1):
            yield Fault(
                "kill", f"node-{number}", at_us, _between((200_000, 8 * SECOND_US), dice), dice.below(12)
            )
    if dice.hit(ON_PER_MILLE):  # or both stand still
        at_us, for_us = dice.below(plan.load_us), _between((300_000, 20 * SECOND_US), dice)
        for number in range(1, plan.nodes + 1):
            yield Fault("freeze", f"node-{number}", at_us, for_us, dice.below(4))
    if plan.networks:  # with entries and charges under way
        for _ in range(dice.below(NETWORK_KILLS_MAX + 1)):
            node = f"node-{1 + dice.below(plan.nodes)}"
            yield Fault("kill", node, dice.below(plan.load_us), _between((200_000, 4 * SECOND_US), dice), 1)


def _between(bounds: tuple[int, int], dice: Dice) -> int:
    low, high = bounds
    return low + dice.below(high - low + 1) if high > low else low


def _targets(plan: Plan, offer: Offer) -> dict[str, list[tuple[str, str]]]:
    """Return whom each word of a draw names, as (target, other)."""
    fronts = fronts_of(plan.banks) + [f"front-{network.name}-1" for network in plan.networks]
    nodes = [f"node-{number}" for number in range(1, plan.nodes + 1)]
    bridges = [f"bridge-{number}" for number in range(1, plan.bridges + 1)]
    banks = [(f"bank-{bank.name}", front) for bank in plan.banks for front in fronts_of([bank])]
    banks += [(f"net-{network.name}", f"front-{network.name}-1") for network in plan.networks]
    pairs = [(front, node) for front in fronts for node in nodes]
    pairs += [(node, bridge) for node in nodes for bridge in bridges] + banks
    pairs += [(one, "") for one in (*fronts, *nodes, *bridges)]
    pairs += [(second, first) for first, second in pairs if second]
    queued = fronts_of([bank for bank in plan.banks if bank.name in offer.queued])
    return {
        "fronts": [(name, "") for name in fronts],
        "queued": [(name, "") for name in queued],
        "nodes": [(name, "") for name in nodes],
        "bridges": [(name, "") for name in bridges],
        "ours": [(name, "") for name in (*fronts, *nodes, *bridges)],
        "pairs": pairs,
        "nets": [(f"net-{network.name}", "") for network in plan.networks],
        "network": [("network", "")],
        "disks": [("disk/1", ""), ("disk/2", "")],
        "database": [("database", "")],
        "broker": [("broker", "")] if queued else [],
    }


def fronts_of(banks: Sequence[BankPlan]) -> list[str]:
    """Return the names of the banks' front-end daemons."""
    return [f"front-{bank.name}-{at}" for bank in banks for at in range(1, bank.instances + 1)]
