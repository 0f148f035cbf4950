from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from crm_bridge.gateway_errors import LockedError
from crm_bridge.gateway_lock import acquire_lock, lock_path
from crm_bridge.migrations import schema
from crm_bridge.migrations.schema import downgrade, migrate, schema_current, schema_revision
from crm_bridge.store import fetch, reading


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/deep/er/core.db"


def objects(url):
    with reading(url) as connection:
        return fetch(connection, "SELECT type, name, sql FROM sqlite_master ORDER BY type, name")


def test_up_down_up_gives_the_same_schema(url):
    assert not schema_current(url)
    migrate(url)
    assert schema_current(url)
    first = objects(url)
    assert {row[1] for row in first} >= {"journal", "ledger_transfers", "billing_bills", "billing_orders"}
    downgrade(url)
    assert schema_revision(url) is None
    assert {row[1] for row in objects(url) if row[0] == "table"} == {"alembic_version"}
    migrate(url)
    assert objects(url) == first


def test_the_newest_version_is_the_one_that_is_needed():
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent))
    assert ScriptDirectory.from_config(config).get_current_head() == schema.HEAD


def test_migrating_twice_changes_nothing(url):
    migrate(url)
    first = objects(url)
    migrate(url)
    assert objects(url) == first


def test_the_database_is_durable_and_checks_references(url):
    migrate(url)
    with reading(url) as connection:
        assert fetch(connection, "PRAGMA journal_mode") == [("wal",)]
        assert fetch(connection, "PRAGMA synchronous") == [(2,)]
        assert fetch(connection, "PRAGMA foreign_keys") == [(1,)]


def test_one_holder_of_the_lock_at_a_time(url):
    path = lock_path(url)
    with acquire_lock(path), pytest.raises(LockedError, match="held by process"), acquire_lock(path):
        pass
    with acquire_lock(path):
        pass
