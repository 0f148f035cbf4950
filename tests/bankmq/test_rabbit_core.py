"""What becomes of deliveries, without a broker: acts are data."""

import pytest

from bankmq.amqp_messages import AmqpMessage, Properties
from bankmq.amqp_names import bank_names
from bankmq.rabbit_core import (
    REQUEUES_MAX,
    Acknowledge,
    Act,
    Acts,
    Bounds,
    Cancel,
    Confirmed,
    Consume,
    Deliver,
    Notice,
    Often,
    Publish,
    RabbitCore,
    Requeue,
    Rest,
    Returned,
)
from qianzhi.runtime.effects import Count
from qianzhi.runtime.now import Now

NAMES = bank_names("qz.", "icbc")
NOW = Now(1, 1_795_300_000_000_000)


def core() -> RabbitCore:
    made = RabbitCore(NAMES, Bounds(500, 50, 1_000), "run")
    made.on_state("ready")
    made.on_open()
    return made


def message(tag: int, queue: str = NAMES.main, failures: int = 0) -> AmqpMessage:
    properties = Properties(message_id=f"m{tag}", reply_to=f"{NAMES.reply}.1")
    return AmqpMessage(tag, queue, b"x", properties, failures)


def told(acts: Acts) -> list[Act]:
    return [act for act in acts if not isinstance(act, Count)]


def given(*tags: int, failures: int = 0) -> RabbitCore:
    made = core()
    made.on_messages([message(tag, failures=failures) for tag in tags], NOW)
    return made


def test_control_messages_are_handed_over_first() -> None:
    acts = told(core().on_messages([message(1), message(2, NAMES.control), message(3)], NOW))
    (deliver,) = acts
    assert isinstance(deliver, Deliver)
    assert [item.tag for item in deliver.items] == [2, 1, 3]


def test_a_delivery_is_finished_by_its_confirmed_reply_and_only_then() -> None:
    made = given(1)
    (publish,) = told(made.reply([(1, b"answer")], NOW))
    assert isinstance(publish, Publish)
    (item,) = publish.items
    assert (item.ticket, item.routing_key, item.body) == (("reply", 1), f"{NAMES.reply}.1", b"answer")
    assert item.properties.correlation_id == "m1"
    assert list(made.in_flight) == [1]
    assert told(made.on_settled([(item.ticket, "confirmed")])) == [Confirmed([1])]
    assert told(made.acknowledge([1])) == [Acknowledge([1])]
    assert told(made.acknowledge([1])) == []


def test_a_reply_that_came_back_is_told_and_a_refused_one_answered_again() -> None:
    made = given(1, 2)
    acts = told(made.on_settled([(("reply", 1), "returned"), (("reply", 2), "lost")]))
    assert Returned([1]) in acts
    assert [act for act in acts if isinstance(act, Rest)]
    assert Cancel(NAMES.main) in acts
    acts = told(made.on_rested(NOW))
    assert acts[0] == Requeue([2])
    assert Consume(NAMES.main, 500) in acts
    assert list(made.in_flight) == [1]


def test_what_was_given_back_too_often_is_handed_over_again_from_here() -> None:
    made = given(1, failures=REQUEUES_MAX)
    made.release([1])
    acts = told(made.on_rested(NOW))
    assert not [act for act in acts if isinstance(act, Requeue)]
    (deliver,) = [act for act in acts if isinstance(act, Deliver)]
    assert [item.tag for item in deliver.items] == [1]


def test_released_twice_there_is_one_rest() -> None:
    made = given(1, 2)
    assert [act for act in made.release([1]) if isinstance(act, Rest)]
    assert not [act for act in made.release([2]) if isinstance(act, Rest)]
    assert told(made.on_rested(NOW))[0] == Requeue([1, 2])


def test_deliveries_of_a_lost_channel_are_void() -> None:
    made = given(1)
    made.on_state("unreachable")
    assert made.in_flight == {}
    assert made.reply([(1, b"late")], NOW)[-1] == Publish([])
    assert told(made.on_settled([(("reply", 1), "confirmed")])) == []
    assert told(made.acknowledge([1])) == []


@pytest.mark.parametrize("end", ["confirmed", "returned", "lost"])
def test_what_is_put_aside_is_acknowledged_once_the_broker_has_it_there(end: str) -> None:
    made = given(1)
    (publish,) = told(made.back_out([(1, "undecodable")]))
    assert isinstance(publish, Publish)
    assert publish.items[0].routing_key == NAMES.backout
    assert publish.items[0].properties.headers["qianzhi-reason"] == "undecodable"
    acts = told(made.on_settled([(publish.items[0].ticket, end)]))  # type: ignore[list-item]
    if end == "confirmed":
        assert Acknowledge([1]) in acts
        assert [act.name for act in acts if isinstance(act, Notice)] == ["message_backed_out"]
    else:
        assert Acknowledge([1]) not in acts
        assert [act for act in acts if isinstance(act, Rest)]


@pytest.mark.parametrize("why", ["paused", "blocked", "resting"])
def test_the_main_queue_rests_for_each_of_three_reasons_and_the_control_queue_never(why: str) -> None:
    made = given(1)
    acts = {
        "paused": lambda: made.pause(NAMES.main, True),
        "blocked": lambda: made.on_state("blocked"),
        "resting": lambda: made.release([1]),
    }[why]()
    assert Cancel(NAMES.main) in acts
    assert Consume(NAMES.control, 50) in acts
    with pytest.raises(ValueError, match=r"icbc\.ctl"):
        made.pause(NAMES.control, True)


def test_messages_that_come_again_and_again_are_warned_of() -> None:
    acts = core().on_messages([message(1, failures=30), message(2)], NOW)
    assert Often(NAMES.main, 1, 30) in acts


def test_dead_letters_are_told_when_they_grow() -> None:
    made = core()
    names = [
        [act.name for act in made.on_depths({NAMES.dead: n}) if isinstance(act, Notice)] for n in (0, 2, 2, 3)
    ]
    assert names == [[], ["dead_letters"], [], ["dead_letters"]]
