"""A message that ends every process that handles it is found among those that came again beside it."""

from pathlib import Path

import pytest
from twisted.internet.task import Clock

from bankmq.queue import Delivery
from frontends.alone import Alone
from frontends.alone_core import FAILED_ALONE


class DiedError(Exception):
    """The process has ended in the middle of a call."""


class Life:
    """One process's life: deliveries come in, and the poison ends it."""

    def __init__(self, path: Path) -> None:
        self.clock = Clock()
        self.alone = Alone(path, self.clock)
        self.handled: list[tuple[bytes, str]] = []

    def handle(self, items: list[Delivery]) -> None:
        for item in items:
            if item.body == b"poison" and not item.fault:
                raise DiedError
            self.handled.append((item.message_id, item.fault))

    def live(self, items: list[Delivery]) -> bool:
        """Take deliveries and go on until all are handled; say whether the process lived on."""
        try:
            first = self.alone.put_aside(items, self.handle)
            self.handle(first)
            for _ in items:
                self.clock.advance(0)
        except DiedError:
            return False
        return True


def deliveries(*bodies: bytes, failures: int = 0) -> list[Delivery]:
    return [
        Delivery(tag, "icbc", b"%d" % tag, body, b"reply", failures=failures)
        for tag, body in enumerate(bodies, 1)
    ]


def test_only_the_poison_is_put_aside_and_only_after_it_has_failed_alone_twice(tmp_path: Path) -> None:
    path = tmp_path / "fronts" / "front-icbc-1.alone"
    bodies = (b"good", b"poison", b"good")
    assert not Life(path).live(deliveries(*bodies))
    for failures in (1, 2):
        life = Life(path)
        assert not life.live(deliveries(*bodies, failures=failures))
        assert life.handled == [(b"1", "")]
    last = Life(path)
    assert last.live(deliveries(*bodies, failures=3))
    assert last.handled == [(b"1", ""), (b"2", FAILED_ALONE), (b"3", "")]
    assert path.read_text() == ""


def test_a_message_whose_consumers_died_often_over_others_is_no_poison(tmp_path: Path) -> None:
    life = Life(tmp_path / "alone")
    for failures in range(30):
        assert life.live(deliveries(b"good", failures=failures))
    assert life.handled == [(b"1", "")] * 30


def test_two_poisons_are_both_found(tmp_path: Path) -> None:
    path = tmp_path / "alone"
    lives = 0
    while True:
        lives += 1
        life = Life(path)
        items = deliveries(b"poison", b"poison", failures=lives - 1)
        if life.live(items):
            break
        assert lives < 10
    assert [fault for _, fault in life.handled] == [FAILED_ALONE] * 2


@pytest.mark.parametrize("text", ["", "\x00\xff", "name\n", "name x\n", "name 7\n", "a b c\n"])
def test_a_file_that_is_damaged_accuses_nobody(tmp_path: Path, text: str) -> None:
    path = tmp_path / "alone"
    path.write_text(text, encoding="latin-1")
    life = Life(path)
    assert life.live(deliveries(b"good", failures=2))
    assert life.handled == [(b"1", "")]


def test_where_the_file_cannot_be_written_messages_are_handled_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "alone"
    path.mkdir()
    life = Life(path)
    assert life.live(deliveries(b"good", failures=2))
    assert life.handled == [(b"1", "")]
