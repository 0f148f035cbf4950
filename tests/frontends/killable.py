"""A front-end of its own process that can be killed and started again, and the core that it asks."""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec

from frontends.profile import load_profile, resolve_keys
from frontends.session_rows import KeyRow, SignOnRow
from frontends.store import open_file
from qianzhi.cli.derived import derive
from qianzhi.domain.dates import business_date
from qianzhi.domain.requests import Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.link.events import Hello, Requests
from qianzhi.link.messages import Answer, Status
from qianzhi.link.shell import Link
from qianzhi.link.site import load_site, zone_of
from qianzhi.runtime import clock
from qianzhi.runtime.admin import AdminError, ask
from qianzhi.runtime.events import read_events
from qianzhi.runtime.secrets import resolve_key
from qianzhi.wire.keys import CHECK_BYTES, check_value, wrap
from simulators.free_ports import free_port

CONFIG = Path(__file__).parents[2] / "config"
PATIENCE_SECONDS = 20
WORKING_KEY = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")


class Core:
    """The node and all behind it: credits each key once, and gives a repeat the first one's reply."""

    def __init__(self, key, reactor):
        self.credits = Counter()
        self.replies = {}
        self.link = Link(lambda: Hello("node1", "node"), key, self.on_events, reactor=reactor)
        self.server = self.link.listen("127.0.0.1", 0)

    def on_events(self, items):
        for peer, event in items:
            if isinstance(event, Requests):
                self.link.send(peer, [self.carry_out(item) for item in event.items])

    def carry_out(self, envelope):
        request = msgspec.msgpack.decode(envelope.body, type=Request)
        if request.key not in self.replies:
            self.credits[request.key] += 1
            self.replies[request.key] = Reply(Result.APPROVED, order=f"WO{len(self.replies)}")
        return Answer(envelope.id, Status.OK, msgspec.msgpack.encode(self.replies[request.key]))


class Place:
    """A bank's front-end, its configuration and data, and the core that it asks."""

    def __init__(self, bank, folder, reactor_thread, instances=1, state="", zone=""):
        """`instances` of the bank run on one machine; `state` is the text of a table [state]."""
        derive(CONFIG, "", folder / "config", folder / "var")
        self.config, self.data, self.name = folder / "config", folder / "var", f"front-{bank}-1"
        site, _ = load_site(self.config)
        key = resolve_key(site.key, production=False, base=CONFIG)
        self.core = reactor_thread.run(lambda: Core(key, reactor_thread.reactor))
        ports = {17211: reactor_thread.run(self.core.server.start)}
        file = self.config / "site.toml"
        text = file.read_text(encoding="utf-8") + state
        if zone:
            text = text.replace('timezone = "Asia/Shanghai"', f'timezone = "{zone}"')
        if instances > 1:
            old = f'[banks.{bank}]\nmachine = "local"\ngroup = "one"\ninstances = 1\n'
            assert old in text
            text = text.replace(old, old.replace("1\n", f"{instances}\n"))
            other = '\n[[banks.{}.others]]\nlisten = "127.0.0.1:17{:03}"\nmetrics_port = 17{:03}\n'
            text += "".join(other.format(bank, 900 + 2 * at, 901 + 2 * at) for at in range(1, instances))
        places = re.compile(r"\b17\d{3}\b")
        text = places.sub(lambda port: str(ports.get(int(port[0])) or free_port()), text)
        file.write_text(text, encoding="utf-8")
        self.site, problems = load_site(self.config)
        assert problems == []
        self.profile, problems = load_profile(self.config, bank, self.site)
        assert problems == []
        self.keys = resolve_keys(self.profile, self.config, production=False)
        self.processes, self.banks = [], []

    def start(self, crash="", instance=1):
        """Start the daemon, armed or not, and wait until it can reach the core."""
        name = f"front-{self.profile.name}-{instance}"
        process = self.launch(crash, instance)
        end = clock.monotonic_seconds() + PATIENCE_SECONDS
        while not self.is_up(name):
            assert process.poll() is None, (self.config / "stderr.log").read_text(encoding="utf-8")
            assert clock.monotonic_seconds() < end
            clock.sleep(0.02)
        return process

    def launch(self, crash="", instance=1):
        """Start the daemon, armed or not, and do not wait."""
        name = f"front-{self.profile.name}-{instance}"
        with (self.config / "stderr.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "qianzhi.cli.main", "--config", self.config, "daemon", name],
                env={**os.environ, "QIANZHI_CRASH": crash},
                stderr=log,
            )
        self.processes.append(process)
        return process

    def is_up(self, name):
        return self.status(name).get("nodes", {}).get("node1") == "up"

    def status(self, name):
        try:
            return ask(self.data / "run" / f"{name}.sock", "status")
        except AdminError:
            return {}

    def wait_for(self, name, true):
        """Wait until the status of a daemon is as it should be."""
        end = clock.monotonic_seconds() + PATIENCE_SECONDS
        while not true(self.status(name)):
            assert clock.monotonic_seconds() < end, self.status(name)
            clock.sleep(0.02)

    def add(self, bank):
        """Take a connection of the bank's, to be closed after the test."""
        self.banks.append(bank)
        return bank

    def store(self):
        return open_file(self.data / "fronts" / f"{self.profile.name}.db")

    def saved(self):
        store = self.store()
        saved = store.load(self.profile.name)
        store.close()
        return saved

    def sign_on_before(self):
        """Leave what a former run left: the bank signed on, with a working key."""
        wrapped, check = wrap(self.keys["master"], WORKING_KEY), check_value(WORKING_KEY)[:CHECK_BYTES]
        since_us, bank = clock.now().wall_us, self.profile.name
        store = self.store()
        store.write([KeyRow(bank, "current", wrapped, check, since_us), SignOnRow(bank, True, since_us)])
        store.close()

    def recharge(self, serial="000001"):
        today = business_date(clock.now().wall_us, zone_of(self.site))
        profile = self.profile
        owner = (profile.space, today, serial, profile.name, profile.numbers[0])
        return Request(Kind.RECHARGE, *owner, "13800000000", 5000)

    def recorded(self, key):
        return [row.name for row in read_events(self.data / "events" / self.name) if row.key == key.text]
