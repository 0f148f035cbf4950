"""docs/MONEY.md, the simulator's list of sequences and the tests are held to each other: each sequence is
drawn once, under its rule, names its test and where the code stands that holds it, and has that test.
"""

import ast
import re
from pathlib import Path

import pytest

from simulators.world.sequences import SEQUENCES, Sequence

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "MONEY.md").read_text(encoding="utf-8")
RULE = re.compile(r"^## (\d+)\. ", re.MULTILINE)
DRAWN = re.compile(r"^### (\S+)\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
TESTS = re.compile(r"^Test: `(\w+)`\.$", re.MULTILINE)
LIVE = re.compile(r"^Live test: `(\w+)`\sin `([\w/.]+)`\.$", re.MULTILINE)
HELD = re.compile(r"^Held by (.*)\.$", re.MULTILINE)


def sections() -> list[tuple[int, str, str]]:
    """Return rule, name and text of each sequence, in the order of the page."""
    found = []
    parts = RULE.split(PAGE)[1:]
    for rule, text in zip(parts[::2], parts[1::2], strict=True):
        found += [(int(rule), match[1], match[2]) for match in DRAWN.finditer(text)]
    return found


SECTIONS = {name: (rule, text) for rule, name, text in sections()}


def names_here() -> set[str]:
    """Return the names of the tests of sequences in this folder."""
    found: set[str] = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        if path != Path(__file__):
            found |= functions(path)
    return found


def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {one.name for one in tree.body if isinstance(one, ast.FunctionDef) and one.name[:5] == "test_"}


def test_page_and_simulator_name_the_same_sequences_in_the_same_order_and_under_the_same_rules() -> None:
    drawn = [(name, rule) for rule, name, _ in sections()]
    assert drawn == [(one.name, one.rule) for one in SEQUENCES]


def test_every_rule_of_money_has_its_section() -> None:
    assert [int(number) for number in RULE.findall(PAGE)] == list(range(1, 17))


@pytest.mark.parametrize("sequence", SEQUENCES, ids=lambda one: one.name)
def test_a_sequence_is_drawn_and_names_its_test_and_the_code_that_holds_it(sequence: Sequence) -> None:
    _, text = SECTIONS[sequence.name]
    drawing = [line for line in text.splitlines() if line.startswith("    ")]
    assert len(drawing) >= 3
    assert re.search(r"-->|--x|\.\.>|†", "\n".join(drawing))
    assert all(len(line) <= 110 for line in drawing)

    assert TESTS.findall(text) == [f"test_{sequence.name.replace('-', '_')}"]
    assert text.count("Live test:") == len(LIVE.findall(text))
    for name, where in LIVE.findall(text):
        assert name in functions(ROOT / where)

    (held,) = HELD.findall(text)
    modules = re.findall(r"`([\w/]+(?:\.\w+)+)`", held)
    assert modules
    for module in modules:
        assert (ROOT / (module.replace(".", "/") + ".py")).is_file(), f"there is no module {module}"


def test_every_sequence_has_its_test_and_no_test_is_of_another() -> None:
    assert names_here() == {f"test_{one.name.replace('-', '_')}" for one in SEQUENCES}
