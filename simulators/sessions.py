"""The bank's end of a line's session: sign-on and working keys, as the profile's [session] has them; pure.

    closed ─▶ signing on ─▶ keying ─▶ ready        steps that a dialect does not have are left out

    static, none   ready as soon as the bank is signed on
    ours, message  the bank applies for a key, or waits; it comes in a message, and is answered
    ours, answer   the answer to the sign-on, or to an application, brings the key
    theirs         the bank makes a key, delivers it, and uses it from the approved answer on

A key is proved by its check value before it is used; the one before it still verifies answers.  Whatever is
not answered is said again.  `take_key` hands a new key to the shell, which stores it before anything is sent.
"""

from collections.abc import Callable
from datetime import tzinfo
from enum import StrEnum
from typing import Any

from qianzhi.domain.dates import business_date, local_datetime, shift
from qianzhi.domain.results import Result
from qianzhi.runtime.now import SECOND_US, Now
from simulators.deliveries import Delivered, Deliveries, WrongKeyError, with_parity
from simulators.dialect import Dialect

Message = dict[str, Any]
Match = tuple[str, ...]

ANSWER_US = 5 * SECOND_US  # patience for the front-end's answers to management messages
SIGN_ON, KEY_REQUEST, KEY_DELIVERY = "sign_on", "key_request", "key_delivery"
EVENING_HOUR = 18  # from which a bank may tell tomorrow's business date
BEGUN_MAX = 64  # management messages that may still be answered


class State(StrEnum):
    """Where the session stands."""

    CLOSED = "closed"
    SIGNING_ON = "signing on"
    KEYING = "keying"
    READY = "ready"


def next_date(now: Now, zone: tzinfo) -> int:
    """Return the business date that this bank's notice of cutover begins: of an evening, tomorrow's."""
    today = business_date(now.wall_us, zone)
    return shift(today, 1) if local_datetime(now.wall_us, zone).hour >= EVENING_HOUR else today


class BankSession:
    """One line's session; every method returns the messages that are to be sent."""

    def __init__(
        self,
        dialect: Dialect,
        deliveries: Deliveries | None,
        serials: Callable[[], int],
        random_bytes: Callable[[int], bytes],
        keys: list[bytes],
    ) -> None:
        """`keys` are those at hand: the static one, or the one that was stored."""
        self._dialect = dialect
        self._rules = dialect.profile.session
        self._deliveries = deliveries
        self._serials = serials
        self._random_bytes = random_bytes
        self._begun: dict[Match, tuple[str, str]] = {}  # of management messages: name and serial
        self._codes: dict[str, str] = {}  # serial of a message by hand -> code of its answer
        self._wait_us: int | None = None
        self._new_key: bytes | None = None
        self._made: tuple[bytes, Message] | None = None  # a key of ours on its way, and its delivery
        self.keys = keys
        self.state = State.CLOSED
        self.keyed = False  # whether a key was agreed on this line
        self.refusal = ""  # the last code with which the front-end refused to open the session
        self.bad = 0

    @property
    def ready(self) -> bool:
        """Whether requests can be carried now."""
        return self.state is State.READY

    @property
    def deadline(self) -> int | None:
        """Return when the session runs out of patience."""
        return self._wait_us

    @property
    def key(self) -> bytes | None:
        """Return the key under which messages are made now."""
        return self.keys[0] if self.keys else None

    def take_key(self) -> bytes | None:
        """Return a key that was agreed since the last call, to be stored."""
        key, self._new_key = self._new_key, None
        return key

    def offer_key(self, key: bytes) -> None:
        """Use a key that was delivered, to this process or another one of the bank."""
        if self._rules.keys in ("ours", "theirs") and key not in self.keys:
            self.keys = [key, *self.keys[:1]]

    # -- what the line tells it

    def on_connected(self, now: Now) -> list[Message]:
        """Begin, as every new connection does."""
        return self._sign_on(now) if self._rules.sign_on else self._after_sign_on(now)

    def on_closed(self) -> None:
        """Forget the session, not the keys."""
        self.state, self._wait_us = State.CLOSED, None

    def on_time(self, now: Now) -> list[Message]:
        """Repeat what the front-end has not answered."""
        if self._wait_us is None or now.mono_us < self._wait_us:
            return []
        if self.state is State.SIGNING_ON:
            return self._sign_on(now)
        return self._new_keys(now) if self.state is State.KEYING else []

    def on_refused(self, result: Result | None, now: Now) -> list[Message]:
        """Hear how a request was refused: sign on again, or agree on a new key."""
        if not self.ready:
            return []
        if result is Result.NOT_SIGNED_ON and self._rules.sign_on:
            return self._sign_on(now)
        has_keys = self._rules.keys in ("ours", "theirs")
        return self._new_keys(now) if result is Result.BAD_MAC and has_keys else []

    def manage(self, name: str, now: Now, date: int = 0) -> tuple[str, list[Message]]:
        """Begin one management message by hand; its serial comes back, for `management_code`.

        `date` is the business date that a notice of cutover tells, 0 for that of `next_date`.

        Raises KeyError for one that the profile has not.
        """
        if name == KEY_REQUEST and self._rules.keys == "theirs":
            name, messages = KEY_DELIVERY, self._deliver(now)
        else:
            messages = [self._message(name, now, date)]
        serial = next(serial for begun, serial in reversed(self._begun.values()) if begun == name)
        self._codes[serial] = ""
        return serial, messages

    def management_code(self, serial: str) -> str:
        """Return the code that answered a management message begun by hand, empty while there is none."""
        return self._codes.get(serial, "")

    # -- beginning

    def _sign_on(self, now: Now) -> list[Message]:
        self.state = State.SIGNING_ON
        self._wait_us = now.mono_us + ANSWER_US
        return [self._message(SIGN_ON, now)]

    def _after_sign_on(self, now: Now) -> list[Message]:
        if self.keys or self._rules.keys in ("static", "none"):
            self._open()
            return []
        if self._rules.keys == "ours" and KEY_REQUEST not in self._dialect.profile.table.management:
            self.state = State.KEYING  # a delivery follows the sign-on
            return []
        return self._new_keys(now)

    def _open(self) -> None:
        self.state, self._wait_us = State.READY, None

    def _new_keys(self, now: Now) -> list[Message]:
        """Agree on a key: apply for one, sign on for one, or make one."""
        if self._rules.keys == "ours" and KEY_REQUEST not in self._dialect.profile.table.management:
            return self._sign_on(now)  # which brings one, or is followed by one
        self.state = State.KEYING
        self._wait_us = now.mono_us + ANSWER_US
        return self._deliver(now) if self._rules.keys == "theirs" else [self._message(KEY_REQUEST, now)]

    def _deliver(self, now: Now) -> list[Message]:
        """Return the delivery that waits for its answer, or one of a new key."""
        if self._deliveries is None:
            return []
        if self._made is None:
            key = with_parity(self._random_bytes(self._rules.key_bytes))
            message = self._message(KEY_DELIVERY, now)
            self._deliveries.write(message, key)
            self._made = key, message
        return [self._made[1]]

    def _message(self, name: str, now: Now, told: int = 0) -> Message:
        mapping = self._dialect.mapping
        date = business_date(now.wall_us, mapping.zone)
        serial = self._dialect.own_serial(self._dialect.serial_text(self._serials(), date))
        told = told or next_date(now, mapping.zone)
        message = mapping.management_message(name, serial, now, ours=False, date=told)
        self._begun[mapping.match_key(message)] = name, serial
        while len(self._begun) > BEGUN_MAX:
            del self._begun[next(iter(self._begun))]
        return message

    # -- answers to us

    def waits_for(self, match: Match) -> bool:
        """Say whether an answer is to a management message of ours."""
        return match in self._begun

    def on_answer(self, match: Match, message: Message, now: Now) -> list[Message]:
        """Take the answer to a management message."""
        name, serial = self._begun.pop(match)
        reply = self._dialect.mapping.reply_of(message)
        if serial in self._codes:
            self._codes[serial] = reply.code
        if name == KEY_DELIVERY:
            self._on_taken(reply.result is Result.APPROVED)
        if reply.result is not Result.APPROVED:
            self.refusal = reply.code
            return self._sign_on(now) if self._must_sign_on(name, reply.result) else []
        if name in (SIGN_ON, KEY_REQUEST) and self._brings_key:
            return self._on_key_in_answer(message)
        if name == SIGN_ON and self.state is State.SIGNING_ON:
            return self._after_sign_on(now)
        return []

    @property
    def _brings_key(self) -> bool:
        return self._rules.keys == "ours" and self._rules.delivery == "answer"

    def _must_sign_on(self, name: str, result: Result | None) -> bool:
        return result is Result.NOT_SIGNED_ON and name != SIGN_ON and self.state is not State.SIGNING_ON

    def _on_key_in_answer(self, message: Message) -> list[Message]:
        delivered = self._read_key(message)
        if delivered is not None:
            self._agree(delivered.key)
        return []

    def _on_taken(self, approved: bool) -> None:
        """Use the key that we made, now that the front-end has it; another one is made after a refusal."""
        made, self._made = self._made, None
        if approved and made is not None:
            self._agree(made[0])

    def _agree(self, key: bytes) -> None:
        self.offer_key(key)
        self._new_key = key
        self.keyed = True
        if self.state in (State.SIGNING_ON, State.KEYING):
            self._open()

    def _read_key(self, message: Message) -> Delivered | None:
        if self._deliveries is None:
            return None
        try:
            return self._deliveries.read(message)
        except WrongKeyError:
            self.bad += 1
            return None

    # -- messages to us

    def on_management(self, name: str, message: Message, now: Now) -> list[Message]:
        """Answer a message about the line that the front-end began."""
        if name == KEY_DELIVERY:
            return [self._on_delivery(message, now)]
        return [self._dialect.mapping.refusal_message(message, Result.APPROVED, now)]

    def _on_delivery(self, message: Message, now: Now) -> Message:
        mapping = self._dialect.mapping
        delivered = self._read_key(message)
        if delivered is None or self._deliveries is None:
            return mapping.refusal_message(message, Result.BAD_MAC, now)
        answer = mapping.refusal_message(message, Result.APPROVED, now)
        self._deliveries.sign_answer(answer, delivered.key)
        if delivered.is_mac_key:  # a PIN key is right, and of no use to this bank
            self._agree(delivered.key)
        return answer
