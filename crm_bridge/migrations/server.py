"""A PostgreSQL server as its operator meets it: making it ready for the core, asking how it is, promoting it.

What is done here needs more than the bridges may: the server's superuser, or the database's owner.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg
from psycopg.sql import SQL, Identifier, Literal
from sqlalchemy import Connection, text

from crm_bridge.database.store import connect, open_engine, translated
from crm_bridge.migrations.days import OLD_SCHEMA
from crm_bridge.migrations.roles import AUDITOR, FRONT, OWNER, ROLES, STATE_SCHEMA
from qianzhi.runtime import clock
from qianzhi.runtime.now import SECOND_US
from qianzhi.runtime.urls import with_database

_SETTINGS = ("synchronous_standby_names", "synchronous_commit", "fsync", "full_page_writes")
_FORM = "TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
PROMOTE_SECONDS = 60


class ServerError(Exception):
    """A server refused what its operator asked; the text is the server's."""


class Server(NamedTuple):
    """How one server is: which of a pair it is, who follows it, what protects a commit."""

    standby: bool
    version: str
    followers: tuple[str, ...]  # NAME (sync), NAME (async) …
    connections: int
    connections_max: int
    settings: dict[str, str]


def make_ready(admin: str, database: str, passwords: dict[str, str]) -> list[str]:
    """Make roles, database and schemas as far as they are missing; return what was done, in words.

    `admin` is a superuser's URL; a role without a password in `passwords` keeps the one that it has.
    """
    done: list[str] = []
    with _server(with_database(admin, "postgres")) as server:
        there = {row[0] for row in server.execute("SELECT rolname FROM pg_roles")}
        for role in ROLES:
            verb = "ALTER" if role in there else "CREATE"
            given = SQL(" PASSWORD {}").format(Literal(passwords[role])) if passwords.get(role) else SQL("")
            server.execute(SQL(f"{verb} ROLE {{}} LOGIN").format(Identifier(role)) + given)
            if role not in there:
                done.append(f"made role {role}")
        names = {row[0] for row in server.execute("SELECT datname FROM pg_database")}
        if database not in names:
            server.execute(
                SQL("CREATE DATABASE {} OWNER {} " + _FORM).format(Identifier(database), Identifier(OWNER))
            )
            done.append(f"made database {database}")
        server.execute(SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(Identifier(database)))
        for role in ROLES:
            server.execute(
                SQL("GRANT CONNECT ON DATABASE {} TO {}").format(Identifier(database), Identifier(role))
            )
    _make_schemas(with_database(admin, database))
    return done


def _make_schemas(admin: str) -> None:
    schema, owner = Identifier(STATE_SCHEMA), Identifier(OWNER)
    with _server(admin) as server:
        server.execute(SQL("ALTER SCHEMA public OWNER TO {}").format(owner))
        server.execute(SQL("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
        server.execute(SQL("CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}").format(schema, owner))
        server.execute(
            SQL("CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}").format(Identifier(OLD_SCHEMA), owner)
        )
        server.execute(
            SQL("GRANT USAGE ON SCHEMA {} TO {}, {}").format(schema, Identifier(FRONT), Identifier(AUDITOR))
        )
        # So that the owner can promote a standby and see who follows, without being a superuser.
        server.execute(SQL("GRANT EXECUTE ON FUNCTION pg_promote(boolean, integer) TO {}").format(owner))
        server.execute(SQL("GRANT pg_monitor TO {}").format(owner))


def own(admin: str) -> None:
    """Give the tables of the schema `state` to the owner, whoever made them; the auditor reads them."""
    schema = Identifier(STATE_SCHEMA)
    with _server(admin) as server:
        tables = server.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [STATE_SCHEMA])
        for (table,) in tables.fetchall():
            server.execute(
                SQL("ALTER TABLE {}.{} OWNER TO {}").format(schema, Identifier(table), Identifier(OWNER))
            )
        server.execute(
            SQL("GRANT SELECT ON ALL TABLES IN SCHEMA {} TO {}").format(schema, Identifier(AUDITOR))
        )


@contextmanager
def _server(url: str) -> "Iterator[psycopg.Connection[Any]]":
    """Open a superuser's connection, each statement a transaction of its own; raises ServerError."""
    try:
        with connect(url) as server:
            server.autocommit = True
            yield server
    except psycopg.Error as error:
        raise ServerError(str(error).strip()) from error


def as_owner(admin: str, database: str) -> str:
    """Return a superuser's URL under which everything is done as the database's owner."""
    url = with_database(admin, database)
    return url + ("&" if "?" in url else "?") + f"options=-c%20role%3D{OWNER}"


def look(url: str) -> Server:
    """Ask a server how it is; a standby answers too.  Raises RetryableError where it cannot be asked."""
    engine = open_engine(url, writing=False, target_session_attrs="any")
    try:
        with translated(), engine.connect() as connection:
            return _look(connection)
    finally:
        engine.dispose()


def _look(connection: Connection) -> Server:
    def one(sql: str) -> Any:
        return connection.execute(text(sql)).scalar()

    followers = connection.execute(
        text("SELECT application_name || ' (' || coalesce(sync_state, '?') || ')' FROM pg_stat_replication")
    )
    return Server(
        standby=bool(one("SELECT pg_is_in_recovery()")),
        version=str(one("SHOW server_version")),
        followers=tuple(followers.scalars()),
        connections=int(one("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")),
        connections_max=int(one("SHOW max_connections")),
        settings={name: str(one(f"SHOW {name}")) for name in _SETTINGS},
    )


def promote(url: str) -> float:
    """Make the standby behind this URL the primary; return how many seconds it took.

    Nothing here looks at the old primary: whoever calls has made sure that it is stopped.  Raises
    RetryableError where the standby cannot be asked, ServerError where it does not become the primary.
    """
    began = clock.now()
    engine = open_engine(url, writing=False, target_session_attrs="any")
    try:
        with translated(), engine.connect() as connection:
            promoted = connection.execute(text(f"SELECT pg_promote(true, {PROMOTE_SECONDS})")).scalar()
    finally:
        engine.dispose()
    if not promoted:
        raise ServerError(f"the standby is no primary after {PROMOTE_SECONDS} s")
    return (clock.now().mono_us - began.mono_us) / SECOND_US


def stand_alone(admin: str) -> None:
    """Let commits of a promoted server wait for nobody, until it has a standby of its own again."""
    with _server(admin) as server:
        server.execute("ALTER SYSTEM SET synchronous_standby_names = ''")
        server.execute("SELECT pg_reload_conf()")
