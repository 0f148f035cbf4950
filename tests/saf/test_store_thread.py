"""The thread of a node's rows: all in its order, again until it is written, and said once that it is not."""

from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from rows_made import entry

from qianzhi.runtime import work_thread
from qianzhi.saf.errors import LostError, SafError
from qianzhi.saf.rows import Entry, Row, Saved
from qianzhi.saf.store_thread import SafThread, Told


class Rows:
    """A store that fails as often as it is told to."""

    def __init__(self) -> None:
        self.failures = 0
        self.lost = False
        self.written: list[list[Row]] = []

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise SafError("no room")
        if self.lost:
            raise LostError("another's")

    def load(self) -> Saved:
        self._fail()
        return Saved([], [], [], [])

    def write(self, rows: list[Row]) -> list[Any]:
        self._fail()
        self.written.append(rows)
        return []

    def find(self, entry_id: str) -> Entry | None:
        return entry(entry_id)

    def close(self) -> None:
        self.written.append([])


class Reactor:
    """Calls on the thread itself."""

    def callFromThread(self, call: Callable[..., None], *arguments: Any) -> None:
        call(*arguments)


def thread_of(rows: Rows) -> tuple[SafThread, "SimpleQueue[Any]"]:
    heard: SimpleQueue[Any] = SimpleQueue()
    told = Told(
        stored=lambda token, standing: heard.put(("stored", token)),
        loaded=lambda saved: heard.put("loaded"),
        lost=lambda token: heard.put(("lost", token)),
        trouble=lambda why: heard.put(("trouble", why)),
    )
    thread = SafThread(rows, told, Reactor())
    thread.start()
    return thread, heard


def test_what_fails_is_tried_again_in_its_order_and_said_once(monkeypatch: Any) -> None:
    monkeypatch.setattr(work_thread, "RETRY_SECONDS", 0.001)
    rows = Rows()
    rows.failures = 5
    thread, heard = thread_of(rows)
    thread.load()
    thread.write(1, [entry()])
    thread.write(2, [entry("e2")])
    said = [heard.get(timeout=10) for _ in range(5)]
    assert said == [("trouble", "no room"), "loaded", ("trouble", ""), ("stored", 1), ("stored", 2)]
    thread.stop()
    assert rows.written == [[entry()], [entry("e2")], []]


def test_rows_that_are_anothers_are_told_for_each_wish() -> None:
    rows = Rows()
    rows.lost = True
    thread, heard = thread_of(rows)
    thread.load()
    thread.write(7, [entry()])
    thread.find("e9", lambda found: heard.put(found))
    assert [heard.get(timeout=10) for _ in range(3)] == [("lost", None), ("lost", 7), entry("e9")]
    thread.stop()


def test_a_thread_that_is_to_end_gives_up_what_cannot_be_written() -> None:
    rows = Rows()
    rows.failures = 1_000
    thread, heard = thread_of(rows)
    thread.write(1, [entry()])
    assert heard.get(timeout=10) == ("trouble", "no room")
    thread.stop()
    assert rows.written == [[]]
