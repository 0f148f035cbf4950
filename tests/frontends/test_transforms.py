"""Every way of writing a value: what is read, what is refused, and that both directions agree."""

from datetime import UTC
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frontends.transforms import FieldError, moment_of_second, transform_of
from qianzhi.domain.results import Result

ZONE = ZoneInfo("Asia/Shanghai")
NEW_YEAR = moment_of_second(1_798_732_799, ZONE)  # 2026-12-31 23:59:59 in Shanghai
LEAP = moment_of_second(1_835_409_600, ZONE)  # 2028-02-29 in Shanghai


def read(name, raw, moment=NEW_YEAR):
    return transform_of(name).read(raw, moment)


def write(name, value, old=None, moment=NEW_YEAR):
    return transform_of(name).write(value, moment, old)


@pytest.mark.parametrize(
    ("name", "raw", "value"),
    [
        ("text", "  a b ", "a b"),
        ("digits:6", "000001", "000001"),
        ("word:20", "AB12   ", "AB12"),
        ("fen:12", "000000005000", 5000),
        ("fen:12", "5000", 5000),
        ("yuan:13", "50.00", 5000),
        ("yuan:13", "0.5", 50),
        ("number:6", "202611", 202611),
        ("mmdd:10", "1231235959", 20261231),
        ("mmdd:10", "0101000000", 20270101),
        ("mmdd:4", "1231", 20261231),
        ("date8", "20261231", 20261231),
        ("date6", "261231", 20261231),
        ("date_head:14", "20261231235959", 20261231),
        ("fen_bare:12", "5000", 5000),
        ("fen_bare:12", "000000005000", 5000),
        ("number_bare:6", "7", 7),
        ("flag", "1", True),
        ("zeros_left:11", "00003023310", "3023310"),
        ("spaces_right:15", "0302           ", "0302"),
        ("balance:00,02,156", [{"sign": "D", "amount": "000000000007"}], -7),
    ],
)
def test_reads(name, raw, value):
    assert read(name, raw) == value


@pytest.mark.parametrize(
    ("name", "value", "raw"),
    [
        ("fen:12", 5000, "000000005000"),
        ("yuan:13", 5, "0.05"),
        ("fen_bare:12", 5000, "5000"),
        ("fen_bare:12", 0, "0"),
        ("fen_bare:12", -1, None),
        ("number_bare:6", 7, "7"),
        ("date6", 20261231, "261231"),
        ("date_head:14", 20261231, "20261231000000"),
        ("count:2", ("a", "b"), "02"),
        ("count", ["a"] * 10, "10"),
        ("date_mmdd", 20260229, "0229"),
        ("flag", False, "0"),
        ("zeros_left:11", "3023310", "00003023310"),
        ("spaces_right:6", "0302", "0302  "),
        ("tail:6", "202611220001", "220001"),
        ("head:2", "0210", "02"),
        ("clock:MMDDhhmmss", "now", "1231235959"),
        ("clock:YYYYMMDD", "now", "20261231"),
        ("clock:hhmmss", "now", "235959"),
        ("clock:MMDD", "now", "1231"),
        ("response_mti", "0200", "0210"),
        ("response_mti", "0420", "0430"),
        ("response_mti", "0820", "0830"),
        ("response_mti", "0210", "0210"),
        ("response_mti", "02", "02"),
        (
            "balance:00,02,156",
            -7,
            [
                {
                    "account_type": "00",
                    "amount_type": "02",
                    "currency": "156",
                    "sign": "D",
                    "amount": "0" * 11 + "7",
                }
            ],
        ),
    ],
)
def test_writes(name, value, raw):
    assert write(name, value) == raw


def test_month_and_day_keep_the_time_behind_them():
    assert write("mmdd:10", 20261122, old="1123101112") == "1122101112"
    assert write("mmdd:10", 20261122) == "1122000000"
    assert write("mmdd:10", 20261122, old=b"1123101112") == "1122000000"


def test_29_february_is_read_in_leap_years_only():
    assert read("mmdd:4", "0229", LEAP) == 20280229
    with pytest.raises(FieldError):
        read("mmdd:4", "0229", moment_of_second(1_795_312_800, UTC))  # 2026: no neighbour has the day
    assert read("mmdd:4", "0229", moment_of_second(1_750_000_000, UTC)) == 20240229


@pytest.mark.parametrize(
    ("name", "raw", "result"),
    [
        ("digits:11", "1380000000", Result.FORMAT),
        ("digits:11", "1380000000a", Result.FORMAT),
        ("digits:11", "１３８００００００００", Result.FORMAT),  # full-width digits
        ("digits:11", "+1380000000", Result.FORMAT),
        ("digits:11", None, Result.FORMAT),
        ("digits:11", ["13800000000"], Result.FORMAT),
        ("digits:11", {"number": "13800000000"}, Result.FORMAT),
        ("word:20", "A/B", Result.FORMAT),
        ("word:20", "", Result.FORMAT),
        ("word:3", "ABCD", Result.FORMAT),
        ("word:20", "流水", Result.FORMAT),
        ("fen:12", "12_00", Result.FORMAT),
        ("fen:12", "abc", Result.FORMAT),
        ("fen:12", "-00000000001", Result.BAD_AMOUNT),
        ("fen:12", "+5", Result.BAD_AMOUNT),
        ("fen:12", "1" * 13, Result.BAD_AMOUNT),
        ("fen:12", "50.00", Result.BAD_AMOUNT),
        ("yuan:13", "-50.00", Result.BAD_AMOUNT),
        ("yuan:13", "50.001", Result.BAD_AMOUNT),
        ("fen_bare:12", "-5", Result.BAD_AMOUNT),
        ("fen_bare:12", " 5 0", Result.FORMAT),
        ("fen_bare:4", "50000", Result.BAD_AMOUNT),
        ("number_bare:6", "+7", Result.FORMAT),
        ("date6", "260229", Result.FORMAT),
        ("date6", "20261231", Result.FORMAT),
        ("date_head:14", "20261231", Result.FORMAT),
        ("date_head:14", "20260229235959", Result.FORMAT),
        ("yuan:13", "99999999999.00", Result.BAD_AMOUNT),
        ("yuan:13", "5e3", Result.FORMAT),
        ("yuan:13", "NaN", Result.FORMAT),
        ("yuan:13", "-", Result.FORMAT),
        ("mmdd:10", "1332000000", Result.FORMAT),
        ("mmdd:10", "112210111", Result.FORMAT),
        ("mmdd:10", "0230000000", Result.FORMAT),
        ("date8", "20261301", Result.FORMAT),
        ("date8", "2026112", Result.FORMAT),
        ("date8", "00000000", Result.FORMAT),
        ("flag", "2", Result.FORMAT),
        ("flag", "true", Result.FORMAT),
        ("balance:00,02,156", [], Result.FORMAT),
        ("balance:00,02,156", "000000000007", Result.FORMAT),
    ],
)
def test_refuses_and_never_shows_what_it_found(name, raw, result):
    with pytest.raises(FieldError) as caught:
        read(name, raw)
    assert caught.value.result is result
    if isinstance(raw, str) and len(raw) > 4:
        assert raw not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "fen",
        "fen:",
        "fen:x",
        "fen:0",
        "fen:-1",
        "yen:12",
        "text:3",
        "clock:hh",
        "balance:00,02",
        "flag:1",
        "mmdd:3",
        "date_head:7",
        "date6:6",
        "fen_bare",
    ],
)
def test_unknown_transforms_say_what_is_known(name):
    with pytest.raises(ValueError, match=r"\w"):
        transform_of(name)


def test_a_date_at_the_head_of_a_stamp_keeps_the_rest():
    assert write("date_head:14", 20260101, "20261231235959") == "20260101235959"


@pytest.mark.parametrize(
    ("clock", "text"),
    [("YYMMDD", "261231"), ("YYYYMMDDhhmmss", "20261231235959"), ("YYMMDDhhmmss", "261231235959")],
)
def test_clocks(clock, text):
    assert write(f"clock:{clock}", "now") == text


def test_an_amount_is_never_cut():
    with pytest.raises(ValueError, match="does not fit"):
        write("fen:4", 12345)
    with pytest.raises(ValueError, match="does not fit"):
        write("fen:12", -1)


@settings(deadline=None)
@given(st.integers(min_value=0, max_value=10**12 - 1))
def test_amounts_in_fen_come_back(amount_fen):
    assert read("fen:12", write("fen:12", amount_fen)) == amount_fen
    if amount_fen < 10**11:
        assert read("yuan:13", write("yuan:13", amount_fen)) == amount_fen


@settings(deadline=None)
@given(st.dates().filter(lambda d: d.year > 1), st.text())
def test_no_text_makes_a_reader_raise_anything_else(day, text):
    moment = moment_of_second(1_795_312_800, ZONE)
    assert (
        read("date8", f"{day:%Y%m%d}".rjust(8, "0"), moment) == day.year * 10_000 + day.month * 100 + day.day
    )
    for name in ("text", "digits:3", "word:9", "fen:12", "yuan:13", "number:6", "mmdd:10", "date8", "flag"):
        try:
            read(name, text, moment)
        except FieldError:
            continue
