"""`qianzhi status`: every daemon of the site in a line of plain words; everything else is in --json."""

from typing import TYPE_CHECKING, Any

from qianzhi.cli.daemons import site_of, statuses
from qianzhi.cli.output import UNREACHABLE, CommandError, show_json, show_table
from qianzhi.cli.wording import counted, duration

if TYPE_CHECKING:
    from qianzhi.cli.chosen import Chosen

Status = dict[str, Any]

BUSIEST_MAX = 3


def status_command(chosen: "Chosen", as_json: bool) -> None:
    """Show every daemon's status; a daemon that does not answer makes the exit code 3."""
    found = dict(statuses(site_of(chosen)))
    if as_json:
        show_json(found)
    else:
        show_table(
            ("daemon", "state", "pid>", "up>", "now"), [row_of(name, each) for name, each in found.items()]
        )
    down = [name for name, status in found.items() if status["state"] == "down"]
    if len(down) == len(found):
        advice = "nothing of this site runs here; start it with `make run` or `qianzhi run`"
        raise CommandError(UNREACHABLE, "no daemon answers", advice)
    if down:
        raise CommandError(
            UNREACHABLE,
            f"no answer from {', '.join(down)}",
            "supervisor starts a daemon again by itself; its log is in log/ of the data folder",
        )


def row_of(name: str, status: Status) -> tuple[object, ...]:
    """Return one row of the table."""
    if status["state"] == "down":
        return name, "down", "", "", ""
    state = "draining" if status.get("draining") else status["state"]
    up = status.get("uptime_seconds")
    words = "; ".join(word for word in words_of(status) if word)
    return name, state, status.get("pid", ""), duration(int(up)) if up is not None else "", words


def words_of(status: Status) -> list[str]:
    """Say what matters of a daemon, by what it is: a front, a node, the bridge."""
    if "nodes" in status:
        return front_words(status)
    if "room" in status:
        return node_words(status)
    if "settled" in status:
        return bridge_words(status)
    return []


def front_words(status: Status) -> list[str]:
    """Say how the bank's line is, what is under way, and which nodes can be reached."""
    away = [f"{name} {state}" for name, state in status["nodes"].items() if state != "up"]
    key = (status.get("keys") or {}).get("current", "")
    return [
        *line_words(status),
        f"{status.get('in_flight', 0)} in flight",
        "reads nothing new" if status.get("paused") or status.get("holding") else "",
        f"key with check value {key}" if key else "",
        ", ".join(away) if away else f"nodes {', '.join(status['nodes'])} up",
    ]


def line_words(status: Status) -> list[str]:
    """Say whether the bank has its session, and over how many connections; a queue has neither.

    A dialect without sign-on has nothing to say of it; a short connection has ended before anybody counts it.
    """
    if not str(status.get("listening", "")).isdigit():
        return ["serves its queue"]
    signed_on = "signed on" if status.get("signed_on") else "NOT signed on"
    short = status.get("connection") == "short"
    return [
        signed_on if status.get("sign_on", True) else "",
        "a connection for each message" if short else counted(status.get("connections", 0), "connection"),
    ]


def node_words(status: Status) -> list[str]:
    """Say which peers are away, what was answered to the banks, and what the busiest have under way."""
    away = [name for name, peer in status["peers"].items() if not peer["up"]]
    draining = [name for name, peer in status["peers"].items() if peer["up"] and peer["draining"]]
    banks = status.get("banks", {})
    busiest = sorted(banks, key=lambda name: -banks[name].get("in_flight", 0))[:BUSIEST_MAX]
    answered, in_flight = (sum(bank.get(what, 0) for bank in banks.values()) for what in ("ok", "in_flight"))
    under_way = [f"{name} {banks[name]['in_flight']}" for name in busiest if banks[name].get("in_flight")]
    return [
        f"AWAY: {', '.join(away)}" if away else f"{counted(len(status['peers']), 'peer')} up",
        f"draining: {', '.join(draining)}" if draining else "",
        f"{counted(len(banks), 'bank')}: {answered} answered, {in_flight} in flight"
        + (f" ({', '.join(under_way)})" if under_way else ""),
    ]


def bridge_words(status: Status) -> list[str]:
    """Say how much was settled, and what waits for a writer."""
    waiting = status.get("waiting", [])
    return [
        f"{status['settled']} settled",
        f"{sum(waiting)} waiting for {counted(len(waiting), 'writer')}",
        f"nodes {', '.join(status.get('peers', [])) or 'none'} linked",
    ]
