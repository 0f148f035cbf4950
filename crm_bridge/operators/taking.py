"""Notes on their way into the chain, and the proof without which no act about an entry ends.

A note is written by whoever the machine lets in, so it can say only what needs nobody's approval (`NOTED`),
and only in the name of a user of the machine.  What ends an act is another kind, and holds a daemon's
receipt.
"""

import json
from typing import Any, NamedTuple

from crm_bridge.operators.acts import NODE_KINDS, Act
from crm_bridge.operators.notes.store import Note
from crm_bridge.operators.office import Office
from crm_bridge.operators.people import OperatorsError
from qianzhi.saf.warrants import Asked, Warrants

RECEIPT = "receipt"  # the note of what a node says of an act, where no bridge is
NOTED = frozenset({"drained", "undrained", "promoted"})
MACHINES = "os:"  # before the name of a user of a machine, which no operator's name can begin with
_FACTS: dict[str, type] = {"act": int, "result": str, "detail": dict, "receipt": str}


class Proof(NamedTuple):
    """What somebody says that became of an act, and the receipt by which a daemon says the same."""

    warrants: Warrants
    result: str
    detail: dict[str, Any]
    receipt: str

    def require(self, act: Act) -> None:
        """Raise OperatorsError unless the daemon that has the act's entry says so."""
        if act.kind not in NODE_KINDS:
            raise OperatorsError(f"{act.title} is the core's to carry out", f"`qianzhi approve {act.id}`")
        if not self.warrants.proves(asked_of(act), self.result, self.detail, self.receipt):
            raise OperatorsError(
                f"{act.title}: no daemon of this site says that it came to {self.result[:40]!r}",
                f"`qianzhi approve {act.id}` asks the one that has the entry",
            )


def asked_of(act: Act) -> Asked:
    """Return an act about an entry as the daemon that has the entry is asked for it."""
    return Asked(str(act.id), act.kind.value, act.subject, act.reason)


def take(office: Office, note: Note, now_us: int, warrants: Warrants) -> None:
    """Put a note into the chain; a receipt ends the act that it is of.

    One that cannot be read is put there as it is, so that it holds up none behind it.
    """
    facts = _facts_of(note)
    if facts is None:
        said = {"who": note.who, "what": note.what, "detail": note.detail}
        office.note(f"{MACHINES}unknown", "note not readable", said, now_us, note.id)
    elif note.what != RECEIPT:
        office.note(note.who, note.what, facts, now_us, note.id)
    else:
        proof = Proof(warrants, facts["result"], facts["detail"], facts["receipt"])
        try:
            office.finish(note.who, facts["act"], proof.result, proof.detail, now_us, proof.require)
        except OperatorsError as error:
            office.note(note.who, "act not done", facts | {"why": error.what}, now_us, note.id)


def _facts_of(note: Note) -> dict[str, Any] | None:
    """Return what a note tells, None where it is not written as notes are or says what no note may say."""
    if not note.who.startswith(MACHINES) or note.what not in NOTED | {RECEIPT}:
        return None
    try:
        facts = json.loads(note.detail)
    except (ValueError, RecursionError):
        return None
    wanted = _FACTS if note.what == RECEIPT else {}
    if not isinstance(facts, dict) or any(type(facts.get(name)) is not wanted[name] for name in wanted):
        return None
    return facts
