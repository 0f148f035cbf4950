"""What operators look up: a phone's account, a key's journal row, an order's entries, totals.  Read-only."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import tzinfo
from zoneinfo import ZoneInfo

from crm_bridge.house import store as house_store
from crm_bridge.journal import Row, State
from crm_bridge.settings import CoreSettings
from crm_bridge.store import Connection, fetch, find_rows, load_rows, reading
from qianzhi.billing import store as billing_store
from qianzhi.billing.bills import quote
from qianzhi.billing.books import PhoneState
from qianzhi.billing.orders import UNDO, Code
from qianzhi.domain.dates import business_date
from qianzhi.domain.requests import Bill, Key, Kind
from qianzhi.domain.results import Result
from qianzhi.ledger import store as ledger_store
from qianzhi.runtime import clock
from qianzhi.runtime.now import Now

FOUND_MAX = 20


@dataclass(frozen=True)
class OrderView:
    """One work order; `reversed_by` is empty while it stands."""

    serial: str
    kind: str
    key: str
    phone: str
    amount_fen: int
    bank_number: str
    posted_us: int
    reverses: str
    reversed_by: str


@dataclass(frozen=True)
class AccountView:
    """A phone with its book: what lies in it, is set aside and is short, and the open bills of today."""

    phone: str
    state: str
    name: str
    book: int
    balance_fen: int
    reserved_fen: int
    arrears_fen: int
    bills: tuple[Bill, ...]
    orders: tuple[OrderView, ...]


@dataclass(frozen=True)
class JournalView:
    """One key of the journal, in words; times are microseconds since 1970 UTC, 0 where there is none."""

    key: str
    kind: str
    state: str
    result: str
    order: str
    reversal_order: str
    phone: str
    amount_fen: int
    bank: str
    bank_number: str
    bill: str
    received_us: int
    decided_us: int
    reversed_us: int
    part: str


@dataclass(frozen=True)
class BreakView:
    """One break: what is open about a key, since when, and what of it stands in suspense.

    `changed_us` is when it was last written: mended, where it is not `open`; `noted_us` is the stamp of its
    episode, which whoever mends it repeats.
    """

    key: str
    kind: str
    open: bool
    bank: str
    bank_number: str
    amount_fen: int
    suspense_fen: int
    opened_us: int
    changed_us: int
    noted_us: int


@dataclass(frozen=True)
class FenceView:
    """One close: dates of `space` up to `closed_through` (YYYYMMDD), when, and who asked for it."""

    space: str
    closed_through: int
    closed_us: int
    by: str


@dataclass(frozen=True)
class EntryView:
    """One transfer of the ledger: `what` says what it is, accounts are written kind:owner:part."""

    id: int
    order: str
    what: str
    debit: str
    credit: str
    amount_fen: int
    posted_us: int


@dataclass(frozen=True)
class Totals:
    """The whole core in a few numbers: keys per state, balances per kind of account, standing credits."""

    keys: dict[str, int]
    results: dict[str, int]
    balances_fen: dict[str, int]
    orders: int
    reversals: int
    credited_fen: int
    open_bills: int
    subscribers: int


def find_account(
    url: str,
    phone: str,
    *,
    settings: CoreSettings | None = None,
    now: Now | None = None,
    zone: tzinfo | None = None,
) -> AccountView | None:
    """Return the account of a phone with its newest orders, None when there is no such phone."""
    settings = settings or CoreSettings(database=url)
    today = business_date((now or clock.now()).wall_us, zone or ZoneInfo("Asia/Shanghai"))
    with reading(url) as connection:
        found = billing_store.load_subscribers(connection, [phone])
        if not found:
            return None
        one = found[0]
        accounts = ledger_store.load_accounts(connection, [one.account, one.arrears])
        balances = {account.id: account for account in accounts}
        bills = sorted(billing_store.load_bills(connection, [one.book], []), key=lambda bill: bill.month)
        return AccountView(
            phone=one.phone,
            state=PhoneState(one.state).name.lower(),
            name=one.name,
            book=one.book,
            balance_fen=balances[one.account].balance_fen,
            reserved_fen=balances[one.account].reserved_fen,
            arrears_fen=-balances[one.arrears].balance_fen,
            bills=tuple(quote(bill, today, settings.tariff) for bill in bills),
            orders=_orders(connection, "o.phone = :value", phone),
        )


def find_journal(url: str, text: str) -> list[JournalView]:
    """Return the rows of a key (space/YYYYMMDD/serial), or of serials or orders ending with `text`.

    At most twenty, newest first; a search without the whole key reads the whole journal.
    """
    with reading(url) as connection:
        if text.count("/") >= 2:
            return list(map(_journal_view, load_rows(connection, [Key.parse(text)])))
        return list(map(_journal_view, find_rows(connection, text, FOUND_MAX)))


def find_keys(url: str, keys: Iterable[Key]) -> dict[Key, JournalView]:
    """Return the rows of many keys at once; a key that the core never saw is missing."""
    with reading(url) as connection:
        return {row.key: _journal_view(row) for row in load_rows(connection, keys)}


def find_breaks(
    url: str, *, space: str = "", date: int = 0, kind: str = "", open_only: bool = True
) -> list[BreakView]:
    """Return breaks, oldest first: of one space, date or kind where these are given.

    What a `release` from quarantine ends are those of kind `quarantine`.
    """
    with reading(url) as connection:
        rows = house_store.find_breaks(connection, space, date, kind, open_only=open_only)
    return [
        BreakView(
            row.key.text,
            row.kind,
            row.open,
            *(row.bank, row.bank_number, row.amount_fen, row.suspense_fen, row.opened_us, row.changed_us),
            row.noted_us,
        )
        for row in rows
    ]


def find_fences(url: str, space: str = "") -> list[FenceView]:
    """Return every close that was ever written, newest date first; of one space where it is given.

    What was closed for all spaces before each had a fence of its own stands there with an empty space.
    """
    with reading(url) as connection:
        found = [FenceView(*fence) for fence in house_store.find_fences(connection, space)]
        before = house_store.closed_for_all(connection)
    return found + ([FenceView("", before, 0, "")] if before else [])


def find_due(url: str, through: int) -> list[tuple[str, int]]:
    """Return (space, date): of each space the oldest date up to `through` that has rows and is not closed."""
    with reading(url) as connection:
        return [(due.space, due.date) for due in house_store.load_due(connection, through)]


def find_order(url: str, serial: str) -> OrderView | None:
    """Return a work order, None when there is none of that serial."""
    with reading(url) as connection:
        return next(iter(_orders(connection, "o.serial = :value", serial)), None)


def find_entries(url: str, order: str) -> list[EntryView]:
    """Return the transfers made under a work order (or a bill's serial), oldest first."""
    sql = """SELECT t.id, t.reference, t.code, d.kind || ':' || d.owner || ':' || d.part,
        c.kind || ':' || c.owner || ':' || c.part, t.amount_fen, t.posted_us
        FROM ledger_transfers t JOIN ledger_accounts d ON d.id = t.debit JOIN ledger_accounts c ON c.id =
        t.credit WHERE t.reference = :order ORDER BY t.id"""
    with reading(url) as connection:
        rows = fetch(connection, sql, order=order)
    return [EntryView(row[0], row[1], _what(row[2]), *row[3:]) for row in rows]


def totals(url: str) -> Totals:
    """Return the core's totals."""
    with reading(url) as connection:
        states = fetch(connection, "SELECT state, count(*) FROM journal GROUP BY state ORDER BY state")
        results = fetch(connection, "SELECT result, count(*) FROM journal GROUP BY result ORDER BY result")
        kinds = fetch(
            connection, "SELECT kind, sum(balance_fen) FROM ledger_accounts GROUP BY kind ORDER BY kind"
        )
        orders, reversals, credited = fetch(
            connection,
            """SELECT count(*), count(reverses), coalesce(sum(CASE WHEN reverses IS NULL THEN amount_fen
            ELSE -amount_fen END), 0) FROM billing_orders""",
        )[0]
        bills = fetch(connection, "SELECT count(*) FROM billing_bills WHERE paid_by IS NULL")[0][0]
        subscribers = fetch(connection, "SELECT count(*) FROM billing_phones")[0][0]
    return Totals(
        keys={State(state).name.lower(): n for state, n in states},
        results={Result(result).name.lower(): n for result, n in results},
        balances_fen={kind: int(fen) for kind, fen in kinds},
        orders=orders - reversals,
        reversals=reversals,
        credited_fen=int(credited),
        open_bills=bills,
        subscribers=subscribers,
    )


def _orders(connection: Connection, condition: str, value: str) -> tuple[OrderView, ...]:
    sql = f"""SELECT o.serial, o.kind, o.space, o.business_date, o.key_serial, o.phone, o.amount_fen,
    o.bank_number,
        o.posted_us, coalesce(o.reverses, ''), coalesce(r.serial, '')
        FROM billing_orders o LEFT JOIN billing_orders r ON r.reverses = o.serial
        WHERE {condition} ORDER BY o.serial DESC LIMIT {FOUND_MAX}"""  # noqa: S608 - conditions are our own
    return tuple(
        OrderView(row[0], Kind(row[1]).name.lower(), Key(row[2], row[3], row[4]).text, *row[5:])
        for row in fetch(connection, sql, value=value)
    )


def _journal_view(row: Row) -> JournalView:
    return JournalView(
        key=row.key.text,
        kind=Kind(row.kind).name.lower(),
        state=row.state.name.lower(),
        result=Result(row.result).name.lower(),
        order=row.order_serial or "",
        reversal_order=row.reversal_order or "",
        phone=row.phone,
        amount_fen=row.amount_fen,
        bank=row.bank,
        bank_number=row.bank_number,
        bill=row.bill,
        received_us=row.received_us,
        decided_us=row.decided_us,
        reversed_us=row.reversed_us or 0,
        part=row.part,
    )


def _what(code: int) -> str:
    """Return what a transfer's code means, in words."""
    known = set(Code)
    if code in known:
        return Code(code).name.lower()
    return f"undo {Code(code - UNDO).name.lower()}" if code - UNDO in known else f"code {code}"
