"""A queue manager of IBM MQ in memory, with the face of the module `ibmmq` as far as `bankmq` uses it.

It knows gets under syncpoint, commit and roll-back with BackoutCount, puts in and outside of a unit of work,
and the reason codes of what may go wrong.  It stands in for the client where IBM's library is not installed;
the constants are the real ones.
"""

import itertools
import threading
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, NamedTuple

WAIT, SYNCPOINT, NO_PROPERTIES, QUIESCING = 1, 2, 0x0400_0000, 0x2000
CMQC = SimpleNamespace(
    MQGMO_SYNCPOINT=SYNCPOINT,
    MQGMO_WAIT=WAIT,
    MQGMO_NO_WAIT=0,
    MQGMO_FAIL_IF_QUIESCING=QUIESCING,
    MQGMO_NO_PROPERTIES=NO_PROPERTIES,
    MQPMO_SYNCPOINT=SYNCPOINT,
    MQPMO_NO_SYNCPOINT=4,
    MQPMO_NEW_MSG_ID=0x40,
    MQPMO_FAIL_IF_QUIESCING=QUIESCING,
    MQOO_INPUT_SHARED=2,
    MQOO_FAIL_IF_QUIESCING=QUIESCING,
)
CMQXC = SimpleNamespace(MQCHT_CLNTCONN=6, MQXPT_TCP=2)
BLANK_ID = bytes(24)
BROKEN, NO_MESSAGE, UNKNOWN_QUEUE, NOT_AVAILABLE = 2009, 2033, 2085, 2059


class MqError(Exception):
    """As MQMIError: a completion code and a reason."""

    def __init__(self, reason: int) -> None:
        super().__init__(f"MQI Error. Comp 2, Reason {reason}")
        self.comp = 2
        self.reason = reason


class Fields(SimpleNamespace):
    """Any of the structures: attributes, and more of them by name."""


@dataclass(frozen=True)
class Message:
    """One message on a queue."""

    body: bytes
    message_id: bytes = BLANK_ID
    correlation_id: bytes = BLANK_ID
    fields: dict[str, Any] = field(default_factory=dict)
    backout_count: int = 0


class Taken(NamedTuple):
    """One message that a unit of work holds."""

    queue: str
    message: Message


class StandIn:
    """The module and its one queue manager; `queues` may be looked into, `down` and `refuse` make trouble.

    `refuse` maps a queue's name to the reason with which puts to it fail; `broken_calls` a call (get, put,
    commit) to how many more of it succeed before one breaks the connection.
    """

    CMQC = CMQC
    CMQXC = CMQXC
    MQMIError = MqError
    PYIFError = MqError

    def __init__(self, *queues: str) -> None:
        self.queues: dict[str, list[Message]] = {name: [] for name in queues}
        self.refuse: dict[str, int] = {}
        self.down = False
        self.broken_calls: dict[str, int] = {}
        self.connections = 0
        self.changed = threading.Condition()
        self._ids = itertools.count(1)

    def put(self, queue: str, body: bytes, **fields: Any) -> bytes:
        """Put a message as a bank would; return its MsgId."""
        with self.changed:
            message_id = fields.pop("MsgId", BLANK_ID)
            message = Message(body, message_id if any(message_id) else self.new_id(), fields=fields)
            self.queues[queue].append(message)
            self.changed.notify_all()
        return message.message_id

    def wait(self, condition: Any) -> None:
        """Wait until a condition on the queues holds; fails after ten seconds."""
        with self.changed:
            assert self.changed.wait_for(condition, timeout=10), self.queues  # noqa: S101  for tests alone

    def new_id(self) -> bytes:
        """Return a MsgId that no message has yet."""
        return b"AMQ STANDIN " + b"%012d" % next(self._ids)

    def check(self, call: str) -> None:
        """Fail where the manager is down, or this call is due to break."""
        if self.down:
            raise MqError(NOT_AVAILABLE if call == "connect" else BROKEN)
        left = self.broken_calls.get(call)
        if left is not None:
            self.broken_calls[call] = left - 1
            if left <= 0:
                del self.broken_calls[call]
                raise MqError(BROKEN)

    # The module's names

    def QueueManager(self, _name: Any) -> "Connection":
        """Return a manager's handle, not connected yet."""
        return Connection(self)

    def Queue(self, connection: "Connection", name: str, _options: int) -> "Input":
        """Open a queue for input."""
        if name not in self.queues:
            raise MqError(UNKNOWN_QUEUE)
        return Input(connection, name)

    def MD(self) -> Fields:
        """Return a message descriptor with MQ's own defaults."""
        return Fields(
            MsgType=8, MsgId=BLANK_ID, CorrelId=BLANK_ID, Report=0, ReplyToQ=b"", ReplyToQMgr=b"",
            Expiry=-1, Persistence=2, Priority=-1, Format=b"", CodedCharSetId=0, Encoding=273, BackoutCount=0,
        )  # fmt: skip

    GMO = PMO = CD = SCO = CSP = OD = Fields


class Connection:
    """One connection, with at most one unit of work."""

    def __init__(self, owner: StandIn) -> None:
        self.owner = owner
        self.options: dict[str, Any] = {}
        self._taken: list[Taken] = []
        self._put: list[Taken] = []
        self._open = False

    def connect_with_options(self, name: str, **options: Any) -> None:
        """Connect."""
        self.owner.check("connect")
        self.options = {"name": name, **options}
        self.owner.connections += 1
        self._open = True

    def take(self, queue: str, wait_ms: int) -> Message:
        """Get the oldest message under syncpoint."""
        owner = self.owner
        with owner.changed:
            self._check("get")
            owner.changed.wait_for(lambda: owner.queues[queue] or owner.down, timeout=wait_ms / 1_000)
            self._check("get")
            if not owner.queues[queue]:
                raise MqError(NO_MESSAGE)
            message = owner.queues[queue].pop(0)
            self._taken.append(Taken(queue, message))
            owner.changed.notify_all()
            return message

    def put1(self, target: Fields, body: bytes, descriptor: Fields, options: Fields) -> None:
        """Put one message, in the unit of work or at once."""
        owner, queue = self.owner, target.ObjectName.decode("ascii")
        with owner.changed:
            self._check("put")
            reason = owner.refuse.get(queue, 0 if queue in owner.queues else UNKNOWN_QUEUE)
            if reason:
                raise MqError(reason)
            fresh = options.Options & CMQC.MQPMO_NEW_MSG_ID
            known = ("MsgId", "CorrelId", "BackoutCount")
            fields = {name: value for name, value in vars(descriptor).items() if name not in known}
            message_id = owner.new_id() if fresh else descriptor.MsgId
            put = Taken(queue, Message(body, message_id, descriptor.CorrelId, fields))
            if options.Options & SYNCPOINT:
                self._put.append(put)
            else:
                owner.queues[queue].append(put.message)
            owner.changed.notify_all()

    def commit(self) -> None:
        """End the unit of work."""
        with self.owner.changed:
            self._check("commit")
            for queue, message in self._put:
                self.owner.queues[queue].append(message)
            self._taken, self._put = [], []
            self.owner.changed.notify_all()

    def backout(self) -> None:
        """Roll the unit of work back: what was got stands first in its queue again, in its order."""
        with self.owner.changed:
            for queue, message in reversed(self._taken):
                again = replace(message, backout_count=message.backout_count + 1)
                self.owner.queues[queue].insert(0, again)
            self._taken, self._put = [], []
            self.owner.changed.notify_all()

    def disconnect(self) -> None:
        """Disconnect."""
        self.backout()
        self._open = False

    def _check(self, call: str) -> None:
        if not self._open:
            raise MqError(BROKEN)
        self.owner.check(call)


class Input:
    """A queue that is open for input."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._name = name

    def get(self, _max_length: Any, descriptor: Fields, options: Fields) -> bytes:
        """Get a message into a descriptor."""
        message = self._connection.take(self._name, options.WaitInterval if options.Options & WAIT else 0)
        for name, value in message.fields.items():
            setattr(descriptor, name, value)
        descriptor.MsgId, descriptor.CorrelId = message.message_id, message.correlation_id
        descriptor.BackoutCount = message.backout_count
        return message.body
