"""docs/ADDING_A_BANK.md, followed to the letter: its commands, its tables, a running daemon, and a client.

The page is what is tested: commands and tables are taken out of it.  One file is edited by hand, as the page
says, and no Python.
"""

import hashlib
import hmac
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from qianzhi.runtime import clock
from simulators.free_ports import free_ports

pytestmark = pytest.mark.usefixtures("processors")
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/ADDING_A_BANK.md").read_text(encoding="utf-8")
WALK = PAGE[PAGE.index("## A walk") : PAGE.index("## The tables")]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADER = re.compile(r"^\[\[?([^\[\]]+?)\]\]?\s*(?:#.*)?$")
KEY = bytes.fromhex("00112233445566778899AABBCCDDEEFF01234567")
PHONE = "13800000007"


def command(folder: Path, line: str) -> list[str]:
    """One line of the page as this interpreter runs it."""
    program, *words = shlex.split(line)
    assert program == "qianzhi"
    return [sys.executable, "-m", "qianzhi.cli.main", *words]


def run(folder: Path, line: str) -> str:
    """Run one line of the page; it must end with 0."""
    done = subprocess.run(
        command(folder, line), cwd=folder, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def tables_of(text: str) -> list[tuple[str, str]]:
    """A TOML text cut where its tables begin, as (name, lines); what stands before the first has no name."""
    cut: list[tuple[str, str]] = [("", "")]
    for line in text.splitlines(keepends=True):
        header = HEADER.match(line)
        if header:
            cut.append((header.group(1).strip(), ""))
        cut[-1] = (cut[-1][0], cut[-1][1] + line)
    return cut


def under(name: str, tops: set[str]) -> bool:
    """Whether a table is one of these, or stands under one."""
    return any(name == top or name.startswith(f"{top}.") for top in tops)


def edited(text: str, block: str) -> str:
    """The file after a block of the page has replaced the tables of its names, with everything under them."""
    new = tables_of(block)
    names = [name for name, _ in new if name]
    tops = {name for name in names if not any(under(name, {other}) for other in names if other != name)}
    if not names:
        return block + "\n" + "".join(lines for _, lines in tables_of(text)[1:])
    kept = [(name, lines) for name, lines in tables_of(text) if not under(name, tops)]
    places = [at for at, (name, _) in enumerate(tables_of(text)) if under(name, tops)]
    at = min(places, default=len(kept))
    return "".join([*(lines for _, lines in kept[:at]), block, "\n", *(lines for _, lines in kept[at:])])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with the shipped banks' files, in a site where so far no bank has a place."""
    here = tmp_path_factory.mktemp("walk")
    shutil.copytree(ROOT / "config", here / "config")
    site = here / "config/site.toml"
    text = "".join(
        lines for name, lines in tables_of(site.read_text(encoding="utf-8")) if not under(name, {"banks"})
    )
    text += "\n[banks]\n"
    ports = sorted(set(re.findall(r"\b17\d{3}\b", text)))
    for port, free in zip(ports, free_ports(len(ports)), strict=True):
        text = text.replace(port, str(free))
    site.write_text(text, encoding="utf-8")
    return here


@pytest.fixture(scope="module")
def walked(folder: Path) -> Iterator[dict[str, str]]:
    """The page followed to its last command: what each command printed.  `qianzhi run` goes on meanwhile."""
    file = folder / "config/banks/riverside.toml"
    printed: dict[str, str] = {}
    process: subprocess.Popen[str] | None = None
    try:
        for kind, block in FENCE.findall(WALK):
            if kind == "toml":
                file.write_text(edited(file.read_text(encoding="utf-8"), block), encoding="utf-8")
                continue
            assert kind == "sh", f"a block of {kind} that nobody follows"
            for line in block.splitlines():
                if line == "qianzhi run":
                    process = started(folder, line)
                else:
                    printed[line] = run(folder, with_free_port(line))
        yield printed
    finally:
        if process is not None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


def with_free_port(line: str) -> str:
    """The page lets the command choose the ports; here it is told which are free."""
    return f"{line} --port {free_row(2)}" if " new-bank " in line else line


def free_row(count: int) -> int:
    """The first of so many free ports in a row."""
    while True:
        ports = free_ports(count)
        if ports == list(range(ports[0], ports[0] + count)):
            return ports[0]


def started(folder: Path, line: str) -> "subprocess.Popen[str]":
    """Start the system and wait until it says that its daemons run."""
    with (folder / "run.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            command(folder, line), cwd=folder, stdout=log, stderr=log, text=True, start_new_session=True
        )
    until = clock.monotonic_seconds() + 60
    while "daemons run" not in (folder / "run.log").read_text(encoding="utf-8"):
        assert process.poll() is None, (folder / "run.log").read_text(encoding="utf-8")
        assert clock.monotonic_seconds() < until
        clock.sleep(0.1)
    return process


def test_the_page_is_followed_to_the_end(walked: dict[str, str]) -> None:
    lines = list(walked)
    assert lines[0].startswith("qianzhi new-bank riverside")
    assert "is valid" in walked["qianzhi check"]
    described = next(printed for line, printed in walked.items() if " describe " in line)
    assert "0000005000" in described
    assert "13800000001" not in described
    assert "every one as it must be" in walked["qianzhi vectors riverside --write"]
    assert "HMAC" in walked["qianzhi docs riverside"]
    recharge = next(printed for line, printed in walked.items() if " recharge " in line)
    assert "approved (code 00)" in recharge


def test_one_file_was_edited_by_hand_and_nothing_was_written_in_python(
    walked: dict[str, str], folder: Path
) -> None:
    def files(base: Path) -> set[str]:
        return {str(path.relative_to(base)) for path in base.rglob("*") if path.is_file()}

    assert files(folder / "config") - files(ROOT / "config") == {"banks/riverside.toml"}
    assert not list(folder.rglob("*.py"))
    for path in files(ROOT / "config") - {"site.toml"}:
        assert (folder / "config" / path).read_bytes() == (ROOT / "config" / path).read_bytes()
    assert (folder / "supervisor.d/front-riverside-1.conf").is_file()
    tree = tomllib.loads((folder / "config/banks/riverside.toml").read_text(encoding="utf-8"))
    assert "TO DO" not in json.dumps(tree)


def test_the_sample_of_the_paper_has_the_mac_that_the_paper_says(walked: dict[str, str]) -> None:
    sample = re.search(r"`(\d{5}CHGQ[^`]+)`", WALK).group(1).encode("gbk")
    assert int(sample[:5]) == len(sample)
    assert sample[-40:].decode() == hmac.new(KEY, sample[5:-40], hashlib.sha1).hexdigest()


def test_a_client_written_from_the_paper_recharges_a_phone(walked: dict[str, str], folder: Path) -> None:
    site = tomllib.loads((folder / "config/site.toml").read_text(encoding="utf-8"))
    host, _, port = site["banks"]["riverside"]["listen"].rpartition(":")
    with socket.create_connection((host, int(port)), 10) as line:
        asked = request("CHG", 7_000_001, f"{PHONE}{3000:010d}")
        first = ask(line, asked)
        assert first[:4] == b"CHGA"
        assert first[27:29] == b"00"
        order = first[29:49].rstrip().decode("ascii")
        assert ask(line, request("CHG", 7_000_001, f"{PHONE}{3000:010d}", again="1"))[27:] == first[27:]
        assert ask(line, request("CHG", 7_000_001, f"{PHONE}{4000:010d}"))[27:29] == b"21"
        spoiled = bytearray(request("CHG", 7_000_002, f"{PHONE}{3000:010d}"))
        spoiled[-1:] = b"1" if spoiled[-1:] == b"0" else b"0"  # another digit, and still one
        assert ask(line, bytes(spoiled))[27:29] == b"32"
        today = f"{now():%y%m%d}"
        assert ask(line, request("STA", 7_000_003, f"{today}{7_000_001:010d}"))[27:29] == b"00"
        assert ask(line, request("REV", 7_000_004, f"{today}{7_000_001:010d}{3000:010d}"))[27:29] == b"00"
        assert ask(line, request("STA", 7_000_005, f"{today}{7_000_001:010d}"))[27:29] == b"22"
    account = json.loads(run(folder, f"qianzhi account {PHONE} --json"))
    mine = [each for each in account["orders"] if each["serial"] == order]
    assert mine
    assert mine[0]["amount_fen"] == 3000
    assert mine[0]["reversed_by"]
    assert "balanced" in run(folder, "qianzhi audit-books")


def now() -> datetime:
    """The bank's own clock."""
    return datetime.fromtimestamp(clock.now().wall_us // 1_000_000, UTC).astimezone(ZoneInfo("Asia/Shanghai"))


def request(kind: str, seq: int, body: str, again: str = " ") -> bytes:
    """A message as the paper says, with its length."""
    text = f"{kind}QJPBANK{now():%y%m%d}{seq:010d}{again}  {body}".encode("gbk")
    text += hmac.new(KEY, text, hashlib.sha1).hexdigest().encode("ascii")
    return b"%05d" % (len(text) + 5) + text


def ask(line: socket.socket, data: bytes) -> bytes:
    """Send a message and return the answer without its length, once its SIGN is right."""
    line.sendall(data)
    size = int(exactly(line, 5)) - 5
    answer = exactly(line, size)
    assert answer[-40:].decode() == hmac.new(KEY, answer[:-40], hashlib.sha1).hexdigest()
    return answer[:-40]


def exactly(line: socket.socket, size: int) -> bytes:
    """Read so many bytes."""
    data = b""
    while len(data) < size:
        more = line.recv(size - len(data))
        assert more, "the line was closed"
        data += more
    return data
