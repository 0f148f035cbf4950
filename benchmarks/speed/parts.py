"""The hot parts of the path one after the other, each over the same recharges, for whoever counts them.

    python parts.py LIBRARY      what counting.c was compiled to; run under callgrind by check_speed.py

Everything is the product's own: codec, MAC, mapping, front, mux, dispatcher, bridge and gateway, the last
over the core in memory.  What one part puts out is the next one's input, as on the wire; no socket, file or
database is touched while a part is counted, and what is made once is made before, in a pass that nobody
counts.
Prints the number of requests that each part had.
"""

import ctypes
import dataclasses
import gc
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parent))

from crm_bridge.bridge import Batch, Bridge, Done
from crm_bridge.gateway import Gateway
from crm_bridge.memory import Memory
from crm_bridge.settings import CoreSettings
from frontends.front import Frame
from frontends.front_core import make_processor
from frontends.profile import load_profile
from frontends.session_rows import NOTHING_SAVED
from interface_layer.dispatcher import Dispatcher
from qianzhi.billing.books import PhoneState, Subscriber
from qianzhi.domain.dates import business_date
from qianzhi.domain.requests import Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.ledger.entries import Account
from qianzhi.link.events import Answers, Hello, Requests
from qianzhi.link.hop import Hop, HopLimits
from qianzhi.link.messages import Status
from qianzhi.link.mux import Mux
from qianzhi.link.tables import BankLimits, Route
from qianzhi.runtime.effects import Send
from qianzhi.runtime.now import Now
from qianzhi.wire.mac import Sealer
from qianzhi.wire.mackey import MacKey

ROOT = Path(__file__).parents[2]
BANK, NUMBER = "hz_citic", "0302"
KEY = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
NOW = Now(1_000_000_000, 1_795_408_200_000_000)  # 2026-11-23 12:30 in Shanghai
LIST, LISTS = 32, 8
PHONES = 1_000
FIRST_PHONE = 13_800_000_000
SOURCE = 1


class Way:
    """The whole path in one process, from a frame to its answer; `walk` goes it once."""

    def __init__(self) -> None:
        profile, problems = load_profile(ROOT / "config", BANK)
        if profile is None or profile.mac is None:
            raise SystemExit("\n".join(map(str, problems)))
        session = dataclasses.replace(profile.session, sign_on=False, keys="static", echo_seconds=0)
        limits = dataclasses.replace(profile.limits, in_flight=4_000, rate_per_second=1_000_000)
        self.profile = dataclasses.replace(profile, session=session, limits=limits)
        self.codec, self.mapping = profile.codec, profile.mapping
        self.sealer = Sealer(profile.mac, profile.codec)
        self.key = MacKey(KEY)
        window = HopLimits(window=4_000)
        hop = Hop(window, ["node1"], count(1))
        self.front = make_processor(self.profile, {"mac": KEY}, NOTHING_SAVED, hop, "front-1", NOW)
        routes = [Route(numbers=["*"], kinds=["*"], to="bridges")]
        self.node = Dispatcher("node1", ["bridge1"], routes, {BANK: BankLimits(in_flight=4_000)}, window, 1)
        self.bridge = Bridge("bridge1", 1, 100_000)
        self.zone = profile.mapping.zone
        self.gateway = Gateway(memory(), CoreSettings(database="sqlite:///unused"), self.zone)
        front_hello = Hello("front-1", "front", banks=(BANK,), numbers=(NUMBER,))
        self.front.on_connected(SOURCE, "127.0.0.1", NOW)
        self.front.on_peer_up("node1", Hello("node1", "node", window=4_000), NOW)
        self.node.on_peer_up("front-1", front_hello, NOW)
        self.node.on_peer_up("bridge1", self.bridge.hello(), NOW)
        self.bridge.on_peer_up("node1", self.node.hello(), NOW)
        self.near, self.far = linked()
        self._serial = count(1)

    def frames(self) -> list[list[bytes]]:
        """Return lists of signed recharges with serials that nobody has used."""
        return [[self._frame(next(self._serial)) for _ in range(LIST)] for _ in range(LISTS)]

    def _frame(self, number: int) -> bytes:
        date = business_date(NOW.wall_us, self.zone)
        phone = str(FIRST_PHONE + number % PHONES)
        request = Request(Kind.RECHARGE, BANK, date, f"{number:06d}", BANK, NUMBER, phone, 100)
        message = self.mapping.request_message(request, NOW)
        self.sealer.make(message, self.key)
        return self.codec.encode(message)

    def walk(self, counted: "Counted") -> None:
        """Go the whole path once with fresh frames; `counted` hears where each part begins and ends."""
        lists = self.frames()
        bodies = [body for each in lists for body in each]
        messages = counted("codec decode", lambda: [self.codec.decode(body) for body in bodies])
        counted("codec encode", lambda: [self.codec.encode(message) for message in messages])
        counted(
            "MAC verify",
            lambda: [self.sealer.verify(message, [self.key], b"") for message in messages],
        )
        counted("MAC make", lambda: [self.sealer.make(message, self.key) for message in messages])
        requests = counted(
            "mapping in", lambda: [self.mapping.request_of(message, NOW) for message in messages]
        )
        reply = Reply(Result.APPROVED, order="Q00000000001", balance_fen=12_345)
        counted(
            "reply out",
            lambda: [
                self.mapping.reply_message(message, request, reply, NOW)
                for message, request in zip(messages, requests, strict=True)
            ],
        )
        asked = counted("front in", lambda: [self._front_in(each) for each in lists])
        asked = counted("mux requests", lambda: [self._carried(each, Requests) for each in asked])
        passed = counted("node in", lambda: [sent(self.node.on_requests("front-1", e, NOW)) for e in asked])
        works = counted("bridge in", lambda: [sent(self.bridge.on_requests("node1", e, NOW)) for e in passed])
        replies = counted("ledger", lambda: [self._settled(each) for each in works])
        batches = [self._batch(each, said) for each, said in zip(works, replies, strict=True)]
        answers = counted("bridge out", lambda: [sent(self.bridge.on_batch(0, e, NOW)) for e in batches])
        answers = counted("mux answers", lambda: [self._carried(each, Answers) for each in answers])
        told = counted("node out", lambda: [sent(self.node.on_answers("bridge1", e, NOW)) for e in answers])
        out = counted("front out", lambda: [sent(self.front.on_answers("node1", e, NOW)) for e in told])
        approved = [self.mapping.reply_of(self.codec.decode(body)).code for each in out for _, body in each]
        if approved != ["00"] * len(bodies):
            raise SystemExit(f"{approved.count('00')} of {len(bodies)} recharges came through")

    def _front_in(self, bodies: list[bytes]) -> list[Any]:
        return sent(self.front.on_frames([Frame(SOURCE, body) for body in bodies], NOW))

    def _carried(self, items: list[Any], kind: type[Any]) -> list[Any]:
        self.near.send(items)
        events = self.far.receive_data(self.near.take_bytes(), NOW)
        return [item for event in events if isinstance(event, kind) for item in event.items]

    def _settled(self, works: list[Any]) -> list[Reply]:
        return self.gateway.execute([work.request for work in works], NOW)

    def _batch(self, works: list[Any], replies: list[Reply]) -> Batch:
        done = [Done(work.ticket, Status.OK, reply) for work, reply in zip(works, replies, strict=True)]
        return Batch(done, 0.001, {}, [])


class Counted:
    """Calls a part, with the counting turned on around it when it is to be counted."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self.on = False

    def __call__(self, name: str, work: Callable[[], Any]) -> Any:
        """Do the work; return what it returns."""
        if not self.on:
            return work()
        self._library.counting_start()
        found = work()
        self._library.counting_stop(name.encode())
        return found


def sent(effects: list[Any]) -> list[Any]:
    """Return the items of all that effects send."""
    return [item for effect in effects if isinstance(effect, Send) for item in effect.items]


def linked() -> tuple[Mux, Mux]:
    """Return both ends of a connection that stands."""
    near = Mux("client", Hello("front-1", "front"), KEY, bytes(32))
    far = Mux("server", Hello("node1", "node"), KEY, bytes(range(32)))
    there, back = near.start(NOW), far.start(NOW)
    for _ in range(3):
        far.receive_data(there, NOW)
        near.receive_data(back, NOW)
        there, back = near.take_bytes(), far.take_bytes()
    if near.peer is None or far.peer is None:
        raise SystemExit("the two ends did not agree")
    return near, far


def memory() -> Memory:
    """Return a core in memory with people who owe nothing."""
    subscribers, accounts = [], []
    for number in range(PHONES):
        book = number + 1
        phone = str(FIRST_PHONE + number)
        subscribers.append(Subscriber(phone, PhoneState.OPEN, "户", book, 2 * book - 1, 2 * book))
        accounts += [Account(2 * book - 1, floor_fen=0), Account(2 * book)]
    return Memory(subscribers, (), accounts)


def main() -> None:
    """Walk the path twice for nobody, then once for the count."""
    library = ctypes.CDLL(sys.argv[1])
    path, counted = Way(), Counted(library)
    for _ in range(2):
        path.walk(counted)
    gc.collect()
    gc.disable()  # whether a collection falls into a part would be chance
    counted.on = True
    path.walk(counted)
    print(LIST * LISTS)


if __name__ == "__main__":
    main()
