"""What an approved act asks of the core, as a request of the house.

Pure.  It is the same request however often an act is carried out, and the core answers it with what the first
one came to: a fence that stands, a break that is mended, a reversal that is done.
"""

from crm_bridge.operators.acts import Act, ActKind
from qianzhi.domain.requests import Key, Kind, Request

DAY_SERIAL = "-"  # of a request about a whole business date
MANUAL = "manual"  # the kind of break that an operator opens

_KINDS = {
    ActKind.DAY_CLOSE: Kind.CLOSE,
    ActKind.VOID: Kind.VOID,
    ActKind.RELEASE: Kind.MEND,
    ActKind.BREAK_OPEN: Kind.BREAK,
    ActKind.BREAK_MEND: Kind.MEND,
}


def request_of(act: Act) -> Request:
    """Return the request that carries an act out; raises KeyError for one that is not the core's.

    `stamp_us` says which episode of a break is meant, so that a late copy changes nothing of a later one.
    """
    given = act.given
    key = Key.parse(given["key"])
    reasons = {ActKind.DAY_CLOSE: f"{act.mark} {act.maker} {act.checker}", ActKind.BREAK_OPEN: MANUAL}
    return Request(
        _KINDS[act.kind],
        *key,
        bank=given.get("bank", ""),
        bank_number=given.get("bank_number", ""),
        phone=given.get("phone", "") if act.kind is ActKind.VOID else "",
        amount_fen=given.get("amount_fen", 0),
        bill=given.get("bill", "") if act.kind is ActKind.VOID else "",
        own_serial=act.mark,
        received_us=act.made_us,
        stamp_us=given.get("stamp_us", act.made_us),
        reason=reasons.get(act.kind, act.reason),
    )
