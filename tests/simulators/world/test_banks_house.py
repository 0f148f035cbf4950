"""The house's people ask until they are answered, and what moves money takes two of them and the chain."""

from random import Random  # noqa: TID251 - the tests bring the seeds
from typing import Any

from crm_bridge.bridge import Done
from qianzhi.domain.requests import Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.link.messages import Status
from qianzhi.runtime.now import SECOND_US
from simulators.world.banks_house import CHECKER, MAKER, House
from simulators.world.checks_bench import asking
from simulators.world.checks_order import chain
from simulators.world.kernel import Kernel


class Bridge:
    def __init__(self) -> None:
        self.house: Any = None
        self.asked: list[tuple[Any, Request]] = []

    def ask_house(self, items: Any) -> None:
        self.asked += items

    def answer(self, result: Result | None) -> None:
        token, _ = self.asked[-1]
        reply = None if result is None else Reply(result)
        self.house(token, Done(token, Status.OK if reply else Status.UNKNOWN, reply))


def test_a_question_is_asked_of_the_next_bridge_until_something_is_said_and_heard_once() -> None:
    kernel = Kernel(lambda name: Random(name), 1_782_900_000_000_000)
    bridges = [Bridge(), Bridge()]
    house = House(kernel, bridges)
    heard: list[Result] = []
    house.ask(asking(Kind.MEND), lambda reply: heard.append(reply.result))
    first, second = bridges[1], bridges[0]
    first.answer(None)
    first.answer(Result.UNKNOWN)
    assert (heard, house.left) == ([], 1)
    kernel.run(41 * SECOND_US)
    assert [len(first.asked), len(second.asked)] == [1, 1]
    second.answer(Result.APPROVED)
    first.answer(Result.APPROVED)  # the first one had carried it out after all
    kernel.run(200 * SECOND_US)
    assert (heard, house.left, len(second.asked)) == ([Result.APPROVED], 0, 1)


def test_a_cancellation_is_proposed_by_one_approved_by_another_and_stands_in_the_chain() -> None:
    kernel = Kernel(lambda name: Random(name), 1_782_900_000_000_000)
    bridge = Bridge()
    house = House(kernel, [bridge])
    heard: list[Result] = []
    house.cancel(asking(Kind.VOID), lambda reply: heard.append(reply.result))
    _, request = bridge.asked[-1]
    assert (request.kind, request.key) == (Kind.VOID, asking().key)
    bridge.answer(Result.SPENT)
    assert heard == [Result.SPENT]
    (act,) = house.acts.acts.values()
    assert (act.maker, act.checker, act.result) == (MAKER, CHECKER, "SPENT")
    assert [entry.what for entry in house.acts.entries[-3:]] == ["act proposed", "act approved", "act done"]
    chain(house.acts.entries)
