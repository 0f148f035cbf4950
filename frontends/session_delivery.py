"""Delivering a working key to a bank: one at a time, repeated unchanged until answered, given up by rule.

Where another instance of the bank's front-end has just made a key, that one is told instead of a third.
Pure.  It decides when and what; `session` stores the rows in between and owns the connections.
"""

from collections.abc import Hashable

from frontends.front import Outbox
from frontends.mapping import Mapping
from frontends.mapping_rows import Message
from frontends.profile_tables import SessionTable
from frontends.session_keys import LineKeys
from frontends.session_rows import KeyRow
from frontends.session_serials import Serials
from qianzhi.domain.results import Result
from qianzhi.runtime.now import SECOND_US, Now
from qianzhi.wire.codec import Codec
from qianzhi.wire.errors import KeyCheckError
from qianzhi.wire.keys import DeliverySpec, build_delivery, verify_delivery_mac

KEY_DELIVERY = "key_delivery"
ATTEMPTS_MAX = 3
RETRY_US = 200_000

Match = tuple[str, ...]


class Delivery:
    """The delivery that is under way, or none; `keys` are the line's."""

    def __init__(
        self,
        rules: SessionTable,
        keys: LineKeys,
        master: bytes,
        mapping: Mapping,
        codec: Codec,
        spec: DeliverySpec,
        now: Now,
    ) -> None:
        self._keys = keys
        self._mapping = mapping
        self._codec = codec
        self._master = master
        self._spec = spec
        self._answer_us = max(1, rules.answer_seconds) * SECOND_US
        self._renew_every_us = rules.key_hours * 3600 * SECOND_US
        self._renew_us = self._renewal(now, keys.age_us("current", now) or 0)
        self._wanted = False
        self._told = ""  # the check value of the key that was told last
        self._in_force = keys.shown().get("current", "")
        self._source: Hashable = None
        self._making = False
        self._frame = b""
        self._match: Match | None = None
        self._attempts = 0
        self._due_us: int | None = None

    @property
    def deadline(self) -> int | None:
        """When something is to be sent (again), or a key has become old (monotonic).

        A key that is still being stored is sent once it is, and not by the clock.
        """
        times = [None if self._making else self._due_us, self._renew_us]
        return min((time for time in times if time is not None), default=None)

    def want(self, source: Hashable, now: Now) -> None:
        """Ask for a delivery on this connection; one that waits for its answer is only said again."""
        self._source = source
        if self._match is None:
            self._wanted = True
        elif self._attempts:
            self._attempts -= 1
        self._due_us = now.mono_us

    def make(self, serials: Serials, signed_on: bool, now: Now) -> list[KeyRow]:
        """Return the rows of a new key to be stored before `on_made`; none when nothing is to be made now."""
        if self._renew_us is not None and self._renew_us <= now.mono_us:
            old = signed_on and not self._is_fresh_elsewhere(now)
            self._renew_us, self._wanted = self._renewal(now), self._wanted or old
        if not self._wanted or self._making or self._match is not None:
            return []
        if not serials.available:
            self._due_us = now.mono_us + RETRY_US
            return []
        if self._is_fresh_elsewhere(now):
            self._write(serials, now)
            self._attempts, self._due_us = 0, now.mono_us
            return []
        rows = self._keys.make(now)
        if not rows:
            self._due_us = now.mono_us + RETRY_US
            return []
        self._write(serials, now)
        self._making, self._due_us = True, None
        return rows

    def _write(self, serials: Serials, now: Now) -> None:
        """Write the message that tells the pending key."""
        message = self._mapping.management_message(KEY_DELIVERY, serials.take(), now)
        message = build_delivery(self._spec, message, self._codec, self._master, *self._keys.told())
        self._match = self._mapping.match_key(message)
        self._frame = self._codec.encode(message)
        self._wanted, self._told = False, self._shown()

    def _is_fresh_elsewhere(self, now: Now) -> bool:
        """Tell whether a key waits that we have not told, and that may still be on its way to the bank."""
        age_us = self._keys.age_us("pending", now)
        window_us = (ATTEMPTS_MAX + 1) * self._answer_us
        return age_us is not None and age_us < window_us and self._shown() != self._told

    def on_changed(self, now: Now) -> None:
        """Look at keys that another instance has changed: one that it has put in force is told no more."""
        if self._match is not None and self._shown() != self._told:
            self._match, self._making, self._due_us = None, False, None
        if self._keys.shown().get("current", "") != self._in_force:
            self._in_force = self._keys.shown().get("current", "")
            self._renew_us = self._renewal(now, self._keys.age_us("current", now) or 0)
        if self._wanted:
            self._due_us = now.mono_us

    def on_refused(self, now: Now) -> None:
        """Forget a key that could not be stored, since another instance was first; one is wanted still."""
        self._match, self._making, self._told, self._wanted = None, False, "", True
        self._due_us = now.mono_us

    def on_made(self, sources: list[Hashable], now: Now, out: Outbox) -> None:
        """Send the key, now that it is stored."""
        self._making, self._attempts, self._due_us = False, 0, now.mono_us
        self.repeat(sources, now, out)

    def repeat(self, sources: list[Hashable], now: Now, out: Outbox) -> None:
        """Send what is due, unchanged; give it up after the last attempt."""
        if self._match is None or self._making or self._due_us is None or self._due_us > now.mono_us:
            return
        self._due_us = now.mono_us + self._answer_us
        if self._attempts >= ATTEMPTS_MAX:
            self._give_up("key_abandoned", now, out)
        elif sources:
            self._attempts += 1
            out.note("key_delivered", now.wall_us, attempt=self._attempts, check_value=self._shown())
            out.send(self._source if self._source in sources else sources[0], self._frame)

    def waits_for(self, match: Match) -> bool:
        """Say whether this is the answer that the delivery waits for."""
        return self._match == match and not self._making

    def accepts(self, message: Message, now: Now, out: Outbox) -> bool:
        """Judge the bank's answer: approved, and its MAC and check value made with the new key."""
        key = self._keys.pending
        if key is None:
            return False
        if self._mapping.reply_of(message).result is not Result.APPROVED:
            self._give_up("key_refused", now, out)
            return False
        try:
            verify_delivery_mac(self._spec, message, self._codec, key)
        except KeyCheckError:
            self._give_up("key_answer_wrong", now, out)
            return False
        return True

    def on_proved(self, now: Now) -> None:
        """Wait for no answer any more: the key has been proved."""
        self._match = None
        self._renew_us = self._renewal(now)
        self._due_us = now.mono_us if self._wanted else None

    def _give_up(self, name: str, now: Now, out: Outbox) -> None:
        out.note(name, now.wall_us, check_value=self._shown())
        out.alarm(name)
        self._match, self._due_us = None, None
        self._renew_us = self._renewal(now)

    def _renewal(self, now: Now, age_us: int = 0) -> int | None:
        return now.mono_us + self._renew_every_us - age_us if self._renew_every_us else None

    def _shown(self) -> str:
        return self._keys.shown().get("pending", "")
