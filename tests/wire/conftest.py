"""What the wire tests share: the shipped specs, compiled, and the public vectors, which are not part of the
project."""

import json
import tomllib
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, settings

from qianzhi.wire import iso8583, kernel
from qianzhi.wire.codec import load_codec
from qianzhi.wire.errors import RemoteProtocolError

# How long an example takes says nothing on a busy machine.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT.parent / "shared" / "vectors"


# Readers and writers are made at once, so that every message of these tests goes through them; which form
# they have, compiled or pure, is said by QIANZHI_PURE for the whole run.
iso8583.USES_MIN = 1


def pytest_report_header():
    return f"the codec is {kernel.FORM}"


def pytest_terminal_summary(terminalreporter):
    if not VECTORS.is_dir():
        terminalreporter.write_line(
            f"NOT PROVED on public vectors: there is no folder {VECTORS}", yellow=True
        )


def read_spec(name):
    with (ROOT / "config" / "specs" / name).open("rb") as file:
        return tomllib.load(file)


def compiled(tree):
    codec, problems = load_codec(tree, "spec.toml")
    assert problems == []
    return codec


@pytest.fixture(scope="session")
def cups_tree():
    return read_spec("cups.toml")


@pytest.fixture(scope="session")
def cups(cups_tree):
    return compiled(cups_tree)


@pytest.fixture(scope="session")
def bare_cups(cups_tree):
    """The same table for messages without the 46-byte header."""
    return compiled({**cups_tree, "header_required": False})


@pytest.fixture(scope="session")
def xml_tree():
    return read_spec("icbc_xml.toml")


@pytest.fixture(scope="session")
def xml(xml_tree):
    return compiled(xml_tree)


@pytest.fixture(scope="session")
def vectors():
    def read(name):
        if not VECTORS.is_dir():
            pytest.skip(f"the public vectors are absent: {VECTORS}")
        text = (VECTORS / name).read_text(encoding="utf-8")
        return json.loads(text) if name.endswith(".json") else yaml.safe_load(text)

    return read


@pytest.fixture
def purchase():
    """The purchase of the worked MAC values: every field that its MAC covers, and one text in Chinese."""
    return {
        "header": {"destination": "00010000", "source": "99992900"},
        "mti": "0200",
        "pan": "6225561620345170",
        "processing_code": "000000",
        "amount": "000000001000",
        "transmission_time": "1121101530",
        "stan": "000123",
        "mcc": "4814",
        "condition": "00",
        "acquirer": "99992900",
        "forwarder": "99992900",
        "terminal": "12345678",
        "merchant": "123456789012345",
        "merchant_name": "中国银行北京分行",
        "currency": "156",
        "private": {"PZ": {"number_type": "01", "number": "13800000000", "area": "0010"}},
        "mac": b"00000000",
    }


@pytest.fixture
def broken():
    """A function that damages a message on its way and returns the error of reading it, and the bytes."""
    return read_broken


def read_broken(codec, message, old, new):
    body = codec.encode(message)
    assert old in body
    changed = body.replace(old, new, 1)
    if "header" in message:  # keep the header's total right
        changed = changed[:2] + b"%04d" % len(changed) + changed[6:]
    with pytest.raises(RemoteProtocolError) as caught:
        codec.decode(changed)
    return caught.value, changed
