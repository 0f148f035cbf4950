"""What goes out of a file and what its answer file says, without any file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontends.files_core import (
    CUT,
    TOO_LONG,
    UNKNOWN,
    UNREADABLE,
    Arrivals,
    FileRun,
    LineReader,
    Piece,
    free_name,
    is_data,
    lonely_markers,
)

SECOND = 1_000_000


def run_of(window=10, tries=3, record_bytes=0, line_bytes_max=100):
    return FileRun(1, "f", LineReader(line_bytes_max, record_bytes), window, tries)


def whole(run, data):
    """A run that has read all of a small file."""
    run.receive_data(data)
    run.receive_data(b"")
    return run


# -- lines ---------------------------------------------------------------------------------------------------


@given(st.binary(max_size=200), st.lists(st.integers(1, 60)), st.integers(1, 30))
def test_lines_are_the_same_however_the_file_is_read(data, sizes, line_bytes_max):
    at_once = LineReader(line_bytes_max)
    expected = at_once.receive_data(data) + at_once.end()
    reader, found, at = LineReader(line_bytes_max), [], 0
    for size in [*sizes, len(data) + 1]:
        found += reader.receive_data(data[at : at + size])
        at += size
    found += reader.end()
    assert [(piece.mark, piece.body if not piece.mark else b"") for piece in found] == [
        (piece.mark, piece.body if not piece.mark else b"") for piece in expected
    ]
    assert len(found) == data.count(b"\n") + (not data.endswith(b"\n") and data != b"")


@given(st.lists(st.binary(max_size=50).map(lambda b: b.replace(b"\n", b"").replace(b"\r", b""))))
def test_what_stands_in_whole_lines_is_forwarded_as_it_stands(lines):
    reader = LineReader(50)
    data = b"".join(line + b"\r\n" * (at % 2) + b"\n" * (1 - at % 2) for at, line in enumerate(lines))
    assert reader.receive_data(data) + reader.end() == [Piece(line) for line in lines]


def test_half_a_last_line_is_never_forwarded():
    """Half a line may be half an amount."""
    run = whole(run_of(), b"pay|5000\npay|50")
    assert [body for _, body in run.take(0)] == [b"pay|5000"]


def test_a_huge_line_is_not_kept_and_the_next_one_is_read():
    reader = LineReader(100)
    pieces = []
    for _ in range(1_000):
        pieces += reader.receive_data(b"x" * 10_000)
        assert len(reader._rest) <= 101
    pieces += reader.receive_data(b"\nnext\n")
    assert [(piece.mark, len(piece.body)) for piece in pieces] == [(TOO_LONG, 80), (b"", 4)]


@given(st.binary(max_size=60), st.integers(1, 7), st.lists(st.integers(1, 20)))
def test_records_have_one_length_and_the_rest_is_cut(data, size, sizes):
    reader, found, at = LineReader(100, size), [], 0
    for step in [*sizes, len(data) + 1]:
        found += reader.receive_data(data[at : at + step])
        at += step
    found += reader.end()
    assert b"".join(piece.body for piece in found) == data
    assert all(len(piece.body) == size and not piece.mark for piece in found[: len(data) // size])
    assert [piece.mark for piece in found[len(data) // size :]] == [CUT] * bool(len(data) % size)


# -- answers -------------------------------------------------------------------------------------------------


@given(st.data())
def test_answers_stand_in_the_order_of_the_lines_whatever_their_order(data):
    """Each line has one answer, in its place, and no more than the window is under way or kept."""
    lines = data.draw(st.lists(st.sampled_from([b"good", b"bad", b"silent", b"", b"held", b"x" * 101])))
    window, tries = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 3))
    run = run_of(window, tries)
    file, written, waiting, sent = list(lines), b"", [], {}
    for now in range(10_000):
        if run.finished:
            break
        if run.wants_bytes:
            run.receive_data(b"".join(line + b"\n" for line in file[:3]))
            file = file[3:]
        out = run.take(now)
        waiting += out
        assert run.in_flight == len(waiting) <= window
        for line, _ in out:
            sent[line.number] = sent.get(line.number, 0) + 1
        if waiting:
            line, body = waiting.pop(data.draw(st.integers(0, len(waiting) - 1)))
            if body == b"good":
                run.answer(line, b"answer %d" % line.number)
                run.answer(line, b"a second one")
            elif body == b"bad":
                run.unreadable(line)
            elif body == b"held" and sent[line.number] == 1:
                run.release(line, now + 1)
            else:
                run.silent(line, now)
        written += run.take_written()
    assert run.finished
    expected = {b"": b"", b"bad": UNREADABLE + b"bad", b"x" * 101: TOO_LONG + b"x" * 80}
    expected |= {b"silent": UNKNOWN + b"silent", b"held": UNKNOWN + b"held"}
    answers = [expected.get(line, b"answer %d" % number) for number, line in enumerate(lines, 1)]
    assert written.splitlines() == answers
    times = {b"good": 1, b"bad": 1, b"silent": tries, b"held": tries + 1}
    assert sent == {n: times[line] for n, line in enumerate(lines, 1) if line in times}


def test_an_answer_of_a_former_run_is_not_taken():
    before, after = run_of(), FileRun(2, "f", LineReader(100), 10, 3)
    ((old, _),) = whole(before, b"a\n").take(0)
    whole(after, b"a\n").take(0)
    after.answer(old, b"late")
    assert after.take_written() == b""
    assert after.in_flight == 1


def test_an_answer_with_a_line_feed_does_not_move_the_others():
    run = whole(run_of(), b"a\nb\n")
    (first, _), (second, _) = run.take(0)
    run.answer(first, b"two\nlines")
    run.answer(second, b"fine")
    assert run.take_written() == UNKNOWN + b"a\nfine\n"


def test_marks_are_readable_in_every_charset():
    run = whole(run_of(), "号码".encode("gbk") + b"\x00|1\n")
    ((line, _),) = run.take(0)
    run.unreadable(line)
    assert run.take_written() == UNREADABLE + b".....|1\n"


def test_a_released_line_waits_for_its_time():
    run = whole(run_of(), b"a\n")
    ((line, body),) = run.take(0)
    run.release(line, SECOND)
    assert run.take(SECOND - 1) == []
    assert run.take(SECOND) == [(line, body)]
    assert run.status()["unknown"] == 0


def test_an_empty_file_is_finished_at_once():
    run = run_of()
    run.receive_data(b"")
    assert run.finished
    assert run.take_written() == b""


def test_a_line_says_where_it_stands():
    ((line, _),) = whole(run_of(), b"a\n").take(0)
    assert str(line) == "f:1"


# -- arrivals ------------------------------------------------------------------------------------------------


def test_a_file_is_whole_when_it_has_not_changed_for_long_enough():
    arrivals = Arrivals(10 * SECOND)
    assert arrivals.on_listing({"a": (1, 5)}, 0) == []
    assert arrivals.on_listing({"a": (2, 5)}, 9 * SECOND) == []
    assert arrivals.on_listing({"a": (2, 6)}, 18 * SECOND) == []
    assert arrivals.on_listing({"a": (2, 6)}, 28 * SECOND - 1) == []
    assert arrivals.on_listing({"a": (2, 6)}, 28 * SECOND) == ["a"]


def test_a_marker_says_it_at_once_and_may_be_the_only_way():
    arrivals = Arrivals(0)
    assert arrivals.on_listing({"a": (1, 5), "b": (1, 4), "a.ok": (0, 6)}, 0) == ["a"]
    assert arrivals.on_listing({"b": (1, 4)}, 1_000 * SECOND) == []
    assert arrivals.waiting == 1


def test_the_oldest_goes_first():
    arrivals = Arrivals(1)
    entries = {"b": (1, 5), "c": (1, 4), "a": (1, 5)}
    arrivals.on_listing(entries, 0)
    assert arrivals.on_listing(entries, 1) == ["c", "a", "b"]


def test_a_file_that_went_and_came_again_starts_anew():
    arrivals = Arrivals(10)
    arrivals.on_listing({"a": (1, 5)}, 0)
    arrivals.on_listing({}, 5)
    assert arrivals.on_listing({"a": (1, 5)}, 10) == []


@pytest.mark.parametrize("name", [".hidden", "a.tmp", "a.PART", "a.filepart", "a.ok"])
def test_what_is_being_written_is_no_file_yet(name):
    assert not is_data(name)
    assert Arrivals(1).on_listing({name: (1, 1)}, 5) == []


def test_a_marker_without_its_file_is_lonely():
    assert lonely_markers(["a", "a.ok", "b.ok"]) == ["b.ok"]


def test_a_name_that_is_taken_gets_a_number():
    assert [free_name("a", taken.__contains__) for taken in (set(), {"a"}, {"a", "a.2"})] == [
        "a",
        "a.2",
        "a.3",
    ]
