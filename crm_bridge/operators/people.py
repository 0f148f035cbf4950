"""Operators: who may propose and approve what moves money, and how an attempt to be one is judged.

Pure.  A password is known here only as its hash, which somebody else makes and compares.
"""

import hashlib
import re
import unicodedata
from enum import IntEnum
from typing import NamedTuple

from crm_bridge.operators.codes import is_code
from qianzhi.runtime.now import SECOND_US

FAILURES_MAX = 6  # wrong passwords in a row, then a rest
LOCKED_US = 30 * 60 * SECOND_US
PASSWORD_CHARS_MIN = 12
PASSWORD_BYTES_MAX = 256
_NAME = re.compile(r"[a-z][a-z0-9._-]{1,30}")


class OperatorState(IntEnum):
    """What a name in the table of operators is; the numbers stand in the database."""

    PROPOSED = 1  # waits for a second operator
    ACTIVE = 2
    RETIRED = 3  # for good: names in the audit chain mean one person each
    REFUSED = 4  # may be proposed again


class Operator(NamedTuple):
    """One person; `failures` are wrong passwords in a row, `locked_until_us` (wall clock) ends a rest.

    `password` is a hash, or those of a code (`codes`); `reset` is the maker's half of one that waits for a
    second operator.
    """

    name: str
    password: str
    state: OperatorState
    made_us: int
    failures: int = 0
    locked_until_us: int = 0
    reset: str = ""

    @property
    def settled(self) -> bool:
        """Whether this person can act: is one, and has chosen a password."""
        return self.active and not is_code(self.password)

    @property
    def active(self) -> bool:
        """Whether this person may propose and approve."""
        return self.state is OperatorState.ACTIVE


class OperatorsError(Exception):
    """What an operator asked cannot be done; both texts are for the operator."""

    def __init__(self, what: str, advice: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.advice = advice


class LoginError(OperatorsError):
    """Somebody is not who was said, or may not try again yet."""


def check_name(name: str) -> None:
    """Raise OperatorsError unless this can be an operator's name."""
    if not _NAME.fullmatch(name):
        raise OperatorsError(
            f"{name[:40]!r} is no operator's name",
            "2 to 31 of a-z, 0-9, dot, hyphen and underscore, with a letter first",
        )


def check_password(name: str, password: str) -> None:
    """Raise OperatorsError for a password that is too short, too long, or the name itself."""
    plain = normal(password)
    if len(plain) < PASSWORD_CHARS_MIN:
        advice = "a few words that do not belong together are easier to keep than signs"
        raise OperatorsError(f"a password has at least {PASSWORD_CHARS_MIN} characters", advice)
    if len(plain.encode("utf-8", "replace")) > PASSWORD_BYTES_MAX:
        raise OperatorsError(f"a password has at most {PASSWORD_BYTES_MAX} bytes")
    if name in plain.casefold() or len(set(plain)) < 5:
        raise OperatorsError("a password neither holds the name nor repeats a few characters")


def normal(password: str) -> str:
    """Return a password in the one form that is hashed: keyboards differ in how they write an accent."""
    return unicodedata.normalize("NFKC", password)


def require_unlocked(operator: Operator, now_us: int) -> None:
    """Raise LoginError while this name rests after too many wrong passwords."""
    if operator.locked_until_us > now_us:
        minutes = -(-(operator.locked_until_us - now_us) // (60 * SECOND_US))
        raise LoginError(
            f"{operator.name} is locked after {FAILURES_MAX} wrong passwords",
            f"it ends by itself in {minutes} min",
        )


def failed(operator: Operator, now_us: int) -> Operator:
    """Return the operator after one more wrong password."""
    failures = operator.failures + 1
    if failures < FAILURES_MAX:
        return operator._replace(failures=failures)
    return operator._replace(failures=0, locked_until_us=now_us + LOCKED_US)


def mark_of(password_hash: str) -> str:
    """Return what the chain keeps of a password's hash: enough to see that another was put in its place."""
    return hashlib.sha256(password_hash.encode()).hexdigest()[:16]
