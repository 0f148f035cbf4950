"""Claims on keys whose money a remote core moves: one row per key, open while a call's outcome is not known.

The journal's row says what a key came to; this one is written before the call, so that no second bridge
settles a key meanwhile, and none is forgotten when a bridge dies between call and answer.
"""

from alembic import op

from crm_bridge.migrations import dialect

revision = "0004"
down_revision = "0003"

TABLE = """CREATE TABLE journal_claims (
    space TEXT NOT NULL,
    business_date INTEGER NOT NULL,
    serial TEXT NOT NULL,
    request BLOB,
    part TEXT NOT NULL,
    since_us INTEGER NOT NULL,
    PRIMARY KEY (space, business_date, serial)
) STRICT, WITHOUT ROWID"""
OPEN = "CREATE INDEX journal_claims_open ON journal_claims (since_us) WHERE request IS NOT NULL"


def upgrade() -> None:
    """Make the table; a row stays, only its request comes and goes."""
    op.execute(dialect.here(TABLE))
    op.execute(OPEN)
    dialect.guard("journal_claims_no_delete", "DELETE ON journal_claims", "a claimed key stays claimed")


def downgrade() -> None:
    """Drop it; what was open is unknown from then on."""
    op.execute("DROP TABLE journal_claims")
