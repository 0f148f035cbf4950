"""A simulated bank's queues on RabbitMQ: for traffic on the reactor, and for single requests that block.

The bank logs in as its own user, writes to its own exchange alone, and reads the answers from a reply queue
that no other program has.
"""

from pathlib import Path
from typing import Any, NamedTuple

from bankmq.amqp import Broker
from bankmq.amqp_names import BankNames, bank_names
from bankmq.kept import Outcome
from bankmq.rabbit_sender import RabbitSender
from bankmq.rabbit_sender_kept import Message, PublishLimits
from bankmq.rabbit_sender_once import BrokerGoneError, RabbitCaller
from frontends.profile import Profile
from qianzhi.link.site import parse_address
from qianzhi.link.tables import Site
from qianzhi.runtime import clock
from qianzhi.runtime.secrets import resolve_password
from simulators.bank_tls import BankTls, bank_tls
from simulators.connections import LineGoneError
from simulators.line import CONTROL, Incoming, Outgoing
from simulators.lines import NoLineError
from simulators.message_ids import MessageIds
from simulators.queue_senders import Take, take_answers


class BankBroker(NamedTuple):
    """The site's broker as one bank reaches it; `tls` is the bank's side of a protected line."""

    bank: str
    names: BankNames
    broker: Broker
    tls: BankTls | None
    one_queue: bool

    def messages(self, items: list[Outgoing], ids: MessageIds) -> list[Message]:
        """Return documents as messages of the queue; with one queue everything takes the main one."""
        return [
            Message(ids.of(item.ticket), item.frame, item.endpoint == CONTROL and not self.one_queue)
            for item in items
        ]


def bank_broker(site: Site, profile: Profile, config: Path) -> BankBroker:
    """Return the broker that serves this bank; `config` is the folder that relative paths start from.

    Raises NoLineError where the site does not say enough, and KeyReferenceError.
    """
    table = site.broker
    if profile.engine != "rabbitmq" or table is None:
        raise NoLineError(f"the simulators have no queue of {profile.name} on {profile.engine}")
    reference = site.banks[profile.name].password
    if not reference:
        where = f"banks.{profile.name}.password in {site.file}"
        raise NoLineError(f"there is no line of {profile.name} without its password at the broker: {where}")
    names, tls = bank_names(table.prefix, profile.name), bank_tls(site, table.tls, config)
    broker = Broker(
        hosts=tuple(parse_address(host) for host in table.hosts),
        vhost=table.vhost,
        user=names.user,
        password=resolve_password(reference, production=site.production, base=config),
        heartbeat_seconds=table.heartbeat_seconds,
        blocked_seconds=table.blocked_seconds,
        retry_seconds_max=1.0,
        tls=tls.protection().client if tls is not None else None,
    )
    return BankBroker(profile.name, names, broker, tls, profile.transport.one_queue)


class BrokerSenders:
    """One sender on the reactor."""

    def __init__(self, bank: BankBroker, take: Take, reactor: Any) -> None:
        """Nothing is opened yet; `take` hears of answers."""
        run = clock.now().wall_us
        self._bank = bank
        self._ids = MessageIds(bank.bank, run)
        self._take = take
        self._sender = RabbitSender(
            bank.names, bank.broker, f".traffic-{run:x}", PublishLimits(), self._on_outcomes, reactor
        )

    def start(self) -> None:
        """Dial the broker."""
        self._sender.start()

    def submit(self, items: list[Outgoing]) -> None:
        """Publish documents; the broker keeps them once it has confirmed them."""
        self._sender.submit(self._bank.messages(items, self._ids))

    def settled(self, tickets: list[int]) -> None:
        """Want no answer to these any more."""
        self._sender.drop([self._ids.of(ticket) for ticket in tickets])

    def stop(self) -> None:
        """Close."""
        self._sender.stop()

    def _on_outcomes(self, outcomes: list[Outcome]) -> None:
        take_answers(outcomes, self._ids, self._take)


class BrokerConnection:
    """One connection that blocks."""

    def __init__(self, bank: BankBroker) -> None:
        """Connect; raises LineGoneError."""
        self._bank = bank
        self._ids = MessageIds(bank.bank, clock.now().wall_us)
        broker, tls = bank.broker, bank.tls
        context = tls.context() if tls is not None else None
        name = tls.server_name("") if tls is not None else ""
        try:
            self._caller = RabbitCaller(
                bank.names, broker.hosts, broker.vhost, broker.password, context, name
            )
        except BrokerGoneError as error:
            raise LineGoneError(str(error)) from error

    def send(self, items: list[Outgoing]) -> None:
        """Publish documents; raises LineGoneError when the broker does not take them."""
        try:
            self._caller.publish(self._bank.messages(items, self._ids))
        except BrokerGoneError as error:
            raise LineGoneError(str(error)) from error

    def receive(self, seconds: float) -> list[Incoming]:
        """Return the documents that came, none when `seconds` passed; raises LineGoneError."""
        try:
            answers = self._caller.receive(seconds)
        except BrokerGoneError as error:
            raise LineGoneError(str(error)) from error
        return [Incoming(body, self._ids.ticket(message_id)) for message_id, body in answers]

    def close(self) -> None:
        """Close."""
        self._caller.close()
