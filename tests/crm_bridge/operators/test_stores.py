"""Operators, acts and chain in memory, on SQLite and on PostgreSQL: one test for all three."""

import threading
from contextlib import contextmanager
from typing import ClassVar

import pytest
import sqlalchemy
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from crm_bridge.database.store import open_engine
from crm_bridge.migrations.schema import migrate
from crm_bridge.operators.acts import WAITS_US, ActKind, Order
from crm_bridge.operators.memory import Memory
from crm_bridge.operators.office import Office
from crm_bridge.operators.passwords import Argon2
from crm_bridge.operators.people import OperatorsError
from crm_bridge.operators.store import Store, prove, read_acts, read_entries, read_operators
from qianzhi.runtime.urls import with_user

NAMES = ("wang", "li", "zhao", "sun")
SUBJECTS = ("a/20261117/1", "a/20261117/2")
KINDS = (ActKind.VOID, ActKind.DAY_CLOSE, ActKind.OPERATOR_RETIRE)
PASSWORD = "a password for everybody 1"
OTHER = "another one for everybody 2"


class Plain:
    """Hashes that cost nothing."""

    def make(self, password):
        return f"hash of {password}"

    def code(self):
        return "half"

    def same(self, password_hash, password):
        return password_hash == f"hash of {password}"


def emptied(url):
    """Take everything out again: the triggers first, which stand against just that."""
    engine = open_engine(url)
    with engine.begin() as connection:
        for table in ("operator_audit", "operator_acts", "operators"):
            if connection.dialect.name == "postgresql":
                connection.execute(sqlalchemy.text(f"ALTER TABLE {table} DISABLE TRIGGER ALL"))
            else:
                sql = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :table"
                triggers = connection.execute(sqlalchemy.text(sql), {"table": table}).all()
                for name, _ in triggers:
                    connection.execute(sqlalchemy.text(f"DROP TRIGGER {name}"))
            connection.execute(sqlalchemy.text(f"DELETE FROM {table}"))  # noqa: S608
            if connection.dialect.name == "postgresql":
                connection.execute(sqlalchemy.text(f"ALTER TABLE {table} ENABLE TRIGGER ALL"))
            else:
                for _, sql in triggers:
                    connection.exec_driver_sql(sql)
    engine.dispose()


@contextmanager
def office_on(url):
    books = Store(url)
    yield Office(books, Plain())
    books.close()


class Offices(RuleBasedStateMachine):
    """The same things asked of a memory and of databases: the same answers, the same chain."""

    urls: ClassVar[list[str]] = []

    def __init__(self):
        super().__init__()
        for url in self.urls:
            emptied(url)
        self.memory = Memory()
        self.stores = [Store(url) for url in self.urls]
        self.offices = [Office(books, Plain()) for books in (self.memory, *self.stores)]
        self.now_us = 1_000_000
        self.ask(lambda office: office.enlist("os:root", "", "wang", PASSWORD, self.now_us))
        self.ask(lambda office: office.enlist("wang", PASSWORD, "li", PASSWORD, self.now_us))

    def ask(self, call):
        self.now_us += 1
        answers = []
        for office in self.offices:
            try:
                answers.append(call(office))
            except OperatorsError as error:
                answers.append((error.what, error.advice))
        assert all(answer == answers[0] for answer in answers), answers

    @rule(by=st.sampled_from(NAMES), name=st.sampled_from(NAMES))
    def add(self, by, name):
        self.ask(lambda office: office.add(by, PASSWORD, name, self.now_us))

    @rule(
        maker=st.sampled_from(NAMES),
        kind=st.sampled_from(KINDS),
        subject=st.sampled_from((*SUBJECTS, *NAMES)),
    )
    def propose(self, maker, kind, subject):
        order = Order(kind, subject, {"key": subject, "什么": [1, None]}, "because 原因")
        self.ask(lambda office: office.propose(maker, PASSWORD, order, self.now_us))

    @rule(maker=st.sampled_from(NAMES), name=st.sampled_from(NAMES))
    def reset(self, maker, name):
        self.ask(lambda office: office.reset(maker, PASSWORD, name, self.now_us))

    @rule(name=st.sampled_from(NAMES), new=st.sampled_from((PASSWORD, OTHER)))
    def choose(self, name, new):
        self.ask(lambda office: office.change_password(name, "half-half", new, self.now_us))

    @rule(who=st.sampled_from(NAMES), password=st.sampled_from((PASSWORD, OTHER)), back=st.integers(0, 3))
    def approve(self, who, password, back):
        number = len(self.memory.acts) - back
        self.ask(lambda office: office.admit(who, password, number, self.now_us))

    @rule(who=st.sampled_from(NAMES), back=st.integers(0, 3))
    def refuse(self, who, back):
        number = len(self.memory.acts) - back
        self.ask(lambda office: office.refuse(who, PASSWORD, number, "no", self.now_us))

    @rule(back=st.integers(0, 3), result=st.sampled_from(("approved", "spent")))
    def finish(self, back, result):
        number = len(self.memory.acts) - back
        self.ask(lambda office: office.finish("li", number, result, {"order": "Q1"}, self.now_us))

    @rule(note=st.sampled_from(("n1", "n2", "")))
    def note(self, note):
        self.ask(lambda office: office.note("os:root", "drained", {"daemon": "node1"}, self.now_us, note))

    @rule(part=st.sampled_from((1, 2)))
    def wait(self, part):
        self.now_us += WAITS_US // part

    @invariant()
    def all_agree(self):
        for books in self.stores:
            assert books.book() == self.memory.book()

    def teardown(self):
        for url, books in zip(self.urls, self.stores, strict=True):
            books.close()
            assert read_entries(url, 10_000) == self.memory.entries
            assert {act.id: act for act in read_acts(url, rows_max=10_000)} == self.memory.acts
            assert {one.name for one in read_operators(url)} == set(self.memory.operators)
            faults, head = prove(url)
            assert (faults, head) == ([], self.memory.book().head)


@pytest.fixture(scope="module")
def urls(tmp_path_factory, postgres):
    found = [f"sqlite:///{tmp_path_factory.mktemp('operators')}/core.db", postgres.new_database()]
    for url in found:
        migrate(url)
    return found


def test_memory_sqlite_and_postgresql_agree(urls):
    machine = type("BothOffices", (Offices,), {"urls": urls})
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=12, stateful_step_count=20, deadline=None, suppress_health_check=checks
        ),
    )


FORBIDDEN = [
    "UPDATE operator_audit SET who = 'zhao' WHERE number = 1",
    "DELETE FROM operator_audit WHERE number = 1",
    "DELETE FROM operator_acts",
    "DELETE FROM operators",
    "UPDATE operators SET name = 'sun' WHERE name = 'li'",
    "UPDATE operator_acts SET state = 1, checker = NULL, result = NULL WHERE id = 1",
    "UPDATE operator_acts SET maker = 'li' WHERE id = 2",
    "UPDATE operator_acts SET arguments = '{}' WHERE id = 2",
    "UPDATE operator_acts SET state = 2, checker = 'wang', decided_us = 1 WHERE id = 2",  # its maker
    "UPDATE operator_acts SET state = 3, result = 'approved' WHERE id = 2",  # without a checker
    """INSERT INTO operator_acts VALUES (9, 'void', 'k', '{}', '', 'li', 1, 9, 2, 'li', 1, NULL, '{}', 0)""",
    """INSERT INTO operator_acts VALUES (9, 'void', 'k', '{}', '', 'sun', 1, 9, 1, NULL, 0, NULL, '{}', 0)""",
    "INSERT INTO operator_acts SELECT 9, kind, subject, arguments, reason, maker, made_us, expires_us, state,"
    " checker, decided_us, result, detail, ended_us FROM operator_acts WHERE id = 2",  # it waits already
]


@pytest.fixture(params=[0, 1], ids=["sqlite", "postgresql"])
def url(request, urls):
    found = urls[request.param]
    emptied(found)
    with office_on(found) as office:
        office.enlist("os:root", "", "wang", PASSWORD, 1)
        office.enlist("wang", PASSWORD, "li", PASSWORD, 2)
        for number, key in ((1, "a/1/1"), (2, "a/1/2")):
            office.propose("wang", PASSWORD, Order(ActKind.VOID, key, {"key": key}, ""), 2 + number)
        office.approve("li", PASSWORD, 1, 5)
        office.finish("li", 1, "approved", {}, 6)
    return found


@pytest.mark.parametrize("sql", FORBIDDEN)
def test_the_database_itself_refuses_what_no_program_may_do(url, sql):
    engine = open_engine(url)
    with pytest.raises(sqlalchemy.exc.DBAPIError) as refused, engine.begin() as connection:
        connection.execute(sqlalchemy.text(sql))
    engine.dispose()
    assert "syntax" not in str(refused.value)
    assert prove(url)[0] == []


def test_a_password_put_in_beside_the_programs_is_found(url):
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE operators SET password = 'hash of x' WHERE name = 'li'"))
    engine.dispose()
    assert [fault.what.split(" is ")[0] for fault in prove(url)[0]] == ["operator li"]


def test_a_bridge_adds_to_the_chain_and_an_auditor_proves_it_without_a_hash(urls, postgres):
    emptied(urls[1])
    for role in ("qianzhi_app", "qianzhi_auditor"):
        postgres.psql(
            f"DO $$ BEGIN CREATE ROLE {role} LOGIN PASSWORD 'p'; EXCEPTION WHEN duplicate_object THEN END $$"
        )
        postgres.psql(f"ALTER ROLE {role} LOGIN PASSWORD 'p'")
    own = postgres.new_database()
    migrate(own)
    app, auditor = (with_user(own, f"qianzhi_{role}", "p") for role in ("app", "auditor"))
    with office_on(app) as office:
        office.enlist("os:root", "", "wang", PASSWORD, 1)
        office.enlist("wang", PASSWORD, "li", PASSWORD, 2)
        office.propose("wang", PASSWORD, Order(ActKind.VOID, "a/1/2", {}, ""), 3)
        office.approve("li", PASSWORD, 1, 4)
    assert prove(auditor) == prove(app)
    assert prove(auditor)[0] == []
    assert [one.name for one in read_operators(auditor)] == ["li", "wang"]
    for url, sql in (
        (app, "UPDATE operator_audit SET who = 'x'"),
        (app, "TRUNCATE operator_audit"),
        (app, "UPDATE operator_acts SET maker = 'x'"),
        (auditor, "SELECT password FROM operators"),
        (auditor, "INSERT INTO operator_audit SELECT * FROM operator_audit"),
    ):
        engine = open_engine(url)
        with (
            pytest.raises(sqlalchemy.exc.ProgrammingError, match="permission denied"),
            engine.begin() as opened,
        ):
            opened.execute(sqlalchemy.text(sql))
        engine.dispose()


def test_two_bridges_take_turns_and_the_chain_stays_one(urls):
    url = urls[1]
    emptied(url)

    def record(name):
        with office_on(url) as office:
            for number in range(20):
                office.note(name, "drained", {}, number, f"note-{number}")
                office.note(name, "undrained", {"number": number}, number)

    threads = [threading.Thread(target=record, args=(name,)) for name in ("bridge1", "bridge2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = read_entries(url, 1_000)
    assert prove(url)[0] == []
    assert len(entries) == 60  # twenty notes came in once, whoever was first; forty things happened
    assert len({entry.note for entry in entries}) == 21


def test_passwords_are_hashed_by_argon2id_with_the_sizes_of_owasp():
    hasher = Argon2()
    made = hasher.make(PASSWORD)
    assert made.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert hasher.make(PASSWORD) != made
    assert hasher.same(made, PASSWORD)
    assert not hasher.same(made, PASSWORD + " ")
    assert not hasher.same("no hash at all", PASSWORD)
