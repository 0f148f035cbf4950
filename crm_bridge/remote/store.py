"""The journal of a remote core: its rows, and the claims that are written before a call and closed after it.

A key is claimed by inserting its row here, in the transaction that settles it or that intends a call: of two
bridges that meet on a key one finds the row taken, and looks again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, TextClause, text
from sqlalchemy.exc import DBAPIError

from crm_bridge.database.store import commit, open_engine, reading, translated
from crm_bridge.gateway_errors import StoreError
from crm_bridge.journal import Row
from crm_bridge.journal_breaks import seats
from crm_bridge.journal_decide import Changes as JournalChanges
from crm_bridge.journal_decide import Kept
from crm_bridge.remote.claims import Claim, Claims
from crm_bridge.store import Changes, Transaction, Wanted, load_rows
from qianzhi.billing.desk import Changes as BillingChanges
from qianzhi.domain.requests import Key, Request
from qianzhi.ledger.entries import Changes as LedgerChanges
from qianzhi.ledger.store import inserting, listed, typed, unnested, write
from qianzhi.saf.rows import Entry
from qianzhi.saf.store import NEW_ENTRY, row_of

_REQUEST = msgspec.msgpack.Decoder(Request)
_NEW_ENTRY = text(NEW_ENTRY.replace("{s}", ""))


class Loaded(NamedTuple):
    """What stands about the keys of a list: in the journal, and as open claims."""

    kept: Kept
    claims: list[Claim]

    @property
    def rows(self) -> list[Row]:
        """The journal's rows."""
        return list(self.kept.rows)


class _Statements(NamedTuple):
    load: TextClause
    count_open: TextClause
    add: TextClause
    reopen: TextClause
    close: TextClause


# A claim that is open anew is nobody's promise yet.
_AGAIN = """ON CONFLICT (space, business_date, serial) DO UPDATE SET request = excluded.request, part =
    excluded.part, since_us = excluded.since_us, entry = NULL WHERE journal_claims.request IS NULL"""
_PROMISE = text(
    """UPDATE journal_claims SET entry = :entry WHERE space = :space AND business_date = :business_date AND
    serial = :serial AND request IS NOT NULL AND since_us = :since_us AND entry IS NULL"""
)
_SPACES = text(
    """WITH RECURSIVE spaces (space) AS (SELECT min(space) FROM journal_claims UNION ALL SELECT (SELECT
    min(c.space) FROM journal_claims c WHERE c.space > s.space) FROM spaces s WHERE s.space IS NOT NULL)
    SELECT space FROM spaces WHERE space IS NOT NULL"""
)
_PRUNE = text(
    """DELETE FROM journal_claims WHERE space = :space AND business_date < :before AND request IS NULL AND
    since_us < :before_us AND serial IN (SELECT serial FROM journal_claims WHERE space = :space AND
    business_date < :before AND request IS NULL AND since_us < :before_us ORDER BY business_date, serial
    LIMIT :claims_max)"""
)
_KEY = typed("business_date", "space serial")
_ROW = _KEY | {"request": "bytea", "part": "text", "since_us": "bigint"}
_COLUMNS = ", ".join(_ROW)
_SAME = "journal_claims.space = w.space AND journal_claims.business_date = w.business_date"
_STATEMENTS = {
    "sqlite": _Statements(
        load=text(
            """SELECT c.request, c.part, c.since_us FROM json_each(:keys) w CROSS JOIN journal_claims c
            ON c.space = w.value ->> 0 AND c.business_date = w.value ->> 1 AND c.serial = w.value ->> 2
            WHERE c.request IS NOT NULL"""
        ),
        count_open=text(
            """SELECT c.space, c.business_date, count(*) FROM json_each(:closes) w CROSS JOIN journal_claims c
            ON c.space = w.value ->> 0 AND c.business_date <= w.value ->> 1 WHERE c.request IS NOT NULL
            GROUP BY c.space, c.business_date"""
        ),
        add=text(
            f"""INSERT INTO journal_claims ({_COLUMNS}) VALUES ({", ".join(f":{name}" for name in _ROW)})
            ON CONFLICT (space, business_date, serial) DO NOTHING"""  # noqa: S608
        ),
        reopen=text(
            f"""INSERT INTO journal_claims ({_COLUMNS}) VALUES ({", ".join(f":{name}" for name in _ROW)})
            {_AGAIN}"""  # noqa: S608
        ),
        close=text(
            """UPDATE journal_claims SET request = NULL WHERE space = :space AND business_date =
            :business_date AND serial = :serial AND request IS NOT NULL"""
        ),
    ),
    "postgresql": _Statements(
        load=text(
            """SELECT c.request, c.part, c.since_us FROM unnest(CAST(:keys0 AS text[]),
            CAST(:keys1 AS bigint[]), CAST(:keys2 AS text[])) w (space, business_date, serial)
            CROSS JOIN LATERAL (SELECT * FROM journal_claims a WHERE a.space = w.space AND a.business_date =
            w.business_date AND a.serial = w.serial LIMIT 1) c WHERE c.request IS NOT NULL"""
        ),
        count_open=text(
            """SELECT c.space, c.business_date, count(*) FROM unnest(CAST(:closes0 AS text[]),
            CAST(:closes1 AS bigint[])) w (space, until) JOIN journal_claims c ON c.space = w.space AND
            c.business_date <= w.until WHERE c.request IS NOT NULL GROUP BY c.space, c.business_date"""
        ),
        add=text(
            inserting("journal_claims", _ROW) + " ON CONFLICT (space, business_date, serial) DO NOTHING"
        ),
        reopen=text(f"{inserting('journal_claims', _ROW)} {_AGAIN}"),
        close=text(
            f"""UPDATE journal_claims SET request = NULL FROM {unnested(_KEY)} w ({", ".join(_KEY)})
            WHERE {_SAME} AND journal_claims.serial = w.serial AND journal_claims.request IS NOT NULL
            AND journal_claims.serial = ANY (CAST(:serial AS text[]))"""  # noqa: S608
        ),
    ),
}


class ClaimStore:
    """The journal's database behind one user of it; a transaction at a time."""

    def __init__(self, url: str) -> None:
        self._engine = open_engine(url)

    @contextmanager
    def transaction(self) -> Iterator["ClaimTransaction"]:
        """Open a writing transaction, rolled back unless it was committed; raises as `store.Store` does."""
        with translated(), self._engine.connect() as connection:
            yield ClaimTransaction(connection)

    def rows(self, keys: Sequence[Key]) -> list[Row]:
        """Return the journal's rows of these keys, as far as they exist."""
        with translated(), self._engine.connect() as connection:
            return load_rows(connection, keys)

    def overdue(self, before_us: int, claims_max: int) -> list[Claim]:
        """Return the oldest open claims made before an instant that no entry delivers; raises StoreError,
        also where there is no journal yet.
        """
        sql = """SELECT request, part, since_us FROM journal_claims WHERE request IS NOT NULL
            AND since_us < :before_us AND entry IS NULL ORDER BY since_us LIMIT :claims_max"""
        given = {"before_us": before_us, "claims_max": claims_max}
        try:
            with translated(), self._engine.connect() as connection:
                return _claims(connection.execute(text(sql), given))
        except DBAPIError as error:
            raise StoreError("there is no journal yet") from error

    def prune(self, before: int, before_us: int, claims_max: int) -> int:
        """Delete claims of dates before one (YYYYMMDD), closed and not touched since an instant; at most so
        many of each space.  Return how many went.

        Their keys are kept no longer, so no request of their date is taken any more.  Raises as
        `transaction`.
        """
        given = {"before": before, "before_us": before_us, "claims_max": claims_max}
        gone = 0
        with translated(), self._engine.connect() as connection:
            for (space,) in connection.execute(_SPACES).fetchall():
                gone += connection.execute(_PRUNE, given | {"space": space}).rowcount
            if gone:
                commit(connection)
        return gone

    def close(self) -> None:
        """Let the database go."""
        self._engine.dispose()


class ClaimTransaction:
    """One transaction over rows and claims."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._books = Transaction(connection, "")
        self._sql = _STATEMENTS[connection.dialect.name]

    def load(self, wanted: Wanted) -> Loaded:
        """Load what a list names in the journal; nothing of it is in books of ours.

        Rows before claims, so that what was settled in between shows as a claim that is taken, and not as a
        key that nobody has seen.
        """
        found = self._books.load(_without_books(wanted), 0)
        claims: list[Claim] = []
        if wanted.keys:
            given = listed(self._connection, "keys", wanted.keys, 3)
            claims = _claims(self._connection.execute(self._sql.load, given))
        unsettled: dict[tuple[str, int], int] = {}
        if wanted.closes:
            given = listed(self._connection, "closes", wanted.closes, 2)
            rows = self._connection.execute(self._sql.count_open, given)
            unsettled = {(row[0], row[1]): int(row[2]) for row in rows}
        return Loaded(
            Kept(found.rows, found.totals, found.fences, found.breaks, found.due, unsettled), claims
        )

    def open_claims(self, keys: Iterable[Key]) -> list[Claim]:
        """Return the open claims on these keys."""
        given = listed(self._connection, "keys", sorted(set(keys)), 3)
        return _claims(self._connection.execute(self._sql.load, given))

    def promise(self, entries: Iterable[Entry], bridge: str) -> list[Entry]:
        """Store what is promised, as this bridge's rows, with the open claims that it delivers; return what
        was: not what another has promised or settled meanwhile.
        """
        kept = []
        for entry in sorted(entries, key=lambda entry: entry.request.key):
            marked = {"entry": entry.id, "since_us": entry.made_us, **_columns(entry.request.key)}
            if self._connection.execute(_PROMISE, marked).rowcount == 1:
                self._connection.execute(_NEW_ENTRY, row_of(entry, bridge))
                kept.append(entry)
        return kept

    def load_rows(self, keys: Iterable[Key]) -> list[Row]:
        """Return the journal's rows of these keys, as far as they exist."""
        return load_rows(self._connection, sorted(set(keys)))

    def save(self, changes: JournalChanges, claims: Claims, part: str, now_us: int) -> bool:
        """Write both; False says that somebody else had a key first: look again."""
        taken = [
            *(_row(key, None, part, now_us) for key in claims.settled),
            *(_row(request.key, request, part, now_us) for request in claims.credits),
        ]
        again = [_row(request.key, request, part, now_us) for request in claims.reversals]
        for statement, rows in ((self._sql.add, taken), (self._sql.reopen, again)):
            if write(self._connection, statement, sorted(rows, key=_key_of)) < len(rows):
                return False
        write(self._connection, self._sql.close, [_columns(key) for key in sorted(claims.closed)])
        return self._books.save(Changes(changes, BillingChanges(), LedgerChanges()), part)

    def commit(self) -> None:
        """Make it durable; raises CommitUnknownError when it cannot be said whether it is."""
        self._books.commit()


def _without_books(wanted: Wanted) -> Wanted:
    """Leave out what only a core of ours has: the remote one's work orders are none of our books'."""
    nothing: frozenset[Any] = frozenset()
    breaks = wanted.breaks.union(*map(seats, wanted.reversals))
    return wanted._replace(
        reversals=nothing, phones=nothing, bills=nothing, house=[], orders_max=0, breaks=breaks
    )


def open_claims(url: str) -> int:
    """Return how many keys' outcomes are not known now."""
    with reading(url) as connection:
        return int(
            connection.execute(
                text("SELECT count(*) FROM journal_claims WHERE request IS NOT NULL")
            ).scalar_one()
        )


def _claims(rows: Any) -> list[Claim]:
    return [Claim(_REQUEST.decode(bytes(row[0])), row[1], row[2]) for row in rows]


def _columns(key: Key) -> dict[str, Any]:
    return {"business_date": key.date, "space": key.space, "serial": key.serial}


def _row(key: Key, request: Request | None, part: str, now_us: int) -> dict[str, Any]:
    kept = None if request is None else msgspec.msgpack.encode(request)
    columns = {**_columns(key), "request": kept, "part": part, "since_us": now_us}
    return {name: columns[name] for name in _ROW}


def _key_of(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["space"], row["business_date"], row["serial"]
