"""A small site of real daemons on servers in trouble: what they say of it, and what a bank gets meanwhile."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from typer.testing import CliRunner

from crm_bridge.seed import CLOSED_EVERY, FIRST_PHONE
from qianzhi.cli.checks import require
from qianzhi.cli.main import app
from qianzhi.domain.dates import business_date
from qianzhi.domain.requests import Key, Kind, Request
from qianzhi.domain.results import Result
from qianzhi.runtime import clock
from qianzhi.runtime.admin import AdminError, ask
from simulators.free_ports import free_port, free_ports
from simulators.lines import LineMaker
from simulators.record import Ask
from simulators.servers.processes import private_folder, wait_until
from simulators.state_file import StateFile

ROOT = Path(__file__).parents[2]
BANK = "icbc"
BRIDGE, NODE, FRONT = DAEMONS = ("bridge1", "node1", f"front-{BANK}-1")
PATIENCE_SECONDS = 40.0
CARD = "6222000000000000018"
SITE = """
[site]
name = "small"
data = "{data}"
key = "test:6b7a1f0c95d24e83a0b1c2d3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f50617"

[groups.one]
nodes = ["node1"]

[nodes.node1]
host = "127.0.0.1"
port = {0}
metrics_port = {1}

[bridges.bridge1]
host = "127.0.0.1"
port = {2}
metrics_port = {3}

[[routes]]
numbers = ["*"]
kinds = ["*"]
to = "bridges"
"""


class Paper(NamedTuple):
    """A recharge as the bank has it on paper: its key, the phone, and the message that it sends."""

    key: Key
    phone: str
    frame: bytes


class SmallSite:
    """One bridge, one node and one front-end of a bank on queues, each a process; the bank, and the operator.

    `bank` has `send(frame, message_id)` and `answer() -> (message id, frame)`.
    """

    def __init__(self, tables: str) -> None:
        """`tables` are the site's further ones, [core] and [banks.icbc] among them."""
        self.folder = private_folder("troubles")
        self.config = self.folder / "config"
        self.config.mkdir()
        for part in ("banks", "specs"):
            (self.config / part).symlink_to(ROOT / "config" / part)
        text = SITE.format(*free_ports(4), data=self.folder / "var")
        (self.config / "site.toml").write_text(text + tables, encoding="utf-8")
        self.bank: Any = None
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._marks = dict.fromkeys(DAEMONS, 0)
        closed = FIRST_PHONE + CLOSED_EVERY - 1
        phones = range(FIRST_PHONE + 1, FIRST_PHONE + 1_000)
        self._phones = iter([phone for phone in phones if (phone - closed) % CLOSED_EVERY])
        self._numbers = iter(range(1, 100_000))
        self._line: Any = None
        self._answers: dict[bytes, Any] = {}
        self._ids: dict[Key, bytes] = {}

    # The operator

    def run(self, *words: str) -> tuple[int, str]:
        """Run a `qianzhi` command; return its exit code and what it says."""
        found = CliRunner().invoke(app, ["--config", str(self.config), *words])
        code = getattr(found.exception, "code", found.exit_code)
        return code, f"{found.output}{found.exception or ''}"

    def ask(self, *words: str) -> Any:
        """Run `qianzhi … --json` and return what it prints."""
        code, said = self.run(*words, "--json")
        assert code == 0, said
        return json.loads(said)

    def start(self, *names: str) -> None:
        """Start daemons (all, where none is named) and wait until they answer."""
        for name in names or DAEMONS:
            self.launch(name)
        for name in names or DAEMONS:
            self.wait(name, lambda status: status["state"] == "running")

    def launch(self, name: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a daemon and do not wait."""
        command = [sys.executable, "-m", "qianzhi.cli.main", "--config", str(self.config), "daemon", name]
        with self._log(name).open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command, cwd=self.folder, stderr=log, env={**os.environ, **environment}
            )
        return self._processes[name]

    def process(self, name: str) -> subprocess.Popen[bytes]:
        """The process of a daemon, to be sent signals."""
        return self._processes[name]

    def kill(self, name: str) -> None:
        """End a daemon as a crash does."""
        self._processes[name].kill()
        self._processes[name].wait()

    def status(self, name: str) -> dict[str, Any]:
        """What a daemon says of itself; empty while nobody answers."""
        try:
            return dict(ask(self.folder / f"var/run/{name}.sock", "status"))
        except AdminError:
            return {}

    def wait(self, name: str, condition: Callable[[dict[str, Any]], Any]) -> None:
        """Wait until a daemon's status is so."""

        def so() -> bool:
            status = self.status(name)
            return bool(status) and bool(condition(status))

        try:
            wait_until(so, PATIENCE_SECONDS, "not so")
        except Exception as error:
            raise AssertionError(f"{self.status(name)}\n{self._log(name).read_text()[-3000:]}") from error

    def says(self, name: str, *words: str) -> None:
        """`qianzhi status` says this of a daemon."""
        said = self.run("status")[1]
        _, _, row = " ".join(said.split()).partition(f"{name} ")  # a long line is folded
        row = min((row.partition(f" {other} running")[0] for other in DAEMONS), key=len)
        assert [word for word in words if word not in row] == [], said

    def is_well(self) -> None:
        """`qianzhi status` has nothing to say of what stands beneath, and no daemon was started again."""
        self.wait(BRIDGE, lambda status: status["ready"] and status["database"]["state"] == "ready")
        self.wait(NODE, lambda status: status["ready"])
        self.wait(FRONT, lambda status: not status.get("paused"))
        code, said = self.run("status")
        assert code == 0, said
        assert not [word for word in ("BROKER", "NOT READY", "NO BRIDGE", "SLOW") if word in said], said
        assert [name for name, process in self._processes.items() if process.poll() is not None] == []

    def mark(self) -> None:
        """Look only at what is logged from now on."""
        self._marks = {name: self._log(name).stat().st_size for name in DAEMONS if self._log(name).exists()}

    def told_once(self, name: str, *words: str) -> dict[str, Any]:
        """Wait for the one log line since the mark that has all these words."""

        def found() -> list[str]:
            with self._log(name).open("rb") as log:
                log.seek(self._marks.get(name, 0))
                lines = log.read().decode("utf-8").splitlines()
            return [line for line in lines if all(word in line for word in words)]

        wait_until(lambda: bool(found()), PATIENCE_SECONDS, f"{name} did not say {words}")
        (line,) = found()
        return dict(json.loads(line))

    def close(self) -> None:
        """End everything and remove the folder."""
        for process in self._processes.values():
            process.kill()
            process.wait()
        if self.bank is not None:
            self.bank.close()
        shutil.rmtree(self.folder)

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    # The bank

    def recharge(self) -> Paper:
        """Write a recharge of 10.00 for a phone that no other one is for."""
        if self._line is None:
            checked, site = require(self.config)
            profile = checked.profiles[BANK]
            maker = LineMaker(profile, self.config, StateFile(Path(site.data), BANK), production=False)
            self._line, self._profile = maker.make(self._numbers.__next__), profile
        profile, now = self._profile, clock.now()
        date = business_date(now.wall_us, profile.mapping.zone)
        number, phone = next(self._numbers), str(next(self._phones))
        request = Request(
            kind=Kind.RECHARGE,
            space=profile.space,
            date=date,
            serial=self._line.serial_text(number, date),
            bank=BANK,
            bank_number=profile.numbers[0],
            phone=phone,
            amount_fen=1000,
        )
        (out,) = self._line.carry([Ask(number, request, now.wall_us, now.wall_us, card=CARD)], now)
        return Paper(request.key, phone, out.frame)

    def send(self, paper: Paper, **more: Any) -> None:
        """Hand a message to the queue, each time under an id of its own."""
        self._ids[paper.key] = b"%d" % next(self._numbers)
        self.bank.send(paper.frame, self._ids[paper.key], **more)

    def answer(self, paper: Paper) -> Result:
        """Wait for the answer to what was sent last of this recharge, whatever else is answered before."""
        wanted = self._ids[paper.key]
        while wanted not in self._answers:
            try:
                message_id, frame = self.bank.answer()
            except (IndexError, AssertionError) as error:
                raise AssertionError(f"no answer:\n{self.run('trace', paper.key.text)[1]}") from error
            self._answers[message_id] = self._profile.mapping.reply_of(self._profile.codec.decode(frame))
        result = self._answers.pop(wanted).result
        assert isinstance(result, Result)
        return result

    def credits(self, paper: Paper) -> int:
        """How often the recharge stands in the books, as an operator sees it."""
        return len(self.ask("account", paper.phone)["orders"])

    def is_credited(self, paper: Paper) -> None:
        """Its answer is an approval, it was credited once, and a repeat changes nothing."""
        first = self.answer(paper)
        self.send(paper)
        again = self.answer(paper)
        assert (first.name, again.name, self.credits(paper)) == ("APPROVED", "APPROVED", 1)

    def recharges(self) -> None:
        """A recharge goes through."""
        paper = self.recharge()
        self.send(paper)
        self.is_credited(paper)


__all__ = ["BANK", "BRIDGE", "DAEMONS", "FRONT", "NODE", "Paper", "SmallSite", "free_port"]
