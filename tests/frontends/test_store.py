"""The front's file: what was written is there after a restart, and a serial is never leased twice."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue

import pytest

from frontends.session_rows import NOTHING_SAVED, KeyRow, LeaseRow, RetiredRow, SessionRow, SignOnRow
from frontends.store import ConflictError, StoreError, open_file
from frontends.store_thread import StoreThread, Told

WRAPPED, CHECK = bytes(range(16)), b"\x01\x02\x03\x04"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fronts" / "front-x-1.db"


def test_rows_survive_a_restart_and_lines_are_apart(path: Path) -> None:
    store = open_file(path)
    rows = [KeyRow("x", "current", WRAPPED, CHECK, 7), KeyRow("x", "previous", CHECK * 4, CHECK, 5)]
    store.write([*rows, SignOnRow("x", True, 9), LeaseRow("x", 0, 100)])
    store.close()
    again = open_file(path)
    saved = again.load("x")
    assert sorted(saved.keys) == sorted(rows)
    assert saved.signed_on
    assert saved.leased_until == 100
    assert again.load("y") == NOTHING_SAVED
    again.close()


def test_a_retired_key_is_remembered_and_may_be_told_twice(path: Path) -> None:
    store = open_file(path)
    store.write([RetiredRow("x", CHECK, 1)])
    store.write([RetiredRow("x", CHECK, 2), RetiredRow("y", b"\1\2\3\4", 2)])
    store.close()
    assert open_file(path).load("x").retired == {CHECK}


def test_a_slot_is_replaced_and_emptied(path: Path) -> None:
    store = open_file(path)
    store.write([KeyRow("x", "pending", WRAPPED, CHECK, 1), SignOnRow("x", True, 1)])
    store.write([KeyRow("x", "current", WRAPPED, CHECK, 2), KeyRow("x", "pending"), SignOnRow("x", False, 2)])
    saved = store.load("x")
    assert saved.keys == [KeyRow("x", "current", WRAPPED, CHECK, 2)]
    assert not saved.signed_on
    store.close()


def test_a_write_that_fails_is_tried_again_in_its_order(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full for a moment: nothing is reported stored before it is, and nothing overtakes."""
    store, reported, written = open_file(path), SimpleQueue[object](), []
    write = store.write

    def fail_once(rows: list[SessionRow]) -> None:
        written.append(rows)
        if len(written) == 1:
            raise StoreError("full")
        write(rows)

    class Reactor:
        def callFromThread(self, call: Callable[..., None], *arguments: object) -> None:
            call(*arguments)

    monkeypatch.setattr(store, "write", fail_once)
    monkeypatch.setattr("frontends.store_thread.RETRY_SECONDS", 0.01)
    told = Told(reported.put, None, None, None, lambda why: reported.put(why), lambda: reported.put("healed"))
    thread = StoreThread(store, "x", told, Reactor())
    thread.start()
    thread.write(1, [SignOnRow("x", True, 1)])
    thread.write(2, [SignOnRow("x", False, 2)])
    assert [reported.get(timeout=20) for _ in range(4)] == ["full", 1, "healed", 2]
    thread.stop()
    again = open_file(path)
    assert not again.load("x").signed_on
    again.close()


def test_two_processes_never_lease_the_same_serials(path: Path) -> None:
    one, two = open_file(path), open_file(path)
    one.write([LeaseRow("x", 0, 100)])
    with pytest.raises(ConflictError):
        two.write([SignOnRow("x", True, 1), LeaseRow("x", 0, 100)])
    assert not two.load("x").signed_on, "a refused lease takes its whole transaction back"
    two.write([LeaseRow("x", 100, 200)])
    assert one.load("x").leased_until == 200
    one.close()
    two.close()


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
