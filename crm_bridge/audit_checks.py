"""What must not be in the books: one query per check, each returning an identifier and a detail per
violation.

Data only.  Where a number stands for a kind, a state or a code, it comes from the enumeration that owns it.
"""

# ruff: noqa: S608 - what is put into these queries are our own enumerations and names
from crm_bridge.journal import State
from crm_bridge.journal_breaks import MANUAL, BreakState
from qianzhi.billing.orders import (
    ARREARS,
    BOOK,
    CLEARING,
    LATE_FEES,
    RECEIVABLE,
    REVENUE,
    SUSPENSE,
    UNDO,
    Code,
)
from qianzhi.domain.requests import Kind
from qianzhi.ledger.entries import Ending


def _counted(condition: str) -> str:
    return f"sum(CASE WHEN {condition} THEN 1 ELSE 0 END)"


def _summed(condition: str, amount: str) -> str:
    return f"sum(CASE WHEN {condition} THEN {amount} ELSE 0 END)"


# The newest date whose opening balances are written; what is of no key has date 0 and is always there.
_OPENED = "(SELECT coalesce(max(business_date), 0) FROM ledger_opening_days)"
_SINCE = f"(business_date > {_OPENED} OR business_date < 1)"
_DETACHED = "(SELECT coalesce(max(business_date), 0) FROM ledger_opening_days WHERE detached_us > 0)"
_NEWEST = """SELECT o.account, o.balance_fen AS fen FROM ledger_openings o WHERE o.business_date = (SELECT
    max(n.business_date) FROM ledger_openings n WHERE n.account = o.account AND n.business_date <= {0})"""
_MOVED = f"""SELECT account, sum(fen) AS fen FROM ({_NEWEST.format(_OPENED)}
    UNION ALL SELECT credit, amount_fen FROM ledger_transfers WHERE {_SINCE}
    UNION ALL SELECT debit, -amount_fen FROM ledger_transfers WHERE {_SINCE}) moves GROUP BY account"""
_CLOSED = f"t.business_date > {_DETACHED} AND t.business_date <= {_OPENED}"  # with its rows still there
_OPEN_PENDINGS = """SELECT p.debit, sum(p.amount_fen) AS fen FROM ledger_pendings p
    LEFT JOIN ledger_settlements s ON s.pending = p.serial WHERE s.pending IS NULL GROUP BY p.debit"""
_KEY = "j.space || '/' || j.business_date || '/' || j.serial"
_ORDERED = f"{State.APPROVED:d}, {State.REVERSED:d}"
_ORDER_CODES = ", ".join(
    str(int(code))
    for code in (
        *(Code.CREDIT, Code.ARREARS, Code.PRINCIPAL, Code.LATE_FEE, Code.SHORTAGE),
        *(UNDO + code for code in (Code.CREDIT, Code.ARREARS, Code.PRINCIPAL, Code.LATE_FEE)),
    )
)

_LEDGER = {
    "balance": f"""SELECT a.id, 'balance ' || a.balance_fen || ', transfers ' || coalesce(m.fen, 0)
        FROM ledger_accounts a LEFT JOIN ({_MOVED}) m ON m.account = a.id
        WHERE a.balance_fen <> coalesce(m.fen, 0)""",
    "opening": f"""SELECT account, 'opening less the one before and entries since: ' || sum(fen) FROM (
        {_NEWEST.format(_OPENED)} UNION ALL SELECT account, -fen FROM ({_NEWEST.format(_DETACHED)}) before
        UNION ALL SELECT t.credit, -t.amount_fen FROM ledger_transfers t WHERE {_CLOSED}
        UNION ALL SELECT t.debit, t.amount_fen FROM ledger_transfers t WHERE {_CLOSED}) sides
        GROUP BY account HAVING sum(fen) <> 0""",
    "opening-chain": """SELECT account || ' ' || business_date, 'opening ' || balance_fen || ', ' || before
        || ' before, moved ' || moved_fen FROM (SELECT account, business_date, balance_fen, moved_fen,
        lag(balance_fen) OVER (PARTITION BY account ORDER BY business_date) AS before
        FROM ledger_openings) chain WHERE balance_fen <> before + moved_fen""",
    "opening-total": f"""SELECT 'all', 'the newest opening balances sum to ' || t.fen
        FROM (SELECT sum(fen) AS fen FROM ({_NEWEST.format(_OPENED)}) newest) t WHERE t.fen <> 0""",
    "accounting-date": """SELECT t.id, 'of ' || t.business_date || ', its order of ' || o.business_date
        FROM ledger_transfers t JOIN billing_orders o ON o.serial = t.reference
        WHERE t.business_date <> o.business_date""",
    "reserved": f"""SELECT a.id, 'reserved ' || a.reserved_fen || ', open reservations ' || coalesce(p.fen, 0)
        FROM ledger_accounts a LEFT JOIN ({_OPEN_PENDINGS}) p ON p.debit = a.id
        WHERE a.reserved_fen <> coalesce(p.fen, 0)""",
    "total": """SELECT 'all', 'the balances sum to ' || t.fen
        FROM (SELECT sum(balance_fen) AS fen FROM ledger_accounts) t WHERE t.fen <> 0""",
    "floor": """SELECT id, 'balance ' || balance_fen || ', reserved ' || reserved_fen || ', floor ' ||
    floor_fen
        FROM ledger_accounts WHERE balance_fen - reserved_fen < floor_fen""",
    "limits": f"""SELECT id, kind || ' must end at zero: balance ' || balance_fen || ', floor ' ||
    coalesce(CAST(floor_fen AS TEXT), '-')
        FROM ledger_accounts
        WHERE (kind = '{ARREARS}' AND balance_fen > 0) OR (kind = '{BOOK}'
        AND floor_fen IS DISTINCT FROM 0)""",
    "transfer": """SELECT id, 'amount ' || amount_fen || ' from ' || debit || ' to ' || credit FROM
    ledger_transfers
        WHERE amount_fen <= 0 OR debit = credit""",
    "reservation": f"""SELECT p.serial, 'ending ' || s.ending || ' of ' || p.amount_fen || ' with ' ||
    s.amount_fen
        || ', posted ' || coalesce(t.fen, 0) FROM ledger_pendings p
        JOIN ledger_settlements s ON s.pending = p.serial
        LEFT JOIN (SELECT pending, sum(amount_fen) AS fen FROM ledger_transfers GROUP BY pending) t
        ON t.pending = p.serial
        WHERE s.amount_fen > p.amount_fen OR coalesce(t.fen, 0) <> s.amount_fen
        OR (s.ending = {Ending.POSTED:d}) <> (s.amount_fen > 0)""",
    "stray-transfer": f"""SELECT t.id, 'code ' || t.code || ' under ' || t.reference FROM ledger_transfers t
        LEFT JOIN billing_orders o ON o.serial = t.reference LEFT JOIN billing_bills b ON b.serial =
        t.reference WHERE NOT ((t.code IN ({_ORDER_CODES}) AND o.serial IS NOT NULL)
        OR (t.code = {Code.BILLED:d} AND b.serial IS NOT NULL)
        OR (t.code = {Code.OPENING:d} AND t.reference LIKE 'opening-%')
        OR (t.code IN ({Code.SUSPENSE:d}, {UNDO + Code.SUSPENSE:d}) AND t.reference LIKE 'break/%')
        OR t.pending IS NOT NULL)""",
}

_ORDERS_OF_KEYS = """SELECT space, business_date, key_serial, count(*) AS n, max(serial) AS serial,
    max(amount_fen) AS amount_fen, max(phone) AS phone, max(bank_number) AS bank_number, max(kind) AS kind
    FROM billing_orders WHERE reverses IS NULL GROUP BY space, business_date, key_serial"""

_SIDE = f"CASE WHEN a.kind IN ('{BOOK}', '{ARREARS}') THEN 'the book' ELSE a.kind || a.owner END"
_MOVES = """t.amount_fen * (CASE WHEN t.credit = a.id THEN 1 ELSE 0 END
    - CASE WHEN t.debit = a.id THEN 1 ELSE 0 END)"""
# Each reversed order with its reversal, once under either's reference.
_PAIRS = """SELECT r.reverses AS original, r.serial AS undoing, r.serial AS reference FROM billing_orders r
    WHERE r.reverses IS NOT NULL UNION ALL SELECT o.serial, r.serial, o.serial FROM billing_orders r
    JOIN billing_orders o ON o.serial = r.reverses"""

_ORDERS = {
    "order": f"""SELECT {_KEY}, coalesce(o.n, 0) || ' work orders, named ' || coalesce(j.order_serial, '-')
        FROM journal j LEFT JOIN ({_ORDERS_OF_KEYS}) o ON o.space = j.space
        AND o.business_date = j.business_date AND o.key_serial = j.serial
        WHERE coalesce(o.n, 0) <> CASE WHEN j.state IN ({_ORDERED}) THEN 1 ELSE 0 END OR
        o.serial IS DISTINCT FROM j.order_serial
        OR o.amount_fen <> j.amount_fen OR o.phone <> j.phone OR o.bank_number <> j.bank_number
        OR o.kind <> j.kind""",
    "reversal": f"""SELECT {_KEY}, 'reversed by ' || coalesce(o.serial, '-') || ', named ' ||
    coalesce(j.reversal_order, '-')
        FROM journal j LEFT JOIN billing_orders o ON o.reverses = j.order_serial
        WHERE (o.serial IS NOT NULL) <> (j.state = {State.REVERSED:d}) OR o.serial IS DISTINCT FROM
        j.reversal_order
        OR o.amount_fen <> j.amount_fen OR o.kind NOT IN ({Kind.REVERSAL:d}, {Kind.VOID:d})""",
    "unkeyed-order": """SELECT o.serial, 'no journal row names it' FROM billing_orders o
        LEFT JOIN journal j ON j.space = o.space AND j.business_date = o.business_date AND j.serial =
        o.key_serial WHERE o.serial NOT IN (coalesce(j.order_serial, ''), coalesce(j.reversal_order, ''))""",
    "posting": f"""SELECT o.serial, 'amount ' || o.amount_fen || ', credited ' ||
    coalesce(sum(t.amount_fen), 0)
        FROM billing_orders o JOIN billing_books k ON k.id = o.book
        LEFT JOIN ledger_transfers t ON t.reference = o.serial AND t.code = {Code.CREDIT:d} AND t.credit =
        k.account AND t.debit IN (SELECT id FROM ledger_accounts WHERE kind = '{CLEARING}' AND owner =
        o.bank_number) WHERE o.reverses IS NULL GROUP BY o.serial, o.amount_fen
        HAVING count(t.id) <> 1 OR sum(t.amount_fen) <> o.amount_fen""",
    "foreign-account": f"""SELECT t.id, 'order ' || o.serial || ' moves the account of another book'
        FROM billing_orders o JOIN billing_books k ON k.id = o.book JOIN ledger_transfers t ON t.reference =
        o.serial JOIN ledger_accounts a ON a.id IN (t.debit, t.credit)
        WHERE a.kind IN ('{BOOK}', '{ARREARS}') AND a.id NOT IN (k.account, k.arrears)""",
    "net-of-reversed": f"""SELECT p.original, 'with its reversal ' || p.undoing || ', ' || {_SIDE}
        || ' keeps ' || sum({_MOVES}) FROM ({_PAIRS}) p JOIN ledger_transfers t ON t.reference = p.reference
        JOIN ledger_accounts a ON a.id IN (t.debit, t.credit)
        GROUP BY p.original, p.undoing, {_SIDE} HAVING sum({_MOVES}) <> 0""",
    "repeated-key": """SELECT space || '/' || business_date || '/' || key_serial, count(*) || ' work orders'
        FROM billing_orders WHERE reverses IS NULL GROUP BY space, business_date, key_serial HAVING count(*)
        > 1""",
    "reversal-undone": """SELECT o.serial, 'reverses ' || o.reverses || ', itself a reversal' FROM
    billing_orders o
        JOIN billing_orders r ON r.serial = o.reverses WHERE r.reverses IS NOT NULL""",
}

# What must be the same for every business date and bank number: two sides, each as columns of four sums.
_TOLD = f"""SELECT business_date, bank_number, sum(approved_count) AS n, sum(approved_fen) AS fen,
    sum(reversed_count) AS undone, sum(reversed_fen) AS undone_fen FROM journal_totals
    WHERE business_date > {_DETACHED} GROUP BY business_date, bank_number"""
_WRITTEN = f"""SELECT business_date, bank_number, count(*) AS n, sum(amount_fen) AS fen,
    {_counted(f"state = {State.REVERSED:d}")} AS undone,
    {_summed(f"state = {State.REVERSED:d}", "amount_fen")} AS undone_fen
    FROM journal WHERE state IN ({_ORDERED}) AND business_date > {_DETACHED}
    GROUP BY business_date, bank_number"""
_IS_CREDIT, _IS_UNDO = f"t.code = {Code.CREDIT:d}", f"t.code <> {Code.CREDIT:d}"
_POSTED = f"""SELECT o.business_date, o.bank_number, {_counted(_IS_CREDIT)} AS n,
    {_summed(_IS_CREDIT, "t.amount_fen")} AS fen, {_counted(_IS_UNDO)} AS undone,
    {_summed(_IS_UNDO, "t.amount_fen")} AS undone_fen FROM billing_orders o
    JOIN ledger_transfers t ON t.reference = o.serial AND t.code IN ({Code.CREDIT:d}, {UNDO + Code.CREDIT:d})
    WHERE o.business_date > {_DETACHED} GROUP BY o.business_date, o.bank_number"""


def _same_sums(other: str) -> str:
    """Return the query for dates and numbers whose totals are not what another table sums up to."""
    return f"""SELECT business_date || '/' || bank_number, 'totals less the other side: ' || sum(n) || ' of '
        || sum(fen) || ', reversed ' || sum(undone) || ' of ' || sum(undone_fen) FROM (
        SELECT * FROM ({_TOLD}) told UNION ALL
        SELECT business_date, bank_number, -n, -fen, -undone, -undone_fen FROM ({other}) other) sides
        GROUP BY business_date, bank_number
        HAVING sum(n) <> 0 OR sum(fen) <> 0 OR sum(undone) <> 0 OR sum(undone_fen) <> 0"""


_TOTALS = {"totals": _same_sums(_WRITTEN), "totals-posted": _same_sums(_POSTED)}

# Write-offs and bills stay when the order that made them leaves with its date.
_PAID = """SELECT v.bill, count(*) AS n, min(v.order_serial) AS paid_by FROM billing_write_offs v
    JOIN billing_orders k ON k.serial = v.order_serial LEFT JOIN billing_orders r
    ON r.reverses = v.order_serial WHERE r.serial IS NULL GROUP BY v.bill"""
_IS_PRINCIPAL, _IS_FEE = f"t.code = {Code.PRINCIPAL:d}", f"t.code = {Code.LATE_FEE:d}"
_WRITTEN_OFF = """SELECT order_serial, sum(principal_fen) AS principal, sum(late_fee_fen) AS fee
    FROM billing_write_offs GROUP BY order_serial"""

_BILLS = {
    "bill": f"""SELECT b.serial, 'paid by ' || coalesce(b.paid_by, '-') || ', written off ' || coalesce(p.n,
    0)
        || ' times, by ' || coalesce(p.paid_by, '-')
        FROM billing_bills b LEFT JOIN ({_PAID}) p ON p.bill = b.serial
        WHERE coalesce(p.n, 0) > 1 OR (b.paid_by IS DISTINCT FROM p.paid_by AND NOT (p.paid_by IS NULL
        AND {_DETACHED} > 0 AND NOT EXISTS (SELECT 1 FROM billing_orders o WHERE o.serial = b.paid_by)))""",
    "write-off": """SELECT v.order_serial || ' ' || v.bill, 'principal ' || v.principal_fen || ' of ' ||
    b.principal_fen
        FROM billing_write_offs v JOIN billing_bills b ON b.serial = v.bill JOIN billing_orders o
        ON o.serial = v.order_serial WHERE v.principal_fen <> b.principal_fen OR b.book <> o.book
        OR v.late_fee_fen > v.principal_fen""",
    "write-off-posting": f"""SELECT o.serial, 'written off ' || coalesce(v.principal, 0) || ' and ' ||
    coalesce(v.fee, 0)
        || ', posted ' || coalesce({_summed(_IS_PRINCIPAL, "t.amount_fen")}, 0) || ' and '
        || coalesce({_summed(_IS_FEE, "t.amount_fen")}, 0)
        FROM billing_orders o LEFT JOIN ({_WRITTEN_OFF}) v ON v.order_serial = o.serial
        LEFT JOIN (SELECT t.* FROM ledger_transfers t JOIN ledger_accounts a ON a.id = t.credit WHERE
        (t.code = {Code.PRINCIPAL:d} AND a.kind = '{RECEIVABLE}') OR (t.code = {Code.LATE_FEE:d}
        AND a.kind = '{LATE_FEES}')) t ON t.reference = o.serial
        WHERE o.reverses IS NULL GROUP BY o.serial, v.principal, v.fee
        HAVING coalesce(v.principal, 0) <> coalesce({_summed(_IS_PRINCIPAL, "t.amount_fen")}, 0)
        OR coalesce(v.fee, 0) <> coalesce({_summed(_IS_FEE, "t.amount_fen")}, 0)""",
    "bill-posting": f"""SELECT b.serial, 'principal ' || b.principal_fen || ', posted ' ||
    coalesce(sum(t.amount_fen), 0)
        FROM billing_bills b LEFT JOIN (SELECT t.* FROM ledger_transfers t
        JOIN ledger_accounts d ON d.id = t.debit JOIN ledger_accounts c ON c.id = t.credit
        WHERE t.code = {Code.BILLED:d} AND d.kind = '{RECEIVABLE}' AND c.kind = '{REVENUE}') t
        ON t.reference = b.serial GROUP BY b.serial
        HAVING count(t.id) <> 1 OR sum(t.amount_fen) <> b.principal_fen""",
    "receivable": f"""SELECT 'all', 'receivable ' || r.fen || ', open bills ' || b.fen
        FROM (SELECT coalesce(sum(balance_fen), 0) AS fen FROM ledger_accounts WHERE kind = '{RECEIVABLE}') r,
        (SELECT coalesce(sum(principal_fen), 0) AS fen FROM billing_bills WHERE paid_by IS NULL) b
        WHERE r.fen + b.fen <> 0""",
    "orphan-phone": """SELECT p.phone, 'its book ' || p.book || ' has wrong accounts' FROM billing_phones p
        JOIN billing_books k ON k.id = p.book LEFT JOIN ledger_accounts a ON a.id = k.account
        LEFT JOIN ledger_accounts r ON r.id = k.arrears WHERE a.kind IS DISTINCT FROM 'book' OR
        r.kind IS DISTINCT FROM 'arrears'
        """,
}

# Bridges' clocks may be two minutes apart, and whoever closes a date may have waited for its last keys.
_LATE_US = 300 * 1_000_000
_BREAK_KEY = "b.space || '/' || b.business_date || '/' || b.serial"
_OPEN = f"b.state = {BreakState.OPEN:d}"
_IN, _OUT = int(Code.SUSPENSE), UNDO + Code.SUSPENSE
# The close that a date of a space fell under.
_FENCE = """f.space = {0}.space AND f.closed_through = (SELECT min(g.closed_through) FROM journal_fences g
    WHERE g.space = {0}.space AND g.closed_through >= {0}.business_date)"""

_HOUSE = {
    "break": f"""SELECT reference, 'in suspense by the break less by its transfers: ' || sum(fen) FROM (
        SELECT 'break/' || {_BREAK_KEY} AS reference, b.suspense_fen AS fen FROM journal_breaks b
        UNION ALL SELECT t.reference, t.amount_fen * CASE WHEN t.code = {_IN} THEN -1 ELSE 1 END
        FROM ledger_transfers t WHERE t.code IN ({_IN}, {_OUT})) sides GROUP BY reference HAVING sum(fen) <> 0
        """,
    "unsuspended": f"""SELECT {_BREAK_KEY}, 'manual over ' || b.amount_fen || ', in suspense ' ||
        b.suspense_fen FROM journal_breaks b
        WHERE b.suspense_fen <> CASE WHEN {_OPEN} AND b.kind = '{MANUAL}' THEN b.amount_fen ELSE 0 END""",
    "suspense": f"""SELECT owner, 'its accounts less its breaks: ' || sum(fen) FROM (
        SELECT owner, balance_fen AS fen FROM ledger_accounts WHERE kind = '{SUSPENSE}'
        UNION ALL SELECT bank_number, -suspense_fen FROM journal_breaks) sides
        GROUP BY owner HAVING sum(fen) <> 0""",
    "suspense-posting": f"""SELECT t.id, 'code ' || t.code || ' from ' || d.kind || ':' || d.owner
        || ' to ' || c.kind || ':' || c.owner FROM ledger_transfers t JOIN ledger_accounts d ON d.id = t.debit
        JOIN ledger_accounts c ON c.id = t.credit WHERE (t.code IN ({_IN}, {_OUT})
        OR d.kind = '{SUSPENSE}' OR c.kind = '{SUSPENSE}') AND NOT (d.owner = c.owner AND
        ((t.code = {_IN} AND d.kind = '{CLEARING}' AND c.kind = '{SUSPENSE}')
        OR (t.code = {_OUT} AND d.kind = '{SUSPENSE}' AND c.kind = '{CLEARING}')))""",
    # A tombstone or refusal of a closed date of ours keeps out a copy that gets the next date: no money.
    "fence": f"""SELECT {_KEY}, 'credited after its date was closed through ' || f.closed_through
        FROM journal j JOIN journal_fences f ON {_FENCE.format("j")}
        WHERE j.state IN ({_ORDERED})
        AND j.decided_us > f.closed_us + {_LATE_US}""",
    "fence-reversal": f"""SELECT {_KEY}, 'reversed after its date was closed, and no break says so'
        FROM journal j JOIN journal_fences f ON {_FENCE.format("j")}
        LEFT JOIN journal_breaks b ON b.space = j.space AND b.business_date = j.business_date
        AND b.serial = j.serial WHERE j.reversed_us > f.closed_us + {_LATE_US} AND b.serial IS NULL""",
    "fence-break": f"""SELECT {_BREAK_KEY}, 'was open when its date was closed through ' || f.closed_through
        FROM journal_breaks b JOIN journal_fences f ON {_FENCE.format("b")}
        WHERE b.opened_us < f.closed_us - {_LATE_US} AND ({_OPEN} OR b.changed_us > f.closed_us + {_LATE_US})
        """,
}

# What SQLite's foreign keys hold, and PostgreSQL's are not asked to in every recharge: (row, what it names).
REFERENCES = {
    "ledger_transfers/debit": """SELECT t.id, 'account ' || t.debit FROM ledger_transfers t
        LEFT JOIN ledger_accounts a ON a.id = t.debit WHERE a.id IS NULL""",
    "ledger_transfers/credit": """SELECT t.id, 'account ' || t.credit FROM ledger_transfers t
        LEFT JOIN ledger_accounts a ON a.id = t.credit WHERE a.id IS NULL""",
    "ledger_transfers/pending": """SELECT t.id, 'reservation ' || t.pending FROM ledger_transfers t
        LEFT JOIN ledger_pendings p ON p.serial = t.pending WHERE t.pending IS NOT NULL
        AND p.serial IS NULL""",
    "billing_orders/book": """SELECT o.serial, 'book ' || o.book FROM billing_orders o
        LEFT JOIN billing_books k ON k.id = o.book WHERE k.id IS NULL""",
    "billing_orders/reverses": """SELECT o.serial, 'order ' || o.reverses FROM billing_orders o
        LEFT JOIN billing_orders r ON r.serial = o.reverses AND r.business_date = o.business_date
        WHERE o.reverses IS NOT NULL AND r.serial IS NULL""",
    "billing_write_offs/bill": """SELECT v.order_serial || ' ' || v.bill, 'bill ' || v.bill
        FROM billing_write_offs v LEFT JOIN billing_bills b ON b.serial = v.bill WHERE b.serial IS NULL""",
    "billing_write_offs/order": f"""SELECT v.order_serial || ' ' || v.bill, 'order ' || v.order_serial
        FROM billing_write_offs v LEFT JOIN billing_orders o ON o.serial = v.order_serial
        WHERE o.serial IS NULL AND {_DETACHED} = 0""",
    "billing_bills/paid_by": f"""SELECT b.serial, 'order ' || b.paid_by FROM billing_bills b
        LEFT JOIN billing_orders o ON o.serial = b.paid_by WHERE b.paid_by IS NOT NULL
        AND o.serial IS NULL AND {_DETACHED} = 0""",
    "billing_orders/twice": """SELECT serial, count(*) || ' times' FROM billing_orders GROUP BY serial
        HAVING count(*) > 1""",
}

CHECKS: dict[str, str] = _LEDGER | _ORDERS | _TOTALS | _BILLS | _HOUSE
