"""Sessions of machines that are gone: a server that holds them for hours has no place for anybody else."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from crm_bridge.database.store import open_engine
from qianzhi.link.store import SharedBeats
from qianzhi.runtime.store import PostgresState

NAMES = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout")


def core(url: str, statement: str) -> Any:
    """As a bridge asks."""
    engine = open_engine(url)
    try:
        with engine.connect() as connection:
            return connection.execute(text(statement)).scalar()
    finally:
        engine.dispose()


def state(url: str, statement: str) -> Any:
    """As a front or a node asks for its rows."""
    database = PostgresState(url)
    try:
        with database.transaction(writing=False) as run:
            return run(statement, {}).fetchone()[0]
    finally:
        database.close()


def heartbeat(url: str, statement: str) -> Any:
    """As every daemon says that it lives."""
    beats = SharedBeats(url, "")
    try:
        return beats._do(statement).fetchone()[0]
    finally:
        beats.close()


@pytest.mark.parametrize("ask", [core, state, heartbeat])
def test_the_server_notices_within_seconds_that_who_has_a_session_is_gone(
    ask: Callable[[str, str], Any], postgres: Any
) -> None:
    url = postgres.new_database()
    idle, interval, count, unread = (
        int(str(ask(url, f"SHOW {name}")).removesuffix("ms").removesuffix("s")) for name in NAMES
    )
    assert 0 < idle + interval * count <= 15
    assert unread > 0, "what was sent is not waited for without end either"
