"""Two instances of a bank's front-end: what one has agreed with the bank, the other knows before it refuses.

The cores are real and so are the rows, in a file that both have open; the bank goes now to one, now to the
other.  What an instance asks of the store is done at once, or held back so that the other one is first.
"""

import dataclasses

import pytest
from Crypto.Cipher import DES3

from frontends.held import FRAMES_MAX
from qianzhi.domain.requests import Kind
from qianzhi.domain.results import Result
from qianzhi.wire.keys import Delivered, DeliverySpec, build_delivery, read_delivery

SECOND = 1_000_000
KEYS = [
    bytes.fromhex(text) for text in ("0123456789ABCDEF1133557799BBDDFF", "89ABCDEF012345672244668800AACCEE")
]


def told(made):
    """The key in the last answer of wenzhou's dialect."""
    return DES3.new(made.keys["master"], DES3.MODE_ECB).decrypt(bytes.fromhex(made.heard()[-1]["MACKEY"]))


def delivered(made):
    """The keys that were delivered by messages of our own, in order."""
    messages = [m for m in made.heard() if made.profile.mapping.management_of(m) == "key_delivery"]
    spec, master = DeliverySpec(mac=made.profile.mac), made.keys["master"]
    return [read_delivery(spec, message, made.profile.codec, master).key for message in messages]


def bring(made, source, key):
    """Bring a key of the bank's."""
    profile = made.profile
    message = profile.mapping.management_message("key_delivery", "900002", made.now, ours=False)
    spec = dataclasses.replace(profile.table.delivery, mac=profile.mac)
    message = build_delivery(spec, message, profile.codec, made.keys["master"], Delivered(key, "mac"))
    made.send(source, profile.codec.encode(message))


@pytest.fixture
def wenzhou(pair_of):
    return pair_of("wenzhou")


@pytest.fixture
def citic(pair_of):
    """Signed on over the first instance, its key in force; the other one has not looked since."""
    one, two = pair_of("hz_citic")
    one.sign_on(one.connect())
    two.mac_key = one.mac_key
    return one, two


def test_a_bank_that_signed_on_at_one_is_served_by_the_other_at_once(wenzhou):
    one, two = wenzhou
    one.manage(one.connect(), "sign_on")
    key, source = told(one), two.connect()
    assert two.passes(source, key, "000001")
    assert two.core.status(two.now)["keys"]["current"] == one.core.status(one.now)["keys"]["pending"]
    assert one.passes(1, key, "000002")
    one.manage(1, "key_request", "900003")
    second = told(one)
    assert second != key
    assert two.passes(source, key, "000003"), "the answer may have been lost"
    assert two.passes(source, second, "000004")
    assert one.passes(1, second, "000005")
    assert one.passes(1, key, "000006"), "within the grace, though it was proved over there"
    one.wait(181)
    assert not one.passes(1, key, "000007")


def test_sign_ons_at_both_at_once_hear_one_key(wenzhou):
    one, two = wenzhou
    one.hold_stores = two.hold_stores = True
    one.manage(one.connect(), "sign_on", "900001")
    two.manage(two.connect(), "sign_on", "900002")
    for made in (two, one):
        made.hold_stores = False
        made.store()
    key = told(one)
    assert told(two) == key
    assert one.passes(1, key, "000001")
    assert two.passes(1, key, "000002")


def test_a_key_that_both_would_deliver_by_message_is_made_once(citic):
    one, two = citic
    source = two.connect()
    one.hold_stores = two.hold_stores = True
    one.manage(1, "key_request", "900003")
    two.manage(source, "key_request", "900004")
    for made in (one, two):
        made.hold_stores = False
        made.store()
    assert delivered(one)[-1] == delivered(two)[-1]
    key = two.take_key(source)
    assert one.passes(1, key, "000001")
    before = len(delivered(one))
    one.wait(60)
    assert len(delivered(one)) == before, "what is in force is not delivered again"


def test_a_bank_whose_instance_died_with_its_delivery_is_told_the_same_key_by_the_other(citic):
    one, two = citic
    one.manage(1, "key_request", "900003")
    source = two.connect()
    two.manage(source, "key_request", "900004")
    assert two.take_key(source) == delivered(one)[-1]
    assert two.passes(source, delivered(one)[-1], "000001")


def test_a_key_that_nobody_proved_in_time_is_followed_by_another(citic):
    one, two = citic
    one.manage(1, "key_request", "900003")
    two.now = two.now.after(3600 * SECOND)
    source = two.connect()
    two.manage(source, "key_request", "900004")
    assert two.take_key(source) != delivered(one)[-1]


def test_a_key_that_is_due_is_renewed_by_one_of_them(pair_of, edit):
    profile = edit("hz_citic", ("key_hours = 24", "key_hours = 1"))
    one, two = pair_of("hz_citic", profile)
    one.sign_on(one.connect())
    two.look()
    for made in (one, two):
        made.now = made.now.after(3598 * SECOND)
        made.connect()
        made.wait(1)
    assert (len(delivered(one)), len(delivered(two))) == (1, 0)
    one.wait(2)
    two.look()
    two.wait(2)
    assert len(delivered(one)) == 2
    assert delivered(two) == []


def test_the_bank_s_own_key_is_known_to_both_when_it_is_answered(pair_of):
    """Short connections: each message goes to the other instance than the one before."""
    one, two = pair_of("psbc")
    one.manage(one.connect(), "sign_on")
    key = KEYS[0][:8]
    bring(two, two.connect(), key)
    assert one.passes(one.connect(), key, "000001")
    assert two.passes(two.connect(), key, "000002")
    assert set(one.core.status(one.now)["keys"]) == {"current"}


def test_a_sign_off_at_one_is_known_to_the_other_when_it_looks(citic):
    one, two = citic
    two.ask(two.connect(), Kind.RECHARGE)
    assert len(two.take_asked()) == 1
    one.manage(1, "sign_off")
    two.look()
    two.ask(1, Kind.RECHARGE, serial="000002")
    assert two.results() == [Result.NOT_SIGNED_ON]


def test_a_wrong_mac_is_refused_after_one_reading_and_counted(citic):
    _, two = citic
    source = two.connect()
    two.hold_stores = True
    assert not two.passes(source, KEYS[0], "000001")
    assert two.answers == []
    assert two.stores[-1] == (None, [])
    two.hold_stores = False
    two.store()
    assert two.results() == [Result.BAD_MAC]
    for serial in range(2, 6):
        assert not two.passes(source, KEYS[0], f"{serial:06d}")
    assert "mac_failures" in two.alarms


def test_a_frame_waits_for_a_reading_that_began_after_it_came(citic):
    """The first reading was under way when the other instance wrote what the second frame needs."""
    one, two = citic
    source = two.connect()
    two.hold_stores = True
    assert not two.passes(source, KEYS[0], "000001")
    old = two.database.load("hz_citic")
    one.manage(1, "key_request", "900003")
    key = one.take_key(1)
    assert not two.passes(source, key, "000002")
    token, _ = two.stores.pop()
    assert token is None
    two.run(two.core.on_loaded(old, two.now))
    assert [result.name for result in two.results()] == ["BAD_MAC"]
    two.hold_stores = False
    two.store()
    assert len(two.take_asked()) == 1


def test_no_more_frames_wait_than_there_is_room_for_and_none_for_ever(citic):
    _, two = citic
    source = two.connect()
    two.hold_stores = True
    for serial in range(FRAMES_MAX + 3):
        assert not two.passes(source, KEYS[0], f"{serial:06d}")
    assert two.results() == [Result.UNAVAILABLE] * 3, "what cannot be known is not called wrong"
    two.wait(1)
    assert two.results() == [Result.UNAVAILABLE] * (FRAMES_MAX + 3)
    assert two.alarms == []
    assert two.core.idle


def test_without_the_store_known_keys_serve_and_nothing_is_agreed(citic):
    one, two = citic
    source = two.connect()
    two.look()
    two.run(two.core.on_store_trouble("the state database cannot be used: it is down", two.now))
    assert "store_unwritable" in two.alarms
    assert two.passes(source, two.mac_key.material, "000001")
    two.answers.clear()
    for serial, name in enumerate(("sign_on", "key_request", "sign_off"), 900_003):
        two.manage(source, name, str(serial))
    assert [m["response_code"] for m in two.heard()] == [two.profile.results.code_of(Result.UNAVAILABLE)] * 3
    two.answers.clear()
    one.manage(1, "key_request", "900003")
    key = one.take_key(1)
    assert not two.passes(source, key, "000002")
    assert two.results() == [Result.UNAVAILABLE]
    two.run(two.core.on_store_trouble("", two.now))
    assert two.passes(source, key, "000003")


def test_frames_that_wait_when_the_store_fails_are_answered_then(citic):
    _, two = citic
    two.hold_stores = True
    assert not two.passes(two.connect(), KEYS[0], "000001")
    two.run(two.core.on_store_trouble("gone", two.now))
    assert two.results() == [Result.UNAVAILABLE]


def test_each_instance_holds_its_half_of_the_bank_s_limits(pair_of, edit):
    profile = edit(
        "hz_citic", ("in_flight = 1000", "in_flight = 20"), ("rate_per_second = ", "rate_per_second = 8 # ")
    )
    one, two = pair_of("hz_citic", profile)
    one.sign_on(one.connect())
    two.mac_key = one.mac_key
    for made in (one, two):
        source = made.connect()
        for serial in range(5):
            made.ask(source, Kind.RECHARGE, serial=f"{serial:06d}")
        assert len(made.take_asked()) == 4, "a second's worth of half the rate"
        assert made.results(source) == [Result.BUSY]


def test_a_store_that_hangs_is_trouble_too_until_it_confirms(wenzhou):
    one, _ = wenzhou
    source = one.connect()
    one.hold_stores = True
    one.manage(source, "sign_on", "900001")
    one.wait(3)
    assert one.alarms == ["store_unwritable"]
    one.manage(source, "sign_on", "900002")
    code = one.profile.results.code_of(Result.UNAVAILABLE)
    assert [message["RESPCODE"] for message in one.heard()] == [code]
    one.hold_stores = False
    one.store()
    assert one.core.status(one.now)["store"] == "ok"
    assert one.passes(source, told(one), "000001")


def test_serials_of_our_own_messages_are_never_the_other_one_s(citic):
    one, two = citic
    two.connect()
    echoes = [m["stan"] for made in (one, two) for m in silent_for(made, 31) if m["network_code"] == "301"]
    assert len(echoes) == 2
    assert len(set(echoes)) == 2


def silent_for(made, seconds):
    made.answers.clear()
    made.wait(seconds)
    return made.heard()


def test_a_write_whose_outcome_was_not_heard_is_not_taken_for_another_instance_s(wenzhou):
    one, _ = wenzhou
    source = one.connect()
    one.hold_stores = True
    one.manage(source, "sign_on")
    one.database.write(one.stores[0][1])  # committed, and the answer was lost: it is said again
    one.hold_stores = False
    one.store()
    assert one.passes(source, told(one), "000001")
    assert not [labels for _, labels, _ in one.counts if "conflict" in labels]


@pytest.mark.parametrize("bank", ["icbc", "boc"])
def test_a_repeat_that_waits_for_its_original_hears_what_the_partner_has_reversed_meanwhile(pair_of, bank):
    """Its original was approved, then reversed through the partner, then repeated: all before its answer."""
    one, _ = pair_of(bank)
    first = one.connect()
    one.ask(first, Kind.RECHARGE)
    [(peer, original)] = one.take_asked()
    one.wait(1)
    others = [one.connect(), one.connect()]
    for source in others:
        one.ask(source, Kind.RECHARGE)
    assert one.take_asked() == [], "they wait for what is under way"
    one.reply(peer, original)
    assert one.results(first) == [Result.APPROVED]
    assert [one.results(source) for source in others] == [[], []]
    [(again, repeat)] = one.take_asked()
    one.reply(again, repeat, Result.REVERSED)
    assert [one.results(source) for source in others] == [[Result.REVERSED]] * 2
    assert one.core.idle
