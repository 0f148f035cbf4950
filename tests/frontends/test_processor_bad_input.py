"""Bad input gets the dialect's answer or a closed connection, is recorded, and disturbs nothing else."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frontends.front import Frame
from qianzhi.domain.requests import Kind, Request
from qianzhi.domain.results import Result
from qianzhi.wire.codec import get_path, put_path
from qianzhi.wire.errors import EncodeError, RemoteProtocolError
from qianzhi.wire.mac import make_mac
from qianzhi.wire.mackey import MacKey


@pytest.fixture
def source():
    """Connection 1 of a socket; on a queue just a tag."""
    return 1


def cut(body):
    return body[:-10]


def flip_bitmap(body):
    return body[:50] + bytes([body[50] ^ 0x08]) + body[51:]


def wrong_total(body):
    return body[:2] + b"0099" + body[6:]


@pytest.mark.parametrize("spoil", [cut, flip_bitmap, wrong_total])
def test_a_socket_frame_that_cannot_be_read_comes_back_with_its_reject_code(citic, spoil):
    body = spoil(citic.body(citic.request(Kind.RECHARGE)))
    citic.send(1, body)
    [(to, back)] = citic.answers
    assert (to, back[46:]) == (1, body[46:])
    assert back[41:46] != b"00000"
    assert back[6:17] == body[17:28]
    assert citic.names() == ["format"]
    assert not citic.closed
    citic.answers.clear()
    citic.send(1, back)
    assert citic.answers == [], "what carries a reject code is never sent back"
    citic.ask(1, Kind.RECHARGE)
    assert len(citic.take_asked()) == 1, "the next message is served"


@pytest.mark.parametrize("body", [b"x", b"GET / HTTP/1.1\r\n\r\n", bytes(46), b"\x00" * 60])
def test_garbage_is_rejected_or_hung_up_on(citic, body):
    citic.send(1, body)
    assert citic.take_asked() == []
    assert citic.names() == ["format"]
    assert citic.closed == [(1, "format")]


@pytest.mark.parametrize(
    "body", [b"x", b"", b"<Message/>", b"<a><b></a>", b"\xff\xfe\x00", b"<Message>\x00</Message>"]
)
def test_garbage_on_a_queue_is_put_aside_without_an_answer(icbc, source, body):
    icbc.send(source, body)
    assert icbc.take_asked() == []
    assert icbc.done == [source] or icbc.backed_out == [(source, "format")] or icbc.results() != []
    assert len(icbc.done) + len(icbc.backed_out) + len(icbc.results()) == 1


@pytest.mark.parametrize("fault", ["no_reply_to", "foreign_reply_to", "too_long", "failed_alone"])
def test_a_queue_message_at_fault_itself_is_recorded_and_put_aside_whatever_it_asks(icbc, fault):
    body = icbc.body(icbc.request(Kind.RECHARGE))
    icbc.run(icbc.core.on_frames([Frame(7, body, 0, fault)], icbc.now))
    assert (icbc.take_asked(), icbc.answers) == ([], [])
    assert icbc.backed_out == [(7, fault)]
    assert [row.name for row in icbc.rows] == ["backed_out"]


def test_our_own_message_sent_back_is_noted_and_answered_with_nothing(citic):
    body = citic.body(citic.request(Kind.RECHARGE))
    citic.send(1, body[:41] + b"10026" + body[46:])
    assert citic.answers == []
    assert citic.names() == ["rejected"]
    assert citic.rows[0].data["code"] == "10026"


def changed(path, value):
    return lambda message: put_path(message, path, value)


def without(path):
    def edit(message):
        del message[path]

    return edit


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (changed("processing_code", "990000"), "40"),
        (changed("mti", "0100"), "40"),
        (changed("amount", "999999999999"), "61"),
        (changed("merchant", "9999"), "92"),
        (changed("private.PZ.number", "1380000000a"), "30"),
        (changed("transmission_time", "0230101530"), "30"),
        (without("private"), "30"),
        (without("acquirer"), "30"),
        (without("amount"), "30"),
    ],
)
def test_a_socket_message_that_is_no_request_hears_its_code(citic, edit, code):
    citic.send(1, citic.body(citic.request(Kind.RECHARGE), edit=edit))
    for peer, envelope in citic.take_asked():
        assert envelope.kind == Kind.BLOCK, "only the block of a key that could be read leaves the house"
        citic.reply(peer, envelope, result=Result.BLOCKED)
    assert [m["response_code"] for m in citic.heard()] == [code]
    assert citic.core.idle


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (changed("Head.TrxCode", "999999"), "0004"),
        (changed("Body.Amount", "-50.00"), "1004"),
        (changed("Body.Amount", "fifty"), "0003"),
        (changed("Body.Amount", "99999999.99"), "1005"),
        (changed("Head.TrxDate", "20260231"), "0003"),
        (changed("Body.Phone", "13800"), "0003"),
        (changed("Head.BankNo", "9999"), "0002"),
    ],
)
def test_a_queue_message_that_is_no_request_hears_its_code(icbc, source, edit, code):
    icbc.send(source, icbc.body(icbc.request(Kind.RECHARGE), edit=edit))
    for peer, envelope in icbc.take_asked():
        assert envelope.kind == Kind.BLOCK
        icbc.reply(peer, envelope, result=Result.BLOCKED)
    assert [get_path(m, "Head.RetCode") for m in icbc.heard()] == [code]


def test_a_wrong_mac_is_refused_before_anything_is_looked_at(ready, source):
    ready.send(source, ready.body(ready.request(Kind.RECHARGE, amount_fen=99_999_999), key=MacKey(bytes(16))))
    assert ready.results() == [Result.BAD_MAC]
    assert ready.take_asked() == [], "nothing is forwarded, nothing blocked"


def test_no_mac_at_all_is_a_wrong_mac(citic):
    message = citic.profile.mapping.request_message(citic.request(Kind.RECHARGE), citic.now, None)
    citic.send(1, citic.profile.codec.encode(message))
    assert citic.results() == [Result.BAD_MAC]


def test_an_answer_to_nothing_is_unmatched(ready, source):
    request = ready.request(Kind.RECHARGE)
    message = ready.profile.mapping.request_message(request, ready.now, None)
    ready.send(
        source,
        ready.profile.codec.encode(
            ready.profile.mapping.refusal_message(message, Result.APPROVED, ready.now)
        ),
    )
    assert ready.answers == []
    assert ready.names() == ["unmatched"]


SPOILING = st.lists(st.tuples(st.integers(0, 400), st.binary(min_size=1, max_size=4)), min_size=1, max_size=4)
FUZZ = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


def spoiled(body, spoiling):
    """The body with some bytes written over and, where that reaches beyond it, appended."""
    changed = bytearray(body)
    for at, data in spoiling:
        changed[at : at + len(data)] = data
    return bytes(changed)


@FUZZ
@given(spoiling=SPOILING)
def test_spoiled_frames_never_stop_the_front_nor_pass_it(ready, source, spoiling):
    """Whatever one frame holds, the next one is served; what is signed stays as it was signed."""
    body = ready.body(ready.request(Kind.RECHARGE))
    ready.send(source, spoiled(body, spoiling))
    for peer, envelope in ready.take_asked():
        request = msgspec.msgpack.decode(envelope.body, type=Request)
        assert (request.phone, request.amount_fen) in (("13800000000", 5000), ("", 0))
        ready.reply(peer, envelope, Result.DUPLICATE_SERIAL)
    ready.answers.clear()
    if ready.profile.session.sign_on:
        ready.sign_on(source)
    ready.ask(source + 1, Kind.RECHARGE, serial="777777")
    [(peer, envelope)] = ready.take_asked()
    ready.reply(peer, envelope)
    assert ready.results(source + 1)[-1] is Result.APPROVED
    assert ready.core.idle


@FUZZ
@given(spoiling=SPOILING)
def test_what_is_forwarded_is_sound_even_when_the_bank_signs_nonsense(ready, source, spoiling):
    body = ready.body(ready.request(Kind.RECHARGE))
    try:
        message = ready.profile.codec.decode(spoiled(body, spoiling))
        make_mac(ready.profile.mac, message, ready.profile.codec, ready.mac_key)
        signed = ready.profile.codec.encode(message)
    except (RemoteProtocolError, EncodeError):
        return
    ready.send(source, signed)
    ready.answers.clear()
    ready.rows.clear()
    for peer, envelope in ready.take_asked():
        request = msgspec.msgpack.decode(envelope.body, type=Request)
        if request.kind in (Kind.RECHARGE, Kind.PAY):
            assert len(request.phone) == 11
            assert request.phone.isdigit()
            assert 0 <= request.amount_fen <= ready.profile.limits.amount_fen_max
        assert request.serial
        assert 19000101 < request.date < 99991231
        ready.reply(peer, envelope, Result.NO_SUCH_PHONE)
    assert ready.core.idle
