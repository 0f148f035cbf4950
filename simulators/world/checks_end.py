"""What must hold once all is healed: banks, journal and books agree, and differences are open breaks.  Pure.

I1   every request ends credited and answered, refused and answered, or reversed
I3   no success that a bank was told of is without its credit, nothing stands after a reversal
I7   nothing is open any more
I12  totals: journal = books = banks' own records; and of every customer: debited = credited + open
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from crm_bridge.journal import Row, State
from qianzhi.domain.requests import Key
from simulators.record import Debit, Outcome
from simulators.world.banks_deals import Deal
from simulators.world.checks_books import standing, words
from simulators.world.observe import Violation

if TYPE_CHECKING:
    from crm_bridge.memory import Memory

Find = Callable[[Key, str], Sequence[Row]]


class Party(NamedTuple):
    """One side that keeps its own record of money: a bank, or a network that we charge.

    Of a network, `phones` are its charges' by key, `standing` what it has taken by bank number.
    """

    name: str
    deals: Sequence[Deal]
    spent: dict[str, int]  # of its customers, by phone
    phones: Mapping[Key, str] = {}
    standing: Mapping[str, int] = {}


def compare(parties: Sequence[Party], memory: "Memory", find: Find, open_keys: Collection[Key] = ()) -> None:
    """Compare all that everybody has on record; raises Violation for the first difference.

    `open_keys` are open in another way than by a break: an entry waits for an operator, say.
    """
    books = standing(memory)
    claimed: set[Key] = set()
    breaks = {key for key, one in memory.breaks.items() if one.open} | set(open_keys)
    for party in parties:
        claimed |= set(party.phones)
        for deal in party.deals:
            if deal.record.originals or deal.record.reversing or deal.record.queried:
                row = _row_of(deal, find(deal.record.key, party.name))
                if row is not None:
                    claimed.add(row.key)
                _compare_deal(party.name, deal, row, books, breaks)
    for key, row in memory.journal.items():
        if key not in claimed and books[key] and key not in breaks:
            says = f"{books[key]} fen stand in the books, and nobody asked for them"
            raise Violation("I12", key.text, says, journal=words(row), books=books[key])
    _compare_customers(parties, memory, books, breaks)
    _compare_totals(parties, memory, books, breaks)


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


def _compare_deal(bank: str, deal: Deal, row: Row | None, books: Counter[Key], breaks: set[Key]) -> None:
    key = deal.record.key.text
    views = {"bank": f"{bank}: {deal_words(deal)}", "journal": words(row)}
    if (
        not deal.done
        or (deal.record.outcome is None and deal.record.originals)
        or deal.record.debit is Debit.UNKNOWN
    ):
        raise Violation("I7", key, "still open long after everything has healed", **views)
    core_fen = books[row.key] if row is not None and row.content and _fits(deal, row) else 0
    if deal.record.standing_fen == core_fen:
        return
    if row is not None and row.key in breaks:
        return
    views["books"] = f"{core_fen} fen"
    if deal.record.standing_fen > core_fen:
        raise Violation("I3", key, "the bank was told of success, and the money is not credited", **views)
    if deal.record.outcome is Outcome.REVERSED:
        raise Violation("I3", key, "credited still after a completed reversal", **views)
    raise Violation("I1", key, "the bank was told that it was refused, and it is credited", **views)


def _compare_customers(
    parties: Sequence[Party], memory: "Memory", books: Counter[Key], breaks: set[Key]
) -> None:
    """Of every customer: what the bank debited = what the books credited + what is open."""
    credited: Counter[str] = Counter()
    for key, row in memory.journal.items():
        credited[row.phone] += books[key]
    open_phones = {memory.journal[key].phone for key in breaks if key in memory.journal}
    open_phones |= {party.phones[key] for party in parties for key in breaks if key in party.phones}
    spent: Counter[str] = Counter()
    for party in parties:
        spent.update(party.spent)
    for phone in sorted({*spent, *credited}):
        if spent[phone] != credited[phone] and phone not in open_phones:
            says = f"{spent[phone]} fen debited, {credited[phone]} credited, nothing open"
            raise Violation("I12", phone, says)


def _compare_totals(
    parties: Sequence[Party], memory: "Memory", books: Counter[Key], breaks: set[Key]
) -> None:
    """By bank number and date: the journal's totals, its rows, the postings and the bank's own record."""
    journal: defaultdict[tuple[str, int], int] = defaultdict(int)
    posted: defaultdict[tuple[str, int], int] = defaultdict(int)
    for key, row in memory.journal.items():
        day = (row.bank_number, row.business_date)
        journal[day] += row.amount_fen if row.state is State.APPROVED else 0
        posted[day] += books[key]
    kept: Counter[tuple[str, int]] = Counter()
    for (of_day, _part), totals in memory.totals.items():
        kept[of_day.bank_number, of_day.date] += totals.approved_fen - totals.reversed_fen
    for day in sorted({*journal, *posted, *kept}):
        if not journal[day] == posted[day] == kept[day]:
            says = f"journal {journal[day]}, books {posted[day]}, kept totals {kept[day]} fen"
            raise Violation("I12", f"{day[0]}/{day[1]}", says)
    open_numbers = {memory.journal[key].bank_number for key in breaks if key in memory.journal}
    own: Counter[str] = Counter()
    for party in parties:
        own.update(party.standing)
        for deal in party.deals:
            own[deal.record.bank_number] += deal.record.standing_fen
    ours: Counter[str] = Counter()
    for (number, _), fen in posted.items():
        ours[number] += fen
    for number in sorted({*own, *ours} - open_numbers):
        if own[number] != ours[number]:
            raise Violation("I12", number, f"the bank counts {own[number]} fen, the books {ours[number]}")


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
