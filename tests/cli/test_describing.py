"""A message is taken apart from its length prefix, its header or its type; secrets stay masked."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from qianzhi.cli.chosen import Chosen
from qianzhi.cli.describing import dump, finish, profile_of
from qianzhi.cli.inputs import given_bytes, read_messages
from qianzhi.cli.output import CommandError
from qianzhi.wire.framing import frame

ROOT = Path(__file__).parents[2]
MESSAGE = {
    "mti": "0820",
    "header": {"destination": "00010000", "source": "03023310"},
    "pan": "6222000000000000018",
    "transmission_time": "1122020000",
    "stan": "000001",
    "network_code": "301",
}
DOCUMENT = (
    '<?xml version="1.0" encoding="GBK"?><Message><Head><TrxCode>010011</TrxCode><Type>REQ</Type></Head>'
    "<Body><Phone>13800000001</Phone><Name>张三丰</Name></Body></Message>"
)


@pytest.fixture(scope="module")
def line() -> tuple[object, bytes]:
    """The profile of hz_citic and one message in its dialect."""
    profile = profile_of(Chosen(ROOT / "config"), "hz_citic")
    return profile, profile.codec.encode(MESSAGE)


@pytest.fixture(scope="module")
def xml() -> object:
    """The profile of icbc, whose messages are text."""
    return profile_of(Chosen(ROOT / "config"), "icbc")


def qianzhi(*words: str, given: bytes = b"") -> subprocess.CompletedProcess[str]:
    """Run the command as a user does, with something on its standard input."""
    command = [sys.executable, "-m", "qianzhi.cli.main", *words]
    found = subprocess.run(command, cwd=ROOT, input=given, capture_output=True, timeout=60, check=False)
    return subprocess.CompletedProcess(words, found.returncode, found.stdout.decode(), found.stderr.decode())


@pytest.mark.parametrize("start", ["prefix", "header", "type"])
@pytest.mark.parametrize("form", ["hex", "blanks", "file of hex", "file of bytes"])
def test_a_message_is_read_from_each_of_its_beginnings(
    line: tuple, start: str, form: str, tmp_path: Path
) -> None:
    profile, body = line
    data = {"prefix": frame(profile.frame, body), "header": body, "type": body[46:]}[start]
    file = tmp_path / "message"
    text = {"hex": data.hex(), "blanks": data.hex(" ")}.get(form, str(file))
    if form == "file of hex":
        file.write_text(data.hex("\n", 16), encoding="ascii")
    elif form == "file of bytes":
        file.write_bytes(data)
    (piece,) = read_messages(profile, text).pieces
    assert piece.prefix_bytes == piece.offset == (4 if start == "prefix" else 0)
    views = {view.path: view.value for view in piece.views}
    assert views["network_code"] == "301"
    assert views["pan"] == "622200*********0018"
    assert piece.fault is None


def test_several_messages_in_one_input_are_cut_and_a_heartbeat_is_one(line: tuple) -> None:
    profile, body = line
    whole = frame(profile.frame, body)
    reading = read_messages(profile, (whole + b"0000" + whole).hex())
    assert [len(piece.body) for piece in reading.pieces] == [len(body), 0, len(body)]
    assert [piece.offset for piece in reading.pieces] == [4, len(whole) + 4, len(whole) + 8]
    assert not reading.unread
    lines = read_messages(profile, f"{body.hex()}\n\n{body.hex()}\n")
    assert [piece.body for piece in lines.pieces] == [body, body]


def test_what_cannot_be_read_is_told_with_its_place(line: tuple) -> None:
    profile, body = line
    whole = frame(profile.frame, body)
    cut_off = read_messages(profile, (whole + whole[:-20]).hex())
    assert "not whole" in cut_off.fault
    assert len(cut_off.pieces) == 2
    with pytest.raises(CommandError, match=r"^after 1 message: a frame that is not whole"):
        finish(cut_off)
    with pytest.raises(CommandError, match=r"^a frame that is not whole"):
        finish(read_messages(profile, whole[:-20].hex()))
    assert cut_off.pieces[0].fault is None
    bad = bytearray(body)
    bad[46 + 4 + 16 + 2] = 0x41  # a letter among the digits of the card number
    found = read_messages(profile, frame(profile.frame, bytes(bad)).hex())
    assert found.pieces[0].fault.path == "pan"
    told = qianzhi("describe", "hz_citic", bytes(bad).hex())
    assert told.returncode == 1
    assert "pan is not readable from byte" in told.stderr
    assert "622200" not in told.stdout.replace("622200*********0018", "")


def test_text_dialects_may_be_given_as_text(xml: object, tmp_path: Path) -> None:
    file = tmp_path / "several.xml"
    file.write_bytes(f"{DOCUMENT}\n{DOCUMENT}\n".encode("gbk"))
    for text, count in ((DOCUMENT, 1), (DOCUMENT.encode("gbk").hex(), 1), (str(file), 2)):
        pieces = read_messages(xml, text).pieces
        assert len(pieces) == count
        for piece in pieces:
            assert piece.fault is None
            values = {view.path: view.value for view in piece.views}
            assert values["Head.TrxCode"] == "010011"
            assert "13800000001" not in values["Body.Phone"]


def test_json_holds_the_same_and_standard_input_is_read(line: tuple) -> None:
    profile, body = line
    found = qianzhi("describe", "hz_citic", "-", "--json", given=frame(profile.frame, body))
    assert found.returncode == 0
    told = json.loads(found.stdout)
    (message,) = told["messages"]
    assert (message["offset"], message["bytes"], message["readable"]) == (4, len(body), True)
    assert bytes.fromhex(message["masked_hex"]) == profile.codec.mask(body)
    assert {field["path"] for field in message["fields"]} >= {"pan", "stan", "header.source"}
    shown = qianzhi("describe", "hz_citic", "-", "--hex", given=body.hex(" ").encode())
    assert dump(profile.codec.mask(body))[2].rstrip() in shown.stdout


def test_nonsense_emptiness_and_unknown_banks_are_named(line: tuple, xml: object, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no hex and no file"):
        read_messages(line[0], "not hex at all")
    with pytest.raises(CommandError, match="is empty"):
        read_messages(xml, "  ")
    (tmp_path / "big").write_bytes(bytes((1 << 20) + 1))
    with pytest.raises(CommandError, match="more than"):
        given_bytes(str(tmp_path / "big"))
    with pytest.raises(CommandError, match="no bank 'nobody'"):
        profile_of(Chosen(ROOT / "config"), "nobody", placed=False)
    assert read_messages(xml, "nonsense, typed").unread


BANKS = sorted(tomllib.loads((ROOT / "config/site.toml").read_text(encoding="utf-8"))["banks"])


@pytest.mark.parametrize("bank", BANKS)
def test_the_vectors_of_every_bank_come_apart_from_wire_and_frame_in_any_form(
    bank: str, tmp_path: Path
) -> None:
    profile = profile_of(Chosen(ROOT / "config"), bank)
    rows = json.loads((ROOT / f"tests/vectors/{bank}/requests.json").read_text(encoding="utf-8"))
    wires, frames = [row["wire"] for row in rows], [row["frame"] for row in rows]
    file = tmp_path / "messages"
    file.write_bytes(bytes.fromhex(wires[0]))
    for text, expected in [
        (wires[0], frames[:1]),
        (frames[0], frames[:1]),
        (str(file), frames[:1]),
        ("\n".join(frames), frames),
    ]:
        reading = read_messages(profile, text)
        assert [piece.body.hex().upper() for piece in reading.pieces] == expected
        assert not reading.unread, (bank, text[:40])
    for row in rows:
        phone = row["request"].get("phone", "no phone")
        told = " ".join(
            view.value for piece in read_messages(profile, row["wire"]).pieces for view in piece.views
        )
        assert phone not in told
    if profile.frame.kind != "none":
        together = read_messages(profile, "".join(wires))
        assert [piece.body.hex().upper() for piece in together.pieces] == frames


@pytest.mark.parametrize("bank", BANKS)
def test_a_broken_message_is_shown_as_far_as_it_goes_and_its_fault_named(bank: str) -> None:
    profile = profile_of(Chosen(ROOT / "config"), bank)
    rows = json.loads((ROOT / f"tests/vectors/{bank}/broken.json").read_text(encoding="utf-8"))
    for row in rows:
        if "error" not in row or not row.get("frame"):
            continue
        found = read_messages(profile, row["frame"])
        if row["frame"].isdigit() or row["name"].endswith(("twice", "nul_behind", "one_byte_more")):
            continue  # such hex may be text as well, and such bytes several messages
        assert found.unread or found.fault, row["name"]


def test_an_odd_number_of_hex_digits_is_said() -> None:
    with pytest.raises(CommandError, match="3 hex digits are no whole bytes"):
        read_messages(profile_of(Chosen(ROOT / "config"), "hz_citic", placed=False), "30 3")
