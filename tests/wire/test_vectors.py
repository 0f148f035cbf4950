"""Messages that others packed: each decodes, and encodes to the same bytes again."""

import pytest

from qianzhi.wire.errors import RemoteProtocolError
from qianzhi.wire.header import decode_header

CUPS_MESSAGES = [1, 2, 3, 4, 5, 6, 7, 8, 10]


def public_message(vectors, number):
    rows = vectors("unionpay_cups_messages.json")["messages"]
    row = next(row for row in rows if row["test"].endswith(f"test{number:02d}"))
    return bytes.fromhex(row["hex"])


@pytest.mark.parametrize("number", CUPS_MESSAGES)
def test_public_cups_messages_round_trip(vectors, bare_cups, number):
    body = public_message(vectors, number)
    message = bare_cups.decode(body)
    assert bare_cups.encode(message) == body


def test_public_chip_data_and_composites_are_opened(vectors, bare_cups):
    message = bare_cups.decode(public_message(vectors, 3))
    assert message["mti"] == "0200"
    assert message["chip"]["9F26"] == bytes.fromhex("C20428A3FF53F0AD")
    assert message["chip"]["95"] == bytes.fromhex("0000180000")
    assert message["reserved"]["terminal_type"] == "01"  # an ATM, as the merchant category says too
    assert message["mcc"] == "6011"
    assert message["network_data"]["SM"]["bytes"] == bytes.fromhex("B243A0CBC3A624D6F3DF920B10FAB4EA")
    assert message["mac"] == b"13B935CC"


def test_public_balances_are_a_list(vectors, bare_cups):
    message = bare_cups.decode(public_message(vectors, 4))
    assert message["balance"] == [
        {"account_type": "30", "amount_type": "01", "currency": "156", "sign": "C", "amount": "000001797100"},
        {"account_type": "30", "amount_type": "02", "currency": "156", "sign": "C", "amount": "000004810938"},
    ]


def test_a_field_of_226_bytes_over_the_tables_100_is_read(vectors, bare_cups):
    message = bare_cups.decode(public_message(vectors, 4))
    assert len(message["issuer_reserved"]) == 226
    assert bare_cups.width("issuer_reserved") == 100


def test_the_public_header_is_read(vectors, cups):
    """The sample is a header alone, so its total promises bytes that are not there."""
    header = public_message(vectors, 9)
    with pytest.raises(RemoteProtocolError) as caught:
        cups.decode(header)
    assert (caught.value.field, caught.value.expected, caught.value.found) == ("header.total", "46", "0407")
    filled = header + public_message(vectors, 8)[:361]
    read = decode_header(filled)
    assert (read["destination"], read["source"]) == ("03050001", "00010000")


def test_public_messages_with_headers_round_trip(vectors, cups):
    for row in vectors("unionpay_upi_keyreset_mac.json")["messages"]:
        body = bytes.fromhex(row["hex"])
        message = cups.decode(body)
        assert cups.encode(message) == body
        assert message["header"]["source"] == "00010344"
        assert message["header"]["version"] == 0x82


def test_our_table_agrees_with_the_public_one(vectors, cups, cups_tree):
    """Lengths and kinds of prefix are those of the public field table, except where the spec says why."""
    rows = vectors("unionpay_cups_fields.yml")["alatka.messages"]["message"]["payload"]
    known = {45}  # 76 there, 79 in other sources: the larger is accepted
    for row in rows:
        number = row["domainNo"]
        if number < 2 or number in known or str(number) not in cups_tree["fields"]:
            continue
        ours = cups_tree["fields"][str(number)]
        prefix = {True: "fixed", False: "L" * row["length"]}[row["fixed"]]
        assert ours.get("prefix", "fixed") == prefix, number
        assert ours["length"] == row.get("maxLength", row["length"]), number
