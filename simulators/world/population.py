"""Who has a phone in a simulated world: books with money, bills, and some phones that are closed.  Pure."""

from collections.abc import Sequence

from crm_bridge.memory import Memory
from qianzhi.billing.bills import MonthBill, due_date
from qianzhi.billing.books import PhoneState, Subscriber
from qianzhi.billing.orders import OPENING, RECEIVABLE, REVENUE, Code
from qianzhi.ledger.entries import Account, Leg, Name, Outcome
from qianzhi.ledger.invariant import invariant
from qianzhi.ledger.sheet import Sheet
from qianzhi.runtime.now import Now
from simulators.world.customers import People
from simulators.world.kernel import Dice

CLOSED = 2  # phones of each bank's people that are closed
DUE_DAY = 20
PART = "seed"


def people_of(first: int, count: int) -> People:
    """Return the people of one bank: `count` phones from `first` on, and behind them the closed ones."""
    phones = tuple(str(first + number) for number in range(count))
    closed = tuple(str(first + count + number) for number in range(CLOSED))
    return People(phones, closed)


def make_memory(people: Sequence[People], month: int, dice: Dice, now: Now) -> Memory:
    """Return the core's tables with these people: some have money, some owe bills of the months before."""
    subscribers: list[Subscriber] = []
    bills: list[MonthBill] = []
    accounts: list[Account] = []
    for group in people:
        for phone in (*group.phones, *group.closed):
            state = PhoneState.CLOSED if phone in group.closed else PhoneState.OPEN
            book = len(subscribers) + 1
            subscribers.append(Subscriber(phone, state, f"户{book}", book, 2 * book - 1, 2 * book))
            accounts += [Account(2 * book - 1, floor_fen=0), Account(2 * book)]
            if state is PhoneState.OPEN and dice.below(4):
                bills += [
                    MonthBill(
                        f"{past}{book:010d}", book, past, 500 + dice.below(most), due_date(past, DUE_DAY)
                    )
                    for past, most in ((_month_before(month), 9_500), (month, 40_000))
                ]
    memory = Memory(subscribers, bills, accounts)
    _open(memory, dice, now)
    return memory


def _month_before(month: int) -> int:
    """Return the month before one, both YYYYMM."""
    return month - 89 if month % 100 == 1 else month - 1


def _open(memory: Memory, dice: Dice, now: Now) -> None:
    """Post what the books begin with: every balance is the sum of its entries from the first one on."""
    opening, receivable, revenue = (
        memory.account_of(Name(kind, "", PART)) for kind in (OPENING, RECEIVABLE, REVENUE)
    )
    sheet = Sheet(list(memory.accounts.values()))
    for one in memory.subscribers.values():
        amount_fen = dice.below(20_000) if dice.below(2) else 0
        if amount_fen:
            leg = Leg(opening, one.account, amount_fen, Code.OPENING)
            invariant(
                sheet.post(f"opening-{one.book}", [leg], now) is Outcome.DONE, "a first posting is possible"
            )
    for bill in memory.bills.values():
        leg = Leg(receivable, revenue, bill.principal_fen, Code.BILLED)
        invariant(sheet.post(bill.serial, [leg], now) is Outcome.DONE, "a first posting is possible")
    changes = sheet.changes()
    memory.transfers += changes.transfers
    for number, delta in changes.deltas.items():
        account = memory.accounts[number]
        memory.accounts[number] = account._replace(balance_fen=account.balance_fen + delta.balance_fen)
