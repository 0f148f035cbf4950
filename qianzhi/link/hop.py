"""One hop of a request: to one of several interchangeable peers, one re-send, one outcome whatever happens.

Pure.  The rules are those of money: nothing is sent whose time is spent; a job goes out again only once,
with the same key and attempt + 1, after its first peer died or said that it is draining; and an outcome is
`certain` only when no peer can have passed the job on.  Front-ends use it towards nodes, nodes towards
bridges and, outward, towards front-ends.

A peer is judged by use, not by its connection alone: one that takes jobs and answers none is silent, and
gets nothing while a partner answers.  What it holds already stays with it: only death makes a second attempt.
"""

from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Annotated

import annotated_types
import msgspec

from qianzhi.link.messages import NOT_TAKEN, Answer, Envelope, Status
from qianzhi.link.peers import STRIDE, TRIAL_US, WEIGHT, Peer, able_of, choose, least_of
from qianzhi.runtime.effects import Alarm, Count, Effects, Send
from qianzhi.runtime.now import Now
from qianzhi.runtime.table import table

SENDS_MAX = 2  # the first one and one re-send: an unknown outcome never leads to silent further tries
BUDGET_US_MIN = 1_000  # a budget travels in whole milliseconds; less than one is spent


@table
class HopLimits:
    """`window` requests outstanding per peer, a tenth of them for priority; longer bodies are never sent.

    `run` jobs of a list, one after the other, go to the same peer: what a wake-up and a transaction cost is
    shared by those that travel together.
    """

    window: int = 4_000
    run: Annotated[int, annotated_types.Ge(1)] = 1
    body_bytes_max: int = 262_144


class Job(msgspec.Struct, frozen=True, gc=False):
    """One request to be passed on.

    `ticket` comes back with the outcome; `deadline_us` is monotonic; `attempt` is what the hop before said
    (1 where there is none).  The rest is the envelope's.
    """

    ticket: Hashable
    to: str
    kind: int
    lane: int
    deadline_us: int
    priority: int
    trace: str
    key: str
    body: bytes
    attempt: int = 1


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What became of a job; every job gets exactly one.

    `certain` says that the job was certainly not passed on, and then `status` says why; a status of not
    taken never comes without it.  `OK` has the answer's body.  `attempts` counts our sends, `peer` is the
    last one asked.
    """

    ticket: Hashable
    status: Status
    body: bytes
    attempts: int
    certain: bool
    peer: str


class _Work(msgspec.Struct, gc=False, eq=False):
    """A job under way; `maybe_forwarded` once a peer died that held it."""

    job: Job
    deadline_us: int
    sends: int = 0
    peer: str = ""
    number: int = 0
    maybe_forwarded: bool = False
    done: bool = False


class Hop:
    """Jobs in, envelopes out, answers in, outcomes out; over peers that can stand in for each other."""

    def __init__(
        self,
        limits: HopLimits,
        peers: Iterable[str] = (),
        ids: Iterator[int] | None = None,
        weights: Mapping[str, int] | None = None,
    ) -> None:
        """Start with every configured peer down; `weights` says who takes how much beside the others.

        `ids` is given where several hops share the connections; ids are never used again, so that an answer
        from an earlier life of a connection finds nothing.
        """
        self._limits = limits
        self._weights = weights or {}
        self._peers = {name: self._new(name) for name in peers}
        self._list = list(self._peers.values())
        self._ids = ids if ids is not None else count(1)
        self._live = 0
        self._numbers = count()
        self._deadlines: list[tuple[int, int, _Work]] = []
        self._orphans: deque[_Work] = deque()
        self._outcomes: list[Outcome] = []

    @property
    def peers(self) -> Sequence[Peer]:
        """All peers, configured ones first, then in the order of their coming."""
        return self._list

    @property
    def in_flight(self) -> int:
        """How many jobs wait for their outcome."""
        return self._live

    @property
    def room(self) -> int:
        """How many jobs without priority all healthy peers together hold."""
        return sum(peer.window_normal for peer in self._list if peer.healthy)

    @property
    def deadline(self) -> int | None:
        """When `on_time` is due next, in monotonic microseconds."""
        heap = self._deadlines
        if not self._live:
            heap.clear()  # all are done
            return None
        while heap[0][2].done:
            heappop(heap)
        return heap[0][0]

    def holds(self, peer: str, envelope: int) -> bool:
        """Whether this id is outstanding with that peer here."""
        return peer in self._peers and envelope in self._peers[peer].works

    def take_outcomes(self) -> list[Outcome]:
        """Return the outcomes since the last call, oldest first."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def submit(self, items: list[Job], now: Now) -> Effects:
        """Send new jobs; what nobody may take has its certain outcome at once, because nothing waits here."""
        batches: dict[str, list[Envelope]] = {}
        able = (
            able_of(self._list, False, now),
            able_of(self._list, True, now),
        )  # nobody comes or goes meanwhile
        silent = self._silent(able[0], now)
        trials = [peer for peer in silent if not peer.works and now.mono_us - peer.tried_us >= TRIAL_US]
        spent_us = now.mono_us + BUDGET_US_MIN
        body_bytes_max = self._limits.body_bytes_max if self._list else -1
        same: Peer | None = None
        left = 0  # jobs that the same peer takes besides
        for job in items:
            priority = job.priority > 0
            if job.deadline_us < spent_us:
                self._refuse(job, Status.EXPIRED)
                continue
            if len(job.body) > body_bytes_max:
                self._refuse(job, Status.NO_ROUTE)
                continue
            peer = self._trial(trials, priority, now) if trials else None
            if peer is None and same is not None and left and not priority and same.has_room:
                peer, left = same, left - 1
            elif peer is None:
                peer = least_of(able[priority], priority)
                if not priority:
                    same, left = peer, self._limits.run - 1
            if peer is None:
                self._refuse(job, Status.BUSY)
                continue
            work = _Work(job, job.deadline_us)
            self._live += 1
            heappush(self._deadlines, (job.deadline_us, next(self._numbers), work))
            self._send(work, peer, now, batches)
        return _sends(batches) + _notes(silent)

    def on_peer_up(self, peer: str, now: Now, window: int = 0) -> Effects:
        """Use a peer; `window` is what it takes at once (0: no word on it).  A peer seen first is added."""
        state = self._peers.get(peer)
        if state is None:
            state = self._peers[peer] = self._new(peer)
            self._list.append(state)
        self._bury(state)  # up already: this is another connection, and the former one is dead
        state.resize(min(window, self._limits.window) if window > 0 else self._limits.window)
        others = [other.passed for other in self._list if other.up]
        state.passed = max(state.passed, min(others, default=0))  # no turns are owed for the time away
        state.connected()
        return self._place_orphans(now)

    def on_peer_down(self, peer: str, now: Now) -> Effects:
        """Give a peer up: what it held goes to a partner, once; what went out twice already is unknown."""
        state = self._peers.get(peer)
        if state is None or not state.up:
            return []
        self._bury(state)
        return self._place_orphans(now)

    def on_peer_draining(self, peer: str, draining: bool, now: Now) -> Effects:
        """Give a peer nothing new from now on, or use it again; what it holds may finish."""
        state = self._peers.get(peer)
        if state is None or not state.up:
            return []
        state.draining = draining
        return self._place_orphans(now)

    def on_answers(self, peer: str, answers: list[Answer], now: Now) -> Effects:
        """Settle what is answered; late, repeated and unknown answers are counted and dropped."""
        state = self._peers.get(peer)
        if state is None:
            return [Count("qianzhi_link_late_answers_total", (peer,), len(answers))]
        state.heard(answers, now)
        works = state.works
        batches: dict[str, list[Envelope]] = {}
        late = 0
        for answer in answers:
            work = works.pop(answer.id, None)
            if work is None:
                late += 1
            elif answer.status is Status.DRAINING and self._send_elsewhere(work, now, batches):
                continue
            else:
                self._finish(work, answer.status, answer.body)
        state.rest(now)
        effects = _sends(batches)
        if late:
            effects.append(Count("qianzhi_link_late_answers_total", (peer,), late))
        return effects + self._place_orphans(now) if self._orphans else effects

    def on_time(self, now: Now) -> Effects:
        """End every job whose time is spent: unknown when it was sent, expired when it never was."""
        heap = self._deadlines
        while heap and (heap[0][2].done or heap[0][0] <= now.mono_us):
            work = heappop(heap)[2]
            if not work.done:
                self._forget(work)
                self._finish(work, Status.UNKNOWN if work.sends else Status.EXPIRED)
        if any(work.done for work in self._orphans):
            self._orphans = deque(work for work in self._orphans if not work.done)
        return self._place_orphans(now)

    def _new(self, name: str) -> Peer:
        return Peer(name, self._limits.window, self._weights.get(name, WEIGHT))

    def _silent(self, able: list[Peer], now: Now) -> list[Peer]:
        """Return the peers that are passed over for their silence, because others answer."""
        return [peer for peer in self._list if peer.healthy and peer not in able and peer.silent(now)]

    def _trial(self, trials: list[Peer], priority: bool, now: Now) -> Peer | None:
        """Return a silent peer whose time has come to be tried, with one job that is no reversal.

        What it held is over, so that no answer would ever end its silence; it may be well again.
        """
        if priority or not trials:
            return None
        peer = trials.pop()
        peer.tried_us = now.mono_us
        return peer

    def _bury(self, state: Peer) -> None:
        state.up = state.draining = False
        works, state.works = list(state.works.values()), {}
        for work in works:
            work.maybe_forwarded = True
            if work.sends < SENDS_MAX:
                self._orphans.append(work)
            else:
                self._finish(work, Status.UNKNOWN)

    def _send(self, work: _Work, peer: Peer, now: Now, batches: dict[str, list[Envelope]]) -> None:
        job = work.job
        number = next(self._ids)
        batch = batches.get(peer.name)
        if batch is None:
            batch = batches[peer.name] = []
            peer.asked(now)  # once for a list, before it holds any of it
        peer.works[number] = work
        work.peer, work.number = peer.name, number
        work.sends += 1
        peer.passed += STRIDE // peer.weight
        batch.append(
            Envelope(
                number,
                job.attempt + work.sends - 1,
                job.to,
                job.kind,
                job.lane,
                (work.deadline_us - now.mono_us) // 1_000,
                job.priority,
                job.trace,
                job.body,
                job.key,
            )
        )

    def _send_elsewhere(self, work: _Work, now: Now, batches: dict[str, list[Envelope]]) -> bool:
        """Send what a draining peer did not take to another one, where there is room and time."""
        if work.sends >= SENDS_MAX or work.deadline_us - now.mono_us < BUDGET_US_MIN:
            return False
        others = [peer for peer in self._list if peer.name != work.peer]
        peer = choose(others, work.job.priority > 0, now)
        if peer is not None:
            self._send(work, peer, now, batches)
        return peer is not None

    def _place_orphans(self, now: Now) -> Effects:
        """Send again what died with its peer, as far as there is room; the rest waits until its deadline."""
        if not self._orphans:
            return []
        batches: dict[str, list[Envelope]] = {}
        waiting: deque[_Work] = deque()
        for work in self._orphans:
            if work.done:
                continue
            peer = None
            if work.deadline_us - now.mono_us >= BUDGET_US_MIN:
                peer = choose(self._list, work.job.priority > 0, now, avoid=work.peer)
            if peer is None:
                waiting.append(work)
            else:
                self._send(work, peer, now, batches)
        self._orphans = waiting
        counts: Effects = [
            Count("qianzhi_link_resends_total", (peer_name,), len(items))
            for peer_name, items in batches.items()
        ]
        return _sends(batches) + counts

    def _forget(self, work: _Work) -> None:
        """Take a job off the peer that holds it; its answer will be late."""
        if work.sends:
            self._peers[work.peer].works.pop(work.number, None)

    def _finish(self, work: _Work, status: Status, body: bytes = b"") -> None:
        certain = status in NOT_TAKEN and not work.maybe_forwarded
        if status in NOT_TAKEN and not certain:
            status = Status.UNKNOWN
        work.done = True
        self._live -= 1
        self._outcomes.append(Outcome(work.job.ticket, status, body, work.sends, certain, work.peer))
        if len(self._deadlines) > 64 + 4 * self._live:
            self._deadlines[:] = [entry for entry in self._deadlines if not entry[2].done]
            heapify(self._deadlines)

    def _refuse(self, job: Job, status: Status) -> None:
        self._outcomes.append(Outcome(job.ticket, status, b"", 0, True, ""))


def _sends(batches: dict[str, list[Envelope]]) -> Effects:
    """One list per peer."""
    return [Send(("peer", peer), items) for peer, items in batches.items()]


def _notes(silent: list[Peer]) -> Effects:
    """Tell of each silence once."""
    new = [peer for peer in silent if not peer.noted]
    for peer in new:
        peer.noted = True
    return [Alarm("peer_silent", {"peer": peer.name}) for peer in new]
