"""The tables of a profile that say which message means what: `[transactions]` and their neighbours.

Rows are texts, `path`, `path|transform` or `path|transform:argument`; a path is a name of the message spec,
dotted where it is nested (`private.PZ.number`).  The meaning of a row is in `mapping`, the checks are in
`mapping_checks`.  A `when` gives for each path a value or several; "*" is anything that is not blank, and ""
a blank or absent value.
"""

from dataclasses import field
from typing import Literal

from qianzhi.runtime.table import table

KindName = Literal["owed", "recharge", "pay", "status", "reversal", "void", "totals"]
When = dict[str, str | list[str]]


@table
class TransactionTable:
    """[transactions.NAME]: one transaction of the dialect.

    when    what the message says to be this transaction: path = the value, or a list of values
    numbers the bank numbers that it is for; none means all.  A single one need not stand in the message
    take    field of the domain's request = row; `serial` may be a list of rows, joined in this order
    need    paths without which the message is refused as a format error; as "path=value" any other value is
            refused too
    give    path of the answer = "source|transform", a source being a field of the reply (`order`), `result`,
            `request.FIELD`, or `now`
    answer  path of the answer = a constant
    set     path of the request = a constant that the bank's side writes; `when` is written without being
    repeated
    """

    kind: KindName
    when: When
    take: dict[str, str | list[str]]
    numbers: list[str] = field(default_factory=list)
    need: list[str] = field(default_factory=list)
    give: dict[str, str] = field(default_factory=dict)
    answer: dict[str, str] = field(default_factory=dict)
    set: dict[str, str] = field(default_factory=dict)


@table
class RequestTable:
    """[request]: what all requests of the dialect have in common.

    serial  the row of a message's own serial, for messages that our side or the bank's begins
    stamp   path = "now|clock:…", written by whoever begins a message
    set     path = constant, written by the bank's side
    """

    serial: str
    need: list[str] = field(default_factory=list)
    take: dict[str, str | list[str]] = field(default_factory=dict)
    stamp: dict[str, str] = field(default_factory=dict)
    set: dict[str, str] = field(default_factory=dict)


@table
class ReplyTable:
    """[reply]: what all answers of the dialect have in common.

    echo    paths that come back as they were
    copy    path of the answer = "path of the request|transform"
    set     path = constant
    give    path = "source|transform", as in a transaction
    result  the path of the answer in which the result code stands
    """

    result: str
    echo: list[str] = field(default_factory=list)
    copy: dict[str, str] = field(default_factory=dict)
    set: dict[str, str] = field(default_factory=dict)
    give: dict[str, str] = field(default_factory=dict)


@table
class MatchTable:
    """[match]: how an answer is told from a request, and which request it answers.

    answer    what every answer says: path = value or values
    keys      rows whose values are equal in a request and its answer, and different in any other request
    rejected  path = the value it has unless the other side sends our own message back as unacceptable
    """

    answer: When
    keys: list[str]
    rejected: dict[str, str] = field(default_factory=dict)


@table
class BillsTable:
    """[bills]: how the bills of an owed answer are listed, oldest first.

    path     where the list stands
    max      how many it holds; the rest is left out, not counted, and asked for again once these are paid
    columns  name in one entry = "field of the bill|transform"
    """

    path: str
    max: int
    columns: dict[str, str]


@table
class ManagementTable:
    """[management.NAME]: a message about the line and not about money.

    when  what the message says to be this one
    ours  paths that our side writes when it sends the message; theirs: what the bank's side writes
    stamp which of the paths under [request].stamp are written
    need  paths without which it is refused as a format error
    date  of a cutover notice: the row of the business date that begins
    """

    when: When
    date: str = ""
    ours: dict[str, str] = field(default_factory=dict)
    theirs: dict[str, str] = field(default_factory=dict)
    stamp: list[str] = field(default_factory=list)
    need: list[str] = field(default_factory=list)


@table
class MappingTables:
    """All of the above together, as they stand in one bank's file."""

    request: RequestTable
    reply: ReplyTable
    match: MatchTable
    transactions: dict[str, TransactionTable]
    bills: BillsTable | None = None
    management: dict[str, ManagementTable] = field(default_factory=dict)
