"""Fences and breaks in the core's database: locked, loaded and written with the journal's rows.

Who takes a new key of a serial space shares the lock of its fence with all others who do, until the end of
the transaction; who raises the fence has it alone.  So no transaction still takes an original of a date whose
query was told "not found", and no break is opened beside the close that it forbids.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

from sqlalchemy import Connection, TextClause, text

from crm_bridge.database.store import fetch
from crm_bridge.journal_breaks import Break, BreakState
from crm_bridge.journal_decide import Changes
from crm_bridge.journal_fences import Due, Fence
from qianzhi.domain.requests import Key
from qianzhi.ledger.store import Ask, inserting, listed, typed, unnested, writing
from qianzhi.ledger.store import Connection as Speaks


class Statements(NamedTuple):
    """One database's dialect of what is asked here."""

    load_fences: TextClause
    add_fences: TextClause
    load_breaks: TextClause
    open_breaks: TextClause
    add_breaks: TextClause
    change_breaks: TextClause
    load_due: TextClause
    # None where a writing transaction has the whole database to itself.
    hold_fences: TextClause | None = None


_FENCE = typed("closed_through closed_us", "space by_whom")
_NUMBERS = "business_date state amount_fen suspense_fen noted_us opened_us changed_us changes"
_TYPES = typed(_NUMBERS, "space serial kind bank bank_number part")
_BREAK = {name: _TYPES[name] for name in Break._fields}
_COLUMNS = ", ".join(_BREAK)
_OF_B = ", ".join(f"b.{name}" for name in _BREAK)
_CHANGING = [name for name in _BREAK if name not in ("space", "business_date", "serial")]
# What was closed for all spaces before each had a fence of its own stays closed for all.
_FENCES = """SELECT w.{value}, coalesce((SELECT max(f.closed_through) FROM journal_fences f
    WHERE f.space = w.{value}), 0), (SELECT closed_through FROM journal_fence) FROM {spaces} w"""
# From space to space by the key's own index: a journal of millions of rows costs a few looks.
_DUE = text(
    """WITH RECURSIVE s (space) AS (SELECT min(space) FROM journal UNION ALL
    SELECT (SELECT min(j.space) FROM journal j WHERE j.space > s.space) FROM s WHERE s.space IS NOT NULL)
    SELECT s.space, (SELECT j.business_date FROM journal j WHERE j.space = s.space
    AND j.business_date > (SELECT closed_through FROM journal_fence)
    AND j.business_date > coalesce((SELECT max(f.closed_through) FROM journal_fences f
    WHERE f.space = s.space), 0) ORDER BY j.business_date LIMIT 1)
    FROM s WHERE s.space IS NOT NULL"""
)

STATEMENTS = {
    "sqlite": Statements(
        load_fences=text(_FENCES.format(value="value", spaces="json_each(:spaces)")),
        add_fences=text(
            """INSERT INTO journal_fences (space, closed_through, closed_us, by_whom)
            VALUES (:space, :closed_through, :closed_us, :by_whom) ON CONFLICT DO NOTHING"""
        ),
        load_breaks=text(
            f"""SELECT {_OF_B} FROM json_each(:keys) w CROSS JOIN journal_breaks b ON b.space = w.value ->> 0
            AND b.business_date = w.value ->> 1 AND b.serial = w.value ->> 2"""  # noqa: S608
        ),
        open_breaks=text(
            f"""SELECT {_OF_B} FROM json_each(:closes) w CROSS JOIN journal_breaks b
            ON b.space = w.value ->> 0 AND b.business_date <= w.value ->> 1
            AND b.business_date > w.value ->> 2 WHERE b.state = 1"""  # noqa: S608
        ),
        add_breaks=text(
            f"""INSERT INTO journal_breaks ({_COLUMNS}) VALUES ({", ".join(f":{name}" for name in _BREAK)})
            ON CONFLICT (space, business_date, serial) DO NOTHING"""  # noqa: S608
        ),
        change_breaks=text(
            f"""UPDATE journal_breaks SET {", ".join(f"{name} = :{name}" for name in _CHANGING)}
            WHERE space = :space AND business_date = :business_date AND serial = :serial
            AND changes = :changes - 1"""  # noqa: S608
        ),
        load_due=_DUE,
    ),
    "postgresql": Statements(
        load_fences=text(
            _FENCES.format(value="space", spaces="unnest(CAST(:spaces AS text[]))").replace(
                ") w", ") w (space)"
            )
        ),
        add_fences=text(inserting("journal_fences", _FENCE) + " ON CONFLICT DO NOTHING"),
        load_breaks=text(
            f"""SELECT {_OF_B} FROM unnest(CAST(:keys0 AS text[]), CAST(:keys1 AS bigint[]),
            CAST(:keys2 AS text[])) w (space, business_date, serial) CROSS JOIN LATERAL (SELECT * FROM
            journal_breaks a WHERE a.space = w.space AND a.business_date = w.business_date AND
            a.serial = w.serial LIMIT 1) b"""  # noqa: S608
        ),
        open_breaks=text(
            f"""SELECT {_OF_B} FROM unnest(CAST(:closes0 AS text[]), CAST(:closes1 AS bigint[]),
            CAST(:closes2 AS bigint[])) w (space, until, after) JOIN journal_breaks b ON b.space = w.space
            AND b.business_date <= w.until AND b.business_date > w.after WHERE b.state = 1"""  # noqa: S608
        ),
        add_breaks=text(
            inserting("journal_breaks", _BREAK) + " ON CONFLICT (space, business_date, serial) DO NOTHING"
        ),
        change_breaks=text(
            f"""UPDATE journal_breaks b SET {", ".join(f"{name} = w.{name}" for name in _CHANGING)}
            FROM {unnested(_BREAK)} w ({_COLUMNS}) WHERE b.space = w.space AND
            b.business_date = w.business_date AND b.serial = w.serial AND b.changes = w.changes - 1
            """  # noqa: S608
        ),
        load_due=_DUE,
        # In one order for all, whoever wants them alone or not: nobody waits in a circle.
        hold_fences=text(
            """SELECT CASE WHEN w.alone = 1 THEN pg_advisory_xact_lock(2, CAST(w.hash AS integer))
            ELSE pg_advisory_xact_lock_shared(2, CAST(w.hash AS integer)) END
            FROM unnest(CAST(:hashes0 AS bigint[]), CAST(:hashes1 AS bigint[])) w (hash, alone)"""
        ),
    ),
}


def holding_fences(
    connection: Speaks, spaces: Sequence[str], closes: Sequence[tuple[str, int]]
) -> dict[str, Ask | None]:
    """Ask through which date each space is closed, as `fences`; that stands until the transaction ends.

    The fences of `closes` are held alone, because they may rise.
    """
    if not spaces:
        return {}
    sql, held = STATEMENTS[connection.dialect.name], None
    if sql.hold_fences is not None:
        alone = {_hash(space) for space, _ in closes}
        hashes = [(one, int(one in alone)) for one in sorted({_hash(space) for space in spaces})]
        held = Ask(sql.hold_fences, listed(connection, "hashes", hashes, 2), _nothing)
    return {
        "fences held": held,
        "fences": Ask(sql.load_fences, listed(connection, "spaces", spaces), _closed_through),
    }


def load_breaks(
    connection: Speaks,
    keys: Iterable[Key],
    closes: Sequence[tuple[str, int]],
    fences: Mapping[str, int],
) -> list[Break]:
    """Return the breaks of these keys, and all open ones of dates to be closed."""
    sql, found = STATEMENTS[connection.dialect.name], dict[Key, Break]()
    wanted = sorted(keys)
    if wanted:
        rows = connection.execute(sql.load_breaks, listed(connection, "keys", wanted, 3))
        found = {row.key: row for row in map(break_of, rows)}
    if closes:
        spans = [(space, date, fences[space]) for space, date in closes]
        rows = connection.execute(sql.open_breaks, listed(connection, "closes", spans, 3))
        found |= {row.key: row for row in map(break_of, rows)}
    return list(found.values())


def load_due(connection: Speaks, through: int) -> tuple[Due, ...]:
    """Return the oldest date up to `through` of each space that has rows and is not closed."""
    rows = connection.execute(STATEMENTS[connection.dialect.name].load_due)
    return tuple(sorted(Due(row[0], row[1]) for row in rows if row[1] is not None and row[1] <= through))


def saving_house(connection: Speaks, changes: Changes) -> dict[str, Ask | None]:
    """Ask for fences and breaks to be written; `house_saved` says whether that went well."""
    sql = STATEMENTS[connection.dialect.name]
    fences = [(one.closed_through, one.closed_us, one.space, one.by) for one in changes.fences]
    new, changed = list(map(_columns, changes.breaks)), list(map(_columns, changes.changed_breaks))
    return {
        "fences": writing(connection, sql.add_fences, tuple(_FENCE), fences),
        "breaks": writing(connection, sql.add_breaks, Break._fields, new),
        "changed breaks": writing(connection, sql.change_breaks, Break._fields, changed),
    }


def house_saved(changes: Changes, saved: Mapping[str, Any]) -> bool:
    """Say whether every break was as it was loaded; otherwise decide again."""
    new, changed = saved.get("breaks", 0), saved.get("changed breaks", 0)
    return bool(new == len(changes.breaks) and changed == len(changes.changed_breaks))


def find_fences(connection: Connection, space: str) -> list[Fence]:
    """Return every rise of the fences, newest first; of one space where it is named."""
    sql = """SELECT space, closed_through, closed_us, by_whom FROM journal_fences
        WHERE :space = '' OR space = :space ORDER BY closed_through DESC, space"""
    return [Fence(*row) for row in fetch(connection, sql, space=space)]


def closed_for_all(connection: Connection) -> int:
    """Return through which date all spaces were closed before each had a fence of its own."""
    return int(fetch(connection, "SELECT closed_through FROM journal_fence")[0][0])


def find_breaks(connection: Connection, space: str, date: int, kind: str, *, open_only: bool) -> list[Break]:
    """Return breaks, oldest first; an empty space or kind and date 0 stand for all."""
    sql = f"""SELECT {_COLUMNS} FROM journal_breaks WHERE (:space = '' OR space = :space)
        AND (:date = 0 OR business_date = :date) AND (:kind = '' OR kind = :kind)
        AND (state = 1 OR :every = 1) ORDER BY opened_us, space, business_date, serial"""  # noqa: S608
    given = {"space": space, "date": date, "kind": kind, "every": int(not open_only)}
    return [break_of(row) for row in fetch(connection, sql, **given)]


def break_of(row: Any) -> Break:
    """Return a database row of all columns as a break."""
    values = dict(zip(Break._fields, row, strict=True))
    return Break(**values | {"state": BreakState(values["state"])})


def _columns(row: Break) -> Break:
    return row._replace(state=int(row.state))  # type: ignore[arg-type]


def _closed_through(rows: Iterable[Any]) -> dict[str, int]:
    return {row[0]: max(int(row[1]), int(row[2])) for row in rows}


def _nothing(rows: object) -> None:
    """A lock has no value."""


def _hash(space: str) -> int:
    return int.from_bytes(blake2b(space.encode(), digest_size=4).digest(), "big", signed=True)
