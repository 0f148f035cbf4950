"""Files of a bank through its front, on a model clock over a real folder; the core is a tiny one."""

import os

import msgspec
import pytest
from filed import Desk, full

from frontends import files_folder
from qianzhi.runtime import metrics


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """Make desks; nothing of them stays open."""
    made = []

    def make(*edits, **options):
        made.append(Desk(tmp_path, monkeypatch, *edits, data=f"data{len(made)}", **options))
        return made[-1]

    yield make
    for each in made:
        each.front.stop()


# -- one file ------------------------------------------------------------------------------------------------


def test_a_dropped_file_is_answered_line_by_line_and_put_away(desk):
    bank = desk()
    bank.drop("one.txt", b"a\nb\r\n\nc\n")
    bank.pass_time()
    assert bank.text("out", "one.txt") == b"A\nB\n\nC\n"
    assert bank.text("done", "one.txt") == b"a\nb\r\n\nc\n"
    assert bank.names("in") == bank.names("work") == bank.names("bad") == []
    assert bank.names("out") == ["one.txt"]


def test_a_file_without_a_marker_is_taken_when_it_has_settled(desk):
    bank = desk()
    bank.drop("one", b"a\n", marker=False)
    bank.pass_time(9)
    assert bank.core.seen == []
    assert bank.status["files_waiting"] == 1
    bank.pass_time(4)
    assert bank.text("out", "one") == b"A\n"


def test_an_empty_file_has_an_empty_answer(desk):
    bank = desk()
    bank.drop("empty", b"")
    bank.pass_time()
    assert bank.text("out", "empty") == b""
    assert bank.names("done") == ["empty"]


def test_lines_that_are_no_messages_are_marked_and_their_neighbours_served(desk):
    """A line that is too long, one in another charset, and one that was cut in the middle of a character."""
    bank = desk()
    bank.drop("odd", b"a\n" + b"x" * 9_000 + b"\n" + "号".encode("gbk") + b"\nb\n" + "号".encode("gbk")[:1])
    bank.pass_time()
    marked = [line.split(b" ")[0] for line in bank.text("out", "odd").splitlines()]
    assert marked == [b"A", b"?TOO_LONG", b"?UNREADABLE", b"B", b"?CUT"]
    assert bank.names("done") == ["odd"]


def test_a_line_that_hears_nothing_goes_out_again_and_is_then_marked(desk):
    bank = desk()
    bank.drop("q", b"a\nquiet\nb\n")
    bank.pass_time()
    assert bank.text("out", "q") == b"A\n?UNKNOWN quiet\nB\n"
    assert bank.core.seen.count(b"quiet") == 3


def test_a_file_of_many_lines_is_read_in_pieces(desk):
    """A hundred thousand lines: never more of them under way than the profile says."""
    bank = desk()
    lines = [b"%06d" % number for number in range(100_000)]
    bank.drop("many", b"\n".join(lines) + b"\n")
    bank.core.at_once = False
    bank.pass_time(1)
    while bank.core.waiting:
        bank.run(bank.core.answers(150))
        bank.reactor.advance(0)
        lines_of = bank.front._lines
        assert lines_of is None or len(lines_of._waiting) + len(lines_of._slots) < 20_000
    bank.pass_time()
    assert bank.text("out", "many").splitlines() == lines
    assert bank.core.most == 200


def test_records_of_one_length(desk):
    bank = desk(("tries = 3", "tries = 3\nrecord_bytes = 4"))
    bank.drop("whole", b"abcdefgh")
    bank.drop("torn", b"abcdefg")
    bank.pass_time()
    assert bank.text("out", "whole") == b"ABCD\nEFGH\n"
    assert bank.text("bad", "torn.why") == b"7 bytes are no whole number of records of 4\n"
    assert bank.names("bad") == ["torn", "torn.why"]
    assert bank.names("out") == ["whole"]
    assert b"abcd" in bank.core.seen
    assert bank.core.seen.count(b"abcd") == 1, "nothing of the torn one was sent"


# -- the folder ----------------------------------------------------------------------------------------------


def test_the_same_name_again_is_another_file(desk):
    bank = desk()
    for data in (b"a\n", b"a\n", b"b\n"):
        bank.drop("day.txt", data)
        bank.pass_time()
    assert bank.names("out") == bank.names("done") == ["day.txt", "day.txt.2", "day.txt.3"]
    assert bank.text("out", "day.txt.3") == b"B\n"


def test_what_is_no_file_or_may_not_be_read_lies_in_bad_with_the_reason(desk, monkeypatch):
    bank = desk()
    (bank.path / "in" / "link").symlink_to("/etc/hostname")
    (bank.path / "in" / "folder").mkdir()
    os.mkfifo(bank.path / "in" / "pipe")
    bank.drop("locked", b"a\n")
    real = os.open

    def refuse(path, *args, **kwargs):
        if str(path).endswith("work/locked"):
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **kwargs)

    monkeypatch.setattr(files_folder.os, "open", refuse)
    before = metrics.value("qianzhi_files_total", ("batch", "bad")) or 0
    bank.pass_time(15)
    names = ["folder", "folder.why", "link", "link.why", "locked", "locked.why", "pipe", "pipe.why"]
    assert bank.names("bad") == names
    assert bank.text("bad", "locked.why") == b"it cannot be opened: Permission denied\n"
    assert metrics.value("qianzhi_files_total", ("batch", "bad")) == before + 4
    assert bank.names("work") == bank.names("in") == bank.names("out") == []
    assert bank.core.seen == []


def test_a_name_in_no_charset_is_served(desk):
    bank = desk()
    name = os.fsdecode("充值".encode("gbk"))
    bank.core.at_once = False
    bank.drop(name, b"a\n")
    bank.pass_time()
    assert msgspec.json.encode(bank.status)
    bank.run(bank.core.answers())
    bank.pass_time()
    assert bank.names("out") == [name]


def test_a_file_that_grows_while_it_is_read_is_gone_through_again(desk):
    bank = desk()
    bank.core.at_once = False
    bank.drop("slow", b"a\nb")
    bank.pass_time(2)
    with open(bank.path / "work" / "slow", "ab") as file:
        file.write(b"ig\nc\n")
    bank.core.at_once = True
    bank.run(bank.core.answers())
    bank.pass_time(2)
    assert bank.names("out") == []
    bank.pass_time(15)
    assert bank.text("out", "slow") == b"A\nBIG\nC\n"
    assert b"b" not in bank.core.seen


def test_two_fronts_never_work_on_one_file(desk):
    one, two = desk(), desk()
    one.core.at_once = two.core.at_once = False
    for number in range(6):
        one.drop(f"f{number}", b"%d\n" % number)
    for _ in range(30):
        for each in (one, two):
            each.pass_time(1)
            each.run(each.core.answers())
    assert sorted(one.core.seen + two.core.seen) == [b"%d" % number for number in range(6)]
    assert one.core.seen
    assert two.core.seen
    assert one.names("out") == [f"f{number}" for number in range(6)]


def test_standing_by_leaves_the_file_under_way_to_the_other(desk):
    one, two = desk(), desk()
    one.core.at_once = False
    lines = b"".join(b"%06d\n" % number for number in range(300))
    one.drop("f", lines)
    one.pass_time()
    two.pass_time()
    assert (len(one.core.waiting), two.core.seen) == (200, [])
    one.front.stand_by(True)
    assert not one.front.idle
    one.run(one.core.answers())
    one.pass_time()
    assert one.front.idle
    two.pass_time()
    assert two.core.seen == lines.split()
    assert two.text("out", "f") == lines
    assert one.names("out") == ["f"]


# -- trouble -------------------------------------------------------------------------------------------------


def test_a_full_disk_stops_the_reading_is_told_and_heals(desk, monkeypatch):
    bank = desk()
    lines = b"".join(b"%06d\n" % number for number in range(1_000))
    with monkeypatch.context() as patch:
        patch.setattr(files_folder.os, "pwrite", full)
        bank.drop("f", lines)
        bank.pass_time(10)
        assert len(bank.core.seen) == 200, "no more is read than answers are kept"
        assert "No space left" in bank.status["files_trouble"]
        assert bank.status["file"]["lines_read"] == 200
        assert bank.names("done") == []
    bank.pass_time(10)
    assert bank.status["files_trouble"] == ""
    assert bank.text("out", "f") == lines
    assert len(bank.core.seen) == 1_000, "what was answered was kept"


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_answers_that_may_not_be_on_disk_are_made_again(desk, monkeypatch, call):
    bank = desk()
    with monkeypatch.context() as patch:
        bank.core.at_once = False
        bank.drop("f", b"a\n")
        bank.pass_time(2)
        patch.setattr(files_folder.os, call, full)
        bank.run(bank.core.answers())
        bank.pass_time(2)
        assert "No space left" in bank.status["files_trouble"]
        assert bank.names("done") == []
    bank.core.at_once = True
    bank.pass_time(15)
    assert bank.text("out", "f") == b"A\n"
    assert bank.core.seen == [b"a", b"a"]
    assert bank.status["files_trouble"] == ""


def test_folders_are_open_to_their_group(desk):
    bank = desk()
    assert {(bank.path / part).stat().st_mode & 0o7777 for part in files_folder.PARTS} == {0o2770}


def test_a_folder_that_is_gone_is_told_and_made_again(desk):
    bank = desk()
    (bank.path / "in").rmdir()
    (bank.path / "in").write_text("a file in its place")
    bank.pass_time()
    assert bank.status["files_trouble"]
    (bank.path / "in").unlink()
    bank.pass_time()
    assert bank.status["files_trouble"] == ""
    bank.drop("f", b"a\n")
    bank.pass_time()
    assert bank.text("out", "f") == b"A\n"


def test_answers_whose_record_cannot_be_written_are_asked_for_again_and_no_line_is_marked(desk):
    bank = desk()
    bank.withheld = True
    bank.drop("f", b"a\n")
    bank.pass_time(20)
    assert bank.names("done") == []
    bank.withheld = False
    bank.pass_time()
    assert bank.text("out", "f") == b"A\n"


def test_with_no_node_up_the_lines_wait_in_the_file(desk):
    bank = desk()
    bank.core.nodes = {"node1": "down", "node2": "draining"}
    bank.drop("f", b"a\n")
    bank.pass_time(20)
    assert bank.core.seen == []
    bank.core.nodes = {"node1": "up", "node2": "draining"}
    bank.pass_time()
    assert bank.text("out", "f") == b"A\n"


def test_a_paused_front_sends_nothing_and_takes_no_file(desk):
    bank = desk()
    bank.front.pause(True)
    bank.drop("f", b"a\n")
    bank.pass_time()
    assert bank.core.seen == []
    assert bank.names("in") == ["f", "f.ok"]
    bank.front.pause(False)
    bank.pass_time()
    assert bank.text("out", "f") == b"A\n"
