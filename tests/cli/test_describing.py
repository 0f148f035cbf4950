"""A message is taken apart from its length prefix, its header or its type; secrets stay masked."""

from pathlib import Path

import pytest

from qianzhi.cli.chosen import Chosen
from qianzhi.cli.describing import bytes_of, profile_of, without_prefix
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


@pytest.fixture(scope="module")
def line() -> tuple[object, bytes]:
    """The profile of hz_citic and one message in its dialect."""
    profile = profile_of(Chosen(ROOT / "config"), "hz_citic")
    return profile, profile.codec.encode(MESSAGE)


@pytest.mark.parametrize("start", ["prefix", "header", "type"])
def test_a_message_is_read_from_each_of_its_beginnings(line: tuple, start: str) -> None:
    profile, body = line
    data = {"prefix": frame(profile.frame, body), "header": body, "type": body[46:]}[start]
    found, prefix_bytes = without_prefix(profile.frame, bytes_of(data.hex(" ")))
    assert prefix_bytes == (4 if start == "prefix" else 0)
    views = {view.path: view.value for view in profile.codec.describe(found)}
    assert views["network_code"] == "301"
    assert views["pan"] == "622200*********0018"


def test_hex_may_lie_in_a_file_and_nonsense_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "message.hex"
    file.write_text("30 38\n32 30\n", encoding="ascii")
    assert bytes_of(str(file)) == b"0820"
    assert bytes_of("<Message/>") == b"<Message/>"
    with pytest.raises(CommandError, match="no hex and no file"):
        bytes_of("not hex at all")


def test_an_unknown_bank_is_named() -> None:
    with pytest.raises(CommandError, match="no bank 'abc'"):
        profile_of(Chosen(ROOT / "config"), "abc")
