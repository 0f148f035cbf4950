"""The rehearsal of a profile: what no rule can foresee is found by asking and answering once."""

import shutil
from pathlib import Path

import pytest

from frontends.profile import load_profile

CONFIG = Path(__file__).parents[2] / "config"


@pytest.fixture
def config(tmp_path):
    return Path(shutil.copytree(CONFIG, tmp_path / "config"))


def plant(config, bank, old, new):
    """Write something else in a bank's file, in the first place where the old text stands."""
    path = config / "banks" / f"{bank}.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize(
    ("bank", "old", "new", "key"),
    [
        ("hz_citic", 'format = "30"', 'format = "030"', "transactions.owed.give.format"),
        ("icbc", 'busy = "系统忙"', 'busy = "系统忙\\u0001"', "transactions.owed.give.busy"),
        ("icbc", 'busy = "系统忙"', f'busy = "{"忙" * 61}"', "transactions.owed.give.busy"),
        ("icbc", 'busy = "系统忙"', 'busy = "系统忙😀"', "transactions.owed.give.busy"),
        ("hz_citic", 'terminal = "00000001"', 'terminal = "0000\\u00001"', "transactions.owed.take"),
        (
            "hz_citic",
            '"processing_code", "transmission_time", "stan", "mcc"',
            '"mcc"',
            "transactions.owed.give.approved",
        ),
        ("hz_citic", 'mti = "mti|response_mti"', 'mti = "mti"', "transactions.owed.give.approved"),
        (
            "hz_citic",
            'numbers = ["0302"]',
            'numbers = ["0302", "9999999999999999"]',
            "numbers.1",
        ),
        ("hz_citic", 'format = "30"', 'format = "3 "', "transactions.owed.give.format"),
        ("icbc", 'bill = "Body.Bill|word:20"', 'bill = "Body.Phone|word:11"', "transactions.pay.take"),
        ("icbc", "max = 24", "max = 90000", "transactions.owed.give.approved"),
    ],
)
def test_a_rehearsal_finds_what_cannot_be_said(config, bank, old, new, key):
    plant(config, bank, old, new)
    profile, problems = load_profile(config, bank)
    assert profile is None
    assert key in [problem.key for problem in problems]


def test_a_bank_may_change_its_copy_of_a_spec(config):
    plant(config, "icbc", 'spec = "icbc_xml"', 'spec = "icbc_xml"\nchange = { charset = "UTF-8" }')
    plant(config, "icbc", 'busy = "系统忙"', 'busy = "系统忙😀"')
    profile, problems = load_profile(config, "icbc")
    assert problems == []
    assert "utf-8" in profile.codec.encode({"Head": {"Version": "1.0"}}).decode("utf-8").lower()
