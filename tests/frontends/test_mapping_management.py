"""Messages about the line: the bank's are known and answered, ours are matched by their answers."""

from pathlib import Path

import pytest

from frontends.mapping import Sort
from frontends.profile import load_profile
from qianzhi.domain.results import Result
from qianzhi.runtime.now import Now

CONFIG = Path(__file__).parents[2] / "config"
NOW = Now(5_000_000, 1_795_312_800_250_000)  # 2026-11-22 10:00:00 in Shanghai


@pytest.fixture(scope="module")
def bank():
    profile, problems = load_profile(CONFIG, "hz_citic")
    assert problems == []
    return profile


def travel(bank, message):
    """The message as the other side decodes it."""
    return bank.codec.decode(bank.codec.encode(message))


@pytest.mark.parametrize("name", ["sign_on", "sign_off", "echo", "key_request"])
def test_the_banks_management_messages_are_known_and_answered(bank, name):
    message = travel(bank, bank.mapping.management_message(name, "000321", NOW, ours=False))
    assert bank.mapping.sort_of(message) is Sort.MANAGEMENT
    assert bank.mapping.management_of(message) == name
    assert not bank.mac_required(message)
    answer = travel(bank, bank.mapping.refusal_message(message, Result.APPROVED, NOW))
    assert (answer["mti"], answer["response_code"], answer["stan"]) == ("0830", "00", "000321")
    assert answer["network_code"] == message["network_code"]
    assert bank.mapping.match_key(answer) == bank.mapping.match_key(message)
    assert set(bank.table.management[name].need) <= set(message)


@pytest.mark.parametrize("name", ["echo", "key_delivery"])
def test_our_own_management_messages_are_matched_by_their_answers(bank, name):
    message = travel(bank, bank.mapping.management_message(name, "000321", NOW, extra={"key_data": bytes(8)}))
    assert message["receiver"] == message["header"]["destination"] == "03023310"
    assert message["key_data"] == bytes(8)
    assert bank.mapping.management_of(message) == name
    answer = travel(bank, bank.mapping.refusal_message(message, Result.APPROVED, NOW))
    assert bank.mapping.sort_of(answer) is Sort.ANSWER
    assert bank.mapping.match_key(answer) == bank.mapping.match_key(message)
    assert bank.mapping.reply_of(answer).result is Result.APPROVED
