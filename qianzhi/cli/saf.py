"""`qianzhi saf …`: the entries of store-and-forward 存储转发, asked of this machine's nodes, and of its
bridges where the core is a remote one.

Looking and exporting need nobody's approval.  What sends an entry again or ends it is an act: the daemon that
has the entry carries it out under the act's number, once however often it is asked.  On a site of several
machines bridges and nodes are apart: an act that was approved at a bridge is carried out where the node is.
"""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from qianzhi.cli.daemons import folder_of_sockets, site_of, state_password
from qianzhi.cli.days import date_of
from qianzhi.cli.office import Proposal, Who, ask_bridge, end_of, propose, short_time
from qianzhi.cli.output import BROKEN, UNREACHABLE, USAGE, CommandError, say, show_json, show_table
from qianzhi.domain.money import yuan_from_fen

if TYPE_CHECKING:
    from pathlib import Path

    from qianzhi.cli.chosen import Chosen
    from qianzhi.link.tables import Site

NODE_SECONDS = 20.0
CORE = "core"  # where entries go that tell the core of breaks
LOOK_THERE = "`qianzhi saf list` shows the entries of this machine"
HERE = "run the command on a machine where the daemon runs; `qianzhi status` names them"
# What each act does, and to an entry in which states.
ACTS = {
    "saf-retry": ("sends it again", ("manual", "quarantined")),
    "saf-expire": ("its time is over now: it becomes manual, and its day cannot close", ("open",)),
    "saf-settle": ("it was settled by hand: it ends, and its break is mended", ("manual", "quarantined")),
}


def list_command(chosen: "Chosen", destination: str, state: str, as_json: bool) -> None:
    """Show what the daemons of this machine have to deliver, oldest first."""
    from qianzhi.saf.rows import State

    site = site_of(chosen)
    if state == State.SETTLED:
        raise CommandError(USAGE, "what is settled is not listed", "`qianzhi saf show ENTRY` shows it")
    if state and state not in set(State):
        raise CommandError(USAGE, f"no entry is {state!r}", "entries are open, manual or quarantined")
    found = dict(_ask_all(site, "saf_list", destination=destination, state=state))
    if destination and not any(said["entries"] for said in found.values()):
        _require_destination(site, destination)
    if as_json:
        show_json(found)
        return
    rows = [_row(node, entry, site) for node, said in found.items() for entry in said["entries"]]
    if not rows:
        say("nothing is stored" if not state else f"nothing is {state}")
    columns = ("entry", "node", "to", "what", "key", "yuan>", "is", "tries>", "until", "why")
    show_table(columns, rows)
    for node, said in found.items():
        if said.get("total", 0) > len(said["entries"]):
            say(f"{node} has {said['total']}, of which the oldest {len(said['entries'])} are shown: --to and")
            say("--state show fewer")


def _require_destination(site: "Site", name: str) -> None:
    """Raise CommandError for a name to which nothing is ever sent."""
    from crm_bridge.remote.promises import DESTINATION

    if name not in {*site.banks, CORE, DESTINATION}:
        banks = ", ".join(site.banks)
        raise CommandError(USAGE, f"nothing is ever sent to {name!r}", f"it is a bank of the site: {banks}")


def _row(node: str, entry: dict[str, Any], site: "Site") -> tuple[object, ...]:
    amount = yuan_from_fen(entry["amount_fen"]) if entry["amount_fen"] else ""
    return (
        *(entry["id"], node, entry["destination"], _words(entry["kind"]), entry["key"], amount),
        *(entry["state"], entry["tries"], short_time(entry["deadline_us"], site), entry["why"]),
    )


def _words(name: str) -> str:
    return name.replace("_", " ")


def show_command(chosen: "Chosen", entry: str, as_json: bool) -> None:
    """Show one entry."""
    site = site_of(chosen)
    found = find_entry(chosen, site, entry)
    if as_json:
        show_json(found)
        return
    say(f"{_words(found['kind'])} to {found['destination']}: {found['state']}")
    for name, value in found.items():
        if name.endswith("_us"):
            value = short_time(value, site)
        elif name.endswith("_fen"):
            name, value = name.removesuffix("_fen"), f"{yuan_from_fen(value)} yuan"
        if value != "" and name not in ("kind", "destination", "state"):
            say(f"    {_words(name.removesuffix('_us')):<12} {value}")


def find_entry(chosen: "Chosen", site: "Site", entry: str) -> dict[str, Any]:
    """Return an entry, of a daemon here or of the database that all nodes share; raises CommandError."""
    from qianzhi.runtime.admin import AdminError, ask

    said = []
    for node, path in _nodes(site):
        try:
            return ask(path, "saf_show", timeout_seconds=NODE_SECONDS, id=entry)
        except AdminError as error:
            said.append(f"{node}: {error}")
    found = _shared_entry(chosen, site, entry) if site.state.database else None
    if found is not None:
        return found
    if said:
        where = f"{LOOK_THERE} ({'; '.join(said)})"
        raise CommandError(BROKEN, f"no daemon here has the entry {entry}", where)
    raise CommandError(UNREACHABLE, "no daemon with entries runs on this machine", HERE)


def _shared_entry(chosen: "Chosen", site: "Site", entry: str) -> dict[str, Any] | None:
    """Return an entry as it stands in the [state] database."""
    from qianzhi.saf.errors import SafError
    from qianzhi.saf.shown import shown_entry
    from qianzhi.saf.store import open_url

    rows = open_url(site.state.database, "command", "", 0, state_password(chosen, site))
    try:
        found = rows.find(entry)
    except SafError as error:
        raise CommandError(UNREACHABLE, f"the entries cannot be read: {error}") from error
    finally:
        rows.close()
    return shown_entry(found) if found is not None else None


def act_command(chosen: "Chosen", kind: str, entry: str, who: Who, reason: str, as_json: bool) -> None:
    """Propose to send an entry again (retry), to end its time (expire), or to note it as settled by hand."""
    site = site_of(chosen)
    found = find_entry(chosen, site, entry)
    does, states = ACTS[kind]
    if found["destination"] == CORE and kind != "saf-retry":
        raise CommandError(
            BROKEN,
            f"{entry} tells the core of a break: if it were ended the day could close in spite of the break",
            f"the core is told as soon as it answers; one that was put aside: qianzhi saf retry {entry}",
        )
    if found["state"] not in states:
        raise CommandError(
            BROKEN, f"{entry} is {found['state']}; it has to be {' or '.join(states)} for that"
        )
    arguments = {
        "amount_fen": found["amount_fen"],
        "phone": found["phone"],
        "what": f"{_words(found['kind'])} to {found['destination']}, {found['state']}: {does}",
    }
    propose(chosen, who, [Proposal(kind, entry, arguments, reason)], as_json)


def export_command(chosen: "Chosen", destination: str, date: str, as_json: bool) -> None:
    """Let each node write what only a person can settle into a file that the other side can import."""
    site = site_of(chosen)
    number = date_of(date) if date else 0
    if not any(said["entries"] for _, said in _ask_all(site, "saf_list", destination=destination, state="")):
        _require_destination(site, destination)
    found = dict(_ask_all(site, "saf_export", destination=destination, date=number))
    if as_json:
        show_json(found)
        return
    for node, said in found.items():
        amount = yuan_from_fen(said["amount_fen"])
        say(f"{node}: {said['entries']} entries, {amount} yuan: {said['path']}")
        say(f"    sha256 {said['sha256']}")


def carry_out(site: "Site", act: dict[str, Any], warrant: str, signed: dict[str, str]) -> dict[str, Any]:
    """Have an approved act carried out by the daemon that has its entry, and put its result down."""
    said = _ask_nodes(site, act, warrant)
    return ask_bridge(site, "act_done", **signed, number=act["id"], **said)


def carry_out_command(chosen: "Chosen", number: int, warrant: str, as_json: bool) -> None:
    """Carry an approved act out on a machine without a bridge; a bridge hears of it by a note."""
    from crm_bridge.operators.shell import view
    from crm_bridge.operators.taking import RECEIPT
    from qianzhi.cli.acts import act_of
    from qianzhi.cli.draining import os_user
    from qianzhi.cli.noting import note

    site = site_of(chosen)
    act = view(act_of(chosen, number))
    if act["state"] != "approved" or act["kind"] not in ACTS:
        what = f"act {number} is {act['state']}, a {act['kind']}"
        raise CommandError(BROKEN, what, "only an approved act about an entry is carried out here")
    said = _ask_nodes(site, act, warrant)
    note(site, os_user(), RECEIPT, {"act": number, **said})
    if as_json:
        show_json({"act": number, **said})
    else:
        now = said["detail"].get("state")
        say(
            f"act {number}: {act['kind']} {act['subject']}: {_words(said['result'])}"
            + (f"; it is now {now}" if now else "")
        )
    end_of({**act, "state": "done", "result": said["result"], "detail": said["detail"]})


def _ask_nodes(site: "Site", act: dict[str, Any], warrant: str) -> dict[str, Any]:
    """Ask this machine's daemons, one after the other; return what the one that has the entry says."""
    from qianzhi.runtime.admin import AdminError, ask

    command, number = act["kind"].replace("-", "_"), act["id"]
    given = {"id": act["subject"], "act": str(number), "why": act["reason"], "warrant": warrant}
    said = []
    for node, path in _nodes(site):
        try:
            answer = ask(path, command, timeout_seconds=NODE_SECONDS, **given)
        except AdminError as error:
            said.append(f"{node}: {error}")
            continue
        return {name: answer[name] for name in ("result", "detail", "receipt")}
    again = f"run `qianzhi approve {number}` again"
    there = f"qianzhi saf carry-out {number} --warrant {warrant}"
    away = f"run `{there}` on the machine of the node that has the entry"
    raise CommandError(
        UNREACHABLE,
        f"act {number} is approved and not carried out: {'; '.join(said) or 'no node runs here'}",
        f"{again}, or {away}" if said else away,
    )


def _ask_all(site: "Site", command: str, **arguments: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what each node of this machine answers; raises CommandError where none does."""
    from qianzhi.runtime.admin import AdminError, ask

    said, answered = [], False
    for node, path in _nodes(site):
        try:
            yield node, ask(path, command, timeout_seconds=NODE_SECONDS, **arguments)
            answered = True
        except AdminError as error:
            said.append(f"{node}: {error}")
    if not answered:
        raise CommandError(
            UNREACHABLE, "; ".join(said) or "no daemon with entries runs on this machine", HERE
        )
    if said:
        print(f"not told by all: {'; '.join(said)}", file=sys.stderr)  # what is shown may be JSON


def _nodes(site: "Site") -> "Iterator[tuple[str, Path]]":
    folder = folder_of_sockets(site)
    bridges = list(site.bridges) if site.core.get("kind") == "remote" else []
    for name in [*site.nodes, *bridges]:
        path = folder / f"{name}.sock"
        if path.exists():
            yield name, path
