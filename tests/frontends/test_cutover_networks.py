"""A network's notices of cutover: 201 with the date that ends, 202 with the one that begins.

What we ask of it keeps the date of its own field 7; the network's date is known and watched.
"""

import pytest
from asked_networks import world

from frontends.session_rows import DateRow
from qianzhi.domain.dates import shift
from qianzhi.domain.requests import Kind
from qianzhi.domain.results import Result
from qianzhi.runtime.effects import Store
from simulators.network import State

TODAY = 20261122  # of the world's beginning, 10:00 in Shanghai
TOMORROW = shift(TODAY, 1)
HOUR = 3_600
BEGIN, END = "201", "202"


class Watched:
    """unet, with the dates that the network tells and what it hears for them, in order."""

    def __init__(self):
        self.here = here = world("unet")
        self.kept, self.line = [], []
        run, heard, ear = here._run, here._from_network, here.network.on_frames

        def effects(found):
            rows = [row for one in found if isinstance(one, Store) for row in one.rows]
            self.kept += [row.noticed for row in rows if isinstance(row, DateRow)]
            run(found)

        def told(found):
            self._note("settlement_date", [item.frame for one in found for item in one.items])
            heard(found)

        def frames(items, now):
            self._note("response_code", [item.frame for item in items])
            return ear(items, now)

        here._run, here._from_network, here.network.on_frames = effects, told, frames

    def _note(self, field, frames):
        for message in map(self.here.profile.codec.decode, filter(None, frames)):
            if message.get("network_code") in (BEGIN, END) and message.get(field):
                self.line.append((message["network_code"], message[field]))

    def tell(self, name, date):
        """Let the network say a date by hand; return the code that it hears."""
        here = self.here
        session = here.network.session
        serial, messages = session.manage(name, here.now, date)
        here._from_network(here.network._managed(messages))
        return session.management_code(serial)

    @property
    def status(self):
        return self.here.front.status(self.here.now)


@pytest.fixture
def unet():
    return Watched()


def told(old, new):
    """One cutover on the line, both notices approved."""
    return [
        *((code, f"{date % 10_000:04d}") for code, date in ((BEGIN, old), (END, new))),
        (BEGIN, "00"),
        (END, "00"),
    ]


def test_in_the_evening_the_old_date_ends_and_the_new_one_begins_once_a_day(unet):
    unet.here.later(13 * HOUR - 60)
    assert (unet.line, unet.status["business_date"]) == ([], TODAY)
    unet.here.later(120)
    assert unet.line == told(TODAY, TOMORROW)
    assert (unet.kept, unet.status["business_date"]) == ([TOMORROW], TOMORROW)
    assert [name for name in unet.here.events if name.startswith("cutover")] == ["cutover_begun", "cutover"]
    unet.here.later(24 * HOUR)
    assert unet.line[4:] == told(TOMORROW, shift(TOMORROW, 1))
    assert unet.here.alarms == []


def test_the_date_does_not_change_between_the_two(unet):
    unet.here.later(13 * HOUR - 60)
    assert unet.tell("cutover_begin", TODAY) == "00"
    assert (unet.status["business_date"], unet.kept) == (TODAY, [])
    assert unet.tell("cutover", TOMORROW) == "00"
    assert unet.status["business_date"] == TOMORROW


def test_charges_and_their_reversals_keep_the_date_that_they_were_made_on(unet):
    here, books = unet.here, unet.here.network.network
    here.later(13 * HOUR + 60)
    assert unet.status["business_date"] == TOMORROW
    charge = here.charge(5_098)  # taken, and never answered
    here.ask(charge)
    here.later(120)
    assert (charge.date, books.charges[charge.key].state) == (TODAY, State.TAKEN)
    reversal = here.about(Kind.CHARGE_REVERSAL, charge, "timeout")
    assert here.reply(here.ask(reversal)).result is Result.APPROVED
    assert books.charges[charge.key].state is State.REVERSED


def test_a_notice_that_goes_back_or_too_far_is_refused_and_changes_nothing(unet):
    unet.here.later(13 * HOUR - 60)
    for date in (shift(TODAY, -1), shift(TODAY, 2)):
        assert unet.tell("cutover", date) == unet.here.profile.table.results.codes["bad_date"]
    assert unet.here.alarms == ["cutover_refused"] * 2
    assert (unet.status["business_date"], unet.kept) == (TODAY, [])


def test_a_network_whose_line_was_down_then_says_it_when_it_is_open_again(unet):
    unet.here.later(12 * HOUR)
    unet.here.cut()
    unet.here.later(HOUR + 60)
    assert unet.line == []
    unet.here.connect()
    unet.here.later(1)
    assert unet.status["business_date"] == TOMORROW
    assert unet.line[-1] == (END, "00")


def test_a_network_that_has_closed_the_line_moves_no_date(unet):
    unet.here.later(13 * HOUR - 60)
    unet.here.manage("sign_off")
    assert unet.tell("cutover", TOMORROW) == unet.here.profile.table.results.codes["not_signed_on"]
    assert unet.kept == []
