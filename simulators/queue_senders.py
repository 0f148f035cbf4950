"""A simulated bank's end of its queues, whichever engine the site serves them with.

    zeromq      a socket for each of the two queues, connected to every instance of the bank's front-end
    rabbitmq    one session with the broker, as the bank's own user, with a reply queue of this program alone

What is common is small: documents with tickets go out, answers with tickets come back.
"""

from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

from bankmq.kept import KeepLimits, Outcome
from bankmq.sender import ZmqSender
from frontends.profile import Profile
from qianzhi.link.tables import BankPlace, Site
from qianzhi.runtime import clock
from simulators.line import CONTROL, MAIN, Incoming, Outgoing
from simulators.message_ids import MessageIds

Take = Callable[[list[Incoming]], None]


class QueueSenders(Protocol):
    """Carries documents to a bank's queues and brings the answers."""

    def start(self) -> None:
        """Connect, and stay connected."""

    def submit(self, items: list[Outgoing]) -> None:
        """Send documents, each kept until its answer."""

    def settled(self, tickets: list[int]) -> None:
        """Want no answer to these any more."""

    def stop(self) -> None:
        """Close at once."""


class DirectSenders:
    """Two ZeroMQ senders; without a control address everything takes the main one."""

    def __init__(self, bank: str, place: BankPlace, limits: KeepLimits, take: Take, reactor: Any) -> None:
        """Nothing is opened yet; `take` hears of answers."""
        self._ids = MessageIds(bank, clock.now().wall_us)
        self._take = take
        places = [place.at(instance) for instance in range(1, place.instances + 1)]
        lines = {MAIN: [at.listen for at in places], CONTROL: [at.control for at in places if at.control]}
        self._senders = {
            name: ZmqSender(ends[0], limits, self._on_outcomes, reactor, ends[1:])
            for name, ends in lines.items()
            if ends
        }

    def start(self) -> None:
        """Connect; a queue stands from the start, whoever is at the other end."""
        for sender in self._senders.values():
            sender.start()

    def submit(self, items: list[Outgoing]) -> None:
        """Send documents, and send them again until they are answered."""
        for endpoint, some in groupby(items, lambda item: item.endpoint):
            sender = self._senders.get(endpoint) or self._senders[MAIN]
            sender.submit([(self._ids.of(item.ticket), item.frame) for item in some])

    def settled(self, tickets: list[int]) -> None:
        """Send these no more."""
        message_ids = [self._ids.of(ticket) for ticket in tickets]
        for sender in self._senders.values():
            sender.drop(message_ids)

    def stop(self) -> None:
        """Close at once; what has no answer stays unanswered."""
        for sender in self._senders.values():
            sender.stop()

    def _on_outcomes(self, outcomes: list[Outcome]) -> None:
        take_answers(outcomes, self._ids, self._take)


def queue_senders(
    site: Site, profile: Profile, config: Path, limits: KeepLimits, take: Take, reactor: Any
) -> QueueSenders:
    """Return what carries this bank's documents in this site; raises NoLineError and KeyReferenceError.

    `config` is the folder that relative paths of references start from.
    """
    place = site.banks[profile.name]
    if profile.engine == "zeromq":
        return DirectSenders(profile.name, place, limits, take, reactor)
    from simulators.broker_lines import BrokerSenders, bank_broker  # loads pika, which few lines need

    return BrokerSenders(bank_broker(site, profile, config), take, reactor)


def take_answers(outcomes: list[Outcome], ids: MessageIds, take: Take) -> None:
    """Hand on the answers among the outcomes, under their tickets."""
    items = [
        Incoming(outcome.body, ids.ticket(outcome.message_id))
        for outcome in outcomes
        if outcome.end == "answered"
    ]
    if items:
        take(items)
