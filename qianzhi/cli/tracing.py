"""One request's whole life, put together from the journal, the books and every daemon's event files.

Event files hold masked frames only, so nothing secret can be shown; only this machine's are read.
"""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from qianzhi.cli.looking import core_url, local_time, not_reachable, order_row
from qianzhi.cli.output import BROKEN, CommandError, say, show_json, show_table
from qianzhi.domain.money import yuan_from_fen
from qianzhi.runtime.effects import Event

if TYPE_CHECKING:
    from crm_bridge.lookup import JournalView
    from qianzhi.cli.checks import Checked
    from qianzhi.cli.main import Chosen
    from qianzhi.link.tables import Site


class Hop(NamedTuple):
    """One row of one daemon's event files."""

    daemon: str
    event: Event


def trace_command(chosen: "Chosen", text: str, as_json: bool) -> None:
    """Show everything that is known of a key, or of each key with this serial; exit 1 for nothing."""
    from qianzhi.cli.checks import require
    from qianzhi.link.site import data_folder

    checked, site = require(chosen.config, chosen.site)
    journal = journal_of(core_url(checked, site), text)
    events = data_folder(site) / "events"
    keys = [row.key for row in journal] or sorted(keys_in_events(events, text))
    if not keys:
        raise CommandError(
            BROKEN, f"nothing is known of {text!r}", "give space/YYYYMMDD/serial, or the serial"
        )
    lives = [life_of(checked, site, key, journal, hops_of(events, key)) for key in keys]
    if as_json:
        show_json(lives)
    else:
        for life in lives:
            show_life(life, site)


def journal_of(url: str, text: str) -> "list[JournalView]":
    """Return the journal's rows of a key or serial; raises CommandError when the core cannot be read."""
    from crm_bridge.lookup import find_journal

    with not_reachable(url):
        try:
            return find_journal(url, text)
        except ValueError as error:
            raise CommandError(BROKEN, str(error)) from error


def keys_in_events(events: Path, serial: str) -> set[str]:
    """Return the keys with this serial that a front-end saw, for requests that never reached the core."""
    from qianzhi.runtime.events import read_events

    whole = serial.count("/") >= 2
    return {
        row.key
        for folder in events.glob("front-*")
        for row in read_events(folder, key=serial if whole else "")
        if row.key == serial or (not whole and row.key.endswith(f"/{serial}"))
    }


def hops_of(events: Path, key: str) -> list[Hop]:
    """Return the rows of a key from all daemons, oldest first."""
    from qianzhi.runtime.events import read_events

    found = [
        Hop(folder.name, row)
        for folder in sorted(events.iterdir() if events.is_dir() else [])
        for row in read_events(folder, key=key)
    ]
    return sorted(found, key=lambda hop: hop.event.wall_us)


def life_of(
    checked: "Checked", site: "Site", key: str, journal: "list[JournalView]", hops: list[Hop]
) -> dict[str, Any]:
    """Put one key's life together as plain data."""
    from crm_bridge.lookup import find_entries, find_order

    url = core_url(checked, site)
    row = next((row for row in journal if row.key == key), None)
    serials = [serial for serial in (row.order, row.reversal_order) if serial] if row else []
    orders = [order for order in (find_order(url, serial) for serial in serials) if order]
    return {
        "key": key,
        "hops": list(plain_hops(checked, site, hops)),
        "journal": asdict(row) if row else None,
        "orders": [asdict(order) for order in orders],
        "entries": [asdict(entry) for serial in serials for entry in find_entries(url, serial)],
    }


def plain_hops(checked: "Checked", site: "Site", hops: list[Hop]) -> Iterator[dict[str, Any]]:
    """Yield hops as plain data: the time since the one before, and masked frames parsed field by field."""
    from qianzhi.link.site import fronts

    banks = {name: bank for name, bank, _, _ in fronts(site)}
    before = hops[0].event.wall_us if hops else 0
    for daemon, event in hops:
        data = dict(event.data)
        frame = data.pop("frame", None)
        profile = checked.profiles.get(banks.get(daemon, ""))
        views = profile.codec.describe(bytes(frame)) if frame is not None and profile else []
        yield {
            "daemon": daemon,
            "event": event.name,
            "wall_us": event.wall_us,
            "after_us": event.wall_us - before,
            "trace": event.trace,
            "data": data,
            "fields": [view._asdict() for view in views],
        }
        before = event.wall_us


def show_life(life: dict[str, Any], site: "Site") -> None:
    """Print one key's life."""
    rows = [hop_row(hop, site) for hop in life["hops"]]
    show_table(("time", "after>", "daemon", "event", "what"), rows, title=life["key"])
    for hop in life["hops"]:
        show_fields(hop)
    if life["journal"] is None:
        say("The core never saw this key.")
        return
    show_table(("journal", ""), [(name, value) for name, value in life["journal"].items() if value])
    show_orders(life, site)


def hop_row(hop: dict[str, Any], site: "Site") -> tuple[object, ...]:
    """Return one hop as a row: when, how long after the one before, where, what."""
    after = f"+{hop['after_us'] / 1000:.1f} ms"
    words = "  ".join(f"{name} {value}" for name, value in hop["data"].items())
    return local_time(hop["wall_us"], site), after, hop["daemon"], hop["event"], words


def show_fields(hop: dict[str, Any]) -> None:
    """Print the parsed message of one hop, if it has one."""
    if hop["fields"]:
        rows = [(view["tag"], view["path"], view["title"], view["value"]) for view in hop["fields"]]
        show_table(("field", "path", "title", "value"), rows, title=f"{hop['daemon']} {hop['event']}")


def show_orders(life: dict[str, Any], site: "Site") -> None:
    """Print the work orders of a key and their entries."""
    from crm_bridge.lookup import OrderView

    orders = [order_row(OrderView(**each), site) for each in life["orders"]]
    show_table(("posted", "work order", "kind", "yuan>", "key", ""), orders)
    entries = [
        (each["order"], each["what"], each["debit"], each["credit"], yuan_from_fen(each["amount_fen"]))
        for each in life["entries"]
    ]
    show_table(("entry of", "what", "debit", "credit", "yuan>"), entries)
