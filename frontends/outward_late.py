"""Answers to charges that nobody waits for: kept, and offered to the nodes until one says that it is its own.

Pure.  Which node asked is not known here any more, after a restart of either; so every node is asked, and
only the one that has the charge's row says APPROVED.  What nobody claims within its time is alarmed: it
stands in the event file, and the day's reconciliation finds it.
"""

import zlib
from dataclasses import dataclass

import msgspec

from frontends.front import Outbox
from qianzhi.domain.requests import Key, Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.link.messages import UNREADABLE, Answer, Envelope, Status
from qianzhi.runtime.effects import Event, Send
from qianzhi.runtime.now import SECOND_US, Now

KEPT_MAX = 10_000
KEPT_US = 24 * 3_600 * SECOND_US
ANSWER_MS = 5_000  # a node's time to find the charge's row and to store what it makes of it
PAUSE_FIRST_US, PAUSE_LONGEST_US = SECOND_US, 60 * SECOND_US

_encode = msgspec.msgpack.Encoder().encode
_decode_reply = msgspec.msgpack.Decoder(Reply).decode


@dataclass(slots=True)
class _Late:
    """One late answer, until when it is kept, and when it is offered next."""

    request: Request
    until_us: int
    at_us: int
    pause_us: int = PAUSE_FIRST_US


class LateAnswers:
    """The late answers of one bank."""

    def __init__(self, bank: str, number: str, first_id: int) -> None:
        self._bank = bank
        self._number = number
        self._id = first_id
        self._kept: dict[Key, _Late] = {}
        self._offers: dict[tuple[str, int], Key] = {}

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def deadline(self) -> int | None:
        """When `offer` is wanted next (monotonic), or None."""
        return min((late.at_us for late in self._kept.values()), default=None)

    def keep(self, request: Request, now: Now, out: Outbox) -> None:
        """Keep one, to be offered at once; the first answer to a charge stands."""
        if request.key in self._kept:
            return
        if len(self._kept) >= KEPT_MAX:
            self._give_up(next(iter(self._kept)), "too_many", now, out)
        self._kept[request.key] = _Late(request, now.mono_us + KEPT_US, now.mono_us)

    def again(self, now: Now) -> None:
        """Offer everything anew: a node has come."""
        for late in self._kept.values():
            late.at_us, late.pause_us = now.mono_us, PAUSE_FIRST_US

    def on_peer_down(self, peer: str) -> None:
        """Forget what was offered to a node that is gone."""
        for offer in [offer for offer in self._offers if offer[0] == peer]:
            del self._offers[offer]

    def offer(self, peers: list[str], now: Now, out: Outbox) -> None:
        """Offer what is due to every node."""
        envelopes: dict[str, list[Envelope]] = {}
        for key, late in list(self._kept.items()):
            if late.at_us > now.mono_us:
                continue
            if late.until_us <= now.mono_us:
                self._give_up(key, "unclaimed", now, out)
                continue
            late.at_us = now.mono_us + max(late.pause_us, ANSWER_MS * 1_000)
            late.pause_us = min(2 * late.pause_us, PAUSE_LONGEST_US)
            for offer in [offer for offer, of in self._offers.items() if of == key]:
                del self._offers[offer]
            for peer in peers:
                envelopes.setdefault(peer, []).append(self._envelope(peer, key, late))
        for peer, items in envelopes.items():
            out.extend([Send(("peer", peer), items)])

    def _envelope(self, peer: str, key: Key, late: _Late) -> Envelope:
        self._id += 1
        self._offers[peer, self._id] = key
        request = late.request
        lane = zlib.crc32((request.phone or request.serial).encode())
        kind = int(Kind.LATE_ANSWER)
        body = _encode(request)
        return Envelope(self._id, 1, self._number, kind, lane, ANSWER_MS, 1, "", body, key.text)

    def on_answers(self, peer: str, items: list[Answer], now: Now, out: Outbox) -> list[Answer]:
        """Take a node's words on what was offered to it; return the answers to other things."""
        rest: list[Answer] = []
        for answer in items:
            key = self._offers.get((peer, answer.id))
            if key is None:
                rest.append(answer)
                continue
            del self._offers[peer, answer.id]
            if key in self._kept and _is_owner(answer):
                del self._kept[key]
                out.record(Event(now.wall_us, "late_taken", key.text, "", {"peer": peer}))
        return rest

    def _give_up(self, key: Key, why: str, now: Now, out: Outbox) -> None:
        late = self._kept.pop(key)
        out.alarm("late_answer_given_up", key=key.text, why=why, result=late.request.reason)
        out.record(Event(now.wall_us, "late_given_up", key.text, "", {"why": why}))


def _is_owner(answer: Answer) -> bool:
    """Tell whether a node says that the charge is its own and that the answer is noted."""
    if answer.status is not Status.OK:
        return False
    try:
        return _decode_reply(answer.body).result is Result.APPROVED
    except UNREADABLE:
        return False
