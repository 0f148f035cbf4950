"""`qianzhi void`, `quarantine list|release` and `breaks`: one key at a time put right, by two operators."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from qianzhi.cli.looking import core_of, not_reachable
from qianzhi.cli.office import Proposal, Who, propose, short_time
from qianzhi.cli.output import BROKEN, USAGE, CommandError, say, show_json, show_table
from qianzhi.domain.money import MoneyError, fen_from_yuan, yuan_from_fen

if TYPE_CHECKING:
    from crm_bridge.lookup import BreakView, JournalView
    from qianzhi.cli.chosen import Chosen
    from qianzhi.link.tables import Site

QUARANTINE = "quarantine"  # the kind of break that the core opens about a request that it could not process
KINDS = ("saf", "manual", "refund", "unreversed", "late", QUARANTINE)
KEY_ADVICE = "write a key as space/YYYYMMDD/serial; `qianzhi trace SERIAL` finds it"


def void_command(chosen: "Chosen", text: str, who: Who, reason: str, as_json: bool) -> None:
    """Propose to cancel (撤销) an approved key whose money is unspent."""
    _, core = core_of(chosen)
    row = _row_of(core.database, text)
    if row.state != "approved":
        raise CommandError(BROKEN, f"{row.key} is {row.state}: there is nothing to cancel")
    arguments = {
        "key": row.key,
        "bank": row.bank,
        "bank_number": row.bank_number,
        "phone": row.phone,
        "amount_fen": row.amount_fen,
        "bill": row.bill,
        "what": f"cancels a {row.kind}, work order {row.order}",
    }
    propose(chosen, who, [Proposal("void", row.key, arguments, reason)], as_json)


def breaks_command(chosen: "Chosen", space: str, kind: str, everything: bool, as_json: bool) -> None:
    """Show the breaks that are open, or all; of one space or kind."""
    from crm_bridge.lookup import find_breaks

    if kind and kind not in KINDS:
        raise CommandError(USAGE, f"no break is of kind {kind!r}", f"kinds are {', '.join(KINDS)}")
    site, core = core_of(chosen)
    with not_reachable(core.database):
        found = find_breaks(core.database, space=space, kind=kind, open_only=not everything)
    if as_json:
        show_json([asdict(one) for one in found])
        return
    if not found:
        what = f"break of kind {kind}" if kind else "break"
        what = f"{what} of {space}" if space else what
        nothing = f"there has been no {what}" if everything else f"no {what} is open"
        say("no key is in quarantine" if kind == QUARANTINE else nothing)
    columns = ("key", "kind", "is", "yuan>", "in suspense>", "opened", "changed")
    show_table(columns, [_row(one, site) for one in found])


def _row(one: "BreakView", site: "Site") -> tuple[object, ...]:
    return (
        one.key,
        one.kind,
        "open" if one.open else "mended",
        yuan_from_fen(one.amount_fen),
        yuan_from_fen(one.suspense_fen) if one.suspense_fen else "",
        short_time(one.opened_us, site),
        short_time(one.changed_us, site),
    )


def mend_command(chosen: "Chosen", text: str, who: Who, reason: str, as_json: bool) -> None:
    """Propose that a break is settled: what stands in suspense goes back to clearing."""
    one = _open_break(chosen, text)
    if one.kind == QUARANTINE:
        raise CommandError(
            BROKEN, f"{one.key} is in quarantine", f"`qianzhi quarantine release {one.key}` ends that"
        )
    what = f"mends the break {one.kind!r}"
    if one.kind == "saf":
        what += "; a node still sends what it is about, and would have ended it by itself"
    propose(chosen, who, [_mending("break-mend", one, what, reason)], as_json)


def release_command(chosen: "Chosen", text: str, who: Who, reason: str, as_json: bool) -> None:
    """Propose to release a key from quarantine: its block is confirmed, and its day can close."""
    one = _open_break(chosen, text, released=True)
    what = "its refusal stands; its day can close"
    propose(chosen, who, [_mending("release", one, what, reason)], as_json)


def open_command(chosen: "Chosen", text: str, amount: str, who: Who, reason: str, as_json: bool) -> None:
    """Propose to note a key as open: its amount goes to suspense, and its day cannot close."""
    _, core = core_of(chosen)
    row = _row_of(core.database, text)
    try:
        amount_fen = fen_from_yuan(amount) if amount else row.amount_fen
    except MoneyError as error:
        raise CommandError(USAGE, f"--amount {amount!r}: {error}") from error
    arguments = {
        "key": row.key,
        "bank": row.bank,
        "bank_number": row.bank_number,
        "amount_fen": amount_fen,
        "what": "opens a break by hand; the amount stands in suspense until it is mended",
    }
    propose(chosen, who, [Proposal("break-open", row.key, arguments, reason)], as_json)


def _mending(kind: str, one: "BreakView", what: str, reason: str) -> Proposal:
    arguments = {
        "key": one.key,
        "bank": one.bank,
        "bank_number": one.bank_number,
        "amount_fen": one.amount_fen,
        "stamp_us": one.noted_us,
        "what": what,
    }
    return Proposal(kind, one.key, arguments, reason)


def _open_break(chosen: "Chosen", text: str, *, released: bool = False) -> "BreakView":
    """Return the open break of a key, or the one that is to be released; raises CommandError."""
    from crm_bridge.lookup import find_breaks
    from qianzhi.domain.requests import Key

    _, core = core_of(chosen)
    try:
        key = Key.parse(text)
    except ValueError as error:
        raise CommandError(USAGE, str(error), KEY_ADVICE) from error
    with not_reachable(core.database):
        found = find_breaks(core.database, space=key.space, date=key.date)
    one = next((one for one in found if one.key == text), None)
    if released and (one is None or one.kind != QUARANTINE):
        raise CommandError(BROKEN, f"{text} is not in quarantine", "`qianzhi quarantine list` shows those")
    if one is None:
        raise CommandError(BROKEN, f"there is no open break of {text}", "`qianzhi breaks` shows those")
    return one


def _row_of(url: str, text: str) -> "JournalView":
    """Return the journal's row of a key; raises CommandError for what is no key, or none that is there."""
    from crm_bridge.lookup import find_journal
    from qianzhi.domain.requests import Key

    with not_reachable(url):
        try:
            key = Key.parse(text)
        except ValueError as error:
            raise CommandError(USAGE, str(error), KEY_ADVICE) from error
        row = next(iter(find_journal(url, key.text)), None)
    if row is None:
        raise CommandError(BROKEN, f"the core has no key {text}", KEY_ADVICE)
    return row
