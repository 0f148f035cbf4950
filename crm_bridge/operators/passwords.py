"""Passwords' hashes: argon2id with the sizes that OWASP's cheat sheet names (19 MiB, two passes, one lane).

A hash takes tens of milliseconds and 19 MiB, so it is made on the operators' own thread, one at a time.
"""

import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from crm_bridge.operators.codes import HALF_CHARS, LETTERS

MEMORY_KIB = 19 * 1024
PASSES = 2
LANES = 1


class Argon2:
    """Makes and compares hashes in argon2's own encoding, which holds salt and sizes."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)

    def make(self, password: str) -> str:
        """Return the hash of a password, with a salt of its own."""
        return self._hasher.hash(password)

    def code(self) -> str:
        """Return a new half of a code that lets somebody in; some 59 bits."""
        return "".join(secrets.choice(LETTERS) for _ in range(HALF_CHARS))

    def same(self, password_hash: str, password: str) -> bool:
        """Say whether this is the password of that hash; a text that is no hash is nobody's."""
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False
