"""Between our requests and a bank's messages in the outward direction, for both ends, driven by a profile.

    front-end:     message_of → … → reply_of, late_of
    network's side: `mapping.request_of` → … → `mapping.reply_message`         (simulators)

Pure, like `mapping`, of which it is a second one with the two ends changed over.
"""

from dataclasses import replace
from datetime import tzinfo
from typing import Any, NamedTuple

import msgspec

from frontends.mapping import Content, Mapping
from frontends.mapping_parts import Transaction
from frontends.mapping_rows import Matcher, Message, Row, SerialRow, matcher_of, split_row, values_of
from frontends.mapping_tables import MappingTables
from frontends.outward_tables import OutwardTable, as_transaction
from frontends.results import NAMES, Results
from frontends.transforms import SECOND_US, FieldError, moment_of_second
from qianzhi.domain.requests import Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.link.events import OutwardTerms
from qianzhi.runtime.now import Now

NOT_OVER = frozenset({Result.DUPLICATE_SERIAL, Result.BAD_MAC, Result.NOT_SIGNED_ON})


class Late(NamedTuple):
    """What an answer says by itself, without the message that it answers."""

    space: str
    date: int
    serial: str
    phone: str
    amount_fen: int


class OutwardMapping:
    """The compiled table [outward] of one profile; holds nothing of any message."""

    def __init__(
        self, rows: OutwardTable, tables: MappingTables, content: Content, results: Results, zone: tzinfo
    ) -> None:
        """Compile tables that have been checked (`outward_checks`); `tables` are the line's.

        `content` has the bank's numbers and, as its space, that of our serials there.
        """
        self.zone = zone
        self.terms = _terms_of(rows, tables, content)
        self.in_flight = rows.in_flight
        self.mapping = Mapping(outward_tables(rows, tables), content, results, zone)
        self._reasons = rows.reasons
        self._codes = {code: NAMES[name] for code, name in rows.codes.items() if name in NAMES}
        self._again: dict[Kind, dict[str, str]] = {
            Kind[each.kind.upper()]: each.again for each in rows.transactions.values()
        }
        self._kinds = frozenset(self._again)
        self._answered = {
            Kind[each.kind.upper()]: matcher_of(each.answered) for each in rows.transactions.values()
        }
        self._space = content.space
        self._charge = _Echoed(rows, tables)

    def knows(self, kind: int) -> bool:
        """Tell whether this bank may be asked for that."""
        return kind in self._kinds

    def answers(self, request: Request, message: Message) -> bool:
        """Tell whether an answer is one to this kind of request."""
        return self._answered[request.kind].fits(message)

    def message_of(self, request: Request) -> Message:
        """Return our message, with the request's `received_us` as its time; raises LookupError, ValueError.

        The same request gives the same message, whenever it is written.
        """
        if request.reason:
            request = msgspec.structs.replace(request, reason=self._reasons.get(request.reason, ""))
        extra: dict[str, Any] | None = dict(self._again[request.kind]) if request.repeat else None
        return self.mapping.request_message(request, Now(0, request.received_us), extra)

    def reply_of(self, request: Request, message: Message) -> Reply:
        """Return what an answer says to this request; a code that nobody explained leaves it open.

        A charge that is called a duplicate may be its own first copy, one whose answer has another amount is
        not the one that was asked, and one that was not believed to be ours may have been another's: none of
        these is over.
        """
        read = self.mapping.reply_of(message)
        result = self._codes.get(read.code, read.result)
        reply = msgspec.structs.replace(read.reply, result=Result.UNKNOWN if result is None else result)
        amount_fen = self._charge.amount_of(message, self.zone)
        if request.kind is Kind.CHARGE:
            other = amount_fen is not None and amount_fen != request.amount_fen
            if result in NOT_OVER or (other and result is Result.APPROVED):
                return msgspec.structs.replace(reply, result=Result.UNKNOWN)
        return reply

    def late_of(self, message: Message, now: Now) -> Late | None:
        """Return which charge an answer is to, by what it echoes, or None where it is to none."""
        return self._charge.read(message, self._space, now, self.zone)


class _Echoed:
    """What an answer to a charge repeats of it."""

    def __init__(self, rows: OutwardTable, tables: MappingTables) -> None:
        name, charge = next(
            ((name, each) for name, each in rows.transactions.items() if each.kind == "charge"), ("", None)
        )
        self._answered: Matcher | None = matcher_of(charge.answered) if charge is not None else None
        whole = outward_tables(rows, tables)
        self._transaction = Transaction(name, whole.transactions[name], whole) if charge is not None else None

    def read(self, message: Message, space: str, now: Now, zone: tzinfo) -> Late | None:
        """Return the charge that an answer is to."""
        transaction = self._transaction
        if transaction is None or self._answered is None or not self._answered.fits(message):
            return None
        moment = moment_of_second(now.wall_us // SECOND_US, zone)
        readers: list[Row | SerialRow] = [transaction.serial, *transaction.rows]
        readers += [transaction.date] if transaction.date is not None else []
        found: dict[str, Any] = {}
        for row in readers:
            try:
                value = row.read(message, moment)
            except FieldError:
                continue
            if value is not None:
                found[row.field] = value
        if "serial" not in found or "date" not in found:
            return None
        return Late(space, found["date"], found["serial"], found.get("phone", ""), found.get("amount_fen", 0))

    def amount_of(self, message: Message, zone: tzinfo) -> int | None:
        """Return the amount that an answer repeats, None where it has none."""
        rows = self._transaction.rows if self._transaction is not None else []
        for row in rows:
            if row.field == "amount_fen":
                try:
                    amount = row.read(message, moment_of_second(0, zone))
                except FieldError:
                    return -1
                return amount if isinstance(amount, int) else None
        return None


def outward_tables(rows: OutwardTable, tables: MappingTables) -> MappingTables:
    """Return the line's tables with our transactions in place of the bank's."""
    return MappingTables(
        request=replace(tables.request, set={**tables.request.set, **rows.set}),
        reply=tables.reply,
        match=tables.match,
        transactions={name: as_transaction(each) for name, each in rows.transactions.items()},
        management=tables.management,
    )


def space_of(name: str, rows: OutwardTable) -> str:
    """Return the space of our serials at a bank."""
    return rows.space or f"{name}-out"


def _terms_of(rows: OutwardTable, tables: MappingTables, content: Content) -> OutwardTerms:
    """Return what nodes are told of a destination."""
    kinds = {each.kind for each in rows.transactions.values()}
    charge = next((each for each in rows.transactions.values() if each.kind == "charge"), None)
    take = {**tables.request.take, **(charge.take if charge is not None else {})}
    serial = take.get("serial", [])
    return OutwardTerms(
        bank=content.bank,
        space=content.space,
        number=content.numbers[0],
        policy=rows.policy,
        serial_digits=sum(digits_of(text) for text in values_of(serial)),
        answer_ms=int(rows.answer_seconds * 1_000),
        late_seconds=rows.late_seconds,
        reverses="charge_reversal" in kinds,
        refunds="charge_refund" in kinds,
        advises="advice" in kinds,
    )


def digits_of(row: str) -> int:
    """Return how many characters a row of a serial has."""
    argument = split_row(row)[1].partition(":")[2]
    return int(argument) if argument.isdigit() else 0
