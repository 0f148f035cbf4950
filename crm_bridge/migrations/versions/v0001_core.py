"""The first schema: ledger, billing and journal."""

from alembic import op

from crm_bridge.migrations import dialect

revision = "0001"
down_revision = None

LEDGER = [
    """CREATE TABLE ledger_accounts (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        owner TEXT NOT NULL,
        part TEXT NOT NULL,
        balance_fen INTEGER NOT NULL DEFAULT 0,
        reserved_fen INTEGER NOT NULL DEFAULT 0 CHECK (reserved_fen >= 0),
        floor_fen INTEGER,
        opened_us INTEGER NOT NULL,
        UNIQUE (kind, owner, part),
        CHECK (floor_fen IS NULL OR balance_fen - reserved_fen >= floor_fen)
    ) STRICT""",
    """CREATE TABLE ledger_pendings (
        serial TEXT PRIMARY KEY,
        debit INTEGER NOT NULL REFERENCES ledger_accounts (id),
        credit INTEGER NOT NULL REFERENCES ledger_accounts (id),
        amount_fen INTEGER NOT NULL CHECK (amount_fen > 0),
        code INTEGER NOT NULL,
        reserved_us INTEGER NOT NULL,
        expires_us INTEGER NOT NULL,
        CHECK (debit <> credit)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE ledger_forwards (
        pending TEXT PRIMARY KEY REFERENCES ledger_pendings (serial),
        forwarded_us INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE ledger_settlements (
        pending TEXT PRIMARY KEY REFERENCES ledger_pendings (serial),
        ending INTEGER NOT NULL CHECK (ending IN (1, 2, 3)),
        amount_fen INTEGER NOT NULL CHECK (amount_fen >= 0),
        settled_us INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE ledger_transfers (
        id INTEGER PRIMARY KEY,
        reference TEXT NOT NULL,
        code INTEGER NOT NULL,
        debit INTEGER NOT NULL REFERENCES ledger_accounts (id),
        credit INTEGER NOT NULL REFERENCES ledger_accounts (id),
        amount_fen INTEGER NOT NULL CHECK (amount_fen > 0),
        posted_us INTEGER NOT NULL,
        pending TEXT REFERENCES ledger_pendings (serial),
        CHECK (debit <> credit)
    ) STRICT""",
    "CREATE INDEX ledger_transfers_reference ON ledger_transfers (reference)",
    "CREATE INDEX ledger_pendings_due ON ledger_pendings (expires_us) WHERE expires_us > 0",
]

BILLING = [
    """CREATE TABLE billing_customers (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        opened_us INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE billing_books (
        id INTEGER PRIMARY KEY,
        customer INTEGER NOT NULL REFERENCES billing_customers (id),
        account INTEGER NOT NULL UNIQUE REFERENCES ledger_accounts (id),
        arrears INTEGER NOT NULL UNIQUE REFERENCES ledger_accounts (id)
    ) STRICT""",
    """CREATE TABLE billing_phones (
        phone TEXT PRIMARY KEY,
        customer INTEGER NOT NULL REFERENCES billing_customers (id),
        book INTEGER NOT NULL REFERENCES billing_books (id),
        state INTEGER NOT NULL CHECK (state IN (1, 2))
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE billing_orders (
        serial TEXT PRIMARY KEY,
        kind INTEGER NOT NULL,
        space TEXT NOT NULL,
        business_date INTEGER NOT NULL,
        key_serial TEXT NOT NULL,
        phone TEXT NOT NULL,
        book INTEGER NOT NULL REFERENCES billing_books (id),
        amount_fen INTEGER NOT NULL CHECK (amount_fen > 0),
        bank_number TEXT NOT NULL,
        posted_us INTEGER NOT NULL,
        reverses TEXT REFERENCES billing_orders (serial)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX billing_orders_phone ON billing_orders (phone, serial)",
    "CREATE UNIQUE INDEX billing_orders_reverses ON billing_orders (reverses) WHERE reverses IS NOT NULL",
    """CREATE TABLE billing_bills (
        serial TEXT PRIMARY KEY,
        book INTEGER NOT NULL REFERENCES billing_books (id),
        month INTEGER NOT NULL,
        principal_fen INTEGER NOT NULL CHECK (principal_fen > 0),
        due_date INTEGER NOT NULL,
        paid_by TEXT REFERENCES billing_orders (serial),
        UNIQUE (book, month)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX billing_bills_open ON billing_bills (book) WHERE paid_by IS NULL",
    """CREATE TABLE billing_write_offs (
        order_serial TEXT NOT NULL REFERENCES billing_orders (serial),
        bill TEXT NOT NULL REFERENCES billing_bills (serial),
        principal_fen INTEGER NOT NULL CHECK (principal_fen > 0),
        late_fee_fen INTEGER NOT NULL CHECK (late_fee_fen >= 0),
        PRIMARY KEY (order_serial, bill)
    ) STRICT, WITHOUT ROWID""",
]

# SQLite has one writer and counts in a row; PostgreSQL has several, which must not wait for each other here.
COUNTER = [
    """CREATE TABLE billing_counters (
        name TEXT PRIMARY KEY,
        next_number INTEGER NOT NULL CHECK (next_number > 0)
    ) STRICT, WITHOUT ROWID""",
    "INSERT INTO billing_counters (name, next_number) VALUES ('order', 1)",
]

JOURNAL = [
    """CREATE TABLE journal (
        space TEXT NOT NULL,
        business_date INTEGER NOT NULL,
        serial TEXT NOT NULL,
        kind INTEGER NOT NULL,
        content BLOB NOT NULL,
        state INTEGER NOT NULL CHECK (state BETWEEN 1 AND 5),
        result INTEGER NOT NULL,
        reply BLOB NOT NULL,
        order_serial TEXT,
        phone TEXT NOT NULL,
        amount_fen INTEGER NOT NULL,
        bank TEXT NOT NULL,
        bank_number TEXT NOT NULL,
        bill TEXT NOT NULL,
        received_us INTEGER NOT NULL,
        decided_us INTEGER NOT NULL,
        part TEXT NOT NULL,
        reversal_order TEXT,
        reversal_reply BLOB,
        reversed_us INTEGER,
        PRIMARY KEY (space, business_date, serial),
        CHECK ((order_serial IS NOT NULL) = (state IN (1, 3))),
        CHECK ((reversal_order IS NOT NULL) = (state = 3)),
        CHECK ((reversal_reply IS NOT NULL) = (state = 3)),
        CHECK ((reversed_us IS NOT NULL) = (state = 3))
    ) STRICT, WITHOUT ROWID""",
]

HISTORY = (
    "ledger_transfers",
    "ledger_pendings",
    "ledger_forwards",
    "ledger_settlements",
    "billing_orders",
    "billing_write_offs",
)
TABLES = (
    "journal",
    "billing_write_offs",
    "billing_bills",
    "billing_orders",
    "billing_phones",
    "billing_books",
    "billing_customers",
    "ledger_transfers",
    "ledger_settlements",
    "ledger_forwards",
    "ledger_pendings",
    "ledger_accounts",
)
# What a row of the journal says stays; only an approved key becomes reversed.
JOURNAL_KEEPS = (
    "space, business_date, serial, kind, content, result, reply, order_serial, phone, amount_fen, bank, "
    "bank_number, bill, received_us, decided_us, part"
)


def upgrade() -> None:
    """Make the tables, and the triggers that keep history as it was written."""
    for statement in (*LEDGER, *BILLING, *dialect.counter("billing_order_numbers", COUNTER), *JOURNAL):
        op.execute(dialect.here(statement))
    for table in HISTORY:
        for verb in ("UPDATE", "DELETE"):
            dialect.guard(f"{table}_no_{verb.lower()}", f"{verb} ON {table}", f"{table} is insert-only")
    for verb, table in (
        ("DELETE", "journal"),
        (f"UPDATE OF {JOURNAL_KEEPS}", "journal"),
        ("DELETE", "ledger_accounts"),
    ):
        name = f"{table}_no_{verb.split()[0].lower()}"
        dialect.guard(name, f"{verb} ON {table}", f"{table} keeps what was written")
    dialect.guard(
        "journal_state",
        "UPDATE ON journal",
        "only an approved key becomes reversed",
        "NOT (OLD.state = 1 AND NEW.state = 3)",
    )


def downgrade() -> None:
    """Drop everything; the triggers go with their tables."""
    for table in TABLES:
        op.execute(f"DROP TABLE {table}")
    dialect.drop_counter("billing_order_numbers", "billing_counters")
    dialect.drop_guards()
