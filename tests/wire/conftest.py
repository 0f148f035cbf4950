"""What the wire tests share: the shipped specs, compiled, and the public vectors, which are not part of the
project."""

import json
import tomllib
from pathlib import Path

import pytest
import yaml

from qianzhi.wire.codec import load_codec

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT.parent / "shared" / "vectors"


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
