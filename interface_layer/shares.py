"""What one bank may hold of a node: requests in flight, a rate, and its fair part of the room towards the
bridges.

Pure, integers only.  A bank always gets its equal part of the room; what others leave of theirs it never
gets, only what nobody is promised.  So a bank that floods is told BUSY and its neighbours do not notice.
"""

from collections.abc import Mapping

from qianzhi.link.tables import BankLimits
from qianzhi.runtime.now import SECOND_US, Now

TOKEN = SECOND_US  # one request, in the unit of the bucket: what a rate of 1 per second adds in a second


class Share:
    """One bank's counters at this node."""

    __slots__ = ("_limits", "_tokens", "_tokens_us", "bank", "in_flight", "normal")

    def __init__(self, bank: str, limits: BankLimits) -> None:
        self.bank = bank
        self.in_flight = 0
        self._limits = limits
        most = limits.in_flight
        self.normal = most - max(1, most // 10) if most > 1 else most  # without the priority's tenth
        self._tokens = limits.burst * TOKEN
        self._tokens_us: int | None = None

    @property
    def limits(self) -> BankLimits:
        """What the bank may hold here."""
        return self._limits

    def take_token(self, now: Now) -> bool:
        """Take one request out of the rate's bucket, or say that it is empty."""
        rate = self._limits.rate_per_second
        if rate == 0:
            return True
        if self._tokens_us is not None and now.mono_us > self._tokens_us:
            gained = (now.mono_us - self._tokens_us) * rate
            self._tokens = min(self._limits.burst * TOKEN, self._tokens + gained)
        self._tokens_us = now.mono_us
        if self._tokens < TOKEN:
            return False
        self._tokens -= TOKEN
        return True


class Shares:
    """All banks' shares of one room; the room is what the healthy bridges take."""

    def __init__(self, limits: Mapping[str, BankLimits]) -> None:
        """`limits` are this node's part of each configured bank's; another bank gets the standard ones."""
        self._shares = {bank: Share(bank, limit) for bank, limit in limits.items()}
        self._room = 0
        self._promise = 0  # what every bank may hold, whatever the others do
        self._in_flight = 0
        self._promised = 0  # places promised to banks that do not hold them now
        self._changed: set[Share] = set()

    def all(self) -> list[Share]:
        """Return every bank's share, in the order in which they became known."""
        return list(self._shares.values())

    def of(self, bank: str) -> Share:
        """Return a bank's share; a bank that nobody configured gets one with the standard limits."""
        share = self._shares.get(bank)
        if share is None:
            share = self._shares[bank] = Share(bank, BankLimits())
            self.set_room(self._room)
        return share

    def take_changed(self) -> set[Share]:
        """Return the shares that took in or gave back something since the last call."""
        changed, self._changed = self._changed, set()
        return changed

    def set_room(self, room: int) -> None:
        """Share a room of another size among the banks."""
        self._room = room
        self._promise = room // max(1, len(self._shares))
        self._promised = sum(max(0, self._promise - share.in_flight) for share in self._shares.values())

    def admit(self, share: Share, priority: bool, now: Now) -> str:
        """Take one request in, or return why not: `in_flight`, `share` or `rate`.

        Priority is held only to the bank's whole in-flight limit.  The rate comes last, so that a request
        that is refused for another reason does not use it up.
        """
        if not priority:
            if share.in_flight >= share.normal:
                return "in_flight"
        elif share.in_flight >= share.limits.in_flight:
            return "in_flight"
        if not priority:
            if share.in_flight >= self._promise and self._in_flight + self._promised >= self._room > 0:
                return "share"
            if not share.take_token(now):
                return "rate"
        if share.in_flight < self._promise:
            self._promised -= 1
        share.in_flight += 1
        self._in_flight += 1
        self._changed.add(share)
        return ""

    def release(self, share: Share) -> None:
        """Give one request's place back."""
        share.in_flight -= 1
        self._in_flight -= 1
        self._changed.add(share)
        if share.in_flight < self._promise:
            self._promised += 1


def part_of(limits: BankLimits, weight: int, weights: int) -> BankLimits:
    """Return the part of a bank's limits that one of several processes holds, never less than one.

    `weight` is its own, `weights` the sum of all: who takes twice the work holds twice the part.
    """
    rate = limits.rate_per_second
    return BankLimits(
        in_flight=max(1, limits.in_flight * weight // weights),
        rate_per_second=max(1, rate * weight // weights) if rate else 0,
        burst=max(1, limits.burst * weight // weights),
    )
