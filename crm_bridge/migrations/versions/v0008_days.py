"""Days: journal, work orders and transfers parted by business date on PostgreSQL, and opening balances.

What there was becomes the first part, `…_before`: its dates go as one, when the newest of them is old enough.
Journal and orders are not copied for it; transfers are, each with the date of its order.  Foreign keys from
these tables go: their parents are locked, or inserted, in the same transaction, and the audit proves what
they name.  SQLite keeps one table each, and its foreign keys.
"""

# ruff: noqa: S608 - what is put into these statements are our own names and dates
from collections.abc import Iterator

from alembic import op
from sqlalchemy import text

from crm_bridge.migrations import days, dialect
from crm_bridge.migrations.versions import v0001_core

revision = "0008"
down_revision = "0007"

TABLES = (
    """CREATE TABLE ledger_history (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        business_date INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE ledger_opening_days (
        business_date INTEGER NOT NULL PRIMARY KEY,
        written_us INTEGER NOT NULL,
        detached_us INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE ledger_openings (
        account INTEGER NOT NULL,
        business_date INTEGER NOT NULL,
        moved_fen INTEGER NOT NULL,
        balance_fen INTEGER NOT NULL,
        PRIMARY KEY (account, business_date)
    ) STRICT, WITHOUT ROWID""",
)
HISTORY = "INSERT INTO ledger_history (id, business_date) VALUES (1, {})"
COLUMN = "ALTER TABLE ledger_transfers ADD COLUMN business_date INTEGER NOT NULL DEFAULT 0"
FILL = """UPDATE ledger_transfers SET business_date = (SELECT o.business_date FROM billing_orders o
    WHERE o.serial = reference) WHERE reference IN (SELECT serial FROM billing_orders)"""
# What has no order (first balances, bills, suspense, reservations) is of no key of a bank's, and never goes.
COPY = """INSERT INTO ledger_transfers (id, reference, code, debit, credit, amount_fen, posted_us, pending,
    business_date) SELECT t.id, t.reference, t.code, t.debit, t.credit, t.amount_fen, t.posted_us, t.pending,
    coalesce(o.business_date, 0) FROM ledger_transfers_whole t
    LEFT JOIN billing_orders o ON o.serial = t.reference ORDER BY t.id"""
AHEAD_DAYS = 2  # beyond today, that the first part takes in: its dates may have rows already
MADE_DAYS = 14  # beyond that, so that the first bridge need not hurry

REFERENCES = {
    "ledger_transfers": {
        "debit": "ledger_accounts (id)",
        "credit": "ledger_accounts (id)",
        "pending": "ledger_pendings (serial)",
    },
    "billing_write_offs": {"order_serial": "billing_orders (serial)", "bill": "billing_bills (serial)"},
    "billing_bills": {"paid_by": "billing_orders (serial)"},
    "billing_orders": {"book": "billing_books (id)", "reverses": "billing_orders (serial)"},
}
# Of each parent: what is unique in it, with the date as PostgreSQL wants it, and its other indexes.
INDEXES = {
    "journal": ("ALTER TABLE journal ADD PRIMARY KEY (space, business_date, serial)",),
    "billing_orders": (
        "ALTER TABLE billing_orders ADD PRIMARY KEY (serial, business_date)",
        "CREATE INDEX billing_orders_phone ON billing_orders (phone, serial)",
        # Both orders of a key have its date: the pair is as unique as the first of it alone.
        """CREATE UNIQUE INDEX billing_orders_reverses ON billing_orders (reverses, business_date)
            WHERE reverses IS NOT NULL""",
    ),
    "ledger_transfers": ("CREATE INDEX ledger_transfers_reference ON ledger_transfers (reference)",),
}
# What the first part's own index is called before its parent has one of that name; the others are built anew.
KEPT_INDEXES = {"journal": "journal_pkey", "billing_orders": "billing_orders_phone"}
DROPPED = (
    "ALTER TABLE billing_orders_before DROP CONSTRAINT billing_orders_pkey",
    "DROP INDEX billing_orders_reverses",
)


def upgrade() -> None:
    """Make the tables; on PostgreSQL part what there is."""
    for statement in TABLES:
        op.execute(dialect.here(statement))
    last = _last() if dialect.on_postgres() else 0
    op.execute(HISTORY.format(last))
    if dialect.on_postgres():
        _part(last)
    else:
        op.execute(COLUMN)
        op.execute("DROP TRIGGER ledger_transfers_no_update")
        op.execute(FILL)
        dialect.guard("ledger_transfers_no_update", *_history("UPDATE", "ledger_transfers"))
    for table in ("ledger_openings", "ledger_history"):
        for verb in ("UPDATE", "DELETE"):
            dialect.guard(f"{table}_no_{verb.lower()}", *_history(verb, table))
    event, reason = _history("DELETE", "ledger_opening_days")
    dialect.guard("ledger_opening_days_no_delete", event, reason)
    detached = "NOT (OLD.detached_us = 0 AND NEW.detached_us > 0 AND NEW.business_date = OLD.business_date)"
    dialect.guard("ledger_opening_days_detached", "UPDATE ON ledger_opening_days", reason, detached)


def downgrade() -> None:
    """Put everything back into one table each; refused once a day was closed, for its balances would go."""
    if op.get_bind().execute(text("SELECT count(*) FROM ledger_opening_days")).scalar():
        raise RuntimeError("opening balances are written: the schema before cannot hold them")
    if dialect.on_postgres():
        _join()
    else:
        op.execute("ALTER TABLE ledger_transfers DROP COLUMN business_date")
    for table in ("ledger_openings", "ledger_opening_days", "ledger_history"):
        op.execute(f"DROP TABLE {table}")


def _history(verb: str, table: str) -> tuple[str, str]:
    return f"{verb} ON {table}", f"{table} is insert-only"


def _last() -> int:
    """Return the newest date of what there is, by the server's clock."""
    sql = f"SELECT CAST(to_char(current_date + {AHEAD_DAYS}, 'YYYYMMDD') AS bigint)"
    return int(op.get_bind().execute(text(sql)).scalar_one())


def _part(last: int) -> None:
    if not op.get_bind().execute(text("SELECT to_regnamespace('qianzhi_old')")).scalar():
        op.execute(f"CREATE SCHEMA {days.OLD_SCHEMA}")
    for table, references in REFERENCES.items():
        for column in references:
            op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_{column}_fkey")
    for table, index in KEPT_INDEXES.items():
        _drop_triggers(table)
        op.execute(f"ALTER TABLE {table} RENAME TO {table}_before")
        like = f"LIKE {table}_before INCLUDING DEFAULTS INCLUDING CONSTRAINTS"
        op.execute(f"CREATE TABLE {table} ({like}) PARTITION BY RANGE (business_date)")
        op.execute(f"CREATE TABLE {table}_default ({like})")
        op.execute(f"ALTER INDEX {index} RENAME TO {index.replace(table, f'{table}_before')}")
    for statement in (*DROPPED, *days.FUNCTIONS):
        op.execute(statement)
    for table in KEPT_INDEXES:
        op.execute(
            f"""WITH gone AS (DELETE FROM {table}_before WHERE business_date > {last} RETURNING *)
            INSERT INTO {table}_default SELECT * FROM gone"""
        )
        _attach(table, last, "MINVALUE")
    _part_transfers(last)
    for guard in _guards():
        dialect.guard(*guard)
    for name in (*days.APP_FUNCTIONS, *days.OWNER_FUNCTIONS):
        op.execute(f"REVOKE ALL ON FUNCTION {name} FROM PUBLIC")
    made = f"generate_series(current_date, current_date + {AHEAD_DAYS + MADE_DAYS}, interval '1 day') day"
    op.execute(f"SELECT qianzhi_make_day(CAST(to_char(day, 'YYYYMMDD') AS bigint), 0) FROM {made}")


def _attach(table: str, last: int, first: str) -> None:
    """Join a table's first parts: what there is, and what comes without a day of its own."""
    for statement in INDEXES[table]:
        op.execute(statement)
    op.execute(
        f"ALTER TABLE {table} ATTACH PARTITION {table}_before FOR VALUES FROM ({first}) TO ({last + 1})"
    )
    op.execute(f"ALTER TABLE {table} ATTACH PARTITION {table}_default DEFAULT")
    for part in ("before", "default"):
        _keep_whole(table, part)
    op.execute(
        f"""CREATE TRIGGER {table}_gone BEFORE INSERT ON {table}_default FOR EACH ROW
        EXECUTE FUNCTION qianzhi_gone()"""
    )


def _keep_whole(table: str, part: str) -> None:
    op.execute(
        f"""CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table}_{part} FOR EACH STATEMENT
        EXECUTE FUNCTION qianzhi_refuse('{table} keeps what was written')"""
    )


def _part_transfers(last: int) -> None:
    """Copy the transfers into their parts, each with its date."""
    table = "ledger_transfers"
    op.execute(f"ALTER TABLE {table} RENAME TO {table}_whole")
    op.execute(f"DROP INDEX {table}_reference")
    like = f"LIKE {table}_whole INCLUDING DEFAULTS INCLUDING CONSTRAINTS"
    date = "business_date bigint NOT NULL DEFAULT 0"
    op.execute(f"CREATE TABLE {table} ({like}, {date}) PARTITION BY RANGE (business_date)")
    for part in ("before", "default", "standing"):
        op.execute(f"CREATE TABLE {table}_{part} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
    op.execute(f"ALTER TABLE {table} ATTACH PARTITION {table}_standing FOR VALUES FROM (0) TO (1)")
    _keep_whole(table, "standing")
    _attach(table, last, "1")
    op.execute(COPY)
    op.execute(f"DROP TABLE {table}_whole")
    op.execute(f"ALTER TABLE {table} ALTER id ADD GENERATED BY DEFAULT AS IDENTITY")
    _go_on_counting()


def _go_on_counting() -> None:
    op.execute(
        """SELECT setval(pg_get_serial_sequence('ledger_transfers', 'id'),
        (SELECT coalesce(max(id), 0) + 1 FROM ledger_transfers), false)"""
    )


def _guards() -> Iterator[tuple[str, ...]]:
    """Yield what keeps these tables as they were written: as the first schema has it."""
    for table in ("billing_orders", "ledger_transfers"):
        for verb in ("UPDATE", "DELETE"):
            yield f"{table}_no_{verb.lower()}", *_history(verb, table)
    kept = "journal keeps what was written"
    yield "journal_no_delete", "DELETE ON journal", kept
    yield "journal_no_update", f"UPDATE OF {v0001_core.JOURNAL_KEEPS} ON journal", kept
    reversed_ = ("only an approved key becomes reversed", "NOT (OLD.state = 1 AND NEW.state = 3)")
    yield "journal_state", "UPDATE ON journal", *reversed_


def _drop_triggers(table: str) -> None:
    sql = "SELECT tgname FROM pg_trigger WHERE tgrelid = to_regclass(:t) AND NOT tgisinternal"
    for (name,) in op.get_bind().execute(text(sql), {"t": table}).fetchall():
        op.execute(f"DROP TRIGGER {name} ON {table}")


def _join() -> None:
    """Copy every part back into a table as the first schema has it."""
    parts = "SELECT CAST(inhrelid AS regclass) FROM pg_inherits WHERE inhparent = to_regclass(:t)"
    for table in days.PARENTS:  # with all parts, so that the names of their constraints are free
        for (part,) in op.get_bind().execute(text(parts), {"t": table}).fetchall():
            op.execute(f"ALTER TABLE {part} SET SCHEMA {days.OLD_SCHEMA}")
        op.execute(f"ALTER TABLE {table} SET SCHEMA {days.OLD_SCHEMA}")
    first = (*v0001_core.JOURNAL, *v0001_core.LEDGER, *v0001_core.BILLING)
    for statement in first:
        words = statement.split()
        named = words[words.index("ON") + 1] if "INDEX" in words[:3] else words[2]
        if named in days.PARENTS:
            op.execute(dialect.here(statement))
    for table in days.PARENTS:
        sql = """SELECT string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position)
            FROM information_schema.columns WHERE table_schema = 'public' AND table_name = :t"""
        columns = op.get_bind().execute(text(sql), {"t": table}).scalar_one()
        order = " ORDER BY reverses NULLS FIRST" if table == "billing_orders" else ""
        old = f"{days.OLD_SCHEMA}.{table}"
        op.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {old}{order}")
        op.execute(f"DROP TABLE {old}")
    _go_on_counting()
    for table in ("billing_write_offs", "billing_bills"):
        for column, parent in REFERENCES[table].items():
            op.execute(f"ALTER TABLE {table} ADD FOREIGN KEY ({column}) REFERENCES {parent}")
    for guard in _guards():
        dialect.guard(*guard)
    for name in (*days.APP_FUNCTIONS, *days.OWNER_FUNCTIONS, *days.OTHER_FUNCTIONS):
        op.execute(f"DROP FUNCTION {name}")
    op.execute(f"DROP SCHEMA {days.OLD_SCHEMA}")
