"""When the business date of messages without one changes: by the clock, or by the bank's notice, for every
instance and over restarts.
"""

import dataclasses
import re
import shutil
from pathlib import Path

import msgspec
import pytest
from simulated import SimulatedBank

from frontends.profile import load_profile
from frontends.session_rows import DateRow, Saved
from frontends.store import open_file
from qianzhi.cli.checks import check
from qianzhi.domain.dates import business_date, shift
from qianzhi.domain.requests import Kind, Request
from qianzhi.domain.results import Result
from qianzhi.runtime import clock
from qianzhi.runtime.now import Now
from qianzhi.wire.mac import make_mac
from qianzhi.wire.mackey import MacKey

CONFIG = Path(__file__).parents[2] / "config"
SECOND = 1_000_000
WALL_US, TODAY = 1_795_312_800_250_000, 20261122  # 10:00:00 of that day in Shanghai
TOMORROW, YESTERDAY = shift(TODAY, 1), shift(TODAY, -1)
HOUR = 3_600 * SECOND
WRONG = MacKey(b"another key of the same length..")


def at(time):
    """The instant of a local time HH:MM of TODAY."""
    hour, minute = map(int, time.split(":"))
    minutes = (hour - 10) * 60 + minute
    return Now(5_000_000 + minutes * 60 * SECOND, WALL_US + minutes * 60 * SECOND)


# -- over the line


@pytest.fixture
def vendor(bench):
    """lianlian at 22:00, nodes up, connected."""
    made = bench("lianlian", now=at("22:00"))
    made.node_up()
    made.source = made.connect()
    return made


def notice(made, date, source=None, serial="900001", key=None, name="cutover"):
    """Let the bank tell a date."""
    profile = made.profile
    message = profile.mapping.management_message(name, serial, made.now, ours=False, date=date)
    if profile.mac_required(message):
        make_mac(profile.mac, message, profile.codec, key or made.mac_key)
    made.unrecorded += 1  # answers about the line have no record
    made.send(source or made.source, profile.codec.encode(message))


def last(made):
    """What the bank heard last."""
    mapping = made.profile.mapping
    return mapping.reply_of(made.heard()[-1]).result


def date_of(made, serial, kind=Kind.RECHARGE, source=None):
    """The date under which a request goes to the core, which approves it."""
    made.ask(source or made.source, kind, serial=serial)
    (peer, envelope), *more = made.take_asked()
    assert not more
    made.reply(peer, envelope)
    request = msgspec.msgpack.decode(envelope.body, type=Request)
    assert request.date_ours
    return request.date


def test_the_date_moves_with_the_notice_for_every_kind_of_request(vendor):
    assert date_of(vendor, "1") == TODAY
    notice(vendor, TOMORROW)
    assert last(vendor) is Result.APPROVED
    assert [date_of(vendor, "2", kind) for kind in (Kind.RECHARGE, Kind.STATUS, Kind.REVERSAL)] == [
        TOMORROW
    ] * 3
    assert "cutover" in vendor.names()


def test_the_notice_is_stored_before_it_is_in_force_or_answered(vendor):
    vendor.hold_stores = True
    notice(vendor, TOMORROW)
    assert not vendor.answers
    assert date_of(vendor, "1") == TODAY
    vendor.answers.clear()
    vendor.store()
    assert vendor.kept[DateRow, ""].noticed == TOMORROW
    assert last(vendor) is Result.APPROVED
    assert date_of(vendor, "2") == TOMORROW


def test_a_repeat_of_the_notice_changes_nothing_and_is_approved_again(vendor):
    notice(vendor, TOMORROW)
    kept = dict(vendor.kept)
    notice(vendor, TOMORROW, serial="900002")
    assert last(vendor) is Result.APPROVED
    assert vendor.kept == kept
    assert not vendor.alarms


@pytest.mark.parametrize("told", [YESTERDAY, shift(TODAY, 2), 20271122])
def test_a_notice_that_goes_back_or_too_far_is_refused_and_alarmed(vendor, told):
    notice(vendor, told)
    assert last(vendor) is Result.BAD_DATE
    assert vendor.alarms == ["cutover_refused"]
    assert date_of(vendor, "1") == TODAY
    assert (DateRow, "") not in vendor.kept


def test_a_notice_without_a_right_mac_or_without_its_date_moves_nothing(vendor):
    notice(vendor, TOMORROW, key=WRONG)
    assert last(vendor) is Result.BAD_MAC
    message = vendor.profile.mapping.management_message("cutover", "900003", vendor.now, ours=False)
    del message["body"]
    make_mac(vendor.profile.mac, message, vendor.profile.codec, vendor.mac_key)
    vendor.unrecorded += 1
    vendor.send(vendor.source, vendor.profile.codec.encode(message))
    assert last(vendor) is Result.FORMAT
    assert date_of(vendor, "1") == TODAY


def test_a_restart_goes_on_under_the_noticed_date(vendor, bench):
    notice(vendor, TOMORROW)
    again = bench("lianlian", saved=vendor.saved(), now=at("22:01"))
    again.node_up()
    again.source = again.connect()
    assert date_of(again, "1") == TOMORROW
    assert again.core.status(again.now)["business_date"] == TOMORROW


def test_the_clock_takes_over_with_an_alarm_when_no_notice_comes(bench):
    made = bench("lianlian", saved=Saved([], False, 0, noticed=TODAY), now=at("23:59"))
    made.node_up()
    made.source = made.connect()
    made.unrecorded = 1_000  # echoes
    made.wait(20 * 60)
    made.source = made.connect()
    assert date_of(made, "1") == TODAY
    assert not made.alarms
    made.wait(12 * 60)
    made.source = made.connect()
    assert made.alarms == ["cutover_notice_missing"]
    assert date_of(made, "2") == TOMORROW
    notice(made, TOMORROW)  # late, and right
    assert last(made) is Result.APPROVED
    assert made.alarms == ["cutover_notice_missing"]


# -- a network's notices: 201 with the old date begins, 202 with the new one ends


NOTICES = """
[management.cutover_begin]
when = { mti = "0820", network_code = "201" }
date = "settlement_date|mmdd:4"
theirs = { forwarder = "09013310", "header.destination" = "00010000", "header.source" = "09013310" }
stamp = ["transmission_time"]
need = ["transmission_time", "stan", "forwarder"]

[management.cutover]
when = { mti = "0820", network_code = "202" }
date = "settlement_date|mmdd:4"
theirs = { forwarder = "09013310", "header.destination" = "00010000", "header.source" = "09013310" }
stamp = ["transmission_time"]
need = ["transmission_time", "stan", "forwarder"]

[management.key_delivery]"""


@pytest.fixture
def card(tmp_path, bench):
    """unionpay_web with dates of ours and a card network's notices, which carry a static MAC here."""
    config = tmp_path / "config"
    shutil.copytree(CONFIG, config)
    path = config / "banks" / "unionpay_web.toml"
    text = path.read_text(encoding="utf-8")
    text = re.sub(r'(, )?date = "(original\.)?transmission_time\|mmdd:10"\n?', "", text)
    told = '"original.transmission_time" = "0000000000"'  # an original is named by its number alone
    text = text.replace('"original.mti" = "0200",', f'"original.mti" = "0200", {told},', 1)
    text = text.replace('"original.mti" = "0200"\n', f'"original.mti" = "0200"\n{told}\n', 1)
    text = text.replace("\n[management.key_delivery]", NOTICES, 1)
    text = text.replace('on_mac_failures = "new_keys"', 'on_mac_failures = "new_keys"\ncutover = "notice"', 1)
    fields = '"0820" = ["mti", "transmission_time", "stan", "settlement_date", "network_code", "forwarder"]'
    text = text.replace('"0820" = []', fields, 1)
    text = text.replace('"0430"] }]', '"0430"] }, { mti = "0820", network_code = ["201", "202"] }]', 1)
    path.write_text(text, encoding="utf-8")
    profile, problems = load_profile(config, "unionpay_web")
    assert problems == []
    made = bench("unionpay_web", profile=profile, now=at("22:55"))
    made.node_up()
    made.source = made.connect()
    made.sign_on(made.source)
    return made


def test_a_card_networks_cutover_begins_with_the_old_date_and_ends_with_the_new_one(card):
    notice(card, TODAY, name="cutover_begin", serial="900010")
    assert last(card) is Result.APPROVED
    assert date_of(card, "000001") == TODAY
    notice(card, TOMORROW, serial="900011")
    assert last(card) is Result.APPROVED
    assert date_of(card, "000002") == TOMORROW
    assert card.heard()[-1]["settlement_date"] == f"{TOMORROW % 10_000:04d}"


def test_a_bank_that_is_not_signed_on_moves_no_date(card):
    card.manage(card.source, "sign_off", serial="900012")
    notice(card, TOMORROW, serial="900013")
    assert last(card) is Result.NOT_SIGNED_ON


# -- two instances on one store


@pytest.fixture
def pair(pair_of):
    """Two instances of lianlian at 22:00."""
    made = pair_of("lianlian")
    for one in made:
        one.now = at("22:00")
        one.source = one.connect()
    return made


def test_what_one_instance_was_told_the_other_one_knows(pair):
    one, two = pair
    notice(one, TOMORROW)
    two.look()
    assert date_of(two, "1") == TOMORROW
    notice(two, TOMORROW)
    assert last(two) is Result.APPROVED


def test_two_instances_that_are_told_at_once_agree(pair):
    one, two = pair
    one.hold_stores = two.hold_stores = True
    notice(one, TOMORROW)
    notice(two, TOMORROW)
    for made in (two, one):
        made.hold_stores = False
        made.store()
    assert [last(made) for made in pair] == [Result.APPROVED] * 2
    assert [date_of(made, "1") for made in pair] == [TOMORROW] * 2


def test_the_row_of_a_notice_rests_on_those_before_it(tmp_path):
    store = open_file(tmp_path / "front.db")
    store.write([DateRow("x", TODAY, 1)])
    store.write([DateRow("x", TOMORROW, 2), DateRow("y", TODAY, 2)])
    assert store.load("x").noticed == TOMORROW
    store.close()
    assert open_file(tmp_path / "front.db").load("y").noticed == TODAY


# -- profiles


@pytest.mark.parametrize(
    ("bank", "old", "new", "key"),
    [
        ("lianlian", 'cutover = "notice"', 'cutover = "12:00"', "session.cutover"),
        ("lianlian", 'cutover = "notice"', 'cutover = "24:00"', "session.cutover"),
        ("lianlian", 'cutover = "notice"', 'cutover = "23:00"', "management.cutover"),
        ("lianlian", "[management.cutover]", "[management.cut_over]", "management.cutover"),
        ("lianlian", 'date = "body.day|date8"\n', "", "management.cutover.date"),
        ("lianlian", 'date = "body.day|date8"', 'date = "body.day|yuan:8"', "management.cutover.date"),
        ("lianlian", '"REVERSE", "CUTOVER"]', '"REVERSE"]', "protection.required"),
        ("zhenghe", 'keys = "static"', 'keys = "static"\ncutover = "23:00"', "session.cutover"),
        ("unet", 'cutover = "notice"', 'cutover = "23:00"', "session.cutover"),
        ("unet", "[management.cutover]", "[management.cut_over]", "management.cutover"),
        ("unet", '"202" }\ndate = "settlement_date|mmdd:4"', '"202" }', "management.cutover.date"),
    ],
)
def test_a_mistake_about_dates_is_told(refused, bank, old, new, key):
    assert key in {found for _, found, _ in refused(bank, "bank", old, new)}


@pytest.mark.parametrize(("minutes", "told"), [(30, False), (29, True), (0, True)])
def test_a_fence_must_not_come_before_the_last_moment_of_a_notice(tmp_path, minutes, told):
    config = Path(shutil.copytree(CONFIG, tmp_path / "config"))
    site = config / "site.toml"
    text = site.read_text(encoding="utf-8")
    text, set_once = re.subn(r"(?m)^fence_minutes = \d+", f"fence_minutes = {minutes}", text)
    assert set_once == 1
    site.write_text(text, encoding="utf-8")
    found = [one for one in check(config).problems if one.key == "core.fence_minutes"]
    assert bool(found) is told
    assert all("lianlian" in one.expected for one in found)


def test_instances_that_may_be_told_a_date_share_their_rows(edit):
    assert dataclasses.replace(edit("lianlian"), instances=2).shares_rows


# -- processes of their own


class Evening:
    """A time zone of whole hours in which it is evening now, or as near to it as there is one."""

    def __init__(self):
        utc = clock.now().wall_us // HOUR % 24
        hours = (20 - utc + 11) % 24 - 11
        self.zone = f"Etc/GMT{-hours:+d}" if hours else "Etc/GMT"


def test_two_front_ends_share_the_noticed_date_over_a_death(make_place):
    place = make_place("lianlian", instances=2, zone=Evening().zone)
    processes = [place.start(), place.start(instance=2)]
    names = [f"front-lianlian-{number}" for number in (1, 2)]
    bank = SimulatedBank(place)
    bank.connect(1)
    bank.open()
    told = bank.cut_over()
    assert told == shift(business_date(clock.now().wall_us, place.profile.mapping.zone), 1)
    for name in names:
        place.wait_for(name, lambda status: status["business_date"] == told)
    processes[0].kill()
    processes[0].wait(20)
    place.start()
    assert place.status(names[0])["business_date"] == told
    for instance in (1, 2):
        bank.close()
        bank.connect(instance)
        assert bank.recharge(f"{instance}") is Result.APPROVED
        assert bank.cut_over() == told
    assert {key.date for key in place.core.credits} == {told}
