"""The remote core's pure parts: what may go side by side, when to stop asking, what is believed."""

import json

import msgspec
import pytest

from crm_bridge.remote.breaker import Breaker, State
from crm_bridge.remote.contract import Answered, Call, What, read_batch, read_single, single
from crm_bridge.remote.settings import RemoteTable
from crm_bridge.remote.waves import waves
from crm_bridge.settings import CoreSettings, problems
from qianzhi.domain.dates import shift
from qianzhi.domain.requests import Kind
from qianzhi.domain.results import Result
from qianzhi.runtime.settings import build

RECHARGE, STATUS, REVERSAL, OWED, TOTALS = (
    Kind.RECHARGE,
    Kind.STATUS,
    Kind.REVERSAL,
    Kind.OWED,
    Kind.TOTALS,
)
ONE, TWO = "13800000001", "13800000002"


def cut(*requests):
    return waves(requests, lambda date: (shift(date, -1), shift(date, 1)))


def test_what_touches_one_key_or_phone_goes_in_turn_and_the_rest_side_by_side(ask):
    assert cut(ask(RECHARGE, "1", ONE, 1), ask(RECHARGE, "2", TWO, 1), ask(STATUS, "3")) == [[0, 1, 2]]
    assert cut(ask(RECHARGE, "1", ONE, 1), ask(REVERSAL, "1"), ask(STATUS, "1")) == [[0], [1], [2]]
    assert cut(ask(RECHARGE, "1", ONE, 1), ask(RECHARGE, "2", ONE, 1), ask(OWED, "3", ONE)) == [[0], [1], [2]]
    assert cut(
        ask(RECHARGE, "1", ONE, 1), ask(STATUS, "2"), ask(RECHARGE, "3", ONE, 1), ask(STATUS, "4")
    ) == [
        [0, 1, 3],
        [2],
    ]


def test_where_the_date_is_ours_the_days_beside_it_are_one_key(ask):
    eve = {"date": 20261116}
    assert cut(ask(RECHARGE, "1", ONE, 1), ask(STATUS, "1", **eve)) == [[0, 1]]
    assert cut(ask(RECHARGE, "1", ONE, 1), ask(STATUS, "1", date_ours=True, **eve)) == [[0], [1]]


def test_totals_stand_behind_what_came_before_and_before_what_comes_after(ask):
    listed = [ask(TOTALS, "a"), ask(RECHARGE, "1", ONE, 1), ask(TOTALS, "b"), ask(RECHARGE, "2", TWO, 1)]
    assert cut(*listed) == [[0, 1], [2, 3]]


def test_a_breaker_opens_after_failures_in_a_row_and_closes_by_a_probe_alone():
    breaker = Breaker(2)
    assert breaker.state is State.PROBING
    breaker.on_success()
    assert not breaker.on_failure("a")
    breaker.on_success()
    assert not breaker.on_failure("b")
    assert breaker.on_failure("c")
    assert not breaker.on_failure("d")
    breaker.on_success()  # a call that was under way is no probe
    assert (breaker.state, breaker.reason) == (State.OPEN, "c")
    breaker.on_probe()
    assert breaker.on_failure("e")
    breaker.on_probe()
    breaker.on_success()
    assert (breaker.state, breaker.reason) == (State.CLOSED, "")


GOOD = {
    "call": "credit",
    "result": "approved",
    "key": {"space": "citic", "date": 20261117, "serial": "1"},
    "order": "Q1",
    "amount_fen": 500,
}


@pytest.mark.parametrize(
    "wrong",
    [
        {"call": "reversal"},
        {"result": "unknown"},
        {"result": "busy"},
        {"result": "splendid"},
        {"result": 1},
        {"key": None},
        {"key": GOOD["key"] | {"serial": "2"}},
        {"key": GOOD["key"] | {"date": 20261118}},
        {"order": ""},
        {"order": "Q\n1"},
        {"order": "Q" * 41},
        {"amount_fen": 499},
        {"amount_fen": -500},
        {"amount_fen": 500.5},
        {"amount_fen": 10**30},
        {"name": "\0"},
        {"bills": [{"serial": "x", "month": 1, "principal_fen": 10**16}]},
        {"shortage_fen": 2**70},
    ],
    ids=str,
)
def test_an_answer_that_does_not_fit_its_call_is_not_believed(ask, wrong):
    call = Call(What.CREDIT, ask(RECHARGE, "1", ONE, 500))
    assert isinstance(read_single(json.dumps(GOOD).encode(), call), Answered)
    outcome = read_single(json.dumps(GOOD | wrong).encode(), call)
    assert (isinstance(outcome, Answered), outcome.sent) == (False, True)


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b'{"answers": []}', b"\xff", b"[" * 100_000])
def test_what_is_no_answer_is_none(ask, body):
    call = Call(What.CREDIT, ask(RECHARGE, "1", ONE, 500))
    assert not isinstance(read_single(body, call), Answered)
    assert not any(isinstance(one, Answered) for one in read_batch(body, [call, call]))


def test_a_batch_whose_answers_are_swapped_is_not_believed(ask):
    calls = [Call(What.CREDIT, ask(RECHARGE, serial, ONE, 500)) for serial in "12"]
    answers = [GOOD, GOOD | {"key": GOOD["key"] | {"serial": "2"}}]
    assert all(
        isinstance(one, Answered) for one in read_batch(json.dumps({"answers": answers}).encode(), calls)
    )
    swapped = read_batch(json.dumps({"answers": answers[::-1]}).encode(), calls)
    assert not any(isinstance(one, Answered) for one in swapped)


def test_a_call_says_no_more_than_the_core_needs(ask):
    body = msgspec.json.decode(single(Call(What.QUERY, ask(STATUS, "1", ONE, 500))))
    assert body == {"call": "query", "key": GOOD["key"]}


def test_a_refusal_that_only_the_edge_may_give_is_none_of_the_cores(ask):
    call = Call(What.REVERSAL, ask(REVERSAL, "1"))
    for result in ("no_such_phone", "blocked", "reversed"):
        answer = json.dumps(GOOD | {"call": "reversal", "result": result}).encode()
        assert not isinstance(read_single(answer, call), Answered)
    closed = read_single(json.dumps(GOOD | {"call": "reversal", "result": "date_closed"}).encode(), call)
    assert closed.result is Result.DATE_CLOSED


@pytest.mark.parametrize(
    ("core", "keys"),
    [
        ({"kind": "remote"}, ["core.kind"]),
        ({"remote": {"url": "http://h"}}, ["core.kind"]),
        ({"kind": "remote", "remote": {"url": "ftp://h"}}, ["core.remote.url"]),
        ({"kind": "remote", "remote": {"url": "http://u:p@h"}}, ["core.remote.url"]),
        ({"kind": "remote", "remote": {"url": "http://h:99999"}}, ["core.remote.url"]),
        ({"kind": "remote", "remote": {"url": "https://h"}}, ["core.remote.tls"]),
        ({"kind": "remote", "remote": {"url": "http://h", "tls": "core"}}, ["core.remote.tls"]),
        ({"kind": "remote", "remote": {"url": "http://h", "token": "abc"}}, ["core.remote.token"]),
        ({"kind": "remote", "remote": {"url": "https://h:1/x", "tls": "core", "token": "env:T"}}, []),
    ],
    ids=str,
)
def test_what_is_wrong_with_the_table_is_said(core, keys):
    settings, wrong = build(CoreSettings, {"database": "sqlite:///x.db"} | core, "site.toml", "core")
    assert wrong == []
    found = problems(settings)
    assert [problem.key for problem in found] == keys
    assert not any("abc" in str(problem) or "u:p" in str(problem) for problem in found)


def test_a_table_has_its_bounds():
    assert build(RemoteTable, {"url": "http://h", "window": 0}, "site.toml")[1]
