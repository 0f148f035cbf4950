"""The ledger's rows: accounts, transfers and reservations, read and written in lists.

Takes the caller's connection and never commits.  What differs between databases is one row of `STATEMENTS`;
a list reaches SQLite as JSON text and PostgreSQL as one array per column.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import msgspec
from sqlalchemy import TextClause, text

from qianzhi.ledger.entries import Account, Changes, Leg, Name, Pending, Settlement, Transfer
from qianzhi.ledger.invariant import invariant

DATES_MAX = 8  # that a statement names: each combination of them is a plan of its own


class Connection(Protocol):
    """What statements are carried out on: a connection of SQLAlchemy's, or a session that also carries out
    several `together`.
    """

    @property
    def dialect(self) -> Any:
        """The database's dialect, with its `name`."""

    def execute(self, statement: Any, parameters: Any = None, /) -> Any:
        """Carry out one statement."""


class Ask(NamedTuple):
    """One statement with its parameters, and what makes a value of its result."""

    statement: TextClause
    given: Mapping[str, Any]
    read: Callable[[Any], Any]


def together(connection: Connection, asks: Mapping[str, Ask | None]) -> dict[str, Any]:
    """Carry out what is not None in this order, in one round trip where the connection can; return the
    values by the same names.

    The first that fails raises its error, and none of those after it was carried out.
    """
    wanted = {name: ask for name, ask in asks.items() if ask is not None}
    if not wanted:
        return {}
    at_once = getattr(connection, "together", None)
    if at_once is None:
        return {name: ask.read(connection.execute(ask.statement, ask.given)) for name, ask in wanted.items()}
    results = at_once([(ask.statement, ask.given) for ask in wanted.values()])
    return {name: ask.read(rows) for (name, ask), rows in zip(wanted.items(), results, strict=True)}


class Statements(NamedTuple):
    """One database's dialect of what the ledger asks it."""

    find_accounts: TextClause
    add_accounts: TextClause
    load_accounts: TextClause
    lock_accounts: TextClause
    load_pendings: TextClause
    due_pendings: TextClause
    load_transfers: TextClause
    add_transfers: TextClause
    add_pendings: TextClause
    add_forwards: TextClause
    add_settlements: TextClause
    move_accounts: TextClause


_PENDING = """p.serial, p.debit, p.credit, p.amount_fen, p.code, p.reserved_us, p.expires_us,
    f.pending IS NOT NULL, s.pending IS NOT NULL
    FROM ledger_pendings p
    LEFT JOIN ledger_forwards f ON f.pending = p.serial
    LEFT JOIN ledger_settlements s ON s.pending = p.serial"""


def unnested(columns: Mapping[str, str]) -> str:
    """Return what turns PostgreSQL's arrays, one parameter per column, into rows; `columns` says the types.

    Cast, because a driver gives a list the type of what it holds, and an empty one none.
    """
    return f"unnest({', '.join(f'CAST(:{name} AS {kind}[])' for name, kind in columns.items())})"


def inserting(table: str, columns: Mapping[str, str]) -> str:
    """Return PostgreSQL's statement that inserts rows given as arrays."""
    return f"INSERT INTO {table} ({', '.join(columns)}) SELECT * FROM {unnested(columns)}"  # noqa: S608


def typed(ints: str, texts: str = "") -> dict[str, str]:
    """Return columns with their PostgreSQL types: numbers first, then texts, each list divided by spaces."""
    return dict.fromkeys(ints.split(), "bigint") | dict.fromkeys(texts.split(), "text")


_ACCOUNTS = """SELECT a.id, a.balance_fen, a.reserved_fen, a.floor_fen FROM json_each(:ids) w CROSS JOIN
    ledger_accounts a ON a.id = w.value"""
_TRANSFER = typed("code debit credit amount_fen posted_us business_date", "reference pending")
_RESERVED = typed("debit credit amount_fen code reserved_us expires_us", "serial")
_SETTLED = typed("ending amount_fen settled_us", "pending")
_RESERVATION = Pending._fields[:7]  # how it ends stands in rows of its own

STATEMENTS = {
    "sqlite": Statements(
        find_accounts=text(
            """SELECT a.kind, a.owner, a.part, a.id FROM json_each(:names) w CROSS JOIN ledger_accounts a
            ON a.kind = w.value ->> 0 AND a.owner = w.value ->> 1 AND a.part = w.value ->> 2"""
        ),
        add_accounts=text(
            """INSERT INTO ledger_accounts (kind, owner, part, floor_fen, opened_us)
            VALUES (:kind, :owner, :part, :floor_fen, :opened_us) ON CONFLICT (kind, owner, part) DO NOTHING
            """
        ),
        load_accounts=text(_ACCOUNTS),
        lock_accounts=text(_ACCOUNTS),  # the transaction has the whole database to itself
        load_pendings=text(f"""SELECT {_PENDING} JOIN json_each(:serials) w ON w.value = p.serial"""),
        due_pendings=text(
            f"""SELECT {_PENDING} WHERE s.pending IS NULL AND f.pending IS NULL AND p.expires_us BETWEEN 1
            AND :wall_us ORDER BY p.expires_us LIMIT :rows_max"""
        ),
        load_transfers=text(
            """SELECT t.reference, t.debit, t.credit, t.amount_fen, t.code
            FROM json_each(:references) w CROSS JOIN ledger_transfers t ON t.reference = w.value ORDER BY t.id
            """
        ),
        add_transfers=text(
            """INSERT INTO ledger_transfers (reference, code, debit, credit, amount_fen, posted_us, pending,
            business_date) VALUES (:reference, :code, :debit, :credit, :amount_fen, :posted_us, :pending,
            :business_date)"""
        ),
        add_pendings=text(
            """INSERT INTO ledger_pendings (serial, debit, credit, amount_fen, code, reserved_us, expires_us)
            VALUES (:serial, :debit, :credit, :amount_fen, :code, :reserved_us, :expires_us)"""
        ),
        add_forwards=text(
            "INSERT INTO ledger_forwards (pending, forwarded_us) VALUES (:pending, :forwarded_us)"
        ),
        add_settlements=text(
            """INSERT INTO ledger_settlements (pending, ending, amount_fen, settled_us)
            VALUES (:pending, :ending, :amount_fen, :settled_us)"""
        ),
        move_accounts=text(
            """UPDATE ledger_accounts SET balance_fen = balance_fen + :balance_fen,
            reserved_fen = reserved_fen + :reserved_fen WHERE id = :id"""
        ),
    ),
    "postgresql": Statements(
        find_accounts=text(
            """SELECT w.kind, w.owner, w.part, a.id FROM unnest(CAST(:names0 AS text[]), CAST(:names1 AS
            text[]), CAST(:names2 AS text[])) w (kind, owner, part) CROSS JOIN LATERAL (SELECT id FROM
            ledger_accounts WHERE kind = w.kind AND owner = w.owner AND part = w.part LIMIT 1) a"""
        ),
        add_accounts=text(
            inserting("ledger_accounts", typed("floor_fen opened_us", "kind owner part"))
            + " ON CONFLICT (kind, owner, part) DO NOTHING"
        ),
        load_accounts=text(
            """SELECT a.id, a.balance_fen, a.reserved_fen, a.floor_fen FROM ledger_accounts a
            WHERE a.id = ANY (CAST(:ids AS bigint[]))"""
        ),
        # In the order of their numbers: whoever locks several does so in this order.
        lock_accounts=text(
            """SELECT a.id, a.balance_fen, a.reserved_fen, a.floor_fen FROM ledger_accounts a
            WHERE a.id = ANY (CAST(:ids AS bigint[])) ORDER BY a.id FOR NO KEY UPDATE"""
        ),
        load_pendings=text(f"""SELECT {_PENDING} WHERE p.serial = ANY (CAST(:serials AS text[]))"""),
        due_pendings=text(
            f"""SELECT {_PENDING} WHERE s.pending IS NULL AND f.pending IS NULL AND p.expires_us BETWEEN 1
            AND :wall_us ORDER BY p.expires_us LIMIT :rows_max"""
        ),
        load_transfers=text(
            """SELECT t.reference, t.debit, t.credit, t.amount_fen, t.code FROM ledger_transfers t
            WHERE t.reference = ANY (CAST(:references AS text[])) /* of t.business_date */ ORDER BY t.id"""
        ),
        add_transfers=text(inserting("ledger_transfers", _TRANSFER)),
        add_pendings=text(inserting("ledger_pendings", _RESERVED)),
        add_forwards=text(inserting("ledger_forwards", typed("forwarded_us", "pending"))),
        add_settlements=text(inserting("ledger_settlements", _SETTLED)),
        move_accounts=text(
            f"""UPDATE ledger_accounts a SET balance_fen = a.balance_fen + w.balance_fen,
            reserved_fen = a.reserved_fen + w.reserved_fen FROM
            {unnested(typed("id balance_fen reserved_fen"))} w (id, balance_fen, reserved_fen)
            WHERE a.id = w.id AND a.id = ANY (CAST(:id AS bigint[]))"""  # noqa: S608
        ),
    ),
}


def find_accounts(connection: Connection, names: Iterable[Name]) -> dict[Name, int]:
    """Return the numbers of the accounts of these names, as far as they exist."""
    found: dict[Name, int] = _one(connection, finding_accounts(connection, names))
    return found


def finding_accounts(connection: Connection, names: Iterable[Name]) -> Ask:
    """Ask for the numbers of the accounts of these names, as far as they exist, by name."""
    return Ask(_sql(connection).find_accounts, listed(connection, "names", names, 3), _by_name)


def ensure_accounts(
    connection: Connection, names: Sequence[Name], opened_us: int, floor_fen: int | None = None
) -> dict[Name, int]:
    """Open the accounts of these names that do not exist yet; return the numbers of all of them."""
    found = find_accounts(connection, names)
    missing = sorted(set(names) - found.keys())
    return found | open_accounts(connection, missing, opened_us, floor_fen)


def open_accounts(
    connection: Connection, names: Sequence[Name], opened_us: int, floor_fen: int | None = None
) -> dict[Name, int]:
    """Open accounts that are missing, with a balance of zero; return the numbers of all these names."""
    if not names:
        return {}
    rows = [{**name._asdict(), "floor_fen": floor_fen, "opened_us": opened_us} for name in names]
    write(connection, _sql(connection).add_accounts, rows)
    return find_accounts(connection, names)


def load_accounts(connection: Connection, ids: Iterable[int]) -> list[Account]:
    """Load these accounts for a look."""
    found: list[Account] = _one(connection, loading_accounts(connection, ids))
    return found


def loading_accounts(connection: Connection, ids: Iterable[int]) -> Ask:
    """Ask for these accounts as they stand."""
    return Ask(_sql(connection).load_accounts, listed(connection, "ids", ids), _accounts)


def locking_accounts(connection: Connection, ids: Iterable[int]) -> Ask:
    """Ask for these accounts, locked until the end of the transaction, in the order of their numbers."""
    return Ask(_sql(connection).lock_accounts, listed(connection, "ids", sorted(ids)), _accounts)


def load_pendings(connection: Connection, serials: Iterable[str]) -> list[Pending]:
    """Load the reservations of these serials, those that have ended too."""
    rows = connection.execute(_sql(connection).load_pendings, listed(connection, "serials", serials))
    return [_pending(row) for row in rows]


def due_pendings(connection: Connection, wall_us: int, rows_max: int) -> list[Pending]:
    """Load what the clock may end at `wall_us`: no reservation whose request was forwarded (rule 12)."""
    rows = connection.execute(_sql(connection).due_pendings, {"wall_us": wall_us, "rows_max": rows_max})
    return [_pending(row) for row in rows]


def load_transfers(
    connection: Connection, references: Iterable[str], dates: Iterable[int] = ()
) -> dict[str, list[Leg]]:
    """Return the transfers made under each reference, in the order in which they were made.

    `dates` are all accounting dates that they may have, where these are known.
    """
    found: dict[str, list[Leg]] = _one(connection, loading_transfers(connection, references, dates))
    return found


def loading_transfers(connection: Connection, references: Iterable[str], dates: Iterable[int] = ()) -> Ask:
    """Ask for the transfers made under each reference, as `load_transfers`."""
    given = listed(connection, "references", references)
    return Ask(of_dates(connection, _sql(connection).load_transfers, dates), given, _legs)


def save(connection: Connection, changes: Changes) -> None:
    """Write a batch's changes: one statement per table; balances move relatively, one row per account.

    A limit that would be broken all the same is refused by the database's own CHECK.
    """
    check_saved(changes, together(connection, saving(connection, changes)))


def saving(connection: Connection, changes: Changes) -> dict[str, Ask | None]:
    """Ask for a batch's changes to be written, as `save` does; `check_saved` looks at what came of it."""
    sql = _sql(connection)
    moves = [(account, *delta) for account, delta in sorted(changes.deltas.items())]
    return {
        "pendings": writing(connection, sql.add_pendings, _RESERVATION, changes.pendings),
        "forwards": writing(connection, sql.add_forwards, ("pending", "forwarded_us"), changes.forwards),
        "settlements": writing(connection, sql.add_settlements, Settlement._fields, changes.settlements),
        "transfers": writing(connection, sql.add_transfers, Transfer._fields, changes.transfers),
        "moves": writing(connection, sql.move_accounts, ("id", "balance_fen", "reserved_fen"), moves),
    }


def check_saved(changes: Changes, saved: Mapping[str, Any]) -> None:
    """Hold what `saving` came to; raises InvariantError."""
    invariant(saved.get("moves", 0) == len(changes.deltas), "every account that moves must exist")


def listed(connection: Connection, name: str, values: Iterable[Any], width: int = 1) -> dict[str, Any]:
    """Return the parameters in which a list reaches a statement: `name`, as JSON, for SQLite; for PostgreSQL
    an array `name`, or `name0`, `name1` … where each value is a row of `width` columns.
    """
    rows = list(values)
    if connection.dialect.name == "sqlite":
        return {name: msgspec.json.encode(rows).decode()}
    if width == 1:
        return {name: rows}
    return {f"{name}{column}": [row[column] for row in rows] for column in range(width)}


def of_dates(connection: Connection, statement: TextClause, dates: Iterable[int]) -> TextClause:
    """Return a statement that looks at these business dates alone, as far as that saves anything.

    On PostgreSQL the tables are parted by date, and a plan that is kept opens every part that the text of
    the statement does not rule out: 200 days, where one has the row.  So the dates stand in the text itself,
    at the place that names their column.
    """
    named = tuple(sorted(set(dates)))
    if connection.dialect.name == "sqlite" or not 0 < len(named) <= DATES_MAX:
        return statement
    return _dated(statement.text, named)


@lru_cache(256)
def _dated(sql: str, dates: tuple[int, ...]) -> TextClause:
    wanted = ", ".join(str(int(date)) for date in dates)
    return text(re.sub(r"/\* of (\S+) \*/", rf"AND \1 IN ({wanted})", sql))


def write(connection: Connection, statement: TextClause, rows: Sequence[Mapping[str, Any]]) -> int:
    """Write rows of the same columns with one statement; return how many were written or changed."""
    if not rows:
        return 0
    if connection.dialect.name == "sqlite":
        return _count(connection.execute(statement, list(rows)))
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return _count(connection.execute(statement, columns))


def writing(
    connection: Connection, statement: TextClause, names: Sequence[str], rows: Sequence[Sequence[Any]]
) -> Ask | None:
    """Ask for rows of these columns to be written with one statement; its value is how many were.

    None where there are no rows.
    """
    if not rows:
        return None
    if connection.dialect.name == "sqlite":
        given: Any = [dict(zip(names, row, strict=False)) for row in rows]
    else:
        given = dict(zip(names, map(list, zip(*rows, strict=True)), strict=False))
    return Ask(statement, given, _count)


def _one(connection: Connection, ask: Ask) -> Any:
    return ask.read(connection.execute(ask.statement, ask.given))


def _count(result: Any) -> int:
    return int(result.rowcount)


def _by_name(rows: Iterable[Any]) -> dict[Name, int]:
    return {Name(*row[:3]): row[3] for row in rows}


def _accounts(rows: Iterable[Any]) -> list[Account]:
    return [Account(*row) for row in rows]


def _legs(rows: Iterable[Any]) -> dict[str, list[Leg]]:
    found: dict[str, list[Leg]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(Leg(*row[1:]))
    return found


def _pending(row: Any) -> Pending:
    forwarded, settled = map(bool, row[7:])
    return Pending._make((*row[:7], forwarded, settled))


def _sql(connection: Connection) -> Statements:
    return STATEMENTS[connection.dialect.name]
