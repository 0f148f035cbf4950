"""The tables of a bank's file, config/banks/NAME.toml, put together from the packages that own them.

`BankTable` is the whole file.  Frame, MAC, delivery and socket tables belong to wire and socket_pool; the
mapping's are in `mapping_tables`; what is declared here belongs to the front-end itself.
"""

from dataclasses import field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, MinLen

from frontends.hours import Hours
from frontends.limits import Limits
from frontends.mapping_tables import (
    BillsTable,
    ManagementTable,
    MatchTable,
    ReplyTable,
    RequestTable,
    TransactionTable,
    When,
)
from frontends.outward_tables import OutwardTable
from frontends.results import ResultsTable
from qianzhi.runtime.table import table
from qianzhi.wire.framing import FrameSpec
from qianzhi.wire.keys import DeliverySpec
from qianzhi.wire.mac import MacSpec
from socket_pool.limits import SocketLimits

Seconds = Annotated[int, Ge(0), Le(86_400)]


@table
class TransportTable:
    """[transport]: how messages come; the addresses are the site's.

    `engine` serves a queue where the site does not choose one.  `one_queue` says that this bank has no second
    queue for reversals and status queries, so that they wait with the rest.  A `short` connection carries one
    message and its answer; our side then closes it.  `files` are put into a folder that the
    site names (`FilesTable`).
    """

    kind: Literal["socket", "queue", "files"]
    role: Literal["server", "client"] = "server"
    connection: Literal["long", "short"] = "long"
    engine: Literal["zeromq", "rabbitmq"] = "zeromq"
    one_queue: bool = False

    @property
    def redelivers(self) -> bool:
        """Whether what we have taken may come again by itself after a crash (money rule 8)."""
        return self.kind in ("queue", "files")


@table
class FilesTable:
    """[files]: how the files of a bank are read, where the transport's kind is `files`.

    settled_seconds  a file without a marker NAME.ok is whole when it has not changed for so long; 0 for never
    poll_seconds     between two looks at the folder
    record_bytes     of each record, where a file is no text of lines; 0 for lines
    tries            how often a line goes out that hears nothing, before its answer is marked as unknown
    """

    settled_seconds: Annotated[float, Ge(0), Le(86_400)] = 10
    poll_seconds: Annotated[float, Ge(0.01), Le(3_600)] = 1
    record_bytes: Annotated[int, Ge(0), Le(65_536)] = 0
    tries: Annotated[int, Ge(1), Le(100)] = 3


@table
class MessageTable:
    """[message]: the spec under config/specs (without .toml), and what this bank changes in it.

    `spec` is empty where the bank's own file holds a table [spec].
    """

    spec: str = ""
    change: dict[str, str | int | bool] = field(default_factory=dict)


@table
class KeysTable:
    """[keys]: references of keys, never keys; `master` wraps working keys, `mac` is a MAC key that stays."""

    master: str = ""
    mac: str = ""


@table
class ProtectionTable:
    """[protection]: which messages, asked or answered, must carry a right MAC: those that fit one `when`."""

    required: list[When] = field(default_factory=list)


@table
class SessionTable:
    """[session]: who signs on, who makes keys, how a quiet line is tested.

    sign_on            the bank must sign on before its requests are served
    keys               "ours": we make working keys and deliver them; "theirs": the bank makes and delivers
                       them with its message `key_delivery`; "static": the one of [keys].mac; "none"
    delivery           of keys of ours: "message", one of our own; "answer", in that to sign-on or key request
    key_bytes          length of the keys that we make: 8 or 16
    key_hours          after which we make new ones by ourselves; 0 for never
    key_grace_seconds  how long the key before still verifies what was under way
    answer_seconds     how long the other side may take to answer a management message
    echo_seconds       of silence after which we test the line; 0 for never
    echo_misses_max    echoes in a row without an answer, after which the line is closed
    mac_failures_max   wrong MACs in a row, after which `on_mac_failures` is done; 0 for never
    cutover            when the business date of messages that carry none changes: a local time HH:MM from
                       18:00 of the evening before to 00:20, or "notice": with the bank's message `cutover`;
                       "notice" also where a network tells its settlement date, which moves none of ours
    """

    sign_on: bool = False
    keys: Literal["ours", "theirs", "static", "none"] = "none"
    delivery: Literal["message", "answer"] = "message"
    key_bytes: Literal[8, 16] = 16
    key_hours: Annotated[int, Ge(0), Le(8_760)] = 0
    key_grace_seconds: Seconds = 180
    answer_seconds: Seconds = 10
    echo_seconds: Seconds = 0
    echo_misses_max: Annotated[int, Ge(1), Le(100)] = 3
    mac_failures_max: Annotated[int, Ge(0), Le(1_000)] = 0
    on_mac_failures: Literal["new_keys", "sign_off", "close"] = "close"
    cutover: str = "00:00"


@table
class ReversalTable:
    """[reversal]: what was agreed about reversals, in words; the core holds the window (money rule 10).

    `rule_zh` is the same in Chinese, for the interface document.
    """

    rule: str
    rule_zh: str = ""


@table
class BankTable:
    """config/banks/NAME.toml, whole; `spec` is a message spec of this bank alone, for `wire` to judge.

    `transactions` are what the bank asks of us; there may be none where `outward` says what we ask of it.
    """

    title: Annotated[str, MinLen(1)]
    pattern: Annotated[str, MinLen(1)]
    pattern_zh: str = ""
    space: str = ""
    numbers: Annotated[list[Annotated[str, MinLen(1)]], MinLen(1)]
    group: str = ""
    transport: TransportTable
    socket: SocketLimits | None = None
    files: FilesTable | None = None
    frame: FrameSpec
    message: MessageTable = field(default_factory=MessageTable)
    spec: dict[str, Any] = field(default_factory=dict)
    mac: MacSpec | None = None
    keys: KeysTable = KeysTable()
    delivery: DeliverySpec = DeliverySpec()
    protection: ProtectionTable = field(default_factory=ProtectionTable)
    session: SessionTable = SessionTable()
    request: RequestTable
    reply: ReplyTable
    match: MatchTable
    transactions: dict[str, TransactionTable] = field(default_factory=dict)
    outward: OutwardTable | None = None
    bills: BillsTable | None = None
    management: dict[str, ManagementTable] = field(default_factory=dict)
    results: ResultsTable
    limits: Limits
    hours: Hours = Hours()
    reversal: ReversalTable

    @property
    def dated(self) -> bool:
        """Whether all that the bank asks of us brings its business date; so it is where it asks nothing."""
        return all("date" in {**self.request.take, **rows.take} for rows in self.transactions.values())
