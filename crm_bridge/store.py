"""The core's transactions: journal, billing and ledger loaded and saved in one, and the journal's rows.

What differs between databases is one row of `STATEMENTS` in each of the three stores; connections and what
their errors mean are `database.store`'s.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any, NamedTuple

from sqlalchemy import TextClause, text

from crm_bridge.batch import Batch, break_keys, house_of
from crm_bridge.batch import Changes as Changes
from crm_bridge.batch import Wanted as Wanted
from crm_bridge.database.store import Connection as Connection
from crm_bridge.database.store import commit, compare_clocks, open_engine, translated
from crm_bridge.database.store import fetch as fetch
from crm_bridge.database.store import reading as reading
from crm_bridge.database.store import writing as writing
from crm_bridge.house.store import hold_fences, load_breaks, load_due, save_house
from crm_bridge.journal import Row, State
from crm_bridge.journal_totals import Day, Totals
from qianzhi.billing import store as billing_store
from qianzhi.billing.desk import Loaded
from qianzhi.domain.requests import Key
from qianzhi.ledger import store as ledger_store
from qianzhi.ledger.store import inserting, listed, of_dates, typed, unnested, write
from qianzhi.runtime.crash import crashpoint


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
            f"""SELECT {", ".join("j." + name for name in Row._fields)} FROM unnest(CAST(:keys0 AS text[]),
            CAST(:keys1 AS bigint[]), CAST(:keys2 AS text[])) w (space, business_date, serial) JOIN journal j
            ON j.space = w.space AND j.business_date = w.business_date AND j.serial = w.serial
            /* of j.business_date */"""  # noqa: S608
        ),
        # The keys come sorted: two batches that claim the same ones wait for each other, never in a circle.
        add_rows=text(
            inserting("journal", _TYPES) + " ON CONFLICT (space, business_date, serial) DO NOTHING"
        ),
        mark_reversed=text(
            f"""UPDATE journal j SET state = w.state, reversal_order = w.reversal_order, reversal_reply =
            w.reversal_reply, reversed_us = w.reversed_us FROM {unnested(_REVERSED)} w
            ({", ".join(_REVERSED)}) WHERE j.space = w.space AND j.business_date = w.business_date AND
            j.serial = w.serial AND j.state = 1 /* of j.business_date */"""  # noqa: S608
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
# that was empty when it looked, and goes on so while it fills; and it plans anew what has the same plan.
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
        self._engine = open_engine(url, options=STEADY_PLANS)
        self._order_prefix = order_prefix

    @contextmanager
    def transaction(self) -> Iterator["Transaction"]:
        """Open a writing transaction; it is rolled back unless it was committed.

        Raises RetryableError, OutOfSpaceError or CommitUnknownError; anything else is the fault of what was
        asked.
        """
        with translated(), self._engine.connect() as connection:
            yield Transaction(connection, self._order_prefix)

    def rows(self, keys: Sequence[Key]) -> list[Row]:
        """Return the journal's rows of these keys, as far as they exist."""
        with translated(), self._engine.connect() as connection:
            return load_rows(connection, keys)

    def close(self) -> None:
        """Let the database go."""
        self._engine.dispose()


class Transaction:
    """One batch's transaction."""

    def __init__(self, connection: Connection, order_prefix: str) -> None:
        self._connection = connection
        self._order_prefix = order_prefix
        self._answers_from_rows = False
        self._writes = False

    def load(self, wanted: Wanted, now_us: int) -> Batch:
        """Load all that a batch may touch; the accounts by number, before what they protect."""
        connection = self._connection
        if wanted.closes or wanted.due_through:  # a fence only rises: to look now and then is not enough
            compare_clocks(connection)
        # Locks that stand for no row come before all that is read, and each kind in an order of its own.
        fences = hold_fences(connection, wanted.spaces, wanted.closes) if wanted.spaces else {}
        hold_serials(connection, wanted.serials)
        rows = load_rows(connection, wanted.keys)
        undone = [row for row in rows if row.order_serial and row.key in wanted.reversals]
        orders = [row.order_serial or "" for row in undone]
        dates = [row.business_date for row in undone]
        standings = billing_store.load_standings(connection, orders, dates) if orders else []
        subscribers = billing_store.load_subscribers(connection, wanted.phones) if wanted.phones else []
        breaks = load_breaks(connection, break_keys(wanted, fences), wanted.closes, fences)
        named = house_of(wanted, breaks)
        house = ledger_store.ensure_accounts(connection, named, now_us) if named else {}
        accounts = set(house.values())
        for subscriber in subscribers:
            accounts |= {subscriber.account, subscriber.arrears}
        for standing in standings:
            accounts |= {standing.account, standing.arrears}
            accounts.update(*((leg.debit, leg.credit) for leg in standing.legs))
        loaded = ledger_store.lock_accounts(connection, accounts) if accounts else []
        bills = wanted.bills.union(*((off.bill for off in standing.write_offs) for standing in standings))
        books = {subscriber.book for subscriber in subscribers}
        found = billing_store.load_bills(connection, books, bills) if books or bills else []
        serials = billing_store.take_serials(connection, self._order_prefix, wanted.orders_max)
        totals = load_totals(connection, wanted.days) if wanted.days else []
        due = load_due(connection, wanted.due_through) if wanted.due_through else ()
        self._answers_from_rows = bool(rows or totals or breaks or any(fences.values()))
        billing = Loaded(subscribers, found, standings, house, serials)
        return Batch(rows, totals, loaded, billing, fences, breaks, due)

    def save(self, changes: Changes, part: str) -> bool:
        """Write a batch's changes, its totals under `part`; False says that a key was claimed meanwhile:
        decide again.
        """
        sql = STATEMENTS[self._connection.dialect.name]
        inserts, reversals, totals = changes.journal[:3]
        self._writes = any(changes.journal)
        if not save_house(self._connection, changes.journal):
            return False
        if write(self._connection, sql.add_rows, _dicts(inserts)) < len(inserts):
            return False
        mark = of_dates(self._connection, sql.mark_reversed, (row.business_date for row in reversals))
        if write(self._connection, mark, _dicts(reversals)) < len(reversals):
            return False
        if totals:
            added = [
                {"business_date": day.date, "bank_number": day.bank_number, "part": part} | sums._asdict()
                for day, sums in totals
            ]
            write(self._connection, sql.add_totals, added)
        billing_store.save(self._connection, changes.billing)
        ledger_store.save(self._connection, changes.ledger)
        if self._answers_from_rows and not any(changes.journal) and sql.touch is not None:
            # An answer from kept rows waits for the standby as their own commit did, or should have.
            self._connection.execute(sql.touch)
        return True

    def commit(self) -> None:
        """Make it durable; raises CommitUnknownError when it cannot be said whether it is."""
        if not self._writes:  # a death here would show nothing, and a bridge only asks when it begins
            commit(self._connection)
            return
        crashpoint("bridge.before_commit")
        commit(self._connection)
        crashpoint("bridge.after_commit")


def hold_serials(connection: Connection, serials: Iterable[tuple[str, str]]) -> None:
    """Keep other transactions from these (space, serial) under whatever date, until this one ends.

    Two copies of a request whose date is ours may come to two bridges on both sides of midnight: under
    different keys, so that no unique row would tell them apart.  Of all others the insert would judge; but
    who waits here has decided nothing yet, holds no account, and need not begin again.
    """
    lock = STATEMENTS[connection.dialect.name].take_serials
    hashes = {
        int.from_bytes(blake2b(f"{space}/{serial}".encode(), digest_size=8).digest(), "big", signed=True)
        for space, serial in serials
    }
    if hashes and lock is not None:
        connection.execute(lock, {"serials": sorted(hashes)})


def load_rows(connection: Connection, keys: Iterable[Key]) -> list[Row]:
    """Return the journal's rows of these keys, as far as they exist."""
    asked = list(keys)
    given = listed(connection, "keys", asked, 3)
    load = of_dates(connection, STATEMENTS[connection.dialect.name].load_rows, (key.date for key in asked))
    return list(map(row_of, connection.execute(load, given)))


def load_totals(connection: Connection, days: Iterable[Day]) -> list[tuple[Day, Totals]]:
    """Return what these days come to, all parts together; a day without rows is missing."""
    given = listed(connection, "days", days, 2)
    rows = connection.execute(STATEMENTS[connection.dialect.name].load_totals, given)
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


def _dicts(rows: Iterable[Row]) -> list[dict[str, Any]]:
    return [row._asdict() | {"state": int(row.state)} for row in rows]
