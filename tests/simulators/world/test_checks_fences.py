"""A date that is closed before it is over is found out."""

from zoneinfo import ZoneInfo

import pytest

from crm_bridge.journal_fences import Fence
from qianzhi.domain.dates import closes_us
from qianzhi.runtime.now import SECOND_US
from simulators.world.checks_fences import CLOCK_US_MAX, not_early
from simulators.world.observe import Violation

ZONE = ZoneInfo("Asia/Shanghai")
FENCE = Fence("bank", 20261122, 0, "timer")
EARLIEST_US = closes_us(20261122, 30, ZONE)


def test_a_fence_is_held_to_the_true_time_and_not_to_a_bridges() -> None:
    not_early(FENCE, EARLIEST_US - CLOCK_US_MAX, 30, ZONE)
    with pytest.raises(Violation, match="closed 86340 s before it may be, by timer") as found:
        not_early(FENCE, EARLIEST_US - 86_400 * SECOND_US, 30, ZONE)
    assert (found.value.invariant, found.value.key) == ("rule 10", "bank/20261122")
