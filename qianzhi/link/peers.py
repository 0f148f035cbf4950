"""The peers of a hop, and which of them gets the next job.  Pure.

A peer is judged by use, not by its connection alone: one that takes jobs and answers none is silent.
"""

from collections.abc import Sequence
from typing import Any

from qianzhi.link.messages import Answer, Status
from qianzhi.runtime.now import Now

SILENT_US = 500_000  # a peer that has owed an answer for so long without giving any is silent
PATIENCE_US_MAX = 4_000_000  # so long for one that was called silent and then answered: it is slow, not gone
FORGET_US = 60_000_000  # after which a slow time is forgotten, and the silence of one whom nobody asks
TRIAL_US = 2_000_000  # between two trials of a silent peer that holds nothing any more
WEIGHT = 10  # of a peer of which nothing else is said
STRIDE = 1 << 20


class Peer:
    """What the hop knows of one peer; `choose` and status displays read it."""

    __slots__ = (
        "asked_us", "draining", "name", "noted", "owing_us", "passed", "patience_us", "slow_us", "tried_us",
        "up", "weight", "window", "window_normal", "works",
    )  # fmt: skip

    def __init__(self, name: str, window: int, weight: int = WEIGHT) -> None:
        self.name = name
        self.weight = weight
        self.up = False
        self.draining = False
        self.works: dict[int, Any] = {}
        self.passed = 0  # grows with each job, by less where the weight is more
        self.owing_us: int | None = None  # since when it has owed an answer without giving any
        self.patience_us = SILENT_US
        self.slow_us = 0  # when it last answered after having been silent
        self.tried_us = 0
        self.asked_us = 0  # when it was last given a job
        self.noted = False  # its silence was told
        self.resize(window)

    def resize(self, window: int) -> None:
        """Set the window; a tenth of it, at least one place, is for priority."""
        self.window = window
        self.window_normal = window - max(1, window // 10) if window > 1 else window

    @property
    def has_room(self) -> bool:
        """Whether it has a place for a job without priority."""
        return len(self.works) < self.window_normal

    @property
    def healthy(self) -> bool:
        """Whether it may get something new."""
        return self.up and not self.draining

    def silent(self, now: Now) -> bool:
        """Whether it takes jobs and answers none; a slow one among slow ones is silent with them.

        What nobody has asked for a minute nobody knows to be silent: where no jobs come none is tried either.
        """
        if self.owing_us is None or now.mono_us - self.owing_us < self.patience_us:
            return False
        return bool(self.works) or now.mono_us - self.asked_us < FORGET_US

    def state(self, now: Now) -> str:
        """Return `down`, `draining`, `silent` or `up`, for displays."""
        if not self.up:
            return "down"
        return "draining" if self.draining else "silent" if self.silent(now) else "up"

    def asked(self, now: Now) -> None:
        """Note that it is given a job, before it holds it."""
        forgotten = not self.works and now.mono_us - self.asked_us >= FORGET_US
        if self.owing_us is None or forgotten:
            self.owing_us, self.noted = now.mono_us, False
        self.asked_us = now.mono_us

    def heard(self, answers: Sequence[Answer], now: Now) -> None:
        """Note a sign of use: only an answer with a body is one, also a late one.

        One that breaks a silence shows that the peer is slow: it is given twice the time from then on, so
        that the work of a pair on a slow disk is not thrown from one to the other.
        """
        if not any(answer.status is Status.OK for answer in answers):
            return
        if self.silent(now):
            self.patience_us, self.slow_us = min(PATIENCE_US_MAX, 2 * self.patience_us), now.mono_us
        elif now.mono_us - self.slow_us >= FORGET_US:
            self.patience_us = SILENT_US
        self.owing_us, self.noted = now.mono_us, False

    def connected(self) -> None:
        """Begin anew: what another life of the peer did says nothing of this one."""
        self.up, self.draining = True, False
        self.owing_us, self.noted, self.patience_us = None, False, SILENT_US

    def rest(self, now: Now) -> None:
        """Note that nothing is owed where nothing is held; silence lasts until an answer breaks it."""
        if not self.works and not self.silent(now):
            self.owing_us = None


def choose(peers: Sequence[Peer], priority: bool, now: Now, avoid: str = "") -> Peer | None:
    """Return the healthy peer with the least outstanding for its weight and below its window, or None.

    Priority may fill the whole window, and goes to a draining peer when there is no healthy one: reversals
    and status queries are served through a drain.  A silent peer gets nothing while another one answers;
    `avoid` stands back while there is another one.  Equals take turns by their weights.
    """
    able = able_of(peers, priority, now)
    if avoid and len(able) > 1:
        able = [peer for peer in able if peer.name != avoid]
    return least_of(able, priority)


def able_of(peers: Sequence[Peer], priority: bool, now: Now) -> list[Peer]:
    """Return whom a job may go to, windows apart."""
    able = [peer for peer in peers if peer.up and not peer.draining]
    if priority and not able:
        able = [peer for peer in peers if peer.up]
    return [peer for peer in able if not peer.silent(now)] or able


def least_of(able: list[Peer], priority: bool) -> Peer | None:
    """Return the one of them with the least outstanding for its weight that has a place."""
    if len(able) == 1:
        alone = able[0]
        window = alone.window if priority else alone.window_normal
        return alone if len(alone.works) < window else None
    best: Peer | None = None
    least = 0
    for peer in able:
        held = len(peer.works)
        if held >= (peer.window if priority else peer.window_normal):
            continue
        # held / weight, compared without a division
        ours, theirs = (held * best.weight, least * peer.weight) if best is not None else (0, 1)
        if best is None or ours < theirs or (ours == theirs and peer.passed < best.passed):
            best, least = peer, held
    return best
