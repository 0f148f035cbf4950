"""The day-end file: whoever imports it books each entry once, however often and in which order files come."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from rows_made import entry

from qianzhi.saf.exported import ExportError, Head, bring_in, export, read_export
from qianzhi.saf.rows import State

HEAD = Head("carrier", "node1", "unet", 20231115)


def manual(name: str, amount_fen: int = 5_000) -> bytes | object:
    made = entry(name, state=State.MANUAL, why="its time is over")
    return replace(made, request=replace(made.request, amount_fen=amount_fen))


def test_a_file_is_read_as_it_was_written() -> None:
    data = export(HEAD, [manual("b", 7), manual("a", 5)])
    read = read_export(data)
    assert (read.head, [line.id for line in read.lines], read.amount_fen) == (HEAD, ["a", "b"], 12)
    first = json.loads(data.splitlines()[1])
    assert (first["kind"], first["key"], first["why"]) == (
        "charge_reversal",
        "unet-out/20231115/a",
        "its time is over",
    )
    assert read_export(export(HEAD, [])).lines == []


def test_the_same_entries_give_the_same_bytes() -> None:
    assert export(HEAD, [manual("a"), manual("b")]) == export(HEAD, [manual("b"), manual("a")])


@given(st.lists(st.sets(st.integers(0, 20), max_size=8), min_size=1, max_size=8))
def test_files_that_overlap_are_imported_in_any_order_and_each_entry_is_booked_once(
    files: list[set[int]],
) -> None:
    booked: list[str] = []
    for names in files + files[::-1]:
        read = read_export(export(HEAD, [manual(f"e{name}") for name in names]))
        booked += [line.id for line in bring_in(read, set(booked))]
    assert len(booked) == len(set(booked))
    assert set(booked) == {f"e{name}" for names in files for name in names}


def test_a_file_that_names_an_entry_twice_books_it_once() -> None:
    lines = read_export(export(HEAD, [manual("a"), manual("a")]))
    assert [line.id for line in bring_in(lines, ())] == ["a"]


@given(st.data())
def test_of_a_file_that_was_changed_or_cut_nothing_is_imported(data: st.DataObject) -> None:
    whole = export(HEAD, [manual("a", 7), manual("b", 5)])
    at = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(ExportError):
        read_export(whole[:at])
    spoilt = bytearray(whole)
    spoilt[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ExportError):
        read_export(bytes(spoilt))


def test_what_is_no_such_file_is_refused_in_words() -> None:
    for data, word in (
        (b"", "cut off"),
        (b"{}\n{}\n", "cannot be read"),
        (b"\xff\n\xff\n", "cannot be read"),
    ):
        with pytest.raises(ExportError, match=word):
            read_export(data)
    first, *rest = export(HEAD, [manual("a")]).splitlines(keepends=True)
    for lines, word in (
        ([*rest[:1], *rest], "no header"),
        ([first, rest[0], rest[0], rest[1]], "totals"),
        ([first.replace(b"-1", b"-9"), *rest], "no header"),
        ([first, rest[0]], "no trailer"),
    ):
        with pytest.raises(ExportError, match=word):
            read_export(b"".join(lines))
