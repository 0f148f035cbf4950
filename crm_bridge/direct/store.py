"""A writer's session with PostgreSQL: prepared statements, several of them in one round trip.

The same statements as everywhere, with the same parameters, over the driver's own layer on libpq
(psycopg.pq): a list of them is written at once, all answers are read at once, a parameter is a column in
binary form.  A statement costs the bridge a twentieth of what it does through the usual layers, and a list
of recharges has four round trips instead of seventeen (docs/adr/0018).  Never used for anything but a
writer's transactions.
"""

import re
import select
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple

import psycopg
from psycopg import pq
from psycopg.errors import error_from_result
from sqlalchemy import TextClause, text

from crm_bridge.direct.columns import Encoder, column, encoder

# Parameters as the statements write them, most of them cast to their type.
_PARAMETER = re.compile(r"CAST\(:(\w+)\s+AS\s+(\w+)(\[\])?\)|(?<![:\w]):(\w+)")
_GOOD = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)
PLANS_MAX = 200  # statements of a connection, before it is made anew
_BEGIN, _COMMIT, _ROLLBACK = text("BEGIN"), text("COMMIT"), text("ROLLBACK")

Asked = tuple[TextClause, Mapping[str, Any]]


class _Plan(NamedTuple):
    """A statement as the server knows it: name, text with numbered parameters, and how these travel."""

    name: bytes
    sql: bytes
    parameters: tuple[tuple[str, Encoder | None], ...]
    formats: tuple[int, ...]

    def encode(self, given: Mapping[str, Any]) -> list[bytes | None]:
        """Return the parameters as they travel."""
        return [
            str(given[name]).encode() if encode is None else encode(given[name])
            for name, encode in self.parameters
        ]


class Rows:
    """What a statement brought, in the form in which the usual layer gives it."""

    def __init__(self, result: pq.abc.PGresult) -> None:
        self._result = result

    @property
    def rowcount(self) -> int:
        """How many rows were found, written or changed."""
        return self._result.command_tuples or 0

    def all(self) -> list[tuple[Any, ...]]:
        """Return all rows."""
        result = self._result
        numbers, get = range(result.ntuples), result.get_value
        if not numbers:
            return []
        columns = [
            column(result.ftype(at), [get(number, at) for number in numbers]) for at in range(result.nfields)
        ]
        return list(zip(*columns, strict=True))

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self.all())

    def scalars(self) -> SimpleNamespace:
        """Return the first column alone, by `all`."""
        return SimpleNamespace(all=lambda: [row[0] for row in self.all()])

    def scalar_one(self) -> Any:
        """Return the one value of the one row."""
        ((value,),) = self.all()
        return value


class Session:
    """One connection, made when it is first wanted and again after it broke; one thread at a time.

    While a transaction is open it stands for its connection: `execute` and `together`.
    """

    dialect = SimpleNamespace(name="postgresql")

    def __init__(self, connect: Callable[[], "psycopg.Connection[Any]"]) -> None:
        """`connect` opens a connection; raises psycopg.OperationalError."""
        self._connect = connect
        self.driver_connection: psycopg.Connection[Any] | None = None
        self._plans: dict[str, _Plan] = {}
        self._prepared: set[bytes] = set()
        self._open = False
        self._poll = select.poll()

    @contextmanager
    def transaction(self) -> Iterator["Session"]:
        """Open a transaction, with its first statement; it is rolled back unless it was committed."""
        if self.driver_connection is None:
            self._begin()
        try:
            yield self
        finally:
            self._end()

    def execute(self, statement: TextClause, given: Mapping[str, Any] = {}) -> Rows:
        """Carry out one statement; raises psycopg.Error."""
        return self.together([(statement, given)])[0]

    def together(self, asked: Sequence[Asked]) -> list[Rows]:
        """Carry out statements one after the other in one round trip; raises the psycopg.Error of the first
        that fails, after which none of the others was carried out.
        """
        opened = self._open
        self._open = True  # what fails on the way has to be rolled back too
        results = self._exchange(asked if opened else [(_BEGIN, {}), *asked])
        return results if opened else results[1:]

    def commit(self) -> None:
        """Make it durable; raises psycopg.Error when that failed or cannot be said."""
        if not self._open:
            return
        (done,) = self._exchange([(_COMMIT, {})])
        self._open = False
        if done._result.command_status != b"COMMIT":
            raise psycopg.errors.InFailedSqlTransaction("the transaction had failed before")

    def invalidate(self) -> None:
        """Let the connection go: what is open on it is not known."""
        connection, self.driver_connection = self.driver_connection, None
        self._open = False
        if connection is not None:
            self._poll.unregister(self._socket)
            connection.close()

    close = invalidate

    def __del__(self) -> None:
        self.invalidate()

    def _begin(self) -> None:
        connection = self._connect()
        connection.autocommit = True  # transactions are opened here
        connection.pgconn.enter_pipeline_mode()
        self._socket = connection.pgconn.socket
        self._poll.register(self._socket, select.POLLIN)
        self._prepared.clear()
        self.driver_connection = connection

    def _end(self) -> None:
        if len(self._plans) > PLANS_MAX:  # a new day's dates stand in the text of some statements
            self.invalidate()
            self._plans.clear()
        connection = self.driver_connection
        if connection is not None and connection.pgconn.status != pq.ConnStatus.OK:
            self.invalidate()
        if not self._open:
            return
        try:
            self._exchange([(_ROLLBACK, {})])
            self._open = False
        except psycopg.Error:
            self.invalidate()

    def _exchange(self, asked: Sequence[Asked]) -> list[Rows]:
        if self.driver_connection is None:
            raise psycopg.OperationalError("the connection is closed")
        server = self.driver_connection.pgconn
        calls = [(plan := self._plan(statement), plan.encode(given)) for statement, given in asked]
        wanted: list[bytes] = []  # of each answer: which statement it says to be prepared, none for its rows
        for plan, parameters in calls:
            if plan.name not in self._prepared and plan.name not in wanted:
                server.send_prepare(plan.name, plan.sql)
                wanted.append(plan.name)
            server.send_query_prepared(plan.name, parameters, plan.formats, result_format=1)
            wanted.append(b"")
        server.pipeline_sync()
        results, failure = self._read(server)
        self._prepared.update(filter(None, wanted[: len(results)]))
        if failure is not None:
            raise failure
        return [Rows(result) for result, prepares in zip(results, wanted, strict=True) if not prepares]

    def _read(self, server: pq.abc.PGconn) -> tuple[list[pq.abc.PGresult], psycopg.Error | None]:
        """Return the answers up to the first failure, and that."""
        self._flush(server)
        results: list[pq.abc.PGresult] = []
        failure: psycopg.Error | None = None
        while True:
            while server.is_busy():
                self._poll.poll()
                server.consume_input()
            result = server.get_result()
            if result is None:
                if server.status != pq.ConnStatus.OK:
                    raise failure or psycopg.OperationalError(server.get_error_message())
            elif result.status == pq.ExecStatus.PIPELINE_SYNC:
                break
            elif result.status in _GOOD:
                results.append(result)
            elif failure is None and result.status != pq.ExecStatus.PIPELINE_ABORTED:
                failure = error_from_result(result)
        return results, failure

    def _flush(self, server: pq.abc.PGconn) -> None:
        """Write all, and read meanwhile: a server that cannot get rid of its answers reads no more."""
        while server.flush():
            self._poll.modify(self._socket, select.POLLIN | select.POLLOUT)
            self._poll.poll()
            self._poll.modify(self._socket, select.POLLIN)
            server.consume_input()

    def _plan(self, statement: TextClause) -> _Plan:
        plan = self._plans.get(statement.text)
        if plan is None:
            plan = self._plans[statement.text] = _planned(statement.text, len(self._plans))
        return plan


def _planned(sql: str, number: int) -> _Plan:
    places: dict[str, int] = {}
    encoders: dict[str, Encoder | None] = {}

    def place(found: re.Match[str]) -> str:
        cast, kind, array, plain = found.groups()
        name = cast or plain
        places.setdefault(name, len(places) + 1)
        known = encoder(kind, array=bool(array)) if cast else None
        encoders[name] = encoders.get(name) or known
        return f"CAST(${places[name]} AS {kind}{array or ''})" if cast else f"${places[name]}"

    numbered = _PARAMETER.sub(place, sql)
    formats = tuple(int(one is not None) for one in encoders.values())
    return _Plan(b"q%d" % number, numbered.encode(), tuple(encoders.items()), formats)
