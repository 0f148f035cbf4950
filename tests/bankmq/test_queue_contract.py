"""What a front may rely on, whichever engine serves its queues; what else RabbitMQ adds is in test_rabbit."""

from typing import Any

import pytest

from qianzhi.runtime import metrics


def test_every_message_is_answered_once_under_its_id(bench: Any) -> None:
    bench.serve(answering=True, prefetch=50)
    bank = bench.bank()
    for number in range(500):
        bank.send(b"body %d" % number, b"%d" % number)
    answers = sorted(bank.answer() for _ in range(500))
    assert answers == sorted((b"%d" % number, b"re:body %d" % number) for number in range(500))


def test_one_at_a_time_never_stalls(bench: Any) -> None:
    bench.serve(answering=True)
    bank = bench.bank()
    for number in range(50):
        bank.send(b"x", b"%d" % number, control=bool(number % 2))
        assert bank.answer() == (b"%d" % number, b"re:x")


def test_prefetch_bounds_what_is_in_flight_and_acknowledging_makes_room(bench: Any) -> None:
    front = bench.serve(prefetch=3)
    bank = bench.bank()
    for number in range(8):
        bank.send(b"x", b"%d" % number)
    front.wait_for_deliveries(3)
    bank.send(b"reversal", b"c", control=True)
    first = front.wait_for_deliveries(4)
    assert [delivery.message_id for delivery in first] == [b"0", b"1", b"2", b"c"]
    front.acknowledge(*first, first[0])
    rest = front.wait_for_deliveries(7)[4:]
    assert [delivery.message_id for delivery in rest] == [b"3", b"4", b"5"]


def test_a_paused_queue_waits_and_the_control_queue_never_does(bench: Any) -> None:
    front = bench.serve()
    with pytest.raises(ValueError, match="only"):
        front.call("pause", f"{bench.main}.ctl", True)
    front.call("pause", bench.main, True)
    bank = bench.bank()
    bank.send(b"recharge", b"1")
    bank.send(b"reversal", b"2", control=True)
    bank.send(b"reversal", b"3", control=True)
    assert {each.body for each in front.wait_for_deliveries(2)} == {b"reversal"}
    front.call("pause", bench.main, False)
    assert front.wait_for_deliveries(3)[2].body == b"recharge"


def test_what_is_released_comes_again(bench: Any) -> None:
    front = bench.serve(prefetch=2)
    bank = bench.bank()
    bank.send(b"x", b"1")
    (first,) = front.wait_for_deliveries(1)
    front.call("release", [first.tag])
    if bench.engine == "zeromq":
        bank.send(b"x", b"1")  # the sender keeps it, and sends it again
    again = front.wait_for_deliveries(2)[1]
    assert (again.message_id, again.body) == (b"1", b"x")
    assert again.tag != first.tag
    front.reply(again, b"answer")
    assert bank.answer() == (b"1", b"answer")


def test_what_was_in_flight_when_a_server_ended_is_served_by_the_next(bench: Any) -> None:
    first = bench.serve()
    bank = bench.bank()
    for number in range(20):
        bank.send(b"x", b"%d" % number)
    first.wait_for_deliveries(20)
    bench.stop(first)
    bench.serve(answering=True)
    if bench.engine == "zeromq":
        for number in range(20):
            bank.send(b"x", b"%d" % number)
    assert sorted(bank.answer()[0] for _ in range(20)) == sorted(b"%d" % number for number in range(20))


def test_a_reply_to_an_asker_that_has_gone_is_returned_with_an_alarm(bench: Any) -> None:
    front = bench.serve()
    before = metrics.value("qianzhi_alarms_total", ("reply_returned",))
    bank = bench.bank()
    bank.send(b"x", b"1")
    (delivery,) = front.wait_for_deliveries(1)
    bank.hang_up()
    other = bench.bank()
    # ZeroMQ may not have seen the close yet, and then takes the reply for confirmed: try until it has.
    for number in range(1_000):
        front.reply(delivery, b"answer")
        front.wait(lambda: front.confirmed or front.returned)
        if front.returned:
            break
        front.confirmed.clear()
        seen = len(front.deliveries)
        again = bench.bank()
        again.send(b"x", b"again %d" % number)
        delivery = front.wait_for_deliveries(seen + 1)[-1]
        again.hang_up()
    assert front.returned == [delivery.tag]
    assert metrics.value("qianzhi_alarms_total", ("reply_returned",)) == before + 1
    other.send(b"y", b"2")
    front.wait(lambda: front.deliveries[-1].message_id == b"2")


def test_what_is_put_aside_is_finished_and_not_answered(bench: Any) -> None:
    front = bench.serve(prefetch=1)
    bank = bench.bank()
    bank.send(b"poison", b"1")
    bank.send(b"good", b"2")
    (poison,) = front.wait_for_deliveries(1)
    front.call("back_out", [(poison.tag, "format")])
    good = front.wait_for_deliveries(2)[1]
    front.reply(good, b"answer")
    assert bank.answer() == (b"2", b"answer")
    assert front.call("status")["unanswered"] in (0, 1)  # the last acknowledgement may be under way


def test_priority_and_encoding_go_with_the_reply_and_with_what_is_put_aside(rabbit: Any) -> None:
    """Only a broker has them; messages of ZeroMQ are bodies with an id."""
    front = rabbit.serve()
    bank = rabbit.bank()
    said = {"priority": 7, "content_type": "text/xml", "content_encoding": "gbk"}
    bank.send(b"good", b"1", **said)
    bank.send(b"poison", b"2", **said)
    bank.send(b"plain", b"3")
    good, poison, plain = front.wait_for_deliveries(3)
    front.reply(good, b"answer")
    front.call("back_out", [(poison.tag, "format")])
    front.reply(plain, b"answer")
    replied, aside = bank.receive()[1], bank.receive(rabbit.names.backout)[1]
    for found in (replied, aside):
        assert {name: getattr(found, name) for name in said} == said
    bare = bank.receive()[1]
    assert (bare.priority, bare.content_type, bare.content_encoding) == (None, None, None)
