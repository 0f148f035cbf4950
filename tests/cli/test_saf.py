"""The commands about store-and-forward that need no approval: what is refused before it is proposed, and the
day-end file as the other side books it."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from crm_bridge.lookup import find_account
from crm_bridge.seed import seed
from crm_bridge.settings import CoreSettings
from qianzhi.cli import saf
from qianzhi.cli.main import app
from qianzhi.cli.output import CommandError
from qianzhi.domain.dates import business_date
from qianzhi.domain.requests import Kind, Request
from qianzhi.link.site import load_site, zone_of
from qianzhi.runtime import clock
from qianzhi.runtime.admin import AdminError
from qianzhi.saf.exported import Head, export
from qianzhi.saf.rows import Entry, State
from simulators.core_books import Books
from simulators.core_contract import Credit, Key

ROOT = Path(__file__).parents[2]
PHONE = "13800000003"


def run(*words: str) -> tuple[int, str]:
    """Call the command in this process; return its exit code and what it says."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            app(["--config", str(ROOT / "config"), *words], standalone_mode=False)
        except CommandError as failure:
            return failure.code, f"{out.getvalue()}{failure.what}\n{failure.advice}"
    return 0, out.getvalue()


class Core:
    """A remote core's books with one recharge that we no longer want, and the day-end file that says so."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "remote-core.db"
        self.url = f"sqlite:///{self.data}"
        seed(self.url, 10)
        site, _ = load_site(ROOT / "config")
        assert site is not None
        zone, now_us = zone_of(site), clock.now().wall_us
        self.date = business_date(now_us, zone)
        self.before = self.balance()
        books = Books(CoreSettings(database=self.url), zone)
        self.credit(books, "000001")
        books.close()
        self.after = self.balance()  # of what the month owed, part was paid
        self.file = folder / "remote_core.jsonl"
        self.file.write_bytes(export(Head("site", "bridge1", "remote_core", 0), [self.entry("000001")]))

    def credit(self, books: Books, serial: str) -> None:
        key = Key(space="hz_citic", date=self.date, serial=serial)
        who = {"phone": PHONE, "bank": "hz_citic", "bank_number": "0302"}
        call = Credit(call="credit", key=key, kind="recharge", amount_fen=5_000, **who)
        (answer,) = books.answer([call])
        assert answer.result == "approved"

    def entry(self, serial: str) -> Entry:
        request = Request(
            Kind.REVERSAL, "hz_citic", self.date, serial, "hz_citic", "0302", PHONE, amount_fen=5_000
        )
        return Entry(
            id=f"{request.key.text}/reversal/1",
            destination="remote_core",
            account=PHONE,
            request=request,
            number=1,
            made_us=1,
            state=State.MANUAL,
        )

    def balance(self) -> int:
        account = find_account(self.url, PHONE)
        assert account is not None
        return account.balance_fen

    def take(self, file: Path) -> tuple[int, str]:
        return run("simulate", "core", "--data", str(self.data), "--import", str(file))


@pytest.fixture
def core(tmp_path: Path) -> Core:
    return Core(tmp_path)


def test_a_core_books_a_day_end_file_once_however_often_it_is_imported(core: Core) -> None:
    assert core.balance() == core.after != core.before
    code, said = core.take(core.file)
    assert (code, "1 lines booked, 0 were booked before" in said) == (0, True)
    assert core.balance() == core.before
    for name in ("again.jsonl", "remote_core.jsonl"):
        copy = core.folder / name
        copy.write_bytes(core.file.read_bytes())
        code, said = core.take(copy)
        assert (code, "0 lines booked, 1 were booked before" in said) == (0, True)
    assert core.balance() == core.before


def test_nothing_of_a_damaged_day_end_file_is_booked(core: Core) -> None:
    whole = core.file.read_bytes()
    for bad in (whole[:-30], whole.replace(b'"amount_fen":5000', b'"amount_fen":4000', 1), b""):
        core.file.write_bytes(bad)
        code, said = core.take(core.file)
        assert (code, "nothing of it was booked" in said) == (1, True)
    assert core.balance() == core.after != core.before
    core.file.write_bytes(whole)
    assert core.take(core.file)[0] == 0
    assert core.balance() == core.before


def test_a_name_to_which_nothing_is_sent_is_not_taken_for_one_without_entries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def ask_all(_: Any, command: str, **given: Any) -> list[tuple[str, dict[str, Any]]]:
        asked.append(command)
        rows = [{}] if given["destination"] == "gone" else []
        done = {"entries": len(rows), "amount_fen": 700, "path": "gone.jsonl", "sha256": "ab"}
        return [("node1", done if command == "saf_export" else {"entries": rows})]

    monkeypatch.setattr(saf, "_ask_all", ask_all)
    for words in (["list", "--to", "icbk"], ["export", "icbk"]):
        code, said = run("saf", *words)
        assert (code, "nothing is ever sent to 'icbk'" in said) == (2, True)
    assert asked == ["saf_list", "saf_list"]
    assert run("saf", "list", "--to", "icbc") == (0, "nothing is stored\n")
    assert run("saf", "list", "--state", "manuel")[0] == 2
    code, said = run("saf", "list", "--state", "settled")
    assert (code, "`qianzhi saf show ENTRY` shows it" in said) == (2, True)
    assert "1 entries, 7.00 yuan" in run("saf", "export", "gone")[1]  # a bank that the site has no more


def test_a_list_that_is_cut_off_and_one_without_a_node_say_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = {"id": "a/20261122/1/charge_reversal", "destination": "unet", "kind": "charge_reversal"} | {
        "key": "a/20261122/1", "amount_fen": 700, "state": "open", "tries": 1, "deadline_us": 0, "why": ""
    }  # fmt: skip

    def answer(path: str, command: str, **_: Any) -> dict[str, Any]:
        if path == "node2":
            raise AdminError("no answer")
        return {"entries": [entry], "total": 340}

    monkeypatch.setattr(saf, "_nodes", lambda _: [("node1", "node1"), ("node2", "node2")])
    monkeypatch.setattr("qianzhi.runtime.admin.ask", answer)
    code, said = run("saf", "list")
    assert (code, "node1 has 340, of which the oldest 1 are shown" in said) == (0, True)
    assert json.loads(run("saf", "list", "--json")[1])["node1"]["total"] == 340
    assert capsys.readouterr().err.count("not told by all: node2: no answer") == 2


@pytest.mark.parametrize("verb", ["expire", "settle"])
@pytest.mark.parametrize("state", ["open", "manual", "quarantined"])
def test_what_tells_the_core_of_a_break_is_not_even_proposed_to_end(
    monkeypatch: pytest.MonkeyPatch, verb: str, state: str
) -> None:
    def found(*_: Any) -> dict[str, Any]:
        return {"destination": "core", "state": state, "kind": "break", "amount_fen": 5_000, "phone": PHONE}

    monkeypatch.setattr(saf, "find_entry", found)
    code, said = run("saf", verb, "unet/20261117/000001/charge_reversal/break/saf", "--as", "wang")
    assert code == 1
    assert "the day could close in spite of the break" in said
    assert "qianzhi saf retry unet/20261117/000001/charge_reversal/break/saf" in said
