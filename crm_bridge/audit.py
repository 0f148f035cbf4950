"""Proving the books: every check is a query for what must not be, and what it finds is named by its
identifier.

Reads one consistent moment of the database, beside a running bridge or without one; changes nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from crm_bridge.audit_checks import CHECKS, REFERENCES
from crm_bridge.journal import Row, State, content_of, kept
from crm_bridge.store import Connection, all_rows, fetch, reading
from qianzhi.domain.requests import MONEY_KINDS, Kind, Reply, Request
from qianzhi.domain.results import Result

OF_BOOKS = frozenset({"order", "reversal", "totals-posted", "unsuspended"})  # what the journal comes to there
SHOWN_MAX = 100  # violations listed per check; all are counted


class Violation(NamedTuple):
    """One thing that must not be: the check that found it, what it is about, and what is wrong there."""

    check: str
    id: str
    detail: str


@dataclass
class AuditReport:
    """What an audit found: `found` counts each check's violations, `violations` lists the first hundred."""

    accounts: int = 0
    transfers: int = 0
    orders: int = 0
    keys: int = 0
    checks: int = 0
    found: dict[str, int] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)

    @property
    def balanced(self) -> bool:
        """Say whether nothing is wrong."""
        return not self.found


def audit_books(url: str, *, remote: bool = False) -> AuditReport:
    """Check ledger, bills, work orders and journal against each other; return what is wrong with them.

    Where a remote core has the books, what the journal says is held against itself alone.
    """
    report = AuditReport()
    with reading(url) as connection:
        if connection.dialect.name == "postgresql":  # compiling a query costs more than most of these run
            fetch(connection, "SELECT set_config('jit', 'off', true)")
        report.accounts = _count(connection, "ledger_accounts")
        report.transfers = _count(connection, "ledger_transfers")
        report.orders = _count(connection, "billing_orders")
        report.keys = _count(connection, "journal")
        for name, sql in CHECKS.items():
            if remote and name in OF_BOOKS:
                continue
            _note(report, name, [(row[0], row[1]) for row in fetch(connection, sql)])
        _note(report, "journal-content", _wrong_rows(all_rows(connection)))
        _note(report, "dangling", [(f"{row[0]}/{row[1]}", row[2]) for row in _dangling(connection)])
        _note(report, "file", [(row[0], "damaged") for row in _damaged(connection)])
    return report


def _count(connection: Connection, table: str) -> int:
    return int(fetch(connection, f"SELECT count(*) FROM {table}")[0][0])  # noqa: S608 - our own table names


def _dangling(connection: Connection) -> list[tuple[Any, ...]]:
    """Find rows that name others which are not there; PostgreSQL's constraints, where there are any, are
    asked whether they hold for all rows.
    """
    if connection.dialect.name == "sqlite":
        return fetch(connection, "PRAGMA foreign_key_check")
    sql = """SELECT conrelid::regclass::text, conname, 'is not valid for all rows' FROM pg_constraint
        WHERE NOT convalidated AND connamespace = 'public'::regnamespace"""
    lost = [(name, *row) for name, one in REFERENCES.items() for row in fetch(connection, one)]
    return [*fetch(connection, sql), *lost]


def _damaged(connection: Connection) -> list[tuple[Any, ...]]:
    """Find what the database itself says of its files: SQLite looks through them, PostgreSQL counts the
    pages whose checksum failed.
    """
    if connection.dialect.name == "sqlite":
        return [row for row in fetch(connection, "PRAGMA quick_check") if row[0] != "ok"]
    sql = """SELECT checksum_failures || ' pages' FROM pg_stat_database WHERE datname = current_database()
        AND checksum_failures > 0"""
    return fetch(connection, sql)


def _note(report: AuditReport, check: str, wrong: Iterable[tuple[object, object]]) -> None:
    report.checks += 1
    for thing, detail in wrong:
        report.found[check] = report.found.get(check, 0) + 1
        if report.found[check] <= SHOWN_MAX:
            report.violations.append(Violation(check, str(thing), str(detail)))


def _wrong_rows(rows: Iterable[Row]) -> Iterable[tuple[str, str]]:
    """Find journal rows whose fingerprint, kept replies and columns do not tell the same story."""
    for row in rows:
        for detail in _contradictions(row):
            yield row.key.text, detail


def _contradictions(row: Row) -> Iterable[str]:
    if row.kind in MONEY_KINDS and row.content != content_of(_original(row)):
        yield "the fingerprint is not that of the row's content"
    reply = kept(row.reply)
    if reply.result != row.result or (reply.order or None) != row.order_serial:
        yield "the kept reply says something else than the row"
    if row.state in (State.APPROVED, State.REVERSED) and not _is_approval(reply, row):
        yield "an approved row keeps another reply than its approval"
    if row.state is State.REVERSED and not _is_approval(kept(row.reversal_reply or b""), row):
        yield "a reversed row keeps another reply than its reversal's approval"


def _is_approval(reply: Reply, row: Row) -> bool:
    return (reply.result, reply.order, reply.amount_fen) == (
        Result.APPROVED,
        row.order_serial,
        row.amount_fen,
    )


def _original(row: Row) -> Request:
    return Request(
        Kind(row.kind),
        row.space,
        row.business_date,
        row.serial,
        row.bank,
        row.bank_number,
        row.phone,
        row.amount_fen,
        row.bill,
    )
