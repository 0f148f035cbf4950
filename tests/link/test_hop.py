"""A hop's decisions one by one: who gets a job, who gets it again, and what is told when nobody does."""

from itertools import count
from typing import Any

import pytest
from msgspec.structs import replace

from qianzhi.link.hop import Hop, HopLimits, Job
from qianzhi.link.messages import Answer, Envelope, Status
from qianzhi.link.peers import FORGET_US, SILENT_US, STRIDE, TRIAL_US, Peer, choose
from qianzhi.runtime.effects import Alarm, Count, Effects, Send
from qianzhi.runtime.now import Now

NOW = Now(50_000_000, 1_700_000_000_000_000)


def job(ticket: int, *, left_us: int = 30_000_000, priority: int = 0, **more: Any) -> Job:
    return Job(ticket, "123", 2, 7, NOW.mono_us + left_us, priority, "t", f"k{ticket}", b"b", **more)


def sends(effects: Effects) -> dict[str, list[Envelope]]:
    found: dict[str, list[Envelope]] = {}
    for effect in effects:
        if isinstance(effect, Send):
            assert isinstance(effect.to, tuple)
            assert effect.to[1] not in found, "two lists for one peer"
            found[effect.to[1]] = effect.items
    return found


def pair(**limits: int) -> Hop:
    hop = Hop(HopLimits(**limits), ["node1", "node2"])
    hop.on_peer_up("node1", NOW)
    hop.on_peer_up("node2", NOW)
    return hop


def only_outcome(hop: Hop) -> tuple[Status, bool, int]:
    (outcome,) = hop.take_outcomes()
    return outcome.status, outcome.certain, outcome.attempts


def test_a_list_is_spread_evenly_and_leaves_as_one_list_per_peer() -> None:
    found = sends(pair().submit([job(i) for i in range(10)], NOW))
    assert {peer: len(items) for peer, items in found.items()} == {"node1": 5, "node2": 5}


def test_what_travels_together_goes_to_one_peer_as_far_as_a_run_and_its_places_reach() -> None:
    hop = pair(run=4)
    found = sends(hop.submit([job(i) for i in range(10)], NOW))
    assert {peer: [e.key for e in items] for peer, items in found.items()} == {
        "node1": ["k0", "k1", "k2", "k3", "k8", "k9"],
        "node2": ["k4", "k5", "k6", "k7"],
    }
    assert list(sends(hop.submit([job(i) for i in range(4)], NOW))) == ["node2"]
    small = pair(run=4, window=3)  # of three places one is for reversals
    found = sends(small.submit([job(i) for i in range(5)], NOW))
    assert {peer: len(items) for peer, items in found.items()} == {"node1": 2, "node2": 2}
    assert only_outcome(small) == (Status.BUSY, True, 0)


def test_a_reversal_goes_where_least_waits_whatever_run_it_stands_in() -> None:
    found = sends(pair(run=9).submit([job(1), job(2), job(3, priority=1), job(4)], NOW))
    assert [e.key for e in found["node1"]] == ["k1", "k2", "k4"]
    assert [e.key for e in found["node2"]] == ["k3"]


def test_the_one_with_least_outstanding_gets_the_next() -> None:
    hop = pair()
    (first,) = sends(hop.submit([job(1), job(2)], NOW))["node1"]
    hop.on_answers("node1", [Answer(first.id, Status.OK, b"")], NOW)
    assert list(sends(hop.submit([job(3)], NOW))) == ["node1"]


def test_the_budget_sent_is_what_is_left_at_sending() -> None:
    hop = pair()
    hop.on_peer_down("node2", NOW)
    (first,) = sends(hop.submit([job(1, left_us=9_000_999)], NOW))["node1"]
    assert first.budget_ms == 9_000
    hop.on_peer_up("node2", NOW)
    (again,) = sends(hop.on_peer_down("node1", NOW.after(4_000_000)))["node2"]
    assert (again.budget_ms, again.attempt, again.key, again.body) == (5_000, 2, first.key, first.body)


def test_what_a_dead_peer_held_goes_to_its_partner_once_and_then_is_unknown() -> None:
    hop = pair()
    hop.submit([job(1), job(2)], NOW)
    effects = hop.on_peer_down("node1", NOW)
    assert [e.attempt for e in sends(effects)["node2"]] == [2]
    assert Count("qianzhi_link_resends_total", ("node2",), 1) in effects
    assert hop.take_outcomes() == []
    assert sends(hop.on_peer_up("node1", NOW)) == {}
    again = sends(hop.on_peer_down("node2", NOW))["node1"]
    assert [e.key for e in again] == ["k2"]
    assert only_outcome(hop) == (Status.UNKNOWN, False, 2)


def test_a_lone_peer_that_returns_in_time_gets_its_jobs_again() -> None:
    hop = Hop(HopLimits(), ["bridge1"])
    hop.on_peer_up("bridge1", NOW)
    hop.submit([job(1), job(2, left_us=1_000_000)], NOW)
    hop.on_peer_down("bridge1", NOW)
    later = NOW.after(2_000_000)
    hop.on_time(later)
    assert only_outcome(hop) == (Status.UNKNOWN, False, 1)
    (again,) = sends(hop.on_peer_up("bridge1", later))["bridge1"]
    assert (again.key, again.attempt, again.budget_ms) == ("k1", 2, 28_000)


def test_the_late_answer_of_a_former_life_finds_nothing() -> None:
    hop = Hop(HopLimits(), ["bridge1"])
    hop.on_peer_up("bridge1", NOW)
    (first,) = sends(hop.submit([job(1)], NOW))["bridge1"]
    hop.on_peer_down("bridge1", NOW)
    (again,) = sends(hop.on_peer_up("bridge1", NOW))["bridge1"]
    late = hop.on_answers("bridge1", [Answer(first.id, Status.OK, b"old")], NOW)
    assert late == [Count("qianzhi_link_late_answers_total", ("bridge1",), 1)]
    hop.on_answers("bridge1", [Answer(again.id, Status.OK, b"new")], NOW)
    assert [outcome.body for outcome in hop.take_outcomes()] == [b"new"]


def test_what_is_answered_twice_is_settled_once() -> None:
    hop = Hop(HopLimits(), ["bridge1"])
    hop.on_peer_up("bridge1", NOW)
    (first,) = sends(hop.submit([job(1)], NOW))["bridge1"]
    twice = [Answer(first.id, Status.OK, b"credited"), Answer(first.id, Status.OK, b"other")]
    assert hop.on_answers("bridge1", twice, NOW) == [
        Count("qianzhi_link_late_answers_total", ("bridge1",), 1)
    ]
    assert [outcome.body for outcome in hop.take_outcomes()] == [b"credited"]
    assert hop.in_flight == 0


@pytest.mark.parametrize("status", [Status.BUSY, Status.NO_ROUTE, Status.EXPIRED, Status.DRAINING])
def test_a_refusal_of_the_only_attempt_is_certain_and_of_a_second_one_is_unknown(status: Status) -> None:
    hop = Hop(HopLimits(), ["bridge1"])
    hop.on_peer_up("bridge1", NOW)
    (first,) = sends(hop.submit([job(1)], NOW))["bridge1"]
    hop.on_answers("bridge1", [Answer(first.id, status)], NOW)
    assert only_outcome(hop) == (status, True, 1)
    hop.submit([job(2)], NOW)
    hop.on_peer_down("bridge1", NOW)
    (again,) = sends(hop.on_peer_up("bridge1", NOW))["bridge1"]
    hop.on_answers("bridge1", [Answer(again.id, status)], NOW)
    assert only_outcome(hop) == (Status.UNKNOWN, False, 2)


def test_what_a_draining_peer_did_not_take_goes_to_its_partner_and_stays_certain() -> None:
    hop = pair()
    hop.on_peer_draining("node2", True, NOW)
    (first,) = sends(hop.submit([job(1)], NOW))["node1"]
    hop.on_peer_draining("node2", False, NOW)
    (again,) = sends(hop.on_answers("node1", [Answer(first.id, Status.DRAINING)], NOW))["node2"]
    assert again.attempt == 2
    hop.on_answers("node2", [Answer(again.id, Status.BUSY)], NOW)
    assert only_outcome(hop) == (Status.BUSY, True, 2)


def test_nothing_goes_out_a_third_time() -> None:
    hop = pair()
    hop.submit([job(1)], NOW)
    (again,) = sends(hop.on_peer_down("node1", NOW))["node2"]
    hop.on_peer_up("node1", NOW)
    assert sends(hop.on_answers("node2", [Answer(again.id, Status.DRAINING)], NOW)) == {}
    assert only_outcome(hop) == (Status.UNKNOWN, False, 2)


def test_a_tenth_of_the_window_is_kept_for_priority() -> None:
    hop = Hop(HopLimits(window=20), ["bridge1"])
    hop.on_peer_up("bridge1", NOW)
    assert len(sends(hop.submit([job(i) for i in range(30)], NOW))["bridge1"]) == 18
    assert [o.status for o in hop.take_outcomes()] == [Status.BUSY] * 12
    assert len(sends(hop.submit([job(i, priority=1) for i in range(30, 33)], NOW))["bridge1"]) == 2
    assert only_outcome(hop) == (Status.BUSY, True, 0)


def test_the_window_is_the_smaller_of_both_sides() -> None:
    hop = Hop(HopLimits(window=100), ["bridge1"])
    hop.on_peer_up("bridge1", NOW, window=10)
    assert len(sends(hop.submit([job(i) for i in range(30)], NOW))["bridge1"]) == 9


def test_a_draining_peer_gets_nothing_new_but_priority_when_nobody_else_is_there() -> None:
    hop = pair()
    hop.on_peer_draining("node1", True, NOW)
    assert list(sends(hop.submit([job(1), job(2), job(3, priority=1)], NOW))) == ["node2"]
    hop.on_peer_draining("node2", True, NOW)
    (items,) = sends(hop.submit([job(4), job(5, priority=1)], NOW)).values()
    assert [item.key for item in items] == ["k5"]
    assert only_outcome(hop) == (Status.BUSY, True, 0)


def test_what_is_refused_at_once_says_why() -> None:
    nobody = Hop(HopLimits())
    nobody.submit([job(1)], NOW)
    assert only_outcome(nobody) == (Status.NO_ROUTE, True, 0)
    down = Hop(HopLimits(), ["bridge1"])
    down.submit([job(1)], NOW)
    assert only_outcome(down) == (Status.BUSY, True, 0)
    spent = pair()
    spent.submit([job(1, left_us=999)], NOW)
    assert only_outcome(spent) == (Status.EXPIRED, True, 0)
    large = pair(body_bytes_max=10)
    large.submit([replace(job(1), body=b"x" * 11)], NOW)
    assert only_outcome(large) == (Status.NO_ROUTE, True, 0)


def test_the_deadline_is_the_earliest_of_those_that_still_wait() -> None:
    hop = pair()
    found = sends(hop.submit([job(1, left_us=5_000_000), job(2, left_us=9_000_000)], NOW))
    assert hop.deadline == NOW.mono_us + 5_000_000
    hop.on_answers("node1", [Answer(found["node1"][0].id, Status.OK)], NOW)
    assert hop.deadline == NOW.mono_us + 9_000_000
    hop.on_time(NOW.after(9_000_000))
    assert hop.deadline is None


def test_settled_jobs_do_not_pile_up_in_the_deadlines() -> None:
    hop = pair()
    for round_of_ten in range(200):
        found = sends(hop.submit([job(round_of_ten * 10 + i) for i in range(10)], NOW))
        for peer, items in found.items():
            hop.on_answers(peer, [Answer(e.id, Status.OK) for e in items], NOW)
    assert len(hop._deadlines) < 200


def test_hops_that_share_connections_share_their_numbers() -> None:
    ids = count(1)
    one, two = Hop(HopLimits(), ["f"], ids), Hop(HopLimits(), ["f"], ids)
    one.on_peer_up("f", NOW)
    two.on_peer_up("f", NOW)
    (first,) = sends(one.submit([job(1)], NOW))["f"]
    (second,) = sends(two.submit([job(2)], NOW))["f"]
    assert first.id != second.id
    assert one.holds("f", first.id)
    assert not two.holds("f", first.id)


def test_the_attempt_of_the_hop_before_is_counted_on() -> None:
    hop = Hop(HopLimits(), ["bridge1"])
    hop.on_peer_up("bridge1", NOW)
    (first,) = sends(hop.submit([job(1, attempt=2)], NOW))["bridge1"]
    assert first.attempt == 2


def test_choosing_takes_turns_among_equals_and_avoids_the_one_that_died() -> None:
    peers = [Peer("a", 10), Peer("b", 10)]
    for peer in peers:
        peer.up = True

    def turns(n: int, avoid: str = "") -> list[str]:
        chosen = []
        for _ in range(n):
            peer = choose(peers, False, NOW, avoid)
            assert peer is not None
            peer.passed += STRIDE // peer.weight
            chosen.append(peer.name)
        return chosen

    assert turns(4) == ["a", "b", "a", "b"]
    assert turns(2, avoid="a") == ["b", "b"]
    peers[1].up = False
    assert turns(1, avoid="a") == ["a"]


def test_weights_part_the_work_under_load_and_when_idle() -> None:
    hop = Hop(HopLimits(), ["big", "small"], weights={"big": 20, "small": 10})
    hop.on_peer_up("big", NOW)
    hop.on_peer_up("small", NOW)
    held = sends(hop.submit([job(i) for i in range(300)], NOW))
    assert {peer: len(items) for peer, items in held.items()} == {"big": 200, "small": 100}
    for peer, items in held.items():
        hop.on_answers(peer, [Answer(item.id, Status.OK) for item in items], NOW)
    one_by_one: list[str] = []
    for i in range(30):
        ((peer, (item,)),) = sends(hop.submit([job(1_000 + i)], NOW)).items()
        one_by_one.append(peer)
        hop.on_answers(peer, [Answer(item.id, Status.OK)], NOW)
    assert (one_by_one.count("big"), one_by_one.count("small")) == (20, 10)


def test_a_peer_that_was_away_is_owed_no_turns() -> None:
    hop = pair()
    hop.on_peer_down("node2", NOW)
    for i in range(50):
        (item,) = sends(hop.submit([job(i)], NOW))["node1"]
        hop.on_answers("node1", [Answer(item.id, Status.OK)], NOW)
    hop.on_peer_up("node2", NOW)
    went = []
    for i in range(10):
        ((peer, (item,)),) = sends(hop.submit([job(100 + i)], NOW)).items()
        went.append(peer)
        hop.on_answers(peer, [Answer(item.id, Status.OK)], NOW)
    assert went.count("node1") == 5


def stopped() -> tuple[Hop, Now, Envelope]:
    """A pair of which node1 took a job and has answered nothing for the time that makes it silent."""
    hop = pair()
    found = sends(hop.submit([job(1), job(2)], NOW))
    hop.on_answers("node2", [Answer(found["node2"][0].id, Status.OK)], NOW)
    later = NOW.after(SILENT_US)
    return hop, later, found["node1"][0]


def test_a_peer_that_takes_and_answers_nothing_is_passed_over_before_its_connection_is_dead() -> None:
    hop, later, held = stopped()
    effects = hop.submit([job(i, priority=i % 2) for i in range(10, 20)], later)
    assert list(sends(effects)) == ["node2"]
    assert Alarm("peer_silent", {"peer": "node1"}) in effects
    assert not any(isinstance(e, Alarm) for e in hop.submit([job(30)], later)), "told twice"
    assert [peer.state(later) for peer in hop.peers] == ["silent", "up"]
    assert hop.take_outcomes()[-1].attempts == 1, "what it holds is not sent again while it lives"
    hop.on_answers("node1", [Answer(held.id, Status.OK)], later)
    assert hop.peers[0].state(later) == "up"
    assert "node1" in sends(hop.submit([job(40), job(41)], later))


def test_a_late_answer_ends_a_silence_and_a_refusal_does_not() -> None:
    hop, _, held = stopped()
    later = NOW.after(40_000_000)
    hop.on_time(later)
    hop.on_answers("node1", [Answer(held.id, Status.BUSY)], later)
    assert hop.peers[0].state(later) == "silent"
    hop.on_answers("node1", [Answer(held.id, Status.OK)], later)
    assert hop.peers[0].state(later) == "up"


def test_a_silent_peer_that_holds_nothing_any_more_is_tried_with_one_job_at_a_time() -> None:
    hop, _, _ = stopped()
    later = NOW.after(40_000_000)
    hop.on_time(later)
    first = sends(hop.submit([job(i, left_us=90_000_000) for i in range(10, 15)], later))
    assert {peer: len(items) for peer, items in first.items()} == {"node1": 1, "node2": 4}
    (other,) = sends(hop.submit([job(20, left_us=90_000_000)], later))["node2"]
    hop.on_answers("node1", [Answer(first["node1"][0].id, Status.BUSY)], later)
    hop.on_answers("node2", [Answer(e.id, Status.OK) for e in [*first["node2"], other]], later)
    soon = later.after(TRIAL_US - 1)
    (other,) = sends(hop.submit([job(21, left_us=90_000_000)], soon))["node2"]
    hop.on_answers("node2", [Answer(other.id, Status.OK)], soon)
    (tried,) = sends(hop.submit([job(22, left_us=90_000_000)], later.after(TRIAL_US)))["node1"]
    hop.on_answers("node1", [Answer(tried.id, Status.OK)], later.after(TRIAL_US))
    assert hop.peers[0].state(later.after(TRIAL_US)) == "up"


def test_a_silence_is_forgotten_where_nobody_asks_any_more_and_begins_anew() -> None:
    hop, _, _ = stopped()
    later = NOW.after(40_000_000)
    hop.on_time(later)
    assert hop.peers[0].state(later) == "silent"
    idle = NOW.after(FORGET_US)
    assert [peer.state(idle) for peer in hop.peers] == ["up", "up"], "nobody has asked for a minute"
    found = sends(hop.submit([job(i, left_us=90_000_000) for i in range(10, 14)], idle))
    assert {peer: len(items) for peer, items in found.items()} == {"node1": 2, "node2": 2}
    hop.on_answers("node2", [Answer(e.id, Status.OK) for e in found["node2"]], idle)
    assert hop.peers[0].state(idle.after(SILENT_US - 1)) == "up"
    assert hop.peers[0].state(idle.after(SILENT_US)) == "silent"
    effects = hop.submit([job(20, left_us=90_000_000)], idle.after(SILENT_US))
    assert Alarm("peer_silent", {"peer": "node1"}) in effects, "it is told once more"


def test_a_silence_lasts_while_something_is_owed() -> None:
    hop = pair()
    hop.submit([job(1, left_us=90_000_000)], NOW)
    assert hop.peers[0].state(NOW.after(FORGET_US)) == "silent"


def test_when_all_are_silent_none_is_passed_over() -> None:
    hop = pair()
    hop.submit([job(1), job(2)], NOW)
    found = sends(hop.submit([job(3), job(4)], NOW.after(SILENT_US)))
    assert sorted(found) == ["node1", "node2"]


def test_an_idle_peer_never_becomes_silent() -> None:
    hop = pair()
    (item,) = sends(hop.submit([job(1)], NOW))["node1"]
    hop.on_answers("node1", [Answer(item.id, Status.BUSY)], NOW)
    assert [peer.state(NOW.after(60_000_000)) for peer in hop.peers] == ["up", "up"]


def test_a_slow_peer_that_answers_after_all_is_given_more_time_and_a_new_connection_none() -> None:
    hop, later, held = stopped()
    peer = hop.peers[0]
    for expected_us in (1_000_000, 2_000_000, 4_000_000, 4_000_000):
        assert peer.state(later) == "silent"
        hop.on_answers("node1", [Answer(held.id, Status.OK)], later)
        while "node1" not in (found := sends(hop.submit([replace(job(1), deadline_us=10**12)], later))):
            pass
        held = found["node1"][0]
        assert peer.state(later.after(expected_us - 1)) == "up"
        later = later.after(expected_us)
    hop.on_answers("node1", [Answer(held.id, Status.OK)], later)
    hop.on_answers("node1", [Answer(held.id, Status.OK)], later.after(60_000_000))
    assert peer.patience_us == SILENT_US
    hop.on_peer_up("node1", later)
    assert peer.state(later.after(10_000_000)) == "up"
