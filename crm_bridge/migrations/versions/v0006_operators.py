"""Operators, the acts that they propose and approve, and the audit chain of all that they do.

Whoever proposed an act cannot have approved it: that is a constraint, not a habit of the programs.
"""

from alembic import op

from crm_bridge.migrations import dialect

revision = "0006"
down_revision = "0005"

TABLES = (
    """CREATE TABLE operators (
        name TEXT PRIMARY KEY,
        password TEXT NOT NULL,
        state INTEGER NOT NULL CHECK (state BETWEEN 1 AND 4),
        made_us INTEGER NOT NULL,
        failures INTEGER NOT NULL CHECK (failures >= 0),
        locked_until_us INTEGER NOT NULL,
        reset TEXT NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE operator_acts (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        subject TEXT NOT NULL,
        arguments TEXT NOT NULL,
        reason TEXT NOT NULL,
        maker TEXT NOT NULL REFERENCES operators (name),
        made_us INTEGER NOT NULL,
        expires_us INTEGER NOT NULL,
        state INTEGER NOT NULL CHECK (state BETWEEN 1 AND 6),
        checker TEXT REFERENCES operators (name),
        decided_us INTEGER NOT NULL,
        result TEXT,
        detail TEXT NOT NULL,
        ended_us INTEGER NOT NULL,
        CONSTRAINT operator_acts_four_eyes CHECK (checker IS NULL OR checker <> maker),
        CHECK ((checker IS NOT NULL) = (state IN (2, 3, 4))),
        CHECK ((result IS NOT NULL) = (state = 3))
    ) STRICT""",
    # Of a kind and subject one act at a time may wait or be under way.
    "CREATE UNIQUE INDEX operator_acts_open ON operator_acts (kind, subject) WHERE state IN (1, 2)",
    """CREATE TABLE operator_audit (
        number INTEGER PRIMARY KEY CHECK (number > 0),
        at_us INTEGER NOT NULL,
        who TEXT NOT NULL,
        what TEXT NOT NULL,
        act INTEGER NOT NULL,
        detail TEXT NOT NULL,
        note TEXT NOT NULL,
        previous BLOB NOT NULL CHECK (length(previous) = 32),
        hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32)
    ) STRICT""",
    "CREATE UNIQUE INDEX operator_audit_note ON operator_audit (note) WHERE note <> ''",
)
# For who may read and is no operator: enough to see that a hash was put in another's place, and no hash.
MARKS = """CREATE VIEW operator_marks AS SELECT name, state,
    left(encode(sha256(convert_to(password, 'UTF8')), 'hex'), 16) AS mark FROM operators"""
ACT_KEEPS = "id, kind, subject, arguments, reason, maker, made_us, expires_us"
FORWARD = (
    "(OLD.state = 1 AND NEW.state IN (2, 3, 4, 5, 6)) OR (OLD.state = 2 AND NEW.state = 3 AND "
    "NEW.checker = OLD.checker)"
)


def upgrade() -> None:
    """Make the tables, and the triggers that keep what was written."""
    for statement in TABLES:
        op.execute(dialect.here(statement))
    if dialect.on_postgres():
        op.execute(MARKS)
    for verb in ("UPDATE", "DELETE"):
        dialect.guard(
            f"operator_audit_no_{verb.lower()}", f"{verb} ON operator_audit", "operator_audit is insert-only"
        )
    dialect.guard("operators_no_delete", "DELETE ON operators", "an operator stays, retired or not")
    dialect.guard("operators_name", "UPDATE OF name, made_us ON operators", "a name means one person")
    dialect.guard("operator_acts_no_delete", "DELETE ON operator_acts", "an act stays")
    dialect.guard("operator_acts_keep", f"UPDATE OF {ACT_KEEPS} ON operator_acts", "an act stays as proposed")
    dialect.guard(
        "operator_acts_forward", "UPDATE ON operator_acts", "an act goes forward only", f"NOT ({FORWARD})"
    )


def downgrade() -> None:
    """Drop it: who agreed on what is lost."""
    if dialect.on_postgres():
        op.execute("DROP VIEW operator_marks")
    for table in ("operator_audit", "operator_acts", "operators"):
        op.execute(f"DROP TABLE {table}")
