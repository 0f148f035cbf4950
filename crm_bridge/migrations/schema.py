"""Bringing a database to the schema that this version needs, from an installed package and without an ini
file.

Alembic is imported only to change a schema; that one is current is seen without it, at every start.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from crm_bridge.store import database_path, open_engine

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0002"  # the newest of versions/; a test holds it to that


def migrate(url: str) -> None:
    """Upgrade the core's database to the newest schema; makes its folder and file where there is none.

    The caller holds the lock file.  Nothing happens where the schema is current.
    """
    Path(database_path(url)).parent.mkdir(parents=True, exist_ok=True)
    if not schema_current(url):
        _run(url, "head", up=True)


def downgrade(url: str, revision: str = "base") -> None:
    """Take the schema back to `revision`; what the newer schema held is lost."""
    _run(url, revision, up=False)


def schema_current(url: str) -> bool:
    """Say whether the database has exactly the schema that this version needs."""
    return schema_revision(url) == HEAD


def schema_revision(url: str) -> str | None:
    """Return the revision that the database is at, None for an empty or missing one."""
    if not Path(database_path(url)).exists():
        return None
    engine = open_engine(url, writing=False)
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    finally:
        engine.dispose()


def _run(url: str, revision: str, *, up: bool) -> None:
    from alembic import command

    config = _config()
    engine = open_engine(url)
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            (command.upgrade if up else command.downgrade)(config, revision)
    finally:
        engine.dispose()


def _config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config
