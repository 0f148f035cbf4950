"""Operators at the command, with a real bridge: two of them move money, and it moves once, whatever dies."""

import contextlib
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from crm_bridge.audit import audit_books
from crm_bridge.gateway import Gateway
from crm_bridge.lookup import find_account, find_breaks, find_journal
from crm_bridge.operators.store import read_acts, read_entries
from crm_bridge.seed import seed
from crm_bridge.settings import CoreSettings
from qianzhi.cli.main import app
from qianzhi.cli.output import CommandError
from qianzhi.domain.dates import business_date, shift
from qianzhi.domain.requests import Kind, Request
from qianzhi.domain.results import Result
from qianzhi.link.site import load_site, zone_of
from qianzhi.runtime import clock
from qianzhi.runtime.admin import AdminError, ask
from simulators.free_ports import free_port

ROOT = Path(__file__).parent.parent.parent
PHONE = "13800000003"
PASSWORDS = {"wang": "four words of one 1", "li": "four words of two 2", "zhao": "four words of three 3"}


class Ended(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


class Place:
    """A site of one bridge, its core with one recharge, the operators' password files, and the command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / "config", folder / "config")
        file = folder / "config/site.toml"
        parts = re.split(r"(?m)^(?=\[)", file.read_text(encoding="utf-8"))
        kept = [
            part for part in parts if not part.startswith("[banks.") or part.startswith("[banks.hz_citic]")
        ]
        text = re.sub(r"\b17\d{3}\b", lambda _: str(free_port()), "".join(kept))
        file.write_text(text.replace('data = "var"', f'data = "{folder}/var"'), encoding="utf-8")
        (folder / "var").mkdir()
        self.url = f"sqlite:///{folder}/var/core.db"
        site, _ = load_site(folder / "config")
        assert site is not None
        self.zone = zone_of(site)
        self.today = business_date(clock.now().wall_us, self.zone)
        seed(self.url, 10)
        self.recharge("000001")
        self.bridge: subprocess.Popen[str] | None = None
        for name, password in PASSWORDS.items():
            self.file(name).touch(0o600)
            self.file(name).write_text(password + "\n", encoding="utf-8")

    def file(self, name: str) -> Path:
        return self.folder / f"{name}.password"

    def recharge(self, serial: str) -> None:
        gateway = Gateway(self.url, CoreSettings(database=self.url), self.zone)
        asked = Request(Kind.RECHARGE, "hz_citic", self.today, serial, "hz_citic", "0302", PHONE, 100_000)
        (reply,) = gateway.execute([asked], clock.now())
        gateway.close()
        assert reply.result is Result.APPROVED

    @property
    def key(self) -> str:
        return f"hz_citic/{self.today}/000001"

    def start(self, **environment: str) -> None:
        self.stop()
        command = [sys.executable, "-m", "qianzhi.cli.main", "daemon", "bridge1"]
        self.bridge = subprocess.Popen(
            command, cwd=self.folder, env=self.environment(environment), stderr=subprocess.PIPE, text=True
        )
        assert self.bridge.stderr is not None
        for line in self.bridge.stderr:
            if '"event": "the database is ready"' in line:
                return
        pytest.fail("the bridge ended before it was ready")

    def environment(self, more: dict[str, str]) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT), **more}

    def stop(self) -> None:
        if self.bridge is not None:
            self.bridge.kill()
            self.bridge.communicate(timeout=20)
            self.bridge = None

    def run(self, *words: str, by: str = "", typed: str = "") -> "Ended":
        """Call the command in this process: what it says, and the code with which it ends."""
        signed = ["--as", by, "--password-file", str(self.file(by))] if by else []
        arguments = ["--config", str(self.folder / "config"), *words, *signed]
        out, stdin = io.StringIO(), io.TextIOWrapper(io.BytesIO(typed.encode()))
        with pytest.MonkeyPatch.context() as patched, contextlib.redirect_stdout(out):
            patched.setattr(sys, "stdin", stdin)
            try:
                app(arguments, standalone_mode=False)
            except CommandError as failure:
                return Ended(failure.code, out.getvalue(), f"{failure.what}\n{failure.advice}")
        return Ended(0, out.getvalue(), "")

    def did(self, *words: str, by: str = "") -> str:
        done = self.run(*words, by=by)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def shown(self, *words: str, by: str = "") -> Any:
        return json.loads(self.did(*words, "--json", by=by))

    def operators(self) -> None:
        """Add two by the socket, as the command does, and the third by both."""
        self.ask("operator_enlist", by="os:test", password="", name="wang", new_password=PASSWORDS["wang"])
        self.ask(
            "operator_enlist", by="wang", password=PASSWORDS["wang"], name="li", new_password=PASSWORDS["li"]
        )

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        return ask(self.folder / "var/run/bridge1.sock", command, timeout_seconds=60, **arguments)

    def propose_void(self) -> int:
        answer = self.ask(
            "act_propose",
            by="wang",
            password=PASSWORDS["wang"],
            kind="void",
            subject="",
            arguments={"key": self.key, "phone": PHONE, "amount_fen": 100_000},
            reason="wrong phone",
        )
        return int(answer["act"]["id"])

    def approve(self, number: int, by: str = "li") -> dict[str, Any]:
        return self.ask("act_approve", by=by, password=PASSWORDS[by], number=number)


@pytest.fixture
def place(tmp_path: Path) -> Any:
    found = Place(tmp_path)
    yield found
    found.stop()


def balance(place: Place) -> int:
    account = find_account(place.url, PHONE)
    assert account is not None
    return account.balance_fen


def test_two_operators_void_a_recharge(place: Place) -> None:
    place.start()
    new = ["--new-password-file"]
    first = place.did("operator", "add", "wang", *new, str(place.file("wang")))
    assert "qianzhi operator add NAME --as wang" in first
    unknown = place.run("operator", "add", "li", *new, str(place.file("li")), "--as", "nobody")
    assert (unknown.returncode, unknown.stderr.splitlines()) == (
        2,
        ["nobody is no operator", "say who asks: qianzhi operator add li --as wang"],
    )
    untyped = place.run("operator", "add", "li", by="wang")
    assert "the new password of li: type it at a terminal, or give --new-password-file" in untyped.stderr
    second = place.did("operator", "add", "li", *new, str(place.file("li")), by="wang")
    assert "whom one of wang and li proposes and the other approves" in second
    invited = place.did("operator", "add", "zhao", by="li")
    assert "waits for a second operator" in invited
    admitted = place.did("approve", "1", by="wang")
    halves = [re.search(r"half of the code: (\w+)", said) for said in (invited, admitted)]
    code = "-".join(half[1] for half in halves if half)
    early = place.run("void", place.key, "--as", "zhao", "--password-file", "-", typed=code + "\n")
    assert (early.returncode, "zhao has to choose a password first" in early.stderr) == (1, True)
    given = ["--as", "zhao", "--password-file", "-", *new, str(place.file("zhao"))]
    assert place.run("operator", "password", *given, typed=code[:-1] + "\n").returncode == 1
    assert place.run("operator", "password", *given, typed=code + "\n").returncode == 0
    assert [one["state"] for one in place.shown("operator", "list")] == ["active"] * 3
    before = balance(place)
    place.did("void", place.key, "--reason", "wrong phone", by="wang")
    shown = place.did("pending")
    assert "1000.00 yuan for 13800000003" in shown
    assert "because: wrong phone" in shown
    alone = place.run("approve", "2", by="wang")
    assert (alone.returncode, balance(place)) == (1, before)
    assert "wang proposed it and cannot approve it" in alone.stderr
    act = place.shown("approve", "2", by="zhao")
    assert (act["state"], act["result"], act["maker"], act["checker"]) == ("done", "approved", "wang", "zhao")
    assert find_journal(place.url, place.key)[0].state == "reversed"
    assert place.shown("approve", "2", by="li") == act
    assert place.run("void", place.key, by="wang").returncode == 1
    assert place.did("pending").strip() == "nothing waits for an operator"
    assert "unbroken" in place.did("audit", "verify")
    assert audit_books(place.url).balanced


def test_a_day_is_closed_and_a_break_holds_the_next_one(place: Place) -> None:
    place.start()
    place.operators()
    yesterday = shift(place.today, -1)
    early = place.run("day", "close", "hz_citic", str(place.today), by="wang")
    assert (early.returncode, "is not over yet" in early.stderr) == (2, True)
    (act,) = place.shown("day", "close", "hz_citic", str(yesterday), by="wang")
    done = place.run("approve", str(act["id"]), "--json", by="li")
    found = json.loads(done.stdout)
    assert found["result"] in (
        "approved",
        "too_early",
    )  # shortly after midnight its reversals are still taken
    assert done.returncode == (0 if found["result"] == "approved" else 1)
    if found["result"] == "approved":
        again = place.run("day", "close", "hz_citic", str(yesterday), by="wang")
        assert (again.returncode, f"{yesterday} of hz_citic is closed already" in again.stderr) == (1, True)
    nothing = place.run("breaks", "open", f"hz_citic/{place.today}/404", "--amount", "5", by="wang")
    assert (nothing.returncode, "the core has no key" in nothing.stderr) == (1, True)
    (act,) = place.shown("breaks", "open", place.key, by="wang")
    twice = place.run("breaks", "open", place.key, by="li")
    assert f"`qianzhi approve {act['id']}`, by another operator" in twice.stderr
    place.did("approve", str(act["id"]), by="li")
    assert [one["suspense_fen"] for one in place.shown("breaks")] == [100_000]
    (day,) = place.shown("day", "status", "hz_citic")
    assert (day["open_breaks"], day["open_fen"]) == (1, 100_000)
    for key in (place.key, "nobody/20261122/1"):
        held = place.run("quarantine", "release", key, by="wang")
        assert (held.returncode, f"{key} is not in quarantine" in held.stderr) == (1, True)
    assert place.run("breaks", "--kind", "manuel").returncode == 2
    (act,) = place.shown("breaks", "mend", place.key, by="li")
    place.did("refuse", str(act["id"]), "--reason", "ask the bank first", by="wang")
    (act,) = place.shown("breaks", "mend", place.key, by="li")
    place.did("approve", str(act["id"]), by="wang")
    assert find_breaks(place.url) == []
    assert audit_books(place.url).balanced


@pytest.mark.parametrize(
    ("point", "moved"), [("operators.after_approval", False), ("operators.before_done", True)]
)
def test_a_bridge_that_dies_between_approval_and_result_carries_it_out_once(
    place: Place, point: str, moved: bool
) -> None:
    place.start(QIANZHI_CRASH=point)
    place.operators()
    number, before = place.propose_void(), balance(place)
    assert place.bridge is not None
    with pytest.raises(AdminError, match="without an answer"):
        place.approve(number)
    assert place.bridge.wait(20) == -signal.SIGKILL
    assert read_acts(place.url, number=number)[0].state.name == "APPROVED"
    assert (balance(place) < before) is moved
    place.start()
    assert "not carried out yet: qianzhi approve 1" in place.did("pending")
    act = place.approve(number, by="wang")["act"]  # whoever drives it on: it is approved by li
    assert (act["state"], act["result"], act["checker"]) == ("done", "approved", "li")
    assert act["detail"]["stored"] is moved
    account = find_account(place.url, PHONE)
    assert account is not None
    assert [order.kind for order in account.orders].count("void") == 1
    assert [entry.what for entry in read_entries(place.url, 2)] == ["act approved", "act done"]
    assert "unbroken" in place.did("audit", "verify")
    assert audit_books(place.url).balanced


def test_a_command_that_dies_leaves_an_act_that_is_done(place: Place) -> None:
    place.start()
    place.operators()
    number = place.propose_void()
    with socket.socket(socket.AF_UNIX) as gone:
        gone.connect(str(place.folder / "var/run/bridge1.sock"))
        line = {"command": "act_approve", "by": "li", "password": PASSWORDS["li"], "number": number}
        gone.sendall(json.dumps(line).encode() + b"\n")
    assert place.approve(number, by="wang")["act"]["state"] == "done"


def test_what_needs_nobodys_approval_is_only_recorded(place: Place) -> None:
    place.start()
    noted = place.run("drain", "bridge1", "--reason", "new disk", "--force")
    assert noted.returncode == 0, noted.stderr
    place.did("undrain", "bridge1")
    for _ in range(200):
        found = [entry.what for entry in read_entries(place.url, 9)]
        if found == ["drained", "undrained"]:
            break
        clock.sleep(0.1)
    entries = place.shown("audit", "list")
    assert [entry["what"] for entry in entries] == ["drained", "undrained"]
    assert entries[0]["who"].startswith("os:")
    assert entries[0]["detail"]["reason"] == "new disk"


def test_passwords_come_from_private_files_or_standard_input_and_nowhere_else(place: Place) -> None:
    place.start()
    place.operators()
    open_file = place.file("wang")
    open_file.chmod(0o644)
    refused = place.run("void", place.key, by="wang")
    assert (refused.returncode, "can be read by others" in refused.stderr) == (2, True)
    nowhere = place.run("void", place.key, "--as", "wang")
    assert (nowhere.returncode, "no terminal to type a password at" in nowhere.stderr) == (2, True)
    given = ["void", place.key, "--as", "wang", "--password-file", "-"]
    wrong = place.run(*given, typed="not the password\n")
    assert (wrong.returncode, "the name or the password is wrong" in wrong.stderr) == (1, True)
    assert "--as NAME says who asks" in wrong.stderr
    assert place.run(*given, typed=PASSWORDS["wang"] + "\n").returncode == 0
    log = place.folder / "var/core.db"
    assert PASSWORDS["wang"].encode() not in log.read_bytes()


def test_without_a_bridge_it_is_said_what_to_do_and_looking_goes_on(place: Place) -> None:
    place.start()
    place.operators()
    number = place.propose_void()
    place.stop()
    for words in (["void", place.key], ["approve", str(number)], ["refuse", str(number)]):
        found = place.run(*words, by="li")
        assert (found.returncode, "no bridge answers on this machine" in found.stderr) == (3, True)
    assert [act["id"] for act in place.shown("pending")] == [number]
    head = place.shown("audit", "verify")["head"]
    assert "unbroken" in place.did("audit", "verify", "--head", head)
    assert place.run("audit", "verify", "--head", f"2:{'ab' * 32}").returncode == 1
    assert place.run("audit", "verify", "--head", "nonsense").returncode == 2
