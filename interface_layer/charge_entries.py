"""The requests that a charge makes of its destination and of the core.  Pure."""

from qianzhi.domain.requests import Kind, Request
from qianzhi.runtime.now import Now
from qianzhi.saf.lanes import core_entry
from qianzhi.saf.rows import Charge, Entry


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
