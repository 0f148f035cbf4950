"""`qianzhi saf …`: the entries of store-and-forward 存储转发, asked of this machine's nodes.

Looking and exporting need nobody's approval.  What sends an entry again or ends it is an act: the node that
has the entry carries it out under the act's number, once however often it is asked.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from qianzhi.cli.daemons import folder_of_sockets, site_of
from qianzhi.cli.days import date_of
from qianzhi.cli.office import Proposal, Who, ask_bridge, propose, short_time
from qianzhi.cli.output import BROKEN, UNREACHABLE, CommandError, say, show_json, show_table
from qianzhi.domain.money import yuan_from_fen

if TYPE_CHECKING:
    from qianzhi.cli.chosen import Chosen
    from qianzhi.link.tables import Site

NODE_SECONDS = 20.0
HERE = "run the command on a machine where a node runs; `qianzhi status` names them"


def list_command(chosen: "Chosen", destination: str, state: str, as_json: bool) -> None:
    """Show what every node of this machine has to deliver, oldest first."""
    site = site_of(chosen)
    wanted = {"destination": destination, "state": state}
    found = dict(_ask_all(site, "saf_list", **wanted))
    if as_json:
        show_json(found)
        return
    rows = [_row(node, entry, site) for node, said in found.items() for entry in said["entries"]]
    if not rows:
        say("nothing is stored" if not state else f"nothing is {state}")
    show_table(("entry", "node", "to", "what", "yuan>", "is", "tries>", "deadline", "why"), rows)


def _row(node: str, entry: dict[str, Any], site: "Site") -> tuple[object, ...]:
    request = entry.get("request", {})
    return (
        entry["id"],
        node,
        entry.get("destination", ""),
        kind_words(request),
        yuan_from_fen(request.get("amount_fen", 0)),
        entry.get("state", ""),
        entry.get("tries", ""),
        short_time(entry.get("deadline_us", 0), site),
        entry.get("why", ""),
    )


def kind_words(request: dict[str, Any]) -> str:
    """Say what an entry asks of its destination."""
    from qianzhi.domain.requests import Kind

    kind = request.get("kind", "")
    return Kind(kind).name.lower().replace("_", " ") if isinstance(kind, int) else str(kind).replace("_", " ")


def show_command(chosen: "Chosen", entry: str, as_json: bool) -> None:
    """Show one entry with its request."""
    site = site_of(chosen)
    node, found = find_entry(site, entry)
    if as_json:
        show_json({"node": node, **found})
        return
    say(f"{entry} at {node}")
    for name, value in found.items():
        if name == "request" and isinstance(value, dict):
            for field, each in value.items():
                if each not in ("", 0, None, False):
                    say(f"    request.{field}: {each}")
        elif value not in ("", 0, None):
            say(f"    {name}: {short_time(value, site) if name.endswith('_us') else value}")


def find_entry(site: "Site", entry: str) -> tuple[str, dict[str, Any]]:
    """Return the node that has an entry, and the entry; raises CommandError."""
    from qianzhi.runtime.admin import AdminError, ask

    said = []
    for node, path in _nodes(site):
        try:
            return node, ask(path, "saf_show", timeout_seconds=NODE_SECONDS, id=entry)
        except AdminError as error:
            said.append(f"{node}: {error}")
    raise CommandError(BROKEN, f"no node here has the entry {entry}: {'; '.join(said)}", HERE)


def act_command(chosen: "Chosen", kind: str, entry: str, who: Who, reason: str, as_json: bool) -> None:
    """Propose to send an entry again (retry), to end its time (expire), or to note it as settled by hand."""
    site = site_of(chosen)
    _, found = find_entry(site, entry)
    request = found.get("request", {})
    ends = {
        "saf-retry": "sends it again",
        "saf-expire": "its time is over now: it becomes manual, and its day cannot close",
        "saf-settle": "it was settled by hand: it ends, and its break is mended",
    }[kind]
    arguments = {
        "entry": entry,
        "amount_fen": request.get("amount_fen", 0),
        "phone": request.get("phone", ""),
        "what": f"{kind_words(request)} to {found.get('destination', '')}, {found.get('state', '')}: {ends}",
    }
    propose(chosen, who, [Proposal(kind, entry, arguments, reason)], as_json)


def export_command(chosen: "Chosen", destination: str, date: str, as_json: bool) -> None:
    """Let each node write what only a person can settle into a file that the other side can import."""
    site = site_of(chosen)
    found = dict(_ask_all(site, "saf_export", destination=destination, date=date_of(date)))
    if as_json:
        show_json(found)
        return
    for node, said in found.items():
        amount = yuan_from_fen(said.get("amount_fen", 0))
        say(f"{node}: {said.get('entries', 0)} entries, {amount} yuan: {said.get('path', '')}")
        say(f"    sha256 {said.get('sha256', '')}")


def carry_out(site: "Site", act: dict[str, Any], signed: dict[str, str]) -> dict[str, Any]:
    """Have an approved act carried out by the node that has its entry, and put its result down."""
    from qianzhi.runtime.admin import AdminError, ask

    command = act["kind"].replace("-", "_")
    reason = {} if command == "saf_retry" else {"why": act["reason"]}
    said = []
    for node, path in _nodes(site):
        wanted = {"id": act["arguments"]["entry"], "act": str(act["id"])} | reason
        try:
            answer = ask(path, command, timeout_seconds=NODE_SECONDS, **wanted)
        except AdminError as error:
            said.append(f"{node}: {error}")
            continue
        detail = {"node": node, "state": str(answer.get("state", ""))}
        return ask_bridge(site, "act_done", **signed, number=act["id"], result="approved", detail=detail)
    why = "; ".join(said) or "none runs here"
    raise CommandError(
        UNREACHABLE,
        f"act {act['id']} is approved, and no node here has carried it out: {why}",
        f"run `qianzhi approve {act['id']}` again when the node of the entry runs on this machine",
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
    if said:
        say(f"not asked: {'; '.join(said)}")
    if not answered:
        raise CommandError(UNREACHABLE, "no node of this machine answers", HERE)


def _nodes(site: "Site") -> Iterator[tuple[str, Any]]:
    folder = folder_of_sockets(site)
    for name in site.nodes:
        path = folder / f"{name}.sock"
        if path.exists():
            yield name, path
