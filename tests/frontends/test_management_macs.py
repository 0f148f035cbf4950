"""Messages about the line that carry a MAC, and such messages on a queue."""

import pytest

from qianzhi.domain.requests import Kind
from qianzhi.domain.results import Result
from qianzhi.wire.mac import make_mac, verify_mac
from qianzhi.wire.mackey import MacKey

WRONG = MacKey(bytes(range(16)))
ECHO = """
[management.echo]
when = { "Head.TrxCode" = "019999", "Head.Type" = "REQ" }
theirs = { "Head.BankNo" = "0102" }
stamp = ["Head.TrxDate", "Head.TrxTime"]
need = ["Head.BankNo"]

[match]
"""


@pytest.fixture
def lianlian(bench, edit):
    """A vendor whose line test stands under the MAC too."""
    made = bench("lianlian", profile=edit("lianlian", ('"CUTOVER"] }]', '"CUTOVER", "PING"] }]')))
    made.node_up()
    return made


def echo(made, key, **extra):
    message = made.profile.mapping.management_message("echo", "E1", made.now, ours=False, extra=extra)
    make_mac(made.profile.mac, message, made.profile.codec, key)
    return made.profile.codec.encode(message)


def last(made, key):
    body = made.answers[-1][1]
    message = made.profile.codec.decode(body)
    verify_mac(made.profile.mac, message, made.profile.codec, [key], body)
    return made.profile.mapping.reply_of(message)


def test_an_echo_that_must_carry_a_mac_is_answered_under_its_key(lianlian):
    source = lianlian.connect()
    lianlian.unrecorded = 10  # answers about the line have no record
    lianlian.send(source, echo(lianlian, lianlian.mac_key))
    assert last(lianlian, lianlian.mac_key).result is Result.APPROVED


def test_wrong_macs_of_messages_about_the_line_count_as_any_other(lianlian):
    source = lianlian.connect()
    lianlian.unrecorded = 10
    for _ in range(5):
        lianlian.send(source, echo(lianlian, WRONG))
        assert last(lianlian, lianlian.mac_key).result is Result.BAD_MAC
    assert lianlian.closed == [(source, "mac_failures")]


def test_our_own_echo_carries_its_mac(lianlian):
    lianlian.connect()
    lianlian.unrecorded = 10
    lianlian.wait(61)
    body = lianlian.answers[-1][1]
    message = lianlian.profile.codec.decode(body)
    assert lianlian.profile.mapping.management_of(message) == "echo"
    verify_mac(lianlian.profile.mac, message, lianlian.profile.codec, [lianlian.mac_key], body)


def test_a_message_about_the_line_is_answered_on_a_queue_too(bench, edit):
    made = bench("icbc", profile=edit("icbc", ("[match]\n", ECHO)))
    made.node_up()
    made.unrecorded = 10
    made.send("tag-1", echo(made, made.mac_key))
    assert [source for source, _ in made.answers] == ["tag-1"]
    assert last(made, made.mac_key).result is Result.APPROVED
    made.send("tag-2", echo(made, made.mac_key, **{"Head.BankNo": ""}))
    assert last(made, made.mac_key).result is Result.FORMAT
    made.ask("tag-3", Kind.RECHARGE)
    assert len(made.take_asked()) == 1


def test_an_answer_that_cannot_be_written_is_silence_and_an_alarm(bench, monkeypatch):
    made = bench("lianlian")
    source = made.connect()
    made.unrecorded = 10
    monkeypatch.setattr(made.profile.mapping.results, "code_of", lambda result: "FAR TOO LONG")
    made.send(source, echo(made, made.mac_key))
    assert made.alarms == ["answer_unwritable"]
    assert (made.answers, made.done) == ([], [source])
