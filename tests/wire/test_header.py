"""The CUPS header in answers and rejects, and the five digits that say why."""

import pytest

from qianzhi.wire.errors import EncodeError, Reason, RemoteProtocolError
from qianzhi.wire.header import (
    BUSY,
    HEADER_BYTES,
    UNREADABLE,
    make_reject_code,
    read_reject_code,
    reject_code,
    rejected,
    reply_header,
)


def test_an_answer_swaps_the_addresses_and_echoes_the_rest(cups, purchase):
    purchase["header"] |= {"batch": 7, "transaction_info": "10000000", "user_info": b"\x05", "version": 0x82}
    header = cups.decode(cups.encode(purchase))["header"]
    answer = cups.decode(cups.encode({"header": reply_header(header), "mti": "0210"}))["header"]
    assert (answer["destination"], answer["source"]) == (header["source"], header["destination"])
    for name in ("batch", "transaction_info", "user_info", "version"):
        assert answer[name] == header[name]
    assert answer["reject_code"] == "00000"


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
    assert read_reject_code("10026") == "field 2: mandatory field missing"
    assert read_reject_code("00045") == "header field 4: bad character or value"
    assert read_reject_code(BUSY) == "switch busy"
    for code in ("", "1002", "10029", "30000", "x0026"):
        assert read_reject_code(code) == "unknown reject code"
