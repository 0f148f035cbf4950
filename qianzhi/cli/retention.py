"""How long days are kept, for whoever operates the core's database: shown, worked through now, dropped.

No money moves and no key is answered otherwise by it: what is too old is the calendar's to say.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from qianzhi.cli.chosen import chosen
from qianzhi.cli.database import Admin, core_of_owner, owner_url, reachable
from qianzhi.cli.output import BROKEN, USAGE, CommandError, say, show_json, show_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crm_bridge.retention import Held
    from qianzhi.cli.chosen import Chosen
    from qianzhi.link.tables import Site

EVERY_ROW = 2**31

retention_app = typer.Typer(
    help="How long days of journal and books are kept, and what becomes of the old ones.",
    no_args_is_help=True,
)
Json = Annotated[bool, typer.Option("--json", help="Print data as JSON.")]


@retention_app.command("show")
def show(context: typer.Context, as_json: Json = False) -> None:
    """Show from which date keys are kept, which days have a part, what goes next and what holds it."""
    show_command(chosen(context), as_json)


@retention_app.command("run")
def run(context: typer.Context) -> None:
    """Do now what bridges do by their timer; exit 1 when a day that should go is held."""
    run_command(chosen(context))


@retention_app.command("drop")
def drop(
    context: typer.Context,
    through: Annotated[int, typer.Argument(metavar="YYYYMMDD", help="The newest date that is dropped.")],
    yes: Annotated[bool, typer.Option("--yes", help="They are exported, or not wanted any more.")] = False,
    admin: Admin = "",
) -> None:
    """Drop detached days for good, as the database's owner."""
    drop_command(chosen(context), through, yes, admin)


def show_command(chosen: "Chosen", as_json: bool) -> None:
    """Print how the dates stand."""
    from crm_bridge.retained.store import holds, look, old_parts
    from crm_bridge.retention import due, kept_from
    from qianzhi.cli.looking import core_of

    site, core = core_of(chosen)
    today = _today(site)
    with reachable():
        parts, old = look(core.database, today), old_parts(core.database)
        goes = due(today, core.keep_days, parts.attached)
        held = holds(core.database, goes[0]) if goes else ()
    kept = max(kept_from(today, core.keep_days), parts.opened + 1 if parts.opened else 0)
    if as_json:
        told = {"kept_from": kept, "goes": goes, "held": [one._asdict() for one in held]}
        show_json({**parts._asdict(), **told, "old": [{"part": name, "bytes": size} for name, size in old]})
        return
    say(f"keys are kept from {kept} on ({core.keep_days} days); older ones are refused as too old")
    if parts.attached:
        first, last = parts.attached[0], parts.attached[-1]
        say(f"{len(parts.attached)} parts in use, their last dates {first} to {last}")
    say(f"opening balances are written through {parts.opened or 'no date'}")
    if parts.unplaced:
        say(f"{parts.unplaced} rows stand in no part of their date: `qianzhi retention run`")
    if goes:
        say(f"to go: {len(goes)}, first {goes[0]}" + (f", held by {_said(held)}" if held else ""))
    if old:
        show_table(("detached", "MB>"), [(name, f"{size / 1_000_000:.1f}") for name, size in old])


def run_command(chosen: "Chosen") -> None:
    """Do one round; on SQLite only where no bridge runs, for that does it itself."""
    from crm_bridge.gateway_lock import held as holding
    from crm_bridge.retained.store import run_round
    from qianzhi.cli.looking import core_of
    from qianzhi.runtime import clock

    site, core = core_of(chosen, "")
    with reachable(), holding(core.database):
        done = run_round(core.database, _today(site), core.keep_days, clock.now(), EVERY_ROW)
    for what, dates in (("parts made", done.made), ("closed", done.closed), ("detached", done.detached)):
        if dates:
            say(f"{what}: {len(dates)}, {dates[0]} to {dates[-1]}")
    if done.moved:
        say(f"{done.moved} rows moved to the part of their date")
    if done.held:
        raise CommandError(BROKEN, f"{done.held_date} is old enough to go, and is held by {_said(done.held)}")
    if not (done.made or done.closed or done.detached):
        say("nothing to do")


def drop_command(chosen: "Chosen", through: int, yes: bool, admin: str) -> None:
    """Drop what was detached."""
    from crm_bridge.retained.store import drop
    from qianzhi.runtime.urls import is_postgres

    _, core = core_of_owner(chosen)
    if not is_postgres(core.database):
        raise CommandError(USAGE, "on SQLite nothing is ever detached", "the file keeps every row")
    if not yes:
        raise CommandError(USAGE, "what is dropped is gone", "export it with pg_dump, then say --yes")
    with reachable():
        gone = drop(owner_url(core, admin), through)
    say(f"dropped: {', '.join(gone)}" if gone else f"nothing through {through} is detached")


def _said(held: "Iterable[Held]") -> str:
    return ", ".join(f"{one.why} ({one.times})" for one in held)


def _today(site: "Site") -> int:
    from qianzhi.domain.dates import business_date
    from qianzhi.link.site import zone_of
    from qianzhi.runtime import clock

    return business_date(clock.now().wall_us, zone_of(site))
