"""An order that is asked again is driven on: what waits has its next try now, nothing is asked twice."""

from house_bench import MINUTE_US, Bench

from qianzhi.domain.requests import Kind
from qianzhi.domain.results import Result
from qianzhi.link.messages import Status


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
