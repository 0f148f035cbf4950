"""Who may do what in PostgreSQL: an owner that changes the schema, and three roles that cannot.

    qianzhi_owner    owns the database, its schemas and tables; migrations, and days that are dropped
    qianzhi_app      the bridges: journal, ledger and billing; what is history it can add to and nothing else
    qianzhi_front    the schema `state` alone: session rows and heartbeats
    qianzhi_auditor  reads everything, writes nothing

Grants are made for the roles that exist, so that a database without them can be used by its owner.
"""

from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import Connection, text

from crm_bridge.migrations.days import APP_FUNCTIONS

OWNER, APP, FRONT, AUDITOR = ROLES = ("qianzhi_owner", "qianzhi_app", "qianzhi_front", "qianzhi_auditor")
STATE_SCHEMA = "state"

# What the bridges may change in place, column by column; every other table is insert-only to them.
_APP_UPDATES = {
    "journal": "state, reversal_order, reversal_reply, reversed_us",
    "journal_totals": "approved_count, approved_fen, reversed_count, reversed_fen",
    "journal_claims": "request, part, since_us, entry",
    "journal_breaks": "kind, state, bank, bank_number, amount_fen, suspense_fen, noted_us, opened_us, "
    "changed_us, part, changes",
    "operators": "password, state, failures, locked_until_us, reset",
    "operator_acts": "state, checker, decided_us, result, detail, ended_us",
    "ledger_accounts": "balance_fen, reserved_fen",
    "billing_bills": "paid_by",
    "saf_leases": "team, epoch, until_us",
    "saf_entries": "node, state, version, ended_us, body",
    "saf_charges": "node",
}
# What may go once it has ended; triggers keep the rest.
_APP_DELETES = ("journal_claims", "saf_entries", "saf_charges")
# What the owner's functions write for them, and they only read.
_READ_ONLY = ("alembic_version", "ledger_history", "ledger_openings", "ledger_opening_days")


def grant(connection: Connection) -> None:
    """Give each role that exists what is its own, and take from it what is not."""
    rows = connection.execute(text("SELECT rolname FROM pg_roles WHERE rolname LIKE 'qianzhi_%'"))
    there = set(rows.scalars())
    tables = _tables(connection)
    statements: list[str] = []
    if APP in there:
        statements += _app(tables)
    if AUDITOR in there:
        statements += [
            f"GRANT USAGE ON SCHEMA public TO {AUDITOR}",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {AUDITOR}",
        ]
    if AUDITOR in there and "operators" in tables:  # whoever could guess a password there could approve
        statements += [
            f"REVOKE SELECT ON operators FROM {AUDITOR}",  # noqa: S608 - no query
            f"GRANT SELECT (name, state, made_us, failures, locked_until_us) ON operators TO {AUDITOR}",
        ]
    if APP in there and "ledger_openings" in tables:
        statements += [f"GRANT EXECUTE ON FUNCTION {name} TO {APP}" for name in APP_FUNCTIONS]
    for statement in statements:
        connection.execute(text(statement))


def _tables(connection: Connection) -> dict[str, list[str]]:
    """Return what tables there are, each with its columns; an older schema lacks some.

    The parts of a table are not among them: who uses them by their table needs no rights on them.
    """
    rows = connection.execute(
        text(
            "SELECT t.tablename, c.column_name FROM pg_tables t JOIN information_schema.columns c "
            "ON c.table_schema = t.schemaname AND c.table_name = t.tablename "
            "JOIN pg_class k ON k.relname = t.tablename AND k.relnamespace = CAST('public' AS regnamespace) "
            "WHERE t.schemaname = 'public' AND NOT k.relispartition ORDER BY t.tablename, c.ordinal_position"
        )
    )
    found: dict[str, list[str]] = {}
    for table, column in rows:
        found.setdefault(table, []).append(column)
    return found


def _app(tables: Mapping[str, Sequence[str]]) -> Iterator[str]:
    yield f"GRANT USAGE ON SCHEMA public TO {APP}"
    yield f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {APP}"
    yield f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {APP}"
    yield f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {APP}"
    for table, columns in tables.items():
        if table not in _READ_ONLY:
            yield f"GRANT INSERT ON {table} TO {APP}"
        changed = [name for name in _APP_UPDATES.get(table, "").split(", ") if name in columns]
        if changed:
            yield f"GRANT UPDATE ({', '.join(changed)}) ON {table} TO {APP}"
        if table in _APP_DELETES:
            yield f"GRANT DELETE ON {table} TO {APP}"
