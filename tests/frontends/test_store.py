"""The rows of a line, on both engines: what was written is there after a restart, and of two writes that rest
on the same rows one is refused."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue

import pytest

from frontends.session_rows import (
    NOTHING_SAVED,
    Basis,
    KeyRow,
    LeaseRow,
    RetiredRow,
    SessionRow,
    SignOnRow,
)
from frontends.store import FrontStore, open_file, open_url, prepare
from frontends.store_thread import StoreThread, Told
from qianzhi.runtime.store import ConflictError, StateError
from simulators.servers.postgres import Cluster, Postgres
from simulators.servers.processes import wait_until

WRAPPED, CHECK = bytes(range(16)), b"\x01\x02\x03\x04"
ROLE = "DO $$ BEGIN CREATE ROLE qianzhi_front LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"

Open = Callable[[], FrontStore]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fronts" / "x.db"


@pytest.fixture
def state(request: pytest.FixtureRequest) -> str:
    """The URL of a state database that has been prepared, as the role of the front-ends."""
    server = request.getfixturevalue("postgres")
    url: str = server.new_database()
    server.psql(ROLE)
    prepare(url)
    prepare(url)
    return f"{url}?options=-c%20role%3Dqianzhi_front"


@pytest.fixture(params=["sqlite", "postgresql"])
def opens(request: pytest.FixtureRequest, path: Path) -> Iterator[Open]:
    """Opens the same rows once more with every call."""
    url = request.getfixturevalue("state") if request.param == "postgresql" else ""
    opened: list[FrontStore] = []

    def open_again() -> FrontStore:
        opened.append(open_url(url) if url else open_file(path))
        return opened[-1]

    yield open_again
    for store in opened:
        store.close()


def test_rows_survive_a_restart_and_lines_are_apart(opens: Open) -> None:
    store = opens()
    rows = [KeyRow("x", "current", WRAPPED, CHECK, 7), KeyRow("x", "previous", CHECK * 4, CHECK, 5)]
    store.write([*rows, SignOnRow("x", True, 9), LeaseRow("x", 0, 100)])
    store.close()
    again = opens()
    saved = again.load("x")
    assert sorted(saved.keys) == sorted(rows)
    assert saved.signed_on
    assert saved.leased_until == 100
    assert again.load("y") == NOTHING_SAVED


def test_a_retired_key_is_remembered_and_may_be_told_twice(opens: Open) -> None:
    store = opens()
    store.write([RetiredRow("x", CHECK, 1)])
    store.write([RetiredRow("x", CHECK, 2), RetiredRow("y", b"\1\2\3\4", 2)])
    assert opens().load("x").retired == {CHECK}


def test_a_slot_is_replaced_and_emptied(opens: Open) -> None:
    store = opens()
    store.write([KeyRow("x", "pending", WRAPPED, CHECK, 1), SignOnRow("x", True, 1)])
    store.write([KeyRow("x", "current", WRAPPED, CHECK, 2), KeyRow("x", "pending"), SignOnRow("x", False, 2)])
    saved = store.load("x")
    assert saved.keys == [KeyRow("x", "current", WRAPPED, CHECK, 2)]
    assert not saved.signed_on


def test_two_processes_never_lease_the_same_serials(opens: Open) -> None:
    one, two = opens(), opens()
    one.write([LeaseRow("x", 0, 100)])
    with pytest.raises(ConflictError):
        two.write([SignOnRow("x", True, 1), LeaseRow("x", 0, 100)])
    assert not two.load("x").signed_on, "a refused lease takes its whole transaction back"
    two.write([LeaseRow("x", 100, 200)])
    assert one.load("x").leased_until == 200


def test_of_writes_on_the_same_rows_one_is_refused_with_all_that_rests_on_it(opens: Open) -> None:
    one, two = opens(), opens()
    first = [Basis("x", "", "one-1"), SignOnRow("x", True, 1)]
    one.write(first)
    with pytest.raises(ConflictError):
        two.write([Basis("x", "", "two-1"), SignOnRow("x", False, 2)])
    with pytest.raises(ConflictError):
        two.write([Basis("x", "two-1", "two-2"), KeyRow("x", "pending", WRAPPED, CHECK, 2)])
    saved = two.load("x")
    assert (saved.signed_on, saved.stamp, saved.keys) == (True, "one-1", [])
    one.write(first)  # whose outcome was not known
    two.write([Basis("x", "one-1", "two-3"), SignOnRow("x", False, 3)])
    assert (one.stamp("x"), one.stamp("y")) == ("two-3", "")


def test_many_at_once_agree_on_an_order(opens: Open) -> None:
    """Four writers that each decide anew until they succeed: no lease is lost and none is given twice."""
    leased: SimpleQueue[int] = SimpleQueue()

    def lease(name: str, store: FrontStore) -> None:
        done = 0
        while done < 8:
            saved = store.load("x")
            rows: list[SessionRow] = [Basis("x", saved.stamp, f"{name}-{done}")]
            try:
                store.write([*rows, LeaseRow("x", saved.leased_until, saved.leased_until + 10)])
            except ConflictError:
                continue
            leased.put(saved.leased_until)
            done += 1

    threads = [threading.Thread(target=lease, args=(str(number), opens())) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(leased.get(timeout=1) for _ in range(32)) == list(range(0, 320, 10))


def test_a_server_that_went_away_is_used_again_when_it_is_back(state: str, postgres: Postgres) -> None:
    store = open_url(state)
    store.write([SignOnRow("x", True, 1)])
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname ="
    postgres.psql(f"{ended} '{state.rpartition('/')[2].partition('?')[0]}'")
    with pytest.raises(StateError, match="the state database cannot be used"):
        store.load("x")
    assert store.load("x").signed_on
    store.close()


def test_rows_that_the_standby_may_not_have_are_not_called_stored() -> None:
    """An operator who ends a COMMIT that waits for the standby does not make it durable there."""
    cluster = Cluster.create()
    rows: list[SessionRow] = [Basis("x", "", "one-1"), SignOnRow("x", True, 1)]
    said: SimpleQueue[str] = SimpleQueue()
    try:
        url = cluster.primary.new_database()
        prepare(url)
        store = open_url(url)
        cluster.standby.suspend()
        for _ in range(2):  # what stands there already is no more confirmed than it was
            writing = threading.Thread(target=write_and_say, args=(store, rows, said), daemon=True)
            writing.start()
            wait_until(lambda: end_waiting(cluster.primary), 30, "no COMMIT waits for the standby")
            assert "no standby that confirms" in said.get(timeout=30)
            writing.join(30)
        cluster.standby.resume()
        store.write(rows)
        assert store.load("x").signed_on
        store.close()
    finally:
        cluster.standby.resume()
        cluster.close()


def write_and_say(store: FrontStore, rows: list[SessionRow], said: "SimpleQueue[str]") -> None:
    try:
        store.write(rows)
    except StateError as error:
        said.put(str(error))
    else:
        said.put("stored")


def end_waiting(server: Postgres) -> bool:
    ended = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    return bool(server.psql(ended))


def test_a_database_without_tables_names_the_command_that_makes_them(postgres: Postgres) -> None:
    store = open_url(postgres.new_database())
    with pytest.raises(StateError, match="qianzhi database init"):
        store.load("x")
    store.close()


def test_a_front_may_not_change_the_schema(state: str) -> None:
    with pytest.raises(StateError, match="permission denied"):
        prepare(state)


def test_a_write_that_fails_is_tried_again_in_its_order(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full for a moment: nothing is reported stored before it is, and nothing overtakes."""
    store, reported, written = open_file(path), SimpleQueue[object](), []
    write = store.write

    def fail_once(rows: list[SessionRow]) -> None:
        written.append(rows)
        if len(written) == 1:
            raise StateError("full")
        write(rows)

    class Reactor:
        def callFromThread(self, call: Callable[..., None], *arguments: object) -> None:
            call(*arguments)

    monkeypatch.setattr(store, "write", fail_once)
    monkeypatch.setattr("qianzhi.runtime.work_thread.RETRY_SECONDS", 0.01)
    told = Told(reported.put, None, None, None, lambda why: reported.put(why or "healed"))
    thread = StoreThread(store, "x", told, Reactor())
    thread.start()
    thread.write(1, [SignOnRow("x", True, 1)])
    thread.write(2, [SignOnRow("x", False, 2)])
    assert [reported.get(timeout=20) for _ in range(4)] == ["full", 1, "healed", 2]
    thread.stop()
    again = open_file(path)
    assert not again.load("x").signed_on
    again.close()


def test_a_file_without_stamps_keeps_its_rows(path: Path) -> None:
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as old:
        old.execute("CREATE TABLE lines (line TEXT PRIMARY KEY, signed_on INTEGER, changed_us INTEGER)")
        old.execute("INSERT INTO lines VALUES ('x', 1, 7)")
        old.commit()
    for _ in range(2):
        store = open_file(path)
        assert store.load("x") == NOTHING_SAVED._replace(signed_on=True)
        store.close()
