"""The session of a CUPS line, through the real profile: sign-on, keys, echoes, and a restart in between."""

import pytest

from qianzhi.domain.requests import Kind
from qianzhi.domain.results import Result
from qianzhi.runtime.now import Now
from qianzhi.wire.mackey import MacKey

SECOND = 1_000_000


def last(bench, source=None):
    return bench.heard(source)[-1]


def test_sign_on_is_stored_before_it_is_answered_and_brings_a_key(bench):
    made = bench("hz_citic")
    made.node_up()
    source = made.connect()
    made.hold_stores = True
    made.manage(source, "sign_on")
    assert made.answers == [], "nothing may be promised before its row is stored"
    made.hold_stores = False
    made.store()
    answered, delivered = made.heard(source)
    assert (answered["mti"], answered["response_code"]) == ("0830", "00")
    assert (delivered["mti"], delivered["network_code"]) == ("0800", "101")
    assert answered["header"]["destination"] == "03023310"
    made.take_key(source)
    made.ask(source, Kind.RECHARGE)
    assert len(made.take_asked()) == 1
    assert made.saved().signed_on


def test_requests_before_sign_on_are_refused_and_after_sign_off_again(citic):
    other = citic.connect()
    citic.ask(other, Kind.RECHARGE)
    assert len(citic.take_asked()) == 1, "the session belongs to the line, not to a connection"
    citic.manage(1, "sign_off")
    assert (last(citic)["mti"], last(citic)["response_code"]) == ("0830", "00")
    citic.ask(other, Kind.RECHARGE, serial="000002")
    assert citic.results(other) == [Result.NOT_SIGNED_ON]
    assert not citic.take_asked()
    assert not citic.saved().signed_on


def test_keys_and_sign_on_survive_a_restart(citic, bench):
    again = bench("hz_citic", saved=citic.saved(), now=citic.now)
    again.node_up()
    again.mac_key = citic.mac_key
    source = again.connect()
    again.ask(source, Kind.RECHARGE)
    [(peer, envelope)] = again.take_asked()
    again.reply(peer, envelope)
    assert again.results() == [Result.APPROVED]
    assert again.macs_right(source, citic.mac_key) == 1


def test_a_key_applied_for_replaces_the_old_one_which_stays_good_for_its_grace(citic):
    old = citic.mac_key
    citic.manage(1, "key_request")
    citic.take_key(1)
    new = citic.mac_key
    citic.answers.clear()
    for serial, key in (("000001", new), ("000002", old)):
        citic.send(1, citic.body(citic.request(Kind.RECHARGE, serial=serial), key=key))
        [(peer, envelope)] = citic.take_asked()
        citic.reply(peer, envelope)
        assert citic.macs_right(1, key) == 1, "an answer is made under the key of its request"
        citic.answers.clear()
    citic.now = citic.now.after(181 * SECOND)
    citic.send(1, citic.body(citic.request(Kind.RECHARGE, serial="000003"), key=old))
    assert citic.results() == [Result.BAD_MAC]


def test_a_restart_gives_the_previous_key_no_second_grace(citic, bench):
    old = citic.mac_key
    citic.manage(1, "key_request")
    citic.take_key(1)
    for seconds, results in ((100, []), (200, [Result.BAD_MAC])):
        later = Now(77, citic.now.wall_us + seconds * SECOND)
        again = bench("hz_citic", saved=citic.saved(), now=later)
        again.node_up()
        again.send(again.connect(), again.body(again.request(Kind.RECHARGE), key=old))
        assert again.results() == results


def test_a_key_is_proved_by_its_use_when_its_answer_was_lost(citic, bench):
    citic.manage(1, "key_request")
    delivery = [m for m in citic.heard() if m["mti"] == "0800"][-1]
    again = bench("hz_citic", saved=citic.saved(), now=citic.now)  # the bank's 0810 never came
    again.node_up()
    again.answers += [(1, citic.profile.codec.encode(delivery))]
    source = again.connect()
    again.take_key(source)  # this answer is to nothing that the new process asked
    assert "unmatched" in again.names()
    again.ask(source, Kind.RECHARGE)
    assert len(again.take_asked()) == 1
    assert "key_installed" in again.names()


def test_an_unanswered_delivery_is_repeated_unchanged_and_given_up(citic):
    citic.manage(1, "key_request")
    citic.wait(9)
    assert len([m for m in citic.heard() if m["mti"] == "0800"]) == 1
    citic.wait(100)
    bodies = [body for _, body in citic.answers if b"0800" in body[46:50]]
    assert len(bodies) == 3
    assert len(set(bodies)) == 1, "a repeat is the same message"
    assert "key_abandoned" in citic.names()
    assert "key_abandoned" in citic.alarms
    citic.answers.clear()
    citic.ask(1, Kind.RECHARGE)
    assert len(citic.take_asked()) == 1, "the key in force stays in force"


def test_a_delivery_waits_for_a_connection_and_goes_on_over_the_next_one(citic):
    citic.manage(1, "key_request")
    citic.run(citic.core.on_closed(1, "gone", citic.now))
    citic.answers.clear()
    citic.wait(3600)
    assert citic.answers == []
    other = citic.connect()
    citic.wait(1)
    assert [m["mti"] for m in citic.heard(other)] == ["0800"]
    citic.take_key(other)
    assert citic.names().count("key_installed") == 1


def test_keys_grow_old_and_are_changed_without_being_asked_for_while_signed_on(bench):
    made = bench("hz_citic", session={"key_hours": 1, "echo_seconds": 0})
    made.node_up()
    source = made.connect()
    made.sign_on(source)
    made.answers.clear()
    made.wait(3590)
    assert made.answers == []
    made.wait(11)
    assert [m["mti"] for m in made.heard()] == ["0800"]
    made.take_key(source)
    made.manage(source, "sign_off")
    made.answers.clear()
    made.wait(4000)
    assert made.answers == []


@pytest.mark.parametrize("how", ["code", "mac"])
def test_a_refused_or_wrong_key_answer_changes_nothing(citic, how):
    old = citic.mac_key
    citic.manage(1, "key_request")
    if how == "code":
        citic.take_key(1, code="12")
    else:
        wrong = [m for m in citic.heard() if m["mti"] == "0800"][-1]
        answer = citic.profile.mapping.refusal_message(wrong, Result.APPROVED, citic.now)
        answer["mac"] = b"12345678"
        citic.send(1, citic.profile.codec.encode(answer))
    assert {"key_refused", "key_answer_wrong"} & set(citic.alarms)
    assert "key_installed" not in citic.names()
    citic.mac_key = old
    citic.ask(1, Kind.RECHARGE)
    assert len(citic.take_asked()) == 1


def test_five_wrong_macs_in_a_row_bring_new_keys_and_a_right_one_starts_the_count_again(citic):
    wrong = MacKey(bytes(range(16)))
    for turn in range(9):
        key = citic.mac_key if turn == 4 else wrong
        citic.send(1, citic.body(citic.request(Kind.OWED, serial=f"{turn:06d}"), key=key))
    assert "mac_failures" not in citic.names()
    citic.send(1, citic.body(citic.request(Kind.OWED, serial="000099"), key=wrong))
    assert "mac_failures" in citic.names()
    assert [m["mti"] for m in citic.heard() if m["mti"] == "0800"] == ["0800"]


def test_mac_failures_can_force_a_new_sign_on(bench):
    made = bench("hz_citic", session={"on_mac_failures": "sign_off", "mac_failures_max": 2})
    made.node_up()
    source = made.connect()
    made.sign_on(source)
    right, made.mac_key = made.mac_key, MacKey(bytes(range(16)))
    for serial in ("000001", "000002"):
        made.ask(source, Kind.RECHARGE, serial=serial)
    made.mac_key = right
    made.ask(source, Kind.RECHARGE, serial="000003")
    assert made.results() == [Result.BAD_MAC, Result.BAD_MAC, Result.NOT_SIGNED_ON]
    made.sign_on(source)
    made.ask(source, Kind.RECHARGE, serial="000004")
    assert len(made.take_asked()) == 1


def test_echoes_are_answered_and_begun_only_after_silence(citic):
    citic.manage(1, "echo")
    assert (last(citic)["mti"], last(citic)["network_code"], last(citic)["response_code"]) == (
        "0830",
        "301",
        "00",
    )
    citic.answers.clear()
    citic.wait(29)
    citic.send(1, b"")  # a heartbeat is answered with nothing, and resets the silence
    citic.wait(29)
    assert citic.answers == []
    citic.wait(2)
    [echo] = citic.heard()
    assert (echo["mti"], echo["network_code"]) == ("0820", "301")


def answer_to(bench, message):
    return bench.profile.codec.encode(
        bench.profile.mapping.refusal_message(message, Result.APPROVED, bench.now)
    )


def test_echo_answers_are_matched_late_or_unmatched(citic):
    citic.wait(31)
    echo = last(citic)
    citic.send(1, answer_to(citic, echo))
    assert not {"late", "unmatched"} & set(citic.names())
    citic.send(1, answer_to(citic, echo))
    assert citic.names()[-1] == "unmatched"
    citic.wait(31)
    second = last(citic)
    citic.wait(11)  # its time is over, a third went out
    citic.send(1, answer_to(citic, second))
    assert citic.names()[-1] == "late"


def test_a_dead_line_is_closed_after_three_echoes(citic):
    citic.wait(300)
    assert len([m for m in citic.heard() if m["mti"] == "0820"]) == 3
    assert citic.closed == [(1, "line_dead")]


def test_serials_of_ours_never_come_twice_even_after_restarts(bench):
    seen, saved, now = [], None, None
    for _ in range(3):
        made = bench("hz_citic", **({"saved": saved, "now": now} if saved else {}))
        made.connect()
        for _ in range(3):
            made.wait(31)
            seen.append(last(made)["stan"])
            made.send(1, answer_to(made, last(made)))
        saved, now = made.saved(), made.now
    assert len(set(seen)) == len(seen) == 9
    assert all(seen[i] < seen[i + 1] for i in range(8))


def test_two_sessions_face_to_face_fall_silent(bench):
    ours, theirs = bench("hz_citic"), bench("hz_citic")
    ours.connect()
    theirs.connect()
    carried = []
    for _ in range(600):
        for side, other in ((ours, theirs), (theirs, ours)):
            bodies, side.answers = [body for _, body in side.answers], []
            carried += bodies
            other.send(1, *bodies)
        for side in (ours, theirs):
            side.wait(1)
    assert 4 <= len(carried) <= 2 * 2 * 600 // 30, (
        "no more than a question and an answer per side and silence"
    )
    assert "unmatched" not in ours.names() + theirs.names()


def test_what_only_we_may_send_is_refused_and_what_lacks_its_fields_is_a_format_error(citic):
    delivery = citic.profile.mapping.management_message("key_delivery", "000001", citic.now)
    citic.send(1, citic.profile.codec.encode(delivery))
    assert last(citic)["response_code"] == "40"
    message = citic.profile.mapping.management_message("sign_on", "000001", citic.now, ours=False)
    del message["forwarder"]
    citic.send(1, citic.profile.codec.encode(message))
    assert last(citic)["response_code"] == "30"


def test_a_key_wanted_while_one_is_being_stored_waits_for_the_store_and_not_by_the_clock(citic):
    citic.hold_stores = True
    citic.manage(1, "key_request")
    citic.manage(1, "key_request")
    citic.wait(1)  # which fails where the core wants to be woken again and again
    citic.hold_stores = False
    citic.store()
    assert [message["network_code"] for message in citic.heard() if message["mti"] == "0800"] == ["101"]
