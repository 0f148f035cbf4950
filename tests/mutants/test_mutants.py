"""The planted faults themselves: each fits the code as it is, and names a check that exists."""

import ast

import mutants_run
import pytest
from mutants_run import ROOT, RULES, SIMULATE, Mutant, command_of, planted, word_of

MUTANTS = mutants_run.mutants()


def test_there_are_enough_of_them_and_each_rule_has_one() -> None:
    assert len(MUTANTS) >= 40
    assert {mutant.rule for mutant in MUTANTS} == set(RULES)
    assert len({mutant.says for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_it_can_be_planted_and_its_check_exists(mutant: Mutant) -> None:
    text = (ROOT / mutant.file).read_text(encoding="utf-8")
    faulty = planted(mutant, text)
    assert ast.dump(ast.parse(faulty)) != ast.dump(ast.parse(text))
    assert mutant.says.endswith(".")
    if mutant.noticed_by != SIMULATE:
        file, _, name = mutant.noticed_by.partition("::")
        assert f"def {name.partition('[')[0]}(" in (ROOT / file).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("output", "word"),
    [
        (
            "E  assert 1 == 2\nFAILED tests/x.py::test_y - assert 1 == 2\n1 failed",
            "tests/x.py::test_y - assert 1 == 2",
        ),
        (
            "  seed 3 FAILS; again with\nseed 3: I2 x/20260701/1: credited twice\nqianzhi: 1 seeds fail: [3]",
            "I2",
        ),
        ("  seed 3 FAILS; again with\nTraceback …\nKeyError: 'x'", "KeyError: 'x'"),
        ("ImportError while loading conftest", ""),
        ("ERROR tests/x.py - SyntaxError", ""),
    ],
)
def test_only_what_a_check_has_noticed_is_a_catch(output: str, word: str) -> None:
    check = SIMULATE if "FAILS" in output else "tests/x.py::test_y"
    said = word_of(check, output)
    assert said.startswith(word)
    assert bool(said) is bool(word)


def test_a_simulation_stops_at_its_first_failure() -> None:
    assert "--stop" in command_of(SIMULATE)
