"""A bridge on a remote core as a process: killed between intent, call and result; and as a whole daemon."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from crm_bridge.audit import audit_books
from crm_bridge.migrations.schema import migrate
from crm_bridge.remote.gateway import RemoteGateway
from crm_bridge.remote.store import open_claims
from crm_bridge.settings import CoreSettings
from qianzhi.domain.requests import Kind
from qianzhi.domain.results import Result
from qianzhi.runtime.admin import AdminError
from qianzhi.runtime.admin import ask as ask_daemon
from simulators.core import serving
from simulators.core_faults import Fault
from simulators.free_ports import free_ports

ROOT = Path(__file__).parent.parent.parent
PHONE = "13800000007"

# Executes lists of (kind, serial) read from standard input, one a line, as a bridge's only writer would.
PROGRAM = """
import json, sys, threading
from zoneinfo import ZoneInfo
from qianzhi.runtime.daemon import install_reactor
reactor = install_reactor()
from crm_bridge.cores import Cores
from crm_bridge.remote.settings import RemoteTable
from crm_bridge.settings import CoreSettings
from qianzhi.domain.requests import Kind, Request
from qianzhi.link.site import site_of
from qianzhi.runtime.now import Now
journal, port, now = sys.argv[1], sys.argv[2], Now(0, int(sys.argv[3]))
place = {"host": "127.0.0.1", "port": 1, "metrics_port": 2}
site, problems = site_of(
    {
        "site": {"name": "test", "key": "test:" + bytes(range(32)).hex()},
        "groups": {"one": {"nodes": ["node1"]}},
        "nodes": {"node1": place | {"port": 3, "metrics_port": 4}},
        "bridges": {"bridge1": place},
        "banks": {},
        "routes": [{"numbers": ["*"], "kinds": ["*"], "to": "bridges"}],
        "core": {},
    },
    "site.toml",
)
assert site is not None, problems
remote = RemoteTable(url=f"http://127.0.0.1:{port}", token="test:secret", call_seconds=20)
cores = Cores(site, "bridge1", CoreSettings(database=journal, kind="remote", remote=remote), reactor)
threading.Thread(target=lambda: reactor.run(installSignalHandlers=False), daemon=True).start()
from twisted.internet.threads import blockingCallFromThread
(core,) = blockingCallFromThread(reactor, cores.open)
for line in sys.stdin:
    asked = [
        Request(Kind[kind], "citic", 20261117, serial, "hz_citic", "00101", *about)
        for kind, serial, *about in json.loads(line)
    ]
    print(json.dumps([reply.result.name for reply in core.execute(asked, now)]), flush=True)
"""


DAEMON = """
import sys
from pathlib import Path
from qianzhi.runtime.daemon import DaemonOptions, install_reactor, run
install_reactor()
from crm_bridge.daemon import BridgeDaemon
from crm_bridge.remote.settings import RemoteTable
from crm_bridge.settings import CoreSettings
from qianzhi.link.site import site_of
data, own, port = sys.argv[1], int(sys.argv[2]), sys.argv[3]
site, problems = site_of(
    {
        "site": {"name": "test", "data": data, "key": "test:" + bytes(range(32)).hex()},
        "groups": {"one": {"nodes": ["node1"]}},
        "nodes": {"node1": {"host": "127.0.0.1", "port": 3, "metrics_port": 4}},
        "bridges": {"bridge1": {"host": "127.0.0.1", "port": own, "metrics_port": 2}},
        "banks": {},
        "routes": [{"numbers": ["*"], "kinds": ["*"], "to": "bridges"}],
        "core": {},
    },
    "site.toml",
)
assert site is not None, problems
remote = RemoteTable(url=f"http://127.0.0.1:{port}", token="test:secret", breaker_seconds=1)
settings = CoreSettings(database=f"sqlite:///{data}/core.db", kind="remote", remote=remote)
sys.exit(run(BridgeDaemon(site, "bridge1", settings, bytes(range(32))), DaemonOptions(data=Path(data))))
"""


class Bridge:
    """The program, asked line by line."""

    def __init__(self, journal_url, port, wall_us, crash=""):
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, journal_url, str(port), str(wall_us)],
            cwd=ROOT,
            env=os.environ | {"QIANZHI_CRASH": crash},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, *asked):
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def end(self):
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()


@pytest.fixture
def pair(url, tmp_path, remote_core):
    journal_url = f"sqlite:///{tmp_path}/journal.db"
    settings = CoreSettings(database=url, late_fee_per_day=30)
    with remote_core(settings, journal_url, breaker_failures=100) as found:
        yield found


@pytest.mark.parametrize(
    ("point", "told"), [("remote.before_calls", "BLOCKED"), ("remote.after_calls", "APPROVED")]
)
def test_killed_between_intent_and_result_it_finds_out_and_credits_once(
    pair, account, noon, url, tmp_path, point, told
):
    journal_url = f"sqlite:///{tmp_path}/journal.db"
    credit = ("RECHARGE", "1", PHONE, 5_000)
    with serving(pair.core) as port:
        dying = Bridge(journal_url, port, noon.wall_us, point)
        assert dying.ask(credit) is None
        assert dying.process.wait(20) == -signal.SIGKILL
        dying.end()
        assert open_claims(journal_url) == 1
        living = Bridge(journal_url, port, noon.wall_us)
        assert living.ask(credit, ("STATUS", "2")) == [told, "NOT_FOUND"]
        assert living.ask(credit, ("RECHARGE", "3", PHONE, 700)) == [told, "APPROVED"]
        living.end()
    assert open_claims(journal_url) == 0
    assert account(PHONE).balance_fen == 700 + (5_000 if told == "APPROVED" else 0)
    assert audit_books(url).violations == []


def test_a_daemon_says_how_its_core_is_and_finds_it_again(pair, tmp_path):
    """Down at start, there, and away again: never a crash, always a state."""
    own, port = free_ports(2)
    data = tmp_path / "data"
    daemon = subprocess.Popen(
        [sys.executable, "-c", DAEMON, str(data), str(own), str(port)], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    try:
        core = said(data, lambda core: core["state"] == "open")
        assert (core["reason"], core["unknown"]) == ("no_connection", 0)
        with serving(pair.core, port=port):
            assert said(data, lambda core: core["state"] == "closed")["reason"] == ""
    finally:
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(30) == 0


def said(data, condition):
    """Ask the daemon until its core is so; return what it says."""
    for _ in range(600):
        try:
            core = ask_daemon(data / "run" / "bridge1.sock", "status")["core"]
        except AdminError:
            core = None
        if core is not None and condition(core):
            return core
        threading.Event().wait(0.05)
    raise AssertionError(core)


def test_two_bridges_on_one_journal_and_one_core_credit_every_key_once(
    pair, ask, noon, url, account, postgres
):
    """The same lists through two gateways at once on PostgreSQL, with answers lost: one result per key."""
    journal_url = postgres.new_database()
    migrate(journal_url)
    gateways = [
        RemoteGateway(CoreSettings(database=journal_url), pair.gateway._zone, pair.client, f"bridge{n}", n)
        for n in (1, 2)
    ]
    lists = [[ask(Kind.RECHARGE, f"{n}-{i}", f"138000000{i + 10}", 100) for i in range(10)] for n in range(6)]
    pair.at = noon
    pair.core.arm(Fault("answer_lost"), 3)
    told = {1: [], 2: []}

    def work(number):
        for requests in lists:
            told[number].append(execute(gateways[number - 1], requests, noon))

    threads = [threading.Thread(target=work, args=(number,)) for number in told]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [len(one) for one in told.values()] == [6, 6]
    # Each key came to one thing, and both bridges know it.
    last = [[execute(gateway, requests, noon) for requests in lists] for gateway in gateways]
    words = [[[(r.result, r.order) for r in replies] for replies in one] for one in last]
    assert words[0] == words[1]
    assert open_claims(journal_url) == 0
    approved = sum(r.result is Result.APPROVED for replies in last[0] for r in replies)
    assert pair.books.answer([_totals()])[0].count == approved > 0
    for gateway in gateways:
        gateway.close()
    assert audit_books(url).violations == []


def execute(gateway, requests, now):
    """Execute as a writer does: again when others were in the way."""
    from crm_bridge.gateway_errors import CommitUnknownError, RaceError, RetryableError

    for _ in range(50):
        try:
            return gateway.execute(requests, now)
        except (CommitUnknownError, RaceError, RetryableError):
            continue
    raise AssertionError("never carried out")


def _totals():
    from simulators.core_contract import Totals

    return Totals(call="totals", bank_number="00101", date=20261117)
