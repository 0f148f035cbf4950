"""A bank's end of its queues on RabbitMQ for single requests: a connection that blocks, without a reactor.

For the command that plays a bank once, and for tests: it shares nothing with `amqp`, so that a mistake of
our session is not hidden by the same mistake at the other end.
"""

import ssl
from contextlib import suppress
from typing import Any

import pika
import pika.exceptions

from bankmq.amqp_names import BankNames
from bankmq.rabbit_sender_kept import Message
from qianzhi.runtime import clock
from qianzhi.runtime.now import SECOND_US

ATTEMPT_SECONDS = 5
UNUSED = "the broker at {0}:{1} cannot be used as {2}: {3}"


class BrokerGoneError(Exception):
    """The broker is not there, refuses, or has no queue of this bank; the text is for people."""


class RabbitCaller:
    """One connection with a reply queue of its own, which ends with it."""

    def __init__(
        self,
        names: BankNames,
        hosts: tuple[tuple[str, int], ...],
        vhost: str,
        password: str,
        tls: ssl.SSLContext | None = None,
        server_name: str = "",
    ) -> None:
        """Connect to the first of `hosts` that answers; raises BrokerGoneError."""
        self._names = names
        self._answers: list[tuple[bytes, bytes]] = []
        self._returned: list[bytes] = []
        login = pika.PlainCredentials(names.user, password)
        places = [
            pika.ConnectionParameters(
                host,
                port,
                vhost,
                login,
                socket_timeout=ATTEMPT_SECONDS,
                stack_timeout=ATTEMPT_SECONDS,
                blocked_connection_timeout=ATTEMPT_SECONDS,
                heartbeat=30,
                ssl_options=pika.SSLOptions(tls, server_name or host) if tls is not None else None,
            )
            for host, port in hosts
        ]
        try:
            self._connection = pika.BlockingConnection(places)
            self._channel = self._connection.channel()
            self._open()
        except (pika.exceptions.AMQPError, OSError) as error:
            host, port = hosts[0]
            raise BrokerGoneError(UNUSED.format(host, port, names.user, _words(error))) from error

    def publish(self, items: list[Message]) -> None:
        """Publish messages, each confirmed before the next; raises BrokerGoneError."""
        for item in items:
            properties = pika.BasicProperties(
                message_id=item.message_id.decode("ascii"),
                reply_to=self._reply,
                delivery_mode=pika.DeliveryMode.Persistent.value,
                timestamp=clock.now().wall_us // SECOND_US,
            )
            key = self._names.control if item.control else self._names.main
            try:
                self._channel.basic_publish(self._names.exchange, key, item.body, properties, mandatory=True)
            except pika.exceptions.UnroutableError as error:
                raise BrokerGoneError(f"the broker has no queue {key}: has the front-end started?") from error
            except (pika.exceptions.AMQPError, OSError) as error:
                raise BrokerGoneError(f"the broker did not take the message: {_words(error)}") from error

    def receive(self, seconds: float) -> list[tuple[bytes, bytes]]:
        """Return answers as (message id of the request, body), none when `seconds` have passed.

        Raises BrokerGoneError.
        """
        until_us = clock.now().mono_us + int(seconds * SECOND_US)
        try:
            while not self._answers and (left_us := until_us - clock.now().mono_us) > 0:
                self._connection.process_data_events(left_us / SECOND_US)
        except (pika.exceptions.AMQPError, OSError) as error:
            raise BrokerGoneError(f"the connection to the broker was lost: {_words(error)}") from error
        answers, self._answers = self._answers, []
        return answers

    def close(self) -> None:
        """Close; the reply queue goes with the connection."""
        with suppress(pika.exceptions.AMQPError, OSError):
            self._connection.close()

    def _open(self) -> None:
        """Declare the reply queue, consume it, and ask for confirms."""
        self._reply = f"{self._names.reply}.once-{clock.now().wall_us:x}"
        self._channel.queue_declare(self._reply, exclusive=True)
        self._channel.basic_consume(self._reply, self._take, auto_ack=True)
        self._channel.confirm_delivery()

    def _take(self, _channel: Any, _method: Any, properties: Any, body: bytes) -> None:
        self._answers.append(((properties.correlation_id or "").encode("utf-8"), body))


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
