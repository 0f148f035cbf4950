"""Acts: what moves money or ends an entry, proposed by one operator and approved by another.

Pure.  The one table of how an act may go:

    pending ──approve──▶ approved ──finish──▶ done        its result is the core's or the node's word
       ├─────refuse────▶ refused        by another operator
       ├────withdraw───▶ withdrawn      by its maker
       └─────expire────▶ expired        nobody answered in time

An approved act is carried out under its own number, which is the same however often it is tried; it is done
only when its result is known.  Nothing leads out of done, refused, withdrawn and expired.
"""

import json
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple

from crm_bridge.operators.people import OperatorsError
from qianzhi.runtime.now import SECOND_US

WAITS_US = 72 * 3600 * SECOND_US  # for a second operator; over a weekend
TEXT_MAX = 200


class ActKind(StrEnum):
    """What can be proposed; the words stand in the database and in the audit chain."""

    DAY_CLOSE = "day-close"
    VOID = "void"
    RELEASE = "release"
    BREAK_OPEN = "break-open"
    BREAK_MEND = "break-mend"
    SAF_RETRY = "saf-retry"
    SAF_EXPIRE = "saf-expire"
    SAF_SETTLE = "saf-settle"
    OPERATOR_ADD = "operator-add"
    OPERATOR_RESET = "operator-reset"
    OPERATOR_RETIRE = "operator-retire"


HOUSE_KINDS = frozenset(
    {ActKind.DAY_CLOSE, ActKind.VOID, ActKind.RELEASE, ActKind.BREAK_OPEN, ActKind.BREAK_MEND}
)  # carried out by the core, as a request of the house
NODE_KINDS = frozenset(
    {ActKind.SAF_RETRY, ActKind.SAF_EXPIRE, ActKind.SAF_SETTLE}
)  # carried out by the node that has the entry
OWN_KINDS = frozenset(
    {ActKind.OPERATOR_ADD, ActKind.OPERATOR_RESET, ActKind.OPERATOR_RETIRE}
)  # carried out in the transaction that approves them

LETS_IN = frozenset({ActKind.OPERATOR_ADD, ActKind.OPERATOR_RESET})  # by a code in two halves


class ActState(IntEnum):
    """Where an act is; the numbers stand in the database."""

    PENDING = 1
    APPROVED = 2
    DONE = 3
    REFUSED = 4
    WITHDRAWN = 5
    EXPIRED = 6


OPEN = frozenset({ActState.PENDING, ActState.APPROVED})


class Order(NamedTuple):
    """What is to be done: its kind, to what (the text by which two of a kind are the same), how and why."""

    kind: ActKind
    subject: str
    arguments: dict[str, Any]
    reason: str


class Act(NamedTuple):
    """One act.  `checker` is who approved or refused it, empty before; `result` is empty until it is done.

    `arguments` and `detail` are canonical JSON; times are microseconds since 1970 UTC, 0 for not yet.
    """

    id: int
    kind: ActKind
    subject: str
    arguments: str
    reason: str
    maker: str
    made_us: int
    expires_us: int
    state: ActState = ActState.PENDING
    checker: str = ""
    decided_us: int = 0
    result: str = ""
    detail: str = "{}"
    ended_us: int = 0

    @property
    def given(self) -> dict[str, Any]:
        """What `arguments` say."""
        found = json.loads(self.arguments)
        return found if isinstance(found, dict) else {}

    @property
    def outcome(self) -> dict[str, Any]:
        """What `detail` says of the result."""
        found = json.loads(self.detail)
        return found if isinstance(found, dict) else {}

    @property
    def mark(self) -> str:
        """How requests and entries name the act that they come from."""
        return f"act-{self.id}"

    @property
    def title(self) -> str:
        """The act in a few words."""
        return f"act {self.id}: {self.kind.value} {self.subject}"


def approved(act: Act, checker: str, now_us: int) -> Act:
    """Return the act approved by a second operator; raises OperatorsError."""
    _require_pending(act)
    if checker == act.maker:
        raise OperatorsError(
            f"{act.title}: {checker} proposed it and cannot approve it", "another operator has to"
        )
    return act._replace(state=ActState.APPROVED, checker=checker, decided_us=now_us)


def refused(act: Act, who: str, now_us: int) -> Act:
    """Return the act refused by a second operator, or withdrawn by its maker; raises OperatorsError."""
    _require_pending(act)
    if who == act.maker:
        return act._replace(state=ActState.WITHDRAWN, decided_us=now_us, ended_us=now_us)
    return act._replace(state=ActState.REFUSED, checker=who, decided_us=now_us, ended_us=now_us)


def expired(act: Act, now_us: int) -> Act:
    """Return a pending act whose time is over."""
    _require_pending(act)
    return act._replace(state=ActState.EXPIRED, ended_us=now_us)


def finished(act: Act, result: str, detail: str, now_us: int) -> Act:
    """Return an approved act with its result; raises OperatorsError for one that is not approved."""
    if act.state is not ActState.APPROVED:
        raise OperatorsError(f"{act.title} is {act.state.name.lower()} and cannot be done")
    return act._replace(state=ActState.DONE, result=result, detail=detail, ended_us=now_us)


def _require_pending(act: Act) -> None:
    if act.state is not ActState.PENDING:
        raise OperatorsError(f"{act.title} does not wait any more: it is {act.state.name.lower()}")
