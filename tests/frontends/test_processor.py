"""The front's core through real profiles: what a bank hears, when, and on which record it rests."""

import pytest

from frontends.front import Frame
from qianzhi.domain.requests import Bill, Kind
from qianzhi.domain.results import Result
from qianzhi.link.messages import Answer, Status
from qianzhi.wire.codec import get_path

SECOND = 1_000_000


@pytest.fixture
def source():
    """Connection 1 of a socket; on a queue just a tag."""
    return 1


def only(asked):
    [(peer, envelope)] = asked
    return peer, envelope


# -- the usual way -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Kind.OWED, Kind.RECHARGE, Kind.PAY, Kind.STATUS, Kind.REVERSAL])
def test_every_kind_goes_to_a_node_and_its_answer_comes_back(ready, source, kind):
    fields = {"bill": "20261000000000000001"} if kind is Kind.PAY else {}
    ready.ask(source, kind, **fields)
    peer, envelope = only(ready.take_asked())
    assert (envelope.kind, envelope.to) == (kind, ready.profile.numbers[0])
    assert envelope.key == f"{ready.profile.space}/20261122/000001"
    assert envelope.priority == (kind in (Kind.STATUS, Kind.REVERSAL))
    assert 8_000 < envelope.budget_ms < 10_000, "the margin for the answer is kept back"
    bills = (Bill("20261000000000000001", 202610, 5000, 12),) if kind is Kind.OWED else ()
    ready.reply(peer, envelope, order="WO0000000001", amount_fen=5012, bills=bills)
    assert ready.results() == [Result.APPROVED]
    assert ready.macs_right(source, ready.mac_key) == 1
    assert ready.names()[-2:] == ["in", "out"]
    assert ready.core.idle


def test_events_tell_one_story_and_show_no_phone(ready, source):
    ready.ask(source, Kind.RECHARGE)
    peer, envelope = only(ready.take_asked())
    ready.reply(peer, envelope, order="WO1")
    came, told = ready.rows
    assert came.key == told.key == envelope.key
    assert came.trace == told.trace == envelope.trace
    assert told.data["result"] == "approved"
    assert told.data["us"] >= 0
    for row in (came, told):
        assert b"13800000000" not in row.data["frame"]
        assert len(row.data["frame"]) > 100


def test_a_list_of_requests_goes_out_as_one_list_for_each_node(ready, source):
    bodies = [ready.body(ready.request(Kind.RECHARGE, serial=f"{n:06d}")) for n in range(20)]
    frames = [Frame(n, body) for n, body in enumerate(bodies)]
    effects = ready.core.on_frames(frames, ready.now)
    sends = [effect for effect in effects if type(effect).__name__ == "Send"]
    assert sorted(len(effect.items) for effect in sends) == [10, 10]
    assert type(effects[0]).__name__ == "Record", "recorded before anything leaves"
    assert len(effects[0].rows) == 20


# -- repeats and queries while the first is in flight --------------------------------------------------------


def test_a_repeat_with_the_same_content_joins_and_both_are_answered(citic):
    other = citic.connect()
    citic.ask(1, Kind.RECHARGE)
    peer, envelope = only(citic.take_asked())
    citic.now = citic.now.after(3 * SECOND)
    citic.ask(other, Kind.RECHARGE)
    assert citic.take_asked() == []
    citic.reply(peer, envelope)
    first, second = citic.heard(1)[-1], citic.heard(other)[-1]
    assert citic.results(1) == citic.results(other) == [Result.APPROVED]
    assert first["stan"] == second["stan"]
    assert first["transmission_time"] != second["transmission_time"], "each has its own match fields"


def test_a_joined_repeat_is_answered_under_its_own_key(citic):
    old, other = citic.mac_key, citic.connect()
    citic.ask(1, Kind.RECHARGE)
    peer, envelope = only(citic.take_asked())
    citic.manage(1, "key_request")
    citic.take_key(1)
    citic.answers.clear()
    citic.ask(other, Kind.RECHARGE)
    citic.reply(peer, envelope)
    assert citic.macs_right(1, old) == 1
    assert citic.macs_right(other, citic.mac_key) == 1


def test_the_same_key_with_other_content_goes_to_the_core(ready, source):
    ready.ask(source, Kind.RECHARGE)
    ready.ask(source + 1, Kind.RECHARGE, amount_fen=7000)
    first, second = ready.take_asked()
    ready.reply(*first)
    ready.reply(*second, result=Result.DUPLICATE_SERIAL)
    assert ready.results(source) == [Result.APPROVED]
    assert ready.results(source + 1) == [Result.DUPLICATE_SERIAL]


def test_a_status_query_while_its_original_is_in_flight_is_in_process_and_settles_nothing(ready, source):
    ready.ask(source, Kind.RECHARGE)
    peer, envelope = only(ready.take_asked())
    ready.ask(source + 1, Kind.STATUS)
    assert ready.results(source + 1) == [Result.IN_PROCESS]
    assert ready.take_asked() == []
    ready.reply(peer, envelope)
    ready.ask(source + 2, Kind.STATUS)
    assert len(ready.take_asked()) == 1


def test_a_storm_of_repeats_is_bounded_and_nobody_hears_refused(ready, source):
    for n in range(40):
        ready.ask(source + n, Kind.RECHARGE)
    peer, envelope = only(ready.take_asked())
    assert ready.results() == []
    ready.reply(peer, envelope)
    assert ready.results() == [Result.APPROVED] * 16
    assert ready.names().count("silent") == 24


# -- outcomes that are not known -----------------------------------------------------------------------------


def test_no_answer_in_time_is_unknown_and_what_comes_later_is_dropped(ready, source):
    ready.ask(source, Kind.RECHARGE)
    peer, envelope = only(ready.take_asked())
    ready.wait(10)
    assert ready.results() == [Result.UNKNOWN]
    ready.reply(peer, envelope)
    assert ready.results() == [Result.UNKNOWN], "a second answer is never sent"
    assert ready.core.idle, "a repeat would join what never ends"
    assert ("qianzhi_link_late_answers_total", (peer,), 1) in ready.counts


def test_silence_where_the_profile_has_no_code_for_unknown(bench, source):
    made = bench("icbc")
    made.profile.results.silent_on_unknown = True
    made.node_up()
    made.ask(source, Kind.RECHARGE)
    made.wait(10)
    assert made.answers == []
    assert made.rows[-1].name == "silent"
    assert made.done == [source], "the delivery is finished by its recorded silence"


def test_a_node_that_dies_is_replaced_once_and_then_it_is_unknown(ready, source):
    ready.ask(source, Kind.RECHARGE)
    first, envelope = only(ready.take_asked())
    ready.node_down(first)
    second, again = only(ready.take_asked())
    assert (second != first, again.attempt, again.body) == (True, 2, envelope.body)
    ready.node_down(second)
    assert ready.results() == [Result.UNKNOWN]


def test_a_busy_word_about_the_second_attempt_is_not_certain(ready, source):
    ready.ask(source, Kind.RECHARGE)
    first, _ = only(ready.take_asked())
    ready.node_down(first)
    second, again = only(ready.take_asked())
    ready.turn_away(second, again, Status.BUSY)
    assert ready.results() == [Result.UNKNOWN]


@pytest.mark.parametrize("body", [b"\xc1", b"\x92\x00\xa1\xff"])
def test_an_unreadable_reply_of_the_house_is_unknown(ready, source, body):
    ready.ask(source, Kind.RECHARGE)
    peer, envelope = only(ready.take_asked())
    ready.run(ready.core.on_answers(peer, [Answer(envelope.id, Status.OK, body)], ready.now))
    assert ready.results() == [Result.UNKNOWN]
    assert ready.alarms == ["reply_unreadable"]


# -- certainly not forwarded ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code"), [(Status.BUSY, "96"), (Status.NO_ROUTE, "92"), (Status.DRAINING, "91")]
)
def test_a_socket_refuses_at_once_what_no_node_took(citic, status, code):
    citic.ask(1, Kind.RECHARGE)
    peer, envelope = only(citic.take_asked())
    if status is Status.DRAINING:  # the partner is asked first
        citic.turn_away(peer, envelope, status)
        peer, envelope = only(citic.take_asked())
    citic.turn_away(peer, envelope, status)
    assert citic.heard()[-1]["response_code"] == code
    assert citic.take_asked() == []


def test_without_any_node_a_socket_refuses_money_and_holds_reversals(bench):
    made = bench("hz_citic")
    source = made.connect()
    made.sign_on(source)
    made.ask(source, Kind.RECHARGE)
    assert made.results() == [Result.UNAVAILABLE] or made.heard()[-1]["response_code"] == "91"
    made.ask(source, Kind.REVERSAL)
    made.ask(source, Kind.STATUS, serial="000002")
    assert len(made.results()) == 1
    made.wait(1)
    made.node_up()
    made.wait(1)
    assert {envelope.kind for _, envelope in made.take_asked()} == {Kind.REVERSAL, Kind.STATUS}


def test_a_held_reversal_ends_as_unknown_never_as_refused(bench):
    made = bench("hz_citic")
    source = made.connect()
    made.sign_on(source)
    made.ask(source, Kind.REVERSAL)
    made.wait(10)
    assert made.results() == [Result.UNKNOWN]


def test_a_queue_holds_pauses_and_goes_on_when_a_node_is_back(bench, source):
    made = bench("icbc")
    for n in range(3):
        made.ask(source + n, Kind.RECHARGE, serial=f"{n:06d}")
    assert made.results() == []
    assert made.pauses == [True]
    made.wait(2)
    assert made.results() == []
    made.node_up()
    made.wait(1)
    assert made.pauses == [True, False]
    for peer, envelope in made.take_asked():
        made.reply(peer, envelope)
    assert made.results() == [Result.APPROVED] * 3


def test_a_queue_never_answers_busy_of_a_node(icbc, source):
    icbc.ask(source, Kind.RECHARGE)
    icbc.turn_away(*only(icbc.take_asked()), Status.BUSY)
    assert icbc.results() == []
    icbc.wait(0.1)
    icbc.reply(*only(icbc.take_asked()))
    assert icbc.results() == [Result.APPROVED]


def test_a_queue_message_held_past_its_time_is_blocked_before_it_is_refused(icbc, source):
    icbc.ask(source, Kind.RECHARGE)
    for _ in range(30):
        for peer, envelope in icbc.take_asked():
            if envelope.kind == Kind.BLOCK:
                break
            icbc.turn_away(peer, envelope, Status.BUSY)
        else:
            icbc.wait(0.5)
            continue
        break
    assert (envelope.kind, envelope.priority) == (Kind.BLOCK, 1)
    assert icbc.results() == [], "nothing is refused before the key is blocked"
    icbc.reply(peer, envelope, result=Result.BLOCKED)
    assert [get_path(m, "Head.RetCode") for m in icbc.heard()] == ["0001"]


def blocked_first(icbc, source):
    """An amount over the bank's limit, which a queue blocks before refusing it."""
    icbc.ask(source, Kind.RECHARGE, amount_fen=icbc.profile.limits.amount_fen_max + 1)
    peer, envelope = only(icbc.take_asked())
    assert (envelope.kind, envelope.key) == (Kind.BLOCK, "icbc/20261122/000001")
    assert icbc.results() == []
    return peer, envelope


def test_an_edge_refusal_on_a_queue_blocks_first(icbc, source):
    icbc.reply(*blocked_first(icbc, source), result=Result.BLOCKED)
    assert icbc.results() == [Result.AMOUNT_LIMIT]


def test_a_refused_message_whose_key_was_used_before_is_a_duplicate(icbc, source):
    icbc.reply(*blocked_first(icbc, source), result=Result.APPROVED)
    assert icbc.results() == [Result.DUPLICATE_SERIAL], "the approval is of other content"


def test_a_block_without_an_answer_is_unknown(icbc, source):
    blocked_first(icbc, source)
    icbc.wait(11)
    assert icbc.results() == [Result.UNKNOWN]


def test_a_repeat_of_an_approved_request_that_is_shed_hears_the_stored_answer(bench, source):
    made = bench("icbc", hours={"open": "08:00", "close": "09:00"})
    made.node_up()
    made.ask(source, Kind.RECHARGE)
    peer, block = only(made.take_asked())
    assert block.kind == Kind.BLOCK
    made.reply(peer, block, result=Result.APPROVED, stored=True)
    assert made.take_asked() == []
    assert made.results() == [Result.APPROVED]


def test_outside_the_hours_money_is_refused_and_reversals_are_served(bench):
    made = bench("hz_citic", hours={"open": "22:00", "close": "06:00"})
    made.node_up()
    source = made.connect()
    made.sign_on(source)
    made.ask(source, Kind.RECHARGE)
    made.ask(source, Kind.REVERSAL)
    assert made.results() == [Result.CLOSED_HOURS]
    assert [envelope.kind for _, envelope in made.take_asked()] == [Kind.REVERSAL]


def test_a_message_past_its_expiry_is_not_forwarded(icbc, source):
    body = icbc.body(icbc.request(Kind.RECHARGE))
    icbc.send(source, body, expires_us=icbc.now.wall_us - 1)
    assert (icbc.take_asked(), icbc.answers, icbc.done) == ([], [], [source])
    icbc.send(source + 1, body, expires_us=icbc.now.wall_us + 2 * SECOND)
    _, envelope = only(icbc.take_asked())
    assert envelope.budget_ms <= 2_000


# -- limits --------------------------------------------------------------------------------------------------


def test_a_full_bank_is_refused_busy_and_a_tenth_is_kept_for_reversals(bench):
    made = bench("hz_citic", limits={"in_flight": 20})
    made.node_up()
    source = made.connect()
    made.sign_on(source)
    for n in range(25):
        made.ask(source, Kind.RECHARGE, serial=f"{n:06d}")
    assert made.results() == [Result.BUSY] * 7
    made.ask(source, Kind.REVERSAL, serial="000900")
    assert made.take_asked()[-1][1].kind == Kind.REVERSAL
    assert made.results() == [Result.BUSY] * 7


def test_a_full_queue_is_paused_and_read_again_below_three_quarters(bench):
    made = bench("icbc", limits={"in_flight": 20})
    made.node_up()
    for n in range(18):
        made.ask(n, Kind.RECHARGE, serial=f"{n:06d}")
    assert made.pauses == [True]
    asked = made.take_asked()
    for peer, envelope in asked[:4]:
        made.reply(peer, envelope)
    assert made.pauses == [True]
    for peer, envelope in asked[4:]:
        made.reply(peer, envelope)
    assert made.pauses == [True, False]


def test_above_its_rate_a_socket_hears_busy_and_a_queue_waits(bench, source):
    for name in ("hz_citic", "icbc"):
        made = bench(name, limits={"rate_per_second": 5, "in_flight": 1000})
        made.node_up()
        if name == "hz_citic":
            made.sign_on(made.connect())
        for n in range(8):
            made.ask(source, Kind.RECHARGE, serial=f"{n:06d}")
        asked = made.take_asked()
        assert len(asked) == 5
        for peer, envelope in asked:
            made.reply(peer, envelope)
        made.wait(2)
        for peer, envelope in made.take_asked():
            made.reply(peer, envelope)
        busy = made.results().count(Result.BUSY)
        assert (busy, len(made.results())) == ((3, 8) if name == "hz_citic" else (0, 8))


def test_draining_refuses_money_on_a_socket_serves_reversals_and_finishes(citic):
    citic.ask(1, Kind.RECHARGE)
    first = only(citic.take_asked())
    citic.run(citic.core.drain(True, citic.now))
    citic.ask(1, Kind.RECHARGE, serial="000002")
    assert citic.heard()[-1]["response_code"] == "91"
    citic.ask(1, Kind.REVERSAL, serial="000003")
    second = only(citic.take_asked())
    assert not citic.core.idle
    citic.reply(*first)
    citic.reply(*second)
    assert citic.core.idle


def test_an_answer_for_a_closed_connection_is_recorded_and_not_sent(citic):
    other = citic.connect()
    citic.ask(other, Kind.RECHARGE)
    peer, envelope = only(citic.take_asked())
    citic.run(citic.core.on_closed(other, "gone", citic.now))
    citic.reply(peer, envelope)
    assert citic.answers == []
    assert citic.rows[-1].name == "nobody_waits"
    assert citic.core.idle
