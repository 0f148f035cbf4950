"""A charge as it begins, and the requests that it makes of its destination and of the core.  Pure."""

from typing import NamedTuple

from qianzhi.domain.requests import Kind, Request
from qianzhi.link.events import OutwardTerms
from qianzhi.runtime.now import SECOND_US, Now
from qianzhi.saf.lanes import core_entry
from qianzhi.saf.rows import Charge, ChargeState, Entry

ANSWER_SLACK_US = 2 * SECOND_US  # that a front's own time-out comes before ours
# Ended, and an approval that comes after all may have nobody who takes it back.
NOT_TAKEN_BACK = frozenset({ChargeState.LAPSED, ChargeState.DECLINED, ChargeState.REVERSING})
KNOWN_US = 3_600 * SECOND_US  # an ended charge is known for so long: a late answer finds whose it is


class Wanted(NamedTuple):
    """What somebody wants charged."""

    order: str
    bank: str
    phone: str
    amount_fen: int
    agreement: str = ""
    number: str = ""


def intent(wanted: Wanted, terms: OutwardTerms, date: int, serial: str, now: Now) -> Charge:
    """Return a charge as it is stored before anything of it goes out, under the terms of today."""
    return Charge(
        order=wanted.order,
        bank=wanted.bank,
        bank_number=wanted.number or terms.number,
        space=terms.space,
        date=date,
        serial=serial,
        phone=wanted.phone,
        amount_fen=wanted.amount_fen,
        agreement=wanted.agreement,
        policy=terms.policy,
        reverses=terms.reverses,
        refunds=terms.refunds,
        advises=terms.advises,
        late_seconds=terms.late_seconds,
        made_us=now.wall_us,
        until_us=now.wall_us + terms.answer_ms * 1_000 + ANSWER_SLACK_US,
    )


def due_us(charge: Charge) -> int:
    """Return when a charge that waits is to go on, or one that has ended is to be forgotten (wall time)."""
    return charge.ended_us + KNOWN_US if charge.ended_us else charge.until_us


def charging(charge: Charge) -> Request:
    """Return what is asked of the destination; its message carries the time of the intent."""
    return _request(charge, Kind.CHARGE, bill=charge.agreement, received_us=charge.made_us)


def crediting(charge: Charge) -> Request:
    """Return the credit that the money is for, under the charge's own key."""
    return _request(charge, Kind.RECHARGE, received_us=charge.made_us)


def blocking(charge: Charge) -> Request:
    """Return the question that settles the key at the core: what stands stays, else it is blocked."""
    return _request(charge, Kind.BLOCK, received_us=charge.made_us)


def undoing(
    charge: Charge, kind: Kind, reason: str, own_serial: str, deadline_us: int, number: int, now: Now
) -> Entry:
    """Return the entry that takes a charge back; its message's own serial and time stay what they are."""
    request = _request(
        charge,
        kind,
        bill=charge.agreement,
        received_us=now.wall_us,
        stamp_us=charge.made_us,
        own_serial=own_serial,
        reason=reason,
    )
    return Entry(
        id=f"{charge.key.text}/{kind.name.lower()}",
        destination=charge.bank,
        account=charge.phone or charge.key.text,
        request=request,
        number=number,
        made_us=now.wall_us,
        deadline_us=deadline_us,
    )


def entries_of(charge: Charge) -> list[str]:
    """Return the ids of all entries that may tell the destination what becomes of a charge."""
    kinds = (Kind.CHARGE_REVERSAL, Kind.CHARGE_REFUND, Kind.ADVICE)
    return [f"{charge.key.text}/{kind.name.lower()}" for kind in kinds]


def break_of(charge: Charge, reason: str, number: int, now: Now) -> Entry:
    """Return the entry that tells the core of a charge that stays open between us and the destination."""
    about = _request(charge, Kind.CHARGE)
    return core_entry(f"{charge.key.text}/break/{reason}", about, Kind.BREAK, reason, number, now)


def _request(
    charge: Charge,
    kind: Kind,
    *,
    bill: str = "",
    received_us: int = 0,
    stamp_us: int = 0,
    own_serial: str = "",
    reason: str = "",
) -> Request:
    return Request(
        kind,
        charge.space,
        charge.date,
        charge.serial,
        charge.bank,
        charge.bank_number,
        charge.phone,
        charge.amount_fen,
        bill,
        received_us=received_us,
        stamp_us=stamp_us,
        own_serial=own_serial,
        reason=reason,
    )
