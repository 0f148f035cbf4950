"""What a message of IBM MQ is to a front, and what its answer looks like: the descriptor's mapping.  Pure.

MsgId        the message's own id, 24 bytes; the answer brings it back as CorrelId, unless Report says else
ReplyToQ     where the answer goes; it must be a queue of this bank, or the message is at fault
Expiry       tenths of a second that are left, counted down by the queue manager; below 0 for never
BackoutCount how often the message was rolled back; the queue manager does nothing with it by itself
"""

from typing import NamedTuple

from bankmq.ibmmq_names import IbmmqNames
from bankmq.queue import Delivery

REQUEST, REPLY = 1, 2  # MsgType
PASS_CORREL_ID, PASS_MSG_ID = 64, 128  # Report
UNLIMITED = -1  # Expiry
TENTH_US = 100_000
REPLY_TENTHS = 864_000  # an answer that nobody has fetched for a day is an answer to nobody
ID_BYTES = 24

# Faults of a message around its body, as with the other engines.
NO_REPLY_TO = "no_reply_to"
FOREIGN_REPLY_TO = "foreign_reply_to"
TOO_LONG = "too_long"
EMPTY = "empty"


class Descriptor(NamedTuple):
    """The fields of an MQMD that we read or write; names without their blanks."""

    message_id: bytes = bytes(ID_BYTES)
    correlation_id: bytes = bytes(ID_BYTES)
    message_type: int = REQUEST
    report: int = 0
    reply_to_queue: str = ""
    reply_to_manager: str = ""
    expiry_tenths: int = UNLIMITED
    persistence: int = 1
    priority: int = 0
    format: bytes = b""
    character_set: int = 0
    encoding: int = 0
    backout_count: int = 0


class Got(NamedTuple):
    """One message as it was got under syncpoint."""

    queue: str
    descriptor: Descriptor
    body: bytes


def delivery_of(got: Got, tag: int, names: IbmmqNames, bytes_max: int, now_us: int) -> Delivery:
    """Return the delivery that a front handles; `now_us` is wall time."""
    descriptor = got.descriptor
    left = descriptor.expiry_tenths
    return Delivery(
        tag=tag,
        queue=got.queue,
        message_id=descriptor.message_id,
        body=got.body,
        reply_to=descriptor.reply_to_queue.encode("ascii", "replace"),
        expires_us=now_us + left * TENTH_US if left >= 0 else 0,
        failures=descriptor.backout_count,
        fault=fault_of(got, names, bytes_max),
    )


def fault_of(got: Got, names: IbmmqNames, bytes_max: int) -> str:
    """Name what makes a message unservable before its body is read; empty for nothing."""
    reply_to = got.descriptor.reply_to_queue
    if not reply_to:
        return NO_REPLY_TO
    if not names.may_reply_to(reply_to):
        return FOREIGN_REPLY_TO
    if not got.body:
        return EMPTY
    return TOO_LONG if len(got.body) > bytes_max else ""


def reply_descriptor(asked: Descriptor) -> Descriptor:
    """Return the descriptor of the answer to a message; a blank MsgId is made by the queue manager."""
    passed = asked.correlation_id if asked.report & PASS_CORREL_ID else asked.message_id
    return Descriptor(
        message_id=asked.message_id if asked.report & PASS_MSG_ID else bytes(ID_BYTES),
        correlation_id=passed,
        message_type=REPLY,
        expiry_tenths=REPLY_TENTHS,
        persistence=asked.persistence,
        priority=asked.priority,
        format=asked.format,
        character_set=asked.character_set,
        encoding=asked.encoding,
    )


def backout_descriptor(asked: Descriptor) -> Descriptor:
    """Return the descriptor under which a message is put aside: its own, without an end."""
    return asked._replace(expiry_tenths=UNLIMITED, persistence=1, report=0, backout_count=0)


class Unit:
    """What was got in one unit of work, and how each message of it has ended.

    A message that was rolled back before closes its unit, and is alone in it where it comes first, as it does
    as a rule: so what makes it fail rolls back nobody else.
    """

    def __init__(self, first: Got, messages_max: int) -> None:
        self.items = [first]
        self._messages_max = 1 if first.descriptor.backout_count else messages_max
        self._open = {0}
        self._released = False

    @property
    def wants_more(self) -> bool:
        """Whether another message may join."""
        return len(self.items) < self._messages_max and not self.items[-1].descriptor.backout_count

    @property
    def settled(self) -> bool:
        """Whether every message has ended, so that the unit can end."""
        return not self._open

    @property
    def commits(self) -> bool:
        """Whether the unit is to be committed; one message that was given back rolls back all of them."""
        return not self._released

    def add(self, got: Got) -> None:
        """Take one more message."""
        self._open.add(len(self.items))
        self.items.append(got)

    def end(self, at: int, *, released: bool) -> None:
        """Note that a message has ended; a second time changes nothing."""
        if at in self._open:
            self._open.discard(at)
            self._released = self._released or released
