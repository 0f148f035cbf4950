"""`qianzhi simulate`: the other ends of our links, to try the platform on; never for production."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qianzhi.cli.chosen import chosen
from qianzhi.cli.output import BROKEN, USAGE, CommandError, say

if TYPE_CHECKING:
    from simulators.core_books import Books
    from simulators.core_faults import Faults
    from simulators.imported import Imported

simulate_app = typer.Typer(
    help="The whole system from a seed, or the other ends of our links, to try things on.",
    invoke_without_command=True,
)


@simulate_app.callback()
def simulate(
    context: typer.Context,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Run one seed.")] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=0, help="Run so many seeds, and sum up.")] = 0,
    first: Annotated[int, typer.Option("--first", min=0, help="The first of many seeds.")] = 1,
    requests: Annotated[int, typer.Option("--requests", min=1, help="Serials of one seed.")] = 560,
    jobs: Annotated[int, typer.Option("--jobs", min=0, help="Processes; 0 for one a core.")] = 0,
    plan: Annotated[
        Path | None, typer.Option("--plan", metavar="FILE", help="Run a plan that a failing seed left.")
    ] = None,
    shrink: Annotated[bool, typer.Option(help="Make a failing plan smaller.")] = True,
    stop: Annotated[bool, typer.Option("--stop", help="Run no seed after the first that fails.")] = False,
) -> None:
    """Simulate the whole system from a seed, with everything going wrong that can (docs/RELIABILITY.md)."""
    from qianzhi.cli.simulating_world import read_plan, simulate_plan, simulate_seeds

    if context.invoked_subcommand is not None:
        return
    if (plan is not None) + (seed is not None) + bool(seeds) > 1:
        raise CommandError(USAGE, "one of --seed, --seeds and --plan at a time", "nothing was run")
    config = chosen(context).config
    if plan is not None:
        simulate_plan(config, read_plan(plan), shrinking=False)
    elif seed is not None:
        from simulators.world.run import plan_of

        simulate_plan(config, plan_of(seed, requests), shrinking=shrink)
    elif seeds:
        cores = jobs or os.cpu_count() or 1
        chosen_seeds = range(first, first + seeds)
        simulate_seeds(config, chosen_seeds, cores, requests, shrinking=shrink, stopping=stop)
    else:
        sys.stdout.write(context.get_help() + "\n")


@simulate_app.command("core")
def simulate_core(
    context: typer.Context,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65_535)] = 8070,
    data: Annotated[
        Path, typer.Option("--data", metavar="FILE", help="The books, an SQLite file of their own.")
    ] = Path("var/remote-core.db"),
    subscribers: Annotated[int, typer.Option("--subscribers", min=1, help="For an empty file.")] = 1_000,
    token: Annotated[
        str, typer.Option("--token", help="A reference, such as env:TOKEN; none by default.")
    ] = "",
    fault: Annotated[
        list[str],
        typer.Option("--fault", metavar="NAME[=SECONDS][:TIMES]", help="Calls that go wrong first."),
    ] = [],  # noqa: B006 - typer reads it, nobody changes it
    day_end: Annotated[
        Path | None,
        typer.Option("--import", metavar="FILE", help="Book a file of `qianzhi saf export`, and end."),
    ] = None,
    openapi: Annotated[bool, typer.Option("--openapi", help="Print the contract and end.")] = False,
) -> None:
    """Serve a remote core (docs/REMOTE_CORE.md) in the foreground, with books and faults of its own."""
    from simulators.core import contract, make_core, serve

    if openapi:
        sys.stdout.write(contract(make_core(None)))
        return
    from qianzhi.runtime.secrets import KeyReferenceError, resolve_password

    try:
        secret = resolve_password(token, production=False, base=chosen(context).config) if token else ""
    except KeyReferenceError as error:
        raise CommandError(USAGE, f"--token: {error}") from error
    books = books_in(data, subscribers)
    if day_end is not None:
        from simulators.core_imports import import_file

        book(day_end, lambda lines: import_file(books, lines, data.with_suffix(".imported")))
        return
    core = make_core(books, secret)
    for text in fault:
        arm(core, text)
    say(f"a remote core at http://{host}:{port}, books in {data}; Ctrl-C ends it")
    serve(core, host, port)


def books_in(data: Path, subscribers: int) -> "Books":
    """Open the books in a file, made and filled where there are none."""
    from zoneinfo import ZoneInfo

    from crm_bridge.gateway_errors import LockedError
    from crm_bridge.seed import seed
    from crm_bridge.settings import CoreSettings
    from simulators.core_books import Books

    data.parent.mkdir(parents=True, exist_ok=True)
    url = f"sqlite:///{data.absolute()}"
    try:
        seed(url, subscribers)
    except LockedError as error:
        raise CommandError(USAGE, f"the books are in use: {error}", "take another --data") from error
    return Books(CoreSettings(database=url), ZoneInfo("Asia/Shanghai"))


def book(file: Path, import_file: Callable[[bytes], "Imported"]) -> None:
    """Book a day-end file, and say what came of it; raises CommandError when some of it was not booked."""
    from qianzhi.saf.exported import ExportError

    try:
        done = import_file(file.read_bytes())
    except (ExportError, OSError) as error:
        what = error.strerror if isinstance(error, OSError) else error
        raise CommandError(BROKEN, f"{file}: {what}", "nothing of it was booked") from error
    say(f"{file}: {done.booked} lines booked, {done.known} were booked before")
    if done.refused:
        raise CommandError(BROKEN, "; ".join(f"{line}: {result}" for line, result in done.refused))


def arm(core: "Faults", text: str) -> None:
    """Let calls go wrong as `NAME[=SECONDS][:TIMES]` says; raises CommandError for what nobody knows."""
    from simulators.core_faults import FAULTS, Fault

    rest, _, times = text.partition(":")
    name, _, seconds = rest.partition("=")
    if (
        name not in FAULTS
        or not (times or "1").isdigit()
        or not (seconds or "0").replace(".", "", 1).isdigit()
    ):
        raise CommandError(
            USAGE, f"--fault {text!r}", f"NAME[=SECONDS][:TIMES] with one of {', '.join(FAULTS)}"
        )
    core.arm(Fault(name, float(seconds or 0)), int(times or 1))
