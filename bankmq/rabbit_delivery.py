"""What a message of a bank's queue is to the front: its delivery, its expiry, and what is wrong with it.
Pure."""

from bankmq.amqp_messages import SECOND_US, AmqpMessage, Properties
from bankmq.amqp_names import BankNames
from bankmq.queue import Delivery

# Faults of a message around its body, as they are recorded and stand in `.bo` as its reason.
NO_REPLY_TO = "no_reply_to"
FOREIGN_REPLY_TO = "foreign_reply_to"
TOO_LONG = "too_long"
EMPTY = "empty"


def delivery_of(message: AmqpMessage, names: BankNames, bytes_max: int, now_us: int) -> Delivery:
    """Return the delivery that a front handles; `now_us` is wall time."""
    properties = message.properties
    return Delivery(
        tag=message.tag,
        queue=message.queue,
        message_id=_bytes(properties.message_id),
        body=message.body,
        reply_to=_bytes(properties.reply_to),
        expires_us=expires_us(properties, now_us),
        failures=message.failures,
        fault=fault_of(message, names, bytes_max),
    )


def fault_of(message: AmqpMessage, names: BankNames, bytes_max: int) -> str:
    """Name what makes a message unservable before its body is read; empty for nothing.

    A bank that could name any queue as its reply queue would write into others' queues with our rights.
    """
    reply_to = message.properties.reply_to
    if not reply_to:
        return NO_REPLY_TO
    if not names.may_reply_to(reply_to):
        return FOREIGN_REPLY_TO
    if not message.body:
        return EMPTY
    return TOO_LONG if len(message.body) > bytes_max else ""


def expires_us(properties: Properties, now_us: int) -> int:
    """Return the wall time after which a message must not be forwarded, 0 for never.

    The broker drops what has expired in its queue, but says nothing of how long a message waited there; the
    sender's timestamp, in whole seconds, does.  Without one the time counts from the delivery.
    """
    if properties.expiration_ms is None:
        return 0
    start_us = now_us
    if properties.timestamp is not None:
        start_us = min(now_us, properties.timestamp * SECOND_US)
    return max(1, start_us + properties.expiration_ms * 1_000)


def _bytes(text: str | bytes | None) -> bytes:
    return text.encode() if isinstance(text, str) else text or b""
