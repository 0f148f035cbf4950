"""Bad input on the live socket: answered as the dialect has it or cut off, counted, and disturbing nobody.

What is sent is written by the client of examples/, which shares no code with the platform.
"""

import contextlib
import datetime
import itertools
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from qianzhi.runtime import clock
from qianzhi.runtime.events import read_events

SERIALS = itertools.count(910_000)
BAD, SESSION = 'qianzhi_bad_frames_total{bank="hz_citic"', 'qianzhi_session_events_total{bank="hz_citic"'
REQUESTS = 'qianzhi_requests_total{bank="hz_citic"'
CLOSED = 'qianzhi_connections_closed_total{listener="hz_citic"'
REFUSED = 'qianzhi_connections_refused_total{listener="hz_citic"'


class Member:
    """The bank: one good connection that stays, and as many bad ones as a test wants."""

    def __init__(self, system: Any, code: Any) -> None:
        self.system = system
        self.code = code
        host, _, port = system.address("hz_citic").rpartition(":")
        self.address = (host, int(port))
        self.good = code.Line(*self.address)
        self.sign_on()

    def sign_on(self) -> None:
        answer = self.manage("001")
        assert answer[39] == b"00"
        self.manage("101")
        before = self.good.key
        while self.good.key is before:
            mti, message = self.good.receive()
            if mti == "0800":
                self.good.take_key(message)

    def manage(self, what: str) -> dict[int, bytes]:
        fields = {7: self.stamp(), 11: self.serial(), 33: self.code.MEMBER, 70: what}
        return self.good.ask("0820", fields | ({53: "26".ljust(16, "0")} if what == "101" else {}))

    @staticmethod
    def serial() -> str:
        return f"{next(SERIALS):06d}"

    @staticmethod
    def stamp(days: int = 0) -> str:
        zone = datetime.timezone(datetime.timedelta(hours=8))
        now = datetime.datetime.fromtimestamp(clock.now().wall_us / 1e6, zone)
        return (now + datetime.timedelta(days=days)).strftime("%m%d%H%M%S")

    def fields(self, changes: dict[int, Any]) -> dict[int, Any]:
        """A recharge of 10.00, changed; a value of None leaves its field out."""
        fields = {
            2: "6222000000000000018",
            3: "000000",
            4: f"{1000:012d}",
            7: self.stamp(),
            11: self.serial(),
        }
        fields |= {18: "4814", 25: "00", 32: self.code.MEMBER, 33: self.code.MEMBER, 41: "00000001"}
        fields |= {42: "0302".ljust(15), 48: "PZ01" + "13800000007".ljust(40), 49: "156"}
        return {number: value for number, value in (fields | changes).items() if value is not None}

    def signed(self, changes: dict[int, Any], mti: str = "0200", key: bytes | None = None) -> dict[int, Any]:
        fields = self.fields(changes)
        mac = self.code.mac(key or self.good.key, mti, fields, self.code.MAC_FIELDS)
        return fields | {128: mac[:4].hex().upper()}

    def body(self, changes: dict[int, Any], mti: str = "0200") -> bytes:
        return bytes(self.code.pack(mti, self.signed(changes, mti)))

    @contextlib.contextmanager
    def line(self) -> Iterator[Any]:
        """Another connection of the same bank."""
        line = self.code.Line(*self.address)
        line.key = self.good.key
        try:
            yield line
        finally:
            line.socket.close()

    def code_of(self, changes: dict[int, Any], mti: str = "0200", key: bytes | None = None) -> str:
        """Ask on a connection of its own and return the answer's code."""
        with self.line() as line:
            return str(line.ask(mti, self.signed(changes, mti, key))[39].decode())

    def is_well(self) -> bool:
        """Whether the good connection is still served."""
        return bool(self.good.ask("0200", self.signed({}))[39] == b"00")

    def rises(self, name: str, before: dict[str, float]) -> bool:
        """Wait until the counters that begin like this count more than before."""

        def total(counters: dict[str, float]) -> float:
            return sum(value for each, value in counters.items() if each.startswith(name))

        for _ in range(100):
            if total(self.system.counters("hz_citic")) > total(before):
                return True
            threading.Event().wait(0.1)
        return False


@pytest.fixture(scope="module")
def member(system: Any, examples: Any) -> Iterator[Member]:
    """The bank; after everything the same processes run, and the books hold."""
    before = {name: status["pid"] for name, status in system.ask("status").items()}
    found = Member(system, examples["hz_citic"])
    yield found
    assert found.is_well()
    found.good.socket.close()
    assert {name: status["pid"] for name, status in system.ask("status").items()} == before
    assert system.run("audit-books").returncode == 0
    assert "Traceback" not in system.logs()


def framed(body: bytes) -> bytes:
    return b"%04d" % len(body) + body


NO_FRAMES = {  # bytes after which nothing on this connection can be trusted
    "a length that is no number": b"ab12" + b"x" * 40,
    "a length with a sign": b"+003abc",
    "a length with a blank": b" 003abc",
    "zero length with something behind": b"0000zzzz",
    "garbage of the promised length": framed(b"\xff" * 60),
    "the largest frame, full of nothing": framed(bytes(9999)),
    "text instead of a header": framed(b"GET / HTTP/1.1\r\nHost: bank\r\n\r\n"),
    "a length over a shorter message": b"0020" + b"\x2e" + b"0" * 60,
}


@pytest.mark.parametrize("name", NO_FRAMES)
def test_bytes_that_are_no_frames_close_their_connection(member: Member, name: str) -> None:
    before = member.system.counters("hz_citic")
    with member.line() as line:
        line.socket.sendall(NO_FRAMES[name])
        with contextlib.suppress(ConnectionResetError):
            assert line.socket.recv(65536) == b"", "nothing is said, the connection is closed"
    assert member.rises(CLOSED, before)
    assert member.is_well()


UNREADABLE = {  # a good recharge, spoiled after it was signed
    "truncated": lambda body: body[:-10],
    "with bytes behind its end": lambda body: body + b"0000",
    "of a wrong total length": lambda body: body[:2] + b"0099" + body[6:],
    "with a bit for what is not there": lambda body: body[:50] + bytes([body[50] ^ 0x08]) + body[51:],
    "with every bit set": lambda body: body[:50] + b"\xff" * 16 + body[66:],
    "without its second bitmap": lambda body: body[:50] + bytes([body[50] & 0x7F]) + body[51:],
    "of which only the header came": lambda body: b"\x2e\x020046" + body[6:46],
    "with a negative amount": lambda body: body.replace(b"000000001000", b"-00000001000"),
    "with an amount in letters": lambda body: body.replace(b"000000001000", b"0000ten yuan"),
    "with NUL in a text": lambda body: body.replace(b"0302       ", b"03\x0002      "),
    "with a surrogate in a text": lambda body: body.replace(b"0302       ", b"0302 \xed\xa0\x80   "),
    "in another charset": lambda body: body.replace(b"13800000007 ", b"13800000007\xff"),
    "with a card number too long": lambda body: body.replace(b"196222", b"996222"),
    "with a length that is no number": lambda body: body.replace(b"196222", b"+96222"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_message_that_cannot_be_read_comes_back_with_its_reject_code(member: Member, name: str) -> None:
    body = member.body({})
    spoiled = UNREADABLE[name](body)
    assert spoiled != body
    before = member.system.counters("hz_citic")
    with member.line() as line:
        line.socket.sendall(framed(spoiled))
        back = line.read(int(line.read(4)))
        assert back[41:46] != b"00000"
        assert back[46:] == spoiled[46:]
        line.send("0200", member.signed({}))
        assert line.receive()[1][39] == b"00", "the same connection is served on"
    assert member.rises(BAD, before)
    assert member.is_well()


REFUSALS = {  # what is changed in a good recharge, and the code that it is answered with
    "an unknown transaction": ({3: "990000"}, "40"),
    "an unknown phone": ({48: "PZ01" + "19900000000".ljust(40)}, "14"),
    "a phone with a letter": ({48: "PZ01" + "1380000000a".ljust(40)}, "30"),
    "a zero amount": ({4: "0" * 12}, "13"),
    "an absurd amount": ({4: "9" * 12}, "61"),
    "no amount": ({4: None}, "30"),
    "a date that is none": ({7: "0230101530"}, "30"),
    "the number of another bank": ({42: "0102".ljust(15)}, "92"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_message_that_is_no_request_hears_its_code(member: Member, name: str) -> None:
    changes, code = REFUSALS[name]
    before = member.system.counters("hz_citic")
    assert member.code_of(changes) == code
    assert member.rises(REQUESTS, before)
    assert member.is_well()


def test_an_unknown_message_type_is_refused(member: Member) -> None:
    assert member.code_of({}, mti="0100") == "40"
    assert member.is_well()


@pytest.mark.parametrize("days", [-3, 3])
def test_a_wrong_business_date_is_refused(member: Member, days: int) -> None:
    assert member.code_of({7: member.stamp(days)}) == "B4"
    assert member.is_well()


def test_a_wrong_mac_is_refused(member: Member) -> None:
    before = member.system.counters("hz_citic")
    assert member.code_of({}, key=bytes(16)) == "A0"
    with member.line() as line:
        assert line.ask("0200", member.fields({}))[39] == b"A0", "none at all is a wrong one"
    assert member.rises(SESSION + ',what="bad_mac"', before)
    assert member.is_well()


def test_a_repeated_serial_is_answered_as_before_and_with_other_content_refused(member: Member) -> None:
    fields = member.signed({})
    with member.line() as line:
        first, again = line.ask("0200", fields), line.ask("0200", fields)
        assert (first[39], first[37]) == (again[39], again[37]) == (b"00", first[37])
        other = member.signed({4: f"{2000:012d}", 7: fields[7], 11: fields[11]})
        assert line.ask("0200", other)[39] == b"94"
    assert member.is_well()


def test_slow_bytes_are_cut_off(member: Member) -> None:
    before = member.system.counters("hz_citic")
    body = framed(member.body({}))
    with member.line() as line, contextlib.suppress(ConnectionError):
        line.socket.settimeout(0.05)
        for byte in body:
            line.socket.send(bytes([byte]))
            with contextlib.suppress(TimeoutError):
                assert line.socket.recv(1) == b""
                break
        else:
            pytest.fail("a message that takes ten seconds to come was waited for")
    assert member.rises(CLOSED + ',reason="partial', before)
    assert member.is_well()


def test_connections_that_break_off_or_hang_keep_nobody_out(member: Member) -> None:
    before = member.system.counters("hz_citic")
    half = framed(member.body({}))[:100]
    for _ in range(5):
        with member.line() as line:  # gone without a word, as after a power cut and a restart
            line.socket.sendall(half)
            line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.ExitStack() as stack:
        hanging = [stack.enter_context(member.line()) for _ in range(5)]
        for line in hanging:
            line.socket.sendall(half)
        assert member.is_well()
        over = [stack.enter_context(member.line()) for _ in range(16)]
        assert any(is_refused(line.socket) for line in over), "more than the profile allows"
        assert member.is_well()
        assert member.rises(REFUSED, before)
        assert member.rises(CLOSED + ',reason="partial', before)
    assert member.is_well()


def is_refused(connection: socket.socket) -> bool:
    connection.settimeout(0.2)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def test_who_is_not_signed_on_is_refused(member: Member) -> None:
    before = member.system.counters("hz_citic")
    assert member.manage("002")[39] == b"00"
    try:
        assert member.code_of({}) == "C1"
        assert member.rises(SESSION + ',what="not_signed_on"', before)
    finally:
        member.sign_on()
    assert member.is_well()


def test_all_of_it_stands_in_the_event_file_without_secrets(member: Member) -> None:
    folder = member.system.data / "events/front-hz_citic-1"
    rows = list(read_events(folder))
    seen = {str(name) for row in rows for name in (row.name, row.data.get("reason"), row.data.get("result"))}
    assert {"format", "bad_mac", "not_signed_on", "unsupported", "bad_date", "duplicate_serial"} <= seen
    assert any(name.startswith("bad_frame_") for name in seen)
    assert any(name.startswith("partial") for name in seen)
    key = member.good.key
    secrets = (b"6222000000000000018", key, key.hex().encode(), key.hex().upper().encode())
    for path in member.system.data.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert not [secret for secret in secrets if secret in content], path
    for path in [*folder.iterdir(), *(member.system.data / "log").iterdir()]:
        assert b"13800000007" not in path.read_bytes(), path
