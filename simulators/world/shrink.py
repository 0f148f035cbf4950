"""Makes a failing plan smaller while it goes on failing: fewer faults, fewer banks, fewer requests.  Pure.

A plan with a fault less is still the same world, because every part draws from a stream of its own, so that
what is left out is mostly left out alone.
"""

from collections.abc import Callable, Iterator

from simulators.world.plan import Plan

TRIES_MAX = 120


def shrink(plan: Plan, fails: Callable[[Plan], bool], tries_max: int = TRIES_MAX) -> Plan:
    """Return the smallest plan found that still fails in the same way, as `fails` says."""
    tries = 0
    smaller = True
    while smaller and tries < tries_max:
        smaller = False
        for candidate in candidates(plan):
            tries += 1
            if tries > tries_max:
                break
            if fails(candidate):
                plan, smaller = candidate, True
                break
    return plan


def candidates(plan: Plan) -> Iterator[Plan]:
    """Yield smaller plans, the much smaller ones first."""
    faults = plan.faults
    size = len(faults)
    while size >= 1:
        for start in range(0, len(faults), size):
            yield plan._replace(faults=faults[:start] + faults[start + size :])
        size //= 2
    for bank in plan.banks if len(plan.banks) > 1 else ():
        yield plan._replace(banks=tuple(one for one in plan.banks if one is not bank))
    for number, bank in enumerate(plan.banks):
        for part in (4, 2):
            if bank.requests >= 2 * part:
                fewer = bank._replace(requests=bank.requests // part)
                yield plan._replace(banks=(*plan.banks[:number], fewer, *plan.banks[number + 1 :]))
    for number, bank in enumerate(plan.banks):
        if bank.instances > 1:
            single = bank._replace(instances=1)
            yield plan._replace(banks=(*plan.banks[:number], single, *plan.banks[number + 1 :]))
    if plan.bridges > 1:
        yield plan._replace(bridges=1)
    if plan.writers > 1:
        yield plan._replace(writers=1)
