"""A bank's end of a CUPS line: sign-on, working keys, echo, and transactions with their MACs; pure.

    closed ─▶ signing on (0820/001) ─▶ keying (0820/101, then 0800/101 from the switch) ─▶ ready
                                    └────────────── a stored key is at hand ──────────────▶ ready
    answered "not signed on" ─▶ signing on again;  answered "wrong MAC" ─▶ keying again

A key is proved by its MAC and check value before it is used; the one before it still verifies answers.
`take_key` hands a new key to the shell, which stores it before the answer to its delivery goes out.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Any

from frontends.mapping import Mapping
from qianzhi.domain.dates import local_datetime
from qianzhi.domain.requests import MONEY_KINDS, PRIORITY_KINDS
from qianzhi.domain.results import Result
from qianzhi.runtime.now import SECOND_US, Now
from simulators.cups_codec import BankCodecError, CupsCodec
from simulators.cups_mac import is_delivered, is_signed, sign, sign_delivery_answer
from simulators.des import unwrap
from simulators.line import MAIN, Incoming, Outgoing
from simulators.pending import Pending, Taken
from simulators.record import Ask, Heard

Message = dict[str, Any]

ANSWER_US = 5 * SECOND_US  # patience for the switch's answers to management messages
SERIALS = 699_999  # 1 to 699999 are the simulator's; those above are left to clients by hand
MAC_PURPOSE = "2"  # first digit of the security control; 1 is a PIN key's


class State(StrEnum):
    """Where the session stands."""

    CLOSED = "closed"
    SIGNING_ON = "signing on"
    KEYING = "keying"
    READY = "ready"


class CupsLine:
    """One connection of one bank; `serials` are shared with the bank's model."""

    def __init__(
        self, codec: CupsCodec, mapping: Mapping, master: bytes, serials: Callable[[], int], key: bytes | None
    ) -> None:
        self._codec = codec
        self._mapping = mapping
        self._master = master
        self._serials = serials
        self._keys: list[bytes] = [key] if key else []  # current first, then the one before
        self._pending = Pending()
        self._wait_us: int | None = None
        self._new_key: bytes | None = None
        self._management: dict[str, str] = {}  # serial of a management message by hand -> code of its answer
        self.state = State.CLOSED
        self.bad = 0
        self.unmatched = 0
        self.keyed = False  # whether a key was delivered on this line
        self.refusal = ""  # the last code with which the switch refused to open the session

    @property
    def ready(self) -> bool:
        """Whether requests can be carried now."""
        return self.state is State.READY

    @property
    def deadline(self) -> int | None:
        """Return when the session runs out of patience."""
        return self._wait_us

    @property
    def serials_max(self) -> int:
        """Return how many serials there are for one business date, 0 for more than anybody needs."""
        return SERIALS

    def serial_text(self, number: int, _: int) -> str:
        """Write a STAN."""
        return f"{number % SERIALS + 1:06d}"

    def take_key(self) -> bytes | None:
        """Return a key that was delivered since the last call, to be stored."""
        key, self._new_key = self._new_key, None
        return key

    def offer_key(self, key: bytes) -> None:
        """Use a key that another process of this bank was given."""
        if key not in self._keys:
            self._keys = [key, *self._keys[:1]]

    # -- session

    def on_connected(self, now: Now) -> list[Outgoing]:
        """Sign on, as every new connection begins."""
        return self._sign_on(now)

    def on_closed(self) -> None:
        """Forget the session, not the keys."""
        self.state, self._wait_us = State.CLOSED, None
        self._pending.lose()

    def on_time(self, now: Now) -> list[Outgoing]:
        """Repeat what the switch has not answered."""
        if self._wait_us is None or now.mono_us < self._wait_us:
            return []
        return self._sign_on(now) if self.state is State.SIGNING_ON else self._apply(now)

    def manage(self, name: str, now: Now) -> tuple[str, list[Outgoing]]:
        """Begin one management message by hand; its serial comes back, for `management_code`."""
        serial = self.serial_text(self._serials(), 0)
        self._management[serial] = ""
        message = self._mapping.management_message(name, serial, now, ours=False)
        return serial, [self._out(message)]

    def management_code(self, serial: str) -> str:
        """Return the code that answered a management message begun by hand, empty while there is none."""
        return self._management.get(serial, "")

    def _sign_on(self, now: Now) -> list[Outgoing]:
        self.state = State.SIGNING_ON
        return self._begin("sign_on", now)

    def _apply(self, now: Now) -> list[Outgoing]:
        self.state = State.KEYING
        return self._begin("key_request", now)

    def _begin(self, name: str, now: Now) -> list[Outgoing]:
        self._wait_us = now.mono_us + ANSWER_US
        serial = self.serial_text(self._serials(), 0)
        return [self._out(self._mapping.management_message(name, serial, now, ours=False))]

    def _open(self) -> None:
        self.state, self._wait_us = State.READY, None

    # -- requests

    def carry(self, asks: list[Ask], now: Now) -> list[Outgoing]:
        """Turn requests into signed frames; a repeat is the same message as before, to the second."""
        return [self._out(self.message_of(ask, now))._replace(ticket=ask.ticket) for ask in asks]

    def message_of(self, ask: Ask, now: Now) -> Message:
        """Return the signed message of one request and remember its match."""
        stamp = Now(now.mono_us, ask.stamp_us)
        message = self._mapping.request_message(ask.request, stamp, {"pan": ask.card} if ask.card else None)
        if ask.request.kind in PRIORITY_KINDS:
            self._quote_original(message, ask)
        if self._keys:
            sign(message, self._codec, self._keys[0])
        amount = str(message["amount"]) if ask.request.kind in MONEY_KINDS else ""
        self._pending.add((*self._mapping.match_key(message), amount), ask.ticket)
        return message

    def _quote_original(self, message: Message, ask: Ask) -> None:
        original = message.setdefault("original", {})
        local = local_datetime(ask.original_us, self._mapping.zone)
        original["transmission_time"] = f"{local:%m%d%H%M%S}"
        original.setdefault("mti", "0200")
        for name in ("acquirer", "forwarder"):
            original[name] = str(message.get(name, "")).rjust(11, "0")

    def _out(self, message: Message) -> Outgoing:
        return Outgoing(MAIN, self._codec.encode(message))

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
                self.bad += 1
                continue
            if str(message["mti"])[1] == "8":
                out += self._on_management(message, now)
            else:
                heard += self._on_answer(message, now, out)
        return heard, out

    def forget(self, tickets: list[int]) -> None:
        """Want no answer for these any more."""
        self._pending.forget(tickets)

    def _on_answer(self, message: Message, now: Now, out: list[Outgoing]) -> list[Heard]:
        if message["header"]["reject_code"] != "00000":
            self.bad += 1  # our own message came back: no answer, so its outcome is unknown
            return []
        if self._needs_mac(message) and not self._is_proved(message):
            self.bad += 1  # no answer at all, for us
            return []
        reply = self._mapping.reply_of(message)
        taken = self._take(reply.match, message)
        if taken is None:
            self.unmatched += 1
            return []
        if self.ready and reply.result is Result.NOT_SIGNED_ON:
            out += self._sign_on(now)
        elif self.ready and reply.result is Result.BAD_MAC:
            out += self._apply(now)
        return [
            Heard(taken.ticket, reply.code, reply.result, reply.reply.bills, reply.reply.order, taken.sure)
        ]

    def _take(self, match: tuple[str, ...], message: Message) -> Taken | None:
        """Find the request that is answered; the echoed amount tells a recharge from other content under its
        serial, while owed and status answers bring an amount that was not asked.
        """
        amount = str(message.get("amount", ""))
        return self._pending.take((*match, amount)) or self._pending.take((*match, ""))

    def _needs_mac(self, message: Message) -> bool:
        """Tell whether an answer counts only with a right MAC.

        The two refusals at the door do without: they may come because we share no key, and settle nothing.
        """
        result = self._mapping.results.result_of(str(message.get("response_code", "")))
        return result not in (Result.NOT_SIGNED_ON, Result.BAD_MAC)

    def _is_proved(self, message: Message) -> bool:
        return any(is_signed(message, self._codec, key) for key in self._keys)

    def _on_management(self, message: Message, now: Now) -> list[Outgoing]:
        mti, code = str(message["mti"]), str(message.get("network_code", ""))
        if mti == "0800" and code == "101":
            return self._on_delivery(message)
        if mti == "0820":
            return [self._answer(message, "00")]
        if mti == "0830":
            return self._on_management_answer(message, code, now)
        self.bad += 1
        return []

    def _on_management_answer(self, message: Message, code: str, now: Now) -> list[Outgoing]:
        serial, answer = str(message.get("stan", "")), str(message.get("response_code", ""))
        if serial in self._management:
            self._management[serial] = answer
            return []
        if answer != "00":
            self.refusal = answer
            return []  # patience runs out, and it is tried again
        if self.state is State.SIGNING_ON and code == "001":
            if self._keys:
                self._open()
                return []
            return self._apply(now)
        return []

    def _on_delivery(self, message: Message) -> list[Outgoing]:
        key = self._delivered_key(message)
        if key is None or not is_delivered(message, self._codec, key):
            self.bad += 1
            return [self._answer(message, "A7")]
        answer = self._answer_message(message, "00")
        sign_delivery_answer(answer, self._codec, key)
        if str(message.get("security", ""))[:1] != MAC_PURPOSE:
            return [self._out(answer)]  # a PIN key: right, and of no use to this bank
        self.offer_key(key)
        self._new_key = key
        self.keyed = True
        if self.state is State.KEYING:
            self._open()
        return [self._out(answer)]

    def _delivered_key(self, message: Message) -> bytes | None:
        """Find the key: double-length ones have a tag of their own, single-length ones the key field."""
        wrapped = message.get("key_data")
        private = message.get("private")
        if isinstance(private, dict) and "NK" in private:
            wrapped = private["NK"]["key"]
        if not isinstance(wrapped, bytes) or len(wrapped) not in (8, 16):
            return None
        return unwrap(self._master, wrapped)

    def _answer(self, message: Message, code: str) -> Outgoing:
        return self._out(self._answer_message(message, code))

    def _answer_message(self, message: Message, code: str) -> Message:
        """Answer a management message: header turned round, its own fields back, and our code."""
        header = dict(message["header"])
        header["destination"], header["source"] = header["source"], header["destination"]
        answer: Message = {"header": header, "response_code": code}
        answer["mti"] = f"{int(message['mti']) + 10:04d}"
        for name in ("transmission_time", "stan", "forwarder", "security", "network_code", "receiver"):
            if message.get(name) is not None:
                answer[name] = message[name]
        return answer
