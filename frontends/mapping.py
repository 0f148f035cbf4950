"""From a bank's message to the domain's request and back, for both ends of the line, driven by a profile.

    front-end:   sort_of → request_of → … → reply_message            (the bank asks, we answer)
    bank's side: request_message → … → reply_of                      (simulators and `qianzhi send`)
    both:        match_key, management_of, management_message

Pure: no clock, no wire format, no bank's name.  What a message means is in the profile's tables; how a value
is written is in `transforms`.  A message that cannot become a request becomes a `Refusal`, never an
exception.
"""

from datetime import UTC, tzinfo
from enum import Enum
from typing import Any, NamedTuple

from frontends.mapping_made import make_constants, make_echo, make_finder, make_giver
from frontends.mapping_parts import RESULT_TEXT, Bills, Content, Refusal, Transaction
from frontends.mapping_rows import (
    Chooser,
    Message,
    Row,
    getter,
    putter,
    row_of,
    split_row,
    written,
)
from frontends.mapping_tables import MappingTables, When
from frontends.results import Results
from frontends.transforms import SECOND_US, FieldError, moment_of_second
from qianzhi.domain.requests import MONEY_KINDS, Bill, Key, Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.runtime.now import Now

__all__ = ["BankReply", "Content", "Mapping", "Refusal", "Sort"]

ANSWER = "answer"  # names of a Chooser; those of requests and management follow their prefix
REQUEST = "request:"
MANAGEMENT = "management:"
TOTALS = frozenset({"count", "amount_fen", "reversed_count", "reversed_fen"})
REPLY_NUMBERS = TOTALS | {"balance_fen", "settled_us"}
READ_BACK = TOTALS | {"order", "balance_fen", "name"}
# Results whose answers carry numbers: totals that differ are told as the journal has them.
WITH_NUMBERS = frozenset({Result.APPROVED, Result.TOTALS_DIFFER})


class Sort(Enum):
    """What kind of message came in, to be asked before anything else."""

    REJECTED = "rejected"  # our own message, sent back as unacceptable: not to be answered
    ANSWER = "answer"
    MANAGEMENT = "management"
    REQUEST = "request"


class BankReply(NamedTuple):
    """An answer as the bank's side reads it; `result` is None for a code that the profile does not know."""

    match: tuple[str, ...]
    code: str
    result: Result | None
    reply: Reply


class Mapping:
    """The compiled tables of one profile; holds nothing of any message."""

    def __init__(self, tables: MappingTables, content: Content, results: Results, zone: tzinfo) -> None:
        """Compile tables that have been checked (`mapping_checks`)."""
        self.zone = zone
        self.results = results
        self._content = content
        self._transactions = [Transaction(name, rows, tables) for name, rows in tables.transactions.items()]
        self._tables = tables
        self._reject = [(getter(path), value) for path, value in tables.match.rejected.items()]
        self._match = [row_of("", text) for text in tables.match.keys]
        self._chooser = Chooser(_names(tables))
        self._find = make_finder(self._chooser)
        self._by_name = {f"{REQUEST}{transaction.name}": transaction for transaction in self._transactions}
        self._ask = {f"{REQUEST}{each.name}": each.asker(content) for each in self._transactions}
        self._result = (getter(tables.reply.result), putter(tables.reply.result))
        echoes = [path for path in tables.reply.echo if path not in tables.reply.copy]
        self._echo = make_echo(
            [path for path in echoes if "." not in path],
            [path for path in echoes if "." in path],
            [(row_of("", text), path) for path, text in tables.reply.copy.items()],
        )
        self._constants = make_constants(list(tables.reply.set.items()))
        self._bills = Bills(tables.bills) if tables.bills else None
        given = {"numbered": WITH_NUMBERS, "text_of": results.text_of, "listed": self._listed}
        self._give = {
            transaction.name: (
                make_giver(transaction.give, source_of, given),
                make_giver(transaction.words, source_of, given),
            )
            for transaction in self._transactions
        }
        self._stamps = [
            row_of("now", f"{path}|{split_row(text)[1]}") for path, text in tables.request.stamp.items()
        ]
        self.dates_ours = any(each.date is None for each in self._transactions)  # may be asked for
        self._own_serial = row_of("own_serial", tables.request.serial)
        lines = tables.management.items()
        self._dates = {name: row_of("date", rows.date) for name, rows in lines if rows.date}
        self._read_back = _rows_to_read_back(self._transactions)

    def sort_of(self, message: Message) -> Sort:
        """Say what kind of message this is; a rejected one looks like a request, so that is asked first."""
        for get, accepted in self._reject:
            if get(message) not in (None, accepted):
                return Sort.REJECTED
        name = self._find(message)
        if name == ANSWER:
            return Sort.ANSWER
        return Sort.MANAGEMENT if name.startswith(MANAGEMENT) else Sort.REQUEST

    def is_last_word(self, message: Message, answer: Message, reply: Reply, now: Now) -> bool:
        """Say whether nobody who goes by these tables would answer an answer.

        An answer that is known as one ends it.  So does one of another type than the message, whose own
        answer would have its type again: that one is never sent.
        """
        if self.sort_of(answer) is Sort.ANSWER:
            return True
        type_of = self._chooser.type_of
        if self._find(answer) or type_of(answer) == type_of(message):
            return False
        return bool(type_of(self.reply_message(answer, None, reply, now)) == type_of(answer))

    def management_of(self, message: Message) -> str:
        """Return the name under [management] that this message is, empty for none."""
        name = self._find(message)
        return name.removeprefix(MANAGEMENT) if name.startswith(MANAGEMENT) else ""

    def transaction_of(self, message: Message) -> str:
        """Return the name under [transactions] that this message is, empty for none."""
        name = self._find(message)
        return name.removeprefix(REQUEST) if name.startswith(REQUEST) else ""

    def match_key(self, message: Message) -> tuple[str, ...]:
        """Return what a request and its answer have in common and no other message has."""
        return tuple([self._match_part(row, message) for row in self._match])

    def _match_part(self, row: Row, message: Message) -> str:
        value = row.get(message)
        return "" if value is None else str(row.transform.write(value, _NO_MOMENT, None))

    # The front-end's side.

    def request_of(self, message: Message, now: Now, date_of_ours: int = 0) -> Request | Refusal:
        """Return the request that a message is, or why it is none; never raises for what a bank may send.

        `date_of_ours` is the business date of what carries none; 0 means the local date.
        """
        name = self._find(message)
        transaction = self._by_name.get(name)
        if transaction is None:
            return Refusal(Result.UNSUPPORTED, "", "a transaction of this profile")
        moment = moment_of_second(now.wall_us // SECOND_US, self.zone)
        asked = self._ask[name](message, moment, date_of_ours, now.wall_us)
        return self._asked_slowly(transaction, message, now, date_of_ours) if asked is None else asked

    def _asked_slowly(
        self, transaction: Transaction, message: Message, now: Now, date_of_ours: int
    ) -> Request | Refusal:
        """Return the request of a message by its rows one after the other, or what is wrong with it."""
        moment = moment_of_second(now.wall_us // SECOND_US, self.zone)
        values, refusal = transaction.read(message, moment)
        date_ours = transaction.date is None
        date = (date_of_ours or moment.today) if date_ours else values.pop("date", 0)
        serial = values.pop("serial", "")
        refusal = refusal or self._refuse(transaction, values)
        if refusal is not None:
            key = Key(self._content.space, date, serial) if date and serial else None
            return refusal._replace(key=key, kind=transaction.kind)
        values.setdefault("bank_number", transaction.number or self._content.numbers[0])
        return Request(
            kind=transaction.kind,
            space=self._content.space,
            date=date,
            serial=serial,
            bank=self._content.bank,
            date_ours=date_ours,
            received_us=now.wall_us,
            **values,
        )

    def _refuse(self, transaction: Transaction, values: dict[str, Any]) -> Refusal | None:
        """Judge what was read.

        A zero amount can be expressed: the core refuses it for good, under its key.
        """
        content = self._content
        number = values.get("bank_number")
        if number is not None and number not in (transaction.numbers or content.numbers):
            return Refusal(
                Result.NO_ROUTE, transaction.path_of("bank_number"), "a bank number of this profile"
            )
        if transaction.kind in MONEY_KINDS and values.get("amount_fen", 0) > content.amount_fen_max:
            expected = f"at most {content.amount_fen_max} fen"
            return Refusal(Result.AMOUNT_LIMIT, transaction.path_of("amount_fen"), expected)
        return None

    def reply_message(self, message: Message, request: Request | None, reply: Reply, now: Now) -> Message:
        """Return the answer to `message`; `request` is None where the message never became one."""
        moment = moment_of_second(now.wall_us // SECOND_US, self.zone)
        answer: Message = {}
        self._echo(message, answer, moment)
        transaction = self._by_name.get(self._find(message))
        known = transaction if request is not None else None
        put = known.answer if known else self._constants
        put(answer)
        self._result[1](answer, self.results.code_of(reply.result))
        if transaction is not None:
            # Of a message that never became a request only the code's meaning can be told.
            give = self._give[transaction.name][0 if known else 1]
            give(answer, request, reply, moment)
        if self._bills and known and known.kind is Kind.OWED and reply.result is Result.APPROVED:
            self._bills.write(answer, reply.bills, moment)
        return answer

    def refusal_message(self, message: Message, result: Result, now: Now) -> Message:
        """Return the answer to a management message, or to one that never became a request."""
        return self.reply_message(message, None, Reply(result), now)

    def _listed(self, reply: Reply) -> tuple[Bill, ...] | None:
        """Return the bills that an answer lists, None where it lists none."""
        if self._bills is None or reply.result is not Result.APPROVED:
            return None
        return self._bills.listed(reply.bills)

    # The bank's side.

    def request_message(
        self, request: Request, now: Now, extra: dict[str, Any] | None = None, *, name: str = ""
    ) -> Message:
        """Return the message with which the bank asks for this; `extra` (path: value) is written last.

        A status query's or reversal's own serial is `own_serial`; `serial` and `date` are its original's.
        Where a profile has several transactions of a kind it is the one of this `name`, else the first that
        is for the request's bank number.  Raises LookupError when there is none.
        """
        transaction = self._transaction_for(request, name)
        moment = moment_of_second(now.wall_us // SECOND_US, self.zone)
        message: Message = {}
        for put, constant in transaction.said:
            put(message, constant)
        for row in self._stamps:
            row.write(message, "now", moment)
        for taken in [transaction.date, *transaction.rows]:
            if taken is not None:
                taken.write(message, getattr(request, taken.field), moment)
        transaction.serial.write(message, request.serial, moment)
        return _with_extra(message, extra)

    def _transaction_for(self, request: Request, name: str) -> Transaction:
        for transaction in self._transactions:
            fits = not transaction.numbers or request.bank_number in transaction.numbers
            if transaction.kind is request.kind and (transaction.name == name if name else fits):
                return transaction
        raise LookupError(f"no transaction {name} of this kind and bank number")

    def reply_of(self, message: Message) -> BankReply:
        """Read an answer as the bank does; fields that cannot be read are left empty."""
        code = str(self._result[0](message) or "")
        values: dict[str, Any] = {}
        for row in self._read_back:
            try:
                value = row.read(message, _NO_MOMENT)
            except FieldError:
                continue
            if value is not None:
                values[row.field] = value
        if self._bills:
            values["bills"] = self._bills.read(message, _NO_MOMENT)
        result = self.results.result_of(code)
        reply = Reply(Result.UNKNOWN if result is None else result, **values)
        return BankReply(self.match_key(message), code, result, reply)

    # Either side.

    def notice_date(self, name: str, message: Message, now: Now) -> int | None:
        """Return the business date that a cutover notice brings; None when there is none to be read."""
        row = self._dates.get(name)
        if row is None:
            return None
        try:
            date: int | None = row.read(message, moment_of_second(now.wall_us // SECOND_US, self.zone))
        except FieldError:
            return None
        return date

    def management_message(
        self,
        name: str,
        serial: str,
        now: Now,
        *,
        ours: bool = True,
        date: int = 0,
        extra: dict[str, Any] | None = None,
    ) -> Message:
        """Return a message about the line as our side (or the bank's) begins it.

        `date` is the business date that a cutover notice brings; 0 means the local date.
        Raises KeyError for a name that is not under [management].
        """
        rows = self._tables.management[name]
        moment = moment_of_second(now.wall_us // SECOND_US, self.zone)
        message: Message = {}
        for path, value in written(rows.when).items():
            putter(path)(message, value)
        for path, value in (rows.ours if ours else rows.theirs).items():
            putter(path)(message, value)
        for row in self._stamps:
            if row.path in rows.stamp:
                row.write(message, "now", moment)
        if name in self._dates:
            self._dates[name].write(message, date or moment.today, moment)
        self._own_serial.write(message, serial, moment)
        return _with_extra(message, extra)


_NO_MOMENT = moment_of_second(0, UTC)  # for rows that do not look at the time


def _names(tables: MappingTables) -> list[tuple[str, When]]:
    """Return all that a message can be, and what it says then."""
    names = [(f"{REQUEST}{name}", rows.when) for name, rows in tables.transactions.items()]
    names += [(f"{MANAGEMENT}{name}", rows.when) for name, rows in tables.management.items()]
    return [*names, (ANSWER, tables.match.answer)]


def source_of(name: str) -> str:
    """Return the expression of what a give row is to write, None when it has no meaning here."""
    if name == "now":
        return repr(name)
    if name == RESULT_TEXT:
        return "text_of(reply.result)"
    field = name.removeprefix("request.")
    if not field.isidentifier():
        raise ValueError(f"{name!r} is no field of a request or a reply")
    if field != name:
        return f"request.{field}"
    if name == "bills":
        return "listed(reply)"
    numbered = " if reply.result in numbered else None" if name in REPLY_NUMBERS else ""
    return f"reply.{name}{numbered}"


def _rows_to_read_back(transactions: list[Transaction]) -> list[Row]:
    """Return the give rows from which an answer's reply can be read, each field of the reply once."""
    rows: dict[tuple[str, str], Row] = {}
    for transaction in transactions:
        for row in transaction.give:
            if row.field in READ_BACK and row.transform.read is not None:
                rows.setdefault((row.field, row.path), row)
    return list(rows.values())


def _with_extra(message: Message, extra: dict[str, Any] | None) -> Message:
    for path, value in (extra or {}).items():
        putter(path)(message, value)
    return message
