"""Nothing secret survives masking, wherever it hides; and harmless numbers do."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianzhi.runtime.masking import is_pan, mask_pan, mask_phone, mask_text, mask_value


def check_digit(digits: str) -> str:
    """The digit that makes the sum of ISO/IEC 7812-1 annex B a multiple of ten."""
    total = 0
    for place, digit in enumerate(reversed(digits + "0")):
        value = int(digit) * (2 if place % 2 else 1)
        total += sum(map(int, str(value)))
    return str(-total % 10)


pans = st.text("0123456789", min_size=12, max_size=18).map(lambda digits: digits + check_digit(digits))


@pytest.mark.parametrize(
    "pan", ["4111111111111111", "6011111111111117", "378282246310005", "6222021234567890128", "4222222222222"]
)
def test_published_test_numbers_are_card_numbers(pan: str) -> None:
    assert is_pan(pan) is (pan[-1] == check_digit(pan[:-1]))
    assert is_pan(pan[:-1] + str((int(pan[-1]) + 1) % 10)) is not is_pan(pan)


around = st.text(st.characters(exclude_categories=["Nd"], exclude_characters=" -"), max_size=20)


@given(pans, around, around)
def test_a_card_number_in_any_text_does_not_survive(pan: str, before: str, after: str) -> None:
    text = before + pan + after
    assert pan not in mask_text(text)
    assert len(mask_text(text)) == len(text)


@given(pans, st.text("0123456789", min_size=7, max_size=20), st.text("0123456789", max_size=20))
def test_a_card_number_inside_a_long_run_of_digits_does_not_survive(
    pan: str, before: str, after: str
) -> None:
    assert pan not in mask_text(before + pan + after)


def test_names_of_requests_stay_readable() -> None:
    key = "icbc/20261122/20261122000000123456"
    assert mask_value({"key": key, "order": "Q00000000000000012345678"})["key"] == key
    assert "4111111111111111" not in str(mask_value({"serial": "4111111111111111"}))


@given(pans, st.sampled_from([" ", "-"]), st.integers(1, 5))
def test_a_card_number_in_groups_does_not_survive(pan: str, mark: str, size: int) -> None:
    grouped = mark.join(pan[at : at + size] for at in range(0, len(pan), size))
    assert grouped not in mask_text(f"card {grouped}.")


@given(
    pans,
    st.recursive(
        st.just(None),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
        max_leaves=5,
    ),
)
def test_a_card_number_nested_anywhere_does_not_survive(pan: str, shape: Any) -> None:
    def plant(place: Any) -> Any:
        if isinstance(place, list):
            return [*map(plant, place), pan]
        if isinstance(place, dict):
            return {**{key: plant(item) for key, item in place.items()}, pan: pan, "n": int(pan)}
        return (pan, {pan}, Exception(pan))

    shown = json.dumps(mask_value(plant(shape)), ensure_ascii=False)
    assert pan not in shown
    assert str(int(pan)) not in shown or not is_pan(str(int(pan)))


@given(st.binary(min_size=1, max_size=40))
def test_bytes_are_shown_by_their_size_alone(data: bytes) -> None:
    assert mask_value({"pin": data, "body": data}) == {"pin": "***", "body": f"<{len(data)} bytes>"}


def test_fields_are_masked_by_their_names() -> None:
    fields = {
        "phone": "13800138000",
        "PHONE": 13800138000,
        "pan": "62220212",
        "track2": "x=1",
        "serial": "000123",
    }
    assert mask_value(fields) == {
        "phone": "138****8000",
        "PHONE": "138****8000",
        "pan": "********",
        "track2": "***",
        "serial": "000123",
    }


def test_harmless_values_stay() -> None:
    for value in (0, 5000, -1, 1.5, True, None, "hz_citic/20261122/000001", "17311", 1_700_000_000):
        assert mask_value(value, "value") == value


def test_something_nested_without_end_is_cut() -> None:
    endless: dict[str, Any] = {}
    endless["again"] = endless
    assert "…" in json.dumps(mask_value(endless), ensure_ascii=False)


def test_what_stays_visible() -> None:
    assert mask_pan("6222021234567894") == "622202******7894"
    assert mask_pan("123456789012") == "*" * 12
    assert mask_phone("13800138000") == "138****8000"
    assert mask_phone("1380013") == "*******"
