"""One connection to a queue manager of IBM MQ, by IBM's own `ibmmq`, which is imported only when it is used.

All calls block and belong to one thread.  What goes wrong is one of two things: the connection or the queue
cannot be used (`MqGoneError`: connect again), or one message cannot be put where it should go
(`MqRefusedError`).  Gets are under syncpoint; an answer is put outside of it, so that it leaves at once.
"""

import importlib
from contextlib import suppress
from typing import Any, NamedTuple

from bankmq.ibmmq_messages import Descriptor, Got
from bankmq.queue import QueueError

NO_MESSAGE = 2033
REFUSALS = {  # reason codes that speak of one destination, not of the connection
    2030: "the message is longer than the queue takes",
    2035: "not authorised",
    2051: "puts are inhibited",
    2052: "the queue was deleted",
    2053: "the queue is full",
    2082: "unknown alias",
    2085: "unknown queue",
    2086: "unknown queue manager",
    2087: "unknown remote queue manager",
    2152: "illegal name",
}
TROUBLES = {
    2009: "the connection broke",
    2035: "not authorised",
    2058: "no such queue manager",
    2059: "the queue manager is not available",
    2063: "a security error",
    2085: "unknown queue",
    2161: "the queue manager is stopping",
    2162: "the queue manager has stopped",
    2195: "an unexpected error of the client",
    2393: "TLS could not be set up",
    2537: "the channel is not available",
    2538: "the host is not available",
    2540: "no such channel",
}


class Manager(NamedTuple):
    """How to reach a queue manager: `connections` is the client's list of HOST(PORT), tried in turn; `cipher`
    and `key_repository` turn TLS on."""

    name: str
    channel: str
    connections: str
    user: str = ""
    password: str = ""
    cipher: str = ""
    key_repository: str = ""


class MqGoneError(Exception):
    """The queue manager cannot be used any more; the text is for operators."""


class MqRefusedError(Exception):
    """One message cannot be put; the text says why."""


def load_client() -> Any:
    """Return the module `ibmmq`; raises QueueError where it, or IBM's client library, is missing."""
    try:
        return importlib.import_module("ibmmq")
    except (ImportError, OSError) as error:
        raise QueueError(
            f"IBM MQ cannot be used: {error}; install IBM's MQ client and then `pip install ibmmq` "
            "(docs/IBM_MQ.md)"
        ) from error


class MqConnection:
    """One connection, and the queues that were opened on it."""

    def __init__(self, mq: Any, manager: Manager) -> None:
        """Connect; `mq` is the module.  Raises MqGoneError."""
        self._mq = mq
        self._const = mq.CMQC
        self._inputs: dict[str, Any] = {}
        self._manager = mq.QueueManager(None)
        channel = mq.CD()
        channel.ChannelName = manager.channel.encode("ascii")
        channel.ConnectionName = manager.connections.encode("ascii")
        channel.ChannelType = mq.CMQXC.MQCHT_CLNTCONN
        channel.TransportType = mq.CMQXC.MQXPT_TCP
        options: dict[str, Any] = {"cd": channel}
        if manager.cipher:
            channel.SSLCipherSpec = manager.cipher.encode("ascii")
            options["sco"] = mq.SCO(KeyRepository=manager.key_repository.encode())
        if manager.user:
            options["csp"] = mq.CSP(CSPUserId=manager.user, CSPPassword=manager.password)
        try:
            self._manager.connect_with_options(manager.name, **options)
        except mq.MQMIError as error:
            raise _gone(error) from error

    def get(self, queue: str, wait_ms: int) -> Got | None:
        """Get the next message under syncpoint, waiting so long; None when there is none.

        Raises MqGoneError.
        """
        const = self._const
        descriptor, options = self._mq.MD(), self._mq.GMO()
        options.Options = (
            const.MQGMO_SYNCPOINT
            | const.MQGMO_FAIL_IF_QUIESCING
            | const.MQGMO_NO_PROPERTIES
            | (const.MQGMO_WAIT if wait_ms else const.MQGMO_NO_WAIT)
        )
        options.WaitInterval = wait_ms
        try:
            body = self._input(queue).get(None, descriptor, options)
        except self._mq.MQMIError as error:
            if error.reason == NO_MESSAGE:
                return None
            raise _gone(error) from error
        return Got(queue, _read(descriptor), bytes(body))

    def put(self, queue: str, manager: str, descriptor: Descriptor, body: bytes, *, in_unit: bool) -> None:
        """Put a message, in the unit of work or at once; raises MqRefusedError and MqGoneError."""
        const, options = self._const, self._mq.PMO()
        unit = const.MQPMO_SYNCPOINT if in_unit else const.MQPMO_NO_SYNCPOINT
        fresh = const.MQPMO_NEW_MSG_ID if not any(descriptor.message_id) else 0
        options.Options = unit | fresh | const.MQPMO_FAIL_IF_QUIESCING
        target = self._mq.OD(ObjectName=queue.encode("ascii"), ObjectQMgrName=manager.encode("ascii"))
        try:
            self._manager.put1(target, body, self._write(descriptor), options)
        except self._mq.MQMIError as error:
            if error.reason in REFUSALS:
                raise MqRefusedError(f"{REFUSALS[error.reason]} ({error.reason})") from error
            raise _gone(error) from error

    def commit(self) -> None:
        """End the unit of work; MqGoneError leaves open whether it was done."""
        try:
            self._manager.commit()
        except self._mq.MQMIError as error:
            raise _gone(error) from error

    def back_out(self) -> None:
        """Roll the unit of work back: its messages come again, with one more in their BackoutCount."""
        try:
            self._manager.backout()
        except self._mq.MQMIError as error:
            raise _gone(error) from error

    def close(self) -> None:
        """Disconnect; what is not committed is rolled back."""
        with suppress(self._mq.MQMIError, self._mq.PYIFError):
            self._manager.backout()
            self._manager.disconnect()

    def _input(self, queue: str) -> Any:
        if queue not in self._inputs:
            how = self._const.MQOO_INPUT_SHARED | self._const.MQOO_FAIL_IF_QUIESCING
            self._inputs[queue] = self._mq.Queue(self._manager, queue, how)
        return self._inputs[queue]

    def _write(self, descriptor: Descriptor) -> Any:
        written = self._mq.MD()
        written.MsgType = descriptor.message_type
        written.MsgId = descriptor.message_id
        written.CorrelId = descriptor.correlation_id
        written.Report = descriptor.report
        written.ReplyToQ = descriptor.reply_to_queue.encode("ascii")
        written.ReplyToQMgr = descriptor.reply_to_manager.encode("ascii")
        written.Expiry = descriptor.expiry_tenths
        written.Persistence = descriptor.persistence
        written.Priority = descriptor.priority
        written.Format = descriptor.format
        written.CodedCharSetId = descriptor.character_set
        written.Encoding = descriptor.encoding
        return written


def _read(descriptor: Any) -> Descriptor:
    return Descriptor(
        message_id=bytes(descriptor.MsgId),
        correlation_id=bytes(descriptor.CorrelId),
        message_type=descriptor.MsgType,
        report=descriptor.Report,
        reply_to_queue=_name(descriptor.ReplyToQ),
        reply_to_manager=_name(descriptor.ReplyToQMgr),
        expiry_tenths=descriptor.Expiry,
        persistence=descriptor.Persistence,
        priority=descriptor.Priority,
        format=bytes(descriptor.Format),
        character_set=descriptor.CodedCharSetId,
        encoding=descriptor.Encoding,
        backout_count=descriptor.BackoutCount,
    )


def _name(padded: bytes) -> str:
    return padded.decode("ascii", "replace").rstrip(" \0")


def _gone(error: Any) -> MqGoneError:
    words = TROUBLES.get(error.reason, "the call failed")
    return MqGoneError(f"{words} (MQ reason {error.reason})")
