"""The front-end as a simulated bank sees it, in a few lines: decode, check, ask the tiny core, answer; pure.

Why here: the other end for tests of lines and shells, made of the platform's codec, MAC and mapping, so that
the banks' own codecs are read by somebody else.  It keeps one session and no records, and answers at once.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from frontends.mapping import Sort
from qianzhi.domain.requests import Reply, Request
from qianzhi.domain.results import Result
from qianzhi.runtime.now import Now
from qianzhi.wire.errors import KeyCheckError, MacError, RemoteProtocolError
from qianzhi.wire.keys import Delivered, build_delivery, read_deliveries
from qianzhi.wire.mac import make_mac, verify_mac
from qianzhi.wire.mackey import MacKey
from simulators.tiny_core import TinyCore

if TYPE_CHECKING:
    from frontends.profile import Profile  # it reads files; its shape alone is used here

Message = dict[str, Any]


class ModelFront:
    """One bank's front-end; `key` is the MAC key in use, `next_key` what a key application is given."""

    def __init__(self, profile: "Profile", core: TinyCore, master: bytes, next_key: bytes) -> None:
        self.profile = profile
        self.core = core
        self.key: bytes | None = next_key if profile.session.keys in ("static", "none") else None
        self.next_key = next_key
        self.signed_on = not profile.session.sign_on
        self.asked: list[Request] = []
        self.faults: list[str] = []
        self.answered_codes: list[str] = []  # codes of the bank's answers to our own messages
        self._master = master
        self._serial = 900_000

    def answer(self, frame: bytes, now: Now) -> list[bytes]:
        """Return the frames that one frame is answered with."""
        try:
            message = self.profile.codec.decode(frame)
        except RemoteProtocolError as error:
            self.faults.append(str(error))
            return []
        sort = self.profile.mapping.sort_of(message)
        if sort is Sort.ANSWER:
            self.answered_codes.append(self.profile.mapping.reply_of(message).code)
            return []
        if sort is Sort.MANAGEMENT:
            return [self.profile.codec.encode(answer) for answer in self._manage(message, now)]
        return [self._signed(self._serve(message, frame, now))]

    def begin(self, name: str, now: Now) -> bytes:
        """Return a management message of our own: `echo`, or `key_delivery` of the next key."""
        self._serial += 1
        message = self.profile.mapping.management_message(name, f"{self._serial:06d}", now)
        if name == "key_delivery":
            message = self._delivery(message)
        return self.profile.codec.encode(message)

    def _delivery(self, message: Message) -> Message:
        """Return a message with the next key in it, which is in force from now on."""
        table, codec = self.profile.table.delivery, self.profile.codec
        self.key = self.next_key
        told = [Delivered(self.next_key, "mac")]
        if table.form == "slots" and table.pin_key:
            told.append(Delivered(self.next_key, "pin"))
        return build_delivery(replace(table, mac=self.profile.mac), message, codec, self._master, *told)

    def _manage(self, message: Message, now: Now) -> list[Message]:
        mapping, rules = self.profile.mapping, self.profile.session
        name = mapping.management_of(message)
        answer = mapping.refusal_message(message, Result.APPROVED, now)
        if name == "sign_on":
            self.signed_on = True
        if name == "key_delivery":
            return [self._take_key(message, now)]
        brings = name == "key_request" or (name == "sign_on" and rules.delivery == "answer")
        if not brings or rules.keys != "ours":
            return [answer]
        if rules.delivery == "answer":
            return [self._delivery(answer)]
        self._serial += 1
        return [
            answer,
            self._delivery(mapping.management_message("key_delivery", f"{self._serial:06d}", now)),
        ]

    def _take_key(self, message: Message, now: Now) -> Message:
        """Take a key that the bank has made, if its check value is right."""
        spec = replace(self.profile.table.delivery, mac=self.profile.mac)
        try:
            self.key = read_deliveries(spec, message, self.profile.codec, self._master)[0].key
        except KeyCheckError:
            return self.profile.mapping.refusal_message(message, Result.BAD_MAC, now)
        return self.profile.mapping.refusal_message(message, Result.APPROVED, now)

    def _serve(self, message: Message, frame: bytes, now: Now) -> Message:
        mapping = self.profile.mapping
        if not self.signed_on:
            return mapping.refusal_message(message, Result.NOT_SIGNED_ON, now)
        if not self._proved(message, frame):
            return mapping.refusal_message(message, Result.BAD_MAC, now)
        request = mapping.request_of(message, now)
        if not isinstance(request, Request):
            self.faults.append(f"{request.field}: {request.reason}")
            return mapping.refusal_message(message, request.result, now)
        self.asked.append(request)
        reply: Reply = self.core.execute(request)
        return mapping.reply_message(message, request, reply, now)

    def _proved(self, message: Message, frame: bytes) -> bool:
        if self.key is None or self.profile.mac is None:
            return False
        try:
            verify_mac(self.profile.mac, message, self.profile.codec, [MacKey(self.key)], frame)
        except MacError:
            return False
        return True

    def _signed(self, answer: Message) -> bytes:
        if self.key is not None and self.profile.mac is not None:
            make_mac(self.profile.mac, answer, self.profile.codec, MacKey(self.key))
        return self.profile.codec.encode(answer)
