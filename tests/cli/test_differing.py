"""Two banks, or two specs, are compared place by place; the exit code is that of diff."""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from qianzhi.cli.main import app
from qianzhi.cli.output import CommandError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The project's own configuration with a copy of a bank beside it."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    shutil.copy(tmp_path / "config/banks/hz_citic.toml", tmp_path / "config/banks/river.toml")
    return tmp_path / "config"


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def diff(config: Path, *words: str) -> Done:
    """Run the command in this process."""
    found = CliRunner().invoke(app, ["--config", str(config), "diff-profile", *words])
    if isinstance(found.exception, CommandError):
        return Done(found.exception.code, found.stdout, found.exception.what)
    assert isinstance(found.exception, SystemExit | None), found.exception
    return Done(found.exit_code, found.stdout, found.stderr)


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, old
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_equal_banks_are_said_to_be_equal(config: Path) -> None:
    change(config / "banks/river.toml", "numbers = [", 'space = "hz_citic"\nnumbers = [')
    found = diff(config, "hz_citic", "river")
    assert (found.returncode, found.stdout) == (0, "hz_citic and river are the same\n")


def test_each_difference_is_told_once_under_its_heading(config: Path) -> None:
    bank = config / "banks/river.toml"
    change(bank, "size = 4", "size = 6")
    change(bank, "in_flight = 1000", "in_flight = 9")
    change(bank, 'repeat_codes = ["96", ', "repeat_codes = [")
    change(bank, 'master = "test:0123456789ABCDEF', 'master = "test:1123456789ABCDEF')
    change(bank, 'busy = "96"', 'busy = "91"')
    found = diff(config, "hz_citic", "river", "--json")
    assert found.returncode == 1
    told = {each["path"]: each for each in json.loads(found.stdout)["differences"]}
    assert told.keys() == {
        "space",
        "frame.size",
        "limits.in_flight",
        "results.codes.busy",
        "results.repeat_codes",
        "keys.master",
    }
    assert (told["frame.size"]["first"], told["frame.size"]["second"]) == (4, 6)
    assert told["frame.size"]["section"] == "frame"
    shown = diff(config, "hz_citic", "river")
    assert shown.returncode == 1
    assert "6 differences between hz_citic and river" in shown.stdout
    assert "0123456789ABCDEF" not in found.stdout + shown.stdout


def test_specs_are_compared_by_path_and_not_by_order(config: Path) -> None:
    other = config / "specs/brook.toml"
    shutil.copy(config / "specs/cups.toml", other)
    change(other, "length = 19\n", "length = 20\n")
    text = other.read_text(encoding="utf-8")
    first, last = text.index("[fields.5]"), text.index("[fields.6]")
    other.write_text(text[:first] + text[last:], encoding="utf-8")
    found = diff(config, "cups", str(other), "--json")
    told = {each["path"]: (each["first"], each["second"]) for each in json.loads(found.stdout)["differences"]}
    assert told["pan: length"] == (19, 20)
    assert told.keys() == {"pan: length", "settlement_amount"}
    assert told["settlement_amount"][1] is None
    assert diff(config, "cups", str(config / "specs/cups.toml")).returncode == 0


def test_banks_of_two_kinds_can_be_compared(config: Path) -> None:
    found = diff(config, "hz_citic", "icbc")
    assert found.returncode == 1
    for heading in ("transport", "frame", "mac", "session", "transactions", "results", "fields"):
        assert f"\n {heading} " in found.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("hz_citic", "nobody"), "no bank, spec or file 'nobody'"),
        (("hz_citic", "cups"), "cannot be compared"),
    ],
)
def test_what_cannot_be_compared_ends_with_two(config: Path, words: tuple[str, str], said: str) -> None:
    found = diff(config, *words)
    assert found.returncode == 2
    assert said in found.stderr
