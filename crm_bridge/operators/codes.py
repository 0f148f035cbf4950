"""First passwords: a code in two halves, of which the maker is told one and the checker the other.  Pure.

So neither of the two who let somebody in ever knows a password of his, and no third person is made up by
one of them.  The code is good for choosing a password and for nothing else.

    stored:  first:HASH            after the proposal: nobody gets in by it
             first:HASH|HASH       after the approval
    given:   half-half             the maker's and then the checker's
"""

from collections.abc import Callable

FIRST = "first:"
_BETWEEN = "|"  # in no hash
_JOINT = "-"  # in no half
HALF_CHARS = 12
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that is taken for another one


def begun(half_hash: str) -> str:
    """Return what is stored in a password's place while the act waits."""
    return FIRST + half_hash


def whole(stored: str, half_hash: str) -> str:
    """Return what is stored in a password's place once the act is approved."""
    return stored + _BETWEEN + half_hash


def is_code(stored: str) -> bool:
    """Say whether a code stands where a password's hash would."""
    return stored.startswith(FIRST)


def fits(stored: str, given: str, same: Callable[[str, str], bool]) -> bool:
    """Say whether this is the code; `same` compares a half with its hash."""
    hashes = stored.removeprefix(FIRST).split(_BETWEEN)
    halves = given.strip().casefold().split(_JOINT)
    if len(hashes) != 2 or len(halves) != 2:
        return False
    found = [same(one, half) for one, half in zip(hashes, halves, strict=True)]  # a wrong half costs as much
    return all(found)
