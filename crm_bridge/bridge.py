"""The bridge's core: what the nodes ask goes to the writers in lists, what the writers settled goes back.

Pure.  Every request gets one answer: a status of not taken when it was certainly not handed to a writer, else
what the writer says.  A writer is chosen by the account that limits the request (its lane); nobody else knows
lanes.  Every wait has a bound: a writer's list is full for credits and queries before it is full for
reversals, status queries and blocks, for which a tenth is reserved.
"""

import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from crm_bridge.closer import Closer
from crm_bridge.journal_fences import EVERY_SPACE
from qianzhi.domain.requests import PRIORITY_KINDS, Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.link.events import DrainNotice, Hello
from qianzhi.link.messages import UNREADABLE, Answer, Envelope, Status
from qianzhi.runtime.effects import Alarm, Close, Count, Effects, Event, Record, Send
from qianzhi.runtime.now import SECOND_US, Now

HOUSE_SECONDS = 30  # how long the house's own requests may wait
RESERVED_PART = 10  # one in so many places of a writer's list is kept for priority kinds

_decode = msgspec.msgpack.Decoder(Request).decode
_encode = msgspec.msgpack.Encoder().encode
_new = tuple.__new__  # makes a named tuple of all its fields, for half of what calling its class costs
_OUTCOMES: dict[int, str] = {result: result.name.lower() for result in Result}
_KINDS: dict[int, str] = {kind: kind.name.lower() for kind in Kind}


class Work(msgspec.Struct, frozen=True, gc=False):
    """One request for a writer; its credit may not be claimed after `deadline_us` (monotonic).

    `ticket` says whose it is and means nothing to the writer.
    """

    ticket: Any
    request: Request
    deadline_us: int


class Done(msgspec.Struct, frozen=True, gc=False):
    """How a writer settled one piece of work: `reply` stands with Status.OK alone."""

    ticket: Any
    status: Status
    reply: Reply | None


class Batch(NamedTuple):
    """All that a writer settled at one go; `retries` counts executions that had to be repeated, by reason."""

    done: list[Done]
    seconds: float
    retries: dict[str, int]
    alarms: list[Alarm]


class _Asker:
    """A node's connection; one that comes back is another asker, and gets no answers to the former's
    requests, because it numbers its requests anew.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class _Ticket(msgspec.Struct, eq=False, gc=False):
    """Whose request a piece of work is, and when it came (monotonic).  Compared by identity."""

    asker: _Asker
    id: int
    trace: str
    key: str
    kind: Kind
    arrived_us: int


class _HouseTicket:
    """A request of the house: of an operator, who knows it by `token`, or of our own timer (None)."""

    __slots__ = ("arrived_us", "key", "kind", "request", "token", "trace")

    def __init__(self, token: Any, request: Request, arrived: Now) -> None:
        self.token = token
        self.trace = ""
        self.request = request
        self.key = request.key.text
        self.kind = request.kind
        self.arrived_us = arrived.mono_us


class Bridge:
    """One bridge with `writers` writers, each of which may have `queue_max` requests waiting or under way.

    Effects are Sends to ("peer", name), to ("writer", number) and, for what the house asked, to
    ("house", token).
    """

    def __init__(self, name: str, writers: int, queue_max: int, closer: Closer | None = None) -> None:
        """`closer` says when business dates are to be closed; without it only an operator closes them."""
        self._name = name
        self._closer = closer
        self._queue_max = queue_max
        self._open_max = max(1, queue_max - queue_max // RESERVED_PART)
        self._waiting = [0] * writers
        self._askers: dict[str, _Asker] = {}
        self._draining = False
        self._switched = False  # the word of a hello may be old
        self._settled = 0

    def hello(self) -> Hello:
        """Return what this bridge says of itself on a new connection."""
        return Hello(self._name, "bridge", window=self._queue_max, draining=self._draining)

    @property
    def deadline(self) -> int | None:
        """When business dates are to be closed; what waits is the writers' to settle, who look at budgets."""
        return self._closer.deadline if self._closer is not None and not self._draining else None

    @property
    def idle(self) -> bool:
        """Whether no request waits for a writer's answer."""
        return not any(self._waiting)

    def status(self) -> dict[str, Any]:
        """Return figures for the status command."""
        return {
            "waiting": list(self._waiting),
            "settled": self._settled,
            "peers": sorted(self._askers),
            "draining": self._draining,
        }

    def drain(self, draining: bool) -> Effects:
        """Take no new credits and queries (or take them again), and tell all nodes of the change."""
        if draining is self._draining:
            return []
        self._draining, self._switched = draining, True
        return [Send(("peer", peer), [DrainNotice(draining)]) for peer in self._askers]

    def on_time(self, now: Now) -> Effects:
        """Ask for business dates to be closed when their hour has come."""
        if self._closer is None or self._draining:
            return []
        asked, alarms = self._closer.on_time(now)
        return [*alarms, *self._ask_house([(None, request) for request in asked], now)]

    def on_house(self, items: list[tuple[Any, Request]], now: Now) -> Effects:
        """Hand the house's own requests to the writers, also while the bridge drains.

        Each is answered once, by Send(("house", token), [Done]): with a reply where its status is OK, without
        one where it was not carried out (BUSY, EXPIRED) or where nobody knows (UNKNOWN: ask the same again,
        for the key makes it safe).  Nothing asked here is carried out after HOUSE_SECONDS but what is of
        PRIORITY_KINDS, which a writer carries out however late.
        """
        return self._ask_house(items, now)

    def on_peer_up(self, peer: str, hello: Hello, now: Now) -> Effects:
        """Take a node; nobody else has business with the core."""
        if hello.role != "node":
            return [Close(("peer", peer), "role")]
        self._askers[peer] = _Asker(peer)
        return [Send(("peer", peer), [DrainNotice(self._draining)])] if self._switched else []

    def on_peer_down(self, peer: str, reason: str, now: Now) -> Effects:
        """Forget a node; what it asked is carried out all the same, and it will ask again."""
        self._askers.pop(peer, None)
        return []

    def on_peer_draining(self, peer: str, draining: bool, now: Now) -> Effects:
        """A node that drains still waits for its answers: nothing changes here."""
        return []

    def on_answers(self, peer: str, items: list[Answer], now: Now) -> Effects:
        """The bridge asks nothing of nodes yet, so an answer is to nothing."""
        return [Count("qianzhi_link_late_answers_total", (peer,), len(items))]

    def on_requests(self, peer: str, items: list[Envelope], now: Now) -> Effects:
        """Hand a node's requests to the writers, one list each; answer at once what is not taken."""
        asker = self._askers.get(peer)
        if asker is None:
            return []
        waiting, open_max, writers = self._waiting, self._open_max, len(self._waiting)
        mono_us, draining, writer = now.mono_us, self._draining, 0
        works: list[list[Work]] = [[] for _ in waiting]
        refused: list[Answer] = []
        effects: Effects = []
        space, date, prefix = "", -1, ""  # how the key's text of the last request began
        for envelope in items:
            try:
                request = _decode(envelope.body)
            except UNREADABLE:
                refused.append(Answer(envelope.id, Status.NO_ROUTE))
                effects.append(Alarm("unreadable_request", {"peer": peer, "trace": envelope.trace}))
                continue
            if writers != 1:
                writer = lane(request, writers)
            kind, budget_ms = request.kind, envelope.budget_ms
            if draining or kind in PRIORITY_KINDS or budget_ms <= 0 or waiting[writer] >= open_max:
                status = self._refusal(kind, envelope, writer)
                if status is not None:
                    refused.append(Answer(envelope.id, status))
                    continue
            waiting[writer] += 1
            if request.date != date or request.space != space:
                space, date = request.space, request.date
                prefix = f"{space}/{date:08d}/"  # as `Key.text`
            key = prefix + request.serial
            ticket = _Ticket(asker, envelope.id, envelope.trace, key, kind, mono_us)
            works[writer].append(Work(ticket, request, mono_us + budget_ms * 1000))
        effects += [Send(("writer", number), list_of) for number, list_of in enumerate(works) if list_of]
        if refused:
            effects.append(Send(("peer", peer), refused))
            effects += _counts("qianzhi_core_refusals_total", Counter((a.status.name,) for a in refused))
        return effects

    def on_batch(self, writer: int, batch: Batch, now: Now) -> Effects:
        """Send each node its answers in one list, then note what was settled."""
        self._waiting[writer] -= len(batch.done)
        answers: dict[str, list[Answer]] = {}
        rows: list[Event] = []
        results: list[tuple[str, ...]] = []
        house: Effects = []
        asker, mine = None, None
        mono_us, wall_us = now
        for done in batch.done:
            ticket, status, reply = done.ticket, done.status, done.reply
            if type(ticket) is _HouseTicket:
                house += self._answer_house(ticket, status, reply, now)
                if ticket.request.space == EVERY_SPACE:
                    continue  # our own timer's question: nothing was asked for
            else:
                if ticket.asker is not asker:
                    asker, mine = ticket.asker, self._answers_for(ticket.asker, answers)
                if mine is not None:
                    mine.append(Answer(ticket.id, status, _encode(reply) if reply is not None else b""))
            kind = _KINDS[ticket.kind]
            if reply is not None:
                outcome, order = _OUTCOMES[reply.result], reply.order
            else:
                outcome, order = status.name.lower(), ""
            results.append((kind, outcome))
            took_us = mono_us - ticket.arrived_us
            data = {"kind": kind, "result": outcome, "order": order, "took_us": took_us}
            rows.append(_new(Event, (wall_us, "core", ticket.key, ticket.trace, data)))
        effects: Effects = [Send(("peer", peer), list_of) for peer, list_of in answers.items()]
        effects += house
        # The journal is the core's record; these rows only help to follow a request, so they come last.
        effects.append(Record(rows))
        self._settled += len(rows)
        effects += _counts("qianzhi_core_results_total", Counter(results))
        effects += _counts("qianzhi_core_retries_total", {(why,): n for why, n in batch.retries.items()})
        return effects + list(batch.alarms)

    def _answers_for(self, asker: _Asker, answers: dict[str, list[Answer]]) -> list[Answer] | None:
        """Return the list in which an asker's answers go back, None of one that is gone."""
        if self._askers.get(asker.name) is not asker:
            return None
        return answers.setdefault(asker.name, [])

    def _ask_house(self, items: Sequence[tuple[Any, Request]], now: Now) -> Effects:
        works: list[list[Work]] = [[] for _ in self._waiting]
        effects: Effects = []
        deadline_us = now.mono_us + HOUSE_SECONDS * SECOND_US
        for token, request in items:
            ticket = _HouseTicket(token, request, now)
            writer = lane(request, len(works))
            if self._waiting[writer] >= self._queue_max:
                effects += self._answer_house(ticket, Status.BUSY, None, now)
                continue
            self._waiting[writer] += 1
            works[writer].append(Work(ticket, request, deadline_us))
        return [*effects, *(Send(("writer", n), list_of) for n, list_of in enumerate(works) if list_of)]

    def _answer_house(self, ticket: _HouseTicket, status: Status, reply: Reply | None, now: Now) -> Effects:
        """Answer an operator, or go on with our own timer's round."""
        if ticket.token is not None:
            return [Send(("house", ticket.token), [Done(ticket.token, status, reply)])]
        if self._closer is None:
            return []
        more, alarms = self._closer.on_answer(ticket.request, reply, now)
        return [*alarms, *self._ask_house([(None, request) for request in more], now)]

    def _refusal(self, kind: Kind, envelope: Envelope, writer: int) -> Status | None:
        """Return why a request is not taken; reversals, status queries and blocks pass a drain."""
        priority = kind in PRIORITY_KINDS
        if not priority and self._draining:
            return Status.DRAINING
        if not priority and envelope.budget_ms <= 0:
            return Status.EXPIRED
        if self._waiting[writer] >= (self._queue_max if priority else self._open_max):
            return Status.BUSY
        return None


def lane(request: Request, writers: int) -> int:
    """Choose the writer: the same one for all requests about a phone, else about a key.

    Only a saving, never a condition: two writers that meet on one account are kept apart by the database.
    """
    if writers == 1:
        return 0
    return zlib.crc32((request.phone or request.key.text).encode("utf-8", "replace")) % writers


def _counts(name: str, figures: dict[tuple[str, ...], int]) -> Sequence[Count]:
    return [Count(name, labels, n) for labels, n in figures.items()]
