"""The parts of a mapping, compiled from a profile's tables: transactions, bills, and what a refusal says.

Pure, and used by `mapping` alone, which puts them together.
"""

from typing import Any, NamedTuple

from frontends.mapping_made import Ask, Asked, make_asker, make_constants, make_taker
from frontends.mapping_rows import Message, Row, SerialRow, getter, putter, row_of, split_row, written
from frontends.mapping_tables import BillsTable, MappingTables, TransactionTable
from frontends.transforms import FieldError, Moment
from qianzhi.domain.requests import MONEY_KINDS, Bill, Key, Kind
from qianzhi.domain.results import Result

RESULT_TEXT = "result_text"  # the source of a give row: the meaning of the code, in words


class Refusal(NamedTuple):
    """Why a message is no request that can be forwarded.

    `field` is the path that is to blame, `reason` what is expected there (never what was found).  `key` is
    there when serial and date could be read and `kind` when the transaction was known, so that a money
    request's key can be blocked before its refusal is answered.
    """

    result: Result
    field: str
    reason: str
    key: Key | None = None
    kind: Kind | None = None

    @property
    def moves_money(self) -> bool:
        """Whether the refused message asked for money under a key that could be read."""
        return self.key is not None and self.kind in MONEY_KINDS


class Content(NamedTuple):
    """What the platform itself demands of a request, whatever the dialect."""

    space: str
    bank: str
    numbers: tuple[str, ...]
    amount_fen_max: int


class Transaction:
    """One transaction of the dialect, compiled."""

    def __init__(self, name: str, rows: TransactionTable, tables: MappingTables) -> None:
        self.name = name
        self.numbers = frozenset(rows.numbers)
        self.number = rows.numbers[0] if rows.numbers else ""
        self.kind = Kind[rows.kind.upper()]
        take = {**tables.request.take, **rows.take}
        serial = take.pop("serial", [])
        self.serial = SerialRow(serial)
        self.date = row_of("date", str(take.pop("date"))) if "date" in take else None
        self.rows = [row_of(field, str(text)) for field, text in take.items()]
        self._readers: list[Row | SerialRow] = [self.serial, *([self.date] if self.date else []), *self.rows]
        self._take = make_taker([one_row(row) for row in self._readers])
        read = {
            row.path: row.field for row in self._readers if isinstance(row, SerialRow) or row.transform.read
        }
        needs = dict.fromkeys([*tables.request.need, *rows.need])
        self._needed_fields = [(path, read[path]) for path in needs if path in read]
        self._needed_paths = [
            (path, getter(path), value)
            for path, _, value in (need.partition("=") for need in needs if need not in read)
        ]
        self.give = [_give_row(path, text) for path, text in {**tables.reply.give, **rows.give}.items()]
        self.words = [row for row in self.give if row.field == RESULT_TEXT]
        constants = {**tables.reply.set, **rows.answer}
        self.answer = make_constants(list(constants.items()))
        said = {**tables.request.set, **written(rows.when), **rows.set}
        self.said = [(putter(path), value) for path, value in said.items()]

    def asker(self, content: Content) -> Ask:
        """Return what makes requests of messages in which nothing is wrong."""
        asked = Asked(
            self.kind,
            content.space,
            content.bank,
            self.number or content.numbers[0],
            self.numbers or frozenset(content.numbers),
            content.amount_fen_max if self.kind in MONEY_KINDS else None,
            self.date is None,
            frozenset(field for _, field in self._needed_fields),
            [(path, value) for path, _, value in self._needed_paths],
        )
        return make_asker([one_row(row) for row in self._readers], asked)

    def path_of(self, field: str) -> str:
        """Return where a field of the request stands, to be named in a refusal."""
        return next((row.path for row in self.rows if row.field == field), field)

    def read(self, message: Message, moment: Moment) -> tuple[dict[str, Any], Refusal | None]:
        """Return the values that could be read, and the first reason to refuse the message, if any."""
        values: dict[str, Any] = {}
        unread = self._take(message, moment, values)
        fault = Refusal(unread[1].result, unread[0], unread[1].expected) if unread is not None else None
        if fault is None:
            missing = self._missing(message, values)
            fault = Refusal(Result.FORMAT, missing, "a value here") if missing else None
        if fault is None and "serial" not in values:
            fault = Refusal(Result.FORMAT, self.serial.path, "a serial")
        if fault is None and self.date is not None and "date" not in values:
            fault = Refusal(Result.FORMAT, self.date.path, "a date")
        return values, fault

    def _missing(self, message: Message, values: dict[str, Any]) -> str:
        """Return the first path that is needed and not there, or not with its value; empty for none."""
        for path, field in self._needed_fields:
            if field not in values:
                return path
        for path, get, value in self._needed_paths:
            found = get(message)
            if found is None or (value and found != value):
                return path
        return ""


class Bills:
    """The list of bills in an owed answer, compiled from [bills]."""

    def __init__(self, rows: BillsTable) -> None:
        self._max = rows.max
        self._get, self._put = getter(rows.path), putter(rows.path)
        self._columns = []
        for name, text in rows.columns.items():
            source, transform = split_row(text)
            self._columns.append(row_of(source, f"{name}|{transform}"))

    def listed(self, bills: tuple[Bill, ...]) -> tuple[Bill, ...]:
        """Return those that the list holds."""
        return bills[: self._max]

    def write(self, message: Message, bills: tuple[Bill, ...], moment: Moment) -> None:
        """Write the first bills, oldest first as they come; nothing at all when there are none."""
        entries: list[Message] = []
        for bill in self.listed(bills):
            entry: Message = {}
            for row in self._columns:
                row.write(entry, getattr(bill, row.field), moment)
            entries.append(entry)
        if entries:
            self._put(message, entries)

    def read(self, message: Message, moment: Moment) -> tuple[Bill, ...]:
        """Return the bills that are listed; an entry that cannot be read ends the list."""
        found: list[Bill] = []
        entries = self._get(message)
        for entry in entries if isinstance(entries, list) else []:
            try:
                values = {
                    row.field: row.read(entry, moment) for row in self._columns if isinstance(entry, dict)
                }
            except FieldError:
                break
            if len(values) < len(self._columns) or None in values.values():
                break
            found.append(Bill(**values))
        return tuple(found)


def one_row(row: Row | SerialRow) -> Row | SerialRow:
    """Return what reads a serial that is one row of digits like any other row."""
    if isinstance(row, SerialRow) and len(row.rows) == 1 and row.rows[0].transform.plain == "digits":
        return row.rows[0]
    return row


def _give_row(path: str, text: str) -> Row:
    source, transform = split_row(text)
    return row_of(source, f"{path}|{transform}")
