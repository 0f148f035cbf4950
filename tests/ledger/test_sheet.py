"""The ledger's decisions on loaded state: reservations, floors, and sums that always come to zero."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianzhi.ledger.entries import (
    Account,
    Capture,
    Delta,
    Ending,
    Expire,
    Forward,
    Leg,
    Outcome,
    Pending,
    Post,
    Reserve,
    Settlement,
    Void,
)
from qianzhi.ledger.invariant import InvariantError, invariant
from qianzhi.ledger.sheet import AMOUNT_FEN_CAP, Sheet, decide
from qianzhi.runtime.now import Now

NOW = Now(1, 1_000_000)
BANK, BOOK, SHOP = 1, 2, 3
ACCOUNTS = [Account(BANK), Account(BOOK, 100, 0, 0), Account(SHOP, 0, 0, -50)]


def done(*commands, accounts=ACCOUNTS, pendings=(), now=NOW):
    return decide(accounts, pendings, commands, now)


def test_a_posting_moves_both_sides_and_is_summed_per_account():
    outcomes, changes = done(
        Post("o1", [Leg(BANK, BOOK, 70, 1), Leg(BOOK, SHOP, 20, 2)]), Post("o2", [Leg(BOOK, SHOP, 150, 2)])
    )
    assert outcomes == [Outcome.DONE, Outcome.DONE]
    assert changes.deltas == {BANK: Delta(-70), BOOK: Delta(-100), SHOP: Delta(170)}
    assert [(row.reference, row.debit, row.credit, row.amount_fen) for row in changes.transfers] == [
        ("o1", BANK, BOOK, 70),
        ("o1", BOOK, SHOP, 20),
        ("o2", BOOK, SHOP, 150),
    ]


def test_a_posting_below_the_floor_is_refused_whole():
    outcomes, changes = done(
        Post("o", [Leg(BANK, SHOP, 5, 1), Leg(BOOK, SHOP, 101, 1)]), Post("p", [Leg(SHOP, BANK, 51, 1)])
    )
    assert outcomes == [Outcome.BELOW_FLOOR, Outcome.BELOW_FLOOR]
    assert (changes.transfers, changes.deltas) == ([], {})


def test_only_the_end_of_a_posting_counts():
    assert done(Post("o", [Leg(BOOK, SHOP, 150, 1), Leg(BANK, BOOK, 50, 1)]))[0] == [Outcome.DONE]
    assert done(Post("o", [Leg(SHOP, BANK, 50, 1)]))[0] == [Outcome.DONE]


@pytest.mark.parametrize(
    ("leg", "outcome"),
    [
        (Leg(BANK, BOOK, 0, 1), Outcome.BAD_AMOUNT),
        (Leg(BANK, BOOK, -5, 1), Outcome.BAD_AMOUNT),
        (Leg(BANK, BOOK, AMOUNT_FEN_CAP + 1, 1), Outcome.BAD_AMOUNT),
        (Leg(BANK, BANK, 5, 1), Outcome.BAD_AMOUNT),
        (Leg(BANK, 9, 5, 1), Outcome.NO_ACCOUNT),
        (Leg(9, BANK, 5, 1), Outcome.NO_ACCOUNT),
    ],
)
def test_what_is_no_transfer_is_refused(leg, outcome):
    assert done(Post("o", [leg]), Reserve("p", leg))[0] == [outcome, outcome]


def test_reserved_money_is_not_free():
    outcomes, changes = done(
        Reserve("p", Leg(BOOK, SHOP, 60, 1)),
        Post("o", [Leg(BOOK, SHOP, 41, 1)]),
        Reserve("q", Leg(BOOK, SHOP, 41, 1)),
        Post("o", [Leg(BOOK, SHOP, 40, 1)]),
    )
    assert outcomes == [Outcome.DONE, Outcome.BELOW_FLOOR, Outcome.BELOW_FLOOR, Outcome.DONE]
    assert changes.deltas == {BOOK: Delta(-40, 60), SHOP: Delta(40)}


@pytest.mark.parametrize(("amount", "posted"), [(None, 60), (60, 60), (25, 25)])
def test_capture_posts_and_frees_the_rest(amount, posted):
    outcomes, changes = done(Reserve("p", Leg(BOOK, SHOP, 60, 7)), Capture("p", "o", amount))
    assert outcomes == [Outcome.DONE, Outcome.DONE]
    assert changes.deltas == {BOOK: Delta(-posted), SHOP: Delta(posted)}
    assert changes.settlements == [Settlement("p", Ending.POSTED, posted, NOW.wall_us)]
    assert (changes.transfers[0].pending, changes.transfers[0].code) == ("p", 7)


@pytest.mark.parametrize("amount", [0, -1, 61])
def test_capture_takes_no_more_than_was_reserved(amount):
    outcomes, changes = done(Reserve("p", Leg(BOOK, SHOP, 60, 1)), Capture("p", "o", amount), Void("p"))
    assert outcomes == [Outcome.DONE, Outcome.BAD_AMOUNT, Outcome.DONE]
    assert (changes.transfers, changes.deltas) == ([], {})


def test_a_reservation_ends_once():
    ends = (Capture("p", "o"), Void("p"), Expire("p"), Forward("p"), Reserve("p", Leg(BOOK, SHOP, 1, 1)))
    outcomes, _ = done(Reserve("p", Leg(BOOK, SHOP, 60, 1)), Void("p"), *ends)
    assert outcomes[2:] == [Outcome.SETTLED] * 4 + [Outcome.EXISTS]
    ended = Pending("p", BOOK, SHOP, 60, 1, 0, settled=True)
    assert done(*ends, pendings=[ended])[0] == [Outcome.SETTLED] * 4 + [Outcome.EXISTS]
    assert done(*ends[:4])[0] == [Outcome.NO_PENDING] * 4


def test_the_clock_ends_a_reservation_only_when_due_and_never_a_forwarded_one():
    accounts = [Account(BANK), Account(BOOK, 100, 30, 0), Account(SHOP)]
    waiting = Pending("w", BOOK, SHOP, 10, 1, 0, expires_us=NOW.wall_us)
    later = Pending("l", BOOK, SHOP, 10, 1, 0, expires_us=NOW.wall_us + 1)
    sent = Pending("s", BOOK, SHOP, 10, 1, 0, expires_us=1, forwarded=True)
    commands = (Expire("w"), Expire("l"), Expire("s"), Void("s"))
    outcomes, changes = done(*commands, accounts=accounts, pendings=[waiting, later, sent])
    assert outcomes == [Outcome.DONE, Outcome.NOT_DUE, Outcome.FORWARDED, Outcome.DONE]
    assert changes.deltas == {BOOK: Delta(0, -20)}
    forever = Pending("f", BOOK, SHOP, 10, 1, 0)
    assert done(Expire("f"), pendings=[forever])[0] == [Outcome.NOT_DUE]
    started, _ = done(Reserve("p", Leg(BOOK, SHOP, 5, 1), 1), Forward("p"), Forward("p"), Expire("p"))
    assert started == [Outcome.DONE, Outcome.DONE, Outcome.DONE, Outcome.FORWARDED]


def test_an_invariant_stops_what_breaks_it():
    invariant(True, "fine")
    with pytest.raises(InvariantError, match="broken"):
        invariant(False, "broken")


legs = st.builds(Leg, st.integers(1, 4), st.integers(1, 4), st.integers(-5, 200), st.just(1))
serials = st.sampled_from("abc")
commands = st.one_of(
    st.builds(Post, st.just("o"), st.lists(legs, min_size=1, max_size=4)),
    st.builds(Reserve, serials, legs, st.integers(0, 2_000_000)),
    st.builds(Forward, serials),
    st.builds(Capture, serials, st.just("o"), st.none() | st.integers(-1, 250)),
    st.builds(Void, serials),
    st.builds(Expire, serials),
)


@given(st.lists(commands, max_size=25))
def test_whatever_comes_the_books_balance(batch):
    accounts = {1: Account(1), 2: Account(2, 300, 0, 0), 3: Account(3, 50, 0, -20), 4: Account(4, -350)}
    outcomes, changes = decide(accounts.values(), [], batch, NOW)
    assert len(outcomes) == len(batch)
    balances = {number: account.balance_fen for number, account in accounts.items()}
    for row in changes.transfers:
        assert row.amount_fen > 0
        balances[row.debit] -= row.amount_fen
        balances[row.credit] += row.amount_fen
    ended = {row.pending for row in changes.settlements}
    for number, account in accounts.items():
        delta = changes.deltas.get(number, Delta())
        assert account.balance_fen + delta.balance_fen == balances[number]
        held = sum(
            row.amount_fen for row in changes.pendings if row.debit == number and row.serial not in ended
        )
        assert delta.reserved_fen == held
        if account.floor_fen is not None:
            assert balances[number] - held >= account.floor_fen
    assert sum(delta.balance_fen for delta in changes.deltas.values()) == 0


@given(st.lists(commands, max_size=12), st.lists(commands, max_size=12))
def test_two_batches_are_one_batch_in_two_parts(first, second):
    accounts = [Account(1), Account(2, 300, 0, 0), Account(3, 50, 0, -20), Account(4, -350)]
    whole, _ = decide(accounts, [], [*first, *second], NOW)
    begun, changes = decide(accounts, [], first, NOW)
    after = [
        account._replace(
            balance_fen=account.balance_fen + changes.deltas.get(account.id, Delta()).balance_fen,
            reserved_fen=account.reserved_fen + changes.deltas.get(account.id, Delta()).reserved_fen,
        )
        for account in accounts
    ]
    ended = {row.pending for row in changes.settlements}
    sent = {serial for serial, _ in changes.forwards}
    kept = [
        row._replace(forwarded=row.serial in sent, settled=row.serial in ended) for row in changes.pendings
    ]
    assert begun + decide(after, kept, second, NOW)[0] == whole


def test_a_sheet_tells_what_is_free():
    sheet = Sheet([Account(BOOK, 100, 30, 0), Account(BANK)])
    assert (sheet.balance_fen(BOOK), sheet.free_fen(BOOK)) == (100, 70)
    sheet.post("o", [Leg(BANK, BOOK, 5, 1)], NOW)
    assert (sheet.balance_fen(BOOK), sheet.free_fen(BOOK), sheet.balance_fen(BANK)) == (105, 75, -5)
