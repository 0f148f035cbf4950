"""A queue's delivery is acknowledged once its reply is confirmed or its silence stands (money rule 9)."""

import pytest

from bankmq.queue import Delivery
from frontends.front import BACKOUT, DONE, TO_BANK
from frontends.queue_front import QueueFront
from qianzhi.runtime import clock
from qianzhi.runtime.effects import Send


class Engine:
    """The queue's end, which only remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, list[int]]] = []

    def reply(self, items):
        self.told.append(("reply", [tag for tag, _ in items]))

    def back_out(self, items):
        self.told.append(("back out", [tag for tag, _ in items]))

    def acknowledge(self, tags):
        self.told.append(("acknowledge", list(tags)))

    def release(self, tags):
        self.told.append(("release", list(tags)))


class Core:
    """A core that has not decided yet."""

    def on_frames(self, frames, now):
        return []


@pytest.fixture
def engine():
    return Engine()


@pytest.fixture
def front(engine):
    return QueueFront("icbc", engine, Core(), lambda effects: None, clock.now)


def test_a_delivery_is_acknowledged_when_its_reply_is_confirmed_and_not_before(front, engine):
    front.on_deliveries([Delivery(7, "icbc", b"m7", b"<Request/>", b"reply/icbc")])
    assert engine.told == []
    front.send([(7, b"<Reply/>")])
    assert engine.told == [("reply", [7])]
    front.on_confirmed([7])
    assert engine.told == [("reply", [7]), ("acknowledge", [7])]


def test_a_silence_is_acknowledged_and_what_could_not_be_recorded_is_given_back(front, engine):
    front.finish(Send(DONE, [8]))
    front.finish(Send(BACKOUT, [(9, "format")]))
    assert engine.told == [("acknowledge", [8]), ("back out", [9])]
    engine.told.clear()
    front.withhold(Send(TO_BANK, [(10, b"<Reply/>")]))
    front.withhold(Send(DONE, [11]))
    assert engine.told == [("release", [10]), ("release", [11])]
