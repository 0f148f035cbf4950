"""Bad input on the live queue: answered as the dialect has it or dropped, counted, and disturbing nobody.

What is sent is written by the client of examples/, which shares no code with the platform.
"""

import datetime
import itertools
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import zmq

from qianzhi.runtime import clock
from qianzhi.runtime.events import read_events

SERIALS = itertools.count(1)
BAD, REQUESTS = 'qianzhi_bad_frames_total{bank="icbc"', 'qianzhi_requests_total{bank="icbc"'
MALFORMED = 'qianzhi_queue_messages_total{queue="icbc",what="malformed"'
OVERSIZED = 'qianzhi_queue_messages_total{queue="icbc",what="oversized"'
HEAD = {"Version": "1.0", "TrxCode": "030012", "Type": "REQ", "BankNo": "0102", "Repeat": "0"}
BODY = {"Phone": "13800000008", "Amount": "10.00", "CardNo": "6222000000000000018"}


class Bank:
    """The bank: one good queue that stays, and another one for every bad message."""

    def __init__(self, system: Any, code: Any) -> None:
        self.system = system
        self.code = code
        self.address = system.address("icbc")
        self.context: zmq.Context[Any] = zmq.Context()
        self.good = self.dealer()
        self.ids = itertools.count(1)

    def dealer(self) -> "zmq.Socket[bytes]":
        found: zmq.Socket[bytes] = self.context.socket(zmq.DEALER)
        found.setsockopt(zmq.LINGER, 1000)
        found.setsockopt(zmq.RCVTIMEO, 10_000)
        found.connect(self.address)
        return found

    def document(self, changes: dict[str, str | None], days: int = 0) -> bytes:
        """A signed recharge of 10.00, changed; a value of None leaves its element out."""
        zone = datetime.timezone(datetime.timedelta(hours=8))
        now = datetime.datetime.fromtimestamp(clock.now().wall_us / 1e6, zone) + datetime.timedelta(days=days)
        times = {"TrxDate": now.strftime("%Y%m%d"), "TrxTime": now.strftime("%H%M%S")}
        serial = {"Serial": f"BAD{clock.now().wall_us % 10**9}{next(SERIALS)}"}
        parts = []
        for part in (HEAD | times | serial, BODY):
            changed = {name: changes.get(name, value) for name, value in part.items()}
            parts.append({name: value for name, value in changed.items() if value is not None})
        parts[1] |= {name: value for name, value in changes.items() if value and name not in parts[0] | BODY}
        return bytes(self.code.document(*parts))

    def ask(self, document: bytes, queue: "zmq.Socket[bytes] | None" = None) -> dict[str, str]:
        """Send a document and return the values of its answer, whose MAC is right."""
        queue = queue or self.good
        message_id = b"%d" % next(self.ids)
        queue.send_multipart([message_id, document])
        answered, answer = queue.recv_multipart()
        assert answered == message_id
        values: dict[str, str] = self.code.values_of(answer)
        assert values["Mac"] == self.code.mac(values)
        return values

    def is_well(self) -> bool:
        """Whether the good queue is still served."""
        return self.ask(self.document({}))["RetCode"] == "0000"

    def rises(self, name: str, before: dict[str, float]) -> bool:
        """Wait until the counters that begin like this count more than before."""

        def total(counters: dict[str, float]) -> float:
            return sum(value for each, value in counters.items() if each.startswith(name))

        for _ in range(100):
            if total(self.system.counters("icbc")) > total(before):
                return True
            threading.Event().wait(0.1)
        return False


@pytest.fixture(scope="module")
def bank(system: Any, examples: Any) -> Iterator[Bank]:
    found = Bank(system, examples["icbc"])
    yield found
    assert found.is_well()
    found.context.destroy()


@pytest.fixture
def queue(bank: Bank) -> Iterator["zmq.Socket[bytes]"]:
    """A queue connection for one bad message."""
    found = bank.dealer()
    yield found
    found.close()


UNREADABLE = {
    "garbage": b"\xff\xfe\x00\x01" * 20,
    "no root": b"just text",
    "another root": b"<Massage/>",
    "truncated": b"<?xml version='1.0' encoding='GBK'?><Message><Head><TrxCode>030012",
    "another charset": "<?xml version='1.0' encoding='UTF-16'?><Message/>".encode("utf-16"),
    "a charset that nobody knows": b"<?xml version='1.0' encoding='KLINGON'?><Message/>",
    "not the charset that it says": "<?xml version='1.0' encoding='GBK'?><Message>张</Message>".encode(),
    "an entity": b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><Message><Head>&b;</Head></Message>",
    "an entity bomb": b"<!DOCTYPE a [<!ENTITY b 'bbbb'><!ENTITY c '&b;&b;&b;'>]><Message>&c;&c;</Message>",
    "a lone surrogate": b"<Message><Head><Serial>&#xD800;</Serial></Head></Message>",
    "surrogate bytes": b"<Message><Head><Serial>\xed\xa0\x80</Serial></Head></Message>",
    "NUL": b"<Message><Head><Serial>\x00</Serial></Head></Message>",
    "an element twice": b"<Message><Head><Serial>1</Serial><Serial>2</Serial></Head></Message>",
    "a serial too long": b"<Message><Head><Serial>" + b"1" * 21 + b"</Serial></Head></Message>",
    "as deep as it can be": b"<a>" * 16_000,
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_no_document_is_dropped(bank: Bank, queue: Any, name: str) -> None:
    before = bank.system.counters("icbc")
    queue.send_multipart([b"bad", UNREADABLE[name]])
    assert bank.rises(BAD, before)
    values = bank.ask(bank.document({}), queue)
    assert values["RetCode"] == "0000", "the same connection is served on, and nothing was answered before"
    assert bank.is_well()


REFUSALS: dict[str, tuple[dict[str, str | None], str]] = {
    "an unknown transaction": ({"TrxCode": "999999"}, "0004"),
    "an unknown phone": ({"Phone": "19900000000"}, "1002"),
    "a phone of wrong length": ({"Phone": "13800"}, "0003"),
    "a zero amount": ({"Amount": "0.00"}, "1004"),
    "a negative amount": ({"Amount": "-10.00"}, "1004"),
    "an absurd amount": ({"Amount": "99999999.99"}, "1005"),
    "an amount in words": ({"Amount": "ten"}, "0003"),
    "an amount as an exponent": ({"Amount": "1e3"}, "0003"),
    "half a fen": ({"Amount": "10.005"}, "1004"),
    "no amount": ({"Amount": None}, "0003"),
    "a date that is none": ({"TrxDate": "20260231"}, "0003"),
    "the number of another bank": ({"BankNo": "0302"}, "0002"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_document_that_is_no_request_hears_its_code(bank: Bank, queue: Any, name: str) -> None:
    changes, code = REFUSALS[name]
    before = bank.system.counters("icbc")
    assert bank.ask(bank.document(changes), queue)["RetCode"] == code
    assert bank.rises(REQUESTS, before)
    assert bank.is_well()


@pytest.mark.parametrize("days", [-3, 3])
def test_a_wrong_business_date_is_refused(bank: Bank, queue: Any, days: int) -> None:
    assert bank.ask(bank.document({}, days), queue)["RetCode"] == "2007"
    assert bank.is_well()


def test_a_wrong_mac_is_refused(bank: Bank, queue: Any) -> None:
    document = bank.document({})
    for spoiled in (
        re.sub(rb"<Mac>.*</Mac>", b"<Mac>0123456789ABCDEF</Mac>", document),
        re.sub(rb"<Mac>.*</Mac>", b"", document),
        document.replace(b"13800000008", b"13800000009"),
        document.replace(b">10.00<", b">20.00<"),
    ):
        assert spoiled != document
        assert bank.ask(spoiled, queue)["RetCode"] == "0005"
    assert bank.ask(document, queue)["RetCode"] == "0000", "no refusal of a stranger's blocks the key"


def test_a_repeated_serial_is_answered_as_before_and_with_other_content_refused(bank: Bank) -> None:
    document = bank.document({})
    first, again = bank.ask(document), bank.ask(document)
    assert (
        (first["RetCode"], first["Order"]) == (again["RetCode"], again["Order"]) == ("0000", first["Order"])
    )
    serial = bank.code.values_of(document)["Serial"]
    assert bank.ask(bank.document({"Serial": serial, "Amount": "20.00"}))["RetCode"] == "2001"


@pytest.mark.parametrize(
    "parts", [[b"one part"], [b"", b"", b"", b""], [b"a", b"b", b"c"], [b"i" * 65, b"x"], [b"empty", b""]]
)
def test_messages_of_a_wrong_shape_are_dropped(bank: Bank, queue: Any, parts: list[bytes]) -> None:
    before = bank.system.counters("icbc")
    queue.send_multipart(parts)
    assert bank.rises(MALFORMED, before)
    assert bank.is_well()


def test_messages_that_are_too_long_are_dropped_or_cut_off(bank: Bank, queue: Any) -> None:
    before = bank.system.counters("icbc")
    queue.send_multipart([b"long", b"<Message>" + b"x" * 65_536])
    assert bank.rises(OVERSIZED, before)
    queue.send_multipart([b"huge", b"<Message>" + b"x" * 5_000_000])
    assert bank.is_well()


def test_strangers_on_the_port_keep_nobody_out(bank: Bank) -> None:
    """Half a handshake, slow bytes, another protocol: the bank's own queues are served meanwhile."""
    host, _, port = bank.address.removeprefix("tcp://").rpartition(":")
    strangers = [socket.create_connection((host, int(port)), timeout=10) for _ in range(10)]
    for stranger, data in zip(
        strangers, [b"", b"\xff", b"\xff" + bytes(8) + b"\x7f", b"GET / HTTP/1.1\r\n"] * 3, strict=False
    ):
        stranger.sendall(data)
    assert bank.is_well()
    for stranger in strangers:
        stranger.close()
    assert bank.is_well()


def test_all_of_it_stands_in_the_event_file_without_secrets(bank: Bank) -> None:
    folder = bank.system.data / "events/front-icbc-1"
    rows = list(read_events(folder))
    seen = {str(name) for row in rows for name in (row.name, row.data.get("reason"), row.data.get("result"))}
    assert {"format", "bad_mac", "unsupported", "bad_date", "duplicate_serial", "bad_amount"} <= seen
    log = "\n".join(file.read_text(encoding="utf-8") for file in (bank.system.data / "log").iterdir())
    assert "messages dropped" in log
    assert "Traceback" not in log
    secrets = (b"6222000000000000018", b"13800000008", bank.code.KEY, bank.code.KEY.hex().upper().encode())
    for file in [*folder.iterdir(), *(bank.system.data / "log").iterdir()]:
        content = file.read_bytes()
        assert not [secret for secret in secrets if secret in content], file.name
