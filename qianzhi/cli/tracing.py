"""One request's whole life, put together from the journal, the books and every daemon's event files.

Event files hold masked frames only, so nothing secret can be shown; only this machine's are read.
"""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from qianzhi.cli.life import Step, steps_of
from qianzhi.cli.looking import core_url, local_time, not_reachable
from qianzhi.cli.output import BROKEN, USAGE, CommandError, say, show_json, show_table
from qianzhi.cli.wording import account_words, transfer_words
from qianzhi.domain.money import yuan_from_fen
from qianzhi.runtime.effects import Event

if TYPE_CHECKING:
    from crm_bridge.lookup import JournalView
    from qianzhi.cli.checks import Checked
    from qianzhi.cli.chosen import Chosen
    from qianzhi.link.tables import Site


class Hop(NamedTuple):
    """One row of one daemon's event files."""

    daemon: str
    event: Event


class Shown(NamedTuple):
    """What is shown beside the story and the money: the parsed messages, and their masked bytes in hex."""

    messages: bool = True
    hex: bool = False


MOMENTS = (("received", "received_us"), ("decided", "decided_us"), ("reversed", "reversed_us"))


def trace_command(chosen: "Chosen", text: str, shown: Shown, as_json: bool) -> None:
    """Show everything that is known of a key, or of each key with this serial; exit 1 for nothing."""
    from qianzhi.cli.checks import require
    from qianzhi.link.site import data_folder

    checked, site = require(chosen.config, chosen.site)
    journal = journal_of(core_url(checked, site), text)
    events = data_folder(site) / "events"
    keys = [row.key for row in journal] or sorted(keys_in_events(events, text))
    if not keys:
        raise CommandError(
            BROKEN,
            f"neither the core nor this machine's event files know {text!r}",
            "give space/YYYYMMDD/serial, a serial with its leading zeros, or a work order",
        )
    lives = [life_of(checked, site, key, journal, hops_of(events, key)) for key in keys]
    if as_json:
        show_json(lives)
    else:
        for life in lives:
            show_life(life, site, shown)


def journal_of(url: str, text: str) -> "list[JournalView]":
    """Return the journal's rows of a key or serial; raises CommandError when the core cannot be read."""
    from crm_bridge.lookup import find_journal

    with not_reachable(url):
        try:
            return find_journal(url, text)
        except ValueError as error:
            raise CommandError(USAGE, str(error), "write a key as space/YYYYMMDD/serial") from error


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
        frame = bytes(data.pop("frame", b""))
        bank = banks.get(daemon, "")
        profile = checked.profiles.get(bank)
        views = profile.codec.describe(frame) if frame and profile else []
        yield {
            "daemon": daemon,
            "bank": bank,
            "event": event.name,
            "wall_us": event.wall_us,
            "after_us": event.wall_us - before,
            "trace": event.trace,
            "data": data,
            "hex": frame.hex(),
            "fields": [view._asdict() for view in views],
        }
        before = event.wall_us


def show_life(life: dict[str, Any], site: "Site", shown: Shown) -> None:
    """Print one key's life: the story, the journal and the money, then the messages."""
    say(headline(life))
    show_story(steps_of(life["hops"]), site)
    if life["journal"] is None:
        say(unposted(life["hops"]))
    else:
        show_journal(life["journal"], site)
        show_money(life, site)
    if shown.messages:
        for hop in life["hops"]:
            show_message(hop, site, with_hex=shown.hex)


def unposted(hops: list[dict[str, Any]]) -> str:
    """Say why the journal holds nothing of a key."""
    asked = [hop["data"].get("kind") for hop in hops if hop["event"] == "core"]
    if not asked:
        return "The core never saw this key: nothing was posted."
    return f"A question ({', '.join(dict.fromkeys(map(str, asked)))}) claims no key: nothing was posted."


def headline(life: dict[str, Any]) -> str:
    """Say in one line what was asked and what became of it."""
    row = life["journal"]
    if row is None:
        return str(life["key"])
    if not row["phone"]:
        return f"{life['key']}: {row['state']} without an original"
    money = f" of {yuan_from_fen(row['amount_fen'])} yuan" if row["amount_fen"] else ""
    bill = f" on bill {row['bill']}" if row["bill"] else ""
    return f"{life['key']}: {row['kind']}{money} for {row['phone']}{bill}: {row['state'].replace('_', ' ')}"


def show_story(steps: list[Step], site: "Site") -> None:
    """Print the steps with the time since the one before; the date once, where it is one date."""
    times = [local_time(step.wall_us, site) for step in steps]
    dates = {text[:10] for text in times}
    cut = 11 if len(dates) == 1 else 0
    rows, before = [], 0
    for text, step in zip(times, steps, strict=True):
        rows.append((text[cut:], since(step.wall_us - before) if before else "", step.where, step.what))
        before = step.wall_us
    column = f"{dates.pop()} ({site.timezone})" if cut else f"time ({site.timezone})"
    show_table((column, "after>", "where", "what happened"), rows)


def since(us: int) -> str:
    """Write a difference: milliseconds below ten seconds, then seconds, then minutes."""
    if us < 10_000_000:
        return f"+{us / 1000:.1f} ms"
    return f"+{us / 1_000_000:.1f} s" if us < 600_000_000 else f"+{us // 60_000_000} min"


def show_journal(row: dict[str, Any], site: "Site") -> None:
    """Print the journal's row: what the core holds about this key."""
    shown = [
        ("state", row["state"]),
        ("result", row["result"].replace("_", " ")),
        ("bank", f"{row['bank']}, bank number {row['bank_number']}" if row["bank_number"] else row["bank"]),
        *((word, local_time(row[name], site)) for word, name in MOMENTS if row[name]),
        ("written by", row["part"]),
    ]
    show_table(("journal", ""), [(word, value) for word, value in shown if value])


def show_money(life: dict[str, Any], site: "Site") -> None:
    """Print the work orders of a key and their entries, in yuan."""
    orders = [
        (
            local_time(each["posted_us"], site),
            each["serial"],
            each["kind"],
            yuan_from_fen(each["amount_fen"]),
            f"undoes {each['reverses']}"
            if each["reverses"]
            else "reversed"
            if each["reversed_by"]
            else "stands",
        )
        for each in life["orders"]
    ]
    show_table(("posted", "work order", "kind", "yuan>", "state"), orders)
    entries = [
        (
            each["order"],
            transfer_words(each["what"]),
            account_words(each["debit"]),
            account_words(each["credit"]),
            yuan_from_fen(each["amount_fen"]),
        )
        for each in life["entries"]
    ]
    show_table(("entries of", "what", "from (debit)", "to (credit)", "yuan>"), entries)


def show_message(hop: dict[str, Any], site: "Site", *, with_hex: bool) -> None:
    """Print the parsed message of one hop, if it has one."""
    if not hop["fields"]:
        return
    way = {"in": "from the bank", "out": "to the bank"}.get(hop["event"], hop["event"])
    title = f"{local_time(hop['wall_us'], site)} {hop['daemon']}: the message {way}, masked"
    rows = [(view["tag"], view["path"], view["title"], view["value"]) for view in hop["fields"]]
    show_table(("field", "path", "title", "value"), rows, title=title)
    if with_hex:
        say(f"qianzhi describe {hop['bank']} {hop['hex']}")
