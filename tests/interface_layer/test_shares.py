"""Shares of a room under any sequence of taking and giving back."""

from hypothesis import given
from hypothesis import strategies as st

from interface_layer.shares import Shares
from qianzhi.link.tables import BankLimits
from qianzhi.runtime.now import Now

NOW = Now(1, 1)
BANKS = ("a", "b", "c")


@given(
    room=st.integers(3, 12),
    steps=st.lists(st.tuples(st.sampled_from(BANKS), st.sampled_from("+++++++++++---^")), max_size=200),
)
def test_nobody_is_denied_its_part_and_the_room_is_never_overfilled(
    room: int, steps: list[tuple[str, str]]
) -> None:
    shares = Shares({bank: BankLimits(in_flight=1_000) for bank in BANKS})
    shares.set_room(room)
    held = dict.fromkeys(BANKS, 0)
    for bank, step in steps:
        share = shares.of(bank)
        if step == "^":
            room += 4
            shares.set_room(room)
            continue
        if step == "-":
            if held[bank]:
                shares.release(share)
                held[bank] -= 1
            continue
        refusal = shares.admit(share, False, NOW)
        part = room // 3
        promised = sum(max(0, part - n) for n in held.values())
        if held[bank] < part:
            assert refusal == "", "denied its own part"
        else:
            assert (refusal == "") == (sum(held.values()) + promised < room), (
                "the rest is for who comes first"
            )
        held[bank] += refusal == ""
        assert share.in_flight == held[bank]
        assert sum(held.values()) <= room
