"""The core's database for its operator: made ready, brought to a version's schema, looked at, failed over.

What it changes it says; what it cannot be sure of it does not do.
"""

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from qianzhi.cli.chosen import chosen
from qianzhi.cli.output import UNREACHABLE, USAGE, CommandError, say, show_json, show_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crm_bridge.migrations.server import Server
    from crm_bridge.settings import CoreSettings
    from qianzhi.cli.chosen import Chosen
    from qianzhi.link.tables import Site

NOT_YET = "run `qianzhi database init` first"

database_app = typer.Typer(
    help="The core's database: its schema, its roles, its state.", no_args_is_help=True
)

Json = Annotated[bool, typer.Option("--json", help="Print data as JSON.")]
Admin = Annotated[
    str,
    typer.Option(
        "--admin",
        envvar="QIANZHI_DATABASE_ADMIN",
        metavar="URL",
        help="PostgreSQL's superuser, postgresql://postgres@HOST:PORT/postgres; its password is best left "
        "to PGPASSWORD or ~/.pgpass.",
    ),
]


@database_app.command("init")
def init(context: typer.Context, admin: Admin = "") -> None:
    """Make what is missing: roles, database, schemas, tables, grants; may be done again at any time."""
    init_command(chosen(context), admin)


@database_app.command("migrate")
def migrate(context: typer.Context, admin: Admin = "") -> None:
    """Bring the schema to this version's; bridges of the version before go on meanwhile or wait."""
    migrate_command(chosen(context), admin)


@database_app.command("downgrade")
def downgrade(
    context: typer.Context,
    revision: Annotated[str, typer.Argument(metavar="REVISION", help="Such as 0002; `base` drops it all.")],
    admin: Admin = "",
) -> None:
    """Take the schema back; what the newer one held is lost."""
    downgrade_command(chosen(context), revision, admin)


@database_app.command("status")
def status(context: typer.Context, as_json: Json = False) -> None:
    """Show each server, who follows it, and the schema; exit 3 when the core cannot be reached."""
    status_command(chosen(context), as_json)


def init_command(chosen: "Chosen", admin: str) -> None:
    """Make the database ready: with its superuser for PostgreSQL, as a file for SQLite."""
    from crm_bridge.migrations.server import as_owner, make_ready, own
    from qianzhi.runtime.urls import database_of, is_postgres, with_database

    site, core = core_of_owner(chosen)
    if not is_postgres(core.database):
        _migrate(core.database)
        return
    if not admin:
        raise CommandError(
            USAGE, "roles and databases are made by the superuser", "give its URL with --admin"
        )
    name = database_of(core.database)
    with reachable():
        for done in make_ready(admin, name, _passwords(site, core)):
            say(done)
        owner = core.database if core.owner_password else as_owner(admin, name)
        _migrate(owner)
        _prepare_state(site, owner, admin)
        own(with_database(admin, name))
    say(f"{name}: ready")


def migrate_command(chosen: "Chosen", admin: str) -> None:
    """Bring the schema up to this version's."""
    site, core = core_of_owner(chosen)
    with reachable():
        owner = owner_url(core, admin)
        _migrate(owner)
        _prepare_state(site, owner, admin)


def downgrade_command(chosen: "Chosen", revision: str, admin: str) -> None:
    """Take the schema back to a revision."""
    from crm_bridge.gateway_lock import held
    from crm_bridge.migrations.schema import KNOWN, downgrade, schema_revision
    from qianzhi.runtime.urls import shown

    if revision not in (*KNOWN, "base"):
        raise CommandError(USAGE, f"there is no revision {revision}", f"known: {', '.join(KNOWN)}, base")
    _, core = core_of_owner(chosen)
    with reachable(), held(core.database):
        url = owner_url(core, admin)
        before = schema_revision(url)
        if before is None:
            raise CommandError(UNREACHABLE, f"{shown(url)} holds no core", NOT_YET)
        downgrade(url, revision)
    say(f"{shown(url)}: schema {before} -> {revision}")


def status_command(chosen: "Chosen", as_json: bool) -> None:
    """Show the servers behind the URL one by one, then the schema that bridges meet."""
    from crm_bridge.migrations.schema import HEAD, schema_problem, schema_revision
    from qianzhi.runtime.urls import hosts_of, is_postgres, shown, with_hosts

    _, core = core_of_owner(chosen)
    servers: dict[str, Server | str] = {}
    if is_postgres(core.database):
        servers = {host: _look(with_hosts(core.database, host)) for host in hosts_of(core.database)}
    with reachable():
        found = schema_revision(core.database)
    said = "is this version's" if found == HEAD else schema_problem(found)
    if as_json:
        plain = {host: each if isinstance(each, str) else each._asdict() for host, each in servers.items()}
        show_json({"database": shown(core.database), "schema": found, "needed": HEAD, "servers": plain})
    else:
        say(f"{shown(core.database)}: schema {found or 'none'}, which {said}" if found else f"{said}")
        if servers:
            columns = ("server", "is", "version", "followed by", "connections>", "synchronous_standby_names")
            show_table(columns, [_server_row(host, each) for host, each in servers.items()])
    if found != HEAD:
        raise CommandError(UNREACHABLE, said)


def _server_row(host: str, server: "Server | str") -> tuple[object, ...]:
    if isinstance(server, str):
        return host, f"not reachable: {server}", "", "", "", ""
    return (
        host,
        "standby" if server.standby else "primary",
        server.version,
        ", ".join(server.followers) or "nobody",
        f"{server.connections} of {server.connections_max}",
        server.settings["synchronous_standby_names"],
    )


def _look(url: str) -> "Server | str":
    from crm_bridge.gateway_errors import StoreError
    from crm_bridge.migrations.server import look

    try:
        return look(url)
    except StoreError as error:
        return str(error)


def core_of_owner(chosen: "Chosen") -> "tuple[Site, CoreSettings]":
    """Return the site and its core, with the owner's URL where the site has a password for it."""
    from qianzhi.cli.looking import core_of

    return core_of(chosen, "owner")


def owner_url(core: "CoreSettings", admin: str) -> str:
    """Return the URL under which the schema may be changed."""
    from crm_bridge.migrations.server import as_owner
    from qianzhi.runtime.urls import database_of, is_postgres

    if not is_postgres(core.database) or core.owner_password:
        return core.database
    if not admin:
        raise CommandError(
            USAGE,
            "the schema is changed by its owner",
            "set owner_password in [core], or give the superuser's URL with --admin",
        )
    return as_owner(admin, database_of(core.database))


def _migrate(url: str) -> None:
    from crm_bridge.gateway_lock import held
    from crm_bridge.migrations.schema import HEAD, migrate, schema_revision
    from qianzhi.runtime.urls import is_postgres, shown

    with reachable(), held(url):
        before = None if not is_postgres(url) else schema_revision(url)
        migrate(url)
        after = schema_revision(url)
    said = f"schema {after}" if before == after else f"schema {before or 'none'} -> {HEAD}"
    say(f"{shown(url)}: {said}")


def _prepare_state(site: "Site", owner: str, admin: str) -> None:
    """Make the tables that daemons of several machines share, where the site keeps them here."""
    import frontends.store
    import qianzhi.link.store
    import qianzhi.saf.store
    from crm_bridge.operators.notes import store as notes
    from qianzhi.runtime.urls import database_of, is_postgres

    shared = site.state.database
    if is_postgres(shared) and database_of(shared) == database_of(owner):
        frontends.store.prepare(owner)
        qianzhi.link.store.prepare(owner)
        notes.prepare(owner)
        qianzhi.saf.store.prepare(owner)


def _passwords(site: "Site", core: "CoreSettings") -> dict[str, str]:
    """Return what each role's reference leads to."""
    from crm_bridge.migrations.roles import APP, AUDITOR, FRONT, OWNER
    from qianzhi.cli.looking import password_at

    references = {
        OWNER: ("core.owner_password", core.owner_password),
        APP: ("core.password", core.password),
        AUDITOR: ("core.auditor_password", core.auditor_password),
        FRONT: ("state.password", site.state.password),
    }
    return {role: password_at(site, key, reference) for role, (key, reference) in references.items()}


@contextmanager
def reachable() -> "Iterator[None]":
    """Turn what a database refuses into a plain failure."""
    from crm_bridge.gateway_errors import LockedError, SchemaError, StoreError
    from crm_bridge.migrations.server import ServerError
    from crm_bridge.operators.notes.store import NotesError
    from qianzhi.link.store import BeatsError
    from qianzhi.runtime.store import StateError

    try:
        yield
    except (LockedError, SchemaError, StoreError, ServerError, StateError, BeatsError, NotesError) as error:
        raise CommandError(UNREACHABLE, str(error)) from error
