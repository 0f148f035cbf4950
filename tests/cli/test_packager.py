"""A packager description becomes a spec on standard output, with everything doubtful said beside it."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from qianzhi.wire.codec import load_codec

ROOT = Path(__file__).parents[2]
PACKAGER = b"""<?xml version="1.0"?>
<isopackager>
  <isofield id="0" length="4" name="Message Type" class="org.jpos.iso.IFA_NUMERIC"/>
  <isofield id="1" length="16" name="Bitmap" class="org.jpos.iso.IFB_BITMAP"/>
  <isofield id="2" length="19" name="Primary Account Number" class="org.jpos.iso.IFA_LLNUM"/>
  <isofield id="4" length="12" name="Amount" class="org.jpos.iso.IFA_NUMERIC"/>
  <isofield id="11" length="6" name="STAN" class="org.jpos.iso.IFA_NUMERIC"/>
  <isofield id="48" length="999" name="Private" class="com.example.OwnField"/>
</isopackager>
"""


def qianzhi(*words: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run the command as a user does."""
    command = [sys.executable, "-m", "qianzhi.cli.main", "import-packager", *words]
    return subprocess.run(command, cwd=ROOT, input=given, capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize("way", ["file", "stdin"])
def test_the_spec_that_is_printed_loads_and_reads_a_message(tmp_path: Path, way: str) -> None:
    file = tmp_path / "packager.xml"
    file.write_bytes(PACKAGER)
    found = qianzhi(str(file) if way == "file" else "-", "--name", "brought", given=PACKAGER)
    assert found.returncode == 0, found.stderr
    text = found.stdout.decode()
    assert text.startswith("#:schema ")
    tree = tomllib.loads(text)
    assert tree["name"] == "brought"
    codec, problems = load_codec(tree, "brought.toml")
    assert problems == []
    body = (
        b"0200"
        + bytes.fromhex("5020000000000000")
        + b"16"
        + b"6222000000000000"
        + b"%012d" % 5000
        + b"000007"
    )
    message = codec.decode(body)
    assert codec.encode(message) == body
    assert "000000005000" in message.values()
    notes = found.stderr.decode()
    assert "48" in notes
    assert "OwnField" in notes


@pytest.mark.parametrize(
    ("words", "given", "code", "said"),
    [
        (["nowhere.xml"], b"", 2, "No such file"),
        (["-"], b"<a>", 1, "no well-formed XML"),
        (["-"], b"<a/>", 1, "not isopackager"),
        (["-", "--name", "a b"], PACKAGER, 2, "is no name"),
    ],
)
def test_what_is_no_packager_is_refused(words: list[str], given: bytes, code: int, said: str) -> None:
    found = qianzhi(*words, given=given)
    assert found.returncode == code
    assert said in found.stderr.decode()
    assert not found.stdout


def test_a_spec_is_called_as_its_file_unless_it_is_told_otherwise(tmp_path: Path) -> None:
    names = {"iso87-ascii.xml": "iso87_ascii", "87.xml": "imported"}
    for file, name in names.items():
        (tmp_path / file).write_bytes(PACKAGER)
        assert tomllib.loads(qianzhi(str(tmp_path / file)).stdout.decode())["name"] == name
