"""Two sides that answer each other for ever are found out; what is repeated in earnest is not."""

import pytest

from simulators.world.checks_loops import BEGUN_AT_ONCE, BEGUN_PER_SECOND, SAME_MAX, Loops
from simulators.world.observe import Violation

FRONT = "front-unet-1"


def test_a_frame_that_comes_as_fast_as_the_line_carries_it_is_a_loop() -> None:
    loops = Loops()
    for _ in range(SAME_MAX):
        loops.came(FRONT, b"0211")
        loops.went(FRONT)
    with pytest.raises(Violation) as found:
        loops.came(FRONT, b"0211")
    assert (found.value.invariant, found.value.key) == ("loop", FRONT)


def test_repeats_seconds_apart_signs_of_life_and_other_fronts_are_none() -> None:
    loops = Loops()
    for second in range(SAME_MAX):
        for front in (FRONT, "front-vnet-1"):
            loops.came(front, b"0420")
            loops.came(front, b"0420")
            for at in range(SAME_MAX):
                loops.came(front, b"")
                loops.came(front, b"%d" % (second + 1_000 * at))
        loops.tick()


def test_a_front_that_says_more_than_it_was_asked_is_a_loop() -> None:
    loops = Loops()
    for _ in range(BEGUN_AT_ONCE + BEGUN_PER_SECOND + 2):
        loops.went(FRONT)
    loops.came(FRONT, b"0200")
    loops.tick()
    loops.went(FRONT)
    for _ in range(BEGUN_PER_SECOND):
        loops.went(FRONT)
    with pytest.raises(Violation, match="frames went out, and 1 came"):
        loops.tick()
