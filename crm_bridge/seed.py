"""A population to try things on: subscribers with names, balances and open bills, the same for the same seed.

Phones are 13800000000 + i; every fiftieth (i % 50 == 49) is closed.  On SQLite it posts only while it holds
the lock file, so never beside a running bridge; on PostgreSQL one seeding at a time.
"""

import hashlib
from collections.abc import Iterator
from datetime import timedelta, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo

from crm_bridge.gateway_lock import held
from crm_bridge.migrations.schema import migrate, require_schema
from crm_bridge.settings import CoreSettings
from crm_bridge.store import Connection, fetch, writing
from qianzhi.billing import store as billing_store
from qianzhi.billing.bills import MonthBill, due_date
from qianzhi.billing.books import PhoneState, Subscriber
from qianzhi.billing.orders import ARREARS, BOOK, OPENING, RECEIVABLE, REVENUE, Code
from qianzhi.domain.dates import as_date, as_number, business_date
from qianzhi.ledger import store as ledger_store
from qianzhi.ledger.entries import Account, Leg, Name, Outcome
from qianzhi.ledger.invariant import invariant
from qianzhi.ledger.sheet import Sheet
from qianzhi.runtime import clock
from qianzhi.runtime.now import Now
from qianzhi.runtime.urls import is_postgres

FIRST_PHONE = 13_800_000_000
CLOSED_EVERY = 50
PART = "seed"
SUBSCRIBERS_MAX = 10_000_000
_CHUNK = 5_000
_LOCK = 0x73656564  # of PostgreSQL's advisory locks
_MONTHS = 3

_SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘蒋蔡余杜叶程苏魏吕丁任沈姚"
)
_GIVEN = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超霞平刚桂英华玉兰萍红建国文斌宇浩轩子涵欣怡梓晨雨桐思远嘉佳琪俊"


class SeedReport(NamedTuple):
    """What seeding did: `created` is 0 where a population of `subscribers` was there already."""

    subscribers: int
    created: int
    bills: int


class Person(NamedTuple):
    """One subscriber of the population; bills are (month, principal in fen), oldest first."""

    phone: str
    state: PhoneState
    name: str
    balance_fen: int
    bills: tuple[tuple[int, int], ...]


def seed(
    url: str,
    subscribers: int,
    seed: int = 1,
    *,
    settings: CoreSettings | None = None,
    now: Now | None = None,
    zone: tzinfo | None = None,
) -> SeedReport:
    """Migrate an SQLite database and give it `subscribers`; an existing population is left as it is.

    The same seed on the same business date gives the same population.  Raises LockedError while a bridge
    holds an SQLite database, SchemaError where PostgreSQL's schema is not this version's.
    """
    if not 0 < subscribers <= SUBSCRIBERS_MAX:
        raise ValueError(f"between 1 and {SUBSCRIBERS_MAX} subscribers can be seeded")
    settings = settings or CoreSettings(database=url)
    now = now or clock.now()
    today = business_date(now.wall_us, zone or ZoneInfo("Asia/Shanghai"))
    with held(url):
        if is_postgres(url):
            require_schema(url)  # who posts may not change the schema
        else:
            migrate(url)
        with writing(url) as connection:
            if is_postgres(url):
                fetch(connection, f"SELECT pg_advisory_xact_lock({_LOCK}) IS NULL")
            existing = fetch(connection, "SELECT count(*) FROM billing_phones")[0][0]
            if existing:
                return SeedReport(existing, 0, 0)
            bills = sum(
                _add(connection, start, people, settings.bill_due_day, now)
                for start, people in _chunks(subscribers, seed, today)
            )
    return SeedReport(subscribers, subscribers, bills)


def person(index: int, seed: int, today: int) -> Person:
    """Return subscriber `index` of the population; `today` (YYYYMMDD) decides which months are past."""
    dice = hashlib.sha256(f"{seed}/{index}".encode()).digest()
    name = _SURNAMES[dice[0] % len(_SURNAMES)] + _GIVEN[dice[1] % len(_GIVEN)]
    if dice[2] % 3:
        name += _GIVEN[dice[3] % len(_GIVEN)]
    state = PhoneState.CLOSED if index % CLOSED_EVERY == CLOSED_EVERY - 1 else PhoneState.OPEN
    balance = 0 if dice[4] % 5 < 2 else int.from_bytes(dice[5:7]) % 20_000
    open_bills = max(0, dice[7] % 6 - 2)  # none for half of them, then one to three
    months = past_months(today)[-open_bills:] if open_bills else ()
    bills = tuple(
        (month, 500 + int.from_bytes(dice[8 + 2 * i : 10 + 2 * i]) % 15_000) for i, month in enumerate(months)
    )
    return Person(str(FIRST_PHONE + index), state, name, balance, bills)


def past_months(today: int) -> tuple[int, ...]:
    """Return the months (YYYYMM) before today's that bills may be open for, oldest first."""
    months = []
    day = as_date(today)
    for _ in range(_MONTHS):
        day = day.replace(day=1) - timedelta(days=1)
        months.append(as_number(day) // 100)
    return tuple(reversed(months))


def _chunks(subscribers: int, seed: int, today: int) -> Iterator[tuple[int, list[Person]]]:
    for start in range(0, subscribers, _CHUNK):
        end = min(start + _CHUNK, subscribers)
        yield start, [person(index, seed, today) for index in range(start, end)]


def _add(connection: Connection, start: int, people: list[Person], due_day: int, now: Now) -> int:
    """Add a chunk of people with their accounts, bills and first postings; return how many bills."""
    phones = [one.phone for one in people]
    books = ledger_store.open_accounts(connection, [Name(BOOK, phone) for phone in phones], now.wall_us, 0)
    arrears = ledger_store.open_accounts(connection, [Name(ARREARS, phone) for phone in phones], now.wall_us)
    house = ledger_store.ensure_accounts(
        connection,
        [Name(OPENING, "", PART), Name(RECEIVABLE, "", PART), Name(REVENUE, "", PART)],
        now.wall_us,
    )
    rows = [
        Subscriber(
            one.phone,
            one.state,
            one.name,
            start + i + 1,
            books[Name(BOOK, one.phone)],
            arrears[Name(ARREARS, one.phone)],
        )
        for i, one in enumerate(people)
    ]
    bills = [
        MonthBill(f"{month}{row.book:010d}", row.book, month, principal, due_date(month, due_day))
        for row, one in zip(rows, people, strict=True)
        for month, principal in one.bills
    ]
    billing_store.add_subscribers(connection, rows, now.wall_us)
    billing_store.add_bills(connection, bills)
    _post(connection, rows, people, bills, house, now)
    return len(bills)


def _post(
    connection: Connection,
    rows: list[Subscriber],
    people: list[Person],
    bills: list[MonthBill],
    house: dict[Name, int],
    now: Now,
) -> None:
    opening, receivable, revenue = (house[Name(kind, "", PART)] for kind in (OPENING, RECEIVABLE, REVENUE))
    sheet = Sheet([*map(Account, house.values()), *(Account(row.account, floor_fen=0) for row in rows)])
    legs = [
        (f"opening-{row.book}", Leg(opening, row.account, one.balance_fen, Code.OPENING))
        for row, one in zip(rows, people, strict=True)
        if one.balance_fen
    ]
    legs += [(bill.serial, Leg(receivable, revenue, bill.principal_fen, Code.BILLED)) for bill in bills]
    for reference, leg in legs:
        invariant(sheet.post(reference, [leg], now) is Outcome.DONE, "a first posting must be possible")
    ledger_store.save(connection, sheet.changes())
