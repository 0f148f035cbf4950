"""Sample messages: every message of a dialect once, asked by the bank's side and answered by the front-
end's core.

The core is the one that the daemon runs, under printed test keys, at one instant, with the house played by
a table: what stands in the document is what goes over the line, to the last byte.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from frontends.front import TO_BANK, Frame
from frontends.front_core import make_processor
from frontends.mapping_rows import putter
from frontends.session_rows import NOTHING_SAVED
from qianzhi.cli.document.page import Both
from qianzhi.cli.document.testkeys import printed_keys
from qianzhi.cli.sample_requests import NOW, TODAY, message_of, serial_of
from qianzhi.domain.requests import Bill, Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.link.events import Hello
from qianzhi.link.hop import Hop, HopLimits
from qianzhi.link.messages import Answer, Envelope, Status
from qianzhi.runtime.effects import Effects, Send, Store
from qianzhi.wire.codec import get_path
from qianzhi.wire.framing import frame
from qianzhi.wire.mac import make_mac
from qianzhi.wire.mackey import MacKey

if TYPE_CHECKING:
    from frontends.profile import Profile

NODE = "node"
PHONE = "13800000001"
ORDER = "202611220001"
BILLS = (Bill("20260900000000000001", 202609, 3000, 15), Bill("20261000000000000002", 202610, 5000, 0))
AMOUNT_FEN = 5000
COUNT = 7
BALANCE_FEN = 12345
CUSTOMER = "张三"
REFUSED_FROM = 51  # number of the first request that is refused
BARE_FROM = 91  # and of the first whose MAC is wrong


@dataclass(frozen=True)
class Sample:
    """One message as it goes over the line.

    `name` is that of its transaction or management message, `part` says which message of it; `ours` tells
    that the platform sends it; `key` is the MAC key of the moment, empty where none is in force.
    """

    name: str
    part: str
    title: Both
    ours: bool
    body: bytes
    wire: bytes
    message: dict[str, Any]
    key: bytes = b""

    @property
    def anchor(self) -> str:
        """Return the name under which other places of the document speak of it."""
        return f"{self.name}.{self.part}"


PARTS = {
    "request": Both("request", "请求"),
    "answer": Both("answer", "应答"),
    "approved": Both("approved answer", "成功应答"),
    "refusal": Both("refusal", "拒绝应答"),
    "bare": Both("bare refusal, of a request with a wrong MAC", "简单拒绝应答（请求的 MAC 错误）"),
}


class House:
    """The front-end's core of one profile on a bench, with a bank and a house that the document plays."""

    def __init__(self, profile: "Profile") -> None:
        self.profile = profile
        self.keys = printed_keys(profile)
        self.mac_key = self.keys.get("mac", b"")
        self.samples: list[Sample] = []
        self._hop = Hop(HopLimits(), [NODE])
        self._core = make_processor(profile, self.keys, NOTHING_SAVED, self._hop, "front", NOW)
        self._random = self._asked = 0
        self._heard: list[bytes] = []
        self._reply = Reply(Result.APPROVED)
        self._run(self._core.on_peer_up(NODE, Hello(NODE, "node"), NOW))
        self._run(self._core.on_connected(1, "bank", NOW))
        self._top_up()

    def ask(self, body: bytes, reply: Reply | None = None) -> list[bytes]:
        """Return what the platform sends when this body comes in; the house says `reply` to what it is
        asked.
        """
        self._reply = reply or self._reply
        self._run(self._core.on_frames([Frame(1, body)], NOW))
        heard, self._heard = self._heard, []
        return heard

    def send_out(self, request: Request) -> list[bytes]:
        """Return what the platform sends when a node asks the bank for this."""
        self._asked += 1
        body = msgspec.msgpack.encode(request)
        to, kind, key = self.profile.name, int(request.kind), request.key.text
        envelope = Envelope(self._asked, 1, to, kind, 0, 1_000, 1, "", body, key)
        self._run(self._core.on_requests(NODE, [envelope], NOW))
        heard, self._heard = self._heard, []
        return heard

    def note(self, name: str, part: str, title: Both, body: bytes, *, ours: bool) -> Sample:
        """Keep a message as a sample."""
        profile = self.profile
        sample = Sample(
            name,
            part,
            title,
            ours,
            body,
            frame(profile.frame, body),
            profile.codec.decode(body),
            self.mac_key,
        )
        self.samples.append(sample)
        return sample

    def signed(self, message: dict[str, Any]) -> bytes:
        """Return the bank's message with the MAC that it needs, as bytes."""
        profile = self.profile
        if profile.mac is not None and self.mac_key and profile.mac_required(message):
            make_mac(profile.mac, message, profile.codec, MacKey(self.mac_key))
        return profile.codec.encode(message)

    def _run(self, effects: Effects) -> None:
        for effect in effects:
            if isinstance(effect, Store):
                self._top_up()
                self._run(self._core.on_stored(effect.token, NOW))
            elif isinstance(effect, Send) and effect.to == TO_BANK:
                self._heard += [body for _, body in effect.items]
            elif isinstance(effect, Send) and isinstance(effect.to, tuple):
                for envelope in effect.items:
                    if not isinstance(envelope, Envelope):
                        continue  # word on the line, for a house with nodes
                    answer = Answer(envelope.id, Status.OK, msgspec.msgpack.encode(self._reply))
                    self._run(self._core.on_answers(NODE, [answer], NOW))

    def _top_up(self) -> None:
        """Give the core numbers in place of random ones, so that its keys are the same in every document."""
        wanted = self._core.random_wanted
        self._core.add_random(bytes((self._random + at) * 73 % 251 for at in range(wanted)))
        self._random += wanted


def money_samples(house: House) -> None:
    """Ask and answer every transaction: once approved, and once refused where that is of use."""
    for at, (name, rows) in enumerate(house.profile.table.transactions.items()):
        title = TITLES[Kind[rows.kind.upper()]]
        request = request_of(house.profile, name, at + 1)
        body = house.signed(message_of(house.profile, name, request))
        house.note(name, "request", title, body, ours=False)
        for part, reply in (("approved", approved(request)), ("refusal", refused(request))):
            if part == "refusal":
                request = request_of(house.profile, name, at + REFUSED_FROM)
                body = house.signed(message_of(house.profile, name, request))
            for answer in house.ask(body, reply):
                house.note(name, part, title, answer, ours=True)
        if Kind[rows.kind.upper()] is Kind.RECHARGE:
            _bare_refusal(house, name, title, at + BARE_FROM)


def _bare_refusal(house: House, name: str, title: Both, number: int) -> None:
    """Show what a refusal looks like that comes before the request is understood: its MAC is wrong."""
    mac = house.profile.mac
    if mac is None:
        return
    message = message_of(house.profile, name, request_of(house.profile, name, number))
    house.signed(message)
    right = get_path(message, mac.field)
    if right is None:
        return
    wrong = bytes([right[0] ^ 1]) + right[1:] if isinstance(right, bytes) else _other(str(right))
    putter(mac.field)(message, wrong)
    for answer in house.ask(house.profile.codec.encode(message)):
        house.note(name, "bare", title, answer, ours=True)


def _other(text: str) -> str:
    return ("1" if text[0] == "0" else "0") + text[1:]


TITLES = {
    Kind.OWED: Both("Query of what is owed", "欠费查询"),
    Kind.RECHARGE: Both("Recharge", "充值"),
    Kind.PAY: Both("Payment of one bill", "缴费"),
    Kind.STATUS: Both("Status query", "状态查询"),
    Kind.REVERSAL: Both("Reversal", "冲正"),
    Kind.VOID: Both("Cancellation", "撤销"),
    Kind.TOTALS: Both("Totals of a day", "日终总额核对"),
}
REFUSALS = {
    Kind.OWED: Result.NO_SUCH_PHONE,
    Kind.RECHARGE: Result.NO_SUCH_PHONE,
    Kind.PAY: Result.BILL_CHANGED,
    Kind.STATUS: Result.NOT_FOUND,
    Kind.REVERSAL: Result.ORIGINAL_REFUSED,
    Kind.VOID: Result.SPENT,
    Kind.TOTALS: Result.TOTALS_DIFFER,
}


def request_of(profile: "Profile", name: str, number: int) -> Request:
    """Return the request that a sample of this transaction asks for; the numbers keep serials apart."""
    rows = profile.table.transactions[name]
    taken = {**profile.table.request.take, **rows.take}
    bank_number = (rows.numbers or profile.numbers)[0]
    kind = Kind[rows.kind.upper()]
    original = next(
        (at for at, row in enumerate(profile.table.transactions.values(), 1) if row.kind == "recharge"), 1
    )
    about = kind in (Kind.STATUS, Kind.REVERSAL, Kind.VOID)
    values: dict[str, Any] = {
        "phone": PHONE,
        "bill": BILLS[1].serial,
        "bank_number": bank_number,
        "amount_fen": AMOUNT_FEN,
        "own_serial": serial_of(taken.get("own_serial", ""), number),
        "count": COUNT,
        "reversed_count": 1,
        "reversed_fen": AMOUNT_FEN,
    }
    if kind is Kind.TOTALS:
        values["amount_fen"] = COUNT * AMOUNT_FEN
    return Request(
        kind,
        profile.space,
        TODAY,
        serial_of(taken["serial"], original if about and number < REFUSED_FROM else number),
        profile.name,
        **{"bank_number": bank_number, **{key: values[key] for key in values if key in taken}},
    )


def approved(request: Request) -> Reply:
    """Return what the house says to a request that it approves."""
    reply = Reply(
        Result.APPROVED, order=ORDER, amount_fen=request.amount_fen or AMOUNT_FEN, balance_fen=BALANCE_FEN
    )
    if request.kind is Kind.OWED:
        total_fen = sum(bill.total_fen for bill in BILLS)
        return msgspec.structs.replace(reply, order="", amount_fen=total_fen, bills=BILLS, name=CUSTOMER)
    if request.kind is Kind.TOTALS:
        return _totals(request, Result.APPROVED)
    return reply


def refused(request: Request) -> Reply:
    """Return what the house says to a request that it does not approve."""
    if request.kind is Kind.TOTALS:
        short = msgspec.structs.replace(
            request, count=request.count - 1, amount_fen=request.amount_fen - AMOUNT_FEN
        )
        return _totals(short, Result.TOTALS_DIFFER)
    return Reply(REFUSALS[request.kind])


def _totals(request: Request, result: Result) -> Reply:
    return Reply(
        result,
        amount_fen=request.amount_fen,
        count=request.count,
        reversed_count=request.reversed_count,
        reversed_fen=request.reversed_fen,
    )


def find(samples: Iterable[Sample], name: str, part: str) -> Sample | None:
    """Return the sample of this name and part."""
    return next((one for one in samples if (one.name, one.part) == (name, part)), None)
