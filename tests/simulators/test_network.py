"""The simulated network's books: what each message does to a cardholder's money, and that nothing leaks."""

import random  # noqa: TID251 - seeded

import msgspec
import pytest

from qianzhi.domain.requests import Kind, Request
from qianzhi.domain.results import Result
from qianzhi.runtime.now import Now
from simulators.network import OPENING_FEN, Fate, Network, Plan, State

NOW = Now(0, 1_795_312_800_000_000)
PHONE = "13800000001"


def charge(serial="000001", amount_fen=5_000, phone=PHONE):
    """A charge as the network reads it."""
    return Request(
        Kind.CHARGE, "unet-out", 20261122, serial, "unet", "9101", phone=phone, amount_fen=amount_fen
    )


def about(kind, original, amount_fen=None):
    """A message about a charge."""
    return msgspec.structs.replace(
        original, kind=kind, amount_fen=original.amount_fen if amount_fen is None else amount_fen
    )


def test_a_repeated_charge_is_answered_as_before_and_taken_once():
    network = Network(random.Random(1))
    first, again = network.carry_out(charge(), NOW), network.carry_out(charge(), NOW)
    assert first == again
    assert network.left_fen(PHONE) == OPENING_FEN - 5_000


def test_a_used_serial_with_other_content_is_a_duplicate():
    network = Network(random.Random(1))
    network.carry_out(charge(), NOW)
    assert network.carry_out(charge(amount_fen=6_000), NOW).reply.result is Result.DUPLICATE_SERIAL


def test_a_cardholder_cannot_pay_more_than_there_is():
    network = Network(random.Random(1))
    told = network.carry_out(charge(amount_fen=OPENING_FEN + 100), NOW)
    assert told.reply.result is Result.OVER_QUOTA
    assert network.left_fen(PHONE) == OPENING_FEN


@pytest.mark.parametrize(
    ("state", "result"),
    [
        (None, Result.NOT_FOUND),
        (State.TAKEN, Result.APPROVED),
        (State.DECLINED, Result.ORIGINAL_REFUSED),
        (State.REVERSED, Result.APPROVED),
        (State.LAPSED, Result.APPROVED),
    ],
)
def test_what_a_reversal_hears(state, result):
    network = Network(random.Random(1), holds=state is State.LAPSED)
    original = charge(amount_fen=5_051 if state is State.DECLINED else 5_000)
    if state is not None:
        network.carry_out(original, NOW)
    if state is State.REVERSED:
        network.carry_out(about(Kind.CHARGE_REVERSAL, original), NOW)
    if state is State.LAPSED:
        network.on_time(Now(0, NOW.wall_us + 3_600_000_000))
    assert network.carry_out(about(Kind.CHARGE_REVERSAL, original), NOW).reply.result is result
    assert network.left_fen(PHONE) == OPENING_FEN
    assert network.carry_out(original, NOW).reply.result is not Result.APPROVED


def test_a_reversal_of_another_amount_changes_nothing():
    network = Network(random.Random(1))
    network.carry_out(charge(), NOW)
    told = network.carry_out(about(Kind.CHARGE_REVERSAL, charge(), 4_999), NOW)
    assert told.reply.result is Result.AMOUNT_DIFFERS
    assert network.taken_fen() == 5_000


@pytest.mark.parametrize(
    ("amount_fen", "fate", "taken_fen", "answered"),
    [
        (5_068, Fate.LATE, 5_068, True),
        (5_098, Fate.SILENT, 5_098, False),
        (5_095, Fate.TWICE_SILENT, 5_095, False),
        (5_099, Fate.LOST, 0, False),
        (5_096, Fate.BUSY, 0, True),
    ],
)
def test_an_amount_asks_for_its_fate(amount_fen, fate, taken_fen, answered):
    network = Network(random.Random(1))
    assert (network.carry_out(charge(amount_fen=amount_fen), NOW) is not None) is answered
    assert network.fates == {fate: 1}
    assert network.taken_fen() == taken_fen


def test_after_a_twice_silent_charge_the_first_reversal_is_carried_out_and_silent():
    network = Network(random.Random(1))
    original = charge(amount_fen=5_095)
    network.carry_out(original, NOW)
    assert network.carry_out(about(Kind.CHARGE_REVERSAL, original), NOW) is None
    assert network.left_fen(PHONE) == OPENING_FEN
    assert network.carry_out(about(Kind.CHARGE_REVERSAL, original), NOW).reply.result is Result.APPROVED


def test_an_advice_for_a_hold_that_lapsed_tells_a_fact():
    network = Network(random.Random(1), holds=True)
    network.carry_out(charge(), NOW)
    network.on_time(Now(0, NOW.wall_us + 3_600_000_000))
    assert network.carry_out(about(Kind.ADVICE, charge()), NOW).reply.result is Result.APPROVED
    assert network.taken_fen() == 5_000
    assert network.balanced()


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("holds", [False, True])
def test_whatever_is_said_in_whatever_order_what_cardholders_lack_is_what_was_taken(seed, holds):
    chance = random.Random(seed)
    plan = Plan(declined=150, late=100, silent=100, lost=100, by_amount=False)
    network = Network(chance, plan, holds=holds)
    now = NOW
    for _ in range(400):
        original = charge(f"{chance.randrange(0, 30):06d}", chance.choice([5_000, 300_000]))
        kind = chance.choice(
            [Kind.CHARGE, Kind.CHARGE, Kind.CHARGE_REVERSAL, Kind.CHARGE_REFUND, Kind.ADVICE]
        )
        network.carry_out(about(kind, original), now)
        now = Now(0, now.wall_us + chance.randrange(0, 60_000_000))
        network.on_time(now)
        assert network.balanced()
        assert 0 <= network.left_fen(PHONE) <= OPENING_FEN or holds
    assert len(network.fates) >= 4


def test_kept_books_are_taken_up_whole():
    network = Network(random.Random(1))
    network.carry_out(charge(), NOW)
    network.carry_out(charge("000002", 7_000), NOW)
    other = Network(random.Random(2))
    other.restore(network.charges.items())
    assert other.left_fen(PHONE) == network.left_fen(PHONE)
    assert other.carry_out(charge(), NOW).reply == network.carry_out(charge(), NOW).reply
