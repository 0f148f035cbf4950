"""`qianzhi status`: every daemon of the site in a line of plain words; everything else is in --json.

This machine's daemons are asked; of the others the heartbeat rows tell, with their age.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from qianzhi.cli.certificates import certificate_words
from qianzhi.cli.daemons import folder_of_sockets, programs_of, site_of, status_of
from qianzhi.cli.output import UNREACHABLE, CommandError, say, show_json, show_table
from qianzhi.cli.wording import counted, duration
from qianzhi.runtime.now import SECOND_US

if TYPE_CHECKING:
    from qianzhi.cli.chosen import Chosen
    from qianzhi.link.store import Beat
    from qianzhi.link.tables import Site

Status = dict[str, Any]

BUSIEST_MAX = 3


def status_command(chosen: "Chosen", as_json: bool) -> None:
    """Show every daemon's status; a daemon that does not answer makes the exit code 3."""
    from qianzhi.link.site import zone_of

    site = site_of(chosen)
    look = Look(chosen, site)
    found = {program.name: look.at(program.name) for program in programs_of(site)}
    if as_json:
        show_json(found)
    else:
        rows = [row_of(name, each, zone_of(site)) for name, each in found.items()]
        show_table(("daemon", "state", "pid>", "up>", "now"), rows)
        if look.trouble:
            say(f"other machines' daemons are not shown: {look.trouble}")
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


class Look:
    """What can be seen of a site's daemons from here; `trouble` says why other machines cannot be seen."""

    def __init__(self, chosen: "Chosen", site: "Site") -> None:
        self.trouble = ""
        self._chosen = chosen
        self._site = site
        self._beats: dict[str, Beat] | None = None

    def at(self, name: str) -> Status:
        """Return a daemon's status: its own answer where its socket is here, else its last heartbeat.

        One that does not answer, or was last heard of too long ago, is "down", and `reason` says why.
        """
        from qianzhi.link.heartbeats import fresh

        if (folder_of_sockets(self._site) / f"{name}.sock").exists():
            return status_of(self._site, name)
        beat = self._read().get(name)
        if beat is None:
            return status_of(self._site, name)
        age, machine = duration(int(beat.age_seconds)), beat.row.machine
        seen = {"machine": machine, "age_seconds": round(beat.age_seconds, 1)}
        if not fresh(self._site, beat) or beat.row.status.get("state") == "stopped":
            reason = f"last heard of {age} ago, on machine {machine}"
            return {"name": name, "state": "down", "reason": reason, "seen": seen}
        return {**beat.row.status, "seen": seen}

    def _read(self) -> "dict[str, Beat]":
        from qianzhi.link.heartbeats import read_beats
        from qianzhi.link.store import BeatsError
        from qianzhi.runtime.secrets import KeyReferenceError

        if self._beats is None:
            try:
                self._beats = read_beats(self._site, self._chosen.config)
            except (BeatsError, KeyReferenceError) as error:
                self._beats, self.trouble = {}, f"the state database: {error}"
        return self._beats


def row_of(name: str, status: Status, zone: ZoneInfo | None = None) -> tuple[object, ...]:
    """Return one row of the table; times of day are told in `zone`."""
    if status["state"] == "down":
        return name, "down", "", "", status["reason"] if "seen" in status else ""
    state = "draining" if status.get("draining") else status["state"]
    state = "stands by" if status.get("standing_by") and status["state"] == "running" else state
    up = status.get("uptime_seconds")
    told = [*order_words(status, zone), *certificate_words(status), *words_of(status), *seen_words(status)]
    words = "; ".join(word for word in told if word)
    return name, state, status.get("pid", ""), duration(int(up)) if up is not None else "", words


def order_words(status: Status, zone: ZoneInfo | None) -> list[str]:
    """Say who let the daemon stand by, since when, until when and why."""
    order = status.get("standing_by")
    if not order:
        return []
    until = f" until {_clock(order['until_us'], zone)}" if order.get("until_us") else ""
    since = f" since {_clock(order['since_us'], zone)}" if order.get("since_us") else ""
    reason = f" ({order['reason']})" if order.get("reason") else ""
    return [f"by {order.get('by') or 'somebody'}{since}{until}{reason}"]


def seen_words(status: Status) -> list[str]:
    """Say on which machine a daemon is that was not asked, and how old its word is."""
    seen = status.get("seen")
    return [f"on machine {seen['machine']}, {int(seen['age_seconds'])} s ago"] if seen else []


def _clock(us: int, zone: ZoneInfo | None) -> str:
    return f"{datetime.fromtimestamp(us // SECOND_US, zone or ZoneInfo('Asia/Shanghai')):%m-%d %H:%M}"


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
        *trouble_words(status),
        *line_words(status),
        f"{status.get('in_flight', 0)} in flight",
        f"CLOSED: {status['closed']}" if status.get("closed") else "",
        "reads nothing new" if status.get("paused") or status.get("holding") else "",
        f"key with check value {key}" if key else "",
        ", ".join(away) if away else f"nodes {', '.join(status['nodes'])} up",
    ]


def trouble_words(status: Status) -> list[str]:
    """Say what is wrong with a front's broker and rows, and what lies in its queues of dead messages."""
    again = status.get("again", 0)
    dead = {name: n for name, n in status.get("queues", {}).items() if n and name.endswith((".dlq", ".bo"))}
    return [
        broker_words(status),
        "" if status.get("store", "ok") == "ok" else f"ROWS: {status['store']}",
        *(
            f"{queue} was DELETED {duration(seconds)} ago, declared again"
            for queue, seconds in status.get("deleted", {}).items()
        ),
        f"{again} came AGAIN, up to {status['again_most']} times" if again else "",
        ", ".join(f"{n} in {name}" for name, n in dead.items()),
    ]


def broker_words(status: Status) -> str:
    """Say what is wrong with a front's broker, also where it serves in spite of that; empty for nothing."""
    if status.get("broker_state", "ready") != "ready":
        return f"BROKER: {status['broker']}"
    differing = ", ".join(status.get("broker_differs", []))
    return f"BROKER: not as declared: {differing}" if differing else ""


def core_words(status: Status) -> list[str]:
    """Say what is wrong with a bridge's database and remote core."""
    database, core = status.get("database", {}), status.get("core", {})
    unknown = core.get("unknown", 0)
    hurt = "" if status.get("ready") else "NOT READY: "  # money still goes through a slow one
    return [
        "" if database.get("state", "ready") == "ready" else f"{hurt}{_told(database, 'detail')}",
        "" if core.get("state", "closed") == "closed" else f"REMOTE CORE {_told(core, 'reason')}",
        f"{counted(unknown, 'outcome')} of the remote core to be settled" if unknown else "",
    ]


def _told(part: Status, why: str) -> str:
    return f"{part['state']}: {part[why]}" if part.get(why) else str(part["state"])


def file_words(status: Status) -> list[str]:
    """Say what waits in a bank's folder, what is under way, and what is wrong."""
    under_way, waiting, trouble = status["file"], status["files_waiting"], status["files_trouble"]
    return [
        f"FILES: {trouble}" if trouble else "",
        f"{counted(waiting, 'file')} waiting",
        f"{under_way['name']} under way, {counted(under_way['lines_read'], 'line')}" if under_way else "",
    ]


def line_words(status: Status) -> list[str]:
    """Say whether the bank has its session, and over how many connections; a queue has neither.

    A dialect without sign-on has nothing to say of it; a short connection has ended before anybody counts it;
    a broker in trouble speaks for its queues.
    """
    if "folder" in status:
        return file_words(status)
    if not str(status.get("listening", "")).isdigit():
        return [] if broker_words(status) else ["serves its queue"]
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
    silent = [name for name, peer in status["peers"].items() if peer["up"] and peer.get("silent")]
    banks = status.get("banks", {})
    busiest = sorted(banks, key=lambda name: -banks[name].get("in_flight", 0))[:BUSIEST_MAX]
    answered, in_flight = (sum(bank.get(what, 0) for bank in banks.values()) for what in ("ok", "in_flight"))
    under_way = [f"{name} {banks[name]['in_flight']}" for name in busiest if banks[name].get("in_flight")]
    return [
        f"AWAY: {', '.join(away)}" if away else f"{counted(len(status['peers']), 'peer')} up",
        "" if status.get("ready", True) else "reaches NO BRIDGE that takes anything; its partner serves",
        f"taking nothing: {', '.join(draining)}" if draining else "",  # or a network that is signed off
        f"SILENT, passed over: {', '.join(silent)}" if silent else "",
        f"{counted(len(banks), 'bank')}: {answered} answered, {in_flight} in flight"
        + (f" ({', '.join(under_way)})" if under_way else ""),
    ]


def bridge_words(status: Status) -> list[str]:
    """Say how much was settled, and what waits for a writer."""
    waiting = status.get("waiting", [])
    return [
        *core_words(status),
        f"{status['settled']} settled",
        f"{sum(waiting)} waiting for {counted(len(waiting), 'writer')}",
        f"nodes {', '.join(status.get('peers', [])) or 'none'} linked",
    ]
