"""Two operators see to a reversal that nobody answers, with real processes: each act is carried out once, at
the node, and nothing that they have not agreed on.

The network dies with the cardholder's money.  The reversal's time is ended, it is tried again, ended again,
given back by the day-end file and settled by hand; command, breaks, day and audit chain tell the same.
"""

import json
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crm_bridge.audit import audit_books
from qianzhi.domain.requests import Key
from qianzhi.link.site import load_site
from qianzhi.runtime.admin import AdminError, ask
from qianzhi.saf.warrants import Asked, Warrants
from simulators.network import State
from tests.end_to_end.test_networks import LOOKS, Site, make_config

pytestmark = pytest.mark.usefixtures("processors")
PASSWORDS = {"wang": "four words of one 1", "li": "four words of two 2"}


class Office(Site):
    """A site with one network, and two operators with their password files."""

    def did(self, *words: str, by: str = "", code: int = 0) -> Any:
        """Run a command that prints JSON, signed by an operator; what it says where it fails."""
        signed = ["--as", by, "--password-file", str(self.file(by))] if by else []
        found = self.run(*words, *signed, "--json")
        assert found.returncode == code, (words, found.stdout, found.stderr, self.logs())
        return json.loads(found.stdout) if code == 0 else found.stderr

    def file(self, name: str) -> Path:
        return self.folder / f"{name}.password"

    def enlist(self) -> None:
        for name, password in PASSWORDS.items():
            self.file(name).touch(0o600)
            self.file(name).write_text(password + "\n", encoding="utf-8")
        new = "--new-password-file"
        self.did("operator", "add", "wang", new, str(self.file("wang")))
        self.did("operator", "add", "li", new, str(self.file("li")), by="wang")

    def entry(self) -> dict[str, Any]:
        """The one entry to the network that any node has, waited for."""
        for _ in range(LOOKS):
            said = self.did("saf", "list", "--to", "unet")
            found = [one for node in said.values() for one in node["entries"]]
            if found:
                return dict(found[0])
        raise AssertionError(self.logs())

    def propose(self, verb: str, entry: str, by: str) -> int:
        (act,) = self.did("saf", verb, entry, "--reason", "the network is gone", by=by)
        assert act["state"] == "pending"
        return int(act["id"])

    def nodes_say(self, verb: str, entry: str, number: int, warrant: str) -> list[Any]:
        """What each node answers when it is asked beside the command."""
        said: list[Any] = []
        for node in ("node1", "node2"):
            given = {"id": entry, "act": str(number), "why": "the network is gone", "warrant": warrant}
            try:
                said.append(ask(self.data / f"run/{node}.sock", f"saf_{verb}", **given))
            except AdminError as error:
                said.append(str(error))
        return said

    def warrant(self, verb: str, entry: str, number: int) -> str:
        """The warrant that a bridge gives when an act is approved."""
        site, problems = load_site(self.config, "networks")
        assert site is not None, problems
        key = bytes.fromhex(site.key.removeprefix("test:"))
        return Warrants(key).warrant(Asked(str(number), f"saf-{verb}", entry, "the network is gone"))

    def die_with_the_money(self) -> dict[str, Any]:
        """Ask for a charge whose answer never comes, and kill the network once it has the money."""
        command = self.command("simulate", "charge", "unet", "13800000001", "50.98", "--order", "o1")
        asking = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL)
        pause = threading.Event()
        while not any(
            one.state is State.TAKEN and one.amount_fen == 5_098 for one in self.books("unet").values()
        ):
            assert asking.poll() is None, self.logs()
            pause.wait(0.02)
        network = self.networks.pop("unet")
        network.kill()
        network.communicate()
        asking.wait(120)
        return self.ended("unet", "50.98", "o1")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Office]:
    """The site with its network connected; ended with SIGTERM."""
    found = Office(tmp_path)
    make_config(found)
    file = found.config / "sites/networks.toml"
    parts = re.split(r"(?m)^(?=\[)", file.read_text(encoding="utf-8"))
    kept = [part for part in parts if not part.startswith("[banks.") or part.startswith("[banks.unet]")]
    file.write_text("".join(kept), encoding="utf-8")
    bank = found.config / "banks/unet.toml"
    text = bank.read_text(encoding="utf-8")
    bank.write_text(text.replace("answer_seconds = 2\nlate", "answer_seconds = 6\nlate"), encoding="utf-8")
    seeded = found.run("seed", "--subscribers", "20")
    assert seeded.returncode == 0, seeded.stderr
    process = subprocess.Popen(
        found.command("run"), cwd=found.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout is not None
        seen = []
        for line in process.stdout:
            seen.append(line)
            if "daemons run" in line:
                break
        assert process.poll() is None, "".join(seen)
        found.play("unet")
        order = "first"
        for _ in range(LOOKS):  # until its line is open
            if found.charge("unet", "1.00", order)["state"] == "credited":
                break
            order += "x"
        yield found
    finally:
        for network in found.networks.values():
            network.kill()
            network.communicate()
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output


def test_two_operators_see_to_a_reversal_that_nobody_answers(site: Office) -> None:
    site.enlist()
    charge = site.die_with_the_money()
    assert charge["state"] == "reversing"
    entry = site.entry()
    assert (entry["kind"], entry["key"], entry["state"]) == ("charge_reversal", charge["key"], "open")

    # What one operator wants, nobody carries out: not the command, and not a node that is asked beside it.
    number = site.propose("expire", entry["id"], "wang")
    assert "wang proposed it and cannot approve it" in site.did("approve", str(number), by="wang", code=1)
    for warrant in ("", "ab" * 32, site.warrant("retry", entry["id"], number)):
        assert all(
            "no second operator has approved" in said
            for said in site.nodes_say("expire", entry["id"], number, warrant)
        )
    assert site.did("saf", "show", entry["id"])["state"] == "open"

    # Two agree: once, and it stays once however often it is said.
    done = site.did("approve", str(number), by="li")
    assert (done["state"], done["result"], done["detail"]["state"]) == ("done", "approved", "manual")
    assert site.did("approve", str(number), by="wang") == done
    shown = site.did("saf", "show", entry["id"])
    assert (shown["state"], shown["act"], shown["why"]) == ("manual", str(number), "the network is gone")
    (open_break,) = await_breaks(site, "manual")
    assert (open_break["key"], open_break["suspense_fen"]) == (charge["key"], 5_098)
    assert [day["open_breaks"] for day in site.did("day", "status") if day["open_breaks"]] == [1]

    # Tried again; what the first act allowed comes too late then, also where a node is asked beside it.
    again = site.propose("retry", entry["id"], "li")
    assert site.did("approve", str(again), by="wang")["detail"]["state"] == "open"
    late = site.nodes_say("expire", entry["id"], number, site.warrant("expire", entry["id"], number))
    assert [said["result"] for said in late if isinstance(said, dict)] == ["too_late"]
    assert site.did("saf", "show", entry["id"])["state"] == "open"
    site.did("approve", str(site.propose("expire", entry["id"], "wang")), by="li")

    # The day-end file gives the money back, once however often it is imported; then the entry is settled.
    (written,) = [one for one in site.did("saf", "export", "unet").values() if one["entries"]]
    assert written["amount_fen"] == 5_098
    for said in ("1 lines booked, 0 were", "0 lines booked, 1 were"):
        imported = site.run("simulate", "network", "unet", "--import", written["path"])
        assert (imported.returncode, said in imported.stdout) == (0, True), imported
    assert site.books("unet")[Key.parse(charge["key"])].state is State.REVERSED
    settled = site.did("approve", str(site.propose("settle", entry["id"], "li")), by="wang")
    assert settled["detail"]["state"] == "settled"
    assert await_breaks(site, None) == []
    assert not any(day["open_breaks"] for day in site.did("day", "status"))
    assert "it has to be manual or quarantined" in site.did("saf", "retry", entry["id"], by="li", code=1)

    chain = site.did("audit", "list")
    assert [one["what"] for one in chain if one["act"]] == ["act proposed", "act approved", "act done"] * 4
    assert site.did("audit", "verify")["faults"] == []
    assert audit_books(f"sqlite:///{site.data}/core.db").balanced


def await_breaks(site: Office, kind: str | None) -> list[dict[str, Any]]:
    """The open breaks once there is one of that kind, or with None once there is none."""
    for _ in range(LOOKS):
        found: list[dict[str, Any]] = site.did("breaks")
        if [one["kind"] for one in found] == ([kind] if kind else []):
            return found
    raise AssertionError((found, site.logs()))
