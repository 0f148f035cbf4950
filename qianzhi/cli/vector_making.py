"""Good vectors of a bank: every message of its dialect once, at one instant and under printed test keys.

    what the bank sends    written by the simulators' codec and MACs, which share nothing with `wire`
    what the platform says written by the platform's own

Each is read back by both.  Nothing here is random and no clock is read: the same profile gives the same
bytes.
"""

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from qianzhi.cli.new_bank import test_key
from qianzhi.cli.sample_requests import NOW, main_of, message_of, reply_of, request_of, serial_of
from qianzhi.domain.requests import Kind, Request
from qianzhi.domain.results import Result
from qianzhi.wire.framing import frame
from qianzhi.wire.keys import Delivered, build_delivery, sign_answer
from qianzhi.wire.mac import KEY_BYTES, make_mac
from qianzhi.wire.mackey import MacKey
from simulators.codecs import bank_codec
from simulators.deliveries import Deliveries
from simulators.macs import sign

if TYPE_CHECKING:
    from frontends.profile import Profile

Message = dict[str, Any]

LINE = 901  # where the serials of messages about the line begin
REFUSALS = {
    Kind.OWED: (Result.NOTHING_OWED, Result.NO_SUCH_PHONE),
    Kind.RECHARGE: (Result.NO_SUCH_PHONE, Result.DUPLICATE_SERIAL, Result.UNKNOWN),
    Kind.PAY: (Result.BILL_CHANGED, Result.BILL_PAID),
    Kind.STATUS: (Result.NOT_FOUND, Result.IN_PROCESS),
    Kind.REVERSAL: (Result.ORIGINAL_REFUSED, Result.AMOUNT_DIFFERS),
    Kind.VOID: (Result.SPENT, Result.ORIGINAL_REFUSED),
    Kind.TOTALS: (Result.TOTALS_DIFFER,),
}


class Vector(NamedTuple):
    """One message: who sends it (`in` to the platform, `out` of it), its body and what it is."""

    name: str
    direction: str
    what: str
    body: bytes
    mac_key: bytes = b""
    note: str = ""


class Bench:
    """One bank's dialect with both its codecs and the test keys of its vectors."""

    def __init__(self, profile: "Profile") -> None:
        self.profile = profile
        self.bank = bank_codec(profile.spec)
        self.mac_key = test_key("vectors", "mac", mac_key_bytes(profile)) if profile.mac else b""
        self.new_key = test_key("vectors", "new", len(self.mac_key))
        self.master = test_key("vectors", "master", 16)
        spec = replace(profile.table.delivery, mac=profile.mac)
        self.delivery = spec
        self.deliveries = Deliveries(profile.table.delivery, profile.mac, self.bank, self.master)

    def signs(self, message: Message) -> bool:
        """Tell whether such a message carries a MAC."""
        return self.profile.mac is not None and self.profile.mac_required(message)

    def by_bank(self, message: Message) -> bytes:
        """Return a message as the bank writes it, with its MAC; raises BankCodecError."""
        message = copy.deepcopy(message)
        if self.profile.mac is not None and self.signs(message):
            sign(self.profile.mac, message, self.bank, self.mac_key)
        return self.bank.encode(message)

    def by_us(self, message: Message) -> bytes:
        """Return a message as the platform writes it, with its MAC; raises EncodeError."""
        message = copy.deepcopy(message)
        if self.profile.mac is not None and self.signs(message):
            make_mac(self.profile.mac, message, self.profile.codec, MacKey(self.mac_key))
        return self.profile.codec.encode(message)

    def wire(self, body: bytes) -> bytes:
        """Return a body as it goes over the line."""
        return frame(self.profile.frame, body)

    def vector(self, name: str, direction: str, what: str, message: Message, note: str = "") -> Vector:
        """Return the vector of a message, written by whoever sends it."""
        body = self.by_bank(message) if direction == "in" else self.by_us(message)
        return Vector(name, direction, what, body, self.mac_key if self.signs(message) else b"", note)


def mac_key_bytes(profile: "Profile") -> int:
    """Return how long this bank's MAC key is: as its session makes it, or as its reference shows."""
    allowed = sorted(KEY_BYTES[profile.mac.algorithm]) if profile.mac else [16]
    if profile.session.keys in ("ours", "theirs"):
        return profile.session.key_bytes
    kind, _, material = profile.keys.mac.partition(":")
    stated = len(material) // 2 if kind == "test" else 0
    return stated if stated in allowed else allowed[-1]


# Requests and their answers


def requests(bench: Bench) -> Iterator[tuple[Vector, Request, Message]]:
    """Yield each transaction as the bank asks for it, for each of its numbers, and once as a repeat."""
    table = bench.profile.table
    for name, rows in table.transactions.items():
        numbers = rows.numbers or bench.profile.numbers
        for number in numbers:
            request = request_of(bench.profile, name, number)
            message = message_of(bench.profile, name, request)
            title = name if number == numbers[0] else f"{name}_{number}"
            yield bench.vector(title, "in", f"transactions.{name}", message), request, message
    taken = {**table.request.take, **table.transactions[main_of(bench.profile)].take}
    if "repeat" in taken:
        name = main_of(bench.profile)
        request = request_of(bench.profile, name, repeat=True)
        message = message_of(bench.profile, name, request)
        yield bench.vector(f"{name}_repeat", "in", f"transactions.{name}", message), request, message


def answers(bench: Bench) -> Iterator[Vector]:
    """Yield the platform's answers to each transaction: the approval, and refusals of its kind."""
    for vector, request, _ in list(requests(bench)):
        asked = bench.profile.codec.decode(vector.body)
        for result in (Result.APPROVED, *REFUSALS[request.kind]):
            if result is Result.UNKNOWN and bench.profile.table.results.on_unknown == "silence":
                continue
            reply = reply_of(request, result)
            message = bench.profile.mapping.reply_message(asked, request, reply, NOW)
            yield bench.vector(f"{vector.name}.{result.name.lower()}", "out", vector.what, message)


# Messages about the line


def management(bench: Bench) -> Iterator[Vector]:
    """Yield sign-on, echo and keys: what each side begins, and the other's answer."""
    for at, (name, rows) in enumerate(bench.profile.table.management.items()):
        serial = serial_of(bench.profile.table.request.serial, LINE + at)
        if name == "key_delivery":
            yield from deliveries(bench, serial)
            continue
        what = f"management.{name}"
        message = bench.profile.mapping.management_message(name, serial, NOW, ours=False)
        asked = bench.vector(name, "in", what, message)
        yield asked
        yield answer_of_ours(bench, asked, name)
        if rows.ours:
            message = bench.profile.mapping.management_message(name, serial, NOW)
            asked = bench.vector(f"our_{name}", "out", what, message)
            yield asked
            answer = bench.profile.mapping.refusal_message(
                bench.bank.decode(asked.body), Result.APPROVED, NOW
            )
            yield bench.vector(f"our_{name}.answer", "in", what, answer)


def answer_of_ours(bench: Bench, asked: Vector, name: str) -> Vector:
    """Return the platform's answer; of a session that delivers keys in answers, with new keys in it."""
    rules = bench.profile.session
    answer = bench.profile.mapping.refusal_message(
        bench.profile.codec.decode(asked.body), Result.APPROVED, NOW
    )
    if rules.keys == "ours" and rules.delivery == "answer" and name in ("sign_on", "key_request"):
        answer = build_delivery(bench.delivery, answer, bench.profile.codec, bench.master, *told(bench))
    return bench.vector(f"{name}.answer", "out", asked.what, answer)


def told(bench: Bench) -> list[Delivered]:
    """Return the keys that a delivery brings."""
    found = [Delivered(bench.new_key, "mac")]
    return [*found, Delivered(bench.new_key, "pin")] if bench.delivery.pin_key else found


def deliveries(bench: Bench, serial: str) -> Iterator[Vector]:
    """Yield the message that delivers a key, and its answer; both are proved by the new key."""
    what, codec, mapping = "management.key_delivery", bench.profile.codec, bench.profile.mapping
    ours = bench.profile.session.keys == "ours"
    message = mapping.management_message("key_delivery", serial, NOW, ours=ours)
    if ours:
        message = build_delivery(bench.delivery, message, codec, bench.master, *told(bench))
        body = codec.encode(message)
    else:
        bench.deliveries.write(message, bench.new_key)
        body = bench.by_bank(message)
    key = bench.mac_key if bench.signs(message) else b""
    yield Vector("key_delivery", "out" if ours else "in", what, body, key, "the key is wrapped")
    answer = mapping.refusal_message((bench.bank if ours else codec).decode(body), Result.APPROVED, NOW)
    if ours:
        bench.deliveries.sign_answer(answer, bench.new_key)
        yield Vector("key_delivery.answer", "in", what, bench.bank.encode(answer))
    else:
        sign_answer(bench.delivery, answer, codec, bench.new_key)
        yield bench.vector("key_delivery.answer", "out", what, answer)
