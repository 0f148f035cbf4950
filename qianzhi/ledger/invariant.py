"""Invariants that stay on in production: a call, not an `assert`, which an interpreter switch removes."""


class InvariantError(Exception):
    """What can only be a programmer's error; the batch that shows it is rolled back and never committed."""


def invariant(holds: bool, what: str) -> None:
    """Raise InvariantError saying `what` unless it `holds`; `what` names no secret and no customer."""
    if not holds:
        raise InvariantError(what)
