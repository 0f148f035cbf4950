"""Interleavings that would cost money or stop a line, played against the front's core and its shells."""

import dataclasses
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from frontends.front import Frame
from frontends.front_files import open_front
from frontends.queue_front import QueueFront
from frontends.session import STEPS_MAX
from qianzhi.domain.requests import Kind
from qianzhi.domain.results import Result
from qianzhi.link.events import Hello
from qianzhi.link.messages import Status
from qianzhi.link.site import load_site
from qianzhi.runtime import clock
from qianzhi.runtime.effects import Event, Pause, Record, Send, Withheld
from qianzhi.runtime.events import EventsError, EventWriter
from qianzhi.runtime.shell import Interpreter

SECOND = 1_000_000


def only(asked):
    [(peer, envelope)] = asked
    return peer, envelope


# -- refused at the edge -------------------------------------------------------------------------------------


def without_a_code_for_repeats(bench, **limits):
    """A socket whose every refusal has to block its key first."""
    made = bench("hz_citic", limits=limits)
    made.profile.results.repeat_codes = frozenset()
    made.node_up()
    made.sign_on(made.connect())
    made.answers.clear()
    return made


def test_a_shed_repeat_of_an_approved_request_ends_within_its_time(bench):
    """Nodes take blocks and nothing else: the word of the block must do, or the flight would go round."""
    made = without_a_code_for_repeats(bench)
    made.ask(1, Kind.RECHARGE)
    for _ in range(50):
        for peer, envelope in made.take_asked():
            if envelope.kind == Kind.BLOCK:
                made.reply(peer, envelope, order="WO1", stored=True)
            else:
                made.turn_away(peer, envelope, Status.BUSY)
    assert made.results() == [Result.APPROVED]
    assert made.core.idle


@pytest.mark.parametrize("flood", ["above the limit", "no room"])
def test_a_flood_that_must_be_blocked_is_bounded_and_leaves_reversals_their_tenth(bench, flood):
    made = without_a_code_for_repeats(bench, in_flight=20)
    amount = made.profile.limits.amount_fen_max + 1 if flood == "above the limit" else 5000
    for n in range(100):
        made.ask(1, Kind.RECHARGE, serial=f"{n:06d}", amount_fen=amount)
    assert len(made.take_asked()) == 18
    assert made.results() == [Result.UNKNOWN] * 82, "certainly nothing happened, but no key is blocked"
    made.ask(1, Kind.REVERSAL, serial="000900")
    assert only(made.take_asked())[1].kind == Kind.REVERSAL
    made.wait(12)
    assert made.core.idle


def test_a_message_without_a_right_mac_says_nothing_about_its_serial(ready):
    """Its key cannot be blocked, so that its code must be one after which the serial may come again."""
    results = ready.profile.results
    assert results.may_repeat(Result.BAD_MAC)
    assert results.may_repeat(Result.NOT_SIGNED_ON)


@pytest.mark.parametrize("kind", [Kind.RECHARGE, Kind.PAY])
def test_another_currency_is_never_taken_for_fen(citic, kind):
    bill = {"bill": "20261000000000000001"} if kind is Kind.PAY else {}
    dollars = citic.body(citic.request(kind, **bill), extra={"currency": "840"})
    citic.send(1, dollars)
    peer, envelope = only(citic.take_asked())
    assert envelope.kind == Kind.BLOCK, "a refusal without a code for repeats blocks its key first"
    citic.reply(peer, envelope, Result.BLOCKED)
    assert citic.results() == [Result.FORMAT]


def test_a_reversal_is_not_refused_for_its_currency(citic):
    citic.send(1, citic.body(citic.request(Kind.REVERSAL), extra={"currency": "840"}))
    assert only(citic.take_asked())[1].kind == Kind.REVERSAL


# -- who waits for what --------------------------------------------------------------------------------------


def test_a_repeat_joins_a_flight_whose_first_asker_has_gone(citic):
    gone, back = citic.connect(), citic.connect()
    citic.ask(gone, Kind.RECHARGE)
    peer, envelope = only(citic.take_asked())
    citic.run(citic.core.on_closed(gone, "lost", citic.now))
    citic.ask(back, Kind.RECHARGE)
    assert citic.take_asked() == []
    citic.reply(peer, envelope)
    assert (citic.results(gone), citic.results(back)) == ([], [Result.APPROVED])
    assert citic.core.idle


def test_a_flight_that_nobody_waits_for_ends_all_the_same(citic):
    gone = citic.connect()
    citic.ask(gone, Kind.RECHARGE)
    citic.run(citic.core.on_closed(gone, "lost", citic.now))
    citic.wait(11)
    assert citic.core.idle
    citic.ask(citic.connect(), Kind.STATUS)
    assert {envelope.kind for _, envelope in citic.take_asked()} == {Kind.RECHARGE, Kind.STATUS}, "it settles"


def test_a_reversal_overtakes_its_held_original_on_a_queue(icbc):
    icbc.node_down("node1")
    icbc.ask(1, Kind.RECHARGE)
    icbc.turn_away(*only(icbc.take_asked()), Status.BUSY)
    icbc.ask(2, Kind.REVERSAL)
    reversal = only(icbc.take_asked())
    assert reversal[1].kind == Kind.REVERSAL
    icbc.ask(3, Kind.STATUS)
    assert icbc.results(3) == [Result.IN_PROCESS], "the held original may still go out"
    icbc.reply(*reversal, Result.NOT_FOUND)
    icbc.wait(0.2)
    icbc.reply(*only(icbc.take_asked()), Result.BLOCKED)
    assert icbc.results() == [Result.IN_PROCESS, Result.NOT_FOUND, Result.BLOCKED]


def test_requests_in_flight_at_a_sign_off_are_answered(citic):
    citic.ask(1, Kind.RECHARGE)
    first = only(citic.take_asked())
    citic.manage(1, "sign_off")
    citic.ask(1, Kind.RECHARGE)
    assert citic.heard()[-1]["response_code"] == "C1"
    citic.reply(*first)
    assert citic.results() == [Result.NOT_SIGNED_ON, Result.APPROVED]
    assert citic.macs_right(1, citic.mac_key) >= 1


def test_a_key_change_between_a_request_and_its_answer(citic):
    """Two connections, two keys at once: every answer goes under the key of its own question."""
    other = citic.connect()
    old = citic.mac_key
    citic.ask(1, Kind.RECHARGE)
    first = only(citic.take_asked())
    citic.manage(other, "key_request")
    new = citic.take_key(other)
    assert new
    citic.send(other, citic.body(citic.request(Kind.RECHARGE)))
    citic.send(1, citic.body(citic.request(Kind.RECHARGE, serial="000002"), key=old))
    second = only(citic.take_asked())
    citic.wait(0)
    citic.answers.clear()
    citic.reply(*first)
    citic.reply(*second)
    assert citic.macs_right(1, old) == 2
    assert citic.macs_right(other, citic.mac_key) == 1


def test_a_node_that_drains_as_it_comes_is_asked_for_nothing(citic):
    citic.node_down("node1")
    citic.run(citic.core.on_peer_up("node1", Hello("node1", "node", draining=True), citic.now))
    for n in range(4):
        citic.ask(1, Kind.RECHARGE, serial=f"{n:06d}")
    assert {peer for peer, _ in citic.take_asked()} == {"node2"}


def test_numbers_of_a_restarted_front_are_none_of_its_former_lifes(icbc, tmp_path):
    """A node may still hold answers to a front that was killed; they must find nothing in the next one."""
    config = Path(__file__).parents[2] / "config"
    site, _ = load_site(config)
    site = dataclasses.replace(site, data=str(tmp_path))
    numbers = []
    for _ in range(2):
        events, store, core, _ = open_front(site, icbc.profile, "front-icbc-1", icbc.keys)
        core.on_peer_up("node1", Hello("node1", "node"), clock.now())
        body = icbc.body(icbc.request(Kind.STATUS))
        effects = core.on_frames([Frame(1, body)], clock.now())
        numbers += [item.id for effect in effects if isinstance(effect, Send) for item in effect.items]
        events.close()
        store.close()
    assert len(numbers) == 2
    assert numbers[1] > numbers[0] + 100


# -- bounds --------------------------------------------------------------------------------------------------


def test_sign_ons_that_no_disk_can_follow_are_bounded(citic):
    citic.hold_stores = True
    for n in range(3 * STEPS_MAX):
        citic.manage(1, "sign_on", serial=f"{n:06d}")
    assert len(citic.stores) == STEPS_MAX
    assert [message["response_code"] for message in citic.heard()] == ["96"] * (2 * STEPS_MAX)
    citic.hold_stores = False
    citic.store()
    codes = [message.get("response_code") for message in citic.heard()]
    assert codes.count("00") == STEPS_MAX
    citic.manage(1, "sign_on")
    assert citic.heard()[-1].get("response_code") in ("00", None)


# -- the event file cannot be written ------------------------------------------------------------------------


class FullDisk(EventWriter):
    """Refuses rows while `full`."""

    full = True

    def append(self, rows):
        if self.full:
            raise EventsError("the disk is full")


class Queues:
    """A queue engine: what it holds for us, what it was told."""

    def __init__(self):
        self.held, self.told = set(), []

    def reply(self, items):
        for tag, body in items:
            assert tag in self.held
            self.told.append((tag, body))

    def acknowledge(self, tags):
        self.held -= set(tags)

    def release(self, tags):
        self.held -= set(tags)

    def pause(self, queue, paused):
        pass


def test_a_delivery_whose_answer_cannot_be_recorded_is_given_back(icbc, tmp_path):
    """Kept, it would fill the prefetch for ever, and its own repeats would be taken for copies."""
    engine, disk = Queues(), FullDisk(tmp_path)
    front = QueueFront("icbc", engine, icbc.core, lambda effects: shell.run(effects), clock.now)

    def send(effect):
        if isinstance(effect.to, tuple):
            icbc.asked += [(effect.to[1], item) for item in effect.items]
        elif effect.to == "bank":
            front.send(effect.items)
        else:
            front.done(effect.items)

    handlers = {Send: send, Withheld: lambda effect: front.withhold(effect.send), Pause: lambda _: None}
    shell = Interpreter(icbc.core, handlers, Clock(), disk)
    disk.full = False
    engine.held = {1, 2}
    icbc.run = shell.run
    icbc.ask(1, Kind.RECHARGE)
    asked = only(icbc.take_asked())
    disk.full = True
    icbc.send(2, b"<no message>")
    assert engine.held == {1}, "what is finished without an answer is given back as well"
    icbc.reply(*asked)
    assert (engine.held, engine.told) == (set(), [])
    disk.full = False
    engine.held = {3}
    icbc.ask(3, Kind.RECHARGE)
    icbc.reply(*only(icbc.take_asked()))
    assert [tag for tag, _ in engine.told] == [3]


def test_a_shell_hears_of_every_send_that_is_withheld(icbc, tmp_path):
    seen = []
    handlers = {Send: seen.append, Withheld: seen.append}
    shell = Interpreter(icbc.core, handlers, Clock(), FullDisk(tmp_path))
    shell.run([Record([Event(0, "in", "", "", {})]), Send("bank", ["a"]), Send("done", ["b"])])
    assert seen == [Withheld(Send("bank", ["a"])), Withheld(Send("done", ["b"]))]
    shell.run([Send("bank", ["c"])])
    assert seen[2:] == [Send("bank", ["c"])]
