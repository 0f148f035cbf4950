"""What all nodes of a site share: whose an order is, for ever, and whose a slot of serials."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rows_made import WALL_US, charge, entry

from qianzhi.runtime import clock
from qianzhi.saf.memory import Commons, MemoryStore, Shelf
from qianzhi.saf.rows import SLOTS, ChargeState, Forget, Saved, Serials, Taken
from qianzhi.saf.store import SafStore, open_file, open_url, prepare

ROLE = "DO $$ BEGIN CREATE ROLE qianzhi_front LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
Open = Callable[..., Any]


@pytest.fixture
def state(request: pytest.FixtureRequest) -> str:
    """The URL of a state database that has been prepared, as the role of the front-ends and nodes."""
    server = request.getfixturevalue("postgres")
    url: str = server.new_database()
    server.psql(ROLE)
    prepare(url)
    return f"{url}?options=-c%20role%3Dqianzhi_front"


def ids(saved: Saved) -> set[str]:
    return {one.id for one in saved.entries} | {one.order for one in saved.charges}


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the rows of the nodes of one site, which share a database or have files of their own."""
    commons, shelves = Commons(), dict[str, Shelf]()
    url = request.getfixturevalue("state") if request.param == "postgresql" else ""
    opened: list[Any] = []

    def open_one(node: str, slot: int = 0) -> Any:
        if request.param == "memory":
            shelf = shelves.setdefault(node, Shelf(commons))
            opened.append(MemoryStore(shelf, node, 0, lambda: clock.now().wall_us))
        elif url:
            opened.append(open_url(url, node, node, 60_000_000, slot=slot))
        else:
            opened.append(open_file(tmp_path / f"{node}.db", node, lambda: clock.now().wall_us, slot))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


def test_an_order_is_charged_once_whichever_nodes_are_asked(site: Open) -> None:
    first, second = site("node1"), site("node2")
    first.load()
    second.load()
    assert first.write([charge("o1", "000008")]) == []
    (stands,) = second.write([charge("o1", "000009"), entry()])
    assert (stands.order, getattr(stands, "node", "node1")) == ("o1", "node1")
    assert second.find("e1") == entry(), "what else was written stands"
    assert ids(site("node2").load()) == {"e1"}
    assert first.write([charge("o1", "000008")]) == [], "the same write once more"


def test_an_order_is_known_when_its_charge_is_kept_no_more(site: Open) -> None:
    store = site("node1")
    store.load()
    ended = charge("o1", "000008", state=ChargeState.CREDITED, ended_us=WALL_US, version=2)
    store.write([charge("o1", "000008")])
    store.write([ended])
    store.write([Forget(WALL_US + 1)])
    again = charge("o1", "000016", date=20240701)
    assert store.write([again]) == [Taken("o1", "node1", ended.key.text)]
    after = site("node1")
    assert ids(after.load()) == set()
    assert after.write([again]) == [Taken("o1", "node1", ended.key.text)]


def test_an_order_whose_serial_was_another_s_may_be_asked_again(site: Open) -> None:
    store = site("node1")
    store.load()
    store.write([charge("o1", "000008")])
    if isinstance(store, SafStore):  # in memory no two charges meet on a serial
        assert store.write([charge("o2", "000008")]) == [charge("o2", "000008")]
    assert store.write([charge("o2", "000016")]) == []


def test_a_node_keeps_its_slot_whoever_comes(site: Open) -> None:
    slots = {name: site(name, slot=1).load().slot for name in ("node2", "node3")}
    slots |= {name: site(name, slot=0).load().slot for name in ("node1", "node0")}
    assert sorted(slots.values()) == [0, 1, 2, 3]
    assert {name: site(name, slot=0).load().slot for name in slots} == slots
    rest = [site(f"node{number}").load().slot for number in range(4, 9)]
    assert rest == [4, 5, 6, 7, SLOTS], "and the ninth has none"


def test_what_nodes_share_is_made_anew_from_their_own_files(tmp_path: Path) -> None:
    def open_one(node: str) -> SafStore:
        return open_file(tmp_path / f"{node}.db", node, lambda: clock.now().wall_us)

    first, second = open_one("node1"), open_one("node2")
    assert (first.load().slot, second.load().slot) == (0, 1)
    second.write([charge("o1", "000009"), Serials("unet-out", 20231115, 1, 2)])
    first.close()
    second.close()
    for path in tmp_path.glob("shared.db*"):
        path.unlink()
    second, first = open_one("node2"), open_one("node1")
    assert (second.load().slot, first.load().slot) == (1, 0)
    assert first.write([charge("o1", "000008")]) == [Taken("o1", "node2")]


def test_an_order_that_was_claimed_and_not_charged_is_its_node_s_to_charge(tmp_path: Path) -> None:
    def open_one(node: str) -> SafStore:
        return open_file(tmp_path / f"{node}.db", node, lambda: clock.now().wall_us)

    first, second = open_one("node1"), open_one("node2")
    first.load()
    second.load()
    first._claim([charge()])  # it dies before the charge is written
    assert second.write([charge()]) == [Taken("o1", "node1")]
    assert open_one("node1").load().charges == []
    first = open_one("node1")
    first.load()
    assert first.write([charge()]) == []
