"""What the platform asks a network for: whatever is answered, late, twice or never, a charge is credited or
taken back, and never both."""

from typing import Any

import pytest
from house_bench import MINUTE_US, POLICY, TODAY, Bench

from interface_layer.charges import Wanted
from qianzhi.domain.requests import Kind, Reply
from qianzhi.domain.results import Result
from qianzhi.link.messages import Status
from qianzhi.saf.lanes import RefusedError

POLICIES = ("on_timeout", "on_late_approval", "none")


def test_an_approved_charge_is_credited_under_its_own_serial() -> None:
    bench = Bench()
    asker = bench.charge()
    (asked,) = bench.asked
    assert (asked.kind, asked.space, asked.date, asked.serial) == (Kind.CHARGE, "unet-out", TODAY, "000008")
    assert (asked.phone, asked.amount_fen, asked.repeat) == ("13800000001", 5_000, False)
    assert [(r.kind, r.key) for r in bench.told] == [(Kind.RECHARGE, asked.key)]
    assert bench.answers[asker]["state"] == "credited" == bench.state()
    assert bench.journal == {asked.key.text: Result.APPROVED}


def test_where_money_was_only_put_aside_an_advice_takes_it_once_the_credit_stands() -> None:
    bench = Bench(advises=True)
    bench.charge()
    charge, advice = bench.asked
    assert (bench.state(), advice.kind, advice.key) == ("credited", Kind.ADVICE, charge.key)
    assert (advice.stamp_us, advice.amount_fen) == (charge.received_us, charge.amount_fen)
    bench.core_says[Kind.RECHARGE] = Result.NO_SUCH_PHONE
    bench.charge("o2")
    assert bench.kinds()[2:] == [Kind.CHARGE, Kind.CHARGE_REFUND]


def test_nothing_goes_out_before_the_intent_is_stored() -> None:
    bench = Bench()
    bench.hold()
    asker = bench.charge()
    assert (bench.asked, bench.shelf.charges, asker in bench.answers) == ([], {}, False)
    bench.release()
    assert bench.state() == "credited"


def test_an_intent_that_took_too_long_to_store_is_never_asked() -> None:
    bench = Bench()
    bench.hold()
    bench.charge()
    bench.now = bench.now.after(MINUTE_US)
    bench.release()
    bench.pass_time(MINUTE_US)
    assert (bench.asked, bench.state()) == ([], "declined")


def test_what_cannot_be_stored_is_refused_at_once_and_nothing_goes_out() -> None:
    bench = Bench()
    bench.do("node1", bench.nodes["node1"].on_store_trouble("disk full", bench.now))
    asker = bench.charge()
    assert (bench.answers[asker]["state"], bench.asked) == ("refused", [])
    assert bench.alarms["saf_store_unusable"] == 1


def test_an_order_that_is_asked_again_says_how_it_stands_and_charges_nothing() -> None:
    bench = Bench()
    bench.charge()
    again = bench.charge()
    other_node = bench.charge(name="node2")
    other_amount = bench.charge(amount_fen=1)
    assert bench.answers[again] == bench.answers[other_node]
    assert bench.answers[again]["state"] == "credited"
    assert isinstance(bench.answers[other_amount], RefusedError)
    assert bench.kinds() == [Kind.CHARGE]


def test_two_nodes_issue_serials_that_never_meet() -> None:
    bench = Bench()
    for number in range(30):
        bench.charge(f"o{number}", name=f"node{number % 2 + 1}")
        if number == 15:
            bench.begin("node1")  # in its next life it goes on after what it has used
    serials = [request.serial for request in bench.asked]
    assert len(set(serials)) == len(serials) == 30
    assert {int(serial) % 8 for serial in serials} == {0, 1}


@pytest.mark.parametrize(
    "bad",
    [{"number": "9" * 41}, {"number": "9\n"}, {"phone": ""}, {"phone": "1" * 41}, {"amount_fen": 10**16}],
)
def test_what_the_core_could_neither_credit_nor_block_is_never_asked_for(bad: dict[str, Any]) -> None:
    bench = Bench()
    wanted = Wanted("o1", "unet", "13800000001", 5_000)._replace(**bad)
    bench.do("node1", bench.nodes["node1"].charge("asker", wanted, True, bench.now))
    assert (bench.answers["asker"]["state"], bench.asked, bench.shelf.charges) == ("refused", [], {})


def test_a_declined_charge_has_ended_and_the_core_hears_nothing() -> None:
    bench = Bench()
    bench.says[Kind.CHARGE] = Result.OVER_QUOTA
    asker = bench.charge()
    assert (bench.answers[asker]["state"], bench.answers[asker]["result"]) == ("declined", "over_quota")
    assert (bench.told, bench.journal) == ([], {})


def test_a_charge_that_was_certainly_not_sent_has_ended() -> None:
    bench = Bench("on_late_approval")
    bench.says[Kind.CHARGE] = Status.BUSY
    bench.charge()
    assert (bench.state(), bench.told) == ("declined", [])


def test_a_charge_without_an_answer_is_blocked_and_then_reversed() -> None:
    bench = Bench()
    bench.says[Kind.CHARGE] = Reply(Result.UNKNOWN, name="timeout")
    asker = bench.charge()
    assert bench.answers[asker]["state"] == "reversing"
    assert bench.journal == {bench.key(): Result.BLOCKED}
    charge, reversal = bench.asked
    assert (reversal.kind, reversal.key, reversal.reason) == (Kind.CHARGE_REVERSAL, charge.key, "timeout")
    assert (reversal.stamp_us, reversal.repeat) == (charge.received_us, False)
    assert reversal.own_serial not in ("", charge.serial)
    assert [r.kind for r in bench.told] == [Kind.BLOCK, Kind.BREAK, Kind.MEND]
    assert bench.breaks == {}


def test_a_reversal_waits_for_the_cores_word_however_long_that_takes() -> None:
    bench = Bench()
    bench.says[Kind.CHARGE] = Result.UNKNOWN
    bench.core_says[Kind.BLOCK] = Result.UNKNOWN
    bench.charge()
    bench.pass_time(10 * MINUTE_US)
    assert (bench.kinds(), bench.state()) == ([Kind.CHARGE], "timed_out")
    del bench.core_says[Kind.BLOCK]
    bench.pass_time(MINUTE_US)
    assert (bench.kinds(), bench.state()) == ([Kind.CHARGE, Kind.CHARGE_REVERSAL], "reversing")


def test_where_a_scheme_waits_for_a_late_approval_silence_reverses_nothing() -> None:
    bench = Bench("on_late_approval")
    bench.says[Kind.CHARGE] = Reply(Result.UNKNOWN, name="timeout")
    asker = bench.charge()
    assert bench.answers[asker]["state"] == "waiting" == bench.state()
    assert bench.journal == {bench.key(): Result.BLOCKED}
    bench.pass_time(6 * MINUTE_US)
    assert (bench.state(), bench.kinds(), bench.breaks) == ("lapsed", [Kind.CHARGE], {})


def test_a_late_approval_is_reversed_once_and_the_front_hears_that_it_is_noted() -> None:
    bench = Bench("on_late_approval")
    bench.says[Kind.CHARGE] = Result.UNKNOWN
    bench.charge()
    key = bench.key()
    bench.hold()
    assert bench.offer_late(key, Result.APPROVED) is None  # not before it is stored
    bench.release()
    assert [answer.status for answer in bench.late] == [Status.OK]
    assert bench.offer_late(key, Result.APPROVED) == Reply(Result.APPROVED)
    assert (bench.state(), bench.kinds()) == ("reversing", [Kind.CHARGE, Kind.CHARGE_REVERSAL])
    assert bench.asked[-1].reason == "late"
    assert bench.offer_late("unet-out/20231115/999999", Result.APPROVED) == Reply(Result.NOT_FOUND)


def test_a_late_refusal_ends_the_wait() -> None:
    bench = Bench("on_late_approval")
    bench.says[Kind.CHARGE] = Result.UNKNOWN
    bench.charge()
    bench.offer_late(bench.key(), Result.OVER_QUOTA)
    assert (bench.state(), bench.kinds()) == ("declined", [Kind.CHARGE])


@pytest.mark.parametrize("policy", POLICIES)
def test_a_late_approval_changes_no_state_that_has_ended(policy: str) -> None:
    for said in (Result.APPROVED, Result.OVER_QUOTA, Result.UNKNOWN):
        bench = Bench(policy)
        bench.says[Kind.CHARGE] = said
        bench.charge()
        bench.pass_time(6 * MINUTE_US)
        ended, asked = bench.state(), list(bench.asked)
        assert bench.offer_late(bench.key(), Result.APPROVED) == Reply(Result.APPROVED)
        assert (bench.state(), bench.asked) == (ended, asked)


@pytest.mark.parametrize("restart", [False, True])
def test_an_approval_after_a_reversal_that_found_nothing_is_an_open_break(restart: bool) -> None:
    bench = Bench()
    bench.says[Kind.CHARGE] = Result.UNKNOWN
    bench.says[Kind.CHARGE_REVERSAL] = Result.NOT_FOUND  # it has overtaken its charge
    bench.charge()
    if restart:
        bench.begin("node1")
    for _ in range(3):
        assert bench.offer_late(bench.key(), Result.APPROVED) == Reply(Result.APPROVED)
    assert (bench.state(), bench.breaks) == ("reversing", {bench.key(): "late"})
    assert (bench.alarms["charge_late"], bench.alarms["saf_entry_known"]) == (1, 0)


def test_an_approval_that_is_known_before_its_reversal_finds_nothing_is_an_open_break() -> None:
    bench = Bench()
    bench.says[Kind.CHARGE] = Result.UNKNOWN
    bench.says[Kind.CHARGE_REVERSAL] = None
    bench.charge()
    bench.offer_late(bench.key(), Result.APPROVED)
    assert bench.breaks == {bench.key(): "saf"}
    bench.says[Kind.CHARGE_REVERSAL] = Result.NOT_FOUND
    bench.pass_time(2 * MINUTE_US)
    assert (bench.state(), bench.breaks) == ("reversing", {bench.key(): "late"})


def test_an_approval_of_what_was_declined_is_an_open_break() -> None:
    bench = Bench()
    bench.says[Kind.CHARGE] = Result.OVER_QUOTA
    bench.charge()
    bench.offer_late(bench.key(), Result.APPROVED)
    assert (bench.state(), bench.breaks) == ("declined", {bench.key(): "late"})


@pytest.mark.parametrize("said", [Result.UNKNOWN, Result.APPROVED])
def test_where_the_key_is_anothers_nothing_of_that_other_one_is_taken_back(said: Result) -> None:
    bench = Bench()
    bench.says[Kind.CHARGE] = said
    bench.core_says[Kind.BLOCK] = bench.core_says[Kind.RECHARGE] = Result.DUPLICATE_SERIAL
    bench.charge()
    assert (bench.kinds(), bench.state()) == ([Kind.CHARGE], "unreversed")
    assert bench.breaks == {bench.key(): "unreversed"}


def test_an_approval_after_the_wait_is_over_stays_as_an_open_break() -> None:
    bench = Bench("on_late_approval")
    bench.says[Kind.CHARGE] = Result.UNKNOWN
    bench.charge()
    bench.pass_time(6 * MINUTE_US)
    bench.offer_late(bench.key(), Result.APPROVED)
    assert (bench.state(), bench.breaks) == ("lapsed", {bench.key(): "late"})


def test_a_wait_in_which_the_front_was_away_ends_in_a_reversal() -> None:
    bench = Bench("on_late_approval")
    bench.says[Kind.CHARGE] = Result.UNKNOWN
    bench.charge()
    bench.front_down()
    bench.front_up("node1")
    bench.pass_time(6 * MINUTE_US)
    assert (bench.state(), bench.asked[-1].reason) == ("reversing", "house")


def test_a_destination_without_reversals_leaves_an_open_break() -> None:
    bench = Bench("none")
    bench.says[Kind.CHARGE] = Result.UNKNOWN
    asker = bench.charge()
    assert bench.answers[asker]["state"] == "unreversed"
    assert bench.journal == {bench.key(): Result.BLOCKED}
    assert bench.breaks == {bench.key(): "unreversed"}
    assert bench.kinds() == [Kind.CHARGE]


def test_charged_but_not_credited_is_refunded() -> None:
    bench = Bench()
    bench.core_says[Kind.RECHARGE] = Result.NO_SUCH_PHONE
    asker = bench.charge()
    assert (bench.answers[asker]["state"], bench.answers[asker]["result"]) == ("refunding", "no_such_phone")
    assert bench.kinds() == [Kind.CHARGE, Kind.CHARGE_REFUND]
    assert [r.kind for r in bench.told] == [Kind.RECHARGE, Kind.BREAK, Kind.MEND]


def test_charged_but_not_credited_where_nothing_can_be_refunded_is_an_open_break() -> None:
    bench = Bench("none")
    bench.core_says[Kind.RECHARGE] = Result.NO_SUCH_PHONE
    bench.charge()
    assert (bench.state(), bench.breaks) == ("unreversed", {bench.key(): "unreversed"})


def test_of_a_credit_without_an_answer_the_cores_row_decides() -> None:
    credited = Bench()
    credited.core_says[Kind.RECHARGE] = lambda request: (credited._decide(request), Result.UNKNOWN)[1]
    asker = credited.charge()
    assert [r.kind for r in credited.told] == [Kind.RECHARGE, Kind.BLOCK]
    assert (credited.answers[asker]["state"], credited.kinds()) == ("credited", [Kind.CHARGE])
    lost = Bench()
    lost.core_says[Kind.RECHARGE] = Result.UNKNOWN
    lost.charge()
    assert (lost.state(), lost.journal) == ("refunding", {lost.key(): Result.BLOCKED})
    assert lost.kinds() == [Kind.CHARGE, Kind.CHARGE_REFUND]


def test_a_credit_that_the_core_did_not_take_is_tried_again_and_then_blocked() -> None:
    bench = Bench()
    bench.core_says[Kind.RECHARGE] = Status.BUSY
    bench.charge()
    bench.pass_time(5_000_000)
    assert bench.state() == "crediting"
    del bench.core_says[Kind.RECHARGE]
    bench.pass_time(2_000_000)
    assert bench.state() == "credited"
    bench.core_says[Kind.RECHARGE] = Status.BUSY
    bench.charge("o2")
    bench.pass_time(2 * MINUTE_US)
    assert (bench.state("o2"), bench.journal[bench.key("o2")]) == ("refunding", Result.BLOCKED)


@pytest.mark.parametrize(
    ("policy", "state"),
    [("on_timeout", "reversing"), ("on_late_approval", "reversing"), ("none", "unreversed")],
)
def test_what_was_on_its_way_when_the_node_died_is_taken_back(policy: str, state: str) -> None:
    bench = Bench(policy)
    bench.says[Kind.CHARGE] = None
    bench.charge()
    bench.begin("node1")
    bench.pass_time(2_000_000)
    assert (bench.state(), bench.journal) == (state, {bench.key(): Result.BLOCKED})
    assert bench.offer_late(bench.key(), Result.APPROVED) == Reply(Result.APPROVED)
    assert len(bench.kinds()) == (1 if policy == "none" else 2)
    assert bench.breaks == ({bench.key(): "unreversed"} if policy == "none" else {})


def test_a_node_that_died_after_the_approval_asks_the_core_what_stands() -> None:
    for credited in (True, False):
        bench = Bench()
        bench.core_says[Kind.RECHARGE] = (
            (lambda request, bench=bench: (bench._decide(request), None)[1]) if credited else None
        )
        bench.charge()
        assert bench.state() == "crediting"
        bench.begin("node1")
        bench.pass_time(2_000_000)
        assert bench.state() == ("credited" if credited else "refunding")


def test_a_dead_nodes_charge_is_settled_by_its_partner() -> None:
    bench = Bench()
    bench.says[Kind.CHARGE] = None
    bench.charge()
    bench.kill("node1")
    bench.pass_time(30_000_000)
    assert (bench.state(), bench.shelf.charges["o1"][0]) == ("reversing", "node2")
    assert bench.alarms["saf_taken_over"] == 1


def test_a_drained_node_takes_no_charges_and_is_idle_when_all_is_settled() -> None:
    bench = Bench()
    node = bench.nodes["node1"]
    bench.core_says[Kind.BLOCK] = Result.UNKNOWN
    bench.says[Kind.CHARGE] = Result.UNKNOWN
    bench.charge()
    bench.do("node1", node.drain(True, bench.now))
    assert not node.idle
    del bench.core_says[Kind.BLOCK]
    bench.pass_time(2_000_000)
    assert node.idle
    assert bench.answers[bench.charge("o2")]["state"] == "refused"


def test_an_order_is_charged_once_at_whichever_node_it_is_asked_again() -> None:
    bench = Bench(figures=POLICY._replace(lease_us=0))
    bench.charge()
    told = bench.answers[bench.charge(name="node2")]
    assert isinstance(told, RefusedError)
    assert "node1" in str(told)
    assert bench.kinds() == [Kind.CHARGE]
    bench.now = bench.now.after(2 * 60 * MINUTE_US)
    bench.pass_time(MINUTE_US)  # it is known by the store alone now
    assert bench.answers[bench.charge()]["state"] == "credited"
    other = bench.answers[bench.charge(amount_fen=6_000)]
    assert isinstance(other, RefusedError)
    assert "another charge" in str(other)
    bench.now = bench.now.after(40 * 24 * 60 * MINUTE_US)
    bench.do("node1", bench.nodes["node1"].on_time(bench.now))
    assert bench.shelf.charges == {}, "it is kept no more"
    assert "long ago" in str(bench.answers[bench.charge()])
    assert bench.kinds() == [Kind.CHARGE]
