"""One connection between two of our daemons: bytes in, events out, a proof of the site key first.

Pure; one instance per connection, nonces and times are arguments.  See `link.messages` for the frame.

    dialling side                                   listening side
    HELLO  nonce, hello           ----->
                                  <-----            HELLO  nonce, hello
    PROOF  HMAC("client", all)    ----->            checks it first: who cannot prove gets no proof
                                  <-----            PROOF  HMAC("server", all)
    then REQUESTS, ANSWERS, DRAINING, PING, PONG both ways, in any order

A proof covers both nonces, both hellos and the side that makes it, so that neither reflecting nor replaying
what was heard helps.  Frames after that are not sealed one by one: secrecy and integrity against someone on
the path are TLS's.
"""

import hmac
from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from qianzhi.link.events import (
    LINK_VERSION,
    Answers,
    DrainNotice,
    Hello,
    PeerDown,
    PeerDraining,
    PeerUp,
    Requests,
)
from qianzhi.link.messages import UNREADABLE, Answer, Envelope, Status
from qianzhi.link.tables import LinkTable
from qianzhi.runtime.now import SECOND_US, Now

Side = Literal["client", "server"]
MuxEvent = PeerUp | PeerDown | Requests | Answers | PeerDraining

NONCE_BYTES = 32
HANDSHAKE_BYTES_MAX = (
    65_536  # a hello with thousands of bank numbers fits; a stranger can make us hold no more
)

HELLO, PROOF, REQUESTS, ANSWERS, PING, PONG, DRAINING, REFUSED = range(1, 9)  # kinds of frames


class _Frame(msgspec.Struct, array_like=True):
    kind: int
    payload: msgspec.Raw


class _Greeting(msgspec.Struct, array_like=True):
    nonce: bytes
    hello: bytes


_encode = msgspec.msgpack.encode
_frame = msgspec.msgpack.Decoder(_Frame)
_greeting = msgspec.msgpack.Decoder(_Greeting)
_hello = msgspec.msgpack.Decoder(Hello)
_bytes = msgspec.msgpack.Decoder(bytes)
_text = msgspec.msgpack.Decoder(str)
_bool = msgspec.msgpack.Decoder(bool)
_requests = msgspec.msgpack.Decoder(list[Envelope])
_answers = msgspec.msgpack.Decoder(list[Answer])


class _RefusedError(Exception):
    """The peer is to be cut off; the text is the stable name of the reason."""


class Mux:
    """Both directions of one connection; `closed` names the reason once the connection must end."""

    def __init__(
        self,
        side: Side,
        me: Hello,
        key: bytes,
        nonce: bytes,
        limits: LinkTable | None = None,
        expected_name: str = "",
    ) -> None:
        """`nonce` is NONCE_BYTES of fresh randomness; `expected_name` is whom the dialling side means to
        reach.
        """
        if len(nonce) != NONCE_BYTES:
            raise ValueError(f"a nonce has {NONCE_BYTES} bytes")
        self.closed = ""
        self.peer: Hello | None = None  # set once the peer has proved itself
        self._side: Side = side
        self._me, self._key, self._nonce = me, key, nonce
        self._hello_bytes = _encode(me)
        self._limits = limits or LinkTable()
        self._expected_name = expected_name
        self._greeting: _Greeting | None = None
        self._buffer = bytearray()
        self._out: list[bytes] = []
        self._handshake_us: int | None = None
        self._heard_us = 0
        self._pinged_us = 0

    def start(self, now: Now) -> bytes:
        """Begin; return the first bytes to send."""
        self._handshake_us = now.mono_us + self._limits.handshake_seconds * SECOND_US
        self._heard_us = self._pinged_us = now.mono_us
        self._put(HELLO, [self._nonce, self._hello_bytes])
        return self.take_bytes()

    def receive_data(self, data: bytes, now: Now) -> list[MuxEvent]:
        """Take bytes as they came; return what they complete, neighbours of one kind as one list.

        A fault of the peer ends the list with PeerDown(reason), sets `closed`, and nothing is read any more.
        """
        events: list[MuxEvent] = []
        if self.closed:
            return events
        self._buffer += data
        try:
            for frame in self._cut():
                self._heard_us = now.mono_us
                event = self._on_frame(frame)
                if event is not None:
                    add_event(events, event)
        except _RefusedError as error:
            events.append(self._refuse(str(error)))
        except UNREADABLE:
            events.append(self._refuse("undecodable"))
        return events

    def take_bytes(self) -> bytes:
        """Return everything that is to be written, joined."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def requests(self, items: list[Envelope]) -> None:
        """Queue requests to the peer."""
        self._put_list(REQUESTS, items)

    def answers(self, items: list[Answer]) -> None:
        """Queue answers to the peer."""
        self._put_list(ANSWERS, items)

    def draining(self, draining: bool) -> None:
        """Tell the peer that we want nothing new, or are back."""
        self._put(DRAINING, draining)

    def send(self, items: Sequence[Envelope | Answer | DrainNotice]) -> None:
        """Queue the items of one or more Sends, in order, neighbours of one kind as one frame."""
        requests: list[Envelope] = []
        answers: list[Answer] = []
        for item in items:
            if isinstance(item, Envelope):
                requests.append(item)
            elif isinstance(item, Answer):
                answers.append(item)
            else:
                self._flush(requests, answers)
                self.draining(item.draining)
        self._flush(requests, answers)

    @property
    def deadline(self) -> int | None:
        """When `on_time` is due next, in monotonic microseconds."""
        if self.closed or self._handshake_us is None:
            return None
        if self.peer is None:
            return self._handshake_us
        ping = max(self._heard_us, self._pinged_us) + self._limits.ping_seconds * SECOND_US
        return min(ping, self._heard_us + self._limits.dead_seconds * SECOND_US)

    def on_time(self, now: Now) -> list[MuxEvent]:
        """Ping a silent peer, give up a dead one; what is to be sent is in `take_bytes`."""
        due = self.deadline
        if due is None or now.mono_us < due:
            return []
        if self.peer is None:
            return [self._refuse("handshake_slow")]
        if now.mono_us >= self._heard_us + self._limits.dead_seconds * SECOND_US:
            return [self._refuse("silent")]
        self._pinged_us = now.mono_us
        self._put(PING, None)
        return []

    def _cut(self) -> Iterator[bytearray]:
        """Yield whole frames off the buffer's front, oldest first; a length beyond its bound ends the
        connection.

        The bound is looked up for each frame: the proof and the first requests may arrive in one piece.
        """
        buffer = self._buffer
        start = 0
        try:
            while len(buffer) - start >= 4:
                size = int.from_bytes(buffer[start : start + 4], "big")
                bound = HANDSHAKE_BYTES_MAX if self.peer is None else self._limits.frame_bytes_max
                if not 0 < size <= bound:
                    raise _RefusedError("frame_size")
                if len(buffer) - start - 4 < size:
                    break
                start += 4 + size
                yield buffer[start - size : start]
        finally:
            del buffer[:start]

    def _on_frame(self, data: bytearray) -> MuxEvent | None:
        frame = _frame.decode(data)
        if self.peer is None:
            return self._on_handshake(frame)
        if frame.kind == REQUESTS:
            return Requests(_requests.decode(frame.payload))
        if frame.kind == ANSWERS:
            return Answers(_answers.decode(frame.payload))
        if frame.kind == DRAINING:
            return PeerDraining(_bool.decode(frame.payload))
        if frame.kind == PING:
            self._put(PONG, None)
        elif frame.kind == REFUSED:
            raise _RefusedError("refused_by_peer")
        elif frame.kind in (HELLO, PROOF):
            raise _RefusedError("handshake_again")
        return None  # PONG, or a kind that a later version knows

    def _on_handshake(self, frame: _Frame) -> MuxEvent | None:
        if frame.kind == HELLO and self._greeting is None:
            self._on_hello(_greeting.decode(frame.payload))
            return None
        if frame.kind == PROOF and self._greeting is not None:
            return self._on_proof(_bytes.decode(frame.payload), self._greeting)
        if frame.kind == REFUSED:
            raise _RefusedError(_refusal(_text.decode(frame.payload)))
        raise _RefusedError("not_proved")

    def _on_hello(self, greeting: _Greeting) -> None:
        claimed = _hello.decode(greeting.hello)
        if (
            len(greeting.nonce) != NONCE_BYTES
            or greeting.nonce == self._nonce
            or claimed.name == self._me.name
        ):
            raise _RefusedError("reflected")
        if abs(claimed.version - LINK_VERSION) > 1:
            raise _RefusedError("version")
        if self._expected_name and claimed.name != self._expected_name:
            raise _RefusedError("wrong_name")
        self._greeting = greeting
        if self._side == "client":
            self._put(PROOF, self._proof("client", greeting))

    def _on_proof(self, proof: bytes, greeting: _Greeting) -> MuxEvent:
        other: Side = "server" if self._side == "client" else "client"
        if not hmac.compare_digest(proof, self._proof(other, greeting)):
            raise _RefusedError("wrong_key")
        if self._side == "server":
            self._put(PROOF, self._proof("server", greeting))
        self.peer = claimed = _hello.decode(greeting.hello)
        return PeerUp(claimed)

    def _proof(self, prover: Side, theirs: _Greeting) -> bytes:
        """HMAC-SHA-256 over who proves, and both greetings in the order client, server."""
        ours = _Greeting(self._nonce, self._hello_bytes)
        client, server = (ours, theirs) if self._side == "client" else (theirs, ours)
        return hmac.digest(self._key, _encode(["qianzhi link", prover, client, server]), "sha256")

    def _refuse(self, reason: str) -> PeerDown:
        if not reason.startswith("refused_by_peer"):
            self._put(REFUSED, reason)
        self.closed = reason
        self._buffer.clear()
        return PeerDown(reason)

    def _flush(self, requests: list[Envelope], answers: list[Answer]) -> None:
        if requests:
            self._put_list(REQUESTS, requests.copy())
            requests.clear()
        if answers:
            self._put_list(ANSWERS, answers.copy())
            answers.clear()

    def _put_list(self, kind: int, items: Sequence[Envelope | Answer]) -> None:
        """Queue a list as one frame, or as several where it is too long for one."""
        data = _encode([kind, items])
        if len(data) <= self._limits.frame_bytes_max:
            self._out.append(len(data).to_bytes(4, "big") + data)
        elif len(items) > 1:
            half = len(items) // 2
            self._put_list(kind, items[:half])
            self._put_list(kind, items[half:])
        elif isinstance(items[0], Answer):
            # Whoever asked must hear something; a body that no frame holds is no answer.
            self._put_list(kind, [Answer(items[0].id, Status.UNKNOWN)])
        else:
            raise ValueError("an envelope does not fit a frame; the hop bounds bodies well below that")

    def _put(self, kind: int, payload: object) -> None:
        data = _encode([kind, payload])
        self._out.append(len(data).to_bytes(4, "big") + data)


def add_event(events: list[MuxEvent], event: MuxEvent) -> None:
    """Add an event; requests after requests and answers after answers become one list."""
    last = events[-1] if events else None
    if isinstance(event, Requests | Answers) and type(event) is type(last):
        last.items.extend(event.items)  # type: ignore[arg-type]  # both are of one kind
    else:
        events.append(event)


def _refusal(text: str) -> str:
    """Name a refusal of the peer's; a stranger's text becomes no counter's label."""
    known = text in ("wrong_key", "wrong_name", "version", "reflected", "handshake_slow", "not_proved")
    return f"refused_by_peer_{text}" if known else "refused_by_peer"
