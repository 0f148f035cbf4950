"""Lanes of entries, without a dispatcher: when a node wants to be woken."""

from rows_made import WALL_US, entry

from qianzhi.runtime.effects import Store
from qianzhi.runtime.now import Now
from qianzhi.saf.keeping import Keeping
from qianzhi.saf.lanes import Saf
from qianzhi.saf.policies import Policy

LONG_US = 3_600_000_000
NOW = Now(1_000_000, WALL_US)


def test_while_nothing_can_be_stored_no_entry_s_time_is_waited_for() -> None:
    # No try may begin before it is stored, so a time that has come would wake the node for ever.
    keeping = Keeping(0)
    saf = Saf(keeping, Policy())
    keeping.load(NOW)
    keeping.on_loaded(NOW)
    saf.load([entry(deadline_us=WALL_US + LONG_US)], NOW)
    saf.set_ready("unet", True, NOW)
    due_us = saf.deadline(NOW)
    assert due_us is not None
    assert due_us <= NOW.mono_us
    keeping.trouble = "no room on the disk"
    saf.pump(NOW)
    assert saf.deadline(NOW) == NOW.mono_us + LONG_US
    keeping.trouble = ""
    saf.pump(NOW)
    written = [row for effect in keeping.take(NOW) if isinstance(effect, Store) for row in effect.rows]
    assert [row.tries for row in written] == [1]
