"""The banks' arithmetic against published and worked values."""

import pytest

from simulators.des import check_value, mac_of, pick_text, unwrap, x99, x919

MASTER = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
PURCHASE = (
    b"0200 166225561620345170 000000 000000001000 1121101530 000123 4814 00 0899992900 0899992900 "
    b"12345678 123456789012345"
)


def test_worked_macs_of_a_purchase() -> None:
    assert x99(bytes.fromhex("0123456789ABCDEF"), PURCHASE).hex().upper() == "5D8217E976CB3A73"
    assert x919(MASTER, PURCHASE).hex().upper() == "5ED587E18237734E"
    assert mac_of(MASTER, PURCHASE) == x919(MASTER, PURCHASE)


def test_a_published_key_delivery_unwraps_to_its_check_value_and_mac() -> None:
    master = bytes.fromhex("1023457689BADCEF0132546798ABCDFE")
    key = unwrap(master, bytes.fromhex("4393590FF157B782DDBE18332531120C"))
    assert key.hex().upper() == "BF94BF2304D59E9E1C45640131320BE6"
    assert check_value(key).hex().upper() == "70AF4B76"
    single = unwrap(master, bytes.fromhex("0FE5B03EC604CB6B"))
    data = b"0800 0517160726 000535 2000000000000000 101 0844190440"
    assert mac_of(single, data).hex().upper() == "FFAB6DBF1136E560"
    assert check_value(single).hex().upper() == "8945EAB7"


@pytest.mark.parametrize(
    ("raw", "picked"),
    [("  ab-c  D  ", "ABC D"), ("12,5.0/x", "12,5.0X"), ("移动", ""), ("\t a", "A")],
)
def test_text_selection(raw: str, picked: str) -> None:
    assert pick_text(raw) == picked
