"""Processes of the simulated world: effects one by one, deaths and standstills between any two of them."""

from collections.abc import Callable
from random import Random  # noqa: TID251 - the tests bring the seeds
from typing import Any

import pytest

from qianzhi.runtime.effects import Count, Effects, Event, Record, Send, Withheld
from simulators.world.kernel import Kernel
from simulators.world.observe import Violation
from simulators.world.process import DiskFullError, Process, Waker


class Plain(Process):
    """Notes what it carried out."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel, "plain", mono_us=500)
        self.done: list[Any] = []
        self.lives = 0
        self.full = False
        self.handlers = {
            Send: lambda effect: self.done.append(effect.to),
            Withheld: lambda effect: self.done.append(("withheld", effect.send.to)),
            Record: self._record,
        }

    def begin(self) -> None:
        self.lives += 1

    def _record(self, effect: Record) -> None:
        if self.full:
            raise DiskFullError
        self.done.append("record")


def kernel_of(seed: int = 1) -> Kernel:
    return Kernel(lambda name: Random(f"{seed}/{name}"), 1_782_900_000_000_000)


def started() -> Plain:
    process = Plain(kernel_of())
    process.start()
    return process


def sends(*names: str) -> Effects:
    return [Send(name, []) for name in names]


ROW = Record([Event(0, "out", "", "", {})])


def test_what_happens_at_once_happens_in_the_order_of_asking_and_not_when_it_is_cancelled() -> None:
    kernel, seen = kernel_of(), []
    for name in "abc":
        kernel.later(5, name, seen.append, name)
    kernel.cancel(kernel.later(1, "never", seen.append, "never"))
    kernel.later(2, "first", seen.append, "first")
    kernel.run(10)
    assert seen == ["first", "a", "b", "c"]
    assert kernel.now_us == 10


def test_each_part_draws_from_numbers_of_its_own() -> None:
    one, other = kernel_of(), kernel_of()
    other.dice("somebody else").bytes(9)
    assert one.dice("network").bytes(8) == other.dice("network").bytes(8)
    assert one.dice("network").bytes(8) != one.dice("disk").bytes(8)


@pytest.mark.parametrize("effects", range(1, 5))
def test_a_process_may_die_before_any_effect_and_does_nothing_of_what_follows(effects: int) -> None:
    process = started()
    process.arm(effects, process.kill)
    process.run(sends("a", "b"))
    process.run(sends("c", "d"))
    assert process.done == ["a", "b", "c", "d"][: effects - 1]
    assert not process.up


@pytest.mark.parametrize("effects", range(1, 5))
def test_a_process_that_stands_still_goes_on_where_it_stopped(effects: int) -> None:
    process = started()
    process.later(3, "later", lambda: process.run(sends("e")))
    process.arm(effects, process.freeze)
    process.run(sends("a", "b"))
    process.run(sends("c", "d"))
    process.kernel.run(10)
    assert process.done == ["a", "b", "c", "d"][: effects - 1]
    process.thaw()
    assert process.done == ["a", "b", "c", "d", "e"]


def test_what_was_to_happen_in_a_former_life_does_not_happen_in_the_next() -> None:
    process = started()
    process.later(5, "old", process.done.append, "old")
    process.kill()
    process.start()
    process.later(5, "new", process.done.append, "new")
    process.kernel.run(10)
    assert (process.done, process.lives) == (["new"], 2)


def test_what_rests_on_a_record_that_was_not_written_is_withheld_and_the_next_list_is_not() -> None:
    process = started()
    process.full = True
    process.run([*sends("before"), ROW, *sends("after"), Count("x", ())])
    process.full = False
    process.run([ROW, *sends("next")])
    assert process.done == ["before", ("withheld", "after"), "record", "next"]


def test_a_list_that_stands_still_after_a_failed_record_still_withholds_what_rests_on_it() -> None:
    process = started()
    process.full = True
    process.arm(2, process.freeze)
    process.run([ROW, *sends("after")])
    process.full = False
    process.thaw()
    assert process.done == [("withheld", "after")]


def test_clocks_are_the_process_s_own_and_a_jump_leaves_the_monotonic_one_alone() -> None:
    process = started()
    before = process.now
    process.offset_us -= 3_600_000_000
    process.kernel.run(7)
    assert process.now.mono_us == before.mono_us + 7
    assert process.now.wall_us == before.wall_us + 7 - 3_600_000_000


def waker(process: Process, deadlines: list[int | None], rung: Callable[[], None]) -> None:
    Waker(process, "time", lambda: deadlines[0], rung)
    process.run([])


def test_a_deadline_is_kept_also_when_it_is_moved() -> None:
    process, rung = started(), []
    deadlines: list[int | None] = [process.mono_us + 50]
    process.later(10, "earlier", lambda: (deadlines.__setitem__(0, process.mono_us + 5), process.run([])))

    def ring() -> None:
        rung.append(process.kernel.now_us)
        deadlines[0] = None

    waker(process, deadlines, ring)
    process.kernel.run(100)
    assert rung == [15]


def test_a_deadline_that_never_moves_on_is_found() -> None:
    process = started()
    waker(process, [process.mono_us], lambda: None)
    with pytest.raises(Violation, match="does not move on"):
        process.kernel.run(100)
