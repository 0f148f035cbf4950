"""Heartbeat rows: what a machine knows of another's daemons, on both engines of the [state] database."""

import queue
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qianzhi.link.heartbeats import Heartbeat, fresh, read_beats
from qianzhi.link.site import site_of
from qianzhi.link.store import BeatsError, Row, open_beats, prepare
from qianzhi.link.tables import Site, StateTable

STATUS = {"state": "running", "draining": False, "in_flight": 3, "standing_by": {"reason": "维护"}}


def site_for(data: Path, state: StateTable) -> Site:
    place = {"host": "127.0.0.1", "port": 1, "metrics_port": 2, "machine": "if1"}
    tree: dict[str, Any] = {
        "site": {"name": "test", "data": str(data), "key": "test:" + "00" * 16},
        "groups": {"one": {"nodes": ["node1"]}},
        "nodes": {"node1": place},
        "bridges": {"bridge1": {**place, "port": 3, "metrics_port": 4, "machine": "core1"}},
        "banks": {},
        "routes": [{"numbers": ["*"], "kinds": ["*"], "to": "bridges"}],
        "core": {},
    }
    site, problems = site_of(tree, "site.toml")
    assert site is not None, problems
    return replace(site, state=state)


@pytest.fixture(params=["file", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    if request.param == "file":
        return site_for(tmp_path, StateTable())
    url = request.getfixturevalue("postgres").new_database()
    prepare(url)
    prepare(url)
    return site_for(tmp_path, StateTable(database=url))


def test_a_daemons_row_is_read_with_its_age_and_replaced_by_its_next(site: Site, tmp_path: Path) -> None:
    assert read_beats(site, tmp_path) == {}
    troubles: list[str] = []
    beat = Heartbeat(site, "node1", tmp_path)
    beat.start(troubles.append)
    done: queue.SimpleQueue[str] = queue.SimpleQueue()
    beat.give(STATUS, lambda: done.put("written"))
    done.get(timeout=10)
    found = read_beats(site, tmp_path)["node1"]
    assert found.row == Row("node1", "if1", "node", True, STATUS)
    assert 0 <= found.age_seconds < 5
    assert fresh(site, found)
    beat.give({**STATUS, "state": "stopped"})
    beat.stop()
    assert not read_beats(site, tmp_path)["node1"].row.ready
    assert troubles == []
    assert not fresh(site, found._replace(age_seconds=3 * site.state.heartbeat_seconds + 0.1))


def test_a_database_without_the_table_is_said_once_and_the_heartbeat_heals(
    postgres: Any, tmp_path: Path
) -> None:
    url = postgres.new_database()
    site = site_for(tmp_path, StateTable(database=url))
    with pytest.raises(BeatsError, match="heartbeats"):
        read_beats(site, tmp_path)
    told: queue.SimpleQueue[str] = queue.SimpleQueue()
    beat = Heartbeat(site, "bridge1", tmp_path)
    beat.start(told.put)
    done: queue.SimpleQueue[None] = queue.SimpleQueue()
    for _ in range(2):
        beat.give(STATUS, lambda: done.put(None))
        done.get(timeout=10)
    assert "heartbeats" in told.get(timeout=10)
    prepare(url)
    beat.give(STATUS, lambda: done.put(None))
    done.get(timeout=10)
    assert told.get(timeout=10) == ""
    assert told.empty()
    beat.stop()
    assert read_beats(site, tmp_path)["bridge1"].row.kind == "bridge"


def test_a_front_may_beat_an_auditor_only_look_and_nobody_else_anything(
    postgres: Any, tmp_path: Path
) -> None:
    url = postgres.new_database()
    database = url.rpartition("/")[2].partition("?")[0]
    for role in ("qianzhi_front", "qianzhi_auditor"):
        make = f"CREATE ROLE {role}; EXCEPTION WHEN duplicate_object THEN NULL;"
        postgres.psql(f"DO $$ BEGIN {make} END $$")
    prepare(url)

    def store(of: str) -> Any:
        """As somebody who has that role's rights and no others."""
        user = f"beats_{database}_{of}"
        member = f" IN ROLE qianzhi_{of}" if of != "stranger" else ""
        postgres.psql(f"CREATE ROLE {user} LOGIN PASSWORD 'test'{member}")
        return open_beats(postgres.url(user, database), "test", tmp_path)

    row = Row("node1", "if1", "node", True, STATUS)
    front, auditor, stranger = (store(of) for of in ("front", "auditor", "stranger"))
    front.write(row)
    assert [beat.row for beat in auditor.read()] == [row]
    with pytest.raises(BeatsError, match="denied"):
        auditor.write(row)
    with pytest.raises(BeatsError, match="denied"):
        stranger.read()
    front.close()


def test_a_server_that_is_not_there_is_told_in_words(tmp_path: Path) -> None:
    store = open_beats("postgresql://qianzhi_front@127.0.0.1:1/qianzhi", "s3cret", tmp_path)
    with pytest.raises(BeatsError, match="refused") as trouble:
        store.read()
    assert "s3cret" not in str(trouble.value)
