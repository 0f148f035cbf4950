"""A writer's session with PostgreSQL sends what the driver would, and what fails leaves no trace."""

import itertools

import psycopg
import pytest
from sqlalchemy import text

from crm_bridge.database.store import connect
from crm_bridge.direct.columns import bigints, byteas, texts
from crm_bridge.direct.store import Session

ECHO = text(
    """SELECT n, t, b FROM unnest(CAST(:numbers AS bigint[]), CAST(:texts AS text[]), CAST(:bytes AS
    bytea[])) w (n, t, b)"""
)
ONE = text("SELECT CAST(:number AS bigint), CAST(:text AS text), :plain = '7', true, CAST(3 AS smallint)")
ADD = text(
    "INSERT INTO kept (number) SELECT * FROM unnest(CAST(:numbers AS bigint[])) ON CONFLICT DO NOTHING"
)
COUNT = text("SELECT count(*) FROM kept")
FAIL = text("SELECT 1 / CAST(:by AS bigint)")


@pytest.fixture
def url(postgres):
    return postgres.new_database()


@pytest.fixture
def session(url):
    with psycopg.connect(url) as own:
        own.execute("CREATE TABLE kept (number bigint PRIMARY KEY)")
    made = Session(lambda: connect(url))
    yield made
    made.close()


def first(count, values):
    return list(itertools.islice(itertools.cycle(values), count))


def counted(url):
    with psycopg.connect(url) as own:
        return own.execute("SELECT count(*) FROM kept").fetchone()[0]


@pytest.mark.parametrize("count", [0, 1, 2, 500])
@pytest.mark.parametrize("nulls", [False, True])
def test_columns_arrive_as_they_were_given(session, count, nulls):
    numbers = first(count, [0, -1, 2**63 - 1, -(2**63), 10**12])
    words = first(count, ["", "a", "充值", "ü" * 2000, "'\"\\{},NULL", "é" * 511 + "x"])
    data = first(count, [b"", b"\0", b"\xff" * 1023, bytes(1024), b"\x80" * 3000])
    if nulls and count:
        numbers[0] = words[count // 2] = data[-1] = None
    with session.transaction():
        rows = session.execute(ECHO, {"numbers": numbers, "texts": words, "bytes": data}).all()
    assert rows == list(zip(numbers, words, data, strict=True))


def test_arrays_are_the_bytes_that_the_driver_makes(url):
    with psycopg.connect(url) as own:
        cursor = own.cursor(binary=True)
        for kind, encode, values in (
            ("bigint", bigints, [1, -1, None, 2**40]),
            ("text", texts, ["a", "", None, "冲正"]),
            ("bytea", byteas, [b"\0", b"", None]),
        ):
            for some in (values, values[:2], []):
                row = cursor.execute(f"SELECT array_send(CAST(%s AS {kind}[]))", [some]).fetchone()
                assert bytes(row[0]) == encode(some)


def test_single_values_of_every_kind(session):
    with session.transaction():
        rows = session.execute(ONE, {"number": None, "text": "x", "plain": 7}).all()
        assert rows == [(None, "x", True, True, 3)]
        assert session.execute(COUNT).scalar_one() == 0


def test_what_is_not_committed_is_gone(session, url):
    with session.transaction():
        added, found = session.together([(ADD, {"numbers": [1, 2]}), (COUNT, {})])
        assert (added.rowcount, found.scalar_one()) == (2, 2)
    assert counted(url) == 0
    with session.transaction():
        assert session.execute(ADD, {"numbers": [1, 2, 2]}).rowcount == 2
        session.commit()
    assert counted(url) == 2


def test_of_several_the_first_that_fails_is_named_and_none_after_it_is_carried_out(session, url):
    asked = [(ADD, {"numbers": [1]}), (FAIL, {"by": 0}), (ADD, {"numbers": [2]}), (FAIL, {"by": 1})]
    for _ in range(2):  # statements that were prepared on the way stay so, and the others are prepared later
        with pytest.raises(psycopg.errors.DivisionByZero), session.transaction():
            session.together(asked)
    assert counted(url) == 0
    with session.transaction():
        session.together([asked[0], asked[2], asked[3]])
        session.commit()
    assert counted(url) == 2


def test_a_transaction_that_failed_does_not_say_that_it_was_committed(session, url):
    with session.transaction():
        with pytest.raises(psycopg.errors.DivisionByZero):
            session.together([(ADD, {"numbers": [1]}), (FAIL, {"by": 0})])
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            session.commit()
    assert counted(url) == 0


def test_lists_longer_than_any_buffer_pass_both_ways_at_once(session):
    words = ["x" * 100_000] * 50
    asked = (ECHO, {"numbers": [1] * 50, "texts": words, "bytes": [b"y" * 100_000] * 50})
    with session.transaction():
        for rows in session.together([asked] * 4):
            assert len(rows.all()) == 50


def test_a_connection_that_is_gone_is_made_anew_for_the_next_transaction(session, url):
    with session.transaction():
        session.execute(ADD, {"numbers": [1]})
        pid = session.driver_connection.info.backend_pid
        with psycopg.connect(url, autocommit=True) as own:
            own.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        with pytest.raises(psycopg.OperationalError):
            session.execute(COUNT)
    assert session.driver_connection is None
    with session.transaction():
        assert session.execute(COUNT).scalar_one() == 0


def test_texts_that_no_database_takes_are_the_askers_fault(session, url):
    with pytest.raises(UnicodeEncodeError), session.transaction():
        session.execute(ECHO, {"numbers": [1], "texts": ["\ud800"], "bytes": [b""]})
    with pytest.raises(psycopg.DataError), session.transaction():
        session.execute(ECHO, {"numbers": [1], "texts": ["\0"], "bytes": [b""]})
    with session.transaction():
        assert session.execute(COUNT).scalar_one() == 0
