"""Fills the core's tables on the server, as fast as PostgreSQL can: accounts and history by the million.

What is written is what the platform itself would have left: every posting balances and `audit-books` holds
afterwards.  Foreign keys are not looked up meanwhile, because every row's are known to be there.  No bills,
so that a recharge costs the same however often its phone had one before.
"""

import msgspec
from product import BANK, NUMBER, Product

from qianzhi.billing.books import PhoneState
from qianzhi.billing.orders import ARREARS, BOOK, CLEARING, Code
from qianzhi.domain.dates import business_date
from qianzhi.domain.requests import Kind, Reply
from qianzhi.domain.results import Result
from qianzhi.link.site import zone_of
from qianzhi.link.tables import Site
from qianzhi.runtime import clock

FIRST_PHONE, CLOSED_EVERY = 13_800_000_000, 50
FIRST_ACCOUNT = 1_000_000_000  # beyond all that the platform numbers itself
FIRST_ORDER = 10_000_000_000
CHUNK = 500_000
AMOUNT_FEN = 100
PLACE = "Q" * 12  # of a work order's serial in a kept reply
SPACE = "history"  # whose serials nobody else uses
TABLES = (
    "ledger_accounts billing_customers billing_books billing_phones journal billing_orders ledger_transfers"
)

ACCOUNTS = """
INSERT INTO ledger_accounts (id, kind, owner, part, floor_fen, opened_us)
  SELECT {account} + 2 * n, '{book}', ({phone} + n)::text, '', 0, {now}
  FROM generate_series({first}, {last}) n;
INSERT INTO ledger_accounts (id, kind, owner, part, floor_fen, opened_us)
  SELECT {account} + 2 * n + 1, '{arrears}', ({phone} + n)::text, '', NULL, {now}
  FROM generate_series({first}, {last}) n;
INSERT INTO billing_customers (id, name, opened_us)
  SELECT n + 1, '户' || n, {now} FROM generate_series({first}, {last}) n;
INSERT INTO billing_books (id, customer, account, arrears)
  SELECT n + 1, n + 1, {account} + 2 * n, {account} + 2 * n + 1 FROM generate_series({first}, {last}) n;
INSERT INTO billing_phones (phone, customer, book, state)
  SELECT ({phone} + n)::text, n + 1, n + 1, CASE WHEN n % {every} = {every} - 1 THEN {closed} ELSE {open} END
  FROM generate_series({first}, {last}) n;
"""

HISTORY = """
CREATE TEMPORARY TABLE made AS SELECT k, (k * 7919::bigint) % {people} AS n,
  'H' || lpad(k::text, 12, '0') AS serial, 'Q' || ({order} + k) AS order_serial
  FROM generate_series({first}, {last}) k;
UPDATE made SET n = n - 1 WHERE n % {every} = {every} - 1;
INSERT INTO journal (space, business_date, serial, kind, content, state, result, reply, order_serial, phone,
  amount_fen, bank, bank_number, bill, received_us, decided_us, part)
  SELECT '{space}', {date}, serial, {kind}, substring(sha256(convert_to(concat_ws(chr(31), {kind},
  {phone} + n, {amount}, '{number}', ''), 'UTF8')) FROM 1 FOR 16), 1, {result},
  '\\x{head}'::bytea || convert_to(order_serial, 'UTF8') || '\\x{tail}'::bytea, order_serial,
  ({phone} + n)::text, {amount}, '{bank}', '{number}', '', {now}, {now}, '{space}' FROM made;
INSERT INTO billing_orders (serial, kind, space, business_date, key_serial, phone, book, amount_fen,
  bank_number, posted_us)
  SELECT order_serial, {kind}, '{space}', {date}, serial, ({phone} + n)::text, n + 1, {amount}, '{number}',
  {now} FROM made;
INSERT INTO ledger_transfers (reference, code, debit, credit, amount_fen, posted_us, business_date)
  SELECT order_serial, {code}, (SELECT id FROM ledger_accounts WHERE kind = '{clearing}' AND
  owner = '{number}' AND part = '{space}'), {account} + 2 * n, {amount}, {now}, {date} FROM made;
UPDATE ledger_accounts a SET balance_fen = balance_fen + {amount} * m.times
  FROM (SELECT n, count(*) AS times FROM made GROUP BY n) m WHERE a.id = {account} + 2 * m.n;
UPDATE ledger_accounts SET balance_fen = balance_fen - {amount} * (SELECT count(*) FROM made)
  WHERE kind = '{clearing}' AND owner = '{number}' AND part = '{space}';
INSERT INTO journal_totals (business_date, bank_number, part, approved_count, approved_fen, reversed_count,
  reversed_fen) SELECT {date}, '{number}', '{space}', count(*), {amount} * count(*), 0, 0 FROM made
  ON CONFLICT (business_date, bank_number, part) DO UPDATE
  SET approved_count = journal_totals.approved_count + excluded.approved_count,
  approved_fen = journal_totals.approved_fen + excluded.approved_fen;
DROP TABLE made;
"""

CLEARING_ACCOUNT = """INSERT INTO ledger_accounts (kind, owner, part, opened_us)
  VALUES ('{clearing}', '{number}', '{space}', {now}) ON CONFLICT DO NOTHING"""


class Filling:
    """What has been filled into one product's database so far."""

    def __init__(self, product: Product, site: Site) -> None:
        self._product = product
        self.accounts = self.rows = 0
        now = clock.now()
        kept = Reply(
            Result.APPROVED, order=PLACE, amount_fen=AMOUNT_FEN, balance_fen=12_345, settled_us=now.wall_us
        )
        head, _, tail = msgspec.msgpack.encode(kept).partition(PLACE.encode())
        self._words = {
            "account": FIRST_ACCOUNT, "order": FIRST_ORDER, "phone": FIRST_PHONE, "every": CLOSED_EVERY,
            "book": BOOK, "arrears": ARREARS, "clearing": CLEARING, "now": now.wall_us, "space": SPACE,
            "open": int(PhoneState.OPEN), "closed": int(PhoneState.CLOSED), "kind": int(Kind.RECHARGE),
            "result": int(Result.APPROVED), "code": int(Code.CREDIT), "amount": AMOUNT_FEN, "bank": BANK,
            "number": NUMBER, "date": business_date(now.wall_us, zone_of(site)),
            "head": head.hex(), "tail": tail.hex(),
        }  # fmt: skip

    def grow_accounts(self, total: int) -> None:
        """Let there be so many subscribers, from the first phone on."""
        self._grow(ACCOUNTS, self.accounts, total)
        self.accounts = self._product.subscribers = total
        self._settle()

    def grow_journal(self, total: int) -> None:
        """Let there be so many rows of history, of today, over all subscribers."""
        self._run(CLEARING_ACCOUNT)
        self._grow(HISTORY, self.rows, total)
        self.rows = total
        self._settle()

    def levels(self, index: str) -> int | None:
        """Return how many levels an index has below its root, or the deepest of its parts; None where that
        cannot be asked.
        """
        sql = f"""SELECT max((bt_metap(CAST(relid AS text))).level) FROM pg_partition_tree('{index}')
            WHERE isleaf"""  # noqa: S608
        try:
            self._product.sql("CREATE EXTENSION IF NOT EXISTS pageinspect")
            return int(self._product.sql(sql))
        except (RuntimeError, ValueError):
            return None

    def _grow(self, statements: str, done: int, total: int) -> None:
        for first in range(done, total, CHUNK):
            self._run(statements, first=first, last=min(first + CHUNK, total) - 1)

    def _run(self, statements: str, **more: int) -> None:
        words = {**self._words, "people": max(1, self.accounts), **more}
        self._product.sql("SET session_replication_role = replica;" + statements.format(**words))

    def _settle(self) -> None:
        """Let the planner know, and have the pages written before anything is measured."""
        for table in TABLES.split():
            self._product.sql(f"VACUUM ANALYZE {table}")
        self._product.sql("CHECKPOINT")
