"""An operator's order to stand by: kept over restarts, ended by a command or by its time."""

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from qianzhi.runtime.admin import AdminError
from qianzhi.runtime.now import SECOND_US, Now
from qianzhi.runtime.standby import UNREADABLE, Standby, order_path

START_US = 1_700_000_000 * SECOND_US


class Daemon:
    """One life of a daemon that can stand by; times pass by `later`."""

    def __init__(self, data: Path, clock: Clock) -> None:
        self.path = order_path(data, "node1")
        self.heard: list[bool] = []
        self.stopping = False
        self.clock = clock
        self.standby = Standby(self.path, self.switch, clock, lambda: {"told": True})
        self.standby.resume()

    def switch(self, draining: bool) -> None:
        if self.stopping and not draining:
            raise AdminError("it is stopping")
        self.heard.append(draining)

    def do(self, command: str, **arguments: Any) -> Any:
        return self.standby.commands()[command](arguments)

    def later(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    reactor = Clock()
    monkeypatch.setattr(
        "qianzhi.runtime.clock.now", lambda: Now(0, START_US + int(reactor.seconds() * SECOND_US))
    )
    return reactor


def test_the_order_is_kept_over_a_restart_with_who_and_why(tmp_path: Path, clock: Clock) -> None:
    first = Daemon(tmp_path, clock)
    assert first.do("stand_by", reason="换硬盘", by="ops@mq1") == {"told": True}
    second = Daemon(tmp_path, clock)
    assert (first.heard, second.heard) == ([True], [True])
    order = {"reason": "换硬盘", "by": "ops@mq1", "since_us": START_US, "until_us": 0}
    assert second.standby.status() == {"standing_by": order}
    second.do("undrain")
    assert second.heard == [True, False]
    assert Daemon(tmp_path, clock).heard == []


def test_it_ends_by_itself_at_its_time(tmp_path: Path, clock: Clock) -> None:
    daemon = Daemon(tmp_path, clock)
    daemon.do("stand_by", until_us=START_US + 60 * SECOND_US)
    daemon.later(59)
    assert daemon.heard == [True]
    daemon.later(2)
    assert daemon.heard == [True, False]
    assert daemon.standby.status() == {}
    assert not daemon.path.exists()


def test_a_time_that_came_while_nothing_ran_is_over_at_the_start(tmp_path: Path, clock: Clock) -> None:
    Daemon(tmp_path, clock).do("stand_by", until_us=START_US + 60 * SECOND_US)
    clock.pump([1] * 120)
    assert Daemon(tmp_path, clock).heard == []
    assert not order_path(tmp_path, "node1").exists()


def test_a_later_order_takes_the_place_of_the_former(tmp_path: Path, clock: Clock) -> None:
    daemon = Daemon(tmp_path, clock)
    daemon.do("stand_by", until_us=START_US + 10 * SECOND_US)
    daemon.do("stand_by", reason="longer")
    daemon.later(30)
    assert daemon.heard == [True, True]


def test_one_that_is_stopping_keeps_its_order_for_the_next_start(tmp_path: Path, clock: Clock) -> None:
    daemon = Daemon(tmp_path, clock)
    daemon.do("stand_by", until_us=START_US + 10 * SECOND_US)
    daemon.stopping = True
    with pytest.raises(AdminError, match="stopping"):
        daemon.do("undrain")
    daemon.later(20)
    assert daemon.path.exists()


@pytest.mark.parametrize(
    "arguments",
    [{"draining": True}, {"until_us": START_US}, {"until_us": "5"}, {"until_us": True}, {"reason": 7}],
)
def test_an_order_that_is_not_understood_changes_nothing(
    tmp_path: Path, clock: Clock, arguments: dict[str, Any]
) -> None:
    daemon = Daemon(tmp_path, clock)
    with pytest.raises(AdminError):
        daemon.do("stand_by", **arguments)
    assert daemon.heard == []
    assert not daemon.path.exists()


def test_what_cannot_be_kept_is_not_begun(tmp_path: Path, clock: Clock) -> None:
    daemon = Daemon(tmp_path, clock)
    daemon.path.parent.write_text("a file where the folder is to be")
    with pytest.raises(AdminError, match="nothing changed"):
        daemon.do("stand_by")
    assert daemon.heard == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"reason": "x"}', "\x00"])
def test_an_order_that_cannot_be_read_still_stands(tmp_path: Path, clock: Clock, text: str) -> None:
    path = order_path(tmp_path, "node1")
    path.parent.mkdir()
    path.write_text(text)
    daemon = Daemon(tmp_path, clock)
    assert daemon.heard == [True]
    assert daemon.standby.status()["standing_by"]["reason"] == UNREADABLE
    daemon.do("undrain")
    assert not path.exists()
