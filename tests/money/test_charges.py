"""Rules 11 and 12: what we ask networks for, and what is kept until it is delivered."""

from simulators.network import State
from tests.money.house import TODAY
from tests.money.site import Stage

FIFTY = 5_000


def test_saf_node_dies(stage: Stage) -> None:
    site = stage(network="unet", leased=True)
    house = site.house
    house.charge_that_times_out("order-7", reversals_lost=True)
    site.until(lambda: house.tries("order-7"))
    site.node.kill()
    assert house.at_network("order-7").state is State.TAKEN

    house.fates()
    site.until(lambda: house.entries() == {house.charge_key("order-7").text: "settled"})
    assert house.owner_of_entry("order-7") == site.other_node.name
    assert house.at_network("order-7").state is State.REVERSED
    assert house.network.books.taken_fen() == 0
    site.until(lambda: not site.open_breaks())


def test_saf_not_stored(stage: Stage) -> None:
    site = stage(network="unet")
    house = site.house
    house.charges("order-6")
    site.node.kill()  # before its write has ended: nothing of it is on its way
    site.run(5)
    assert house.charge("order-6") == ""
    assert not house.network.books.charges
    site.node.start()
    site.run(6)

    with site.fault("disk_full"):
        house.charges("order-7")
        site.run(5)
        assert not house.network.books.charges
        assert not house.said
        assert house.charge("order-7") == ""
        assert "saf_store_unusable" in site.alarms
        house.charges("order-8")
        site.run(1)
        assert [one["state"] for one in house.said] == ["refused"]


def test_saf_expires(stage: Stage) -> None:
    site = stage(network="unet")
    house = site.house
    house.charge_that_times_out("order-7", reversals_lost=True)
    site.until(lambda: house.tries("order-7") > 1)
    site.hours_later(27)  # past its deadline, and past the end of its day
    site.until(lambda: "manual" in house.entries().values())

    site.until(lambda: [one.kind for one in site.open_breaks()] == ["manual"])
    (one,) = site.open_breaks()
    assert (one.key, one.suspense_fen) == (house.charge_key("order-7"), FIFTY)
    assert house.day_close("unet-out").result.name == "BREAK_OPEN"
    assert site.closed_through("unet-out") < TODAY


def test_saf_poisoned(stage: Stage) -> None:
    site = stage(network="unet")
    house = site.house
    house.charge_that_times_out("order-1", reversals_odd=True)
    site.until(lambda: list(house.entries().values()) == ["quarantined"])
    for order in ("order-2", "order-3"):
        house.charge_that_times_out(order)

    site.until(lambda: sorted(house.entries().values()) == ["quarantined", "settled", "settled"])
    assert "saf_quarantined" in site.alarms
    assert house.at_network("order-1").state is State.TAKEN
    assert house.at_network("order-3").state is State.REVERSED


def test_saf_signed_off(stage: Stage) -> None:
    site = stage(network="unet")
    house = site.house
    house.charge_that_times_out("order-7", reversals_lost=True)
    site.until(lambda: house.tries("order-7"))
    house.fates()
    with site.fault("signed_off", house.network.name):
        site.run(2)
        waiting = house.entry("order-7")
        site.run(60)
        assert house.entry("order-7") == waiting  # not one try is spent on a closed line
    site.until(lambda: list(house.entries().values()) == ["settled"])
    assert house.at_network("order-7").state is State.REVERSED


def test_saf_repeat_marked(stage: Stage) -> None:
    site = stage(network="lnet")
    house = site.house
    house.cardholder = house.closed_phone
    house.charges("order-7")
    site.until(lambda: house.charge("order-7") and house.at_network("order-7"))
    house.fates(silent=1_000)
    site.until(lambda: house.at_network("order-7").state is State.REFUNDED)
    assert list(house.entries().values()) == ["open"]
    assert house.network.books.repeats == 0

    house.fates()
    site.until(lambda: list(house.entries().values()) == ["settled"])
    assert house.network.books.repeats >= 1
    assert house.network.books.balanced()
    assert house.network.books.taken_fen() == 0


def test_charge_timed_out(stage: Stage) -> None:
    site = stage(network="unet")
    house = site.house
    house.fates(silent=1_000)
    house.charges("order-7")
    site.until(lambda: house.charge("order-7") and house.at_network("order-7"))
    site.until(lambda: house.charge("order-7") == "reversing")
    assert site.state(house.charge_key("order-7")) == "BLOCKED"  # before anything is taken back
    assert house.at_network("order-7").state is State.TAKEN

    house.fates()
    site.until(lambda: list(house.entries().values()) == ["settled"])
    assert house.at_network("order-7").state is State.REVERSED
    assert site.balance(house.cardholder) == house.opening_fen


def test_charge_late_approval(stage: Stage) -> None:
    site = stage(network="mnet")
    house = site.house
    house.fates(late=1_000, late_us=40_000_000)
    house.charges("order-7")
    site.until(lambda: house.charge("order-7") == "waiting")
    assert site.state(house.charge_key("order-7")) == "BLOCKED"
    assert not house.entries()

    house.fates()
    site.until(lambda: list(house.entries().values()) == ["settled"])
    assert house.reason("order-7") == "late"
    assert house.network.books.taken_fen() == house.network.books.held_fen() == 0
    assert site.balance(house.cardholder) == house.opening_fen


def test_charge_without_reversal(stage: Stage) -> None:
    site = stage(network="lnet")
    house = site.house
    house.fates(silent=1_000)
    house.charges("order-7")
    site.until(lambda: house.charge("order-7") == "unreversed")
    site.until(site.open_breaks)

    assert site.state(house.charge_key("order-7")) == "BLOCKED"
    assert [(one.key, one.kind) for one in site.open_breaks()] == [
        (house.charge_key("order-7"), "unreversed")
    ]
    assert not house.entries()
    assert site.balance(house.cardholder) == house.opening_fen


def test_charge_answer_after_death(stage: Stage) -> None:
    site = stage(network="unet")
    house = site.house
    house.charges("order-7")
    site.until(lambda: house.network.books.taken_fen())
    site.node.kill()
    site.run(2)
    assert house.charge("order-7") == "intent"

    site.node.start()
    site.until(lambda: list(house.entries().values()) == ["settled"])
    assert house.at_network("order-7").state is State.REVERSED
    assert len(house.network.books.charges) == 1  # and no second charge under another serial
    assert site.state(house.charge_key("order-7")) == "BLOCKED"
    assert site.balance(house.cardholder) == house.opening_fen


def test_charge_credit_refused(stage: Stage) -> None:
    site = stage(network="unet")
    house = site.house
    house.cardholder = house.closed_phone
    house.charges("order-7")
    site.until(lambda: house.charge("order-7") == "refunding")
    site.until(lambda: list(house.entries().values()) == ["settled"])

    assert site.state(house.charge_key("order-7")) == "REFUSED"
    assert house.at_network("order-7").state is State.REFUNDED
    assert house.network.books.taken_fen() == 0
    site.until(lambda: not site.open_breaks())
