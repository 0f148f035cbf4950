"""A network's end of our line, and the network whole, as one pure core with the usual form.

    shell ── frames ──▶ codec ─▶ MAC ─▶ request ─▶ Network        late answers wait here for their time
          ◀── frames ── codec ◀─ MAC ◀─ answer ◀──┘

The dialect is the profile's, the codec and the MACs are the simulators' own.  The network opens and closes
the line where the dialect has a sign-on, tells its cutover where there are notices, and answers our echoes.
"""

import heapq
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any

from frontends.mapping import Refusal, Sort
from qianzhi.domain.requests import Key, Reply
from qianzhi.domain.results import Result
from qianzhi.runtime.effects import Effects, Send
from qianzhi.runtime.now import Now
from simulators.codecs import BankCodec, BankCodecError
from simulators.codecs.paths import value_at
from simulators.dialect import Dialect
from simulators.line import MAIN, Incoming, Outgoing
from simulators.network import Network
from simulators.network_cutover import BEGINS, Cutovers
from simulators.sessions import BankSession

if TYPE_CHECKING:
    from frontends.profile import Profile  # it reads files; its shape alone is used here

Message = dict[str, Any]


class SimulatedNetwork:
    """One network on one line; effects are `Send(MAIN, [Outgoing…])`.

    `on_changed` hears the key of every charge that an event may have changed, before its answer goes out.
    """

    def __init__(
        self,
        profile: "Profile",
        codec: BankCodec,
        keys: dict[str, bytes],
        network: Network,
        serials: Callable[[], int] | None = None,
        on_changed: Callable[[Key], None] | None = None,
    ) -> None:
        """`keys` are the profile's; raises LookupError for one that nothing is asked of."""
        if profile.outward is None:
            raise LookupError(f"nothing is asked of {profile.name}: its profile has no table [outward]")
        self.bank = profile.name
        self.network = network
        self.bad = 0
        self._outward = profile.outward.mapping
        self._profile = profile
        self._codec = codec
        self._dialect = Dialect(profile, codec)
        key = keys.get("mac")
        numbers = count(1)
        self.session = BankSession(
            self._dialect, None, serials or (lambda: next(numbers)), bytes, [key] if key else []
        )
        told = BEGINS in profile.table.management
        self._cutovers = Cutovers(self._dialect.mapping.zone) if told else None
        self._on_changed = on_changed
        self._connected = False
        self._by_hand = ""
        self._ahead_us = 0  # of the wall clock before the monotonic one
        self._late: list[tuple[int, int, bytes]] = []
        self._order = count()

    # What the shell tells it

    def on_connected(self, now: Now) -> Effects:
        """The transport stands: open the line."""
        self._connected, self._ahead_us = True, now.wall_us - now.mono_us
        return self._managed(self.session.on_connected(now))

    def on_closed(self, now: Now) -> Effects:
        """The transport is gone; late answers go out on the next one."""
        self._connected = False
        self.session.on_closed()
        return []

    def on_frames(self, items: list[Incoming], now: Now) -> Effects:
        """Take what came, whole frames in order."""
        self._ahead_us = now.wall_us - now.mono_us
        out: list[Outgoing] = []
        for item in items:
            if item.frame:
                out += self._take(item.frame, now)
        return _send(out)

    def on_time(self, now: Now) -> Effects:
        """Do what is due: the session, late answers, holds that lapse."""
        self._ahead_us = now.wall_us - now.mono_us
        effects = self._managed(self.session.on_time(now) + self._cut_over(now))
        for key in self.network.on_time(now):
            self._changed(key)
        out: list[Outgoing] = []
        while self._connected and self._late and self._late[0][0] <= now.mono_us:
            out.append(Outgoing(MAIN, heapq.heappop(self._late)[2]))
        return effects + _send(out)

    @property
    def deadline(self) -> int | None:
        """Return when `on_time` is wanted next, on the monotonic clock."""
        lapse = self.network.deadline
        times = [self.session.deadline, lapse - self._ahead_us if lapse is not None else None]
        times += [self._late[0][0]] if self._late and self._connected else []
        if self._cutovers is not None and self.session.ready:
            times.append(self._cutovers.due_us - self._ahead_us)
        return min((time for time in times if time is not None), default=None)

    def manage(self, name: str, now: Now) -> Effects:
        """Begin one message about the line by hand: `sign_off` closes it for us, `sign_on` opens it."""
        self._by_hand, messages = self.session.manage(name, now)
        return self._managed(messages)

    @property
    def heard(self) -> str:
        """Return the code with which we answered the last message begun by hand; empty while we have not."""
        return self.session.management_code(self._by_hand)

    def _cut_over(self, now: Now) -> list[Message]:
        """Tell the settlement date that begins, on a line that is open."""
        if self._cutovers is None or not self.session.ready:
            return []
        told = self._cutovers.take(now)
        return [message for name, date in told for message in self.session.manage(name, now, date)[1]]

    # One frame

    def _take(self, frame: bytes, now: Now) -> list[Outgoing]:
        try:
            message = self._codec.decode(frame)
        except BankCodecError:
            self.bad += 1
            return []
        mapping = self._dialect.mapping
        sort = mapping.sort_of(message)
        if sort is Sort.REJECTED:  # a message of its own that came back: to be looked at, never answered
            self.bad += 1
            return []
        if sort is Sort.MANAGEMENT:
            answers = self.session.on_management(mapping.management_of(message), message, now)
            return self._outgoing(answers)
        if sort is Sort.ANSWER:
            match = mapping.match_key(message)
            return self._outgoing(
                self.session.on_answer(match, message, now) if self.session.waits_for(match) else []
            )
        return self._ask(message, frame, now)

    def _ask(self, message: Message, frame: bytes, now: Now) -> list[Outgoing]:
        if not self._dialect.proved(message, frame, self.session.keys):
            return self._answer(message, None, Reply(Result.BAD_MAC), 0, now)
        asked = self._outward.request_of(message, now)
        if isinstance(asked, Refusal):
            return self._answer(message, None, Reply(asked.result), 0, now)
        told = self.network.carry_out(asked, now)
        self._changed(asked.key)
        return self._answer(message, asked, told.reply, told.in_us, now) if told is not None else []

    def _answer(self, message: Message, asked: Any, reply: Reply, in_us: int, now: Now) -> list[Outgoing]:
        answer = self._outward.reply_message(message, asked, reply, now)
        if self._dialect.mapping.sort_of(answer) is not Sort.ANSWER:  # its peer would answer that in turn
            self.bad += 1
            return []
        try:
            if self._profile.mac_required(answer):
                self._dialect.sign(answer, self.session.key)
            frame = self._codec.encode(answer)
        except BankCodecError:  # what was damaged so that it cannot be echoed
            self.bad += 1
            return []
        if not in_us:
            return [Outgoing(MAIN, frame)]
        heapq.heappush(self._late, (now.mono_us + in_us, next(self._order), frame))
        return []

    def _changed(self, key: Key) -> None:
        if self._on_changed is not None and key in self.network.charges:
            self._on_changed(key)

    def _managed(self, messages: list[Message]) -> Effects:
        return _send(self._outgoing(messages))

    def _outgoing(self, messages: list[Message]) -> list[Outgoing]:
        mac = self._profile.mac
        for message in messages:
            unsigned = mac is not None and value_at(message, mac.field) is None
            if unsigned and self._profile.mac_required(message):
                self._dialect.sign(message, self.session.key)
        return [Outgoing(MAIN, self._codec.encode(message)) for message in messages]


def _send(out: list[Outgoing]) -> Effects:
    return [Send(MAIN, out)] if out else []
