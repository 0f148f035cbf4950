"""What must hold of the money that the house asked a network for, and of what its operators did.

The network keeps its cardholders' own books.  For each key, when all has settled:

    what the cardholder has paid  =  what the core holds as credited  +  what two operators have cancelled

More paid is lost, more held is doubled; a charge, an entry of store-and-forward or an act that has not ended
is unanswered.  No break is left open, nothing stands under a serial that no node had stored before, and
nobody was told of a credit that is none.
"""

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from chaos_house import PASSWORDS, Acts, Charges, Told
from chaos_layout import NETWORK
from chaos_proof import Database
from chaos_site import ChaosSite

from crm_bridge.journal import State
from crm_bridge.operators.acts import ActState
from qianzhi.domain.requests import Kind
from qianzhi.saf.rows import CHARGE_ENDED, ChargeState
from simulators.network import State as Paid
from simulators.network_books import read_books

DATABASE = "qianzhi"
SHOWN_MAX = 50
ENDS = ("approved", "spent")  # of acts: a customer may have spent what was to be cancelled
JOURNAL = """SELECT space || '/' || business_date || '/' || serial, state, amount_fen FROM journal
    WHERE space = '{space}' AND kind <> {void}"""
CHARGES = """SELECT id, space || '/' || date || '/' || serial, state, amount_fen FROM state.saf_charges"""
ENTRIES = "SELECT id || ' to ' || destination || ', ' || state FROM state.saf_entries WHERE ended_us = 0"
BREAKS = """SELECT space || '/' || business_date || '/' || serial || ', ' || kind FROM journal_breaks
    WHERE state = 1"""
UNDER_WAY = """SELECT (SELECT count(*) FROM state.saf_entries WHERE ended_us = 0)
    + (SELECT count(*) FROM state.saf_charges WHERE ended_us = 0)"""
ACTS = "SELECT id, kind, subject, state, coalesce(result, '') FROM operator_acts"


class House:
    """What the house does of itself while the banks send: charges and operators' acts, and their proof."""

    def __init__(self, site: ChaosSite, seed: int) -> None:
        self._site = site
        terms = site.checked[NETWORK].outward.terms
        self._space = terms.space
        self.charges = Charges([site.socket(node) for node in site.asking_nodes], seed)
        self.acts = Acts([site.socket(each) for each in site.site.bridges], self.charges, terms.number, seed)

    def start(self) -> None:
        """Begin with both, and wait for the first credit."""
        self._site.add_operators(PASSWORDS)
        self.charges.start()
        self._site.wait(lambda: self.charges.credits, 120, lambda: "no charge is credited")
        self.acts.start()

    def stop(self) -> None:
        """Begin nothing new, and end what the askers and operators are at."""
        self.charges.stop()
        self.acts.stop()

    def settle(self, seconds: float) -> None:
        """Stop, and wait until what is under way is settled, for so long at most."""
        self.stop()
        with contextlib.suppress(TimeoutError):
            site = self._site
            site.wait(lambda: settled(site.primary, DATABASE), seconds, lambda: "not settled")

    def proved(self) -> dict[str, Any]:
        """Hold the network's books against the core's; `asked` are the orders that were given."""
        books = books_of(self._site.folder / "banks")
        facts = gather(self._site.primary, DATABASE, self._space, books)
        found = judged(facts, self.charges.told.values()) | {"asked": self.charges.asked}
        found["faults"] += self.acts.trouble
        return found


class Order(NamedTuple):
    """A charge as the nodes' rows have it."""

    key: str
    state: str
    amount_fen: int


class Act(NamedTuple):
    """An operators' act as the core's database has it."""

    number: int
    kind: str
    key: str
    state: int
    result: str


class Facts(NamedTuple):
    """What everybody's own rows say; keys are their texts, amounts fen."""

    paid_fen: dict[str, int]  # by the network's cardholders; 0 for what was declined or went back
    journal: dict[str, tuple[int, int]]  # the core's state of a key, and its amount
    orders: dict[str, Order]
    entries: list[str]  # of store-and-forward, that have not ended
    breaks: list[str]  # that are open
    acts: list[Act]


def gather(server: Database, name: str, space: str, books: Path) -> Facts:
    """Read them: from the database, and from the network's own file."""

    def rows(statement: str) -> list[list[str]]:
        return [line.split("|") for line in server.psql(statement, name).splitlines()]

    standing = (Paid.TAKEN, Paid.HELD)
    return Facts(
        {
            key.text: charge.amount_fen if charge.state in standing else 0
            for key, charge in read_books(books).items()
        },
        {
            key: (int(state), int(fen))
            for key, state, fen in rows(JOURNAL.format(space=space, void=int(Kind.VOID)))
        },
        {order: Order(key, state, int(fen)) for order, key, state, fen in rows(CHARGES)},
        [" ".join(row) for row in rows(ENTRIES)],
        [" ".join(row) for row in rows(BREAKS)],
        [Act(int(row[0]), row[1], row[2], int(row[3]), row[4]) for row in rows(ACTS)],
    )


def settled(server: Database, name: str) -> bool:
    """Whether no charge and no entry is under way; False too while the database cannot be asked."""
    try:
        return server.psql(UNDER_WAY, name).strip() == "0"
    except RuntimeError:
        return False


def judged(facts: Facts, told: Iterable[Told]) -> dict[str, Any]:
    """Hold what the network's cardholders paid against the core, key by key, and the rest against itself."""
    cancelled = {act.key for act in facts.acts if act.kind == "void" and act.result == "approved"}
    lost, doubled, credited_fen = [], [], 0
    for key in sorted({*facts.paid_fen, *facts.journal}):
        state, amount_fen = facts.journal.get(key, (0, 0))
        held_fen = amount_fen if state == State.APPROVED else 0
        back_fen = amount_fen if state == State.REVERSED and key in cancelled else 0
        paid_fen = facts.paid_fen.get(key, 0)
        credited_fen += held_fen
        words = f"{key}: paid {paid_fen} fen, the core has {held_fen}, operators cancelled {back_fen}"
        if paid_fen > held_fen + back_fen:
            lost.append(words)
        elif paid_fen < held_fen + back_fen:
            doubled.append(words)
    unended = [f"{name}: {one.state}" for name, one in facts.orders.items() if one.state not in CHARGE_ENDED]
    undone = [
        f"act {act.number}, {act.kind} {act.key}: {ActState(act.state).name.lower()}"
        for act in facts.acts
        if act.state in (ActState.PENDING, ActState.APPROVED)
    ]
    return {
        "charges": len(facts.orders),
        "credited": sum(one.state == ChargeState.CREDITED for one in facts.orders.values()),
        "credited_fen": credited_fen,
        "acts": sum(act.state == ActState.DONE for act in facts.acts),
        "lost": lost,
        "doubled": doubled,
        "unanswered": [*unended, *facts.entries, *undone],
        "faults": [line for lines in beside(facts, told, cancelled) for line in lines[:SHOWN_MAX]],
    }


def beside(facts: Facts, told: Iterable[Told], cancelled: set[str]) -> list[list[str]]:
    """Say what is wrong beside the sums of each key."""
    stored = {one.key for one in facts.orders.values()}
    missing = Order("", "no such order", 0)
    found = [(one, facts.orders.get(one.order, missing)) for one in told if one.key]
    return [
        [f"an open break: {key}" for key in facts.breaks],
        [f"{key} is known outside, and no node has stored it" for key in sorted(known(facts) - stored)],
        [
            f"order {one.order} was told as {one.state}, and is {stands.state}"
            for one, stands in found
            if one.key != stands.key or (one.state in CHARGE_ENDED and one.state != stands.state)
        ],
        [
            f"act {act.number}, {act.kind} {act.key}: {act.result}"
            for act in facts.acts
            if act.state == ActState.DONE and act.result not in ENDS
        ],
        [
            f"{key} was cancelled, and by no act"
            for key, (state, _) in facts.journal.items()
            if state == State.REVERSED and key not in cancelled
        ],
    ]


def known(facts: Facts) -> set[str]:
    """Return every key of which the network or the core knows."""
    return {*facts.paid_fen, *facts.journal}


def books_of(folder: Path) -> Path:
    """Return the network's books below the folder of the banks' machine."""
    return folder / "var" / "simulators" / f"{NETWORK}.network"
