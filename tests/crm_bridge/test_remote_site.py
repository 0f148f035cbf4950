"""A whole site before a remote core that goes wrong: bank, front, node and bridge as processes, the core over
HTTP.  Every request is answered, nothing is lost or doubled, and what was promised is delivered.
"""

import json
import os
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from crm_bridge.audit import audit_books
from crm_bridge.lookup import find_breaks, find_keys, totals
from crm_bridge.remote.store import open_claims
from crm_bridge.seed import seed
from crm_bridge.settings import CoreSettings
from frontends.profile import load_profile
from qianzhi.link.site import load_site
from qianzhi.runtime.admin import AdminError, ask
from qianzhi.saf.exported import read_export
from qianzhi.saf.warrants import Asked, Warrants
from simulators.compare import compare
from simulators.core import make_core, serving
from simulators.core_books import Books
from simulators.core_faults import Fault
from simulators.free_ports import free_ports
from simulators.scenario_file import load_scenario
from simulators.traffic import Traffic, make_runs

pytestmark = pytest.mark.usefixtures("processors")
ROOT = Path(__file__).parents[2]
BANK = "hz_citic"
SITE = """\
[site]
name = "house"
data = "{data}"
key = "test:{key}"
[saf]
fast_seconds = 1
[groups.one]
nodes = ["node1"]
[nodes.node1]
host = "127.0.0.1"
port = {ports[0]}
metrics_port = {ports[1]}
[bridges.bridge1]
host = "127.0.0.1"
port = {ports[2]}
metrics_port = {ports[3]}
[core]
kind = "remote"
database = "sqlite:///{{data}}/core.db"
[core.remote]
url = "http://127.0.0.1:{ports[4]}"
token = "test:secret"
breaker_seconds = 1
[[routes]]
numbers = ["*"]
kinds = ["*"]
to = "bridges"
[banks.{bank}]
group = "one"
listen = "127.0.0.1:{ports[5]}"
metrics_port = {ports[6]}
"""


class Site:
    """The processes of a site, the core that they ask, and the bank that asks them."""

    def __init__(self, folder, reactor_thread):
        self.config, self.data = folder / "config", folder / "var"
        self.reactor = reactor_thread
        self.config.mkdir()
        for name in ("banks", "specs"):
            (self.config / name).symlink_to(ROOT / "config" / name)
        ports = free_ports(7)
        text = SITE.format(data=self.data, key="5a" * 32, ports=ports, bank=BANK)
        (self.config / "site.toml").write_text(text, encoding="utf-8")
        self.site, problems = load_site(self.config)
        assert self.site is not None, problems
        self.journal, self.books_url = f"sqlite:///{self.data}/core.db", f"sqlite:///{folder}/books.db"
        seed(self.books_url, 1_000)
        self.books = Books(CoreSettings(database=self.books_url), ZoneInfo("Asia/Shanghai"))
        self.core, self.port = make_core(self.books, "secret"), ports[4]
        self.processes = {}

    def start(self):
        for name in ("bridge1", "node1", f"front-{BANK}-1"):
            self.begin(name)
        self.until(lambda: self.bridge()["state"] == "closed")
        self.until(lambda: self.command("status", f"front-{BANK}-1"))

    def begin(self, name):
        command = [sys.executable, "-m", "qianzhi.cli.main", "--config", str(self.config), "daemon", name]
        self.processes[name] = subprocess.Popen(command, cwd=ROOT, env=os.environ, stderr=subprocess.DEVNULL)

    def kill(self, name):
        self.processes[name].kill()
        self.processes[name].wait()

    def command(self, command, name="bridge1", **arguments):
        try:
            return ask(self.data / "run" / f"{name}.sock", command, timeout_seconds=20, **arguments)
        except AdminError:
            return {}

    def act(self, command, entry, act):
        """Ask the bridge for an act with a warrant, as an approval gives one."""
        asked = Asked(act, command.replace("_", "-"), entry, "")
        warrant = Warrants(bytes.fromhex("5a" * 32)).warrant(asked)
        return self.command(command, id=entry, act=act, warrant=warrant)

    def cli(self, *words):
        command = [sys.executable, "-m", "qianzhi.cli.main", "--config", str(self.config), *words]
        return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout

    def bridge(self):
        return self.command("status").get("core", {"state": "none"})

    def promised(self):
        """Return how many entries are open at the bridge, by their state."""
        return self.bridge()["saf"]["entries"]

    def promised_kinds(self):
        return {entry["kind"] for entry in self.command("saf_list")["entries"]}

    def until(self, condition, seconds=60):
        """Wait for something that nobody tells."""
        pause = threading.Event()
        for _ in range(seconds * 20):
            if condition():
                return
            pause.wait(0.05)
        raise AssertionError(f"it never comes: {self.bridge()}")

    def stop(self):
        for name in self.processes:
            self.kill(name)
        self.books.close()


@pytest.fixture
def site(tmp_path, reactor_thread):
    site = Site(tmp_path, reactor_thread)
    yield site
    site.stop()


@pytest.fixture
def bank(site, reactor_thread):
    """The bank's traffic, not yet begun; looks at it are kept."""
    profile, problems = load_profile(site.config, BANK, rehearsed=False)
    assert profile is not None, problems
    ended = threading.Event()
    given = {"rate": 40, "seed": 7, "reactor": reactor_thread.reactor}
    runs = make_runs(site.site, site.config, [profile], load_scenario(), **given)
    traffic = Traffic(runs, reactor_thread.reactor, None)
    traffic.over = ended
    yield traffic
    reactor_thread.run(lambda: [traffic.stop(), traffic.stop()] if not traffic.ended else None)


def sent(bank):
    return bank.result().reports[BANK].sent


def test_a_whole_site_before_a_core_that_fails_answers_all_and_loses_nothing(site, bank, reactor_thread):
    with ExitStack() as up:
        up.enter_context(serving(site.core, port=site.port))
        site.start()
        reactor_thread.run(lambda: bank.start(None, 60, bank.over.set))
        site.until(lambda: sent(bank) > 100)
        for call in ("reversal", "query"):
            site.core.arm(Fault("error", 0.0, call), 1_000)
        site.until(lambda: "reversal" in site.promised_kinds())
        for call in ("credit", "terms"):
            site.core.arm(Fault("late_error", 0.0, call), 1_000)
        site.until(lambda: site.bridge()["state"] == "open")
    # Nothing listens there any more.
    before = sent(bank)
    site.until(lambda: sent(bank) > before + 100)
    promised = next(one for one in site.command("saf_list")["entries"] if one["kind"] == "reversal")
    bare = {"id": promised["id"], "act": "1", "warrant": "no warrant"}
    assert site.command("saf_expire", **bare) == {}  # refused
    expired = site.act("saf_expire", promised["id"], "1")
    assert expired["state"] == "manual"
    site.until(
        lambda: [(one.key, one.kind) for one in find_breaks(site.journal)] == [(promised["key"], "manual")]
    )
    shown = json.loads(site.cli("saf", "list", "--state", "manual", "--json"))
    assert [one["id"] for one in shown["bridge1"]["entries"]] == [promised["id"]]
    exported = json.loads(site.cli("saf", "export", "remote_core", "--json"))["bridge1"]
    assert read_export(Path(exported["path"]).read_bytes()).lines[0].id == promised["id"]
    site.kill("bridge1")
    site.begin("bridge1")
    site.until(lambda: site.bridge().get("saf", {}).get("known"))
    assert site.promised()["manual"] == 1  # what was promised, and where it stands, outlives the bridge
    assert site.act("saf_retry", promised["id"], "2")["state"] == "open"
    site.core.armed.clear()
    for name in ("answer_lost", "late_error", "garbage", "cut_body", "wrong_key", "error"):
        site.core.arm(Fault(name, 0.0, "credit"))
        site.core.arm(Fault(name, 0.0, "reversal"))
    with serving(site.core, port=site.port):
        site.until(lambda: site.bridge()["state"] == "closed")
        before = sent(bank)
        site.until(lambda: sent(bank) > before + 100)
        site.core.armed.clear()
        reactor_thread.run(bank.stop)
        site.until(bank.over.is_set, 90)
        site.until(lambda: not site.promised() and not open_claims(site.journal))
        prove(site, bank.result())


def prove(site, result):
    """What the bank has, the journal has and the core's books have: the same, and nothing is open."""
    report, records = result.reports[BANK], result.records[BANK]
    assert result.settled
    assert (report.open, dict(report.surprises)) == (0, {})
    rows = find_keys(site.journal, [record.key for record in records])
    assert compare(records, rows.values()).disagreements == []
    standing_fen = sum(record.standing_fen for record in records)
    assert standing_fen == totals(site.books_url).credited_fen > 0
    assert find_breaks(site.journal) == []
    assert audit_books(site.journal, remote=True).violations == []
    assert audit_books(site.books_url).violations == []
