"""An order that is asked again is driven on: what waits has its next try now, nothing is asked twice."""

from typing import Any

from house_bench import MINUTE_US, POLICY, Bench

from qianzhi.domain.requests import Kind
from qianzhi.domain.results import Result
from qianzhi.link.messages import Status
from qianzhi.saf.lanes import RefusedError


def test_an_order_that_is_asked_again_drives_its_credit_on_and_asks_no_second_one_meanwhile() -> None:
    bench = Bench()
    bench.core_says[Kind.RECHARGE] = Status.BUSY
    bench.charge(wait=False)
    assert (bench.state(), len(bench.told)) == ("crediting", 1)
    del bench.core_says[Kind.RECHARGE]
    again = bench.charge()
    assert bench.answers[again]["state"] == "credited"
    assert [request.kind for request in bench.told] == [Kind.RECHARGE] * 2
    bench.core_says[Kind.RECHARGE] = None  # it is being asked, and takes its time
    for _ in range(3):
        bench.charge("o2", wait=False)
    assert [request.kind for request in bench.told] == [Kind.RECHARGE] * 3


def test_an_order_that_is_asked_again_drives_its_reversal_on() -> None:
    bench = Bench()
    bench.says |= {Kind.CHARGE: None, Kind.CHARGE_REVERSAL: Result.UNKNOWN}
    bench.charge(wait=False)
    bench.pass_time(10 * MINUTE_US)
    reversals = bench.kinds().count(Kind.CHARGE_REVERSAL)
    bench.pass_time(MINUTE_US // 2)
    assert bench.kinds().count(Kind.CHARGE_REVERSAL) == reversals  # it waits a minute for its next try
    bench.says[Kind.CHARGE_REVERSAL] = Result.APPROVED
    again = bench.charge()
    assert bench.answers[again]["state"] == "reversing"
    assert bench.kinds().count(Kind.CHARGE_REVERSAL) == reversals + 1
    assert bench.breaks == {}
    bench.charge()
    assert bench.kinds().count(Kind.CHARGE_REVERSAL) == reversals + 1
    assert bench.kinds().count(Kind.CHARGE) == 1


def taken_over_while_asked(bench: Bench, **asked: Any) -> tuple[str, str]:
    """An order of a dead node is asked again at its partner, whose write waits until it has taken it over."""
    bench.says[Kind.CHARGE] = None
    bench.charge()
    bench.kill("node1")
    bench.hold("node2")
    askers = bench.charge(name="node2", **asked), bench.charge(name="node2", wait=False, **asked)
    bench.pass_time(MINUTE_US // 2)
    bench.release("node2")
    bench.pass_time(MINUTE_US // 2)
    return askers


def test_an_order_that_is_begun_anew_while_it_is_taken_over_is_settled_as_it_stands() -> None:
    bench = Bench()
    askers = taken_over_while_asked(bench)
    assert (bench.state(), bench.shelf.charges["o1"][0]) == ("reversing", "node2")
    assert bench.kinds() == [Kind.CHARGE, Kind.CHARGE_REVERSAL]
    assert [bench.answers[asker]["key"] for asker in askers] == [bench.key()] * 2
    assert bench.answers[askers[0]]["state"] == "reversing"
    assert bench.answers[bench.charge(name="node2")]["state"] == "reversing"


def test_another_charge_under_an_order_that_is_taken_over_is_refused_and_the_order_is_settled() -> None:
    bench = Bench()
    for asker in taken_over_while_asked(bench, amount_fen=1):
        assert isinstance(bench.answers[asker], RefusedError)
        assert "another charge" in str(bench.answers[asker])
    assert bench.state() == "reversing"
    assert bench.kinds() == [Kind.CHARGE, Kind.CHARGE_REVERSAL]


def test_what_waited_for_a_refused_charge_sends_nothing_of_the_one_that_is_begun_after_it() -> None:
    bench = Bench()
    bench.says[Kind.CHARGE] = None
    bench.charge()  # it stands at node1
    bench._load = lambda name, life: None  # type: ignore[method-assign]
    bench.hold("node2")
    bench.charge(name="node2", wait=False)
    bench.pass_time(2 * POLICY.lease_us)  # its disk is slow: its lease runs out meanwhile
    written = bench.stored["node2"]
    assert written is not None
    for _ in range(len(written)):
        written.popleft()()  # refused, and the lease is to be renewed first
        bench.settle()
    begun = bench.charge(name="node2", wait=False)
    written.popleft()()  # the lease is renewed; the second beginning is not stored yet
    bench.settle()
    assert len(bench.asked) == 1, "sent before it was stored"
    bench.release("node2")
    assert bench.answers[begun]["key"] == bench.key()
    assert len(bench.asked) == 1
