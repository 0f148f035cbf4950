"""What a person reads of a failing seed."""

from random import Random  # noqa: TID251 - the tests bring the seeds

from qianzhi.runtime.effects import Event
from simulators.world.kernel import Kernel
from simulators.world.timeline import Timeline


def test_a_frame_stands_last_and_short_so_that_what_the_row_says_can_be_read() -> None:
    told = Timeline(Kernel(lambda name: Random(name), 1_782_900_000_000_000))
    data = {"frame": b"0" * 500, "result": "approved"}
    told.on_rows("front-x-1", [Event(0, "out", "x/20260701/1", "t", data)])
    [line] = told.lines("x/20260701/1")
    assert "result=approved frame=" in line
    assert line.endswith("…")
    assert len(line) < 160
