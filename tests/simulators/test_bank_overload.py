"""A simulated bank whose machine is too slow for it: it must not become slower by what it does about that."""

from dataclasses import replace
from random import Random  # noqa: TID251 - the tests bring the seeds
from zoneinfo import ZoneInfo

import pytest

from qianzhi.domain.results import Result
from qianzhi.runtime.effects import Effects
from qianzhi.runtime.now import SECOND_US, Now
from simulators.bank import BankModel
from simulators.plans import Identity
from simulators.record import Ask, Heard
from simulators.scenario_file import load_scenario

IDENTITY = Identity("hz_citic", "hz_citic", ("102000001", "102000002"), ZoneInfo("Asia/Shanghai"))
NOW = Now(5_000_000, 1_782_900_000_000_000)
RATE = 20


def asks_of(effects: Effects) -> list[Ask]:
    return [ask for effect in effects for ask in effect.items]


@pytest.fixture
def bank() -> BankModel:
    serials = iter(range(1, 1_000_000))
    scenario = replace(load_scenario(), rate=RATE)
    made = BankModel(IDENTITY, scenario, Random(1), lambda: next(serials), lambda n, _: f"{n:06d}")
    made.on_ready(NOW)
    return made


def slept(bank: BankModel, now: Now) -> Now:
    """All patience is over, and more."""
    return now.after(bank.scenario.waits.reply_ms * 1000 + 5 * SECOND_US)


def test_what_came_while_the_process_slept_is_read_before_anything_is_sent_again(bank: BankModel) -> None:
    [ask] = asks_of(bank.ask_for("recharge", NOW))
    bank.stop()
    later = slept(bank, NOW)
    assert asks_of(bank.on_time(later)) == []
    bank.on_heard([Heard(ask.ticket, "00", Result.APPROVED)], later)
    assert bank.report().unanswered == 0
    assert bank.settled()


def test_patience_ends_for_who_slept_and_still_hears_nothing(bank: BankModel) -> None:
    bank.ask_for("recharge", NOW)
    bank.stop()
    later = slept(bank, NOW)
    bank.on_time(later)
    bank.on_time(slept(bank, later))
    assert bank.report().unanswered == 1


def test_what_an_outage_left_open_is_not_asked_again_all_at_once(bank: BankModel) -> None:
    now = NOW
    window = bank.scenario.waits.settling_max
    for _ in range(60):  # nobody answers for a minute
        now = now.after(SECOND_US)
        bank.on_time(now)
    begun = bank.report().sent
    patience = bank.scenario.waits.reply_ms // 1000
    bank.stop()
    asked: list[Ask] = []
    for _ in range(10 * patience):
        now = now.after(SECOND_US)
        asked += asks_of(bank.on_time(now))
    assert window * 5 <= len(asked) <= window * 11
    assert bank.report().open > begun * 0.9
    for _ in range(200):  # and when somebody answers, all comes to its end without any patience
        if bank.settled():
            break
        now = now.after(SECOND_US // 10)
        answers = [Heard(ask.ticket, "00", Result.APPROVED) for ask in asked]
        asked = asks_of(bank.on_heard(answers, now)) + asks_of(bank.on_time(now))
    assert bank.settled()


def test_a_bank_that_cannot_settle_what_it_began_begins_nothing_more(bank: BankModel) -> None:
    now = NOW
    for _ in range(300):  # nobody answers for five minutes
        now = now.after(SECOND_US)
        bank.on_time(now)
    assert bank.report().open <= RATE * 60 + 1
    assert bank.report().skipped
