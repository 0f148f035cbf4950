"""The command `qianzhi`: what its words are; what they do stands in the modules beside this one.

Everything else is imported inside the command that needs it, so that `qianzhi --help` and the start of a
daemon pay for nothing more.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from qianzhi.cli.broker import broker_app
from qianzhi.cli.chosen import Chosen, chosen
from qianzhi.cli.database import Admin, database_app
from qianzhi.cli.money_commands import money_app
from qianzhi.cli.output import (
    CHECK_ADVICE,
    EXIT_CODES,
    UNREACHABLE,
    USAGE,
    CommandError,
    end,
    say,
    show_problems,
)
from qianzhi.cli.profile_commands import profile_app
from qianzhi.cli.retention import retention_app
from qianzhi.cli.simulating import simulate_app
from qianzhi.cli.simulating_networks import simulate_network  # noqa: F401 - adds its commands
from qianzhi.cli.wording import counted
from qianzhi.runtime.problems import ConfigError

EPILOG = "Exit codes: " + "; ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES) + "."

app = typer.Typer(
    name="qianzhi",
    help="A bank front-end processor 前置: banks in their own wire formats, one recharge core.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
supervisor_app = typer.Typer(help="What supervisor is given: supervisor.d/.", no_args_is_help=True)
app.add_typer(supervisor_app, name="supervisor", rich_help_panel="Running")
haproxy_app = typer.Typer(help="What the banks' balancer is given.", no_args_is_help=True)
app.add_typer(haproxy_app, name="haproxy", rich_help_panel="Running")
app.add_typer(database_app, name="database", rich_help_panel="Core")
app.add_typer(retention_app, name="retention", rich_help_panel="Core")
app.add_typer(broker_app, name="broker", rich_help_panel="Running")
app.add_typer(simulate_app, name="simulate", rich_help_panel="Trying it")
app.add_typer(money_app)
app.add_typer(profile_app)


Json = Annotated[bool, typer.Option("--json", help="Print data as JSON.")]
DaemonName = Annotated[str, typer.Argument(metavar="NAME", help="node1, bridge1, front-hz_citic-1 …")]
DaemonOrBank = Annotated[
    str, typer.Argument(metavar="DAEMON|BANK", help="node1, bridge1, front-hz_citic-1, hz_citic …")
]
Phone = Annotated[str, typer.Argument(metavar="PHONE", help="11 digits, such as 13800000001.")]
Bank = Annotated[str, typer.Argument(metavar="BANK", help="A bank of the site, such as hz_citic.")]


@app.callback()
def options(
    context: typer.Context,
    config: Annotated[
        Path,
        typer.Option("--config", envvar="QIANZHI_CONFIG", metavar="DIR", help="The configuration's folder."),
    ] = Path("config"),
    site: Annotated[
        str, typer.Option("--site", envvar="QIANZHI_SITE", metavar="NAME", help="A site of config/sites/.")
    ] = "",
) -> None:
    """A bank front-end processor 前置: banks in their own wire formats, one recharge core."""
    context.obj = Chosen(config, site)


@app.command(rich_help_panel="Running")
def check(context: typer.Context, as_json: Json = False) -> None:
    """Validate the whole configuration; report every problem as file, key, found, expected."""
    from qianzhi.cli.looking import check_command

    check_command(chosen(context), as_json)


@app.command(rich_help_panel="Running")
def run(
    context: typer.Context,
    machine: Annotated[
        str, typer.Option("--machine", metavar="NAME", help="Only this machine's daemons.")
    ] = "",
    traffic: Annotated[
        bool, typer.Option("--traffic", help="Let simulated banks feed it, with a live view.")
    ] = False,
    rate: Annotated[
        int, typer.Option("--rate", min=1, help="Requests a second of the simulated banks.")
    ] = 20,
) -> None:
    """Run this machine's daemons under supervisord in the foreground; Ctrl-C ends them all."""
    from qianzhi.cli.running import run_command

    run_command(chosen(context), machine, rate if traffic else 0)


@app.command(rich_help_panel="Running")
def daemon(
    context: typer.Context,
    name: DaemonName,
) -> None:
    """Run one daemon in the foreground, after a check of the whole configuration (supervisor calls this)."""
    from qianzhi.cli.daemons import daemon_command

    daemon_command(chosen(context), name)


@app.command(rich_help_panel="Running")
def status(context: typer.Context, as_json: Json = False) -> None:
    """Ask every daemon of the site on this machine how it is; exit 3 when one does not answer."""
    from qianzhi.cli.health import status_command

    status_command(chosen(context), as_json)


@app.command(rich_help_panel="Running")
def drain(
    context: typer.Context,
    name: DaemonOrBank,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; `status` shows it.")] = "",
    until: Annotated[
        str,
        typer.Option("--until", metavar="TIME", help="When it ends by itself: 30m, 2h, 14:30, DATEThh:mm."),
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Even if nobody else would serve.")] = False,
) -> None:
    """Let a daemon or a bank's fronts finish what they have and take nothing new; kept over restarts."""
    from qianzhi.cli.draining import Wish, drain_command

    drain_command(chosen(context), name, Wish(reason, until, force))


@app.command(rich_help_panel="Running")
def undrain(context: typer.Context, name: DaemonOrBank) -> None:
    """Let a drained daemon, or a bank's fronts, take requests again."""
    from qianzhi.cli.draining import undrain_command

    undrain_command(chosen(context), name)


@app.command(rich_help_panel="Running")
def reload(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="[DAEMON]", help="Only this one.", show_default=False)] = "",
) -> None:
    """Let this machine's daemons read their certificates anew; connections that stand go on."""
    from qianzhi.cli.certificates import reload_command

    reload_command(chosen(context), name)


@supervisor_app.command("render")
def supervisor_render(
    context: typer.Context,
    folder: Annotated[Path, typer.Option("--to", metavar="DIR", help="The folder to write.")] = Path(
        "supervisor.d"
    ),
    machine: Annotated[
        str, typer.Option("--machine", metavar="NAME", help="Only this machine's daemons.")
    ] = "",
    program: Annotated[
        Path, typer.Option("--program", metavar="PATH", help="The qianzhi command that supervisor calls.")
    ] = Path(".venv/bin/qianzhi"),
    only_check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 when the files differ.")
    ] = False,
) -> None:
    """Render supervisor.d/ from the configuration."""
    from qianzhi.cli.daemons import render_command

    render_command(chosen(context), folder, machine, program, only_check)


@haproxy_app.command("render")
def haproxy_render(
    context: typer.Context,
    file: Annotated[Path, typer.Option("--to", metavar="FILE", help="The file to write.")] = Path(
        "contrib/haproxy/haproxy.cfg"
    ),
    only_check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 when the file differs.")
    ] = False,
) -> None:
    """Render HAProxy's configuration for the banks that dial an `entry` of the site."""
    from qianzhi.cli.balancer import render_command

    render_command(chosen(context), file, only_check)


@app.command(rich_help_panel="Trying it")
def demo(
    context: typer.Context,
    seconds: Annotated[int, typer.Option("--seconds", min=1, help="How long the banks send.")] = 20,
    rate: Annotated[
        int, typer.Option("--rate", min=1, help="Requests a second of all banks together.")
    ] = 100,
    kill: Annotated[
        str,
        typer.Option("--kill", metavar="node|front|bridge|DAEMON", help="SIGKILL one in mid-run."),
    ] = "",
    seed: Annotated[
        int, typer.Option("--seed", help="Decides what the banks do: the same seed, the same deeds.")
    ] = 1,
) -> None:
    """Run the whole path for a while on fresh data and prove the result: records, journal and books agree."""
    from qianzhi.cli.demo import demo_command

    demo_command(chosen(context), seconds, rate, kill, seed)


@app.command(rich_help_panel="Trying it")
def send(
    context: typer.Context,
    bank: Bank,
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="owed, recharge, pay, status, reverse, void, totals, "
            "sign-on, sign-off, echo, key-exchange, cutover-begin, cutover",
        ),
    ],
    phone: Annotated[str, typer.Option(help="The phone, 11 digits.")] = "",
    amount: Annotated[str, typer.Option(help="Yuan, such as 50.00.")] = "",
    serial: Annotated[
        str, typer.Option(help="The serial: your own, or the original's of status and reverse.")
    ] = "",
    bill: Annotated[
        str, typer.Option(help="The bill that pay quotes, with --amount; the oldest by default.")
    ] = "",
    date: Annotated[str, typer.Option(help="The business date YYYYMMDD, today by default.")] = "",
    number: Annotated[str, typer.Option(help="The bank number, the bank's first by default.")] = "",
    repeat: Annotated[bool, typer.Option("--repeat", help="Mark the message as a repeat.")] = False,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long to wait for the answer.")] = 10.0,
    messages: Annotated[
        bool, typer.Option("--messages", "-m", help="Show both messages field by field, masked.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Play the bank on a connection of its own: send one request and show the answer."""
    from qianzhi.cli.banks import Form, Wanted, send_command

    wanted = Wanted(
        what=what,
        phone=phone,
        amount=amount,
        serial=serial,
        bill=bill,
        date=date,
        number=number,
        repeat=repeat,
    )
    send_command(chosen(context), bank, wanted, seconds, Form(messages=messages, as_json=as_json))


@app.command(rich_help_panel="Trying it")
def traffic(
    context: typer.Context,
    banks: Annotated[
        list[str] | None, typer.Argument(metavar="[BANK]...", help="All banks by default.")
    ] = None,
    rate: Annotated[int, typer.Option("--rate", min=1, help="Requests a second of all banks together.")] = 20,
    seconds: Annotated[int, typer.Option("--seconds", min=0, help="How long; 0 until Ctrl-C.")] = 0,
    seed: Annotated[
        int, typer.Option("--seed", help="Decides what the banks do: the same seed, the same deeds.")
    ] = 1,
    as_json: Json = False,
) -> None:
    """Let simulated banks use a running system; show rates, latencies and results."""
    from qianzhi.cli.feeding import traffic_command

    traffic_command(chosen(context), banks or [], rate, seconds, seed, as_json)


@app.command(
    rich_help_panel="Trying it",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
def bench(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(metavar="[NAME]", help="Which one; what follows is given to it.", show_default=False),
    ] = "",
    show: Annotated[bool, typer.Option("--list", help="Show the names.")] = False,
) -> None:
    """Run a benchmark of the source tree by its name, as `make bench` runs them all."""
    from qianzhi.cli.benching import bench_command

    sys.exit(bench_command(["--list"] if show or not name else [name, *context.args]))


@app.command(rich_help_panel="Looking")
def account(context: typer.Context, phone: Phone, as_json: Json = False) -> None:
    """Show a phone's customer, books, bills and latest work orders."""
    from qianzhi.cli.looking import account_command

    account_command(chosen(context), phone, as_json)


@app.command(rich_help_panel="Looking")
def trace(
    context: typer.Context,
    key: Annotated[
        str, typer.Argument(metavar="KEY", help="space/YYYYMMDD/serial, the serial alone, or a work order.")
    ],
    brief: Annotated[bool, typer.Option("--brief", help="Leave the messages out.")] = False,
    with_hex: Annotated[bool, typer.Option("--hex", help="Show the masked bytes too.")] = False,
    as_json: Json = False,
) -> None:
    """Show one request's whole life: hops with times, journal, work order, entries, masked messages."""
    from qianzhi.cli.tracing import Shown, trace_command

    trace_command(chosen(context), key, Shown(not brief, with_hex), as_json)


@app.command(rich_help_panel="Core")
def seed(
    context: typer.Context,
    subscribers: Annotated[int, typer.Option("--subscribers", min=1, help="How many phones.")] = 1000,
    number: Annotated[
        int, typer.Option("--seed", help="Which population: the same seed, the same people.")
    ] = 1,
) -> None:
    """Make the core's tables and fill them with subscribers, from phone 13800000000 on."""
    from qianzhi.cli.looking import seed_command

    seed_command(chosen(context), subscribers, number)


@app.command(rich_help_panel="Core")
def promote(
    context: typer.Context,
    standby: Annotated[str, typer.Argument(metavar="HOST:PORT", help=r"The standby, as \[core] names it.")],
    stop_data: Annotated[
        Path | None,
        typer.Option("--stop-data", metavar="DIR", help="Stop the old primary, on this machine."),
    ] = None,
    stop_command: Annotated[
        str, typer.Option("--stop-command", metavar="TEXT", help="Stop it by this command (ssh core1 …).")
    ] = "",
    stopped: Annotated[
        bool, typer.Option("--primary-is-stopped", help="It is stopped already; it must not answer.")
    ] = False,
    admin: Admin = "",
) -> None:
    """Make the database's standby the primary, after the old primary has stopped."""
    from qianzhi.cli.promoting import Stop, promote_command

    promote_command(chosen(context), standby, Stop(stop_data, stop_command, stopped), admin)


@app.command("audit-books", rich_help_panel="Core")
def audit_books(context: typer.Context, as_json: Json = False) -> None:
    """Prove the books: every posting balances, every balance is the sum of its entries; exit 1 when not."""
    from qianzhi.cli.looking import audit_command

    audit_command(chosen(context), as_json)


@app.command(rich_help_panel="Looking")
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as version_of

    say(f"qianzhi {version_of('qianzhi')}")


def main() -> None:
    """Run the command; what is expected to go wrong ends with a plain text and a documented exit code."""
    try:
        app()
    except CommandError as failure:
        end(failure)
    except ConfigError as error:
        show_problems(error.problems)
        end(
            CommandError(
                USAGE, f"{counted(len(error.problems), 'problem')} in the configuration", CHECK_ADVICE
            )
        )
    except ConnectionError as error:
        end(CommandError(UNREACHABLE, f"not reachable: {error}", "is it running? see `qianzhi status`"))
    except BrokenPipeError:
        sys.exit(0)


if __name__ == "__main__":
    main()
