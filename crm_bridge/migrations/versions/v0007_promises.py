"""What a bridge promises to a remote core: entries of store-and-forward, beside the claims that they deliver.

The tables are those of `qianzhi.saf.store`; a bridge's rows are leased, so that another bridge takes a dead
one's over.  `journal_claims.entry` names the entry that delivers an open claim, so that none is promised
twice and none forgotten.  A claim that is not open may go when its key is kept no longer.
"""

from alembic import op

from crm_bridge.migrations import dialect

revision = "0007"
down_revision = "0006"

TABLES = (
    """CREATE TABLE saf_leases (
        node TEXT NOT NULL PRIMARY KEY,
        team TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        until_us INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE saf_entries (
        id TEXT NOT NULL PRIMARY KEY,
        node TEXT NOT NULL,
        destination TEXT NOT NULL,
        state TEXT NOT NULL,
        date INTEGER NOT NULL,
        amount_fen INTEGER NOT NULL CHECK (amount_fen >= 0),
        version INTEGER NOT NULL,
        ended_us INTEGER NOT NULL,
        body TEXT NOT NULL
    ) STRICT, WITHOUT ROWID""",
    # Bridges charge nobody; the two stand here because the rows of a daemon are read as one.
    """CREATE TABLE saf_charges (
        id TEXT NOT NULL PRIMARY KEY,
        node TEXT NOT NULL,
        destination TEXT NOT NULL,
        state TEXT NOT NULL,
        date INTEGER NOT NULL,
        amount_fen INTEGER NOT NULL CHECK (amount_fen > 0),
        version INTEGER NOT NULL,
        ended_us INTEGER NOT NULL,
        body TEXT NOT NULL,
        space TEXT NOT NULL,
        serial TEXT NOT NULL,
        UNIQUE (space, date, serial)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE saf_serials (
        space TEXT NOT NULL,
        date INTEGER NOT NULL,
        slot INTEGER NOT NULL,
        next INTEGER NOT NULL,
        PRIMARY KEY (space, date, slot)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX saf_entries_by_node ON saf_entries (node, ended_us)",
)
REASON = "a claimed key stays claimed"
OPEN = "OLD.request IS NOT NULL"


def upgrade() -> None:
    """Make the tables; let a claim that is not open be deleted."""
    for statement in TABLES:
        op.execute(dialect.here(statement))
    op.execute("ALTER TABLE journal_claims ADD COLUMN entry TEXT")
    _drop_guard()
    dialect.guard("journal_claims_no_delete", "DELETE ON journal_claims", REASON, OPEN)
    dialect.guard(
        "saf_entries_no_delete", "DELETE ON saf_entries", "what is promised stays", "OLD.ended_us = 0"
    )


def downgrade() -> None:
    """Drop them: what was promised is asked for by whoever names it."""
    for table in ("saf_serials", "saf_charges", "saf_entries", "saf_leases"):
        op.execute(f"DROP TABLE {table}")
    _drop_guard()
    op.execute("ALTER TABLE journal_claims DROP COLUMN entry")
    dialect.guard("journal_claims_no_delete", "DELETE ON journal_claims", REASON)


def _drop_guard() -> None:
    """Drop what keeps claims from being deleted, with the guard against TRUNCATE that goes with it."""
    if dialect.on_postgres():
        op.execute("DROP TRIGGER journal_claims_no_delete ON journal_claims")
        op.execute("DROP TRIGGER journal_claims_no_truncate ON journal_claims")
    else:
        op.execute("DROP TRIGGER journal_claims_no_delete")
