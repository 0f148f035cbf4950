"""One bank line's session: who is signed on, which keys are in force, and whether the line is alive.

Pure.  The session belongs to the line and not to a connection: a bank that reconnects, or that brings every
message on a connection of its own, is still signed on.  What it must remember is stored first, then acted
upon or told.
"""

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

from frontends.front import Outbox
from frontends.mapping_rows import Message
from frontends.session_cutover import CUTOVER, CUTOVER_BEGIN, Cutover
from frontends.session_delivery import KEY_DELIVERY
from frontends.session_echo import ECHO, Echoes
from frontends.session_exchange import Exchange
from frontends.session_line import Asked, Exchanged, Line
from frontends.session_rows import Saved, SessionRow, SignOnRow
from frontends.session_serials import Serials
from frontends.session_writes import Step, Writes, Written
from qianzhi.domain.results import Result
from qianzhi.runtime.now import Now
from qianzhi.wire.errors import EncodeError, KeyCheckError
from qianzhi.wire.mackey import MacKey

# The names under [management] that a session knows; ECHO and KEY_DELIVERY are two more.
SIGN_ON, SIGN_OFF, KEY_REQUEST = "sign_on", "sign_off", "key_request"
NEED_SIGN_ON = frozenset({KEY_REQUEST, KEY_DELIVERY, CUTOVER, CUTOVER_BEGIN})
STEPS_MAX = 64  # what waits for the store; a bank that signs on faster than a disk writes hears "busy"

Dress = Callable[[Message], Message]  # puts into an answer what it brings besides


class Session:
    """The state of one line; every method adds to an `Outbox` what is to be done."""

    def __init__(self, line: Line, exchanged: Exchanged | None, serials: Serials, saved: Saved) -> None:
        self._line = line
        self._rules = line.rules
        self._keys = exchanged.keys if exchanged else None
        self._delivery = exchanged.delivery if exchanged else None
        self._exchange = exchanged.exchange if exchanged else None
        self._serials = serials
        self._echoes = Echoes(line.rules, line.mapping, line.seal, serials)
        self._writes = Writes(line.bank, line.author, saved.stamp)
        self._cutover = Cutover(line, saved.noticed, self._writes, self._answer)
        self._mac_failures = 0
        self._signed_on = saved.signed_on
        self._handlers = {
            SIGN_ON: self._on_sign_on,
            SIGN_OFF: self._on_sign_off,
            ECHO: self._on_echo,
            KEY_REQUEST: self._on_key_request,
            CUTOVER: self._cutover.on_notice,
            CUTOVER_BEGIN: self._cutover.on_begin,
        }
        if line.rules.keys == "theirs":
            self._handlers[KEY_DELIVERY] = self._on_key_delivery

    @property
    def admits(self) -> bool:
        """Whether requests are served: always where the dialect has no sign-on."""
        return self._signed_on or not self._rules.sign_on

    @property
    def deadline(self) -> int | None:
        """When `on_time` is wanted next (monotonic); without a connection there is nothing to do."""
        times = [self._writes.deadline, self._cutover.dates.deadline]
        if self._echoes.connections:
            times += [self._echoes.deadline, self._delivery.deadline if self._delivery else None]
        return min((time for time in times if time is not None), default=None)

    def business_date(self, now: Now) -> int:
        """Return the business date of a message that is received now and carries none."""
        return self._cutover.dates.date(now)

    @property
    def random_wanted(self) -> int:
        """How many random bytes are wanted for the next key of ours."""
        return self._keys.random_wanted if self._keys is not None else 0

    def add_random(self, data: bytes) -> None:
        """Give random bytes for the next key."""
        if self._keys is not None:
            self._keys.add_random(data)

    def status(self, now: Now) -> dict[str, Any]:
        """Return what an operator wants to see of the line."""
        return {
            "sign_on": self._rules.sign_on,
            "signed_on": self.admits,
            "connections": len(self._echoes.connections),
            "silent_seconds": self._echoes.silent_seconds(now),
            "keys": self._keys.shown() if self._keys is not None else {},
            "store": self._writes.trouble or "ok",
            **self._cutover.status(now),
        }

    # Connections

    def on_connected(self, source: Hashable, now: Now, out: Outbox) -> None:
        """Take a new connection; its silence counts from now."""
        self._echoes.on_connected(source, now)
        self._lease(now, out)

    def on_closed(self, source: Hashable) -> None:
        """Forget a connection; what the line is signed on for stays."""
        self._echoes.on_closed(source)

    def heard(self, source: Hashable, now: Now) -> None:
        """Note that something came in, a heartbeat included: the line is alive."""
        self._echoes.heard(source, now)

    # Messages

    def on_management(self, name: str, asked: Asked, now: Now, out: Outbox) -> None:
        """Answer a message about the line; one that only we may send is refused as unsupported."""
        handler = self._handlers.get(name)
        if handler is None:
            self._answer(asked, Result.UNSUPPORTED, now, out)
        elif self._writes.trouble and name != ECHO:
            self._answer(asked, Result.UNAVAILABLE, now, out)
        elif len(self._writes) >= STEPS_MAX and name != ECHO:
            self._answer(asked, Result.BUSY, now, out)
        elif name in (CUTOVER, CUTOVER_BEGIN) and not self.admits:
            self._answer(asked, Result.NOT_SIGNED_ON, now, out)
        else:
            handler(asked, now, out)

    def on_answer(self, source: Hashable, message: Message, now: Now, out: Outbox) -> None:
        """Take an answer: to our echo, to our key delivery, late, or to nothing that we asked."""
        match = self._line.mapping.match_key(message)
        if self._echoes.is_answer(source, match):
            return
        if self._delivery is not None and self._delivery.waits_for(match):
            if self._delivery.accepts(message, now, out):
                self._install(now, out)
        elif self._echoes.is_late(match):
            out.note("late", now.wall_us, connection=str(source))
        else:
            out.note("unmatched", now.wall_us, connection=str(source))
            out.count("qianzhi_unmatched_replies_total", self._line.bank)

    def on_good_mac(self, key: MacKey, now: Now, out: Outbox) -> None:
        """Note the key of a good MAC: failures start again, and a delivered key is proved by its use."""
        self._mac_failures = 0
        if self._keys is not None and self._keys.is_pending(key):
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
            self._sign_off(now, out)
        elif self._rules.on_mac_failures == "new_keys":
            self._deliver(source, now, out)
        elif self._rules.on_mac_failures == "close" and source in self._echoes.connections:
            out.close(source, "mac_failures")

    # Time and storage

    def on_stored(self, token: int, now: Now, out: Outbox) -> None:
        """Go on with what waited for these rows."""
        then = self._writes.on_stored(token)
        if then is not None:
            then(now, out)

    def on_conflict(self, token: int, saved: Saved, now: Now, out: Outbox) -> None:
        """Take up what another instance wrote instead, and decide anew what rested on the rows before."""
        steps = self._writes.on_conflict(token)
        if steps is None:
            return
        out.count_event("conflict")
        if self._adopt(saved, now, out):
            for step in steps:
                step(now, out)

    def on_read(self, saved: Saved, now: Now, out: Outbox) -> None:
        """Take up what another instance has written; the end of a write of ours will tell."""
        idle = not self._writes and not self._writes.is_current(saved.stamp)
        if idle and self._adopt(saved, now, out):
            self._continue_delivery(now, out)

    def on_trouble(self, why: str, out: Outbox) -> None:
        """Note that the store cannot be used (`why`), or can again (empty)."""
        self._writes.on_trouble(why, out)

    def _adopt(self, saved: Saved, now: Now, out: Outbox) -> bool:
        """Take up the rows as they are; False where another instance keeps its keys under another master."""
        if self._keys is not None:
            try:
                self._keys.restore(saved.keys, now, saved.retired)
            except KeyCheckError:
                out.alarm("stored_keys_unreadable")
                return False
        if saved.signed_on != self._signed_on:
            out.note("signed_on" if saved.signed_on else "signed_off", now.wall_us, elsewhere=True)
        self._signed_on = saved.signed_on
        self._serials.adopt(saved.leased_until)
        self._cutover.dates.adopt(saved.noticed)
        self._writes.adopt(saved.stamp)
        if self._delivery is not None:
            self._delivery.on_changed(now)
        return True

    def on_time(self, now: Now, out: Outbox) -> None:
        """Test silent connections, and send a key again that was not answered."""
        self._writes.on_time(now, out)
        self._cutover.dates.on_time(now, out)
        self._echoes.on_time(now, out)
        if self._echoes.connections:
            self._continue_delivery(now, out)
        self._lease(now, out)

    # Sign-on

    def _on_sign_on(self, asked: Asked, now: Now, out: Outbox) -> None:
        anew = partial(self._on_sign_on, asked)
        if self._exchange is None or self._rules.keys != "ours":
            return self._sign(True, [], Written(partial(self._signed_on_now, asked), anew), now, out)
        rows, told = self._exchange.offer(now)
        if not told:  # for lack of random bytes, which the shell brings as soon as this is done
            return self._answer(asked, Result.BUSY, now, out)
        dress = partial(self._exchange.write, told=told)
        return self._sign(True, rows, Written(partial(self._answer_approved, asked, dress), anew), now, out)

    def _signed_on_now(self, asked: Asked, now: Now, out: Outbox) -> None:
        self._answer(asked, Result.APPROVED, now, out)
        self._deliver(asked.source, now, out)

    def _on_sign_off(self, asked: Asked, now: Now, out: Outbox) -> None:
        then = partial(self._answer_approved, asked, _as_it_is)
        self._sign(False, [], Written(then, partial(self._on_sign_off, asked)), now, out)

    def _sign_off(self, now: Now, out: Outbox) -> None:
        self._sign(False, [], Written(_nothing, self._sign_off), now, out)

    def _sign(
        self, signed_on: bool, rows: Sequence[SessionRow], steps: Written, now: Now, out: Outbox
    ) -> None:
        """Store the new state and then act on it; signing off is in force at once, the safe way round."""
        self._signed_on = self._signed_on and signed_on
        row = SignOnRow(self._line.bank, signed_on, now.wall_us)
        then = partial(self._sign_stored, signed_on, steps.then)
        self._writes.store([*rows, row], Written(then, steps.anew), now, out)

    def _sign_stored(self, signed_on: bool, then: Step, now: Now, out: Outbox) -> None:
        self._signed_on = signed_on
        out.note("signed_on" if signed_on else "signed_off", now.wall_us)
        then(now, out)

    def _on_echo(self, asked: Asked, now: Now, out: Outbox) -> None:
        out.count_event("echo")
        self._answer(asked, Result.APPROVED, now, out)

    # Keys

    def _on_key_request(self, asked: Asked, now: Now, out: Outbox) -> None:
        if self._delivery is None and (self._exchange is None or self._rules.keys != "ours"):
            self._answer(asked, Result.UNSUPPORTED, now, out)
        elif not self.admits:
            self._answer(asked, Result.NOT_SIGNED_ON, now, out)
        elif self._exchange is not None:
            self._tell_keys(self._exchange, asked, now, out)
        else:
            self._answer(asked, Result.APPROVED, now, out)
            self._deliver(asked.source, now, out)

    def _tell_keys(self, exchange: Exchange, asked: Asked, now: Now, out: Outbox) -> None:
        """Answer with a key; the store's order lets this answer wait for a row that is being written too."""
        rows, told = exchange.offer(now)
        if told:
            dress = partial(exchange.write, told=told)
            then = partial(self._answer_approved, asked, dress)
            self._writes.store(rows, Written(then, partial(self._on_key_request, asked)), now, out)
        else:
            self._answer(asked, Result.BUSY, now, out)

    def _on_key_delivery(self, asked: Asked, now: Now, out: Outbox) -> None:
        """Take a key of the bank's: stored, then answered; the one before it verifies until it is used."""
        exchange = self._exchange
        if exchange is None or not self.admits:
            return self._answer(asked, Result.NOT_SIGNED_ON, now, out)
        try:
            rows, delivered = exchange.take(asked.message, now)
        except KeyCheckError:
            out.alarm("key_wrong")
            out.note("key_wrong", now.wall_us, connection=str(asked.source))
            return self._answer(asked, Result.BAD_MAC, now, out)
        out.note("key_taken", now.wall_us, check_value=self.status(now)["keys"].get("pending", ""))
        dress = partial(exchange.confirm, delivered=delivered)
        then = partial(self._answer_approved, asked, dress)
        return self._writes.store(rows, Written(then, partial(self._on_key_delivery, asked)), now, out)

    def _deliver(self, source: Hashable, now: Now, out: Outbox) -> None:
        """Deliver a new key on this connection, or say the one again that waits for its answer."""
        if self._delivery is not None:
            self._delivery.want(source, now)
            self._continue_delivery(now, out)

    def _continue_delivery(self, now: Now, out: Outbox) -> None:
        delivery = self._delivery
        if delivery is None:
            return
        rows = delivery.make(self._serials, self.admits, now)
        if rows:
            self._writes.store(rows, Written(self._send_key, self._deliver_anew), now, out)
        delivery.repeat(list(self._echoes.connections), now, out)

    def _send_key(self, now: Now, out: Outbox) -> None:
        if self._delivery is not None:
            self._delivery.on_made(list(self._echoes.connections), now, out)

    def _deliver_anew(self, now: Now, out: Outbox) -> None:
        if self._delivery is not None:
            self._delivery.on_refused(now)
            self._continue_delivery(now, out)

    def _install(self, now: Now, out: Outbox) -> None:
        """Put the proved key in force."""
        if self._keys is None:
            return
        if self._delivery is not None:
            self._delivery.on_proved(now)
        current, rows = self._keys.promote(now)
        shown = current.check_value.hex().upper()
        steps = Written(
            lambda now, out: out.note("key_installed", now.wall_us, check_value=shown),
            partial(self._install_anew, shown),
        )
        self._writes.store(rows, steps, now, out)

    def _install_anew(self, shown: str, now: Now, out: Outbox) -> None:
        """Put a proved key in force, unless another instance has done so or put one in its place."""
        if self._keys is not None and self._keys.shown().get("pending") == shown:
            self._install(now, out)

    # Helpers

    def _answer_approved(self, asked: Asked, dress: Dress, now: Now, out: Outbox) -> None:
        self._answer(asked, Result.APPROVED, now, out, dress)

    def _answer(
        self, asked: Asked, result: Result, now: Now, out: Outbox, dress: Dress | None = None
    ) -> None:
        """Answer one message; an answer that cannot be written is silence and an alarm."""
        answer = self._line.mapping.refusal_message(asked.message, result, now)
        try:
            frame = self._line.seal.encode(dress(answer) if dress else answer, asked.mac_key, now)
        except (EncodeError, ValueError) as error:
            out.alarm("answer_unwritable", field=error.path if isinstance(error, EncodeError) else "")
            out.note("silent", now.wall_us, why="answer_unwritable", conn=str(asked.source))
            out.done(asked.source)
        else:
            out.send(asked.source, frame)

    def _lease(self, now: Now, out: Outbox) -> None:
        row = self._serials.lease() if self._rules.echo_seconds or self._delivery else None
        if row is not None:
            steps = Written(lambda now, out: self._serials.on_stored(row), self._lease)
            self._writes.store([row], steps, now, out)


def _nothing(now: Now, out: Outbox) -> None:
    """Nothing waits for the row."""


def _as_it_is(answer: Message) -> Message:
    """An answer that brings nothing besides."""
    return answer
