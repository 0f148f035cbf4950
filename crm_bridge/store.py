"""The core's transactions: journal, billing and ledger loaded and saved in one, and the journal's rows.

What differs between databases is one row of `STATEMENTS` in each of the three stores; connections and what
their errors mean are `database.store`'s.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from hashlib import blake2b
from typing import Any, NamedTuple

from sqlalchemy import TextClause, text

from crm_bridge.batch import Batch, break_keys, house_of
from crm_bridge.batch import Changes as Changes
from crm_bridge.batch import Wanted as Wanted
from crm_bridge.database.store import Connection as Connection
from crm_bridge.database.store import commit, compare_clocks, connect, open_engine, translated
from crm_bridge.database.store import fetch as fetch
from crm_bridge.database.store import reading as reading
from crm_bridge.database.store import writing as writing
from crm_bridge.direct.store import Session
from crm_bridge.house.store import holding_fences, house_saved, load_breaks, load_due, saving_house
from crm_bridge.journal import Row, State
from crm_bridge.journal_totals import Day, Totals
from qianzhi.billing import store as billing_store
from qianzhi.billing.books import Subscriber
from qianzhi.billing.desk import Loaded
from qianzhi.billing.orders import Standing
from qianzhi.domain.requests import Key
from qianzhi.ledger import store as ledger_store
from qianzhi.ledger.entries import Name
from qianzhi.ledger.store import (
    Ask,
    inserting,
    listed,
    loading_accounts,
    locking_accounts,
    of_dates,
    together,
    typed,
    unnested,
)
from qianzhi.ledger.store import Connection as Speaks
from qianzhi.ledger.store import writing as writing_rows
from qianzhi.runtime.crash import crashpoint
from qianzhi.runtime.urls import is_postgres


class Statements(NamedTuple):
    """One database's dialect of what the journal asks it."""

    load_rows: TextClause
    add_rows: TextClause
    mark_reversed: TextClause
    load_totals: TextClause
    add_totals: TextClause
    find_rows: TextClause
    # None where a writing transaction has the whole database to itself.
    take_serials: TextClause | None = None
    touch: TextClause | None = None


_COLUMNS = ", ".join(Row._fields)
_PLACES = ", ".join(f":{name}" for name in Row._fields)
_BYTES = ("content", "reply", "reversal_reply")
_NUMBERS = (
    "business_date",
    "kind",
    "state",
    "result",
    "amount_fen",
    "received_us",
    "decided_us",
    "reversed_us",
)
_TYPES = {
    name: "bytea" if name in _BYTES else "bigint" if name in _NUMBERS else "text" for name in Row._fields
}
_REVERSED = {
    name: _TYPES[name]
    for name in (
        *("space", "business_date", "serial"),
        *("state", "reversal_order", "reversal_reply", "reversed_us"),
    )
}
_TOTALS = typed("business_date approved_count approved_fen reversed_count reversed_fen", "bank_number part")

STATEMENTS = {
    "sqlite": Statements(
        load_rows=text(
            f"""SELECT {", ".join("j." + name for name in Row._fields)} FROM json_each(:keys) w CROSS JOIN
            journal j ON j.space = w.value ->> 0 AND j.business_date = w.value ->> 1 AND j.serial = w.value
            ->> 2"""  # noqa: S608
        ),
        add_rows=text(
            f"""INSERT INTO journal ({_COLUMNS}) VALUES ({_PLACES})
            ON CONFLICT (space, business_date, serial) DO NOTHING"""  # noqa: S608
        ),
        mark_reversed=text(
            """UPDATE journal SET state = :state, reversal_order = :reversal_order, reversal_reply =
            :reversal_reply, reversed_us = :reversed_us WHERE space = :space AND business_date =
            :business_date AND serial = :serial AND state = 1"""
        ),
        load_totals=text(
            """SELECT t.bank_number, t.business_date, sum(t.approved_count), sum(t.approved_fen),
            sum(t.reversed_count), sum(t.reversed_fen) FROM json_each(:days) w CROSS JOIN journal_totals t
            ON t.bank_number = w.value ->> 0 AND t.business_date = w.value ->> 1
            GROUP BY t.bank_number, t.business_date"""
        ),
        add_totals=text(
            """INSERT INTO journal_totals (business_date, bank_number, part, approved_count, approved_fen,
            reversed_count, reversed_fen) VALUES (:business_date, :bank_number, :part, :approved_count,
            :approved_fen, :reversed_count, :reversed_fen)
            ON CONFLICT (business_date, bank_number, part) DO UPDATE SET
            approved_count = approved_count + excluded.approved_count, approved_fen = approved_fen +
            excluded.approved_fen, reversed_count = reversed_count + excluded.reversed_count, reversed_fen =
            reversed_fen + excluded.reversed_fen"""
        ),
        find_rows=text(
            f"""SELECT {_COLUMNS} FROM journal WHERE substr(serial, -length(:ending)) = :ending
            OR substr(order_serial, -length(:ending)) = :ending ORDER BY decided_us DESC LIMIT :rows_max
            """  # noqa: S608
        ),
    ),
    "postgresql": Statements(
        load_rows=text(
            f"""SELECT j.* FROM unnest(CAST(:keys0 AS text[]), CAST(:keys1 AS bigint[]),
            CAST(:keys2 AS text[])) w (space, business_date, serial) CROSS JOIN LATERAL
            (SELECT {_COLUMNS} FROM journal k WHERE k.space = w.space AND k.business_date =
            w.business_date AND k.serial = w.serial /* of k.business_date */ LIMIT 1) j"""  # noqa: S608
        ),
        # The keys come sorted: two batches that claim the same ones wait for each other, never in a circle.
        add_rows=text(
            inserting("journal", _TYPES) + " ON CONFLICT (space, business_date, serial) DO NOTHING"
        ),
        mark_reversed=text(
            f"""UPDATE journal j SET state = w.state, reversal_order = w.reversal_order, reversal_reply =
            w.reversal_reply, reversed_us = w.reversed_us FROM {unnested(_REVERSED)} w
            ({", ".join(_REVERSED)}) WHERE j.space = w.space AND j.business_date = w.business_date AND
            j.serial = w.serial AND j.state = 1 AND j.space = ANY (CAST(:space AS text[])) AND
            j.serial = ANY (CAST(:serial AS text[])) /* of j.business_date */"""  # noqa: S608
        ),
        load_totals=text(
            """SELECT t.bank_number, t.business_date, CAST(sum(t.approved_count) AS bigint),
            CAST(sum(t.approved_fen) AS bigint), CAST(sum(t.reversed_count) AS bigint),
            CAST(sum(t.reversed_fen) AS bigint) FROM unnest(CAST(:days0 AS text[]), CAST(:days1 AS bigint[]))
            w (bank_number, business_date) JOIN journal_totals t ON t.bank_number = w.bank_number AND
            t.business_date = w.business_date GROUP BY t.bank_number, t.business_date"""
        ),
        add_totals=text(
            f"""INSERT INTO journal_totals AS t ({", ".join(_TOTALS)}) SELECT * FROM {unnested(_TOTALS)}
            ON CONFLICT (business_date, bank_number, part) DO UPDATE SET
            approved_count = t.approved_count + excluded.approved_count, approved_fen = t.approved_fen +
            excluded.approved_fen, reversed_count = t.reversed_count + excluded.reversed_count, reversed_fen =
            t.reversed_fen + excluded.reversed_fen"""  # noqa: S608
        ),
        find_rows=text(
            f"""SELECT {_COLUMNS} FROM journal WHERE right(serial, length(:ending)) = :ending
            OR right(order_serial, length(:ending)) = :ending ORDER BY decided_us DESC LIMIT :rows_max
            """  # noqa: S608
        ),
        take_serials=text("SELECT pg_advisory_xact_lock(w) FROM unnest(CAST(:serials AS bigint[])) w"),
        touch=text("SELECT pg_logical_emit_message(true, 'qianzhi', 'asked')"),
    ),
}


# Every statement of a batch finds its rows by keys.  Left to itself the planner reads the whole of a table
# that was empty when it looked, and goes on so while it fills; and it plans anew what has the same plan.  Of
# two tables that are joined it would still begin with the one that it holds for empty, and read that whole by
# its index: so statements join sideways (LATERAL … LIMIT 1), or name their keys for the table as well.
STEADY_PLANS = " ".join(
    f"-c {setting}"
    for setting in (
        "plan_cache_mode=force_generic_plan",
        "enable_seqscan=off",
        "enable_hashjoin=off",
        "enable_mergejoin=off",
        "jit=off",
    )
)


class Store:
    """The database behind one writer; a transaction at a time."""

    def __init__(self, url: str, order_prefix: str) -> None:
        self._order_prefix = order_prefix
        if is_postgres(url):
            session = Session(lambda: connect(url, options=STEADY_PLANS))
            self._open: Callable[[], AbstractContextManager[Speaks]] = session.transaction
            self.close = session.close
        else:
            self._engine = open_engine(url)
            self._open, self.close = self._engine.connect, self._engine.dispose

    @contextmanager
    def transaction(self) -> Iterator["Transaction"]:
        """Open a writing transaction; it is rolled back unless it was committed.

        Raises RetryableError, OutOfSpaceError or CommitUnknownError; anything else is the fault of what was
        asked.
        """
        with translated(), self._open() as connection:
            yield Transaction(connection, self._order_prefix)

    def rows(self, keys: Sequence[Key]) -> list[Row]:
        """Return the journal's rows of these keys, as far as they exist."""
        with translated(), self._open() as connection:
            return load_rows(connection, keys)


class Transaction:
    """One batch's transaction."""

    def __init__(self, connection: Speaks, order_prefix: str) -> None:
        self._connection = connection
        self._order_prefix = order_prefix
        self._answers_from_rows = False
        self._writes = False

    def load(self, wanted: Wanted, now_us: int) -> Batch:
        """Load all that a batch may touch; the accounts by number, before what they protect."""
        connection = self._connection
        if wanted.closes or wanted.due_through:  # a fence only rises: to look now and then is not enough
            compare_clocks(connection)
        first = together(connection, self._named(wanted))
        fences: dict[str, int] = first.get("fences", {})
        rows: list[Row] = first.get("rows", [])
        subscribers: list[Subscriber] = first.get("subscribers", [])
        undone = [row for row in rows if row.order_serial and row.key in wanted.reversals]
        orders = [row.order_serial or "" for row in undone]
        dates = [row.business_date for row in undone]
        standings = billing_store.load_standings(connection, orders, dates) if orders else []
        breaks = load_breaks(connection, break_keys(wanted, fences), wanted.closes, fences)
        house: dict[Name, int] = first.get("house", {})
        missing = [name for name in house_of(wanted, breaks) if name not in house]
        if missing:
            house |= ledger_store.ensure_accounts(connection, missing, now_us)
        last = together(connection, self._protected(wanted, subscribers, standings, house))
        totals: list[tuple[Day, Totals]] = last.get("totals", [])
        due = load_due(connection, wanted.due_through) if wanted.due_through else ()
        self._answers_from_rows = bool(rows or totals or breaks or any(fences.values()))
        serials = billing_store.serials_of(self._order_prefix, first.get("numbers", ()), wanted.orders_max)
        billing = Loaded(subscribers, last.get("bills", []), standings, house, serials)
        accounts = last.get("limited", []) + last.get("others", [])
        return Batch(rows, totals, accounts, billing, fences, breaks, due)

    def _named(self, wanted: Wanted) -> dict[str, Ask | None]:
        """Ask for what a batch names itself.  Locks that stand for no row come before all that is read, and
        each kind in an order of its own.
        """
        connection, phones, house = self._connection, wanted.phones, wanted.house
        return {
            **holding_fences(connection, wanted.spaces, wanted.closes),
            "serials held": holding_serials(connection, wanted.serials),
            "rows": loading_rows(connection, wanted.keys) if wanted.keys else None,
            "subscribers": billing_store.loading_subscribers(connection, phones) if phones else None,
            "house": ledger_store.finding_accounts(connection, house) if house else None,
            "numbers": billing_store.taking_numbers(connection, wanted.orders_max),
        }

    def _protected(
        self,
        wanted: Wanted,
        subscribers: Sequence[Subscriber],
        standings: Sequence[Standing],
        house: Mapping[Name, int],
    ) -> dict[str, Ask | None]:
        """Ask for the accounts, and then for what they protect.

        Books are locked, by number: they have a limit, and whoever moves a book's arrears or pays its bills
        holds it.  Accounts without one only move relatively, at the end, by number too: whoever waits for
        one of them there holds all books that it wants.
        """
        connection = self._connection
        limited = {one.account for one in subscribers}.union(one.account for one in standings)
        others = {one.arrears for one in subscribers}.union(house.values())
        for standing in standings:
            others.add(standing.arrears)
            others.update(*((leg.debit, leg.credit) for leg in standing.legs))
        others -= limited
        bills = wanted.bills.union(*((off.bill for off in standing.write_offs) for standing in standings))
        books = {subscriber.book for subscriber in subscribers}
        return {
            "limited": locking_accounts(connection, limited) if limited else None,
            "others": loading_accounts(connection, sorted(others)) if others else None,
            "bills": billing_store.loading_bills(connection, books, bills) if books or bills else None,
            "totals": loading_totals(connection, wanted.days) if wanted.days else None,
        }

    def save(self, changes: Changes, part: str) -> bool:
        """Write a batch's changes, its totals under `part`; False says that a key was claimed meanwhile:
        decide again.
        """
        connection, sql = self._connection, STATEMENTS[self._connection.dialect.name]
        inserts, reversals, totals = changes.journal[:3]
        self._writes = any(changes.journal)
        added = [(day.date, *sums, day.bank_number, part) for day, sums in totals]
        mark = of_dates(connection, sql.mark_reversed, (row.business_date for row in reversals))
        # An answer from kept rows waits for the standby as their own commit did, or should have.
        touches = self._answers_from_rows and not self._writes and sql.touch is not None
        saved = together(
            connection,
            {
                **saving_house(connection, changes.journal),
                "inserts": writing_rows(connection, sql.add_rows, Row._fields, inserts),
                "reversals": writing_rows(connection, mark, Row._fields, reversals),
                "totals": writing_rows(connection, sql.add_totals, tuple(_TOTALS), added),
                **billing_store.saving(connection, changes.billing),
                **ledger_store.saving(connection, changes.ledger),
                "touch": Ask(sql.touch, {}, lambda rows: None) if touches and sql.touch is not None else None,
            },
        )
        claimed = saved.get("inserts", 0) < len(inserts) or saved.get("reversals", 0) < len(reversals)
        if claimed or not house_saved(changes.journal, saved):
            return False
        billing_store.check_saved(changes.billing, saved)
        ledger_store.check_saved(changes.ledger, saved)
        return True

    def commit(self) -> None:
        """Make it durable; raises CommitUnknownError when it cannot be said whether it is."""
        if not self._writes:  # a death here would show nothing, and a bridge only asks when it begins
            commit(self._connection)
            return
        crashpoint("bridge.before_commit")
        commit(self._connection)
        crashpoint("bridge.after_commit")


def holding_serials(connection: Speaks, serials: Iterable[tuple[str, str]]) -> Ask | None:
    """Keep other transactions from these (space, serial) under whatever date, until this one ends.

    Two copies of a request whose date is ours may come to two bridges on both sides of midnight: under
    different keys, so that no unique row would tell them apart.  Of all others the insert would judge; but
    who waits here has decided nothing yet, holds no account, and need not begin again.
    """
    lock = STATEMENTS[connection.dialect.name].take_serials
    if lock is None:
        return None
    hashes = {
        int.from_bytes(blake2b(f"{space}/{serial}".encode(), digest_size=8).digest(), "big", signed=True)
        for space, serial in serials
    }
    return Ask(lock, {"serials": sorted(hashes)}, lambda rows: None) if hashes else None


def load_rows(connection: Speaks, keys: Iterable[Key]) -> list[Row]:
    """Return the journal's rows of these keys, as far as they exist."""
    ask = loading_rows(connection, keys)
    found: list[Row] = ask.read(connection.execute(ask.statement, ask.given))
    return found


def loading_rows(connection: Speaks, keys: Iterable[Key]) -> Ask:
    """Ask for the journal's rows of these keys, as far as they exist."""
    asked = list(keys)
    given = listed(connection, "keys", asked, 3)
    load = of_dates(connection, STATEMENTS[connection.dialect.name].load_rows, (key.date for key in asked))
    return Ask(load, given, lambda rows: list(map(row_of, rows)))


def loading_totals(connection: Speaks, days: Iterable[Day]) -> Ask:
    """Ask what these days come to, all parts together; a day without rows is missing."""
    given = listed(connection, "days", days, 2)
    return Ask(STATEMENTS[connection.dialect.name].load_totals, given, _day_totals)


def load_totals(connection: Speaks, days: Iterable[Day]) -> list[tuple[Day, Totals]]:
    """Return what these days come to, as `loading_totals` asks."""
    ask = loading_totals(connection, days)
    return _day_totals(connection.execute(ask.statement, ask.given))


def _day_totals(rows: Iterable[Any]) -> list[tuple[Day, Totals]]:
    return [(Day(*row[:2]), Totals(*row[2:])) for row in rows]


def find_rows(connection: Connection, ending: str, rows_max: int) -> list[Row]:
    """Return the newest rows whose serial or work order ends with `ending`; reads the whole journal."""
    given = {"ending": ending, "rows_max": rows_max}
    return list(map(row_of, connection.execute(STATEMENTS[connection.dialect.name].find_rows, given)))


def all_rows(connection: Connection) -> Iterator[Row]:
    """Return the whole journal, row by row."""
    sql = f"SELECT {_COLUMNS} FROM journal"  # noqa: S608
    return map(row_of, connection.execution_options(yield_per=1_000).execute(text(sql)))


def row_of(row: Any) -> Row:
    """Return a database row of all columns as a row of the journal."""
    return Row._make((*row[:5], State(row[5]), *row[6:]))
