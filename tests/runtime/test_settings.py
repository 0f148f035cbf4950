"""A file with mistakes: all of them, each with its place, in words."""

from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Interval, Le, MinLen

from qianzhi.runtime.problems import ConfigError, Problem
from qianzhi.runtime.settings import build, build_known, read_toml
from qianzhi.runtime.table import table


@table
class Listen:
    host: Annotated[str, MinLen(1)]
    port: Annotated[int, Ge(1), Le(65535)]
    kind: Literal["socket", "queue"] = "socket"
    site_key: str = ""


@table
class Bank:
    title: str = ""
    listens: dict[str, Listen] = field(default_factory=dict)
    numbers: tuple[Annotated[str, MinLen(4)], ...] = ()
    share: Annotated[float, Interval(ge=0, le=1)] = 1.0
    closed: bool = False
    spare: Listen | None = None
    limit: int | str = 0
    opens: str = "08:00"
    shuts: str = "20:00"

    def __post_init__(self) -> None:
        if self.shuts <= self.opens:
            raise ValueError("shuts later than opens")


def problems(tree: dict[str, Any], at: str = "") -> dict[str, tuple[str, str]]:
    built, found = build(Bank, tree, "bank.toml", at)
    assert (built is None) == bool(found)
    assert all(problem.file == "bank.toml" for problem in found)
    return {problem.key: (problem.found, problem.expected) for problem in found}


def test_a_right_file_becomes_its_table_with_nested_ones() -> None:
    tree = {"title": "招行", "listens": {"a": {"host": "h", "port": 1}}, "numbers": ["9001"], "share": 1}
    built, found = build(Bank, tree, "bank.toml")
    assert found == []
    assert built == Bank(title="招行", listens={"a": Listen(host="h", port=1)}, numbers=("9001",), share=1.0)


def test_all_mistakes_are_reported_at_once_with_their_places() -> None:
    tree = {
        "titel": "x",
        "listens": {"a": {"host": "", "port": 70000, "kind": "pipe"}, "b": {"port": "1"}},
        "numbers": ["9001", "12", 7],
        "share": 1.5,
        "closed": "no",
        "spare": {},
        "limit": [],
    }
    assert problems(tree, "banks.x") == {
        "banks.x.titel": ("an unknown key", "a known one; did you mean title?"),
        "banks.x.listens.a.host": ("''", "a text that is not empty"),
        "banks.x.listens.a.port": ("70000", "a whole number from 1 to 65535"),
        "banks.x.listens.a.kind": ("'pipe'", 'one of "socket", "queue"'),
        "banks.x.listens.b.host": ("nothing", "a text that is not empty; this key is required"),
        "banks.x.listens.b.port": ("'1'", "a whole number from 1 to 65535"),
        "banks.x.numbers.1": ("'12'", "a text of at least 4 characters"),
        "banks.x.numbers.2": ("7", "a text of at least 4 characters"),
        "banks.x.share": ("1.5", "a number from 0 to 1"),
        "banks.x.closed": ("'no'", "true or false"),
        "banks.x.spare.host": ("nothing", "a text that is not empty; this key is required"),
        "banks.x.spare.port": ("nothing", "a whole number from 1 to 65535; this key is required"),
        "banks.x.limit": ("a list", "a whole number or a text"),
    }


@pytest.mark.parametrize(
    ("tree", "key", "found", "expected"),
    [
        ({"listens": []}, "listens", "a list", "a table whose entries are each a table with host, port"),
        ({"spare": 5}, "spare", "5", "a table with host, port"),
        ({"numbers": "9001"}, "numbers", "'9001'", "a list, each a text of at least 4 characters"),
        ({"share": True}, "share", "true", "a number from 0 to 1"),
        ({"opens": "21:00"}, "(whole table)", "a table", "shuts later than opens"),
        ({"zzz": 1}, "zzz", "an unknown key", "a known one; known here are closed, limit, listens"),
        ({"title": "x" * 500}, "", "", ""),
    ],
)
def test_single_mistakes(tree: dict[str, Any], key: str, found: str, expected: str) -> None:
    reported = problems(tree)
    assert set(reported) == ({key} if key else set())
    if key:
        assert reported[key][0] == found
        assert reported[key][1].startswith(expected)


def test_a_secret_under_a_wrong_key_or_of_a_wrong_kind_is_not_shown() -> None:
    tree = {"spare": {"host": "h", "port": 1, "site_key": ["0123456789abcdef"], "master_kei": "feedbeef"}}
    text = str(build(Bank, tree, "bank.toml")[1])
    assert "spare.site_key" in text
    assert "0123456789abcdef" not in text
    assert "feedbeef" not in text


def test_what_remains_without_unknown_keys_can_be_looked_at_but_they_are_still_told() -> None:
    tree = {"titel": "x", "listens": {"a": {"host": "h", "port": 1, "prot": 2}}, "spare": {"hots": "h"}}
    built, found = build_known(Bank, tree, "bank.toml")
    assert built is None, "a key that is required is missing"
    del tree["spare"]
    built, found = build_known(Bank, tree, "bank.toml")
    assert built is not None
    assert built.listens["a"].port == 1
    assert sorted(problem.key for problem in found) == ["listens.a.prot", "titel"]
    assert "prot" in tree["listens"]["a"], "the file's own tree stays as it is"  # type: ignore[index]


def test_whole_numbers_are_not_read_from_texts_or_fractions() -> None:
    for value in ("1", 1.5, True, None, "1_0", " 1"):
        assert "spare.port" in problems({"spare": {"host": "h", "port": value}})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"a = ", "no TOML"),
        (b"\xff\xfe", "no UTF-8 at 0"),
        (b"a = 1\na = 2", "no TOML"),
        (b"#" * (5 << 20), "more than"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_problem(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "site.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_toml(path)
    (problem,) = caught.value.problems
    assert problem.file == str(path)
    assert words in problem.found


def test_a_problem_reads_as_a_sentence() -> None:
    assert str(Problem("a.toml", "x.y", "0", "1")) == "a.toml: x.y: found 0, expected 1"
