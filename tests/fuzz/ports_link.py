"""What strikes the ports of link, on which our own daemons meet: before the proof of the key and after.

Before it anybody may try: greetings and proofs that are mutated, come twice, too early, too long or never.
Behind it stands a peer that has the key and is broken: requests and answers with values of all kinds.
"""

import contextlib
import itertools
import os
import socket
from pathlib import Path
from random import Random  # noqa: TID251 - seeded
from typing import TYPE_CHECKING, Any

import msgspec
from ports_bank import Customer, dial
from ports_frames import MUTATIONS, Made
from ports_weapons import Strokes

from qianzhi.domain.requests import Kind, Request
from qianzhi.link.events import Hello, PeerUp
from qianzhi.link.messages import Answer, Envelope, Status
from qianzhi.link.mux import ANSWERS, DRAINING, HELLO, PING, PROOF, REFUSED, REQUESTS, Mux
from qianzhi.runtime import clock
from qianzhi.runtime.secrets import resolve_key
from simulators.line import MAIN

if TYPE_CHECKING:
    from qianzhi.link.tables import Site

BEFORE, BEHIND = 24, 24  # frames in a batch of each way
HANDSHAKE_BYTES = 65_536
SHOWN_BYTES_MAX = 200
ODD: list[Any] = [None, True, -1, 0, 1 << 31, 1 << 63, 1.5, "", "x" * 300, b"", b"\xff" * 300, [], [[]], {}]
KINDS = (HELLO, PROOF, REQUESTS, ANSWERS, PING, DRAINING, REFUSED, 0, 9, 255)


class LinkPort:
    """The port of a node or of the bridge; the customer is a bank whose requests pass through it."""

    def __init__(
        self, daemon: str, site: "Site", config: Path, customer: Customer, numbers: list[str]
    ) -> None:
        self.name, self.daemon = f"link-{daemon}", daemon
        self._key = resolve_key(site.key, production=False, base=config)
        place = {**site.nodes, **site.bridges}[daemon]
        self._address = (place.host, place.port)
        role = "node" if daemon in site.bridges else "front"
        self._hello = Hello(f"fuzz-{role}", role, banks=("fuzz",), numbers=("9999", *numbers))
        self._expected = daemon
        self._numbers = numbers
        self._customer = customer
        self._strokes = Strokes(self._address)
        self._behind: list[socket.socket] = []
        self._ids = itertools.count(1)
        self._ways = [self._before] * 8 + [self._after] * 10 + [self._slowly, self._unfinished]

    def strike(self, chance: Random) -> list[Made]:
        """Send one batch."""
        return chance.choice(self._ways)(chance)

    def repeat(self, frames: list[Made]) -> None:
        """Send frames again, each on a connection of its own."""
        for made in frames:
            if made.how.startswith("behind"):
                self._prove([made.wire])
            else:
                self._strokes.alone([made.wire], Random(1))

    def ask(self) -> None:
        """Shake hands as a daemon does, and let the bank ask; raises OSError."""
        self._prove([])
        self._customer.ask()

    def read(self, counters: dict[str, float]) -> int:
        """Return how many connections and messages the daemon has taken."""
        found = 0.0
        for name, value in counters.items():
            ours = (
                name.startswith("qianzhi_link_messages_total") and "fuzz" in name and 'direction="in"' in name
            )
            opened = name.startswith("qianzhi_connections_total") and 'listener="link"' in name
            found += value if ours or opened else 0
        return int(found)

    def masked(self, frame: bytes) -> str:
        """Return the beginning of a frame; no bank's secrets are in it."""
        return frame[:SHOWN_BYTES_MAX].hex()

    def close(self) -> None:
        """Close everything."""
        self._strokes.close()
        self._end_behind()
        self._customer.close()

    # -- before the proof

    def _before(self, chance: Random) -> list[Made]:
        made = [self._stranger(chance) for _ in range(BEFORE)]
        self._strokes.alone([one.wire for one in made], chance)
        return made

    def _slowly(self, chance: Random) -> list[Made]:
        made = self._stranger(chance)
        self._strokes.slowly(made.wire[:1000], chance)
        return [made]

    def _unfinished(self, chance: Random) -> list[Made]:
        made = [self._stranger(chance) for _ in range(2)]
        self._strokes.unfinished([one.wire for one in made], chance)
        return made

    def _stranger(self, chance: Random) -> Made:
        """Return what somebody without the key sends on a new connection."""
        mux = Mux("client", self._hello, chance.randbytes(32), chance.randbytes(32))
        hello = mux.start(clock.now())
        proof = _frame(PROOF, chance.choice((chance.randbytes(32), b"", chance.randbytes(900), "text", None)))
        way = chance.randrange(6)
        if way == 0:
            return Made(hello + proof, "greeting and a made-up proof")
        if way == 1:
            return Made(hello + self._some(chance), "messages before the proof")
        if way == 2:
            size = chance.choice((0, 1, HANDSHAKE_BYTES + 1, 1 << 31, (1 << 32) - 1))
            return Made(size.to_bytes(4, "big") + hello[4:], "a length that lies")
        if way == 3:
            return Made(_frame(chance.choice(KINDS), [chance.choice(ODD), chance.choice(ODD)]) + hello, "odd")
        name = chance.choice(list(MUTATIONS))
        return Made(MUTATIONS[name](chance, hello, proof), f"greeting, {name}")

    # -- behind it

    def _after(self, chance: Random) -> list[Made]:
        made = []
        for _ in range(BEHIND - 1):
            made.append(Made(self._some(chance), "behind the proof"))
        name = chance.choice(list(MUTATIONS))
        made.append(Made(MUTATIONS[name](chance, self._some(chance), self._some(chance)), f"behind, {name}"))
        self._end_behind()
        self._behind = self._prove([one.wire for one in made])
        return made

    def _some(self, chance: Random) -> bytes:
        """Return a frame of requests or answers, odd values among them, most of the right type."""
        way = chance.randrange(8)
        if way == 0:
            answers = [Answer(chance.getrandbits(20), chance.choice(list(Status)), chance.randbytes(30))]
            return _frame(ANSWERS, answers * chance.randint(1, 20))
        if way == 1:
            return _frame(chance.choice((PING, DRAINING, 200)), chance.choice((None, True, False)))
        items = [self._envelope(chance) for _ in range(chance.randint(1, 4))]
        if way > 2:
            return _frame(REQUESTS, items)
        values = list(msgspec.to_builtins(items[0], builtin_types=(bytes,)))
        values[chance.randrange(len(values))] = chance.choice(ODD)
        return _frame(REQUESTS, [values]) if way == 2 and not chance.randrange(4) else _frame(REQUESTS, items)

    def _envelope(self, chance: Random) -> Envelope:
        number = chance.choice(("9999", "", "*", "x" * 200, *self._numbers * 4))
        odd = chance.randrange(4) == 0
        fen = chance.choice((0, -5, 1, 10**18, 1000, 1000)) if odd else 1000
        request = Request(
            kind=chance.choice(list(Kind)),
            space=chance.choice(("", "a/b", "\0", "中" * 50, "fuzz")) if odd else "fuzz",
            date=chance.choice((0, 20269999, 20261122, 99991231)) if odd else self._customer_date(),
            serial=chance.choice(("", "-", "\0", "9" * 400)) if odd else str(next(self._ids)),
            bank="fuzz",
            bank_number=number,
            phone=chance.choice(("", "1" * 300, "13800000001")),
            amount_fen=fen,
        )
        body = msgspec.msgpack.encode(request)
        if not chance.randrange(5):
            body = MUTATIONS[chance.choice(list(MUTATIONS))](chance, body, body)
        return Envelope(
            next(self._ids),
            chance.choice((1, 1, 2, 0, -3)),
            number,
            chance.choice((int(request.kind), 0, 77)),
            chance.getrandbits(16),
            chance.choice((5000, 5000, 1, 0, -7, 10**12)),
            chance.choice((0, 1, 9)),
            "t" * chance.choice((0, 8, 500)),
            body,
            chance.choice(("", request.key.text[:200], "x" * 500)),
        )

    def _customer_date(self) -> int:
        return self._customer.asking(Kind.RECHARGE).request.date

    def _prove(self, wires: list[bytes]) -> list[socket.socket]:
        """Shake hands, send, and return the connection; raises OSError when we are refused."""
        mux = Mux("client", self._hello, self._key, os.urandom(32), expected_name=self._expected)
        line = dial(self._address)
        line.sendall(mux.start(clock.now()))
        up = False
        while not up:
            data = line.recv(HANDSHAKE_BYTES)
            if not data:
                raise ConnectionResetError("the handshake was refused")
            up = any(isinstance(event, PeerUp) for event in mux.receive_data(data, clock.now()))
            line.sendall(mux.take_bytes())
        with contextlib.suppress(OSError):
            line.sendall(b"".join(wires))
        if wires:
            return [line]
        line.close()
        return []

    def _end_behind(self) -> None:
        for line in self._behind:
            line.close()
        self._behind.clear()


def link_port(daemon: str, site: "Site", config: Path, profile: Any) -> LinkPort:
    """Return the port of a daemon; a bank of the site is the customer."""
    customer = Customer(profile, site, config, MAIN)
    return LinkPort(daemon, site, config, customer, list(profile.numbers))


def _frame(kind: int, payload: Any) -> bytes:
    data = msgspec.msgpack.encode([kind, payload])
    return len(data).to_bytes(4, "big") + data
