"""The banks' message broker for its operator: what must stand there, who may do what, how it is.

A front-end declares its own bank's queues by itself; `declare` does it for all of them beforehand.
"""

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qianzhi.cli.chosen import chosen
from qianzhi.cli.output import BROKEN, UNREACHABLE, USAGE, CommandError, say, show_json, show_table
from qianzhi.cli.wording import counted

if TYPE_CHECKING:
    from bankmq.amqp_messages import Topology
    from bankmq.amqp_names import BankNames, User
    from bankmq.amqp_once import Look
    from qianzhi.cli.chosen import Chosen
    from qianzhi.link.tables import BrokerTable, Site

SECONDS = 15.0
HASH = "rabbit_password_hashing_sha256"

broker_app = typer.Typer(help="The banks' broker: its queues, its users, its state.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print data as JSON.")]


@broker_app.command("declare")
def declare(context: typer.Context) -> None:
    """Make the exchange and the queues of every bank on RabbitMQ; may be done again at any time."""
    declare_command(chosen(context))


@broker_app.command("users")
def users(
    context: typer.Context,
    write: Annotated[
        Path | None,
        typer.Option(
            "--write",
            metavar="FILE",
            help="Write them with their passwords' hashes, for `rabbitmqctl import_definitions FILE`.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show which users the broker must have, ours and each bank's, and what each of them may do."""
    users_command(chosen(context), write, as_json)


@broker_app.command("status")
def status(context: typer.Context, as_json: Json = False) -> None:
    """Show whether the broker can be reached and how many messages wait; exit 3 when it cannot."""
    status_command(chosen(context), as_json)


def declare_command(chosen: "Chosen") -> None:
    """Declare everything, and say what was found."""
    site, table, banks = _broker_of(chosen)
    look = _look(site, table, _topology(chosen, table, banks))
    _must_be_reached(look)
    say(f"{counted(len(banks), 'bank')}: {counted(len(look.depths), 'queue')} stand; {look.state.text}")
    if "not as declared" in look.state.text:
        text = "a queue of that name was there before, with other properties, and is used as it stands"
        raise CommandError(BROKEN, text, "delete it when it is empty; the fronts declare it again")


def users_command(chosen: "Chosen", write: Path | None, as_json: bool) -> None:
    """Show the users, or write them as definitions."""
    site, table, banks = _broker_of(chosen)
    users = _users(site, table, banks)
    if write is not None:
        definitions = _definitions(chosen, site, table, users)
        with open(
            os.open(write, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
        ) as file:
            json.dump(definitions, file, indent=1)
        left = [user.name for user, reference in users if not reference]
        say(f"{write}: {counted(len(definitions['users']), 'user')}; rabbitmqctl import_definitions {write}")
        if left:
            say(f"left as they are, for their passwords are not in the site: {', '.join(left)}")
    elif as_json:
        show_json([{**user._asdict(), "vhost": table.vhost} for user, _ in users])
    else:
        rows = [
            (user.name, user.configure, user.write, user.read, "this site" if reference else "yours to set")
            for user, reference in users
        ]
        columns = ("user", "configure", "write", "read", "password")
        show_table(columns, rows, title=f"virtual host {table.vhost}")


def status_command(chosen: "Chosen", as_json: bool) -> None:
    """Count the messages of every queue; nothing is made."""
    site, table, banks = _broker_of(chosen)
    topology = _topology(chosen, table, banks)._replace(exchanges=(), bindings=(), passive=True)
    look = _look(site, table, topology)
    if as_json:
        show_json(
            {
                "state": look.state.name,
                "text": look.state.text,
                "queues": look.depths,
                "missing": look.missing,
            }
        )
    else:
        say(look.state.text)
    _must_be_reached(look)
    if not as_json:
        columns = ("bank", "waiting>", "control>", "put aside>", "dead letters>")
        show_table(columns, [_row(bank, names, look) for bank, names in banks.items()])
    if look.missing:
        text = f"{counted(len(look.missing), 'queue')} missing: {', '.join(look.missing)}"
        raise CommandError(BROKEN, text, "a front-end makes its bank's; or run `qianzhi broker declare`")


def _row(bank: str, names: "BankNames", look: "Look") -> tuple[object, ...]:
    queues = (names.main, names.control, names.backout, names.dead)
    return bank, *("missing" if name in look.missing else look.depths.get(name, "") for name in queues)


def _broker_of(chosen: "Chosen") -> "tuple[Site, BrokerTable, dict[str, BankNames]]":
    """Return the site, its broker, and the names of the banks that are on it."""
    from bankmq.amqp_names import bank_names
    from frontends.profile import load_profile
    from qianzhi.cli.daemons import site_of

    site = site_of(chosen)
    if site.broker is None:
        raise CommandError(USAGE, f"{site.file} has no table [broker]", "another site: --site NAME")
    profiles = [
        load_profile(chosen.config, bank, site, rehearsed=False, with_keys=False)[0] for bank in site.banks
    ]
    banks = [
        each.name
        for each in profiles
        if each is not None and each.transport.kind == "queue" and each.engine == "rabbitmq"
    ]
    return site, site.broker, {bank: bank_names(site.broker.prefix, bank) for bank in banks}


def _topology(chosen: "Chosen", table: "BrokerTable", banks: "dict[str, BankNames]") -> "Topology":
    """Return what all banks' fronts declare."""
    from bankmq.amqp_messages import Topology
    from bankmq.amqp_names import bank_topology
    from frontends.profile import load_profile

    parts = []
    for bank, names in banks.items():
        profile = load_profile(chosen.config, bank, rehearsed=False, with_keys=False)[0]
        one = profile is not None and profile.transport.one_queue
        parts.append(bank_topology(names, table.delivery_limit, one))
    return Topology(
        tuple(exchange for part in parts for exchange in part.exchanges),
        tuple(queue for part in parts for queue in part.queues),
        tuple(binding for part in parts for binding in part.bindings),
    )


def _look(site: "Site", table: "BrokerTable", topology: "Topology") -> "Look":
    from bankmq.amqp_once import look_at
    from frontends.broker import our_broker
    from qianzhi.runtime.process import DaemonError
    from qianzhi.runtime.secrets import KeyReferenceError

    try:
        return look_at(our_broker(site, table), topology, SECONDS)
    except (KeyReferenceError, DaemonError) as error:
        raise CommandError(USAGE, f"broker: {error}") from error


def _must_be_reached(look: "Look") -> None:
    if not look.reached:
        raise CommandError(
            UNREACHABLE,
            f"the broker cannot be used: {look.state.text.removesuffix('; trying again')}",
            "`rabbitmqctl status` on its machine; for a refusal see `qianzhi broker users`",
        )


def _users(site: "Site", table: "BrokerTable", banks: "dict[str, BankNames]") -> "list[tuple[User, str]]":
    """Return the users with the references of their passwords."""
    from bankmq.amqp_names import bank_user, our_user

    return [(our_user(table.user), table.password)] + [
        (bank_user(names), site.banks[bank].password) for bank, names in banks.items()
    ]


def _definitions(
    chosen: "Chosen", site: "Site", table: "BrokerTable", users: "list[tuple[User, str]]"
) -> dict[str, Any]:
    """Return what RabbitMQ imports: the virtual host, and users with hashes instead of passwords."""
    from qianzhi.runtime.secrets import KeyReferenceError, resolve_password

    known = []
    for user, reference in users:
        if not reference:
            continue
        try:
            password = resolve_password(reference, production=site.production, base=chosen.config)
        except KeyReferenceError as error:
            raise CommandError(USAGE, f"the password of {user.name}: {error}") from error
        salt = os.urandom(4)
        digest = salt + hashlib.sha256(salt + password.encode()).digest()
        known.append((user, base64.b64encode(digest).decode("ascii")))
    return {
        "vhosts": [{"name": table.vhost}],
        "users": [
            {"name": user.name, "password_hash": digest, "hashing_algorithm": HASH, "tags": ""}
            for user, digest in known
        ],
        "permissions": [
            {
                "user": user.name,
                "vhost": table.vhost,
                "configure": user.configure,
                "write": user.write,
                "read": user.read,
            }
            for user, _ in known
        ],
    }
