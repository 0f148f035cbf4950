"""Charges and entries that break a rule, and networks whose books are not ours, are found out."""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from qianzhi.domain.requests import Kind, Request
from qianzhi.domain.results import Result
from qianzhi.saf.rows import Charge, ChargeState, Entry, State
from simulators.network import Charge as Booked
from simulators.network import State as NetworkState
from simulators.world.checks_bench import AMOUNT_FEN, KEY, NOW, PHONE, Bench, asking
from simulators.world.checks_charges import Charges
from simulators.world.checks_end import compare
from simulators.world.checks_open import opens_of
from simulators.world.checks_order import Order
from simulators.world.checks_serials import Serials
from simulators.world.observe import Violation

CHARGE = Charge(
    order="o1",
    bank="unet",
    bank_number="0101",
    space=KEY.space,
    date=KEY.date,
    serial=KEY.serial,
    phone=PHONE,
    amount_fen=AMOUNT_FEN,
    policy="on_timeout",
    reverses=True,
    refunds=True,
    late_seconds=60,
    made_us=1,
    until_us=2,
)


def entry(name: str, number: int, **more: Any) -> Entry:
    request = Request(Kind.CHARGE_REVERSAL, *KEY, bank="unet", bank_number="0101", phone=PHONE)
    given: dict[str, Any] = {"destination": "unet", "account": PHONE, "request": request, "made_us": 1}
    return Entry(id=name, number=number, **(given | more))


def network(state: NetworkState) -> Any:
    booked = Booked(PHONE, AMOUNT_FEN, state, "n1", Result.APPROVED, 1)
    return SimpleNamespace(name="net-unet", books=SimpleNamespace(charges={KEY: booked}))


@pytest.fixture
def charges() -> Charges:
    return Charges(Serials(), Order())


def agree(charges: Charges, networks: list[Any], bench: Bench) -> None:
    opens = opens_of(bench.memory, charges.entries.values())
    charges.compare(networks, bench.memory, opens)
    compare(charges.parties(networks), bench.memory, bench.find, opens)


def in_state(state: ChargeState, **more: Any) -> Charge:
    return msgspec.structs.replace(CHARGE, state=state, **more)


def test_a_charge_that_is_credited_once_agrees_with_everybody(charges: Charges) -> None:
    bench = Bench()
    bench.ask()
    charges.kept([CHARGE, in_state(ChargeState.CREDITING), in_state(ChargeState.CREDITED)])
    networks = [network(NetworkState.TAKEN)]
    agree(charges, networks, bench)


def test_a_charge_that_was_taken_and_never_credited_is_named(charges: Charges) -> None:
    bench = Bench()
    charges.kept([in_state(ChargeState.DECLINED)])
    with pytest.raises(Violation, match=r"I12 .*has taken 1000 fen, 0 are credited") as found:
        agree(charges, [network(NetworkState.TAKEN)], bench)
    assert found.value.views["node"] == "declined"


def test_a_credit_of_a_charge_that_was_reversed_is_named(charges: Charges) -> None:
    bench = Bench()
    bench.ask()
    charges.kept([in_state(ChargeState.CREDITED)])
    with pytest.raises(Violation, match=r"I3 .*has taken 0 fen, 1000 are credited"):
        agree(charges, [network(NetworkState.REVERSED)], bench)


@pytest.mark.parametrize(
    "state", [ChargeState.UNREVERSED, ChargeState.LAPSED, ChargeState.WAITING, ChargeState.REVERSING]
)
def test_no_end_of_a_charge_explains_what_its_network_has_taken(charges: Charges, state: ChargeState) -> None:
    bench = Bench()
    charges.kept([in_state(state)])
    with pytest.raises(Violation, match=r"I12 .*has taken 1000 fen, 0 are credited") as found:
        agree(charges, [network(NetworkState.TAKEN)], bench)
    assert found.value.views["open"] == "nothing"
    agree(charges, [network(NetworkState.HELD)], bench)  # it lapses by itself


@pytest.mark.parametrize("amount_fen", [AMOUNT_FEN, AMOUNT_FEN - 1])
def test_an_open_break_or_entry_explains_its_own_amount_and_no_other(
    charges: Charges, amount_fen: int
) -> None:
    broken = Bench()
    asked = asking(Kind.BREAK, amount_fen=amount_fen)
    broken.ask(msgspec.structs.replace(asked, reason="unreversed", stamp_us=1))
    aside = entry("e1", 1, state=State.QUARANTINED)
    request = msgspec.structs.replace(aside.request, amount_fen=amount_fen)
    kept = Charges(Serials(), Order())
    kept.kept([msgspec.structs.replace(aside, request=request)])
    for of, bench in ((charges, broken), (kept, Bench())):
        of.kept([in_state(ChargeState.REVERSING)])
        if amount_fen == AMOUNT_FEN:
            agree(of, [network(NetworkState.TAKEN)], bench)
        else:
            with pytest.raises(Violation, match="I12"):
                agree(of, [network(NetworkState.TAKEN)], bench)


def test_an_ended_charge_that_changes_and_an_entry_that_begins_anew_are_named(charges: Charges) -> None:
    charges.kept([in_state(ChargeState.CREDITED), entry("e1", 1, state=State.SETTLED)])
    with pytest.raises(Violation, match=r"I5 .*credited is reversing"):
        charges.kept([in_state(ChargeState.REVERSING)])
    with pytest.raises(Violation, match=r"I5 .*entry e1 was settled and is open"):
        charges.kept([entry("e1", 1)])


def test_a_serial_that_two_charges_use_is_named(charges: Charges) -> None:
    charges.kept([CHARGE, in_state(ChargeState.DECLINED)])
    with pytest.raises(Violation, match=f"I13 {KEY.text}"):
        charges.kept([msgspec.structs.replace(CHARGE, order="o2")])


def test_an_entrys_own_serial_that_a_charge_or_another_entry_has_used_is_named(charges: Charges) -> None:
    def own(name: str, serial: str) -> Entry:
        bare = entry(name, 1)
        request = msgspec.structs.replace(bare.request, own_serial=serial, received_us=NOW.wall_us)
        return msgspec.structs.replace(bare, request=request)

    charges.kept([CHARGE, own("e1", "000002"), own("e1", "000002")])
    with pytest.raises(Violation, match="I13 bank/20260701/000002"):
        charges.kept([own("e2", "000002")])
    with pytest.raises(Violation, match=f"I13 {KEY.text}"):
        charges.kept([own("e3", KEY.serial)])


def test_an_entry_that_overtakes_an_older_one_of_its_account_is_named(charges: Charges) -> None:
    charges.kept([entry("e1", 1), entry("e2", 2), entry("x", 3, account="other")])
    charges.kept([entry("x", 3, account="other", tries=1)])
    with pytest.raises(Violation, match="I14 e2: sent on unet before e1"):
        charges.kept([entry("e2", 2, tries=1)])
    charges.kept([entry("e1", 1, tries=1), entry("e1", 1, tries=1, state=State.QUARANTINED)])
    charges.kept([entry("e2", 2, tries=2)])
    charges.kept([entry("e1", 1, tries=2)])  # an operator had it tried again: it keeps no order any more


def test_two_nodes_keep_an_order_each_and_what_is_taken_over_keeps_none(charges: Charges) -> None:
    charges.kept([entry("e1", 1), entry("e3", 3)], "node-1")
    charges.kept([entry("e2", 2), entry("e2", 2, tries=1)], "node-2")
    charges.kept([entry("e1", 1, tries=1)], "node-2")  # a dead node's
    charges.kept([entry("e3", 3, tries=1)], "node-1")


def test_what_is_left_at_the_end_is_named(charges: Charges) -> None:
    bench = Bench()
    charges.kept([entry("e1", 1)])
    with pytest.raises(Violation, match=r"I8 .*entry e1 still waits to be sent"):
        agree(charges, [], bench)
    charges.kept([entry("e1", 1, state=State.MANUAL)])
    with pytest.raises(Violation, match=r"rule 11 .*no break holds its day open"):
        agree(charges, [], bench)
    bench.ask(msgspec.structs.replace(asking(Kind.BREAK), reason="manual", stamp_us=1))
    agree(charges, [], bench)
    charges.kept([CHARGE])
    with pytest.raises(Violation, match=r"I7 .*a charge is intent"):
        agree(charges, [], bench)
