"""A fence for each serial space, and breaks: what is open between us and the other side.

Fences are added and never changed, so each says when and by whom its dates were closed.  The one row of
`journal_fence` stays: what was closed for all spaces before stays closed.
"""

from alembic import op

from crm_bridge.migrations import dialect

revision = "0005"
down_revision = "0004"

FENCES = """CREATE TABLE journal_fences (
    space TEXT NOT NULL,
    closed_through INTEGER NOT NULL,
    closed_us INTEGER NOT NULL,
    by_whom TEXT NOT NULL,
    PRIMARY KEY (space, closed_through)
) STRICT, WITHOUT ROWID"""
# States 1 and 2 are open and mended; only what is open and manual has its amount in suspense.
BREAKS = """CREATE TABLE journal_breaks (
    space TEXT NOT NULL,
    business_date INTEGER NOT NULL,
    serial TEXT NOT NULL,
    kind TEXT NOT NULL,
    state INTEGER NOT NULL CHECK (state IN (1, 2)),
    bank TEXT NOT NULL,
    bank_number TEXT NOT NULL,
    amount_fen INTEGER NOT NULL CHECK (amount_fen >= 0),
    suspense_fen INTEGER NOT NULL,
    noted_us INTEGER NOT NULL,
    opened_us INTEGER NOT NULL,
    changed_us INTEGER NOT NULL,
    part TEXT NOT NULL,
    changes INTEGER NOT NULL CHECK (changes > 0),
    PRIMARY KEY (space, business_date, serial),
    CHECK (suspense_fen = 0 OR (suspense_fen = amount_fen AND state = 1 AND kind = 'manual'))
) STRICT, WITHOUT ROWID"""
OPEN = "CREATE INDEX journal_breaks_open ON journal_breaks (space, business_date) WHERE state = 1"


def upgrade() -> None:
    """Make the tables, and the triggers that keep what was written."""
    for statement in (FENCES, BREAKS):
        op.execute(dialect.here(statement))
    op.execute(OPEN)
    for verb in ("UPDATE", "DELETE"):
        dialect.guard(f"journal_fences_no_{verb.lower()}", f"{verb} ON journal_fences", "a fence stands")
    reason = "journal_breaks keeps what was written"
    dialect.guard("journal_breaks_no_delete", "DELETE ON journal_breaks", reason)
    kept = "UPDATE OF space, business_date, serial ON journal_breaks"
    dialect.guard("journal_breaks_no_update", kept, reason)


def downgrade() -> None:
    """Drop both; what is closed is then what was closed for all spaces."""
    for table in ("journal_breaks", "journal_fences"):
        op.execute(f"DROP TABLE {table}")
