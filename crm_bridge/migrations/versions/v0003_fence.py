"""The last business date that was ever answered as closed: no clock set back, and no second bridge whose
clock lags, takes an original of such a date any more.
"""

from alembic import op

from crm_bridge.migrations import dialect

revision = "0003"
down_revision = "0002"

TABLE = """CREATE TABLE journal_fence (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    closed_through INTEGER NOT NULL
) STRICT"""
FIRST = "INSERT INTO journal_fence (id, closed_through) VALUES (1, 0)"


def upgrade() -> None:
    """Make the one row; it only ever rises."""
    for statement in (TABLE, FIRST):
        op.execute(dialect.here(statement))
    reason = "a closed date stays closed"
    dialect.guard("journal_fence_no_delete", "DELETE ON journal_fence", reason)
    falls = "NEW.closed_through < OLD.closed_through"
    dialect.guard("journal_fence_rises", "UPDATE ON journal_fence", reason, falls)


def downgrade() -> None:
    """Drop it: the clocks alone say again what is closed."""
    op.execute("DROP TABLE journal_fence")
