"""A hop against peers that come, go, drain, lie silent, answer late, twice or in any order; time jumps.

The model below knows only what went over the hop's edges: what was sent when, what was answered, who died.
"""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from qianzhi.link.hop import Hop, HopLimits, Job, Outcome
from qianzhi.link.messages import NOT_TAKEN, Answer, Envelope, Status
from qianzhi.runtime.effects import Count, Effects, Send
from qianzhi.runtime.now import Now

PEERS = ("left", "right", "third")
SILENT_US = 500_000
PATIENCE_US_MAX = 4_000_000
FORGET_US = 60_000_000
WINDOW = 5
NORMAL = 4  # a tenth is kept for priority, at least one place


@dataclass
class Sent:
    """One envelope as the peers saw it."""

    number: int
    ticket: int
    peer: str
    life: int
    answered: Status | None = None
    died: bool = False


@dataclass
class Asked:
    """One job as the hop's user saw it."""

    deadline_us: int
    priority: int
    sends: list[Sent] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)


class HopAdversary(RuleBasedStateMachine):
    envelopes = Bundle("envelopes")

    def __init__(self) -> None:
        super().__init__()
        self.hop = Hop(HopLimits(window=WINDOW), PEERS[:2])
        self.now = Now(1_000_000, 1_700_000_000_000_000)
        self.up: dict[str, int] = {}
        self.draining: set[str] = set()
        self.owing: dict[str, int] = {}  # since when a peer has owed an answer without giving any
        self.patience: dict[
            str, int
        ] = {}  # what it is given, once it was silent and answered, and since when
        self.slow: dict[str, int] = {}
        self.given: dict[str, int] = {}  # when it was last given a job
        self.lives = 0
        self.asked: dict[int, Asked] = {}
        self.sent: dict[int, Sent] = {}
        self.late = 0
        self.late_counted = 0

    # --- what the adversary may do

    @rule(
        jobs=st.lists(
            st.tuples(st.sampled_from([0, 500, 1_000, 50_000, 3_000_000]), st.sampled_from([0, 0, 0, 1])),
            min_size=1,
            max_size=6,
        )
    )
    def submit(self, jobs: list[tuple[int, int]]) -> None:
        items = []
        for left_us, priority in jobs:
            ticket = len(self.asked)
            self.asked[ticket] = Asked(self.now.mono_us + left_us, priority)
            body = f"body {ticket}".encode()
            items.append(
                Job(
                    ticket,
                    "123",
                    2,
                    7,
                    self.now.mono_us + left_us,
                    priority,
                    f"t{ticket}",
                    f"k{ticket}",
                    body,
                )
            )
        self.check_sends(self.hop.submit(items, self.now))  # first, because refusals rest on what they filled
        self.check([])

    @rule(peer=st.sampled_from(PEERS))
    def come(self, peer: str) -> None:
        self.bury(peer)  # a peer that comes while it is up has a new connection: the former one is dead
        self.lives += 1
        self.up[peer] = self.lives
        self.owing.pop(peer, None)
        self.patience.pop(peer, None)
        self.check(self.hop.on_peer_up(peer, self.now))

    @rule(peer=st.sampled_from(PEERS))
    def go(self, peer: str) -> None:
        self.bury(peer)
        self.check(self.hop.on_peer_down(peer, self.now))

    @rule(peer=st.sampled_from(PEERS), draining=st.booleans())
    def drain(self, peer: str, draining: bool) -> None:
        if peer in self.up:
            (self.draining.add if draining else self.draining.discard)(peer)
        self.check(self.hop.on_peer_draining(peer, draining, self.now))

    @precondition(lambda self: self.sent)
    @rule(
        data=st.data(),
        statuses=st.lists(
            st.sampled_from([Status.OK, Status.DRAINING, Status.DRAINING, *Status]), min_size=1, max_size=5
        ),
    )
    def answer(self, data: Any, statuses: list[Status]) -> None:
        """Any envelope ever sent may be answered, again and again, on whichever connection now stands."""
        by_peer: dict[str, list[Answer]] = {}
        for status in statuses:
            sent = self.sent[data.draw(st.sampled_from(sorted(self.sent)))]
            by_peer.setdefault(sent.peer, []).append(
                Answer(sent.number, status, f"re {sent.ticket}".encode() if status is Status.OK else b"")
            )
        for peer, answers in by_peer.items():
            for item in answers:
                sent = self.sent[item.id]
                if sent.died or sent.answered is not None or self.asked[sent.ticket].outcomes:
                    self.late += 1
                else:
                    sent.answered = item.status
            if any(item.status is Status.OK for item in answers):
                self.hear(peer)
            self.check(self.hop.on_answers(peer, answers, self.now))
            if not self.outstanding(peer) and not self.silent(peer):
                self.owing.pop(peer, None)

    @rule(number=st.integers(10_000, 10_010), peer=st.sampled_from([*PEERS, "stranger"]))
    def answer_nonsense(self, number: int, peer: str) -> None:
        self.late += 1
        self.hear(peer)  # as late answers do, it shows that somebody is there
        self.check(self.hop.on_answers(peer, [Answer(number, Status.OK, b"forged")], self.now))
        if not self.outstanding(peer):
            self.owing.pop(peer, None)

    @rule(us=st.sampled_from([1, 999, 40_000, 2_999_000, 60_000_000]), tells=st.booleans())
    def pass_time(self, us: int, tells: bool) -> None:
        """Time jumps; the shell may be late in saying so."""
        self.now = self.now.after(us)
        if tells:
            self.check(self.hop.on_time(self.now))

    # --- what must hold

    def bury(self, peer: str) -> None:
        if peer in self.up:
            life = self.up.pop(peer)
            self.draining.discard(peer)
            for sent in self.sent.values():
                if sent.peer == peer and sent.life == life and sent.answered is None:
                    sent.died = True

    def check(self, effects: Effects) -> None:
        for outcome in self.hop.take_outcomes():
            self.check_outcome(outcome)
        self.check_sends(effects)

    def check_sends(self, effects: Effects) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                _, peer = effect.to  # type: ignore[misc]
                for envelope in effect.items:
                    self.check_send(peer, envelope)
            elif isinstance(effect, Count) and effect.name == "qianzhi_link_late_answers_total":
                self.late_counted += effect.n

    def check_send(self, peer: str, envelope: Envelope) -> None:
        ticket = int(envelope.key[1:])
        asked = self.asked[ticket]
        assert peer in self.up, "sent to nobody"
        assert not asked.outcomes, "sent after its outcome"
        assert envelope.budget_ms >= 1
        assert self.now.mono_us + envelope.budget_ms * 1_000 <= asked.deadline_us, "more budget than is left"
        assert envelope.attempt == len(asked.sends) + 1 <= 2
        assert envelope.id not in self.sent, "an id used twice"
        if asked.sends:
            first = asked.sends[0]
            assert first.died or first.answered is Status.DRAINING, "sent twice while the first peer lived"
        if peer in self.draining:
            assert asked.priority, "something new for a draining peer"
            healthy = self.up.keys() - self.draining
            if asked.sends and asked.sends[0].answered is Status.DRAINING:
                healthy -= {asked.sends[0].peer}  # it drains, only its notice has not come yet
            assert not healthy, "a draining peer before a healthy one"
        usable = self.usable(asked.priority)
        if asked.sends and asked.sends[0].answered is Status.DRAINING:
            usable.discard(asked.sends[0].peer)
        if self.silent(peer) and not all(self.silent(other) for other in usable):
            assert not self.outstanding(peer), "more than a trial for a silent peer"
            assert not asked.priority, "a reversal as a trial"
            assert not asked.sends, "a second attempt as a trial"
        limit = WINDOW if asked.priority else NORMAL
        assert len(self.outstanding(peer)) < limit, "beyond the window"
        if self.forgotten(peer):
            self.owing.pop(peer, None)
        self.owing.setdefault(peer, self.now.mono_us)
        self.given[peer] = self.now.mono_us
        sent = Sent(envelope.id, ticket, peer, self.up[peer])
        asked.sends.append(sent)
        self.sent[envelope.id] = sent

    def silent(self, peer: str) -> bool:
        patience = self.patience.get(peer, SILENT_US)
        if peer not in self.owing or self.forgotten(peer):
            return False
        return self.now.mono_us - self.owing[peer] >= patience

    def forgotten(self, peer: str) -> bool:
        """Whether nobody has asked it anything for so long that its silence says nothing."""
        return not self.outstanding(peer) and self.now.mono_us - self.given.get(peer, 0) >= FORGET_US

    def hear(self, peer: str) -> None:
        if self.silent(peer):
            self.patience[peer] = min(PATIENCE_US_MAX, 2 * self.patience.get(peer, SILENT_US))
            self.slow[peer] = self.now.mono_us
        elif self.now.mono_us - self.slow.get(peer, 0) >= FORGET_US:
            self.patience.pop(peer, None)
        self.owing[peer] = self.now.mono_us

    def usable(self, priority: int) -> set[str]:
        """Whom a job may go to, windows and silence apart."""
        return set(self.up.keys() - self.draining) or (set(self.up) if priority else set())

    def outstanding(self, peer: str) -> list[Sent]:
        return [
            sent
            for sent in self.sent.values()
            if sent.peer == peer
            and not sent.died
            and sent.answered is None
            and not self.asked[sent.ticket].outcomes
        ]

    def check_outcome(self, outcome: Outcome) -> None:
        ticket: int = outcome.ticket  # type: ignore[assignment]
        asked = self.asked[ticket]
        asked.outcomes.append(outcome)
        assert len(asked.outcomes) == 1, "two outcomes"
        assert outcome.attempts == len(asked.sends)
        refused = [sent.answered in NOT_TAKEN for sent in asked.sends]
        assert outcome.certain == (outcome.status in NOT_TAKEN)
        if outcome.certain:
            assert all(refused), "certain, though a peer may have passed it on"
        elif asked.sends and all(refused):
            raise AssertionError("nobody took it, and yet that is not told")
        if outcome.status is Status.OK:
            assert outcome.body == f"re {ticket}".encode()
            assert asked.sends[-1].answered is Status.OK
        else:
            assert outcome.body == b""
        if not asked.sends and asked.deadline_us - self.now.mono_us >= 1_000:
            limit = WINDOW if asked.priority else NORMAL
            usable = self.up.keys() - self.draining
            usable = {peer for peer in usable if not self.silent(peer)} or usable
            assert all(len(self.outstanding(peer)) >= limit for peer in usable), (
                "refused though there was room"
            )

    @invariant()
    def counts_agree(self) -> None:
        assert self.late_counted == self.late
        assert self.hop.in_flight == sum(not asked.outcomes for asked in self.asked.values())

    def teardown(self) -> None:
        """When all time is spent, every job has its one outcome and nothing is held or waited for."""
        self.now = self.now.after(3_600_000_000)
        self.check(self.hop.on_time(self.now))
        assert all(len(asked.outcomes) == 1 for asked in self.asked.values())
        assert self.hop.in_flight == 0
        assert self.hop.deadline is None
        assert all(not peer.works for peer in self.hop.peers)


HopAdversary.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestHopAdversary = HopAdversary.TestCase
