"""Who waits for which answer: joined, gone, ended, in any order, and never counted wrongly."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frontends.flights import Arrival, Flights, rooms
from frontends.limits import Limits, run_of
from qianzhi.domain.requests import Kind, Request
from qianzhi.domain.results import Result

STEPS = st.lists(
    st.tuples(st.sampled_from(["ask", "leave", "end"]), st.integers(1, 4), st.integers(1, 4)), max_size=60
)


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_those_who_wait_are_counted_and_those_who_left_hear_nothing(steps):
    flights, waiting, open_ones = Flights(1000), set(), {}
    for name, source, serial in steps:
        request = Request(Kind.RECHARGE, "s", 20261122, str(serial), "b", "1", "13800000000", 5)
        if name == "ask":
            arrival = Arrival(source, {"n": len(waiting)}, request, None, 0)
            flight = flights.same(request)
            if flight is None:
                open_ones[serial] = flights.open(arrival, request, "t", 1)
            else:
                flights.join(flight, arrival)
            waiting.add((source, serial, id(arrival)))
            open_ones.setdefault("kept", []).append(arrival)  # so that no id comes twice
        elif name == "leave":
            flights.leave(source)
            waiting = {one for one in waiting if one[0] != source}
        elif serial in open_ones:
            flights.end(open_ones.pop(serial))
            waiting = {one for one in waiting if one[1] != serial}
        found = {
            (arrival.source, int(arrival.request.serial), id(arrival))
            for key, flight in open_ones.items()
            if key != "kept"
            for arrival in flight.arrivals
        }
        assert found == waiting
        assert flights.waiting == len(waiting)
        assert len(flights) == len([key for key in open_ones if key != "kept"])
        assert set(flights._by_source) == {source for source, _, _ in waiting}


def test_a_bank_with_room_for_one_request_has_it_beside_a_reversal():
    assert rooms(1) == (1, 1)
    assert rooms(2) == (1, 1)
    assert rooms(100) == (90, 10)


def test_a_repeat_behind_a_reversal_hears_of_it_and_not_what_the_first_one_hears_late(citic):
    citic.ask(1, Kind.RECHARGE)
    [(peer, first)] = citic.take_asked()
    citic.ask(1, Kind.REVERSAL)
    [(node, reversal)] = citic.take_asked()
    citic.reply(node, reversal)
    assert citic.results(1) == [Result.APPROVED]
    other = citic.connect()
    citic.ask(other, Kind.RECHARGE)
    [(again, repeat)] = citic.take_asked()
    citic.reply(peer, first)  # it stood until it was reversed: the answer has been on its way for long
    assert citic.results(other) == []
    citic.reply(again, repeat, Result.REVERSED)
    assert citic.results(other) == [Result.REVERSED]
    assert citic.core.idle


@pytest.mark.parametrize(
    ("in_flight", "nodes", "run"),
    [(1000, 2, 32), (100, 2, 12), (20, 2, 2), (5, 2, 1), (1, 4, 1), (40, 1, 10)],
)
def test_a_list_never_fills_one_node_s_part_of_the_bank_s_limit(in_flight, nodes, run):
    limits = Limits(reply_seconds=10, in_flight=in_flight, rate_per_second=100, amount_fen_max=1)
    assert run_of(32, limits, nodes) == run
    assert run_of(1, limits, nodes) == 1
