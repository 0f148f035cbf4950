"""One bank line's session: who is signed on, which keys are in force, and whether the line is alive.

Pure.  The session belongs to the line and not to a connection: a bank that reconnects is still signed on.
What it must remember is stored first, then acted upon.  It begins an echo only after a connection has been
silent, answers every echo that it is asked, and never takes an answer for a question; so two sessions that
face each other fall silent.
"""

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from itertools import count
from typing import Any, NamedTuple

from frontends.front import Outbox
from frontends.mapping import Mapping
from frontends.mapping_rows import Message
from frontends.profile_tables import SessionTable
from frontends.session_delivery import Delivery
from frontends.session_keys import Keys
from frontends.session_rows import SessionRow, SignOnRow
from frontends.session_serials import Serials
from qianzhi.domain.results import Result
from qianzhi.runtime.now import SECOND_US, Now
from qianzhi.wire.codec import Codec
from qianzhi.wire.mackey import MacKey

# The names under [management] that a session knows.
SIGN_ON, SIGN_OFF, ECHO, KEY_REQUEST = "sign_on", "sign_off", "echo", "key_request"
LATE_KEPT_MAX = 64
STEPS_MAX = 64  # what waits for the store; a bank that signs on faster than a disk writes hears "busy"

Match = tuple[str, ...]
Step = Callable[[Now, Outbox], None]


class Line(NamedTuple):
    """What a session is made for: the bank's name, its rules, and how its messages are written."""

    bank: str
    rules: SessionTable
    mapping: Mapping
    codec: Codec


class Connection:
    """One connection of the line: when it was last heard, and the echo that it has not answered."""

    __slots__ = ("echo", "echo_due_us", "heard_us", "misses")

    def __init__(self, heard_us: int) -> None:
        self.heard_us = heard_us
        self.echo: Match | None = None
        self.echo_due_us = 0
        self.misses = 0


class Session:
    """The state of one line; every method adds to an `Outbox` what is to be done."""

    def __init__(
        self, line: Line, keys: Keys, serials: Serials, delivery: Delivery | None, signed_on: bool
    ) -> None:
        self._line = line
        self._rules = line.rules
        self.keys = keys
        self.delivery = delivery
        self._serials = serials
        self._connections: dict[Hashable, Connection] = {}
        self._tokens = count(1)
        self._steps: dict[int, Step] = {}
        self._late: dict[Match, None] = {}
        self._wake_us: int | None = None
        self._mac_failures = 0
        self._signed_on = signed_on
        self._handlers = {
            SIGN_ON: self._on_sign_on,
            SIGN_OFF: self._on_sign_off,
            ECHO: self._on_echo,
            KEY_REQUEST: self._on_key_request,
        }

    @property
    def admits(self) -> bool:
        """Whether requests are served: always where the dialect has no sign-on."""
        return self._signed_on or not self._rules.sign_on

    @property
    def deadline(self) -> int | None:
        """When `on_time` is wanted next (monotonic); without a connection there is nothing to do."""
        if not self._connections:
            return None
        times = [self._wake_us, self.delivery.deadline if self.delivery else None]
        return min((time for time in times if time is not None), default=None)

    def status(self, now: Now) -> dict[str, Any]:
        """Return what an operator wants to see of the line."""
        heard = [now.mono_us - connection.heard_us for connection in self._connections.values()]
        return {
            "signed_on": self.admits,
            "connections": len(self._connections),
            "silent_seconds": min(heard, default=0) // SECOND_US,
            "keys": self.delivery.status() if self.delivery is not None else {},
        }

    # Connections

    def on_connected(self, source: Hashable, now: Now, out: Outbox) -> None:
        """Take a new connection; its silence counts from now."""
        self._connections[source] = Connection(now.mono_us)
        self._wake(now.mono_us + int(self._rules.echo_seconds * SECOND_US))
        self._lease(out)

    def on_closed(self, source: Hashable) -> None:
        """Forget a connection; what the line is signed on for stays."""
        self._connections.pop(source, None)

    def heard(self, source: Hashable, now: Now) -> None:
        """Note that something came in, a heartbeat included: the line is alive."""
        connection = self._connections.get(source)
        if connection is not None:
            connection.heard_us = now.mono_us
            connection.misses = 0

    # Messages

    def on_management(self, name: str, source: Hashable, message: Message, now: Now, out: Outbox) -> None:
        """Answer a message about the line; one that only we may send is refused as unsupported."""
        handler = self._handlers.get(name)
        if handler is None:
            self._answer(source, message, Result.UNSUPPORTED, now, out)
        else:
            handler(source, message, now, out)

    def on_answer(self, source: Hashable, message: Message, now: Now, out: Outbox) -> None:
        """Take an answer: to our echo, to our key delivery, late, or to nothing that we asked."""
        match = self._line.mapping.match_key(message)
        connection = self._connections.get(source)
        if connection is not None and connection.echo == match:
            connection.echo = None
        elif self.delivery is not None and self.delivery.waits_for(match):
            self._on_key_answer(message, now, out)
        elif match in self._late:
            del self._late[match]
            out.note("late", now.wall_us, connection=str(source))
        else:
            out.note("unmatched", now.wall_us, connection=str(source))
            out.count("qianzhi_unmatched_replies_total", self._line.bank)

    def on_good_mac(self, key: MacKey, now: Now, out: Outbox) -> None:
        """Note the key of a good MAC: failures start again, and a delivered key is proved by its use."""
        self._mac_failures = 0
        if self.delivery is not None and self.delivery.proves(key):
            self._install(now, out)

    def on_bad_mac(self, source: Hashable, now: Now, out: Outbox) -> None:
        """Count a wrong MAC; after so many in a row the profile's rule is carried out."""
        self._mac_failures += 1
        if not self._rules.mac_failures_max or self._mac_failures < self._rules.mac_failures_max:
            return
        self._mac_failures = 0
        out.alarm("mac_failures", rule=self._rules.on_mac_failures)
        out.note("mac_failures", now.wall_us, rule=self._rules.on_mac_failures)
        if self._rules.on_mac_failures == "sign_off":
            self._sign(False, now, out, _nothing)
        elif self._rules.on_mac_failures == "new_keys" and self.delivery is not None:
            self._deliver(source, now, out)
        elif self._rules.on_mac_failures == "close" and source in self._connections:
            out.close(source, "mac_failures")

    # Time and storage

    def on_stored(self, token: int, now: Now, out: Outbox) -> None:
        """Go on with what waited for these rows."""
        step = self._steps.pop(token, None)
        if step is not None:
            step(now, out)

    def on_time(self, now: Now, out: Outbox) -> None:
        """Test silent connections, and send a key again that was not answered."""
        if self._wake_us is not None and self._wake_us <= now.mono_us:
            self._wake_us = None
            for source, connection in list(self._connections.items()):
                self._watch(source, connection, now, out)
        if self.delivery is not None and self._connections:
            self._continue_delivery(now, out)
        self._lease(out)

    def _watch(self, source: Hashable, connection: Connection, now: Now, out: Outbox) -> None:
        """Send an echo on a silent connection, or give it up after so many without an answer."""
        if now.mono_us < connection.echo_due_us:
            return self._wake(connection.echo_due_us)
        if connection.echo is not None:
            self._miss(connection)
        if connection.misses >= self._rules.echo_misses_max:
            out.note("line_dead", now.wall_us, connection=str(source))
            out.close(source, "line_dead")
            return self.on_closed(source)
        due_us = connection.heard_us + int(self._rules.echo_seconds * SECOND_US)
        if connection.misses or due_us <= now.mono_us:
            self._send_echo(source, connection, now, out)
            due_us = connection.echo_due_us
        return self._wake(due_us)

    def _miss(self, connection: Connection) -> None:
        """Count an echo that was not answered, unless something else was heard since it went out."""
        if connection.echo is not None:
            self._late[connection.echo] = None
            connection.echo = None
        if connection.heard_us < connection.echo_due_us - self._answer_us:
            connection.misses += 1
        while len(self._late) > LATE_KEPT_MAX:
            del self._late[next(iter(self._late))]

    def _send_echo(self, source: Hashable, connection: Connection, now: Now, out: Outbox) -> None:
        connection.echo_due_us = now.mono_us + self._answer_us
        if not self._serials.available:
            return
        message = self._line.mapping.management_message(ECHO, self._serials.take(), now)
        connection.echo = self._line.mapping.match_key(message)
        out.count_event("echo_sent")
        out.send(source, self._line.codec.encode(message))

    @property
    def _answer_us(self) -> int:
        return max(1, self._rules.answer_seconds) * SECOND_US

    def _wake(self, at_us: int) -> None:
        if self._rules.echo_seconds and (self._wake_us is None or at_us < self._wake_us):
            self._wake_us = at_us

    # Sign-on

    def _on_sign_on(self, source: Hashable, message: Message, now: Now, out: Outbox) -> None:
        if len(self._steps) >= STEPS_MAX:
            return self._answer(source, message, Result.BUSY, now, out)
        return self._sign(True, now, out, partial(self._signed_on_now, source, message))

    def _signed_on_now(self, source: Hashable, message: Message, now: Now, out: Outbox) -> None:
        self._answer(source, message, Result.APPROVED, now, out)
        if self.delivery is not None:
            self._deliver(source, now, out)

    def _on_sign_off(self, source: Hashable, message: Message, now: Now, out: Outbox) -> None:
        if len(self._steps) >= STEPS_MAX:
            return self._answer(source, message, Result.BUSY, now, out)
        return self._sign(False, now, out, partial(self._answer, source, message, Result.APPROVED))

    def _sign(self, signed_on: bool, now: Now, out: Outbox, then: Step) -> None:
        """Store the new state and then act on it; signing off is in force at once, the safe way round."""
        self._signed_on = self._signed_on and signed_on
        row = SignOnRow(self._line.bank, signed_on, now.wall_us)
        self._store([row], partial(self._sign_stored, signed_on, then), out)

    def _sign_stored(self, signed_on: bool, then: Step, now: Now, out: Outbox) -> None:
        self._signed_on = signed_on
        out.note("signed_on" if signed_on else "signed_off", now.wall_us)
        then(now, out)

    def _on_echo(self, source: Hashable, message: Message, now: Now, out: Outbox) -> None:
        out.count_event("echo")
        self._answer(source, message, Result.APPROVED, now, out)

    # Keys

    def _on_key_request(self, source: Hashable, message: Message, now: Now, out: Outbox) -> None:
        if self.delivery is None:
            self._answer(source, message, Result.UNSUPPORTED, now, out)
        elif not self.admits:
            self._answer(source, message, Result.NOT_SIGNED_ON, now, out)
        else:
            self._answer(source, message, Result.APPROVED, now, out)
            self._deliver(source, now, out)

    def _deliver(self, source: Hashable, now: Now, out: Outbox) -> None:
        """Deliver a new key on this connection, or say the one again that waits for its answer."""
        if self.delivery is not None:
            self.delivery.want(source, now)
            self._continue_delivery(now, out)

    def _continue_delivery(self, now: Now, out: Outbox) -> None:
        delivery = self.delivery
        if delivery is None:
            return
        rows = delivery.make(self._serials, self.admits, now)
        if rows:
            self._store(rows, self._send_key, out)
        delivery.repeat(list(self._connections), now, out)

    def _send_key(self, now: Now, out: Outbox) -> None:
        if self.delivery is not None:
            self.delivery.on_made(list(self._connections), now, out)

    def _on_key_answer(self, message: Message, now: Now, out: Outbox) -> None:
        if self.delivery is not None and self.delivery.accepts(message, now, out):
            self._install(now, out)

    def _install(self, now: Now, out: Outbox) -> None:
        delivery = self.delivery
        rows = delivery.prove(now) if delivery is not None else []
        if delivery is not None and rows:
            self._store(rows, delivery.on_proved, out)

    # Helpers

    def _answer(self, source: Hashable, message: Message, result: Result, now: Now, out: Outbox) -> None:
        answer = self._line.mapping.refusal_message(message, result, now)
        out.send(source, self._line.codec.encode(answer))

    def _store(self, rows: Sequence[SessionRow], then: Step, out: Outbox) -> None:
        token = next(self._tokens)
        self._steps[token] = then
        out.store(token, list(rows))

    def _lease(self, out: Outbox) -> None:
        row = self._serials.lease() if self._rules.echo_seconds or self.delivery else None
        if row is not None:
            self._store([row], lambda now, out: self._serials.on_stored(row), out)


def _nothing(now: Now, out: Outbox) -> None:
    """Nothing waits for the row."""
