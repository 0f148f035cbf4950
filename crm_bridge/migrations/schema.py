"""Bringing a database to the schema that this version needs, from an installed package and without an ini
file.

Alembic is imported only to change a schema; that one is current is seen without it, at every start.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from crm_bridge.database.store import database_path, open_engine, translated
from crm_bridge.gateway_errors import SchemaError
from crm_bridge.migrations.roles import grant
from qianzhi.runtime.urls import is_postgres, shown

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0008"  # the newest of versions/; a test holds it to that
KNOWN = tuple(f"{number:04d}" for number in range(1, int(HEAD) + 1))
_LOCK = 0x7169616E  # of PostgreSQL's advisory locks: one migration at a time


def migrate(url: str) -> None:
    """Upgrade the core's database to the newest schema; makes an SQLite's folder and file where there is
    none.

    The caller holds SQLite's lock file; PostgreSQL's tables are the owner's, and the roles that exist get
    what is theirs.  Nothing happens where the schema is current.  Raises SchemaError for a newer one.
    """
    if not is_postgres(url):
        Path(database_path(url)).parent.mkdir(parents=True, exist_ok=True)
    found = schema_revision(url)
    if found is not None and found not in KNOWN:
        raise SchemaError(schema_problem(found))
    if found != HEAD:
        _run(url, "head", up=True)


def downgrade(url: str, revision: str = "base") -> None:
    """Take the schema back to `revision`; what the newer schema held is lost."""
    _run(url, revision, up=False)


def schema_current(url: str) -> bool:
    """Say whether the database has exactly the schema that this version needs."""
    return schema_revision(url) == HEAD


def schema_revision(url: str) -> str | None:
    """Return the revision that the database is at, None for an empty or missing one.

    Raises RetryableError where the database cannot be asked.
    """
    if not is_postgres(url) and not Path(database_path(url)).exists():
        return None
    engine = open_engine(url, writing=False)
    try:
        with translated(), engine.connect() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    finally:
        engine.dispose()


def schema_problem(found: str | None) -> str:
    """Return in plain words what a revision that is not HEAD means, and what to do."""
    if found is None:
        return "the database holds no core yet: run `qianzhi database init`"
    if found in KNOWN:
        return f"the database's schema is {found}, this version needs {HEAD}: run `qianzhi database migrate`"
    return f"the database's schema is {found}, newer than this version knows ({HEAD}): install the newer one"


def require_schema(url: str) -> None:
    """Raise SchemaError, saying what to do, unless the schema is the one that this version needs."""
    found = schema_revision(url)
    if found != HEAD:
        raise SchemaError(f"{shown(url)}: {schema_problem(found)}")


def _run(url: str, revision: str, *, up: bool) -> None:
    from alembic import command

    config = _config()
    engine = open_engine(url)
    try:
        with translated(), engine.begin() as connection:
            if is_postgres(url):
                connection.execute(text("SET LOCAL statement_timeout = 0"))
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            config.attributes["connection"] = connection
            (command.upgrade if up else command.downgrade)(config, revision)
            if is_postgres(url):
                grant(connection)
    finally:
        engine.dispose()


def _config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config
