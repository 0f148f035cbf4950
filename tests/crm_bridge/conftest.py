import shutil
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest

from crm_bridge.audit import audit_books
from crm_bridge.database.store import fetch, reading
from crm_bridge.gateway import Gateway
from crm_bridge.journal_fences import latest
from crm_bridge.lookup import find_account, find_breaks, find_fences, totals
from crm_bridge.memory import Memory
from crm_bridge.migrations.schema import migrate
from crm_bridge.remote.client import Client, Remote
from crm_bridge.remote.contract import Call, What
from crm_bridge.remote.courier import Courier
from crm_bridge.remote.gateway import RemoteGateway
from crm_bridge.remote.settings import RemoteTable
from crm_bridge.seed import seed
from crm_bridge.settings import CoreSettings
from qianzhi.billing import store as billing_store
from qianzhi.billing.bills import quote
from qianzhi.domain.dates import business_date
from qianzhi.domain.requests import Kind, Request
from qianzhi.ledger import store as ledger_store
from qianzhi.runtime.now import Now
from qianzhi.runtime.urls import database_of, with_database
from simulators.core import make_core, serving
from simulators.core_books import Books

ZONE = ZoneInfo("Asia/Shanghai")
NOON = Now(5_000_000, 1_794_888_000_000_000)  # 2026-11-17 12:00:00 in Shanghai
TODAY = 20261117


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """A seeded database that tests copy; sixty subscribers on the day that all tests start with."""
    path = tmp_path_factory.mktemp("core") / "template.db"
    seed(f"sqlite:///{path}", 60, 1, now=NOON, zone=ZONE)
    return path


@pytest.fixture
def url(template, tmp_path):
    shutil.copy(template, tmp_path / "core.db")
    return f"sqlite:///{tmp_path}/core.db"


@pytest.fixture
def noon():
    return NOON


@pytest.fixture
def run(core):
    """Execute some requests at noon (or some hours later); return their replies."""

    def execute(*requests, hours=0):
        return core.execute(list(requests), NOON.after(int(hours * 3_600_000_000)))

    return execute


@pytest.fixture
def account(url):
    """Look a phone's account up, with today's late fees."""

    def find(phone):
        return find_account(
            url, phone, settings=CoreSettings(database=url, late_fee_per_day=30), now=NOON, zone=ZONE
        )

    return find


@pytest.fixture
def core_kind(request):
    """Where the money is moved: `remote` only where a test is parametrised so."""
    return getattr(request, "param", "embedded")


@pytest.fixture
def journal_url(core_kind, url, tmp_path):
    """Where the journal is: beside the books, or in a database of its own before a remote core."""
    return url if core_kind == "embedded" else f"sqlite:///{tmp_path}/journal.db"


@pytest.fixture
def core(core_kind, url, journal_url, request):
    settings = CoreSettings(database=url, late_fee_per_day=30)
    if core_kind == "remote":
        with request.getfixturevalue("remote_core")(settings, journal_url) as gateway:
            yield gateway
        return
    gateway = Gateway(url, settings, ZONE)
    yield gateway
    gateway.close()


@pytest.fixture
def remote_core(reactor_thread):
    """Serve a core over HTTP, and give a gateway to it; what is asked carries the time to the core."""
    return lambda settings, journal_url, **given: remote_pair(reactor_thread, settings, journal_url, **given)


@pytest.fixture
def ask():
    """Build a request with everything that a bank always sends."""

    def build(kind, serial, phone="", amount_fen=0, **more):
        given = {"space": "citic", "date": TODAY, "bank": "hz_citic", "bank_number": "00101"} | more
        return Request(kind=Kind(kind), serial=serial, phone=phone, amount_fen=amount_fen, **given)

    return build


class RemotePair:
    """A gateway with the simulated core that it asks; both live by the time of what is asked."""

    def __init__(self, reactor_thread, settings, journal_url, **given):
        self.at = NOON.after(-6 * 3_600_000_000)  # no clock that is set back later
        self.books = Books(settings, ZONE, lambda: self.at)
        self.core = make_core(self.books, "secret", given.pop("served_batch", 200))
        self.settings = replace(settings, database=journal_url)
        self.reactor = reactor_thread
        self.given = {"breaker_seconds": 600, "call_seconds": 20} | given
        self.client = self.gateway = None
        self.promised = []

    def connect(self, port):
        table = RemoteTable(url=f"http://127.0.0.1:{port}", **self.given)
        self.client = Client(Remote(table, "secret"), self.settings.keep_days, self.reactor.reactor)
        self.reactor.run(self.client.start)
        self.gateway = RemoteGateway(self.settings, ZONE, self.client, promised=self.promised.extend)
        self.client.ask(
            [Call(What.OWED, Request(Kind.OWED, "s", TODAY, "1", "", "", "1"))]
        )  # waits for the probe

    def execute(self, requests, now, again=None):
        self.at = now
        return self.gateway.execute(requests, now, again)

    def deliver(self):
        """Try all that was promised once, as the courier does; return what the lanes would hear."""
        courier = Courier(self.gateway, lambda alarms: None)
        delivered = courier.deliver([entry.request for entry in self.promised])
        return [one.result.name if one.result is not None else one for one in delivered]

    def __getattr__(self, name):
        return getattr(self.gateway, name)


@contextmanager
def remote_pair(reactor_thread, settings, journal_url, **given):
    migrate(journal_url)
    pair = RemotePair(reactor_thread, settings, journal_url, **given)
    with serving(pair.core) as port:
        pair.connect(port)
        yield pair
        reactor_thread.run(pair.client.stop)
        pair.gateway.close()
    pair.books.close()


class HeldCore:
    """A core on a database of its own; `close` returns what is wrong with its books."""

    def __init__(self, url, settings):
        self.url, self.settings = url, settings
        self.core = Gateway(url, settings, ZONE)

    def account(self, phone, now):
        return find_account(self.url, phone, settings=self.settings, now=now, zone=ZONE)

    def house(self):
        """Return through which date each space is closed, the open breaks, and what is in suspense."""
        fences = {}
        for one in find_fences(self.url):
            fences[one.space] = max(one.closed_through, fences.get(one.space, 0))
        breaks = {one.key: (one.kind, one.amount_fen) for one in find_breaks(self.url)}
        return fences, breaks, totals(self.url).balances_fen.get("suspense", 0)

    def close(self):
        self.core.close()
        return audit_books(self.url).violations


class HeldMemory:
    """A core in memory, with the population of a seeded database."""

    def __init__(self, seeded, settings):
        with reading(seeded) as connection:
            phones = [row[0] for row in fetch(connection, "SELECT phone FROM billing_phones")]
            people = billing_store.load_subscribers(connection, phones)
            bills = billing_store.load_bills(connection, [one.book for one in people], [])
            numbers = [row[0] for row in fetch(connection, "SELECT id FROM ledger_accounts")]
            self.before = ledger_store.load_accounts(connection, numbers)
        self.memory, self.settings = Memory(people, bills, self.before), settings
        self.core = Gateway(self.memory, settings, ZONE)

    def account(self, phone, now):
        memory, today = self.memory, business_date(now.wall_us, ZONE)
        one = memory.subscribers[phone]
        bills = sorted(memory.bills.values(), key=lambda bill: bill.month)
        mine = [bill for bill in bills if bill.book == one.book and bill.paid_by is None]
        return SimpleNamespace(
            state=one.state.name.lower(),
            balance_fen=memory.accounts[one.account].balance_fen,
            arrears_fen=-memory.accounts[one.arrears].balance_fen,
            bills=[quote(bill, today, self.settings.tariff) for bill in mine],
        )

    def house(self):
        memory = self.memory
        breaks = {one.key.text: (one.kind, one.amount_fen) for one in memory.breaks.values() if one.open}
        held = [number for name, number in memory.house.items() if name.kind == "suspense"]
        return latest(memory.fences), breaks, sum(memory.accounts[number].balance_fen for number in held)

    def close(self):
        sums = Counter({account.id: account.balance_fen for account in self.before})
        for one in self.memory.transfers:
            sums[one.debit] -= one.amount_fen
            sums[one.credit] += one.amount_fen
        found = {account.id: account.balance_fen for account in self.memory.accounts.values()}
        return [number for number in sums if sums[number] != found[number]]


@pytest.fixture
def cores(tmp_path, request):
    """Return a function that opens fresh cores of a kind, all with the same fifty people of a day."""

    def prepare(kind, settings, now):
        template, numbers = tmp_path / "template.db", iter(range(10_000))
        seed(f"sqlite:///{template}", 50, 220, settings=settings, now=now, zone=ZONE)

        def on_file():
            path = tmp_path / f"{next(numbers)}.db"
            shutil.copy(template, path)
            return HeldCore(f"sqlite:///{path}", settings)

        if kind == "sqlite":
            return on_file
        if kind == "memory":
            return lambda: HeldMemory(f"sqlite:///{template}", settings)
        postgres = request.getfixturevalue("postgres")
        seeded = postgres.new_database()
        migrate(seeded)
        seed(seeded, 50, 220, settings=settings, now=now, zone=ZONE)

        def on_server():
            name = f"{database_of(seeded)}_{next(numbers)}"
            postgres.psql(f'CREATE DATABASE "{name}" TEMPLATE "{database_of(seeded)}"')
            return HeldCore(with_database(seeded, name), settings)

        return on_server

    return prepare
