"""The MAC tables of the shipped profiles, held to worked values that are not ours and to the real keys."""

from pathlib import Path

import pytest

from frontends.profile import load_profile, resolve_keys
from qianzhi.domain.requests import Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.runtime.now import Now
from qianzhi.wire.codec import put_path
from qianzhi.wire.errors import MacError
from qianzhi.wire.mac import fields_of, mac_input, make_mac, verify_mac
from qianzhi.wire.mackey import MacKey

CONFIG = Path(__file__).parents[2] / "config"
NOW = Now(0, 1_795_312_800_000_000)
DOUBLE = MacKey(bytes.fromhex("0123456789ABCDEFFEDCBA9876543210"))
HEADER = {"destination": "00010000", "source": "99992900"}
PURCHASE = {
    "header": HEADER,
    "mti": "0200",
    "pan": "6225561620345170",
    "processing_code": "000000",
    "amount": "000000001000",
    "transmission_time": "1121101530",
    "stan": "000123",
    "mcc": "4814",
    "condition": "00",
    "acquirer": "99992900",
    "forwarder": "99992900",
    "terminal": "12345678",
    "merchant": "123456789012345",
}
ORIGINAL = {
    "mti": "0200",
    "stan": "000123",
    "transmission_time": "1121101530",
    "acquirer": "00099992900",
    "forwarder": "00099992900",
}
REVERSAL = PURCHASE | {
    "mti": "0420",
    "transmission_time": "1121101600",
    "stan": "000124",
    "original": ORIGINAL,
}


def citic():
    profile, problems = load_profile(CONFIG, "hz_citic")
    assert problems == []
    return profile


@pytest.mark.parametrize(
    ("message", "text", "mac"),
    [
        (
            PURCHASE,
            b"0200 166225561620345170 000000 000000001000 1121101530 000123 4814 00 0899992900 0899992900"
            b" 12345678 123456789012345",
            b"5ED587E1",
        ),
        (
            REVERSAL,
            b"0420 166225561620345170 000000 000000001000 1121101600 000124 4814 00 0899992900 0899992900"
            b" 12345678 123456789012345 02000001231121101530",
            b"D53ED590",
        ),
    ],
)
def test_the_cups_table_makes_the_worked_macs(message, text, mac):
    bank = citic()
    message = bank.codec.decode(bank.codec.encode(message))
    assert mac_input(bank.mac, message, bank.codec) == text
    make_mac(bank.mac, message, bank.codec, DOUBLE)
    assert message["mac"] == mac


def test_the_cups_table_covers_a_key_delivery_as_worked():
    bank = citic()
    message = bank.mapping.management_message("key_delivery", "000001", NOW)
    message |= {"transmission_time": "1121101500", "receiver": "99992900", "security": "16" + "0" * 14}
    expected = b"0800 1121101500 000001 1600000000000000 101 0899992900"
    assert mac_input(bank.mac, message, bank.codec) == expected
    assert fields_of(bank.mac, bank.mapping.management_message("echo", "000001", NOW)) == []


@pytest.mark.parametrize("name", ["hz_citic", "icbc"])
def test_a_signed_request_and_its_answer_are_proved_and_any_change_is_found(name):
    bank, _ = load_profile(CONFIG, name)
    key = MacKey(resolve_keys(bank, CONFIG, production=False).get("mac", bytes(range(16))))
    request = Request(
        Kind.RECHARGE,
        name,
        20261122,
        "000007",
        name,
        bank.numbers[0],
        "13800000000",
        5000,
        received_us=NOW.wall_us,
    )
    message = bank.mapping.request_message(request, NOW)
    make_mac(bank.mac, message, bank.codec, key)
    message = bank.codec.decode(bank.codec.encode(message))
    assert verify_mac(bank.mac, message, bank.codec, [key]) is key
    assert bank.mapping.request_of(message, NOW) == request
    answer = bank.mapping.reply_message(message, request, Reply(Result.APPROVED, order="1" * 12), NOW)
    make_mac(bank.mac, answer, bank.codec, key)
    answer = bank.codec.decode(bank.codec.encode(answer))
    assert verify_mac(bank.mac, answer, bank.codec, [key]) is key
    put_path(message, {"hz_citic": "amount", "icbc": "Body.Amount"}[name], "900000000000")
    put_path(answer, bank.table.reply.result, {"hz_citic": "01", "icbc": "0001"}[name])
    for changed in (message, answer):
        with pytest.raises(MacError):
            verify_mac(bank.mac, changed, bank.codec, [key])
