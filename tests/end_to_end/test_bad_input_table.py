"""Every defect on every live port, as one table: what each bank hears for it, and that nobody else notices.

The defects are those of `qianzhi vectors`, applied to messages that the banks' own codec has just written and
signed with the keys of the running line; the answers are read by the same codec.  The table (bad_input.toml)
is written by hand: it says what must be heard, and the running system says what is.
"""

import contextlib
import json
import socket
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import zmq

from frontends.profile import load_profile
from qianzhi.cli.sample_requests import main_of
from qianzhi.cli.vector_defects import DEFECTS, OF_KIND, broken_wire, good_of, other_value
from qianzhi.cli.vector_making import Bench, Vector
from qianzhi.domain.dates import business_date, shift
from qianzhi.domain.requests import Kind, Request
from qianzhi.domain.results import Result
from qianzhi.link.site import load_site
from qianzhi.runtime import clock
from simulators.connections import ShortConnections, SocketConnection
from simulators.framing import Cutter, framed
from simulators.line import Outgoing
from simulators.lines import LineMaker
from simulators.record import Ask
from simulators.state_file import StateFile

ROOT = Path(__file__).parents[2]
DATES_OURS = ("lianlian",)  # whose messages carry no business date
BANKS = sorted(tomllib.loads((ROOT / "config/site.toml").read_text(encoding="utf-8"))["banks"])
PHONE, CARD, AMOUNT_FEN = "13800000009", "6222000000000000018", 1000
SECONDS = 10

UNREADABLE, CLOSED = "unreadable", "closed"
TABLE = tomllib.loads((Path(__file__).parent / "bad_input.toml").read_text(encoding="utf-8"))
NO_SIGN_OFF: set[str] = set()  # dialects with a sign-on and nothing to undo it


def expected(defect: str, bank: str) -> Result | str:
    """What this bank hears for this defect."""
    row = TABLE[defect]
    word = row if isinstance(row, str) else row.get(bank, row["all"])
    return word if word in (UNREADABLE, CLOSED) else Result[word.upper()]


def cells() -> list[tuple[str, str]]:
    """Every defect that a dialect can have, and those of the ports themselves."""
    found = []
    for bank in BANKS:
        rows = json.loads((ROOT / "tests/vectors" / bank / "broken.json").read_text(encoding="utf-8"))
        found += [(bank, str(row["name"]).partition(".")[2]) for row in rows]
        found += [(bank, "largest_of_nothing"), (bank, "another_protocol")]
    return found


class Heard(NamedTuple):
    """What came of some bytes: an answer's frame, or an end."""

    frame: bytes = b""
    closed: bool = False


class Bank:
    """One bank at the live port: its session stands, and every bad message takes a connection of its own."""

    def __init__(self, system: Any, name: str) -> None:
        self.system = system
        self.name = name
        site, problems = load_site(system.config, "")
        assert site is not None, problems
        profile, problems = load_profile(system.config, name, site)
        assert profile is not None, problems
        self.profile = profile
        self.short = profile.transport.connection == "short"
        self.queued = profile.transport.kind == "queue"
        self.state = StateFile(system.data, name)
        self.maker = LineMaker(profile, system.config, self.state, production=False)
        today = business_date(clock.now().wall_us, profile.mapping.zone)
        probe = self.maker.make(iter(()).__next__)
        self.serials = iter(self.state.lease(400, today, probe.serials_max))
        self.line = self.maker.make(self.serials.__next__)
        self.today = today
        self.context: zmq.Context[Any] = zmq.Context()
        host, _, port = system.address(name).removeprefix("tcp://").rpartition(":")
        self.address = (host, int(port))
        self.connection = None if self.queued else self._connect()
        self._open()

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
        self.context.destroy(0)

    def _connect(self) -> Any:
        shape = ShortConnections if self.short else SocketConnection
        return shape(*self.address, self.profile.frame)

    def _open(self) -> None:
        """Sign on, and have a key agreed on where the dialect has them."""
        self._say(self.line.on_connected(clock.now()))
        for _ in range(100):
            if self.line.ready:
                return
            self._take(0.2)
            self._say(self.line.on_time(clock.now()))
        raise AssertionError(f"{self.name}: {self.line.session.state} {self.line.session.refusal}")

    def manage(self, name: str) -> None:
        """Say something about the line, and wait until it is approved."""
        serial, out = self.line.manage(name, clock.now())
        self._say(out)
        for _ in range(100):
            if code := self.line.management_code(serial):
                assert self.profile.results.result_of(code) is Result.APPROVED
                return
            self._take(0.1)
        raise AssertionError(f"{self.name}: {name} was not answered")

    def open_again(self) -> None:
        """Begin the session anew on a new connection."""
        self.line.on_closed()
        if self.connection is not None:
            self.connection.close()
            self.connection = self._connect()
        self._open()

    def _take(self, seconds: float) -> None:
        assert self.connection is not None
        _, out = self.line.on_frames(self.connection.receive(seconds), clock.now())
        self.maker.keep_key(self.line)
        self._say(out)

    def _say(self, out: list[Outgoing]) -> None:
        if out and self.connection is not None:
            self.connection.send(out)

    # -- messages

    def request(self, **changes: Any) -> Request:
        serial = self.line.serial_text(next(self.serials), self.today)
        values = {"kind": Kind.RECHARGE, "space": self.profile.space, "date": self.today, "serial": serial}
        values |= {"bank": self.name, "bank_number": self.profile.numbers[0], "phone": PHONE}
        return Request(**(values | {"amount_fen": AMOUNT_FEN} | changes))

    def message(self, request: Request) -> dict[str, Any]:
        now = clock.now()
        days = 86_400_000_000 * (request.date - self.today)
        return self.line.message_of(Ask(1, request, now.wall_us + days, card=CARD), now)

    def good(self) -> Any:
        """A recharge of 10.00, written and signed now, taken apart."""
        bench = Bench(self.profile)
        bench.mac_key = self.line.session.key or b""
        message = self.message(self.request())
        body = self.line.frame_of(message)
        vector = Vector("recharge", "in", f"transactions.{main_of(self.profile)}", body, bench.mac_key)
        return good_of(bench, vector, message)

    def spoiled(self, defect: str) -> bytes:
        """The bytes of a defect as they go over the line; on a queue without any framing."""
        good = self.good()
        if defect == "largest_of_nothing":
            return self.wire(bytes(self.profile.frame.frame_bytes_max))
        if defect == "another_protocol":
            return b"GET / HTTP/1.1\r\nHost: bank\r\n\r\n"
        for name, whole in broken_wire(good):
            if name == defect:
                return whole
        month = f"{self.today % 10_000:04d}"
        kind = str(self.profile.spec.get("kind", ""))
        rows = {**DEFECTS, **OF_KIND.get(kind, {})}
        rows["bad_date"] = other_value("date", lambda value: value.replace(month, "13" + month[2:], 1))
        body = rows[defect](good)
        assert body is not None
        assert body != good.body
        return self.wire(body)

    def wire(self, body: bytes) -> bytes:
        if self.queued:
            return body
        return framed(self.profile.frame, body) if body else framed(self.profile.frame, b"0")[:-1]

    # -- asking

    def ask(self, data: bytes, *, end: bool = False, answered: bool = True) -> Heard:
        """Send bytes on a connection of their own; return the answer, or that the connection was closed.

        `end` shuts our sending side; `answered` says that a queue is to answer.
        """
        if self.queued:
            return self._ask_queue(data, answered)
        with socket.create_connection(self.address, timeout=SECONDS) as made:
            made.sendall(data)
            if end or self.short:
                with contextlib.suppress(OSError):
                    made.shutdown(socket.SHUT_WR)
            cutter = Cutter(self.profile.frame)
            try:
                while got := made.recv(65_536):
                    frames = cutter.receive(got)
                    if frames:
                        return Heard(frames[0])
            except ConnectionError:
                return Heard(closed=True)
            rest = cutter.end()
            return Heard(rest[0]) if rest else Heard(closed=True)

    def _ask_queue(self, data: bytes, answered: bool) -> Heard:
        """A second message, a good one, tells when the first would have been answered, if it is dropped."""
        good = self.line.frame_of(self.message(self.request()))
        queue = self.context.socket(zmq.DEALER)
        try:
            queue.setsockopt(zmq.RCVTIMEO, SECONDS * 1000)
            queue.connect(f"tcp://{self.address[0]}:{self.address[1]}")
            queue.send_multipart([b"bad", data])
            queue.send_multipart([b"good", good])
            answers = {}
            while b"good" not in answers or (answered and b"bad" not in answers):
                message_id, body = queue.recv_multipart()
                answers[message_id] = body
            assert self.result_of(answers[b"good"]) is Result.APPROVED
            return Heard(answers.get(b"bad", b""))
        finally:
            queue.close(0)

    def code_of(self, frame: bytes) -> str:
        return self.profile.mapping.reply_of(self.line.dialect.codec.decode(frame)).code

    def result_of(self, frame: bytes) -> Result | None:
        return self.profile.results.result_of(self.code_of(frame))

    def is_well(self) -> bool:
        """Whether a good recharge is approved."""
        heard = self.ask(self.wire(self.line.frame_of(self.message(self.request()))))
        return self.result_of(heard.frame) is Result.APPROVED

    def counted(self) -> float:
        """How much was refused, dropped or closed so far, as Prometheus reads it."""
        names = (
            "qianzhi_bad_frames",
            "qianzhi_requests",
            "qianzhi_connections_closed",
            "qianzhi_queue_messages",
        )
        counters = self.system.counters(self.name).items()
        return sum(value for name, value in counters if name.startswith(names) and "approved" not in name)


@pytest.fixture(scope="module")
def banks(system: Any) -> Iterator[dict[str, Bank]]:
    """Every bank, opened when it is first wanted; in the end the same processes run, and the books hold."""
    before = {name: status["pid"] for name, status in system.ask("status").items()}
    found: dict[str, Bank] = {}
    yield found
    for bank in found.values():
        assert bank.is_well()
        bank.close()
    assert {name: status["pid"] for name, status in system.ask("status").items()} == before
    assert system.run("audit-books").returncode == 0
    assert "Traceback" not in system.logs()
    assert not secrets_on_disk(system), "outside the core nobody keeps a phone or a card's number"


def secrets_on_disk(system: Any) -> list[str]:
    """The logs and records that show the table's phone or card: as text, as its hex, or packed."""
    files = [
        path for path in system.data.rglob("*") if path.is_file() and not path.name.startswith("core.db")
    ]
    assert len([path for path in files if path.suffix in (".log", ".evt")]) > 2 * len(BANKS)
    canaries = [form for digits in (PHONE, CARD) for form in forms_of(digits)]
    return [f"{path}: {canary!r}" for path in files for canary in canaries if canary in path.read_bytes()]


def forms_of(digits: str) -> list[bytes]:
    """Digits as they may stand on a line; an odd number of them is packed with a filler on either side."""
    text = digits.encode("ascii")
    return [text, text.hex().encode("ascii"), *(bytes.fromhex(f) for f in fillings(digits))]


def fillings(digits: str) -> list[str]:
    """An even number of digits."""
    return [f"0{digits}", f"{digits}0", f"{digits}F"] if len(digits) % 2 else [digits]


def opened(banks: dict[str, Bank], system: Any, name: str) -> Bank:
    if name not in banks:
        banks[name] = Bank(system, name)
    return banks[name]


@pytest.mark.parametrize(("name", "defect"), cells())
def test_each_defect_is_heard_as_the_table_says(
    system: Any, banks: dict[str, Bank], name: str, defect: str
) -> None:
    bank = opened(banks, system, name)
    data, want = bank.spoiled(defect), expected(defect, name)
    before = bank.counted()
    end = defect in ("frame_not_whole", "another_protocol", "empty")
    heard = bank.ask(data, end=end, answered=isinstance(want, Result))
    if isinstance(want, Result):
        assert heard.frame, f"no answer; {want.name} was expected"
        assert bank.code_of(heard.frame) == bank.profile.results.code_of(want)
    elif bank.queued:
        assert heard.frame == b"", bank.code_of(heard.frame)
    elif want == UNREADABLE and has_reject_code(bank, data):
        assert heard.frame[41:46] != b"00000"
    else:
        assert heard.closed, heard.frame
    for _ in range(100):
        if bank.counted() > before:
            break
        threading.Event().wait(0.05)
    else:
        pytest.fail("nothing was counted")
    assert bank.is_well()


def has_reject_code(bank: Bank, data: bytes) -> bool:
    """Whether a message of this dialect, of this length, can be sent back with a reject code."""
    return bank.profile.spec.get("header") == "cups" and len(data) > 46 + bank.profile.frame.size


@pytest.mark.parametrize("name", BANKS)
def test_what_only_the_core_can_refuse_is_refused_at_every_port(
    system: Any, banks: dict[str, Bank], name: str
) -> None:
    bank = opened(banks, system, name)
    code_of = bank.profile.results.code_of

    def told(**changes: Any) -> str:
        return bank.code_of(
            bank.ask(bank.wire(bank.line.frame_of(bank.message(bank.request(**changes))))).frame
        )

    assert told(phone="19900000000") == code_of(Result.NO_SUCH_PHONE)
    if name not in DATES_OURS:
        assert told(date=shift(bank.today, 3)) == code_of(Result.BAD_DATE)
        assert told(date=shift(bank.today, -3)) == code_of(Result.BAD_DATE)
    serial = bank.request().serial
    assert told(serial=serial) == code_of(Result.APPROVED)
    assert told(serial=serial) == code_of(Result.APPROVED), "the same again is answered as before"
    assert told(serial=serial, amount_fen=2 * AMOUNT_FEN) == code_of(Result.DUPLICATE_SERIAL)
    assert told(serial=serial, phone="13800000010") == code_of(Result.DUPLICATE_SERIAL)


@pytest.mark.parametrize("name", BANKS)
def test_who_has_signed_off_is_refused(system: Any, banks: dict[str, Bank], name: str) -> None:
    bank = opened(banks, system, name)
    if "sign_off" not in bank.profile.table.management:
        assert not bank.profile.session.sign_on or name in NO_SIGN_OFF
        return
    try:
        bank.manage("sign_off")
        heard = bank.ask(bank.wire(bank.line.frame_of(bank.message(bank.request()))))
        assert bank.code_of(heard.frame) == bank.profile.results.code_of(Result.NOT_SIGNED_ON)
    finally:
        bank.open_again()
    assert bank.is_well()


def test_the_table_has_a_row_for_every_defect() -> None:
    assert {defect for _, defect in cells()} == set(TABLE)
    assert len(BANKS) >= 16
