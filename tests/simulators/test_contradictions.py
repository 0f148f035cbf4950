"""What a bank calls a contradiction: every real one, and nothing that a late answer or a block explains."""

from dataclasses import replace
from random import Random  # noqa: TID251 - the tests bring the seeds
from zoneinfo import ZoneInfo

import pytest

from qianzhi.domain.requests import Kind
from qianzhi.domain.results import Result
from qianzhi.runtime.effects import Effects
from qianzhi.runtime.now import SECOND_US, Now
from simulators.bank import DOUBTS_MAX, BankModel
from simulators.plans import Identity
from simulators.record import Ask, Heard
from simulators.scenario import Settle, Step, Waits
from simulators.scenario_file import load_scenario

IDENTITY = Identity("hz_citic", "hz_citic", ("102000001",), ZoneInfo("Asia/Shanghai"))


class Teller:
    """One action of a bank that takes back what is not answered; the test says what it hears."""

    def __init__(self, action: str) -> None:
        serials = iter(range(1, 1000))
        scenario = replace(
            load_scenario(), waits=Waits(reply_ms=1000), settle=Settle(repeat=0, status=0, reversal=1)
        )
        self.model = BankModel(
            IDENTITY, scenario, Random(1), lambda: next(serials), lambda n, _: f"{n:06d}", rate=0
        )
        self.now = Now(5_000_000, 1_782_900_000_000_000)
        self.ask: Ask | None = None
        self.model.on_ready(self.now)
        self._take(self.model.ask_for(action, self.now))

    @property
    def surprises(self) -> dict[str, int]:
        return self.model.report().surprises

    def hear(self, step: Step, result: Result, *, sure: bool = True) -> None:
        """Let the bank ask until it asks for `step`, and answer that."""
        while self.ask is None or step_of(self.ask) is not step:
            self.now = self.now.after(SECOND_US)
            self._take(self.model.on_time(self.now))
        heard = Heard(self.ask.ticket, result.name, result, sure=sure)
        self._take(self.model.on_heard([heard], self.now))

    def _take(self, effects: Effects) -> None:
        self.ask = next((ask for send in effects for ask in send.items), None)


def step_of(ask: Ask) -> Step:
    if ask.request.kind is Kind.REVERSAL:
        return Step.REVERSAL
    return Step.REPEAT if ask.request.repeat else Step.ORIGINAL


@pytest.mark.parametrize(
    ("reversal", "repeat"),
    [
        (Result.NOT_FOUND, Result.AMOUNT_LIMIT),  # refused on the way, before the core could say "blocked"
        (Result.NOT_FOUND, Result.BLOCKED),
        (Result.ORIGINAL_REFUSED, Result.PHONE_CLOSED),  # refused at first, in an answer that was lost
        (Result.ORIGINAL_REFUSED, Result.BLOCKED),
        (Result.APPROVED, Result.REVERSED),
    ],
)
def test_a_serial_under_which_nothing_ever_stood_may_be_called_refused_or_blocked(
    reversal: Result, repeat: Result
) -> None:
    teller = Teller("repeat")
    teller.hear(Step.REVERSAL, reversal)
    teller.hear(Step.REPEAT, repeat)
    assert teller.surprises == {}
    assert teller.model.settled()
    assert teller.model.purses.spent_fen == 0


ORIGINAL_APPROVED = (Step.ORIGINAL, Result.APPROVED)
CONTRADICTIONS = {
    "approved became refused by repeat": ("repeat", ORIGINAL_APPROVED, (Step.REPEAT, Result.PHONE_CLOSED)),
    "approved became reversed by repeat": ("repeat", ORIGINAL_APPROVED, (Step.REPEAT, Result.BLOCKED)),
    "approved became refused by reversal": (
        "reversal",
        ORIGINAL_APPROVED,
        (Step.REVERSAL, Result.ORIGINAL_REFUSED),
    ),
    "refused became approved by repeat": (
        "repeat",
        (Step.ORIGINAL, Result.PHONE_CLOSED),
        (Step.REPEAT, Result.APPROVED),
    ),
    "refused became reversed by reversal": (
        "reversal",
        (Step.ORIGINAL, Result.PHONE_CLOSED),
        (Step.REVERSAL, Result.APPROVED),
    ),
    "reversed became approved by repeat": (
        "repeat",
        (Step.REVERSAL, Result.NOT_FOUND),
        (Step.REPEAT, Result.APPROVED),
    ),
    "reversed became refused by repeat": (  # the reversal undid money, so there had been an approval
        "repeat",
        (Step.REVERSAL, Result.APPROVED),
        (Step.REPEAT, Result.PHONE_CLOSED),
    ),
}


@pytest.mark.parametrize("found", sorted(CONTRADICTIONS))
def test_every_real_contradiction_is_found(found: str) -> None:
    action, *answers = CONTRADICTIONS[found]
    teller = Teller(action)
    for step, result in answers:
        assert teller.surprises == {}
        teller.hear(step, result)
    assert teller.surprises == {f"{found} answered {answers[-1][1].name}": 1}


def test_a_contradiction_that_may_be_an_earlier_copys_answer_is_asked_again_and_then_believed() -> None:
    teller = Teller("repeat")
    teller.hear(Step.REVERSAL, Result.APPROVED)
    for _ in range(DOUBTS_MAX):
        assert teller.surprises == {}
        assert not teller.model.settled()
        teller.hear(Step.REPEAT, Result.APPROVED, sure=False)
    assert teller.surprises == {"reversed became approved by repeat answered APPROVED": 1}
    assert teller.model.settled()


def test_a_doubted_answer_that_contradicts_nothing_counts_at_once() -> None:
    teller = Teller("repeat")
    teller.hear(Step.REVERSAL, Result.APPROVED)
    teller.hear(Step.REPEAT, Result.APPROVED, sure=False)
    teller.hear(Step.REPEAT, Result.REVERSED, sure=False)
    assert teller.surprises == {}
    assert teller.model.settled()
