"""docs/CAPACITY.md says what its own inputs come to."""

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).parent.parent / "benchmarks/capacity.py"


@pytest.fixture
def capacity():
    spec = importlib.util.spec_from_file_location("capacity", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_worked_out_from_the_inputs(capacity):
    page = capacity.PAGE.read_text(encoding="utf-8")
    assert capacity.page_with_tables(page) == page, "run python benchmarks/capacity.py --write"
    given = capacity.inputs(page) | {"peak_factor": 8.64, "busy_max": 0.7, "postgres_us": 1_400}
    fifty = capacity.cpu_table(given).splitlines()[4].split(" | ")
    assert (fifty[0], fifty[1], fifty[5]) == ("| 50 million", "5,000", "10.0")
