"""The numbers of a report: a histogram whose quantiles are right whatever is put in, and shares of a rate."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from simulators.live_table import Rates, final_table, live_table, refusals_table
from simulators.report import Histogram, Report
from simulators.traffic import shared_out


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=300), st.integers(1, 1000))
def test_a_quantile_is_the_sorted_lists_to_within_a_bucket(values: list[int], per_mille: int) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    exact = sorted(values)[max(1, -(-len(values) * per_mille // 1000)) - 1]
    found = histogram.quantile_us(per_mille)
    assert exact <= found <= exact + exact // 64 + 1
    assert len(histogram.counts) <= 64 * 40


@given(st.lists(st.integers(0, 10**9)), st.lists(st.integers(0, 10**9)))
def test_merged_histograms_are_that_of_all_values(ones: list[int], others: list[int]) -> None:
    one, other, both = Histogram(), Histogram(), Histogram()
    for value in ones:
        one.add(value)
        both.add(value)
    for value in others:
        other.add(value)
        both.add(value)
    one.merge(other)
    assert (one.counts, one.n, one.max_us) == (both.counts, both.n, both.max_us)


def test_an_empty_histogram_has_no_latency() -> None:
    assert Histogram().quantile_us(990) == 0


def test_a_rate_is_shared_out_wholly_and_nobody_gets_nothing() -> None:
    assert shared_out(101, 2, 20) == [51, 50]
    assert shared_out(None, 2, 20) == [20, 20]
    assert shared_out(1, 3, 20) == [1, 1, 1]


def test_tables_have_a_row_for_each_bank() -> None:
    report = Report("icbc", sent=5, refused={"NO_SUCH_PHONE": 2})
    rates = Rates()
    assert rates.look("icbc", 5, 1_000_000) == 0
    assert rates.look("icbc", 55, 1_500_000) == 100
    assert live_table([(report, 100, 3)], "now").row_count == 1
    assert list(final_table([report]).columns[3].cells) == ["2"]
    other = Report("hz_citic", refused={"NO_SUCH_PHONE": 1, "BAD_AMOUNT": 4})
    columns = [list(column.cells) for column in refusals_table([report, other]).columns]
    assert columns == [["bad amount", "no such phone"], ["0", "2"], ["4", "1"]]


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("height", [24, 40])
def test_seventeen_banks_fit_a_terminal(width: int, height: int) -> None:
    refused = {"NO_SUCH_PHONE": 99_999, "ORIGINAL_REFUSED": 5}
    reports = [Report(f"unionpay_web{n}", sent=99_999, refused=refused) for n in range(10, 27)]
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(live_table([(report, 1000, 500) for report in reports], "now", width, height))
    lines = console.export_text().splitlines()
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert any(line.split()[:2] == ["all", "17000"] for line in lines)
    assert ("more" in "".join(lines)) == (len(reports) > height - 7)
    console.print(final_table(reports))
    console.print(refusals_table(reports))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= width
    assert "1699983 unionpay_web10 99999, unionpay_web11 99999" in " ".join(text.split())
    assert "…" not in text


@pytest.mark.parametrize("width", [80, 120])
def test_tables_fit_a_terminal_even_after_a_long_run(width: int) -> None:
    refused = {"NO_SUCH_PHONE": 99_999, "ORIGINAL_REFUSED": 5}
    reports = [
        Report(bank, sent=999_999, approved=777_777, refused=refused, reversed=99_999, unanswered=9_999)
        for bank in ("hz_citic", "icbc")
    ]
    for report in reports:
        report.latency.add(9_999_900)
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(live_table([(report, 1000, 500) for report in reports], "now", width))
    console.print(final_table(reports))
    console.print(refusals_table(reports))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)
    assert any(line.split()[:2] == ["all", "2000"] for line in lines)
