"""What must hold of the readers that are no codecs: framers, the CUPS header, chip data, links, keys and
PINs, texts of people, tables of a spec, and packager descriptions.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from fuzz_codecs import ERROR_CHARACTERS_MAX, check_error

from crm_bridge.gateway_checks import refusal
from crm_bridge.journal_totals import Tally
from qianzhi.domain.dates import date_of
from qianzhi.domain.money import fen_from_yuan, yuan_from_fen
from qianzhi.domain.requests import Key, Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.link.events import Hello, PeerDown, PeerUp
from qianzhi.link.messages import UNREADABLE, Answer, Envelope, Status
from qianzhi.link.mux import Mux
from qianzhi.runtime.now import Now
from qianzhi.wire.codec import Codec, load_codec
from qianzhi.wire.errors import KeyCheckError, RemoteProtocolError
from qianzhi.wire.framing import FrameReader, FrameSpec, frame
from qianzhi.wire.header import HEADER_BYTES, decode_header, encode_header
from qianzhi.wire.items import About
from qianzhi.wire.keys import Delivered, DeliverySpec, build_delivery, read_deliveries
from qianzhi.wire.layout import Layout
from qianzhi.wire.mac import MacSpec
from qianzhi.wire.packager import PackagerError, import_packager
from qianzhi.wire.pin import FORMATS, PinError, decrypt_block, encrypt_block, make_block, read_block
from qianzhi.wire.tlv import tlv

NOW = Now(0, 1_794_888_000_000_000)
MASTER = bytes(range(1, 17))
KEY = bytes.fromhex("0123456789ABCDEFFEDCBA9876543211")
PAN = "6225561620345170"

# -- frames: the first byte chooses a line, the second how its bytes arrive, the rest is the line's bytes --

FRAMES: dict[str, list[FrameSpec]] = {
    "ascii": [
        FrameSpec(kind="ascii", size=4, frame_bytes_max=1892, heartbeat="zero_length"),
        FrameSpec(kind="ascii", size=6, frame_bytes_max=300),
        FrameSpec(kind="ascii", size=8, inclusive=True, frame_bytes_max=300),
        FrameSpec(kind="ascii", size=6, keep=True, frame_bytes_max=300),
        FrameSpec(kind="ascii", size=1, frame_bytes_max=9, heartbeat="zero_length"),
    ],
    "binary": [
        FrameSpec(kind="binary", size=2, frame_bytes_max=300),
        FrameSpec(kind="binary", size=4, frame_bytes_max=300, heartbeat="zero_length"),
        FrameSpec(kind="binary", size=4, inclusive=True, frame_bytes_max=300),
        FrameSpec(kind="binary", size=1, keep=True, inclusive=True),
    ],
    "bcd": [
        FrameSpec(kind="bcd", size=2, frame_bytes_max=300),
        FrameSpec(kind="bcd", size=1, inclusive=True, heartbeat="zero_length"),
        FrameSpec(kind="bcd", size=3, keep=True, frame_bytes_max=300),
    ],
    "none": [FrameSpec(kind="none", frame_bytes_max=64)],
    "message": [
        FrameSpec(kind="message", frame_bytes_max=300),
        FrameSpec(kind="message", frame_bytes_max=40),
    ],
}


def frame_check(specs: list[FrameSpec], codec: Codec | None = None) -> Callable[[bytes], None]:
    """Frames do not depend on how the bytes arrive, and each is written as it was read."""

    def check(data: bytes) -> None:
        if len(data) < 2:
            return
        spec, step, stream = specs[data[0] % len(specs)], data[1] % 17 + 1, data[2:]
        whole, fault = _read(spec, codec, [stream])
        if spec.kind == "none":
            assert whole == ([stream] if fault is None else [])
            return
        pieces = [stream[at : at + step] for at in range(0, len(stream), step)]
        cut, cut_fault = _read(spec, codec, pieces)
        assert cut == whole, "frames depend on how the bytes arrive"
        assert (fault is None) == (cut_fault is None), "a fault depends on how the bytes arrive"
        written = b"".join(frame(spec, one) for one in whole)
        assert stream.startswith(written), "a frame is not written as it was read"
        if fault is None:
            assert all(0 < len(one) <= spec.frame_bytes_max or spec.heartbeat for one in whole)

    return check


def _read(
    spec: FrameSpec, codec: Codec | None, pieces: list[bytes]
) -> tuple[list[bytes], RemoteProtocolError | None]:
    reader = FrameReader(spec, codec.measure if codec is not None and spec.kind == "message" else None)
    frames: list[bytes] = []
    try:
        for piece in pieces:
            frames += reader.receive_data(piece)
    except RemoteProtocolError as error:
        return frames, error
    return frames, reader.fault


FRAME_SEEDS = {
    "ascii": [
        b"\0\0" + b"0004ABCD0000" * 2,
        b"\1\3000003ABC",
        b"\2\7" + b"00000011ABC",
        b"\3\2000003ABC",
        b"\4\0001A0",
    ],
    "binary": [b"\0\0\0\4ABCD\0\1X", b"\1\3\0\0\0\0\0\0\0\1A", b"\2\7\0\0\0\6AB", b"\3\1\3AB"],
    "bcd": [b"\0\0\0\x10ABCDEFGHIJ", b"\1\2\3AB\0", b"\2\1\0\0\2AB"],
    "none": [b"\0\0ABC"],
}

# -- the CUPS header --


def check_header(data: bytes) -> None:
    """A header reads or raises the declared error; what was read is written as the same bytes but for
    padding.
    """
    try:
        header = decode_header(data)
    except RemoteProtocolError as error:
        check_error(error, data)
        return
    written = encode_header(header, len(data) - HEADER_BYTES)
    assert decode_header(written + data[HEADER_BYTES:]) == header
    assert len(written) == HEADER_BYTES


HEADER = {"destination": "03020000", "source": "99992900"}
HEADER_SEEDS = [encode_header(HEADER, size) + bytes(size) for size in (0, 20)]
HEADER_SEEDS.append(encode_header({**HEADER, "reject_code": "10041", "batch": 7}, 4) + b"0200")

# -- chip data --


def tlv_check() -> Callable[[bytes], None]:
    """Tags and values, in any order and number, are read and written again as the same value."""
    about = About("chip", "55", "chip", 55)
    layout: Layout = tlv(about, {}, items_max=40)

    def check(data: bytes) -> None:
        spans: list[Any] = []
        try:
            value = layout.decode(data, 0, len(data))
        except RemoteProtocolError as error:
            check_error(error, data)
            return
        layout.walk(data, 0, len(data), spans)
        assert all(0 <= span.start <= span.stop <= len(data) for span in spans)
        written = layout.encode(value)
        assert layout.decode(written, 0, len(written)) == value

    return check


TLV_SEEDS = [
    bytes.fromhex("9F2608C20428A3FF53F0AD9F2701809505000018000082027C00"),
    bytes.fromhex("72039F1801728102ABCD71820003010203DF81290101"),
]

# -- links: the first byte chooses who we are, and whether the peer has proved itself --

CLIENT, SERVER = Hello("front-a-1", "front", banks=("a",), numbers=("1",)), Hello("node1", "node")


def check_link(data: bytes) -> None:
    """Whatever comes, the mux ends the connection by a name or goes on; it never raises, and says nothing to
    whom it refused.
    """
    mux, other = Mux("server", SERVER, KEY, b"s" * 32), Mux("client", CLIENT, KEY, b"c" * 32)
    other.receive_data(mux.start(NOW), NOW)
    opening = other.start(NOW) if data[:1] and data[0] & 1 else b""
    if data[:1] and data[0] & 2 and opening:
        mux, other = Mux("server", SERVER, KEY, b"s" * 32), Mux("client", CLIENT, KEY, b"c" * 32)
        hello = mux.start(NOW)
        first = other.start(NOW)
        mux.receive_data(first, NOW)
        other.receive_data(hello, NOW)
        events = mux.receive_data(other.take_bytes(), NOW)
        assert [type(event) for event in events] == [PeerUp]
        opening = b""
    events = mux.receive_data(opening + data[1:], NOW)
    ends = [event for event in events if isinstance(event, PeerDown)]
    assert len(ends) == bool(mux.closed)
    if mux.closed:
        assert events[-1] is ends[0]
        assert mux.receive_data(data, NOW) == [], "what is closed reads nothing"
    mux.take_bytes()
    assert mux.closed.replace("_", "").isalpha() or not mux.closed, "a reason is a stable name"


def _link_frames() -> list[bytes]:
    mux = Mux("client", CLIENT, KEY, b"c" * 32)
    hello = mux.start(NOW)
    body = msgspec.msgpack.encode(Request(Kind.RECHARGE, "s", 20261117, "1", "b", "n", "13800000000", 500))
    mux.requests([Envelope(1, 1, "n", 2, 5, 900, 0, "t", body, "k")])
    mux.answers([Answer(7, Status.OK, b"body"), Answer(8, Status.BUSY)])
    mux.draining(True)
    sent = mux.take_bytes()
    return [b"\0" + hello, b"\3" + sent, b"\1" + sent, b"\3" + b"\0\0\0\3\x92\5\xc0"]


LINK_SEEDS = _link_frames()


def check_link_body(data: bytes) -> None:
    """The body of an envelope is a request, a reply, or msgspec's error; a request is looked at by the core's
    checks without harm.
    """
    for kind in (Request, Reply):
        try:
            read = msgspec.msgpack.decode(data, type=kind)
        except UNREADABLE:
            continue
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(read), type=kind) == read
        if isinstance(read, Request) and refusal(read) is None:
            assert "/" in read.space or Key.parse(read.key.text) == read.key
            Tally([]).answer(read)


LINK_BODY_SEEDS = [
    msgspec.msgpack.encode(Request(Kind.RECHARGE, "s", 20261117, "1", "b", "n", "13800000000", 500)),
    msgspec.msgpack.encode(Request(Kind.TOTALS, "s", 20261117, "1", "b", "n", "", 500, count=1)),
    msgspec.msgpack.encode(Reply(Result.APPROVED, "Q1", 500, 700)),
]

# -- keys: control, wrapped keys and check values cut out of the bytes --


MAC = MacSpec(algorithm="x919", lists={"default": ["mti", "processing_code"]}, field="mac")
CUPS = DeliverySpec(mac=MAC, security="security", single="single", double="double")
SLOTS = DeliverySpec(form="slots", pin_key="keys.pin_key", pin_check="keys.pin_check")


def keys_check(codec: Codec) -> Callable[[bytes], None]:
    """A delivery brings usable keys or the declared error, which shows nothing of them."""

    def check(data: bytes) -> None:
        mode, rest = (data[0] if data else 0), data[1:]
        if mode & 1:
            spec, message = SLOTS, {"keys": {**_slots(rest, as_hex=mode & 2 > 0)}}
        else:
            spec, message = CUPS, {"mti": "0800", "security": rest[:16].decode("latin-1")}
            message |= {"single": rest[16:24], "double": rest[24:40], "mac": rest[40:48]}
        try:
            found = read_deliveries(spec, message, codec, MASTER)
        except KeyCheckError as error:
            check_quiet(str(error), rest[:8], rest[16:24])
            return
        assert {one.purpose for one in found} <= {"mac", "pin"}
        assert all(len(one.key) in (8, 16) for one in found)

    return check


def _slots(rest: bytes, *, as_hex: bool) -> dict[str, Any]:
    places = {"mac_key": rest[:16], "mac_check": rest[16:20], "pin_key": rest[20:36], "pin_check": rest[36:]}
    return {name: value.hex() if as_hex else value for name, value in places.items()}


def key_seeds(codec: Codec) -> list[bytes]:
    """Return good deliveries of both forms, as `keys_check` cuts them."""
    both = [Delivered(KEY, "mac"), Delivered(bytes(reversed(KEY)), "pin")]
    keys = build_delivery(SLOTS, {}, codec, MASTER, *both)["keys"]
    parts = (keys[name] for name in ("mac_key", "mac_check", "pin_key", "pin_check"))
    raw = b"".join(part if isinstance(part, bytes) else bytes.fromhex(part) for part in parts)
    double = build_delivery(CUPS, {"mti": "0800"}, codec, MASTER, Delivered(KEY, "mac"))
    single = build_delivery(
        CUPS, {"mti": "0800", "double": bytes(16)}, codec, MASTER, Delivered(KEY[:8], "pin")
    )
    alone = [
        b"\0" + one["security"].encode("ascii") + one["single"] + one["double"] + one["mac"]
        for one in (double, single)
    ]
    return [b"\1" + raw, b"\3" + raw, *alone]


def check_quiet(text: str, *secrets: bytes) -> None:
    """An error is short and repeats no block of a key or PIN."""
    assert len(text) < ERROR_CHARACTERS_MAX
    assert not any(secret.hex() in text.lower() for secret in secrets if len(secret) == 8)


# -- PIN blocks --


def check_pin(data: bytes) -> None:
    """A block gives a PIN of 4 to 12 digits that makes such a block again, or the declared error."""
    form = list(FORMATS)[data[0] % len(FORMATS)] if data else "0"
    block = data[1:9]
    try:
        if data[:1] and data[0] & 0x80:
            block = decrypt_block(KEY, block)
            assert encrypt_block(KEY, block) == data[1:9]
        pin = read_block(form, block, PAN)
    except PinError as error:
        check_quiet(str(error), block)
        return
    assert pin.isdigit()
    assert 4 <= len(pin) <= 12
    assert read_block(form, make_block(form, pin, PAN, bytes(range(16))), PAN) == pin


PIN_SEEDS = [
    bytes((number,)) + make_block(form, "123456", PAN, bytes(range(16)))
    for number, form in enumerate(FORMATS)
]
PIN_SEEDS.append(b"\x80" + encrypt_block(KEY, make_block("0", "1234", PAN)))

# -- texts that people and banks write --


def check_texts(data: bytes) -> None:
    """Keys, amounts and dates read or raise ValueError, and what was read is written the same."""
    text = data.decode("utf-8", "replace")
    try:
        key = Key.parse(text)
    except ValueError:
        key = None
    assert key is None or key.text == text
    try:
        fen = fen_from_yuan(text)
    except ValueError:
        fen = None
    assert fen is None or fen_from_yuan(yuan_from_fen(fen)) == fen
    try:
        date = date_of(text, 20261117)
    except ValueError:
        date = None
    assert date is None or f"{date:08d}"[4:] == text


TEXT_SEEDS = [b"hz_citic/20261117/000123", b"50.5", b"0.05", b"0229", b"1231"]

# -- specs and packager descriptions --


def check_spec(data: bytes) -> None:
    """Any tree is compiled, or refused by a list of problems; nothing is raised."""
    try:
        tree = msgspec.json.decode(data)
    except UNREADABLE:
        return
    if not isinstance(tree, dict):
        return
    codec, problems = load_codec(tree, "spec.toml")
    assert (codec is None) == bool(problems)
    if codec is not None:
        codec.paths()
        codec.mask(data)
        codec.describe(data)


def check_packager(data: bytes) -> None:
    """A description becomes a spec that loads, or the declared error."""
    try:
        imported = import_packager(data)
    except PackagerError as error:
        check_quiet(str(error))
        return
    codec, problems = load_codec(msgspec.toml.decode(imported.spec_text), "spec.toml")
    assert codec is not None, problems


PACKAGER_SEEDS = [
    b"""<?xml version="1.0" encoding="UTF-8"?>
<isopackager><isofield id="0" length="4" name="MTI" pad="true" class="org.jpos.iso.IFB_NUMERIC"/>
<isofield id="1" length="16" name="BITMAP" class="org.jpos.iso.IFB_BITMAP"/>
<isofield id="2" length="19" name="PAN" pad="false" class="org.jpos.iso.IFB_LLNUM"/>
<isofield id="41" length="8" name="TERMINAL" class="org.jpos.iso.IF_CHAR"/></isopackager>""",
    b"""<isopackager><isofieldpackager id="48" length="99" name="PRIVATE" class="org.jpos.iso.IFA_LLLCHAR"
 packager="org.jpos.iso.packager.GenericSubFieldPackager"><isofield id="1" length="2" name="KIND"
 class="org.jpos.iso.IF_CHAR"/></isofieldpackager><isofield id="52" length="8" name="PIN"
 class="org.jpos.iso.IFA_BINARY"/></isopackager>""",
]
