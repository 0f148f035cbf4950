"""What must hold once all is healed: banks, journal and books agree, and differences are open breaks.  Pure.

I1   every request ends credited and answered, refused and answered, or reversed
I3   no success that a bank was told of is without its credit, nothing stands after a reversal
I7   nothing is open any more
I12  totals of each bank number and day: journal = books = bank's own record, less what is open; and of every
     customer: debited = credited + open.  What is open is said key by key, to the fen (`checks_open`).
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from crm_bridge.journal import Row, State
from qianzhi.domain.requests import Key
from simulators.record import Debit, Outcome
from simulators.world.banks_deals import Deal
from simulators.world.checks_books import CLEARING, standing, words
from simulators.world.checks_open import OfDay, Opens
from simulators.world.observe import Violation

if TYPE_CHECKING:
    from crm_bridge.memory import Memory

Find = Callable[[Key, str], Sequence[Row]]


class Party(NamedTuple):
    """One side that keeps its own record of money: a bank, or a network that we charge.

    Of a network, `phones` are its charges' by key, `standing` what it has taken by bank number and date.
    """

    name: str
    deals: Sequence[Deal]
    spent: dict[str, int]  # of its customers, by phone
    phones: Mapping[Key, str] = {}
    standing: Mapping[OfDay, int] = {}


def compare(parties: Sequence[Party], memory: "Memory", find: Find, opens: Opens) -> None:
    """Compare all that everybody has on record; raises Violation for the first difference.

    `opens` has explained the differences of networks' charges already, and explains the others here.
    """
    books = standing(memory)
    claimed: set[Key] = set()
    own: Counter[OfDay] = Counter()
    for party in parties:
        claimed |= set(party.phones)
        own.update(party.standing)
        for deal in party.deals:
            record = deal.record
            row = None
            if record.originals or record.reversing or record.queried:
                row = _row_of(deal, find(record.key, party.name))
                _compare_deal(party.name, deal, row, books, opens)
            key = record.key if row is None else row.key
            claimed.add(key)
            own[record.bank_number, key.date] += record.standing_fen
    for key, row in memory.journal.items():
        if key not in claimed and not opens.explains(key, -books[key], row.phone, row.bank_number):
            says = f"{books[key]} fen stand in the books, and nobody asked for them"
            raise Violation("I12", key.text, says, journal=words(row), books=books[key], open=opens.why(key))
    _compare_customers(parties, memory, opens.of_phone)
    _compare_totals(memory, books, own, opens.of_day)
    _compare_clearing(memory, books)


def _row_of(deal: Deal, rows: Sequence[Row]) -> Row | None:
    """Return the row that is about this deal's content, else one without content."""
    fits = [row for row in rows if row.content and _fits(deal, row)]
    blank = [row for row in rows if not row.content]
    return next(iter((*fits, *blank)), None)


def _fits(deal: Deal, row: Row) -> bool:
    return (
        row.phone == deal.record.phone
        and row.amount_fen == deal.record.amount_fen
        and row.bank_number == deal.record.bank_number
    )


def _compare_deal(bank: str, deal: Deal, row: Row | None, books: Counter[Key], opens: Opens) -> None:
    key = deal.record.key.text
    views = {"bank": f"{bank}: {deal_words(deal)}", "journal": words(row)}
    if (
        not deal.done
        or (deal.record.outcome is None and deal.record.originals)
        or deal.record.debit is Debit.UNKNOWN
    ):
        raise Violation("I7", key, "still open long after everything has healed", **views)
    core_fen = books[row.key] if row is not None and row.content and _fits(deal, row) else 0
    of_key = deal.record.key if row is None else row.key
    difference_fen = deal.record.standing_fen - core_fen
    if opens.explains(of_key, difference_fen, deal.record.phone, deal.record.bank_number):
        return
    views |= {"books": f"{core_fen} fen", "open": opens.why(of_key)}
    if deal.record.standing_fen > core_fen:
        raise Violation("I3", key, "the bank was told of success, and the money is not credited", **views)
    if deal.record.outcome is Outcome.REVERSED:
        raise Violation("I3", key, "credited still after a completed reversal", **views)
    raise Violation("I1", key, "the bank was told that it was refused, and it is credited", **views)


def _compare_customers(parties: Sequence[Party], memory: "Memory", open_fen: Counter[str]) -> None:
    """Of every customer: what banks debited = what went to his own account + what is open, to the fen."""
    owners = {one.account: phone for phone, one in memory.subscribers.items()}
    clearing = {number for name, number in memory.house.items() if name.kind == CLEARING}
    credited: Counter[str] = Counter()
    for one in memory.transfers:
        if one.debit in clearing and one.credit in owners:
            credited[owners[one.credit]] += one.amount_fen
        elif one.credit in clearing and one.debit in owners:
            credited[owners[one.debit]] -= one.amount_fen
    spent: Counter[str] = Counter()
    for party in parties:
        spent.update(party.spent)
    for phone in sorted({*spent, *credited, *open_fen}):
        if spent[phone] != credited[phone] + open_fen[phone]:
            says = f"{spent[phone]} fen debited, {credited[phone]} credited, {open_fen[phone]} open"
            raise Violation("I12", phone, says)


def _compare_totals(
    memory: "Memory", books: Counter[Key], own: Counter[OfDay], open_fen: Counter[OfDay]
) -> None:
    """Of every bank number and date: the journal's kept totals = its rows = the postings, and the bank's own
    record is those and what is open, to the fen.
    """
    journal: defaultdict[OfDay, int] = defaultdict(int)
    posted: defaultdict[OfDay, int] = defaultdict(int)
    for key, row in memory.journal.items():
        day = (row.bank_number, row.business_date)
        journal[day] += row.amount_fen if row.state is State.APPROVED else 0
        posted[day] += books[key]
    kept: Counter[OfDay] = Counter()
    for (of_day, _part), totals in memory.totals.items():
        kept[of_day.bank_number, of_day.date] += totals.approved_fen - totals.reversed_fen
    for day in sorted({*journal, *posted, *kept, *own, *open_fen}):
        number, date = day
        if not journal[day] == posted[day] == kept[day]:
            says = f"journal {journal[day]}, books {posted[day]}, kept totals {kept[day]} fen"
            raise Violation("I12", f"{number}/{date}", says)
        if own[day] != posted[day] + open_fen[day]:
            says = f"the bank counts {own[day]} fen, the books {posted[day]}, and {open_fen[day]} are open"
            raise Violation("I12", f"{number}/{date}", says)


def _compare_clearing(memory: "Memory", books: Counter[Key]) -> None:
    """Of every bank number: what its clearing owes = what stands under its keys + what is in suspense."""
    posted: Counter[str] = Counter()
    for key, row in memory.journal.items():
        posted[row.bank_number] += books[key]
    for one in memory.breaks.values():
        posted[one.bank_number] += one.suspense_fen if one.open else 0
    owed: Counter[str] = Counter()
    for name, number in memory.house.items():
        if name.kind == CLEARING:
            owed[name.owner] -= memory.accounts[number].balance_fen
    for bank_number in sorted({*posted, *owed}):
        if owed[bank_number] != posted[bank_number]:
            says = f"clearing owes {owed[bank_number]} fen, {posted[bank_number]} stand or are in suspense"
            raise Violation("I12", bank_number, says)


def deal_words(deal: Deal) -> str:
    """Return what a bank believes, in a few words."""
    own = deal.record
    outcome = own.outcome.value if own.outcome else "open"
    tail = f", last heard {own.result.name}" if own.result is not None else ""
    return f"{own.action} {outcome}, {own.debit.value}, {own.amount_fen} fen for {own.phone}{tail}"


def drained(left: Iterable[tuple[str, int]]) -> None:
    """Hold queues and stored entries to nothing (I8); `left` names what is left of each."""
    for name, count in left:
        if count:
            raise Violation("I8", name, f"{count} are left after everything has healed")
