"""What answers of networks are worth, and what keeps many requests apart."""

import pytest
from asked_networks import NETWORKS, changed, world

from frontends.front import TO_BANK
from qianzhi.domain.requests import Kind
from qianzhi.domain.results import Result
from qianzhi.link.messages import Status
from qianzhi.runtime.effects import Send
from qianzhi.runtime.metric_names import COUNTERS
from simulators.network import Plan

# Answers that say less than they seem to


@pytest.mark.parametrize("name", ["unet", "vnet", "lnet"])
def test_an_answer_with_a_wrong_mac_is_none(name):
    here = world(name)
    right = here.network.session.keys
    here.network.session.keys = [bytes(reversed(right[0]))]
    here.network._dialect.proved = lambda *_: True  # it reads ours, and answers under another key
    number = here.ask(here.charge())
    assert here.status(number) is None
    here.later(here.terms.answer_ms / 1_000 + 1)
    told = here.reply(number)
    assert (told.result, told.name) == (Result.UNKNOWN, "bad_mac")


@pytest.mark.parametrize("code", ["68", "98", "09", "77", "94", "A0", "C1"])
def test_a_code_that_settles_nothing_leaves_the_outcome_open(code):
    here = world("unet")
    put_code(here, code)
    assert here.reply(here.ask(here.charge())).result is Result.UNKNOWN


def put_code(here, code):
    """Let the network answer with this code, whatever it means."""
    make = here.network._outward.reply_message
    here.network._outward = _Recoded(here.network._outward, make, code)


class _Recoded:
    def __init__(self, mapping, make, code):
        self.request_of = mapping.request_of
        self._make, self._code = make, code

    def reply_message(self, *args):
        return {**self._make(*args), "response_code": self._code}


def test_further_codes_of_the_network_are_known():
    here = world("unet")
    put_code(here, "11")
    assert here.reply(here.ask(here.charge())).result is Result.APPROVED


def test_an_approval_of_another_amount_is_not_the_one_that_was_asked():
    here = world("vnet")
    mapping = here.network._outward
    make = mapping.reply_message

    class Other:
        request_of = staticmethod(mapping.request_of)

        @staticmethod
        def reply_message(*args):
            return {**make(*args), "amount": "000000000001"}

    here.network._outward = Other
    assert here.reply(here.ask(here.charge())).result is Result.UNKNOWN


@pytest.mark.parametrize("name", NETWORKS)
def test_our_own_message_sent_back_is_never_answered(name):
    here = world(name)
    number = here.ask(here.charge(5_098))
    asked = here.sent[-1]
    before = len(here.sent)
    here.inject(asked)
    assert len(here.sent) == before
    assert here.status(number) is None
    assert "silent" in here.events


@pytest.mark.parametrize("name", ["unet", "vnet", "lnet"])
def test_a_refusal_that_a_stranger_had_us_sign_is_no_answer_to_a_charge(name):
    here = world(name)
    number = here.ask(here.charge(5_098))
    message = here.profile.codec.decode(here.sent[-1])
    path = {"unet": "condition", "vnet": "processing_code", "lnet": "cmd"}[name]
    strange = {**message, path: {"unet": "99", "vnet": "999999", "lnet": "REFUND"}[name]}
    if name == "lnet":
        strange["body"] = {"amount": "1"}
    before = len(here.sent)
    here.inject(here.profile.codec.encode(strange))
    for frame in here.sent[before:]:
        here.inject(frame)
    assert here.status(number) is None
    here.later(60)
    assert here.reply(number).result is Result.UNKNOWN


# Order, repeats and bounds


def test_answers_are_matched_whatever_their_order():
    here = world("unet", plan=Plan(late_us=5_000_000))
    slow, quick = here.ask(here.charge(5_068)), here.ask(here.charge(7_000))
    assert here.status(slow) is None
    assert here.reply(quick).result is Result.APPROVED
    here.later(6)
    assert here.reply(slow).result is Result.APPROVED


def test_a_charge_that_is_asked_again_while_it_is_under_way_is_one_charge():
    here = world("unet", nodes=("node1", "node2"), plan=Plan(late_us=5_000_000))
    charge = here.charge(5_068)
    first, second = here.ask(charge), here.ask(charge, node="node2")
    here.later(6)
    assert here.reply(first).result is here.reply(second).result is Result.APPROVED
    assert here.network.network.taken_fen() == 5_068


def test_the_same_serial_for_another_charge_is_not_sent():
    here = world("unet", plan=Plan(late_us=5_000_000))
    charge = here.charge(5_068)
    here.ask(charge)
    assert here.status(here.ask(changed(charge, amount_fen=9_999))) is Status.NO_ROUTE
    assert "outward_serial_twice" in here.alarms


def test_too_much_under_way_is_refused_as_certainly_not_sent():
    here = world("vnet", in_flight=2)
    for _ in range(2):
        here.ask(here.charge(5_098))
    assert here.status(here.ask(here.charge())) is Status.BUSY


def test_what_the_dialect_cannot_carry_is_not_sent_and_alarmed():
    here = world("unet")
    charge = changed(here.charge(), serial="1234567")
    assert here.status(here.ask(charge)) is Status.NO_ROUTE
    assert "outward_unwritable" in here.alarms


def test_a_record_stands_before_the_bytes():
    here = world("unet")
    order = []
    run = here._run

    def watch(effects):
        order.extend(type(effect).__name__ for effect in effects if not is_link(effect))
        run(effects)

    here._run = watch
    here.ask(here.charge())
    assert order.index("Record") < order.index("Send")


def is_link(effect):
    """Whether an effect is no send to the bank."""
    return isinstance(effect, Send) and effect.to != TO_BANK


def test_the_line_tells_an_operator_how_it_stands():
    here = world("mnet")
    here.ask(here.charge(5_098))
    shown = here.front.status(here.now)["outward"]
    assert shown == {"open": True, "policy": "on_late_approval", "in_flight": 1, "late_kept": 0}


def test_all_that_is_counted_is_declared():
    here = world("vnet", plan=Plan(late_us=30_000_000))
    for fen in (5_000, 5_051, 5_068, 5_098):
        here.ask(here.charge(fen))
    here.ask(here.about(Kind.ADVICE, here.charge()))
    here.later(60)
    assert {count.labels for count in here.counts if count.name == "qianzhi_outward_total"} == {
        ("vnet", "charge", "approved"),
        ("vnet", "charge", "over_quota"),
        ("vnet", "charge", "unknown"),
        ("vnet", "late_answer", "approved"),
        ("vnet", "advice", "no_route"),
    }
    for count in here.counts:
        assert len(count.labels) == len(COUNTERS[count.name].labels)
