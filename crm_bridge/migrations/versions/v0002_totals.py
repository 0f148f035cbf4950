"""Totals by business date and bank number beside the journal, so that a question need not read a day's rows.

One row per date, number and part: a writer changes its own rows and waits for no other writer's.
"""

from alembic import op

from crm_bridge.migrations import dialect

revision = "0002"
down_revision = "0001"

TABLE = """CREATE TABLE journal_totals (
    business_date INTEGER NOT NULL,
    bank_number TEXT NOT NULL,
    part TEXT NOT NULL,
    approved_count INTEGER NOT NULL,
    approved_fen INTEGER NOT NULL,
    reversed_count INTEGER NOT NULL,
    reversed_fen INTEGER NOT NULL,
    PRIMARY KEY (business_date, bank_number, part),
    CHECK (approved_count >= 0 AND approved_fen >= 0 AND reversed_count >= 0 AND reversed_fen >= 0)
) STRICT, WITHOUT ROWID"""
# States 1 and 3 are approved and reversed.  A reversal's part is not kept: it counts under its original's.
FILL = """INSERT INTO journal_totals
    SELECT business_date, bank_number, part, count(*), sum(amount_fen), count(reversed_us),
    sum(CASE WHEN state = 3 THEN amount_fen ELSE 0 END) FROM journal WHERE state IN (1, 3)
    GROUP BY business_date, bank_number, part"""


def upgrade() -> None:
    """Make the table and fill it from the journal."""
    for statement in (TABLE, FILL):
        op.execute(dialect.here(statement))
    guarded = "DELETE ON journal_totals"
    dialect.guard("journal_totals_no_delete", guarded, "journal_totals keeps what was written")


def downgrade() -> None:
    """Drop the table; what it says can be worked out from the journal again."""
    op.execute("DROP TABLE journal_totals")
