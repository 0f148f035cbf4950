"""The account of confirms and returns, against a broker that is modelled in five lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bankmq.amqp_window import ConfirmWindow


def test_a_return_marks_its_own_publication_whatever_the_confirm_covers() -> None:
    """The confirm of many at once says nothing about which of them came back before it."""
    window = ConfirmWindow(10)
    for number, message_id in enumerate(("a", "b", "c", "d"), 1):
        window.publish(number, message_id, 0)
    assert window.on_returned("b")
    assert window.on_returned("d")
    assert window.on_confirm(4, multiple=True) == [
        (1, "confirmed"),
        (2, "returned"),
        (3, "confirmed"),
        (4, "returned"),
    ]
    assert (len(window), window.room, window.oldest_us) == (0, 10, None)


@pytest.mark.parametrize(("given", "back"), [(b"m1", "m1"), ("m1", b"m1"), (b"\xff1", b"\xff1"), (b"", None)])
def test_a_return_is_known_whether_its_id_was_given_as_bytes_or_as_text(
    given: str | bytes, back: str | bytes | None
) -> None:
    window = ConfirmWindow(2)
    window.publish(1, given, 0)
    window.publish(2, "other", 0)
    assert window.on_returned(back)
    assert window.on_confirm(2, multiple=True) == [(1, "returned"), (2, "confirmed")]


def test_what_the_broker_did_not_take_and_what_a_lost_channel_held_is_lost() -> None:
    window = ConfirmWindow(3)
    for number in range(1, 4):
        window.publish(number, str(number), number)
    assert window.room == 0
    assert window.on_confirm(2, multiple=False, taken=False) == [(2, "lost")]
    assert window.on_confirm(2, multiple=False) == [], "a confirm that comes twice settles nothing"
    assert not window.on_returned("9")
    assert window.oldest_us == 1
    assert window.lose() == [(1, "lost"), (3, "lost")]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=40), st.data())
def test_every_publication_is_settled_once_and_as_it_fared(
    sent: list[tuple[str, bool]], data: st.DataObject
) -> None:
    """Ids repeat; of two with one id that go the same way, either may be the one that came back."""
    window = ConfirmWindow(100)
    for number, (message_id, _) in enumerate(sent, 1):
        window.publish(number, message_id, number)
    returned = [message_id for message_id, comes_back in sent if comes_back]
    for message_id in returned:
        assert window.on_returned(message_id)
    settled = []
    numbers = list(range(1, len(sent) + 1))
    while numbers:
        number = data.draw(st.sampled_from(numbers))
        multiple = data.draw(st.booleans())
        settled += window.on_confirm(number, multiple)
        numbers = [each for each in numbers if each != number and not (multiple and each < number)]
    assert sorted(ticket for ticket, _ in settled) == list(range(1, len(sent) + 1))
    ids = [sent[ticket - 1][0] for ticket, end in settled if end == "returned"]
    assert sorted(ids) == sorted(returned)
