"""What a bank is told: the answer's fields, its MAC, its bytes, and the record that stands before them.

Pure.  Whoever answers calls here, so that nothing reaches a bank without its row in the event file.  A masked
copy of the bytes stands in that row; nothing else of the message does.
"""

from collections.abc import Hashable
from typing import TYPE_CHECKING

from frontends.flights import Arrival, Flight
from frontends.front import Frame, Outbox
from frontends.mapping_rows import Message, getter, putter, split_row
from frontends.seal import Seal
from qianzhi.domain.requests import Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.runtime.effects import Event
from qianzhi.runtime.now import Now
from qianzhi.wire import header
from qianzhi.wire.codec import get_path
from qianzhi.wire.errors import EncodeError, RemoteProtocolError

if TYPE_CHECKING:
    from frontends.profile import Profile  # it reads files; its shape alone is used here

KIND_NAMES = {kind: kind.name.lower() for kind in Kind}  # as labels; an enum makes its names anew each time
RESULT_NAMES = {result: result.name.lower() for result in Result}
_event = tuple.__new__  # what a named tuple's own function does, without its call
REQUESTS = "qianzhi_requests_total"
BAD_FRAMES = "qianzhi_bad_frames_total"
NOT_REJECTED = header.NOT_REJECTED.encode("ascii")
REJECT_CODE = slice(41, 46)
UNANSWERABLE = "unanswerable"

# Faults around a message's body, which itself may be looked at; a message that is too long, or that ended
# processes, is recorded without it.
READABLE_FAULTS = frozenset({"no_reply_to", "foreign_reply_to"})


class Replies:
    """Writes the answers of one bank."""

    def __init__(self, profile: "Profile", seal: Seal) -> None:
        self._profile = profile
        self._bank = profile.name
        self._codec, self._mask = profile.codec, profile.codec.mask
        self._encode = seal.encode
        self._reply_message, self._is_last_word = profile.mapping.reply_message, profile.mapping.is_last_word
        self._code_of = profile.results.code_of
        self._queued = profile.transport.redelivers
        self._ends = self._queued or profile.transport.connection == "short"
        self._has_header = "header.reject_code" in profile.codec.paths()
        self._told_to_anybody = [(getter(path), putter(path)) for path in _paths_told_to_anybody(profile)]
        self._times: dict[str, list[int]] = {}

    def take_times(self) -> dict[str, list[int]]:
        """Return how long the answers since the last call took, in microseconds by kind."""
        times, self._times = self._times, {}
        return times

    # Reading

    def record_in(self, frame: Frame, kind: str, key: str, trace: str, now: Now, out: Outbox) -> None:
        """Record a frame as it came, masked."""
        data = {"frame": self._mask(frame.body, decoded=True), "conn": str(frame.source), "kind": kind}
        out.rows.append(_event(Event, (now.wall_us, "in", key, trace, data)))

    # Answers

    def answer(self, flight: Flight, reply: Reply, now: Now, out: Outbox) -> None:
        """Tell everybody who waits for this flight, each in its own connection, fields and key."""
        key = flight.key_text
        for arrival in flight.arrivals:
            self.tell(arrival, reply, key, flight.trace, now, out, forwarded=True)
        if not flight.arrivals:
            result = reply.result.name.lower()
            out.note("nobody_waits", now.wall_us, key=key, trace=flight.trace, result=result)

    def tell(
        self,
        arrival: Arrival,
        reply: Reply,
        key: str,
        trace: str,
        now: Now,
        out: Outbox,
        *,
        forwarded: bool = False,
    ) -> None:
        """Answer one message: record, then send.  One that cannot be written is silence and an alarm.

        `forwarded` says that something of it has left the house, so that it may not be put aside.
        """
        try:
            request = arrival.request
            if request is not None:
                answer = self._reply_message(arrival.message, request, reply, now)
            else:
                answer = self._answer_to(arrival, reply, now)
            if request is None and not self._is_last_word(arrival.message, answer, reply, now):
                return self._unanswerable(arrival.source, key, trace, now, out, forwarded=forwarded)
            frame = self._encode(answer, arrival.mac_key, now)
        except (EncodeError, ValueError) as error:
            where = error.path if isinstance(error, EncodeError) else ""
            out.alarm("answer_unwritable", key=key, field=where)
            return self.say_nothing(arrival.source, "answer_unwritable", key, trace, now, out)
        source, told = arrival.source, reply.result
        took_us = now.mono_us - arrival.came_us
        kind, result = "none" if request is None else KIND_NAMES[request.kind], RESULT_NAMES[told]
        data = {
            "code": self._code_of(told),
            "result": result,
            "frame": self._mask(frame, decoded=True),
            "conn": str(source),
            "us": took_us,
        }
        out.rows.append(_event(Event, (now.wall_us, "out", key, trace, data)))
        out.send(source, frame)
        out.count(REQUESTS, self._bank, kind, result)
        times = self._times.get(kind)
        if times is None:
            times = self._times[kind] = []
        times.append(took_us)
        return None

    def shed(
        self, arrival: Arrival, request: Request, refusal: Result, trace: str, now: Now, out: Outbox
    ) -> None:
        """Refuse at the edge what has no flight; its row is short, and the only one."""
        key = request.key.text
        try:
            answer = self._reply_message(arrival.message, request, Reply(refusal), now)
            frame = self._encode(answer, arrival.mac_key, now)
        except (EncodeError, ValueError) as error:
            where = error.path if isinstance(error, EncodeError) else ""
            out.alarm("answer_unwritable", key=key, field=where)
            return self.say_nothing(arrival.source, "answer_unwritable", key, trace, now, out)
        kind, result = KIND_NAMES[request.kind], RESULT_NAMES[refusal]
        code = self._profile.results.code_of(refusal)
        data = {"kind": kind, "code": code, "result": result, "conn": str(arrival.source)}
        out.record(Event(now.wall_us, "shed", key, trace, data))
        out.send(arrival.source, frame)
        out.count(REQUESTS, self._bank, kind, result)
        return out.count_event(result)

    def unknown(self, flight: Flight, now: Now, out: Outbox) -> None:
        """Say that the outcome is not known, in the dialect's code for it or by silence (rule 7)."""
        if not self._profile.results.silent_on_unknown:
            self.answer(flight, Reply(Result.UNKNOWN), now, out)
            return
        for arrival in flight.arrivals:
            out.count(REQUESTS, self._bank, kind_name(arrival.request), "unknown")
            self.say_nothing(arrival.source, "unknown", flight.key_text, flight.trace, now, out)

    def say_nothing(self, source: Hashable, why: str, key: str, trace: str, now: Now, out: Outbox) -> None:
        """Record a silence; a queue's delivery (rule 9) or a short connection is finished by it."""
        out.record(Event(now.wall_us, "silent", key, trace, {"why": why, "conn": str(source)}))
        self.dismiss(source, out)

    def dismiss(self, source: Hashable, out: Outbox) -> None:
        """Finish what needs no answer: a queue's delivery or a short connection; a long one goes on."""
        if self._ends:
            out.done(source)

    # Frames that are no messages

    def undecodable(
        self, source: Hashable, body: bytes, error: RemoteProtocolError, now: Now, out: Outbox
    ) -> None:
        """Send a frame that cannot be read back with its reject code; where the dialect has none, hang up,
        or put a queue's message aside.

        A frame that itself carries a reject code is never sent back, or two sides could do so for ever.
        """
        reason = error.reason.name.lower()
        data = {"frame": self._codec.mask(body), "conn": str(source), "field": error.field, "reason": reason}
        out.record(Event(now.wall_us, "format", "", "", data))
        out.count(BAD_FRAMES, self._bank, reason)
        if self._has_header and len(body) >= header.HEADER_BYTES and body[REJECT_CODE] == NOT_REJECTED:
            out.send(source, header.rejected(body, header.reject_code(error)))
        elif self._queued:
            out.back_out(source, "format")
        else:
            out.close(source, "format")

    def unservable(self, frame: Frame, now: Now, out: Outbox) -> None:
        """Put aside a queue's message that nobody could answer, or that ended two processes alone."""
        masked = self._codec.mask(frame.body) if frame.fault in READABLE_FAULTS else b""
        data = {"frame": masked, "conn": str(frame.source), "reason": frame.fault}
        out.record(Event(now.wall_us, "backed_out", "", "", data))
        out.count(BAD_FRAMES, self._bank, frame.fault)
        out.back_out(frame.source, frame.fault)

    def _unanswerable(
        self, source: Hashable, key: str, trace: str, now: Now, out: Outbox, *, forwarded: bool
    ) -> None:
        """Leave without an answer a message whose answer would be answered in turn.

        An answer's type that nobody names gives such a one, and two sides that go by the same tables would do
        so for ever.  It is the message's own fault (rule 9).
        """
        out.count(BAD_FRAMES, self._bank, UNANSWERABLE)
        if forwarded or not self._queued:
            return self.say_nothing(source, UNANSWERABLE, key, trace, now, out)
        out.record(
            Event(now.wall_us, "backed_out", key, trace, {"conn": str(source), "reason": UNANSWERABLE})
        )
        return out.back_out(source, UNANSWERABLE)

    def rejected(self, source: Hashable, message: Message, now: Now, out: Outbox) -> None:
        """Note a message of ours that came back as unacceptable: it is neither a request nor an answer."""
        code = str(get_path(message, "header.reject_code") or "")
        out.note("rejected", now.wall_us, conn=str(source), code=code)
        self.dismiss(source, out)

    def _answer_to(self, arrival: Arrival, reply: Reply, now: Now) -> Message:
        answer = self._reply_message(arrival.message, arrival.request, reply, now)
        unproved = arrival.request is None and arrival.mac_key is None
        if unproved and self._profile.mac_required(answer):
            return self._without_words_of_a_stranger(answer)
        return answer

    def _without_words_of_a_stranger(self, answer: Message) -> Message:
        """Return what of an answer may stand under our MAC though nobody proved that the bank asked.

        A stranger who chose the fields of an answer could have them signed by us, and where a MAC joins
        fields without telling their lengths, the same bytes can be laid out as another answer: an approval.
        """
        bare: Message = {}
        for get, put in self._told_to_anybody:
            value = get(answer)
            if value is not None:
                put(bare, value)
        return bare


def _paths_told_to_anybody(profile: "Profile") -> list[str]:
    """Return what makes an answer one: its match fields, its result, what says that it carries a MAC, and
    headers, which no MAC covers.
    """
    table = profile.table
    paths = [split_row(text)[0] for text in table.match.keys]
    paths += [*table.match.answer, *table.reply.set, table.reply.result, "charset"]
    paths += [path for when in table.protection.required for path in when]
    paths += [table.mac.choose_by] if table.mac is not None else []
    echoed = [*table.reply.echo, *table.reply.copy]
    return list(dict.fromkeys([*paths, *(path for path in echoed if path.partition(".")[0] == "header")]))


def kind_name(request: Request | None) -> str:
    """Return a request's kind as a metric's label."""
    return KIND_NAMES[request.kind] if request is not None else "none"
