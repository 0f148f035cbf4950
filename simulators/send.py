"""`qianzhi send`: plays a bank on a connection of its own for one request, and shows both messages.

It signs on and applies for a key as the bank does; a key that this bank was given before is used again.
What it shows is decoded and masked by the platform's own codec, so that it is what an operator would see.
"""

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from frontends.profile import Profile
from qianzhi.domain.dates import as_date, business_date
from qianzhi.domain.requests import Kind, Request
from qianzhi.domain.results import Result
from qianzhi.link.site import entry_of, parse_address
from qianzhi.link.tables import Site
from qianzhi.runtime import clock
from qianzhi.runtime.now import SECOND_US
from simulators.bank_line import BankLine, kinds_of
from simulators.bank_tls import bank_tls
from simulators.books import Books
from simulators.connections import (
    Connection,
    LineGoneError,
    QueueConnection,
    ShortConnections,
    SocketConnection,
)
from simulators.line import Outgoing
from simulators.lines import LineMaker
from simulators.orders import Order, SendError, SendResult
from simulators.record import Ask, Heard
from simulators.state_file import StateFile
from simulators.sums import Day, Sums

__all__ = ["ACTIONS", "LINE_ACTIONS", "Order", "SendError", "SendResult", "management_of", "send"]

TIMEOUT_SECONDS = 15
SERIALS = 12  # enough for signing on, a key, what is owed and a payment, each tried again
CARD = "6222000000000000018"  # a test range's number, shown masked

MONEY_ACTIONS = {
    "owed": Kind.OWED,
    "recharge": Kind.RECHARGE,
    "pay": Kind.PAY,
    "status": Kind.STATUS,
    "reverse": Kind.REVERSAL,
    "void": Kind.VOID,
    "totals": Kind.TOTALS,
}
BOOKED = (Kind.RECHARGE, Kind.PAY, Kind.REVERSAL, Kind.VOID)  # what a bank that compares totals has to count
LINE_ACTIONS = {
    "sign-on": "sign_on",
    "sign-off": "sign_off",
    "echo": "echo",
    "key-exchange": "key_request",
    "cutover-begin": "cutover_begin",
    "cutover": "cutover",
}
ABOUT = (Kind.STATUS, Kind.REVERSAL, Kind.VOID)  # an original, by its serial
ACTIONS = (*MONEY_ACTIONS, *LINE_ACTIONS)


def send(
    site: Site, config: Path, profile: Profile, order: Order, *, timeout_seconds: float = TIMEOUT_SECONDS
) -> SendResult:
    """Send one request as the bank and wait for its answer.

    Raises SendError (nobody listens; not signed on in time; no answer in time, so that the outcome is
    unknown), KeyReferenceError and NoLineError.
    """
    if order.action not in ACTIONS:
        raise SendError(f"unknown action {order.action}: one of {', '.join(ACTIONS)}")
    kind = MONEY_ACTIONS.get(order.action)
    if kind is not None and kind not in kinds_of(profile):
        raise SendError(f"{profile.name} has no {order.action}: its profile knows none")
    state = StateFile(Path(site.data), profile.name)
    if Kind.TOTALS in kinds_of(profile):
        state.books.begin(business_date(clock.now().wall_us, profile.mapping.zone))
    if kind in BOOKED and Kind.TOTALS in kinds_of(profile):
        return _send_booked(site, config, profile, order, timeout_seconds, state)
    return _send(site, config, profile, order, timeout_seconds, state)


def _send_booked(
    site: Site, config: Path, profile: Profile, order: Order, timeout_seconds: float, state: StateFile
) -> SendResult:
    """Send a request and count it in the bank's books; where its outcome is unknown they are, too."""
    date = order.date or business_date(clock.now().wall_us, profile.mapping.zone)
    state.books.open(date)
    certain = False
    try:
        result = _send(site, config, profile, order, timeout_seconds, state)
        certain = result.result is not None and result.result not in (Result.UNKNOWN, Result.IN_PROCESS)
        if result.approved and result.action in ("reverse", "void", "recharge", "pay"):
            day = Day(order.number or profile.numbers[0], date)
            undone = result.action in ("reverse", "void")
            serial = result.key.rpartition("/")[2]
            state.books.note_by_hand(day, serial, result.amount_fen, reversed_now=undone)
        return result
    except SendError as error:
        certain = not error.unknown
        raise
    finally:
        state.books.close([date], {} if certain else None)


def _send(
    site: Site, config: Path, profile: Profile, order: Order, timeout_seconds: float, state: StateFile
) -> SendResult:
    """Make the line and the connection for one request."""
    serials = iter(state.lease(SERIALS))
    maker = LineMaker(profile, config, state, production=site.production)
    line = maker.make(serials.__next__)
    try:
        connection = _connect(site, profile, config)
    except LineGoneError as error:
        raise SendError(str(error)) from error
    talk = Talk(profile, maker, line, connection, timeout_seconds, state.books)
    try:
        if order.action in LINE_ACTIONS:
            return talk.manage(order)
        return talk.ask(order, lambda date: line.serial_text(next(serials), date))
    finally:
        connection.close()


def _connect(site: Site, profile: Profile, config: Path) -> Connection:
    place = site.banks[profile.name]
    if profile.transport.kind == "queue" and profile.engine == "zeromq":
        from twisted.internet import reactor

        return QueueConnection(profile.name, place, reactor)
    if profile.transport.kind == "queue":
        from simulators.broker_lines import BrokerConnection, bank_broker  # loads pika

        return BrokerConnection(bank_broker(site, profile, config))
    host, port = parse_address(entry_of(place))
    shape = ShortConnections if profile.transport.connection == "short" else SocketConnection
    return shape(host, port, profile.frame, bank_tls(site, place.tls, config))


class Talk:
    """One conversation on one connection."""

    def __init__(
        self,
        profile: Profile,
        maker: LineMaker,
        line: BankLine,
        connection: Connection,
        timeout_seconds: float,
        books: Books,
    ) -> None:
        self._profile = profile
        self._maker = maker
        self._line = line
        self._connection = connection
        self._timeout_us = int(timeout_seconds * SECOND_US)
        self._zone = ZoneInfo(str(profile.mapping.zone))
        self._books = books
        self._tickets = 0

    # -- requests about money

    def ask(self, order: Order, new_serial: Any) -> SendResult:
        """Make one request; a payment without a bill asks first what is owed."""
        self._open()
        today = business_date(clock.now().wall_us, self._zone)
        date = order.date or today
        kind = MONEY_ACTIONS[order.action]
        _check(order, kind)
        bill, amount_fen = order.bill, order.amount_fen
        if kind is Kind.PAY and not bill:
            bill, amount_fen = self._oldest_bill(order, new_serial, today)
        own_serial = new_serial(today) if kind in ABOUT else ""
        number = order.number or self._profile.numbers[0]
        known = self._books.sums(Day(number, date)) if kind is Kind.TOTALS else None
        sums = known or Sums()
        request = Request(
            kind=kind,
            space=self._profile.space,
            date=date,
            serial=order.serial or new_serial(today),
            bank=self._profile.name,
            bank_number=number,
            phone=order.phone,
            amount_fen=amount_fen or sums.paid_fen,
            bill=bill,
            repeat=order.repeat,
            own_serial=own_serial,
            count=sums.paid_count,
            reversed_count=sums.reversed_count,
            reversed_fen=sums.reversed_fen,
        )
        result, frame = self._exchange(order.action, request, own_date=not own_serial)
        if kind is Kind.TOTALS:
            said = self._profile.mapping.reply_of(self._profile.codec.decode(frame)).reply
            sums = Sums(said.count, said.amount_fen, said.reversed_count, said.reversed_fen)
            return replace(result, counted=known, answered=sums)
        return result

    def _oldest_bill(self, order: Order, new_serial: Any, today: int) -> tuple[str, int]:
        owed = self.ask(Order("owed", phone=order.phone, number=order.number), new_serial)
        if not owed.bills:
            raise SendError(f"there is no bill to pay: {owed.meaning}")
        bill = owed.bills[0]
        return bill.serial, order.amount_fen or bill.total_fen

    def _exchange(self, action: str, request: Request, *, own_date: bool) -> tuple[SendResult, bytes]:
        """Send the request until it is answered by more than "sign on first" or "wrong MAC"."""
        key = request.key.text
        start_us = clock.now().mono_us
        until_us = start_us + self._timeout_us
        for _ in range(3):
            now = clock.now()
            stamp_us = _stamp_us(request.date, now.wall_us, self._zone) if own_date else now.wall_us
            original_us = _stamp_us(request.date, now.wall_us, self._zone)
            self._tickets += 1
            ask = Ask(self._tickets, request, stamp_us, original_us, card=CARD)
            out = self._line.carry([ask], now)
            self._say(out, key)
            heard, frame = self._wait_for(self._tickets, until_us, key)
            if heard.result not in (Result.NOT_SIGNED_ON, Result.BAD_MAC) or self._line.ready:
                break  # a line that stays ready has nothing to mend
            self._wait_ready(until_us)
        result = SendResult(
            bank=self._profile.name,
            action=action,
            key=key,
            code=heard.code,
            result=heard.result,
            meaning=_meaning(heard.result),
            order=heard.order,
            bills=heard.bills,
            elapsed_us=clock.now().mono_us - start_us,
            amount_fen=request.amount_fen,
            request_rows=self._profile.codec.describe(out[0].frame),
            reply_rows=self._profile.codec.describe(frame),
        )
        return result, frame

    # -- messages about the line

    def manage(self, order: Order) -> SendResult:
        """Send one message about the line and wait for its answer."""
        name = LINE_ACTIONS[order.action]
        if management_of(self._profile, order.action) not in self._profile.table.management:
            raise SendError(f"{self._profile.name} has no {order.action}: its profile knows none")
        if name != "sign_on":
            self._open()
        start_us = clock.now().mono_us
        until_us = start_us + self._timeout_us
        serial, out = self._line.manage(name, clock.now(), order.date)
        self._say(out, "")
        frame = b""
        while not self._line.management_code(serial):
            frame = self._turn(until_us, "")[1] or frame
        code = self._line.management_code(serial)
        result = self._profile.results.result_of(code)
        while name == "key_request" and result is Result.APPROVED and not self._line.session.keyed:
            frame = self._turn(until_us, "")[1] or frame
        return SendResult(
            bank=self._profile.name,
            action=order.action,
            key="",
            code=code,
            result=result,
            meaning=_meaning(result),
            order="",
            bills=(),
            elapsed_us=clock.now().mono_us - start_us,
            amount_fen=0,
            request_rows=self._profile.codec.describe(out[0].frame),
            reply_rows=self._profile.codec.describe(frame),
        )

    # -- the line

    def _open(self) -> None:
        if not self._line.ready:
            self._say(self._line.on_connected(clock.now()), "")
            self._wait_ready(clock.now().mono_us + self._timeout_us)

    def _wait_ready(self, until_us: int) -> None:
        while not self._line.ready:
            self._turn(until_us, "", f"{self._profile.name} could not open its session")

    def _wait_for(self, ticket: int, until_us: int, key: str) -> tuple[Heard, bytes]:
        while True:
            heard, frame = self._turn(until_us, key)
            for item in heard:
                if item.ticket == ticket:
                    return item, frame

    def _turn(self, until_us: int, key: str, what: str = "") -> tuple[list[Heard], bytes]:
        """Wait for the next frames and let the line take them; raises SendError when time is up."""
        now = clock.now()
        if now.mono_us >= until_us:
            raise self._no_answer(key, what)
        self._say(self._line.on_time(now), key)
        try:
            items = self._connection.receive(min(1.0, (until_us - now.mono_us) / SECOND_US))
        except LineGoneError as error:
            raise SendError(self._gone(str(error), key), unknown=bool(key), key=key) from error
        heard, out = self._line.on_frames(items, clock.now())
        self._maker.keep_key(self._line)
        if not items:
            self._maker.offer_stored(self._line)
        self._say(out, key)
        return heard, items[-1].frame if items else b""

    def _say(self, out: list[Outgoing], key: str) -> None:
        if not out:
            return
        try:
            self._connection.send(out)
        except LineGoneError as error:
            raise SendError(self._gone(str(error), key), unknown=bool(key), key=key) from error

    def _no_answer(self, key: str, what: str) -> SendError:
        seconds = self._timeout_us // SECOND_US
        if key:
            return SendError(self._gone(f"no answer in {seconds} s", key), unknown=True, key=key)
        refusal = self._line.session.refusal
        why = f"; the last answer was {refusal}" if refusal else ""
        return SendError(f"{what or 'no answer'} in {seconds} s{why}")

    def _gone(self, text: str, key: str) -> str:
        serial = key.rpartition("/")[2]
        hint = (
            f": the outcome is unknown, ask with `qianzhi send {self._profile.name} status --serial {serial}`"
        )
        return text + (hint if key else "")


def management_of(profile: Profile, action: str) -> str:
    """Return the name under [management] of a message about the line, empty for what is none.

    Where the bank makes the keys, exchanging one is delivering one.
    """
    name = LINE_ACTIONS.get(action, "")
    return "key_delivery" if name == "key_request" and profile.session.keys == "theirs" else name


def _check(order: Order, kind: Kind) -> None:
    """Raise SendError for what the action cannot do without."""
    if kind in ABOUT and not order.serial:
        raise SendError(f"{order.action} needs --serial, the serial of the original")
    if kind in (Kind.OWED, Kind.RECHARGE, Kind.PAY) and not order.phone:
        raise SendError(f"{order.action} needs --phone")


def _stamp_us(date: int, wall_us: int, zone: ZoneInfo) -> int:
    """Return the instant now, moved to another business date where one was asked for."""
    if date == business_date(wall_us, zone):
        return wall_us
    return int(datetime.combine(as_date(date), datetime.min.time(), zone).timestamp()) * SECOND_US


def _meaning(result: Result | None) -> str:
    return (
        "a code that the profile does not know" if result is None else result.name.lower().replace("_", " ")
    )
