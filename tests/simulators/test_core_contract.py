"""The simulated remote core keeps the contract that is on paper, whatever it is sent."""

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from crm_bridge.audit import audit_books
from crm_bridge.remote.contract import RESULTS
from crm_bridge.seed import seed
from crm_bridge.settings import CoreSettings
from simulators.core import contract, make_core
from simulators.core_books import Books
from simulators.core_contract import ResultName

TOKEN = "of the tests"
URL = "sqlite:///{}/core.db"
PAPER = Path(__file__).parent.parent.parent / "docs" / "openapi" / "core.json"


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    found = URL.format(tmp_path_factory.mktemp("remote"))
    seed(found, 20, 1)
    return found


@pytest.fixture(scope="module")
def core(url):
    books = Books(CoreSettings(database=url), ZoneInfo("Asia/Shanghai"))
    yield make_core(books, TOKEN)
    books.close()


@pytest.fixture(scope="module")
def schema(core):
    return schemathesis.openapi.from_asgi("/openapi.json", core)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("path", ["terms", "credit", "reversal", "query", "owed", "totals", "batch"])
def test_every_call_answers_as_the_paper_says(schema, path, mode):
    operation = schema[f"/v1/{path}"]["GET" if path == "terms" else "POST"]
    strategy = operation.as_strategy(generation_mode=mode)

    @settings(max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=strategy)
    def check(case):
        case.call_and_validate(headers={"Authorization": f"Bearer {TOKEN}"})

    check()


def test_the_books_are_whole_after_all_that(url):
    assert audit_books(url).violations == []


def test_the_committed_paper_is_what_is_served(core):
    assert PAPER.read_text(encoding="utf-8") == contract(core), "run `qianzhi simulate core --openapi`"


def test_every_result_that_the_gateway_takes_is_on_the_paper():
    named = set(ResultName.__args__)
    assert {result.name.lower() for results in RESULTS.values() for result in results} == named
