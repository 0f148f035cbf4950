"""Keys that travel in answers of ours or in deliveries of the bank's, over the profile that has them.

The bank here keeps the key that it last heard of, and wraps and checks with pycryptodome.
"""

import pytest
from Crypto.Cipher import DES3

from frontends.session_rows import KeyRow, SignOnRow
from qianzhi.domain.requests import Kind
from qianzhi.domain.results import Result
from qianzhi.wire.mackey import MacKey

SECOND = 1_000_000
THEIRS = (
    ('keys = "ours"', 'keys = "theirs"'),
    ('delivery = "answer"', ""),
    ("[management.key_request]", "[management.key_delivery]"),
    ('pin_key = "PINKEY"', ""),
    ('pin_check = "PINCHECK"', ""),
)
KEYS = [
    bytes.fromhex(text) for text in ("0123456789ABCDEF1133557799BBDDFF", "89ABCDEF012345672244668800AACCEE")
]


def cipher(made):
    return DES3.new(made.keys["master"], DES3.MODE_ECB)


def told(made, message, name="MACKEY", check="MACCHECK"):
    """The key in an answer, proved by its check value."""
    key = cipher(made).decrypt(bytes.fromhex(message[name]))
    proof = DES3.new(key, DES3.MODE_ECB).encrypt(bytes(8))[:4]
    assert proof.hex().upper() == message[check]
    return key


def last(made):
    return made.heard()[-1]


def is_heard(made, source, key, serial):
    """Whether a request under this key passes; it is answered, so that nothing stays in flight."""
    before = len(made.answers)
    made.send(source, made.body(made.request(Kind.RECHARGE, serial=serial), key=MacKey(key)))
    asked = made.take_asked()
    for peer, envelope in asked:
        made.reply(peer, envelope)
    assert len(made.answers) == before + 1
    return bool(asked)


@pytest.fixture
def ours(bench):
    made = bench("wenzhou")
    made.node_up()
    return made


@pytest.fixture
def theirs(bench, edit):
    made = bench("wenzhou", profile=edit("wenzhou", *THEIRS))
    made.node_up()
    return made


def deliver(made, source, key, serial="900002", check=None):
    proof = check or DES3.new(key, DES3.MODE_ECB).encrypt(bytes(8))[:4]
    wrapped = cipher(made).encrypt(key).hex().upper()
    made.manage(source, "key_delivery", serial, MACKEY=wrapped, MACCHECK=proof.hex().upper())


# Keys of ours, in the answer


def test_keys_are_stored_wrapped_before_the_answer_tells_them(ours):
    source = ours.connect()
    ours.hold_stores = True
    ours.manage(source, "sign_on")
    assert ours.answers == []
    (_, rows) = next(item for item in ours.stores if any(isinstance(row, SignOnRow) for row in item[1]))
    ours.hold_stores = False
    ours.store()
    answer = last(ours)
    assert answer["RESPCODE"] == "00"
    keys = {row.slot: row for row in rows if isinstance(row, KeyRow)}
    assert set(keys) == {"pending", "pin"}
    assert keys["pending"].wrapped.hex().upper() == answer["MACKEY"]
    assert keys["pin"].wrapped.hex().upper() == answer["PINKEY"]
    mac, pin = told(ours, answer), told(ours, answer, "PINKEY", "PINCHECK")
    assert mac != pin
    assert mac not in str(rows).encode()


def test_a_told_key_is_current_once_a_message_stands_under_it(ours):
    source = ours.connect()
    ours.manage(source, "sign_on")
    first = told(ours, last(ours))
    assert "current" not in ours.core.status(ours.now)["keys"]
    assert is_heard(ours, source, first, "000001")
    shown = ours.core.status(ours.now)["keys"]
    assert set(shown) == {"current", "pin"}
    assert "key_installed" in ours.names()
    ours.manage(source, "key_request", "900003")
    second = told(ours, last(ours))
    assert second != first
    assert is_heard(ours, source, first, "000002"), "the answer may have been lost"
    assert is_heard(ours, source, second, "000003")
    assert is_heard(ours, source, first, "000004"), "within the grace"
    ours.wait(181)
    assert not is_heard(ours, source, first, "000005")
    assert ours.results()[-1] is Result.BAD_MAC


def test_a_lost_answer_is_healed_by_signing_on_again_even_after_a_restart(ours, bench):
    source = ours.connect()
    ours.manage(source, "sign_on", "900001")
    first = told(ours, last(ours))
    ours.manage(source, "sign_on", "900002")
    assert told(ours, last(ours)) == first, "the key that waits is told again"
    again = bench("wenzhou", saved=ours.saved(), now=ours.now)
    again.node_up()
    source = again.connect()
    again.manage(source, "sign_on", "900003")
    assert told(again, last(again)) == first
    assert is_heard(again, source, first, "000001")


def test_two_sign_ons_at_once_hear_one_key(ours):
    one, other = ours.connect(), ours.connect()
    ours.hold_stores = True
    ours.manage(one, "sign_on", "900001")
    ours.manage(other, "sign_on", "900002")
    assert ours.answers == []
    ours.hold_stores = False
    ours.store()
    answers = ours.heard()
    assert [answer["TRACENO"] for answer in answers] == ["900001", "900002"]
    assert len({answer["MACKEY"] for answer in answers}) == 1
    assert is_heard(ours, other, told(ours, answers[0]), "000001")


def test_a_sign_on_without_random_bytes_hears_busy(bench):
    class Dry(bench):
        """A shell that brings no random bytes."""

        def top_up(self):
            pass

    made = Dry("wenzhou")
    source = made.connect()
    made.manage(source, "sign_on", "900001")
    assert last(made)["RESPCODE"] == "96"
    bench.top_up(made)
    made.manage(source, "sign_on", "900002")
    assert last(made)["RESPCODE"] == "00"


def test_more_sign_ons_than_the_disk_takes_hear_busy(ours):
    source = ours.connect()
    ours.hold_stores = True
    for number in range(70):
        ours.manage(source, "sign_on", f"{900_001 + number:06d}")
    assert {message["RESPCODE"] for message in ours.heard()} == {"96"}
    ours.hold_stores = False
    ours.store()
    assert len([message for message in ours.heard() if message["RESPCODE"] == "00"]) >= 60


def test_wrong_macs_end_the_session_and_the_next_sign_on_brings_a_key(ours):
    source = ours.connect()
    ours.manage(source, "sign_on")
    first = told(ours, last(ours))
    assert is_heard(ours, source, first, "000001")
    for serial in range(2, 7):
        assert not is_heard(ours, source, KEYS[0], f"{serial:06d}")
    assert "mac_failures" in ours.alarms
    assert not is_heard(ours, source, first, "000008")
    assert ours.results()[-1] is Result.NOT_SIGNED_ON
    ours.manage(source, "key_request", "900008")
    assert last(ours)["RESPCODE"] == "C1"
    ours.manage(source, "sign_on", "900009")
    assert is_heard(ours, source, told(ours, last(ours)), "000009")


# Keys of the bank's


def test_a_key_of_the_bank_s_is_stored_before_it_is_answered(theirs):
    source = theirs.connect()
    theirs.manage(source, "sign_on")
    assert last(theirs)["RESPCODE"] == "00"
    theirs.answers.clear()
    theirs.hold_stores = True
    deliver(theirs, source, KEYS[0])
    assert theirs.answers == []
    theirs.hold_stores = False
    theirs.store()
    assert last(theirs)["RESPCODE"] == "00"
    assert "MACKEY" not in last(theirs)
    kept = {row.slot: row for row in theirs.saved().keys}
    assert kept["pending"].wrapped == cipher(theirs).encrypt(KEYS[0])
    assert is_heard(theirs, source, KEYS[0], "000001")


def test_the_key_before_verifies_until_the_new_one_is_used_and_then_for_the_grace(theirs):
    source = theirs.connect()
    theirs.manage(source, "sign_on")
    deliver(theirs, source, KEYS[0], "900002")
    assert is_heard(theirs, source, KEYS[0], "000001")
    deliver(theirs, source, KEYS[1], "900003")
    theirs.wait(86_400)
    assert is_heard(theirs, source, KEYS[0], "000002"), "our answer may have been lost"
    assert is_heard(theirs, source, KEYS[1], "000003")
    theirs.wait(179)
    assert is_heard(theirs, source, KEYS[0], "000004")
    theirs.wait(2)
    assert not is_heard(theirs, source, KEYS[0], "000005")


def test_a_repeated_delivery_is_answered_and_changes_nothing(theirs):
    source = theirs.connect()
    theirs.manage(source, "sign_on")
    deliver(theirs, source, KEYS[0], "900002")
    before = theirs.saved().keys
    deliver(theirs, source, KEYS[0], "900002")
    assert last(theirs)["RESPCODE"] == "00"
    assert theirs.saved().keys == before
    assert is_heard(theirs, source, KEYS[0], "000001")
    before = theirs.saved().keys
    deliver(theirs, source, KEYS[0], "900003")
    assert last(theirs)["RESPCODE"] == "00"
    assert theirs.saved().keys == before


def test_a_key_replaced_before_its_use_still_verifies(theirs, bench, edit):
    source = theirs.connect()
    theirs.manage(source, "sign_on")
    deliver(theirs, source, KEYS[0], "900002")
    deliver(theirs, source, KEYS[1], "900003")
    assert is_heard(theirs, source, KEYS[0], "000001")
    again = bench(
        "wenzhou", saved=theirs.saved(), now=theirs.now.after(3600 * SECOND), profile=theirs.profile
    )
    again.node_up()
    source = again.connect()
    assert is_heard(again, source, KEYS[0], "000002")
    assert is_heard(again, source, KEYS[1], "000003")
    again.wait(181)
    assert not is_heard(again, source, KEYS[0], "000004")


def test_a_delivery_played_again_never_brings_back_a_key_that_was_replaced(theirs, bench):
    """The bank may have made a new key because the old one is known to somebody."""
    source = theirs.connect()
    theirs.manage(source, "sign_on")
    for number, key in enumerate(KEYS):
        deliver(theirs, source, key, f"{900_002 + number:06d}")
        assert is_heard(theirs, source, key, f"{1 + number:06d}")
    theirs.wait(181)
    deliver(theirs, source, KEYS[0], "900002")
    assert last(theirs)["RESPCODE"] == "A0"
    assert not is_heard(theirs, source, KEYS[0], "000003")
    again = bench("wenzhou", saved=theirs.saved(), now=theirs.now, profile=theirs.profile)
    again.node_up()
    source = again.connect()
    deliver(again, source, KEYS[0], "900002")
    assert last(again)["RESPCODE"] == "A0"
    assert is_heard(again, source, KEYS[1], "000004")


@pytest.mark.parametrize(
    "fault", ["check", "weak", "short", "no hex", "not signed on", "missing"], ids=lambda fault: fault
)
def test_a_delivery_that_cannot_be_taken_is_refused_and_nothing_is_stored(theirs, fault):
    source = theirs.connect()
    if fault != "not signed on":
        theirs.manage(source, "sign_on")
    codes = {"not signed on": "C1"}
    if fault in ("check", "not signed on"):
        deliver(theirs, source, KEYS[0], check=b"\1\2\3\4")
    elif fault == "weak":
        weak = bytes.fromhex("01" * 8 + "FE" * 8)
        wrapped = cipher(theirs).encrypt(weak).hex().upper()
        theirs.manage(source, "key_delivery", MACKEY=wrapped, MACCHECK="00000000")
    else:
        wrong = {"short": "0011", "no hex": "Z" * 32, "missing": None}[fault]
        extra = {"MACCHECK": "00000000", **({"MACKEY": wrong} if wrong else {})}
        theirs.manage(source, "key_delivery", **extra)
    assert last(theirs)["RESPCODE"] == codes.get(fault, "A0")
    assert theirs.saved().keys == []
    assert ("key_wrong" in theirs.alarms) == (fault not in codes)
