"""A dispatcher on a bench: what it is told and what it wants done, for several files of tests."""

from collections import Counter
from typing import Any

from interface_layer.dispatcher import Dispatcher
from qianzhi.domain.requests import Kind
from qianzhi.link.events import Hello
from qianzhi.link.hop import HopLimits
from qianzhi.link.messages import Answer, Envelope, Status
from qianzhi.link.tables import BankLimits, Route
from qianzhi.runtime import metrics
from qianzhi.runtime.effects import Count, Effects, Record, Send
from qianzhi.runtime.now import Now

NOW = Now(9_000_000, 1_700_000_000_000_000)
EVERYWHERE = [Route(numbers=["*"], kinds=["*"], to="bridges")]
CITIC, ICBC = "105330100001", "102330100001"


class Node:
    """A dispatcher with two bridges and two fronts, and a memory of what it sent to whom."""

    def __init__(
        self, *, window: int = 1_000, routes: list[Route] | None = None, **limits: BankLimits
    ) -> None:
        self.now = NOW
        self.core = Dispatcher(
            "node1", ["bridge1", "bridge2"], routes or EVERYWHERE, limits, HopLimits(window=window)
        )
        self.sent: dict[str, list[Any]] = {}
        self.rows: list[Any] = []
        self.counts: Counter[tuple[str, tuple[str, ...]]] = Counter()
        self.numbers = 0

    def up(self, *bridges: str) -> "Node":
        for bridge in bridges or ("bridge1", "bridge2"):
            self.do(self.core.on_peer_up(bridge, Hello(bridge, "bridge"), self.now))
        self.front("hz_citic", CITIC)
        self.front("icbc", ICBC)
        return self

    def front(self, bank: str, *numbers: str, banks: tuple[str, ...] = ()) -> None:
        hello = Hello(f"front-{bank}-1", "front", banks=banks or (bank,), numbers=numbers)
        self.do(self.core.on_peer_up(hello.name, hello, self.now))

    def do(self, effects: Effects) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                _, peer = effect.to  # type: ignore[misc]
                self.sent.setdefault(peer, []).extend(effect.items)
            elif isinstance(effect, Record):
                self.rows += effect.rows
            elif isinstance(effect, Count):
                self.counts[effect.name, effect.labels] += effect.n
                metrics.count(effect.name, effect.labels, effect.n)  # refuses what is not declared

    def take(self, peer: str) -> list[Any]:
        return self.sent.pop(peer, [])

    def ask(self, bank: str, number: str, n: int = 1, **changes: Any) -> None:
        self.do(self.core.on_requests(f"front-{bank}-1", self.envelopes(number, n, **changes), self.now))

    def envelopes(
        self, to: str, n: int = 1, *, priority: int = 0, kind: int = Kind.RECHARGE
    ) -> list[Envelope]:
        first = self.numbers + 1
        self.numbers += n
        return [
            Envelope(
                first + i, 1, to, kind, 5, 20_000, priority, f"trace{first + i}", b"body", f"k{first + i}"
            )
            for i in range(n)
        ]

    def answer(self, peer: str, items: list[Envelope], status: Status = Status.OK) -> None:
        answers = [
            Answer(item.id, status, b"re " + item.body if status is Status.OK else b"") for item in items
        ]
        self.do(self.core.on_answers(peer, answers, self.now))

    def answer_all(self) -> None:
        for bridge in ("bridge1", "bridge2"):
            self.answer(bridge, self.take(bridge))

    def routed(self, bank: str) -> dict[str, int]:
        return {
            labels[1]: n
            for (name, labels), n in self.counts.items()
            if labels[0] == bank and name == "qianzhi_routed_total"
        }


def statuses(answers: list[Any]) -> list[Status]:
    return [answer.status for answer in answers if isinstance(answer, Answer)]
