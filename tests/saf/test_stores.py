"""One contract for all stores of store-and-forward: in memory, in a node's file, in rows that nodes lease."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from rows_made import WALL_US, charge, entry

from qianzhi.domain.results import Result
from qianzhi.runtime import clock
from qianzhi.saf.errors import LostError, SafError
from qianzhi.saf.memory import MemoryStore, Shelf
from qianzhi.saf.rows import ChargeState, Entry, Forget, Renew, Saved, Serials, State
from qianzhi.saf.store import SafStore, open_file, open_url, prepare
from simulators.servers.processes import wait_until

ROLE = "DO $$ BEGIN CREATE ROLE qianzhi_front LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
LEASE_US = 700_000
Open = Callable[..., Any]


@pytest.fixture
def state(request: pytest.FixtureRequest) -> str:
    """The URL of a state database that has been prepared, as the role of the front-ends and nodes."""
    server = request.getfixturevalue("postgres")
    url: str = server.new_database()
    server.psql(ROLE)
    prepare(url)
    prepare(url)
    return f"{url}?options=-c%20role%3Dqianzhi_front"


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def opens(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens a node's rows once more with every call, as its next life."""
    shelf = Shelf()
    url = request.getfixturevalue("state") if request.param == "postgresql" else ""
    opened: list[Any] = []

    def open_again(node: str = "node1") -> Any:
        if request.param == "memory":
            opened.append(MemoryStore(shelf, node, 0, lambda: clock.now().wall_us))
        elif url:
            opened.append(open_url(url, node, "one", 60_000_000))
        else:
            opened.append(open_file(tmp_path / "saf" / f"{node}.db", node, lambda: clock.now().wall_us))
        return opened[-1]

    yield open_again
    for store in opened:
        store.close()


@pytest.fixture(params=["memory", "postgresql"])
def pair(request: pytest.FixtureRequest) -> Iterator[Open]:
    """Opens the rows that the nodes of a group share."""
    shelf = Shelf()
    url = request.getfixturevalue("state") if request.param == "postgresql" else ""
    opened: list[Any] = []

    def open_one(node: str, team: str = "one") -> Any:
        if url:
            opened.append(open_url(url, node, team, LEASE_US))
        else:
            opened.append(MemoryStore(shelf, node, LEASE_US, lambda: clock.now().wall_us))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


def ids(saved: Saved) -> set[str]:
    return {one.id for one in saved.entries} | {one.order for one in saved.charges}


def test_rows_survive_a_restart_as_they_were_last(opens: Open) -> None:
    store = opens()
    assert ids(store.load()) == set()
    assert store.write([entry(), entry("e2"), charge(), Serials("unet-out", 20231115, 0, 2)]) == []
    tried = replace(entry(), tries=1, result=Result.UNKNOWN, version=2)
    credited = replace(charge(), state=ChargeState.CREDITING, result=Result.APPROVED, version=2)
    store.write([tried, replace(tried, tries=2, version=3), credited])
    saved = opens().load()
    assert sorted(saved.entries, key=lambda one: one.id) == [replace(tried, tries=2, version=3), entry("e2")]
    assert saved.charges == [credited]
    assert saved.serials == [Serials("unet-out", 20231115, 0, 2)]
    assert (saved.spoiled, saved.taken) == ([], 0)


def test_later_readings_bring_nothing_that_was_read(opens: Open) -> None:
    store = opens()
    store.load()
    store.write([entry(), charge()])
    assert ids(store.load()) == set()


def test_what_has_ended_is_not_read_again_and_can_be_found(opens: Open) -> None:
    store = opens()
    store.load()
    now_us = clock.now().wall_us
    settled = replace(entry(), state=State.SETTLED, ended_us=WALL_US, version=2, act="7")
    store.write([entry(), settled, entry("e2"), charge(), charge("o2", "000016")])
    late = replace(charge(), state=ChargeState.REVERSING, ended_us=now_us, version=2)
    old = replace(charge("o2", "000016"), state=ChargeState.REVERSING, ended_us=WALL_US, version=2)
    store.write([late, old])
    again = opens()
    assert ids(again.load()) == {"e2", "o1"}, "a charge is known for a while after its end"
    assert (again.find("e1"), again.find("none")) == (settled, None)
    again.write([Forget(WALL_US + 1)])
    assert (again.find("e1"), again.find("e2")) == (None, entry("e2"))


def test_a_write_that_is_said_again_changes_nothing(opens: Open) -> None:
    """Its COMMIT's answer was lost: it was written, and the one after it was not."""
    store = opens()
    store.load()
    batch = [entry(), replace(entry(), tries=1, version=2), charge(), Serials("unet-out", 20231115, 0, 2)]
    for _ in range(3):
        assert store.write(batch) == []
    more = [replace(entry(), tries=2, version=3), replace(entry(), tries=3, version=4)]
    for _ in range(2):
        assert store.write(more) == []
    assert opens().load().entries == [more[-1]]


def test_an_order_and_an_entry_that_stand_are_told_and_stay(opens: Open) -> None:
    store = opens()
    store.load()
    store.write([entry(), charge()])
    again = charge("o1", "000024", made_us=WALL_US + 5)
    other = replace(entry(), number=WALL_US + 9)
    assert sorted(map(type, store.write([again, other, entry("e2")])), key=str) == sorted(
        [type(charge()), Entry], key=str
    )
    saved = opens().load()
    assert (saved.charges, {one.id for one in saved.entries}) == ([charge()], {"e1", "e2"})
    assert entry() in saved.entries


def test_serials_only_rise(opens: Open) -> None:
    store = opens()
    store.load()
    for number in (5, 3, 9, 4):
        store.write([Serials("unet-out", 20231115, 1, number)])
    assert opens().load().serials == [Serials("unet-out", 20231115, 1, 9)]


def test_a_former_life_writes_nothing_more(opens: Open) -> None:
    former = opens()
    former.load()
    former.write([entry()])
    later = opens()
    later.load()
    with pytest.raises(LostError):
        former.write([entry("e2"), replace(entry(), tries=1, version=2)])
    assert (later.find("e1"), later.find("e2")) == (entry(), None)
    former.load()  # begins anew, and then it is the other one's turn to be refused
    former.write([replace(entry(), tries=1, version=2)])
    with pytest.raises(LostError):
        later.write([Renew()])


def test_a_write_that_rests_on_what_is_not_there_is_refused_as_a_whole(opens: Open) -> None:
    store = opens()
    store.load()
    with pytest.raises(LostError):
        store.write([entry("e2"), replace(entry("gone"), version=2)])
    again = opens()
    again.load()
    assert again.find("e2") is None


def test_nothing_is_written_before_it_was_read(opens: Open) -> None:
    with pytest.raises(LostError):
        opens().write([entry()])


def test_a_dead_nodes_open_rows_are_taken_over_once_and_it_writes_nothing_more(pair: Open) -> None:
    one, two, stranger = pair("node1"), pair("node2"), None
    one.load()
    two.load()
    ended = replace(entry("e3"), state=State.SETTLED, ended_us=WALL_US, version=2)
    manual = replace(entry("e4"), state=State.MANUAL, version=2)
    one.write([entry(), charge(), entry("e3"), ended, entry("e4"), manual])
    two.write([entry("e2")])
    taken: list[Saved] = []

    def has_taken() -> bool:
        taken.append(two.load())
        return bool(taken[-1].taken)

    wait_until(has_taken, 10, "the lease never ran out")
    assert (ids(taken[-1]), taken[-1].taken) == ({"e1", "o1", "e4"}, 3)
    with pytest.raises(LostError):
        one.write([replace(entry(), tries=1, version=2)])
    two.write([replace(entry(), tries=1, version=2)])
    assert ids(one.load()) == set(), "it begins anew with nothing"
    assert ids(two.load()) == set()
    assert stranger is None


def test_a_node_that_gives_signs_of_life_keeps_its_rows(pair: Open) -> None:
    one, two = pair("node1"), pair("node2")
    one.load()
    one.write([entry()])
    until = clock.now().mono_us + 2 * LEASE_US
    while clock.now().mono_us < until:
        one.write([Renew()])
        assert two.load().taken == 0
    one.write([replace(entry(), tries=1, version=2)])


def test_two_nodes_never_both_own_an_entry_however_often_they_lose_it(pair: Open) -> None:
    """Two nodes with short leases that both go on as if they owned it: each change is one node's."""
    first = pair("node1")
    first.load()
    first.write([entry()])
    done: list[int] = []
    stop = threading.Event()

    def run(node: str) -> None:
        store = pair(node)
        mine: Entry | None = None
        while not stop.is_set():
            try:
                if mine is None:
                    found = [one for one in store.load().entries if one.id == "e1"]
                    mine = found[0] if found else None
                    continue
                changed = replace(mine, tries=mine.tries + 1, version=mine.version + 1)
                store.write([changed])
                mine = changed
                done.append(changed.version)
                if len(done) % 7 == 0:
                    stop.wait(LEASE_US / 1_000_000 * 1.2)
            except LostError:
                mine = None
            except SafError:
                continue

    threads = [threading.Thread(target=run, args=(f"node{n}",)) for n in (2, 3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(done) > 40, 60, "nothing was written")
    stop.set()
    for thread in threads:
        thread.join()
    assert sorted(done) == list(range(2, len(done) + 2)), "a version was written twice, or left out"


def test_other_groups_take_nothing_over(state: str) -> None:
    one = open_url(state, "node1", "one", 1)
    one.load()
    one.write([entry()])
    other = open_url(state, "node3", "two", 1)
    assert other.load().taken == 0
    partner = open_url(state, "node2", "one", 60_000_000)
    wait_until(lambda: partner.load().taken == 1, 10, "the partner took nothing over")
    for store in (one, other, partner):
        store.close()


def test_a_row_that_nobody_can_read_is_named_and_holds_nobody_up(tmp_path: Path) -> None:
    store = open_file(tmp_path / "node1.db", "node1", lambda: clock.now().wall_us)
    store.load()
    store.write([entry(), entry("e2")])
    store.close()
    with sqlite3.connect(tmp_path / "node1.db") as file:
        file.execute("UPDATE saf_entries SET body = 'torn' WHERE id = 'e1'")
    file.close()
    again = open_file(tmp_path / "node1.db", "node1", lambda: clock.now().wall_us)
    saved = again.load()
    assert (ids(saved), saved.spoiled) == ({"e2"}, ["e1"])
    again.close()


def test_a_row_that_nobody_can_read_stays_and_is_not_found(tmp_path: Path) -> None:
    store = open_file(tmp_path / "node1.db", "node1", lambda: clock.now().wall_us)
    store.load()
    store.write([entry(), charge()])
    with sqlite3.connect(tmp_path / "node1.db") as file:
        for table in ("saf_entries", "saf_charges"):
            file.execute(f"UPDATE {table} SET body = '{{'")  # noqa: S608
    assert store.find("e1") is None
    assert store.write([entry(), charge(), entry("e2")]) == [entry(), charge()]
    assert store.find("e2") == entry("e2")
    store.close()


def test_a_serial_is_never_used_for_two_orders(tmp_path: Path) -> None:
    store = open_file(tmp_path / "node1.db", "node1", lambda: clock.now().wall_us)
    store.load()
    store.write([charge()])
    assert store.write([charge("o2")]) == [charge("o2")]
    store.close()


def test_a_file_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    (tmp_path / "saf").write_text("a file")
    with pytest.raises(SafError, match="cannot be opened"):
        open_file(tmp_path / "saf" / "node1.db", "node1", lambda: 0)


def test_a_database_without_its_tables_says_what_makes_them(postgres: Any) -> None:
    store: SafStore = open_url(postgres.new_database(), "node1", "one", LEASE_US)
    with pytest.raises(SafError, match="qianzhi database init"):
        store.load()
    store.close()
