"""The bridge's own timer closes business dates, and the house asks beside the banks: on the pure core, over
books in memory, with a clock that is told.
"""

from zoneinfo import ZoneInfo

import msgspec
import pytest

from crm_bridge.bridge import Batch, Bridge, Done
from crm_bridge.closer import AGAIN_SECONDS, LOOK_SECONDS, Closer
from crm_bridge.gateway import Gateway
from crm_bridge.journal_fences import latest
from crm_bridge.memory import Memory
from crm_bridge.settings import CoreSettings
from qianzhi.domain.dates import closes_us, shift
from qianzhi.domain.requests import Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.link.events import Hello
from qianzhi.link.messages import Envelope, Status
from qianzhi.runtime.effects import Alarm, Send
from qianzhi.runtime.now import SECOND_US, Now

ZONE = ZoneInfo("Asia/Shanghai")
D = 20261116
HOUR_US = 3600 * SECOND_US
NOON = closes_us(D, 12 * 60, ZONE)  # of the day after D
SETTINGS = CoreSettings(database="sqlite:///")


class House:
    """One bridge over its books; effects are carried out until nothing is left."""

    def __init__(self, memory=None, writers=1, queue_max=10, closing=True):
        self.memory = memory or Memory()
        self.gateways = [Gateway(self.memory, SETTINGS, ZONE, "b1", lane) for lane in range(writers)]
        closer = Closer(ZONE, SETTINGS.close_minutes) if closing else None
        self.bridge = Bridge("b1", writers, queue_max, closer)
        self.failing = None
        self.heard, self.alarms, self.asked = [], [], []

    def carry(self, effects, now):
        for effect in effects:
            if isinstance(effect, Alarm):
                self.alarms.append((effect.name, effect.fields))
            elif isinstance(effect, Send) and effect.to[0] == "house":
                self.heard.append((effect.to[1], effect.items))
            elif isinstance(effect, Send) and effect.to[0] == "writer":
                self.asked += [work.request for work in effect.items]
                self.carry(self.bridge.on_batch(effect.to[1], self.settle(effect, now), now), now)

    def settle(self, effect, now):
        if self.failing is not None:
            return Batch([Done(work.ticket, self.failing, None) for work in effect.items], 0.0, {}, [])
        replies = self.gateways[effect.to[1]].execute([work.request for work in effect.items], now)
        done = [Done(w.ticket, Status.OK, r) for w, r in zip(effect.items, replies, strict=True)]
        return Batch(done, 0.0, {}, [])

    def at(self, wall_us, mono_us=None):
        """Let the bridge do what is due; return how many seconds later it wants to be called."""
        now = Now(mono_us if mono_us is not None else wall_us - NOON + 10**12, wall_us)
        if self.bridge.deadline is not None and self.bridge.deadline <= now.mono_us:
            self.carry(self.bridge.on_time(now), now)
        deadline = self.bridge.deadline
        return None if deadline is None else (deadline - now.mono_us) // SECOND_US

    def touch(self, space, date, serial="1"):
        self.gateways[0].execute([Request(Kind.STATUS, space, date, serial, "", "")], Now(0, NOON))

    def fences(self):
        return latest(self.memory.fences)


@pytest.fixture
def house():
    made = House()
    for space, date in (("a", D), ("a", shift(D, 1)), ("b", D), ("c", shift(D, 1)), ("old", shift(D, -3))):
        made.touch(space, date)
    return made


def test_at_its_hour_a_date_is_closed_in_each_space_that_has_rows_of_it(house):
    before = house.at(NOON - 40 * SECOND_US)
    assert house.fences() == {"old": shift(D, -3)}
    assert before == 40
    assert house.at(NOON) == LOOK_SECONDS
    assert house.fences() == {"old": shift(D, -3), "a": D, "b": D}
    assert {fence.by for fence in house.memory.fences} == {"timer"}
    assert len([one for one in house.asked if one.kind is Kind.CLOSE and one.space == "a"]) == 1
    house.at(NOON + 24 * HOUR_US)
    assert house.fences() == {"old": shift(D, -3), "a": shift(D, 1), "b": D, "c": shift(D, 1)}


def test_a_bridge_that_starts_long_after_the_hour_catches_up_at_once_oldest_first(house):
    house.at(NOON + 30 * HOUR_US)
    assert house.fences() == {"old": shift(D, -3), "a": shift(D, 1), "b": D, "c": shift(D, 1)}
    assert [one.closed_through for one in house.memory.fences if one.space == "a"] == [D, shift(D, 1)]


def test_a_date_that_is_held_open_is_tried_again_told_once_and_holds_no_other_space(house):
    broken = Request(Kind.BREAK, "a", D, "9", "", "9001", amount_fen=70, stamp_us=5, reason="saf")
    house.gateways[0].execute([broken], Now(0, NOON))
    assert house.at(NOON) == AGAIN_SECONDS
    house.at(NOON + AGAIN_SECONDS * SECOND_US)
    assert house.fences() == {"old": shift(D, -3), "b": D}
    assert house.alarms == [("day_not_closed", {"space": "a", "date": D, "why": "BREAK_OPEN", "open": 1})]
    house.gateways[0].execute([msgspec.structs.replace(broken, kind=Kind.MEND)], Now(0, NOON))
    assert house.at(NOON + 2 * AGAIN_SECONDS * SECOND_US) == LOOK_SECONDS
    assert house.fences()["a"] == D


def test_a_core_that_is_away_is_asked_again_and_nothing_is_lost(house):
    house.failing = Status.EXPIRED
    assert house.at(NOON) == AGAIN_SECONDS
    assert (house.fences(), house.alarms) == ({}, [])
    house.failing = None
    house.at(NOON + AGAIN_SECONDS * SECOND_US)
    assert house.fences()["b"] == D


def test_a_bridge_that_drains_closes_nothing_until_it_serves_again(house):
    house.bridge.drain(True)
    assert house.at(NOON) is None
    house.bridge.drain(False)
    house.at(NOON + SECOND_US)
    assert house.fences()["b"] == D


def test_two_bridges_close_a_date_once(house):
    other = House(house.memory)
    house.at(NOON)
    other.at(NOON + SECOND_US)
    assert len(house.memory.fences) == 3
    assert [one.space for one in other.asked] == ["*"]


def test_a_clock_that_was_days_ahead_leaves_no_day_open_once_it_is_right(house):
    house.at(NOON + 120 * HOUR_US, mono_us=10**12)
    house.at(NOON + 24 * HOUR_US, mono_us=10**12 + LOOK_SECONDS * SECOND_US)
    house.touch("a", shift(D, 2))
    house.at(NOON + 48 * HOUR_US, mono_us=10**12 + LOOK_SECONDS * SECOND_US + 24 * HOUR_US)
    assert house.fences()["a"] == shift(D, 2)


def a_day_ahead(house):
    """The monotonic clock goes on by ten minutes, the wall clock by a day: return when they do."""
    house.at(NOON - HOUR_US, mono_us=10**12)
    house.touch("a", shift(D, 1))
    mono_us = 10**12 + LOOK_SECONDS * SECOND_US
    assert house.at(NOON + 24 * HOUR_US, mono_us=mono_us) == AGAIN_SECONDS
    return mono_us


def test_a_clock_that_goes_a_day_ahead_closes_nothing_and_is_told_once(house):
    mono_us = a_day_ahead(house)
    house.at(NOON + 24 * HOUR_US + 59 * 60 * SECOND_US, mono_us=mono_us + 59 * 60 * SECOND_US)
    assert house.fences() == {"old": shift(D, -3)}
    [(name, fields)] = house.alarms
    assert (name, fields["seconds"]) == ("clock_ahead", 25 * 3_600 - LOOK_SECONDS)


def test_a_clock_that_is_set_right_within_the_hour_is_believed_at_once(house):
    mono_us = a_day_ahead(house) + AGAIN_SECONDS * SECOND_US
    assert house.at(NOON - 49 * 60 * SECOND_US, mono_us=mono_us) == LOOK_SECONDS
    house.at(NOON, mono_us=mono_us + 49 * 60 * SECOND_US)
    assert house.fences() == {"old": shift(D, -3), "a": D, "b": D}


def test_a_clock_that_stays_ahead_for_an_hour_is_taken_for_right(house):
    mono_us = a_day_ahead(house)
    house.at(NOON + 25 * HOUR_US, mono_us=mono_us + HOUR_US)
    assert house.fences()["a"] == shift(D, 1)
    assert len(house.alarms) == 1


def test_a_clock_that_goes_ahead_in_the_middle_of_a_round_adds_no_date_to_it(house):
    house.touch("a", shift(D, 1), "2")
    now, later = Now(10**12, NOON), Now(10**12 + SECOND_US, NOON + 24 * HOUR_US)
    effects = house.bridge.on_time(now)
    house.carry(effects, later)
    assert house.fences() == {"old": shift(D, -3), "a": D, "b": D}


def test_a_bridge_without_a_timer_wants_to_be_called_never():
    assert House(closing=False).at(NOON) is None


# -- what operators ask --------------------------------------------------------------------------------------


def asked(kind, space="a", date=D, serial="-", **more):
    return Request(kind, space, date, serial, "", "9001", **more)


def test_each_thing_that_the_house_asks_is_answered_once_under_its_token(house):
    items = [
        ("act 1", asked(Kind.CLOSE, reason="wang")),
        ("act 2", asked(Kind.BREAK, serial="7", date=shift(D, 1), reason="manual", amount_fen=5)),
        ("act 3", asked(Kind.VOID, serial="8", date=shift(D, 1))),
    ]
    house.carry(house.bridge.on_house(items, Now(0, NOON)), Now(0, NOON))
    told = {token: (done.ticket, done.status, done.reply.result) for token, (done,) in house.heard}
    assert told == {
        "act 1": ("act 1", Status.OK, Result.APPROVED),
        "act 2": ("act 2", Status.OK, Result.APPROVED),
        "act 3": ("act 3", Status.OK, Result.NOT_FOUND),
    }
    assert house.bridge.idle


def test_the_house_asks_also_while_the_bridge_drains_and_hears_busy_when_its_list_is_full():
    house = House(queue_max=2)
    house.bridge.drain(True)
    items = [(n, asked(Kind.STATUS, serial=str(n))) for n in range(3)]
    effects = house.bridge.on_house(items, Now(0, NOON))
    assert [(e.to, [d.status for d in e.items]) for e in effects if e.to[0] == "house"] == [
        (("house", 2), [Status.BUSY])
    ]
    house.carry(effects, Now(0, NOON))
    assert [token for token, _ in house.heard] == [2, 0, 1]
    assert house.bridge.idle


def test_what_the_house_asks_that_cannot_be_carried_out_is_told_without_a_reply(house):
    house.failing = Status.UNKNOWN
    house.carry(house.bridge.on_house([("act", asked(Kind.CLOSE))], Now(0, NOON)), Now(0, NOON))
    assert house.heard == [("act", [Done("act", Status.UNKNOWN, None)])]


def test_banks_and_house_share_a_list_and_each_gets_its_own_answers(house):
    house.bridge.on_peer_up("node1", Hello("node1", "node"), Now(0, NOON))
    query = asked(Kind.STATUS, serial="1")
    envelope = Envelope(1, 1, "9001", query.kind, 0, 1000, 0, "t", msgspec.msgpack.encode(query))
    works = []
    for effects in (
        house.bridge.on_requests("node1", [envelope], Now(0, NOON)),
        house.bridge.on_house([("act", query)], Now(0, NOON)),
    ):
        works += [work for effect in effects for work in effect.items]
    done = [Done(work.ticket, Status.OK, Reply(Result.BLOCKED)) for work in works]
    effects = house.bridge.on_batch(0, Batch(done, 0.0, {}, []), Now(0, NOON))
    told = [(effect.to, len(effect.items)) for effect in effects if isinstance(effect, Send)]
    assert told == [(("peer", "node1"), 1), (("house", "act"), 1)]
