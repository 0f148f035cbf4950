"""Any order of requests, repeats, answers, deaths and waits: nobody hears twice, nor a wrong "refused".

The core of the house is a dict that keeps the money rules about keys; nodes and their deaths are the test's.
"""

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from qianzhi.domain.requests import Kind, Request
from qianzhi.domain.results import Result
from qianzhi.link.messages import Status

SERIALS = st.sampled_from(["000001", "000002", "000003"])
AMOUNTS = st.sampled_from([5000, 7000, 99_999_999])
NODES = st.sampled_from(["node1", "node2"])
OPEN = {Result.UNKNOWN, Result.IN_PROCESS}
PARAMETERS = {}


class Core:
    """Rows of keys and nothing else: content and result of what was approved, blocked or reversed."""

    def __init__(self):
        self.rows = {}

    def execute(self, request):
        row = self.rows.get(request.serial)
        if request.kind is Kind.STATUS:
            return row[1] if row else self.keep(request, None, Result.NOT_FOUND)
        if request.kind is Kind.REVERSAL:
            if row and row[1] in (Result.APPROVED, Result.REVERSED):
                self.rows[request.serial] = (row[0], Result.REVERSED)
                return Result.APPROVED
            return row[1] if row else self.keep(request, None, Result.NOT_FOUND)
        if request.kind is Kind.BLOCK and request.phone and row and row[0] not in (None, request.amount_fen):
            return Result.DUPLICATE_SERIAL
        if request.kind is Kind.BLOCK:
            return self.standing(row) if row else self.keep(request, None, Result.BLOCKED)
        if row is None:
            return self.keep(request, request.amount_fen, Result.APPROVED)
        if row[0] not in (None, request.amount_fen):
            return Result.DUPLICATE_SERIAL
        return self.standing(row)

    def standing(self, row):
        return Result.BLOCKED if row[0] is None else row[1]

    def keep(self, request, content, result):
        self.rows[request.serial] = (content, result)
        return result


class Front(RuleBasedStateMachine):
    """One front; every message comes from a source of its own, so that its answers can be counted."""

    name = ""

    @initialize()
    def start(self):
        self.bench = PARAMETERS["Bench"](self.name)
        self.core = Core()
        self.waiting = {}  # source: request, in the order of arrival
        self.told = {}  # source: code's result
        self.seen = 0
        self.open = []  # (peer, envelope, request) that a node holds
        self.sources = 1000
        self.bench.node_up()
        if self.name == "hz_citic":
            self.bench.sign_on(self.bench.connect())
            self.bench.answers.clear()

    # -- the bank ----------------------------------------------------------------------------------------

    def arrive(self, request):
        self.sources += 1
        self.waiting[self.sources] = request
        self.bench.send(self.sources, self.bench.body(request))

    @rule(serial=SERIALS, amount=AMOUNTS)
    def recharge(self, serial, amount):
        self.arrive(self.bench.request(Kind.RECHARGE, serial=serial, amount_fen=amount))

    @rule(serial=SERIALS)
    def ask_status(self, serial):
        self.arrive(self.bench.request(Kind.STATUS, serial=serial))

    @rule(serial=SERIALS)
    def reverse(self, serial):
        self.arrive(self.bench.request(Kind.REVERSAL, serial=serial))

    # -- the nodes ---------------------------------------------------------------------------------------

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def answer(self, data):
        peer, envelope, request = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        result = self.core.execute(request)
        self.bench.reply(peer, envelope, result)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), status=st.sampled_from([Status.BUSY, Status.NO_ROUTE, Status.DRAINING]))
    def turn_away(self, data, status):
        peer, envelope, _ = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        self.bench.turn_away(peer, envelope, status)

    @rule(node=NODES, executed=st.booleans())
    def die(self, node, executed):
        """A node dies; what it held was executed, or was not."""
        for peer, _, request in self.open:
            if peer == node and executed:
                self.core.execute(request)
        self.open = [held for held in self.open if held[0] != node]
        self.bench.node_down(node)

    @rule(node=NODES)
    def come_back(self, node):
        if node in [peer.name for peer in self.bench.hop.peers if not peer.up]:
            self.bench.node_up(node)

    @rule(seconds=st.sampled_from([0.1, 1, 5, 11]))
    def wait(self, seconds):
        self.bench.wait(seconds)

    @rule()
    def drain_and_back(self):
        self.bench.run(self.bench.core.drain(True, self.bench.now))
        self.bench.run(self.bench.core.drain(False, self.bench.now))

    # -- what must hold ----------------------------------------------------------------------------------

    @invariant()
    def watch(self):
        if not hasattr(self, "bench"):
            return
        for peer, envelope in self.bench.take_asked():
            request = msgspec.msgpack.decode(envelope.body, type=Request)
            self.open.append((peer, envelope, request))
            assert envelope.attempt <= 2
        for source, body in self.bench.answers[self.seen :]:
            self.hear(source, body)
        self.seen = len(self.bench.answers)

    def hear(self, source, body):
        if source not in self.waiting and source not in self.told:
            return  # management
        assert source not in self.told, "answered twice"
        message = self.bench.profile.codec.decode(body)
        request = self.waiting.pop(source)
        result = self.bench.profile.mapping.reply_of(message).result
        self.told[source] = (request, result)
        if request.kind is not Kind.RECHARGE or result in OPEN:
            return
        row = self.core.rows.get(request.serial)
        if result is Result.APPROVED:
            assert row is not None, "approved without the core"
            assert row[0] == request.amount_fen
        elif self.bench.profile.results.may_repeat(result):
            held = [r for _, _, r in self.open if r.kind is Kind.RECHARGE and r.serial == request.serial]
            assert request.amount_fen not in [r.amount_fen for r in held], "refused while a node holds it"
        else:
            assert row is not None, "refused for good without the core's word"
            assert row[0] != request.amount_fen or row[1] is not Result.APPROVED

    def teardown(self):
        """All comes to rest: everybody was answered once, or its silence is recorded."""
        if not hasattr(self, "bench"):
            return
        self.watch()
        self.bench.wait(60)
        self.watch()
        assert self.bench.core.idle
        silent = {int(row.data["conn"]) for row in self.bench.rows if row.name == "silent"}
        assert set(self.waiting) <= silent
        for request, result in self.told.values():
            final = result not in OPEN and not self.bench.profile.results.may_repeat(result)
            if request.kind is Kind.RECHARGE and final and result is not Result.APPROVED:
                content, standing = self.core.rows[request.serial]
                assert content != request.amount_fen or standing is not Result.APPROVED


@pytest.mark.parametrize("name", ["hz_citic", "icbc"])
def test_any_history_keeps_the_rules_of_answers(name, bench):
    PARAMETERS["Bench"] = bench
    machine = type(f"Front_{name}", (Front,), {"name": name})
    limits = settings(
        max_examples=60,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    run_state_machine_as_test(machine, settings=limits)
