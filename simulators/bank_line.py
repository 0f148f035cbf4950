"""A bank's end of a line, whatever its dialect: requests to signed frames, frames to answers; pure.

    asks ─▶ mapping ─▶ message ─▶ MAC ─▶ codec ─▶ frames           frames ─▶ codec ─▶ MAC ─▶ match ─▶ heard

The dialect is the profile's (`dialect`), the bytes are the banks' own codec's, the session is `sessions`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from frontends.mapping import Sort
from qianzhi.domain.requests import PRIORITY_KINDS, Kind
from qianzhi.runtime.now import Now
from simulators.codecs import BankCodec, BankCodecError
from simulators.codecs.paths import value_at
from simulators.deliveries import Deliveries
from simulators.dialect import Dialect
from simulators.line import CONTROL, MAIN, Incoming, Outgoing
from simulators.pending import Pending, Taken
from simulators.record import Ask, Heard
from simulators.sessions import BankSession, State

if TYPE_CHECKING:
    from frontends.profile import Profile  # it reads files; its shape alone is used here

Message = dict[str, Any]
Match = tuple[str, ...]

AMOUNTS_MAX = 20_000  # matches whose last amount is remembered


class BankLine:
    """One line of one bank; `serials` are shared with the bank's model."""

    def __init__(
        self,
        profile: "Profile",
        codec: BankCodec,
        keys: dict[str, bytes],
        serials: Callable[[], int],
        random_bytes: Callable[[int], bytes],
        stored: bytes | None = None,
    ) -> None:
        """`keys` are the profile's, by the names under [keys]; `stored` is the working key at hand."""
        self.dialect = Dialect(profile, codec)
        self._codec = codec
        self._mapping = profile.mapping
        self._tells_whose = profile.transport.kind == "queue" or profile.transport.connection == "short"
        self._queue = profile.transport.kind == "queue"
        key = keys.get("mac") if profile.session.keys == "static" else stored
        deliveries = (
            Deliveries(profile.table.delivery, profile.mac, codec, keys["master"])
            if "master" in keys
            else None
        )
        self.session = BankSession(self.dialect, deliveries, serials, random_bytes, [key] if key else [])
        self._pending = Pending()
        self._amounts: dict[Match, str] = {}
        self._bad = 0
        self.unmatched = 0

    # -- what the model and the shells see

    @property
    def ready(self) -> bool:
        """Whether requests can be carried now."""
        return self.session.ready

    @property
    def state(self) -> State:
        """Return where the session stands."""
        return self.session.state

    @property
    def deadline(self) -> int | None:
        """Return when `on_time` is wanted next, on the monotonic clock."""
        return self.session.deadline

    @property
    def bad(self) -> int:
        """Return how many frames could not be read or proved, or brought a wrong key."""
        return self._bad + self.session.bad

    @property
    def serials_max(self) -> int:
        """Return how many serials there are for one business date, 0 for more than anybody needs."""
        return self.dialect.serials_max

    def serial_text(self, number: int, date: int) -> str:
        """Write a serial number as the dialect does."""
        return self.dialect.serial_text(number, date)

    def take_key(self) -> bytes | None:
        """Return a working key that was agreed since the last call, to be stored."""
        return self.session.take_key()

    def offer_key(self, key: bytes) -> None:
        """Use a working key that another process of this bank was given."""
        self.session.offer_key(key)

    def on_connected(self, now: Now) -> list[Outgoing]:
        """The transport is there: begin the session."""
        return self._managed(self.session.on_connected(now))

    def on_closed(self) -> None:
        """The transport is gone."""
        self.session.on_closed()
        self._pending.lose()

    def on_time(self, now: Now) -> list[Outgoing]:
        """Do what is due in the session."""
        return self._managed(self.session.on_time(now))

    def manage(self, name: str, now: Now, date: int = 0) -> tuple[str, list[Outgoing]]:
        """Begin one management message by hand; its serial comes back, for `management_code`.

        `date` is the business date that a notice of cutover tells, 0 for that of `next_date`.

        Raises KeyError for one that the profile has not.
        """
        serial, messages = self.session.manage(name, now, date)
        return serial, self._managed(messages)

    def management_code(self, serial: str) -> str:
        """Return the code that answered a management message begun by hand, empty while there is none."""
        return self.session.management_code(serial)

    def forget(self, tickets: list[int]) -> None:
        """Want no answer for these any more."""
        self._pending.forget(tickets)

    # -- requests

    def carry(self, asks: list[Ask], now: Now) -> list[Outgoing]:
        """Turn requests into signed frames; a repeat is the same message as before, to the second."""
        return [
            Outgoing(self._endpoint(ask), self.frame_of(self.message_of(ask, now)), ask.ticket)
            for ask in asks
        ]

    def message_of(self, ask: Ask, now: Now) -> Message:
        """Return the signed message of one request and remember its match."""
        message = self.dialect.request_message(ask, now)
        self.dialect.sign(message, self.session.key)
        match = self._mapping.match_key(message)
        amount = "" if self._tells_whose else self.dialect.amount_of(message, ask.request.kind)
        if amount:
            self._amounts.pop(match, None)
            self._amounts[match] = amount
            if len(self._amounts) > AMOUNTS_MAX:
                del self._amounts[next(iter(self._amounts))]
        self._pending.add((*match, amount), ask.ticket)
        return message

    def frame_of(self, message: Message) -> bytes:
        """Return a message's bytes, without the transport's own length; raises BankCodecError."""
        return self._codec.encode(message)

    def _endpoint(self, ask: Ask) -> str:
        return CONTROL if self._queue and ask.request.kind in PRIORITY_KINDS else MAIN

    def _managed(self, messages: list[Message]) -> list[Outgoing]:
        """Turn the session's messages into frames, signed where the profile wants them so."""
        profile = self.dialect.profile
        for message in messages:
            unsigned = profile.mac is not None and value_at(message, profile.mac.field) is None
            if unsigned and profile.mac_required(message):
                self.dialect.sign(message, self.session.key)
        return [Outgoing(MAIN, self.frame_of(message)) for message in messages]

    # -- what comes in

    def on_frames(self, items: list[Incoming], now: Now) -> tuple[list[Heard], list[Outgoing]]:
        """Read frames; an empty one is a heartbeat and says nothing."""
        heard: list[Heard] = []
        out: list[Outgoing] = []
        for item in items:
            if not item.frame:
                continue
            try:
                message = self._codec.decode(item.frame)
            except BankCodecError:
                self._bad += 1
                continue
            found, messages = self._read(message, item, now)
            heard += found
            out += self._managed(messages)
        return heard, out

    def _read(self, message: Message, item: Incoming, now: Now) -> tuple[list[Heard], list[Message]]:
        sort = self._mapping.sort_of(message)
        if sort is Sort.MANAGEMENT:
            return [], self.session.on_management(self._mapping.management_of(message), message, now)
        if sort is not Sort.ANSWER:
            self._bad += 1  # our own message came back: no answer, so its outcome is unknown
            return [], []
        match = self._mapping.match_key(message)
        if self.session.waits_for(match):
            return [], self.session.on_answer(match, message, now)
        return self._on_answer(match, message, item, now)

    def _on_answer(
        self, match: Match, message: Message, item: Incoming, now: Now
    ) -> tuple[list[Heard], list[Message]]:
        if not self.dialect.proved(message, item.frame, self.session.keys):
            self._bad += 1  # no answer at all, for us
            return [], []
        taken = self._take(match, message, item.ticket)
        if taken is None:
            self.unmatched += 1
            return [], []
        reply = self._mapping.reply_of(message)
        messages = self.session.on_refused(reply.result, now)
        heard = Heard(
            taken.ticket, reply.code, reply.result, reply.reply.bills, reply.reply.order, taken.sure
        )
        return [heard], messages

    def _take(self, match: Match, message: Message, ticket: int | None) -> Taken | None:
        """Find the request that is answered.

        A document that is sent again is answered again, so the transport's word on whose an answer is comes
        first.  Where the transport is silent, an amount that is repeated tells a recharge from other content
        under its serial; owed and status answers bring an amount that was not asked, refusals may bring none.
        """
        if self._tells_whose:
            return self._pending.take((*match, ""), ticket)
        amount = self.dialect.amount_answered(message)
        taken = self._pending.take((*match, amount)) or self._pending.take((*match, ""))
        if taken is None and not amount:
            taken = self._pending.take((*match, self._amounts.get(match, "")))
            return taken and taken._replace(sure=False)
        return taken


def kinds_of(profile: "Profile") -> set[Kind]:
    """Return what can be asked of this profile."""
    return {Kind[rows.kind.upper()] for rows in profile.table.transactions.values()}
