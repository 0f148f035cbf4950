"""A bank is begun by one command: its files are whole, its own, and valid before anybody edits them."""

import json
import shutil
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from qianzhi.cli.checks import check
from qianzhi.cli.main import app
from qianzhi.cli.output import CommandError
from qianzhi.cli.toml_text import under, with_values
from qianzhi.link.site import load_site

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The project's own configuration, to be added to."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    return tmp_path / "config"


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def qianzhi(config: Path, *words: str) -> Done:
    """Run the command in this process, with the vectors beside `config`."""
    vectors = ["--vectors", str(config.parent / "tests/vectors")]
    found = CliRunner().invoke(app, ["--config", str(config), *words, *vectors])
    if isinstance(found.exception, CommandError):
        return Done(found.exception.code, found.stdout, found.exception.what)
    assert found.exception is None, found.exception
    return Done(found.exit_code, found.stdout, found.stderr)


@pytest.mark.parametrize("like", ["hz_citic", "icbc", "psbc", "lianlian", "nb_ccb", "bocom"])
def test_a_copy_is_valid_and_shares_nothing_that_must_not_be_shared(config: Path, like: str) -> None:
    before = (config / "site.toml").read_text(encoding="utf-8")
    done = qianzhi(
        config, "new-bank", "river", "--like", like, "--title", 'River "Bank" 河', "--number", "0999"
    )
    assert done.returncode == 0, done.stderr
    found = check(config)
    assert found.problems == []
    new, old = found.profiles["river"], found.profiles[like]
    assert (new.title, new.space, new.numbers) == ('River "Bank" 河', "river", ["0999"])
    assert (config / "site.toml").read_text(encoding="utf-8").startswith(before)
    for key in ("master", "mac"):
        one, other = getattr(new.keys, key), getattr(old.keys, key)
        assert (bool(one), len(one)) == (bool(other), len(other))
        assert one != other or not one
        for byte in bytes.fromhex(one.removeprefix("test:")):
            assert byte.bit_count() % 2 == 1
    text = (config / "banks/river.toml").read_text(encoding="utf-8")
    assert text.startswith("#:schema ../schemas/bank.json\n")
    assert "TO DO" in new.pattern
    assert "TO DO: a test key" in text
    comments = (config / f"banks/{like}.toml").read_text(encoding="utf-8").splitlines()
    assert {line for line in comments if line.startswith("[transactions") and "#" in line} <= set(
        text.splitlines()
    )
    rows = json.loads((config.parent / "tests/vectors/river/samples.json").read_text(encoding="utf-8"))
    assert {row["name"] for row in rows} >= {"owed", "recharge", "pay", "status", "reversal"}
    assert all(not row["frame"] for row in rows)


def test_each_new_bank_has_ports_and_a_number_of_its_own(config: Path) -> None:
    for name in ("one", "two"):
        assert qianzhi(config, "new-bank", name, "--like", "icbc").returncode == 0
    assert qianzhi(config, "new-bank", "three", "--like", "hz_citic", "--port", "18801").returncode == 0
    found = check(config)
    assert found.problems == []
    assert found.profiles["one"].numbers != found.profiles["two"].numbers
    site = load_site(config)[0]
    assert site.banks["three"].listen == "127.0.0.1:18801"
    assert site.banks["three"].metrics_port == 18802
    assert site.banks["one"].control


def test_a_bank_of_several_numbers_keeps_them_apart(config: Path) -> None:
    assert qianzhi(config, "new-bank", "river", "--like", "boc", "--number", "0998").returncode == 0
    found = check(config)
    assert found.problems == []
    new, old = found.profiles["river"], found.profiles["boc"]
    assert len(new.numbers) == len(old.numbers) > 1
    assert new.numbers[0] == "0998"
    assert not set(new.numbers) & set(old.numbers)
    for name, rows in old.table.transactions.items():
        places = [old.numbers.index(number) for number in rows.numbers]
        assert [new.numbers.index(number) for number in new.table.transactions[name].numbers] == places


def test_the_spec_may_stand_in_the_banks_own_file(config: Path) -> None:
    done = qianzhi(config, "new-bank", "river", "--like", "hz_citic", "--own-spec", "--no-site", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["problems"] == []
    assert "river" not in (config / "site.toml").read_text(encoding="utf-8")
    tree = tomllib.loads((config / "banks/river.toml").read_text(encoding="utf-8"))
    spec = tomllib.loads((config / "specs/cups.toml").read_text(encoding="utf-8"))
    assert tree["spec"] == {**spec, "name": "river"}
    assert "spec" not in tree["message"]
    again = qianzhi(config, "new-bank", "brook", "--like", "river", "--own-spec")
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["River", "--like", "icbc"], "no name for a bank"),
        (["1river", "--like", "icbc"], "no name for a bank"),
        (["../river", "--like", "icbc"], "no name for a bank"),
        (["r" * 32, "--like", "icbc"], "no name for a bank"),
        (["icbc", "--like", "hz_citic"], "is there already"),
        (["river", "--like", "nobody"], "no bank 'nobody'"),
        (["river", "--like", "icbc", "--number", "0302"], "hz_citic.toml claims the number 0302"),
        (["river", "--like", "icbc", "--number", "9", "--number", "9"], "twice"),
        (["river", "--like", "icbc", "--number", "a b"], "no bank number"),
        (["river", "--like", "icbc", "--port", "17299"], "port 17301 belongs to front-hz_citic-1"),
        (["river", "--like", "icbc", "--port", "65534"], "no port 65534"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(config: Path, words: list[str], said: str) -> None:
    before = {path: path.read_bytes() for path in config.rglob("*") if path.is_file()}
    refused = qianzhi(config, "new-bank", *words)
    assert refused.returncode == 2
    assert said in refused.stderr
    assert {path: path.read_bytes() for path in config.rglob("*") if path.is_file()} == before
    assert not (config.parent / "tests").exists()


def test_a_value_is_replaced_with_all_its_lines_and_nothing_else_moves() -> None:
    text = (
        '# head\na = """\n[not.a.table]\n"""\nb = [\n  "x",\n]   # why\n\n[t]\na = 1\n\n# of u\n[u]\nc = 2\n'
    )
    assert with_values(text, "", {"a": ["a = 0"], "b": []}) == text.replace(
        'a = """\n[not.a.table]\n"""\nb = [\n  "x",\n]   # why\n', "a = 0\n"
    )
    assert with_values(text, "t", {"new": ["new = 3"]}) == text.replace("a = 1\n", "a = 1\nnew = 3\n")
    assert tomllib.loads(under(text, "deep.er"))["deep"]["er"] == tomllib.loads(text)
