"""Billing's rows: subscribers, bills, work orders and write-offs, read and written in lists.

Takes the caller's connection and never commits.  What differs between databases is one row of `STATEMENTS`;
what lists are for each is the ledger's `listed` and `write`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import TextClause, text

from qianzhi.billing.bills import MonthBill
from qianzhi.billing.books import PhoneState, Subscriber
from qianzhi.billing.desk import Changes
from qianzhi.billing.orders import Order, Standing, WriteOff, order_serials
from qianzhi.ledger.invariant import invariant
from qianzhi.ledger.store import (
    Ask,
    Connection,
    inserting,
    listed,
    loading_transfers,
    of_dates,
    together,
    typed,
    unnested,
    write,
    writing,
)


class Statements(NamedTuple):
    """One database's dialect of what billing asks it."""

    load_subscribers: TextClause
    load_bills: TextClause
    load_orders: TextClause
    load_write_offs: TextClause
    take_numbers: TextClause
    add_orders: TextClause
    add_write_offs: TextClause
    mark_bills: TextClause
    add_customers: TextClause
    add_books: TextClause
    add_phones: TextClause
    add_bills: TextClause


_ORDER = typed(
    "kind business_date book amount_fen posted_us", "serial space key_serial phone bank_number reverses"
)
_WRITE_OFF = {"order": "text", "bill": "text", "principal_fen": "bigint", "late_fee_fen": "bigint"}
_STATES = {int(state): state for state in PhoneState}
_BILL = "b.serial, b.book, b.month, b.principal_fen, b.due_date, b.paid_by"

STATEMENTS = {
    "sqlite": Statements(
        load_subscribers=text(
            """SELECT p.phone, p.state, c.name, k.id, k.account, k.arrears
            FROM json_each(:phones) w CROSS JOIN billing_phones p ON p.phone = w.value
            CROSS JOIN billing_books k ON k.id = p.book CROSS JOIN billing_customers c ON c.id = p.customer"""
        ),
        load_bills=text(
            f"""SELECT {_BILL} FROM json_each(:books) w CROSS JOIN billing_bills b
                ON b.book = w.value AND b.paid_by IS NULL
            UNION ALL SELECT {_BILL} FROM json_each(:serials) w CROSS JOIN billing_bills b
                ON b.serial = w.value
            """  # noqa: S608
        ),
        load_orders=text(
            """SELECT o.serial, o.phone, o.book, k.account, k.arrears, o.amount_fen
            FROM json_each(:orders) w CROSS JOIN billing_orders o ON o.serial = w.value
            CROSS JOIN billing_books k ON k.id = o.book"""
        ),
        load_write_offs=text(
            """SELECT v.order_serial, v.bill, v.principal_fen, v.late_fee_fen
            FROM json_each(:orders) w CROSS JOIN billing_write_offs v ON v.order_serial = w.value
            ORDER BY v.order_serial, v.bill"""
        ),
        take_numbers=text(
            """UPDATE billing_counters SET next_number = next_number + :n WHERE name = 'order'
            RETURNING next_number - :n"""
        ),
        add_orders=text(
            """INSERT INTO billing_orders (serial, kind, space, business_date, key_serial, phone, book,
            amount_fen, bank_number, posted_us, reverses) VALUES (:serial, :kind, :space, :business_date,
            :key_serial, :phone, :book, :amount_fen, :bank_number, :posted_us, :reverses)"""
        ),
        add_write_offs=text(
            """INSERT INTO billing_write_offs (order_serial, bill, principal_fen, late_fee_fen)
            VALUES (:order, :bill, :principal_fen, :late_fee_fen)"""
        ),
        mark_bills=text(
            "UPDATE billing_bills SET paid_by = :now WHERE serial = :serial AND paid_by IS :before"
        ),
        add_customers=text(
            "INSERT INTO billing_customers (id, name, opened_us) VALUES (:id, :name, :opened_us)"
        ),
        add_books=text(
            """INSERT INTO billing_books (id, customer, account, arrears)
            VALUES (:id, :customer, :account, :arrears)"""
        ),
        add_phones=text(
            """INSERT INTO billing_phones (phone, customer, book, state)
            VALUES (:phone, :customer, :book, :state)"""
        ),
        add_bills=text(
            """INSERT INTO billing_bills (serial, book, month, principal_fen, due_date, paid_by)
            VALUES (:serial, :book, :month, :principal_fen, :due_date, :paid_by)"""
        ),
    ),
    "postgresql": Statements(
        load_subscribers=text(
            """SELECT p.phone, p.state, c.name, k.id, k.account, k.arrears FROM billing_phones p CROSS JOIN
            LATERAL (SELECT id, account, arrears FROM billing_books WHERE id = p.book LIMIT 1) k CROSS JOIN
            LATERAL (SELECT name FROM billing_customers WHERE id = p.customer LIMIT 1) c
            WHERE p.phone = ANY (CAST(:phones AS text[]))"""
        ),
        load_bills=text(
            f"""SELECT {_BILL} FROM billing_bills b WHERE b.paid_by IS NULL AND b.book = ANY (CAST(:books AS
            bigint[])) UNION ALL SELECT {_BILL} FROM billing_bills b WHERE b.serial = ANY (CAST(:serials AS
            text[]))"""  # noqa: S608
        ),
        load_orders=text(
            """SELECT o.serial, o.phone, o.book, k.account, k.arrears, o.amount_fen FROM billing_orders o
            CROSS JOIN LATERAL (SELECT account, arrears FROM billing_books WHERE id = o.book LIMIT 1) k
            WHERE o.serial = ANY (CAST(:orders AS text[])) /* of o.business_date */"""
        ),
        load_write_offs=text(
            """SELECT v.order_serial, v.bill, v.principal_fen, v.late_fee_fen FROM billing_write_offs v
            WHERE v.order_serial = ANY (CAST(:orders AS text[])) ORDER BY v.order_serial, v.bill"""
        ),
        # A sequence, because a row would make every writer wait until the one before has committed.
        take_numbers=text(
            "SELECT nextval('billing_order_numbers') FROM generate_series(1, CAST(:n AS integer))"
        ),
        add_orders=text(inserting("billing_orders", _ORDER)),
        add_write_offs=text(
            f"""INSERT INTO billing_write_offs (order_serial, bill, principal_fen, late_fee_fen)
            SELECT w.* FROM {unnested(_WRITE_OFF)} w"""  # noqa: S608
        ),
        mark_bills=text(
            f"""UPDATE billing_bills b SET paid_by = w.now FROM {unnested(typed("", "serial before now"))}
            w (serial, before, now) WHERE b.serial = w.serial AND b.paid_by IS NOT DISTINCT FROM w.before
            AND b.serial = ANY (CAST(:serial AS text[]))"""  # noqa: S608
        ),
        add_customers=text(
            f"""INSERT INTO billing_customers (id, opened_us, name)
            SELECT * FROM {unnested(typed("id opened_us", "name"))}"""  # noqa: S608
        ),
        add_books=text(inserting("billing_books", typed("id customer account arrears"))),
        add_phones=text(inserting("billing_phones", typed("customer book state", "phone"))),
        add_bills=text(
            inserting("billing_bills", typed("book month principal_fen due_date", "serial paid_by"))
        ),
    ),
}


def load_subscribers(connection: Connection, phones: Iterable[str]) -> list[Subscriber]:
    """Load the subscribers of these phones, as far as they exist."""
    ask = loading_subscribers(connection, phones)
    found: list[Subscriber] = ask.read(connection.execute(ask.statement, ask.given))
    return found


def loading_subscribers(connection: Connection, phones: Iterable[str]) -> Ask:
    """Ask for the subscribers of these phones, as far as they exist."""
    return Ask(sql(connection).load_subscribers, listed(connection, "phones", phones), _subscribers)


def load_bills(connection: Connection, books: Iterable[int], serials: Iterable[str]) -> list[MonthBill]:
    """Load the open bills of `books`, and the bills of these serials whether they are open or not."""
    ask = loading_bills(connection, books, serials)
    found: list[MonthBill] = ask.read(connection.execute(ask.statement, ask.given))
    return found


def loading_bills(connection: Connection, books: Iterable[int], serials: Iterable[str]) -> Ask:
    """Ask for the open bills of `books`, and the bills of these serials whether they are open or not; one
    that is both comes twice.
    """
    given = listed(connection, "books", books) | listed(connection, "serials", serials)
    return Ask(sql(connection).load_bills, given, _bills)


def load_standings(
    connection: Connection, orders: Sequence[str], dates: Sequence[int] = ()
) -> list[Standing]:
    """Load what a reversal of these work orders needs: their transfers and write-offs.

    `dates` are the business dates of their keys.
    """
    given = listed(connection, "orders", orders)
    asked = {
        "orders": Ask(of_dates(connection, sql(connection).load_orders, dates), given, list),
        "write_offs": Ask(sql(connection).load_write_offs, given, list),
        "legs": loading_transfers(connection, orders, dates),
    }
    found = together(connection, asked)
    write_offs: dict[str, list[WriteOff]] = {}
    for row in found["write_offs"]:
        write_offs.setdefault(row[0], []).append(WriteOff(*row))
    legs = found["legs"]
    return [
        Standing._make((*row, tuple(legs.get(row[0], ())), tuple(write_offs.get(row[0], ()))))
        for row in found["orders"]
    ]


def taking_numbers(connection: Connection, n: int) -> Ask | None:
    """Ask for the numbers of `n` new work orders; those that a batch does not use stay gaps."""
    return Ask(sql(connection).take_numbers, {"n": n}, lambda rows: rows.scalars().all()) if n else None


def serials_of(prefix: str, numbers: Sequence[int], n: int) -> Iterator[str]:
    """Return the serials of the `n` work orders for which these numbers were taken."""
    if len(numbers) < n:  # a counter's row gives the first one alone
        numbers = range(numbers[0], numbers[0] + n)
    return iter(order_serials(prefix, numbers))


def add_subscribers(connection: Connection, subscribers: Sequence[Subscriber], opened_us: int) -> None:
    """Write new subscribers, each a customer of its own whose number is its book's."""
    statements = sql(connection)
    rows = [
        {**row._asdict(), "id": row.book, "customer": row.book, "opened_us": opened_us} for row in subscribers
    ]
    for statement in (statements.add_customers, statements.add_books, statements.add_phones):
        write(connection, statement, rows)


def add_bills(connection: Connection, bills: Sequence[MonthBill]) -> None:
    """Write new bills; whoever calls posts them: receivable debited, revenue credited."""
    write(connection, sql(connection).add_bills, [bill._asdict() for bill in bills])


def save(connection: Connection, changes: Changes) -> None:
    """Write a batch's changes, one statement per table; a bill changes only from the state that was read."""
    check_saved(changes, together(connection, saving(connection, changes)))


def saving(connection: Connection, changes: Changes) -> dict[str, Ask | None]:
    """Ask for a batch's changes to be written, as `save` does; `check_saved` looks at what came of it."""
    statements = sql(connection)
    bills = sorted(changes.bills)
    return {
        "orders": writing(connection, statements.add_orders, Order._fields, changes.orders),
        "write_offs": writing(connection, statements.add_write_offs, WriteOff._fields, changes.write_offs),
        "bills": writing(connection, statements.mark_bills, ("serial", "before", "now"), bills),
    }


def check_saved(changes: Changes, saved: Mapping[str, Any]) -> None:
    """Hold what `saving` came to; raises InvariantError."""
    marked = saved.get("bills", 0)
    invariant(marked == len(changes.bills), "a bill changes only from the state in which it was read")


def sql(connection: Connection) -> Statements:
    """Return the statements in the dialect of this connection's database."""
    return STATEMENTS[connection.dialect.name]


def _subscribers(rows: Iterable[Any]) -> list[Subscriber]:
    return [Subscriber(row[0], _STATES[row[1]], *row[2:]) for row in rows]


def _bills(rows: Iterable[Any]) -> list[MonthBill]:
    return [MonthBill(*row) for row in rows]
