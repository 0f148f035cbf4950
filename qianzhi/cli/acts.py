"""`qianzhi pending`, `approve`, `refuse`, `audit verify|list`: the second operator, and the audit chain."""

from typing import TYPE_CHECKING, Any

from qianzhi.cli.daemons import site_of
from qianzhi.cli.looking import core_of, not_reachable
from qianzhi.cli.office import Who, ask_bridge, content, end_of, result_words, short_time, show_act
from qianzhi.cli.output import BROKEN, USAGE, CommandError, say, show_json, show_table
from qianzhi.cli.wording import counted
from qianzhi.domain.money import yuan_from_fen

if TYPE_CHECKING:
    from crm_bridge.operators.acts import Act
    from crm_bridge.operators.chain import Entry, Head
    from qianzhi.cli.chosen import Chosen
    from qianzhi.link.tables import Site

ROWS_MAX = 100
HEAD_FORM = "it is NUMBER:HASH, as `audit verify` shows it"
ENTRY_CHARS = 120
SHOWN = ("kind", "subject", "yuan", "result", "order", "name", "daemon", "server", "old_primary", "reason")


def pending_command(chosen: "Chosen", everything: bool, as_json: bool) -> None:
    """Show what waits for a second operator, or the latest acts of all."""
    from crm_bridge.operators.shell import view
    from crm_bridge.operators.store import read_acts
    from qianzhi.runtime import clock

    site, core = core_of(chosen)
    with not_reachable(core.database):
        acts = read_acts(core.database, open_only=not everything, rows_max=ROWS_MAX)
    now_us = clock.now().wall_us
    if not everything:
        acts = [act for act in acts if act.state.name != "PENDING" or act.expires_us > now_us]
    shown = [view(act) for act in acts]
    if as_json:
        show_json(shown)
    elif not shown:
        say("nothing waits for an operator" if not everything else "nobody has proposed anything yet")
    elif everything:
        columns = ("act>", "proposed", "what", "by", "state", "checked by", "result")
        show_table(columns, [_row(act, site) for act in shown])
    else:
        for act in reversed(shown):
            show_act(act, site)


def _row(act: dict[str, Any], site: "Site") -> tuple[object, ...]:
    what = "; ".join([f"{act['kind']} {act['subject']}", *content(act)])
    result = result_words(act["result"]) if act["result"] else ""
    return (
        act["id"],
        short_time(act["made_us"], site),
        what,
        act["maker"],
        act["state"],
        act["checker"],
        result,
    )


def approve_command(chosen: "Chosen", number: int, who: Who, as_json: bool) -> None:
    """Approve an act and carry it out; one that was approved before is only carried out."""
    site = site_of(chosen)
    before = act_of(chosen, number)
    if not as_json and not who.file:
        from crm_bridge.operators.shell import view

        show_act(view(before), site)  # what the password that is typed next will approve
    signed = who.sign()
    answer = ask_bridge(site, "act_approve", **signed, number=number)
    act = answer["act"]
    if act["state"] == "approved" and act["kind"].startswith("saf-"):
        from qianzhi.cli.saf import carry_out

        answer = carry_out(site, act, answer["warrant"], signed)
        act = answer["act"]
    code = answer.get("code", "")
    if as_json:
        show_json(act | ({"code": code} if code else {}))
    else:
        show_act(act, site)
        if code:
            from qianzhi.cli.operators import show_code

            show_code(act["subject"], code, first=False)
    end_of(act, answer.get("why", ""))


def refuse_command(chosen: "Chosen", number: int, who: Who, reason: str, as_json: bool) -> None:
    """Refuse an act, or withdraw one's own."""
    site = site_of(chosen)
    answer = ask_bridge(site, "act_refuse", **who.sign(), number=number, reason=reason)
    if as_json:
        show_json(answer["act"])
    else:
        show_act(answer["act"], site)


def act_of(chosen: "Chosen", number: int) -> "Act":
    """Return an act; raises CommandError where there is none."""
    from crm_bridge.operators.store import read_acts

    _, core = core_of(chosen)
    with not_reachable(core.database):
        found = read_acts(core.database, number=number)
    if not found:
        raise CommandError(BROKEN, f"there is no act {number}", "`qianzhi pending` shows those that wait")
    return found[0]


def verify_command(chosen: "Chosen", head: str, as_json: bool) -> None:
    """Prove that the audit chain is unbroken and that acts and operators are what it tells; exit 1 if not."""
    from crm_bridge.operators.store import prove

    noted = head_of(head) if head else None
    _, core = core_of(chosen)
    with not_reachable(core.database):
        faults, end = prove(core.database, noted)
    if as_json:
        show_json({"entries": end.number, "head": end.text, "faults": [fault._asdict() for fault in faults]})
    else:
        show_table(("entry>", "what is wrong"), [(fault.number or "", fault.what) for fault in faults])
        size = "1 entry" if end.number == 1 else f"{end.number} entries"
        say(f"{size}: {'BROKEN' if faults else 'unbroken, and acts and operators are as it tells'}")
        say(f"head {end.text}")
        if not head and not faults:
            say("note the head where this machine cannot write; --head holds the chain to it later on")
    if faults:
        raise CommandError(
            BROKEN,
            f"the audit chain is broken: {counted(len(faults), 'fault')}",
            "keep a copy of the database; whoever could change it there is to be asked",
        )


def head_of(text: str) -> "Head":
    """Read a head as `verify` shows it; raises CommandError."""
    from crm_bridge.operators.chain import Head

    number, _, digits = text.partition(":")
    try:
        found = Head(int(number) if number.isascii() and number.isdigit() else -1, bytes.fromhex(digits))
    except ValueError:
        found = Head(-1)
    if found.number < 0 or len(found.hash) != len(Head().hash):
        raise CommandError(
            USAGE, f"{text[:80]!r} is no head", "it is NUMBER:HASH, as `audit verify` shows it"
        )
    return found


def list_command(chosen: "Chosen", last: int, as_json: bool) -> None:
    """Show the newest entries of the audit chain."""
    from crm_bridge.operators.store import read_entries

    site, core = core_of(chosen)
    with not_reachable(core.database):
        entries = read_entries(core.database, last)
    if as_json:
        show_json([_plain(entry) for entry in entries])
    elif not entries:
        say("the audit chain is empty")
    else:
        columns = ("entry>", "when", "who", "what", "act>", "detail")
        show_table(columns, [_entry_row(entry, site) for entry in entries])


def _plain(entry: "Entry") -> dict[str, Any]:
    shown = entry._asdict() | {"detail": entry.facts}
    return shown | {"previous": entry.previous.hex(), "hash": entry.hash.hex()}


def _entry_row(entry: "Entry", site: "Site") -> tuple[object, ...]:
    facts = entry.facts
    facts |= facts.pop("arguments", {}) | facts.pop("detail", {})  # of an act, and of what became of it
    if facts.get("amount_fen"):
        facts["yuan"] = yuan_from_fen(facts["amount_fen"])
    shown = {name: facts[name] for name in SHOWN if facts.get(name)}
    detail = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in shown.items())
    if len(detail) > ENTRY_CHARS:
        detail = detail[: ENTRY_CHARS - 1] + "…"
    return entry.number, short_time(entry.at_us, site), entry.who, entry.what, entry.act or "", detail
