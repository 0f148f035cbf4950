"""What a link tells the core above it, and how a wake-up's worth of it is handed over.

Pure.  The same core sits on real sockets (`link.shell`) and in the simulated world; both call `deliver`.
"""

from typing import NamedTuple, Protocol

import msgspec

from qianzhi.link.messages import Answer, Envelope
from qianzhi.runtime.effects import Effects
from qianzhi.runtime.now import Now

LINK_VERSION = 1


class OutwardTerms(msgspec.Struct, array_like=True, frozen=True):
    """What a node must know of a destination before it asks it for money; the bank's profile says it.

    `space` is the serial space of our charges there, `number` the bank number under which they are credited;
    a serial has `serial_digits` digits, none of which is left out.  `policy` is on_timeout, on_late_approval
    or none (money rule 7).  An answer is awaited for `answer_ms`, a late one for `late_seconds`.  `reverses`,
    `refunds` and `advises` say which of the three this destination takes; one that advises is told by an
    ADVICE of every charge that was credited, and takes the money only then.
    """

    bank: str
    space: str
    number: str
    policy: str
    serial_digits: int
    answer_ms: int
    late_seconds: int = 0
    reverses: bool = False
    refunds: bool = False
    advises: bool = False


class Hello(msgspec.Struct, array_like=True, frozen=True):
    """Who a peer is: the first thing said on a connection, covered by both proofs.

    `role` is front, node or bridge; `banks` and `numbers` are what a front registers; `window` how many
    requests it takes at once (0: no word on it); `draining` says that it wants nothing new.  `outward` is
    what a front's bank may be asked for by us.
    """

    name: str
    role: str
    version: int = LINK_VERSION
    banks: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    window: int = 0
    draining: bool = False
    outward: tuple[OutwardTerms, ...] = ()


class PeerUp(NamedTuple):
    """A peer has proved itself; it is connected from now on."""

    hello: Hello


class PeerDown(NamedTuple):
    """A peer's connection is gone; what was outstanding with it will not be answered."""

    reason: str


class Requests(NamedTuple):
    """Requests that the peer sent, oldest first."""

    items: list[Envelope]


class Answers(NamedTuple):
    """The peer's answers to requests of ours, oldest first."""

    items: list[Answer]


class PeerDraining(NamedTuple):
    """The peer wants nothing new (`draining`), or is back."""

    draining: bool


LinkEvent = PeerUp | PeerDown | Requests | Answers | PeerDraining


class DrainNotice(NamedTuple):
    """An item of a Send: tell the peer that we want nothing new (`draining`), or are back.

    It is said once for each change.  Held back with a record, it would leave the peer wrong for good.
    """

    draining: bool

    @property
    def unrecorded(self) -> bool:
        """It rests on no record (`effects.Send.rests_on_records`)."""
        return True


class LinkCore(Protocol):
    """What a daemon's core answers to; every method takes one peer's list of one wake-up."""

    def on_peer_up(self, peer: str, hello: Hello, now: Now) -> Effects:
        """Take a new peer."""

    def on_peer_down(self, peer: str, reason: str, now: Now) -> Effects:
        """Give up a peer and what was outstanding with it."""

    def on_peer_draining(self, peer: str, draining: bool, now: Now) -> Effects:
        """Send a peer nothing new, or use it again."""

    def on_requests(self, peer: str, items: list[Envelope], now: Now) -> Effects:
        """Take a peer's requests."""

    def on_answers(self, peer: str, items: list[Answer], now: Now) -> Effects:
        """Take a peer's answers."""


def deliver(core: LinkCore, items: list[tuple[str, LinkEvent]], now: Now) -> Effects:
    """Hand one wake-up's events to the core, in order; return all that it wants done."""
    effects: Effects = []
    for peer, event in items:
        match event:
            case Requests(requests):
                effects += core.on_requests(peer, requests, now)
            case Answers(answers):
                effects += core.on_answers(peer, answers, now)
            case PeerUp(hello):
                effects += core.on_peer_up(peer, hello, now)
            case PeerDown(reason):
                effects += core.on_peer_down(peer, reason, now)
            case PeerDraining(draining):
                effects += core.on_peer_draining(peer, draining, now)
    return effects
