"""No business date is closed before it is over, whatever any bridge's clock says (rule 10).  Pure."""

from datetime import tzinfo
from typing import Any

from qianzhi.domain.dates import closes_us
from qianzhi.runtime.now import SECOND_US
from simulators.world.observe import Violation

CLOCK_US_MAX = 60 * SECOND_US  # that a bridge's clock may be off and nobody knows


def not_early(fence: Any, true_us: int, fence_minutes: int, zone: tzinfo) -> None:
    """Hold a fence that has risen to the true time."""
    date = fence.closed_through
    early_us = closes_us(date, fence_minutes, zone) - CLOCK_US_MAX - true_us
    if early_us > 0:
        says = f"closed {early_us // SECOND_US} s before it may be, by {fence.by}"
        raise Violation("rule 10", f"{fence.space}/{date}", says)
