"""The model disk: what a death leaves of what was being written, as those who come after find it."""

from random import Random  # noqa: TID251 - the tests bring the seeds

import pytest

from frontends.alone_core import AloneCore
from frontends.session_rows import SignOnRow
from qianzhi.runtime.effects import Effects, Event, Record, Send
from qianzhi.runtime.event_blocks import block_of
from qianzhi.saf.memory import MemoryStore, Shelf
from qianzhi.saf.rows import Serials
from simulators.world import disk as disk_module
from simulators.world.disk import Disk, LineRows, StoreLine, Told
from simulators.world.faults import Fault
from simulators.world.kernel import Kernel
from simulators.world.observe import Observer, Violation
from simulators.world.process import Process
from simulators.world.saf_line import SafLine
from simulators.world.saf_line import Told as SafTold

TORN = Fault("torn", "disk/1", 0, 0, 1_000)
NAMES = ("first", "second", "third")


class Seen(Observer):
    """Keeps which rows stand in a file."""

    def __init__(self) -> None:
        self.rows: list[str] = []

    def on_rows(self, process: str, rows: object) -> None:
        self.rows += [row.name for row in rows]  # type: ignore[attr-defined]


def disk_of(seed: int = 1, *, torn: bool = True) -> Disk:
    disk = Disk(Kernel(lambda name: Random(f"{seed}/{name}"), 0), "disk/1")
    disk.kernel.observers = [Seen()]
    if torn:
        disk.begin_fault(TORN)
    return disk


def row(name: str) -> Event:
    return Event(1, name, "bank/20260701/1", "trace", {"result": "approved"})


def dies_over_its_third_block(disk: Disk) -> list[str]:
    """Let a process write two blocks, and die over the next; return what stands in its file then."""
    process = Process(disk.kernel, "plain")
    process.handlers = {Record: lambda effect: disk.append("plain", effect.rows)}
    process.tear = disk.tear
    process.start()
    effects: Effects = [Record([row(name)]) for name in NAMES]
    process.arm(len(NAMES), process.kill)
    process.run([*effects, Send("bank", [])])
    assert not process.up
    return [one.name for one in disk.files["plain"]]


def test_a_block_that_a_death_tears_is_not_there_unless_its_last_byte_is() -> None:
    found = [dies_over_its_third_block(disk_of(seed)) for seed in range(300)]
    assert {tuple(one) for one in found} == {NAMES[:2], NAMES}
    assert 0 < found.count(list(NAMES)) < 30  # it is rarely whole
    assert dies_over_its_third_block(disk_of(torn=False)) == list(NAMES[:2])


def test_whoever_watches_a_file_sees_what_a_reader_finds_in_it() -> None:
    for seed in range(100):
        disk = disk_of(seed)
        found = dies_over_its_third_block(disk)
        (seen,) = disk.kernel.observers
        assert isinstance(seen, Seen)
        assert seen.rows == found
        assert disk.tears == 1


def test_a_reader_that_takes_a_torn_block_for_a_row_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_module, "blocks_in", lambda file: [block_of([row(name) for name in NAMES])[8:]])
    with pytest.raises(Violation, match="3 rows are read where 2 stand"):
        dies_over_its_third_block(disk_of())


def test_a_torn_file_of_names_is_read_as_fewer_names_and_never_as_others() -> None:
    names = {"a" * 64: 1, "b" * 64: 2, "c" * 64: 1}
    text = "".join(f"{name} {failures}\n" for name, failures in names.items())
    lengths = set()
    for seed in range(200):
        found = AloneCore(disk_of(seed).torn_text(text)).written
        lengths.add(len(found))
        assert text.startswith(found)
    assert len(lengths) == len(names) + 1
    assert disk_of(torn=False).torn_text(text) == text


def nobody(*_: object) -> None:
    raise AssertionError("who is dead hears nothing")


def test_a_torn_transaction_of_a_fronts_rows_is_there_whole_or_not_at_all() -> None:
    for torn in (True, False):
        disk, rows = disk_of(torn=torn), LineRows()
        process = Process(disk.kernel, "front")
        process.start()
        line = StoreLine(process, disk, rows, Told(nobody, nobody, nobody, nobody, nobody), looks=False)
        line.write(1, [SignOnRow("short", True, 1)])
        line.write(2, [SignOnRow("short", False, 2)])  # its turn never comes
        process.kill()
        line.died()
        disk.kernel.run(60_000_000)
        assert rows.saved.signed_on is torn


def test_a_torn_transaction_of_a_nodes_rows_is_there_whole_or_not_at_all() -> None:
    for torn in (True, False):
        disk, shelf = disk_of(torn=torn), Shelf()
        process = Process(disk.kernel, "node-1")
        process.start()
        store = MemoryStore(shelf, "node-1", 0, lambda: 0)
        store.load()
        line = SafLine(process, disk, store, SafTold(nobody, nobody, nobody, nobody))
        line.write(1, [Serials("unet", 20_260_701, 1, 500)])
        process.kill()
        line.died()
        disk.kernel.run(60_000_000)
        assert bool(shelf.serials) is torn
