"""The CUPS header in answers and rejects, and the five digits that say why."""

import pytest

from qianzhi.wire.errors import EncodeError, Reason, RemoteProtocolError
from qianzhi.wire.header import (
    HEADER_BYTES,
    UNREADABLE,
    make_reject_code,
    reject_code,
    rejected,
)


def test_the_header_states_the_length_of_all(cups, purchase):
    body = cups.encode(purchase)
    assert body[0] == HEADER_BYTES == 46
    assert int(body[2:6]) == len(body)
    assert body[6:28] == b"00010000   99992900   "


def test_a_rejected_message_goes_back_whole(cups, purchase):
    body = cups.encode(purchase)
    back = rejected(body, "10026")
    assert back[46:] == body[46:]
    read = cups.decode(back)
    assert read["header"]["reject_code"] == "10026"
    assert read["header"]["destination"] == "99992900"
    assert read["pan"] == purchase["pan"]


def test_what_cannot_be_decoded_can_still_be_rejected(cups, purchase):
    body = cups.encode(purchase)[:60] + b"\xff" * 20
    body = body[:2] + b"%04d" % len(body) + body[6:]
    with pytest.raises(RemoteProtocolError) as caught:
        cups.decode(body)
    assert rejected(body, reject_code(caught.value))[46:] == body[46:]
    with pytest.raises(EncodeError):
        rejected(body[:45], "00000")


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (b"1121101530", b"112110153x", "10075"),
        (b"166225561620345170", b"xx6225561620345170", "10023"),
        (b"166225561620345170", b"206225561620345170", "10024"),
        (b".\x010", b".\x01x", "00035"),
        (b".\x010", b".\x019", "00031"),
        (b"00010000   ", b"0001\x00000   ", "00045"),
        (b"0200\xf2", b"02x0\xf2", UNREADABLE),
    ],
)
def test_the_reject_code_of_an_error(cups, purchase, old, new, code):
    body = cups.encode(purchase).replace(old, new, 1)
    with pytest.raises(RemoteProtocolError) as caught:
        cups.decode(body)
    assert reject_code(caught.value) == code


def test_published_examples_of_reject_codes():
    assert make_reject_code(1, 2, Reason.MISSING) == "10026"
    assert make_reject_code(0, 4, Reason.VALUE) == "00045"
    assert make_reject_code(1, 0, Reason.VALUE) == UNREADABLE
