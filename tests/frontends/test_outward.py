"""What the house asks of networks: sent, matched, judged, and what comes late, through real dialects."""

import dataclasses

import pytest
from asked_networks import NETWORKS, PHONE, changed, world

from qianzhi.domain.requests import Kind
from qianzhi.domain.results import Result
from qianzhi.link.messages import Status
from simulators.network import Plan, State

REVERSING = ("unet", "vnet", "mnet")


def sent_by(world, request):
    """The messages that one request becomes on the line, decoded, without the network hearing them."""
    heard = []
    network, world.network = world.network, _Ear(heard)
    try:
        world.ask(request)
    finally:
        world.network = network
    return [world.profile.codec.decode(frame) for frame in heard]


@dataclasses.dataclass
class _Ear:
    """A network that only listens."""

    heard: list
    deadline = None

    def on_frames(self, items, now):
        self.heard += [item.frame for item in items]
        return []


@pytest.mark.parametrize("name", NETWORKS)
def test_a_charge_is_approved_and_its_payer_has_paid(name):
    here = world(name)
    charge = here.charge(5_000)
    told = here.reply(here.ask(charge))
    assert told.result is Result.APPROVED
    books = here.network.network
    assert OPEN_STATE[name] is books.charges[charge.key].state
    assert books.charges[charge.key].amount_fen == 5_000
    assert books.charges[charge.key].phone == PHONE
    assert books.taken_fen() + books.held_fen() == 5_000


OPEN_STATE = {"unet": State.TAKEN, "vnet": State.TAKEN, "mnet": State.HELD, "lnet": State.TAKEN}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_decline_is_told_as_what_it_is(name):
    here = world(name)
    assert here.reply(here.ask(here.charge(5_051))).result is Result.OVER_QUOTA
    assert here.reply(here.ask(here.charge(5_096))).result is Result.BUSY
    assert here.network.network.taken_fen() == 0


@pytest.mark.parametrize("name", NETWORKS)
def test_without_an_answer_the_outcome_is_open_and_never_refused(name):
    here = world(name)
    number = here.ask(here.charge(5_098))
    here.later(here.terms.answer_ms / 1_000 - 0.5)
    assert here.status(number) is None
    here.later(1)
    told = here.reply(number)
    assert (told.result, told.name) == (Result.UNKNOWN, "timeout")


def test_a_shorter_budget_ends_the_wait_earlier():
    here = world("vnet")
    number = here.ask(here.charge(5_098), budget_ms=2_000)
    here.later(2.5)
    assert here.reply(number).result is Result.UNKNOWN
    assert here.status(here.ask(here.charge(), budget_ms=0)) is Status.EXPIRED


@pytest.mark.parametrize("name", NETWORKS)
def test_a_late_answer_is_offered_until_a_node_says_that_it_is_its_own(name):
    here = world(name, nodes=("node1", "node2"), plan=Plan(late_us=40_000_000))
    charge = here.charge(5_068)
    number = here.ask(charge)
    here.later(50)
    assert here.reply(number).result is Result.UNKNOWN
    assert {node for node, _ in here.late} == {"node1", "node2"}
    offered = here.late[0][1]
    assert offered.kind is Kind.LATE_ANSWER
    assert offered.key == charge.key
    assert (offered.phone, offered.amount_fen, offered.reason) == (PHONE, 5_068, "approved")
    before = len(here.late)
    here.later(200)
    assert len(here.late) > before  # nobody has claimed it yet
    here.owner = "node2"
    here.later(200)
    claimed = len(here.late)
    here.later(600)
    assert len(here.late) == claimed
    assert "late_taken" in here.events


def test_a_late_answer_waits_for_a_node_to_come():
    here = world("mnet", plan=Plan(late_us=40_000_000))
    here.ask(here.charge(5_068))
    here.node_down("node1")
    here.later(120)
    assert here.late == []
    here.owner = "node1"
    here.node_up("node1")
    here.later(1)
    assert len(here.late) == 1


def test_an_answer_is_known_after_the_front_that_asked_has_died():
    here = world("unet", plan=Plan(late_us=40_000_000))
    charge = here.charge(5_068)
    here.ask(charge)
    here.cut()
    here.begin()
    here.later(45)
    assert here.late[0][1].key == charge.key


def test_an_approval_for_a_node_that_is_gone_becomes_a_late_answer():
    here = world("vnet", nodes=("node1", "node2"), plan=Plan(late_us=5_000_000))
    here.owner = "node2"
    number = here.ask(here.charge(5_068))
    here.node_down("node1")
    here.later(10)
    assert number not in here.told
    assert [node for node, _ in here.late] == ["node2"]


def test_an_answer_to_a_reversal_that_nobody_waits_for_is_no_late_answer():
    here = world("vnet")
    charge = here.charge()
    here.ask(charge)
    here.cut()  # the front forgets nothing, and the network's answer below comes from another life
    here.begin()
    here.ask(here.about(Kind.CHARGE_REVERSAL, charge, "timeout"))
    here.later(60)
    assert here.late == []


# What stands in a reversal


def test_a_reversal_of_the_unionpay_kind_names_its_reason_and_its_original():
    here = world("unet")
    charge = here.charge()
    here.later(31)
    reversal = here.about(Kind.CHARGE_REVERSAL, charge, "timeout")
    (message,) = sent_by(here, reversal)
    assert message["mti"] == "0420"
    assert message["reserved"]["reason"] == "4354"
    assert message["original"] == {
        "mti": "0200",
        "stan": charge.serial,
        "transmission_time": "1122100000",
        "acquirer": "00091013310",
        "forwarder": "00091013310",
    }
    assert (message["stan"], message["transmission_time"]) == (reversal.own_serial, "1122100031")


@pytest.mark.parametrize(
    ("reason", "code"), [("late", "4353"), ("bad_mac", "4355"), ("refused", "4013"), ("house", "4356")]
)
def test_each_reason_has_the_code_of_the_dialect(reason, code):
    here = world("unet")
    (message,) = sent_by(here, here.about(Kind.CHARGE_REVERSAL, here.charge(), reason))
    assert message["reserved"]["reason"] == code


def test_a_late_approval_of_the_mastercard_kind_is_reversed_with_68():
    here = world("mnet")
    (message,) = sent_by(here, here.about(Kind.CHARGE_REVERSAL, here.charge(), "late"))
    assert (message["mti"], message["response_code"]) == ("0400", "68")


@pytest.mark.parametrize(
    ("name", "first", "again"), [("unet", "0420", "0420"), ("vnet", "0420", "0421"), ("mnet", "0400", "0401")]
)
def test_a_repeated_reversal_keeps_its_serial_and_time(name, first, again):
    here = world(name)
    reversal = here.about(Kind.CHARGE_REVERSAL, here.charge(), "late")
    (one,) = sent_by(here, reversal)
    here.later(90)
    (other,) = sent_by(here, changed(reversal, repeat=True))
    assert (one.pop("mti"), other.pop("mti")) == (first, again)
    one.pop("mac", None), other.pop("mac", None)
    assert one == other


@pytest.mark.parametrize("name", REVERSING)
def test_a_reversal_gives_the_money_back_once_however_often_it_is_said(name):
    here = world(name)
    charge = here.charge()
    here.ask(charge)
    reversal = here.about(Kind.CHARGE_REVERSAL, charge, "late")
    for repeat in (False, True, True):
        assert here.reply(here.ask(changed(reversal, repeat=repeat))).result is Result.APPROVED
    assert here.network.network.left_fen(PHONE) == 1_000_000


@pytest.mark.parametrize("name", REVERSING)
def test_a_reversal_before_its_charge_blocks_it(name):
    here = world(name)
    charge = here.charge()
    told = here.reply(here.ask(here.about(Kind.CHARGE_REVERSAL, charge, "late")))
    assert told.result is Result.NOT_FOUND
    assert here.reply(here.ask(charge)).result is Result.BLOCKED
    assert here.network.network.taken_fen() + here.network.network.held_fen() == 0


@pytest.mark.parametrize("name", NETWORKS)
def test_a_refund_gives_a_charge_back(name):
    here = world(name)
    charge = here.charge()
    here.ask(charge)
    assert here.reply(here.ask(here.about(Kind.CHARGE_REFUND, charge, "refused"))).result is Result.APPROVED
    assert here.network.network.left_fen(PHONE) == 1_000_000


def test_only_an_advice_takes_what_was_put_aside():
    here = world("mnet")
    kept, lapsing = here.charge(), here.charge()
    here.ask(kept)
    here.ask(lapsing)
    assert here.reply(here.ask(here.about(Kind.ADVICE, kept))).result is Result.APPROVED
    here.later(700)
    books = here.network.network
    assert (books.taken_fen(), books.held_fen()) == (5_000, 0)
    assert books.charges[lapsing.key].state is State.LAPSED
    assert books.balanced()


def test_what_a_network_does_not_know_is_not_sent():
    here = world("lnet")
    assert here.status(here.ask(here.about(Kind.CHARGE_REVERSAL, here.charge()))) is Status.NO_ROUTE
    assert here.status(here.ask(here.about(Kind.ADVICE, here.charge()))) is Status.NO_ROUTE


# Whether the line is open


@pytest.mark.parametrize("name", REVERSING)
def test_a_network_that_signs_off_is_sent_nothing_and_the_nodes_know(name):
    here = world(name, nodes=("node1", "node2"))
    assert here.closed == {"node1": False, "node2": False}
    here.manage("sign_off")
    assert here.closed == {"node1": True, "node2": True}
    charge = here.charge()
    assert here.status(here.ask(charge)) is Status.DRAINING
    assert here.status(here.ask(here.about(Kind.CHARGE_REVERSAL, charge))) is Status.DRAINING
    assert here.network.network.charges == {}
    here.manage("sign_on")
    assert here.closed == {"node1": False, "node2": False}
    assert here.reply(here.ask(charge)).result is Result.APPROVED


def test_a_lost_line_closes_and_its_return_opens():
    here = world("lnet")
    here.cut()
    assert here.closed == {"node1": True}
    assert here.status(here.ask(here.charge())) is Status.DRAINING
    here.node_up("node1")  # a node that comes meanwhile is told too
    assert here.closed == {"node1": True}
    here.connect()
    assert here.closed == {"node1": False}


def test_a_draining_front_takes_no_charge_and_still_reverses():
    here = world("vnet")
    charge = here.charge()
    here.ask(charge)
    here.drain()
    assert here.closed == {"node1": True}
    assert here.status(here.ask(here.charge())) is Status.DRAINING
    reversal = here.about(Kind.CHARGE_REVERSAL, charge, "timeout")
    assert here.reply(here.ask(reversal)).result is Result.APPROVED


def test_a_front_is_not_idle_while_an_answer_is_awaited():
    here = world("vnet")
    here.ask(here.charge(5_098))
    assert not here.front.idle
    here.later(30)
    assert here.front.idle


@pytest.mark.parametrize("name", NETWORKS)
def test_a_charge_that_lay_before_a_front_that_stood_still_is_not_sent(name):
    here = world(name)
    charge = here.charge(5_000)
    here.later(here.terms.answer_ms / 1_000 + 5)
    assert here.status(here.ask(charge)) is Status.EXPIRED  # whoever asked has reversed it meanwhile
    assert here.network.network.taken_fen() + here.network.network.held_fen() == 0
