"""What a bank that publishes to a broker sends again, and when it waits no longer."""

from bankmq.rabbit_sender_kept import Message, PublishedMessages, PublishLimits
from qianzhi.runtime.effects import Effects, Send
from qianzhi.runtime.now import SECOND_US, Now

LIMITS = PublishLimits(kept_max=3, answer_seconds=60, again_seconds=1)


def at(seconds: float) -> Now:
    return Now(int(seconds * SECOND_US), 0)


def message(name: bytes, control: bool = False) -> Message:
    return Message(name, b"body of " + name, control)


def published(effects: Effects) -> list[bytes]:
    return [item.message_id for effect in effects if isinstance(effect, Send) for item in effect.items]


def test_only_what_the_broker_has_not_confirmed_goes_out_again() -> None:
    kept = PublishedMessages(LIMITS)
    assert published(kept.submit([message(b"a")], at(0))) == []  # nobody is there yet
    assert published(kept.on_open()) == [b"a"]
    assert published(kept.submit([message(b"b"), message(b"c")], at(1))) == [b"b", b"c"]
    kept.on_settled([(b"b", "confirmed"), (b"c", "lost")], at(1))
    kept.on_lost()
    assert published(kept.on_open()) == [b"a", b"c"]
    kept.on_answers([(b"b", b"yes"), (b"c", b"yes")])
    assert [(one.message_id, one.end, one.attempts) for one in kept.take_outcomes()] == [
        (b"b", "answered", 1),
        (b"c", "answered", 2),
    ]
    assert len(kept) == 1


def test_what_came_back_goes_out_again_after_a_pause() -> None:
    kept = PublishedMessages(LIMITS)
    kept.on_open()
    kept.submit([message(b"a", control=True)], at(0))
    kept.on_settled([(b"a", "returned")], at(0))
    assert kept.deadline == SECOND_US
    (send,) = kept.on_time(at(1))
    assert isinstance(send, Send)
    assert send.items == [message(b"a", control=True)]
    kept.on_settled([(b"a", "returned")], at(1))
    kept.drop([b"a"])  # settled in another way
    assert kept.deadline is None
    assert kept.on_time(at(3)) == []


def test_a_message_is_waited_for_a_bounded_time_and_room_is_bounded() -> None:
    kept = PublishedMessages(LIMITS)
    kept.on_open()
    kept.submit([message(b"a"), message(b"b"), message(b"c")], at(0))
    kept.submit([message(b"d"), message(b"a")], at(1))
    assert [(one.message_id, one.end) for one in kept.take_outcomes()] == [
        (b"d", "refused"),
        (b"a", "refused"),
    ]
    assert kept.deadline == 60 * SECOND_US
    kept.on_time(at(60))
    assert [one.end for one in kept.take_outcomes()] == ["unanswered"] * 3
    kept.on_answers([(b"a", b"late")])
    assert (kept.take_outcomes(), kept.late, len(kept)) == ([], 1, 0)
