"""Files of a bank through front-ends of their own processes, and what `check` says of such a bank.

`QIANZHI_CRASH` says where a process dies.
"""

import os
import shutil
import signal
import subprocess
import sys

import msgspec
import pytest
from filed import EXAMPLE, FilesPlace
from killable import PATIENCE_SECONDS, Core

from frontends.profile import load_profile
from qianzhi.cli.feeding import with_lines
from qianzhi.cli.health import front_words
from qianzhi.cli.output import CommandError
from qianzhi.cli.ports import refuse_deaf_lines
from qianzhi.domain.requests import Request
from qianzhi.link.events import Requests
from qianzhi.link.site import load_site

QUICK = (("poll_seconds = 1", "poll_seconds = 0.05"), ("in_flight = 200", "in_flight = 10"))


@pytest.fixture
def place_of(tmp_path, reactor_thread):
    """Make the example site; everything of it is gone after the test."""
    places = []

    def make(*edits, **options):
        places.append(FilesPlace(tmp_path, reactor_thread, *QUICK, *edits, **options))
        return places[-1]

    yield make
    for place in places:
        for process in place.processes:
            process.kill()
            process.wait(PATIENCE_SECONDS)
        reactor_thread.run(place.core.link.stop)


@pytest.mark.parametrize("crash", ["front.after_send:3", "front.after_record:4", "files.before_done"])
def test_killed_over_a_file_each_line_is_credited_once_and_answered_once(place_of, crash):
    place = place_of()
    serials = [f"{number:06d}" for number in range(1, 101)]
    process = place.start(crash)
    place.drop("day.txt", [place.line(serial) for serial in serials])
    assert process.wait(PATIENCE_SECONDS) == -signal.SIGKILL
    assert not (place.folder / "done" / "day.txt").exists()
    place.start()
    assert place.results("day.txt") == ["APPROVED"] * 100
    assert sorted(place.core.credits.values()) == [1] * 100
    assert os.listdir(place.folder / "out") == ["day.txt"]
    assert os.listdir(place.folder / "in") == []
    again = place.answers("day.txt")
    place.drop("day.txt", [place.line(serial) for serial in serials])
    assert place.results("day.txt.2") == ["APPROVED"] * 100
    assert sorted(place.core.credits.values()) == [1] * 100
    assert [line.split(b"|")[5] for line in again] == [serial.encode() for serial in serials]


class Deaf(Core):
    """A core that carries everything out, and whose answer on one serial never comes."""

    def on_events(self, items):
        for peer, event in items:
            if isinstance(event, Requests):
                answers = [(self.carry_out(item), item) for item in event.items]
                self.link.send(peer, [answer for answer, item in answers if not self.is_lost(item)])

    def is_lost(self, envelope):
        return msgspec.msgpack.decode(envelope.body, type=Request).serial == "000002"


@pytest.mark.parametrize("silent", [True, False])
def test_an_outcome_that_stays_unknown_has_the_dialects_code_or_a_mark(place_of, silent):
    edits = [("reply_seconds = 10", "reply_seconds = 1")]
    if silent:
        edits += [('on_unknown = "code"', 'on_unknown = "silence"'), ('unknown = "U00001"\n', "")]
    place = place_of(*edits, core=Deaf)
    place.start()
    lines = [place.line(serial) for serial in ("000001", "000002", "000003")]
    place.drop("f", lines)
    assert place.results("f") == ["APPROVED", None if silent else "UNKNOWN", "APPROVED"]
    if silent:
        assert place.answers("f")[1] == b"?UNKNOWN " + lines[1].rstrip()[:80]
    assert sorted(place.core.credits.values()) == [1, 1, 1]


def test_a_killed_instance_s_file_is_taken_up_by_the_other(place_of):
    place = place_of(instances=2)
    first = place.start("front.after_send:3")
    serials = [f"{number:06d}" for number in range(1, 61)]
    place.drop("day.txt", [place.line(serial) for serial in serials])
    assert first.wait(PATIENCE_SECONDS) == -signal.SIGKILL
    place.start(instance=2)
    assert place.results("day.txt") == ["APPROVED"] * 60
    assert sorted(place.core.credits.values()) == [1] * 60


def test_the_status_of_a_front_with_files_is_in_words(place_of):
    place = place_of()
    process = place.start()
    (place.folder / "in" / "half.tmp").write_text("half")
    (place.folder / "in" / "waits").write_text("not settled")
    place.wait_for(place.name, lambda status: status.get("files_waiting") == 1)
    status = place.status(place.name)
    assert status["folder"] == str(place.folder)
    assert status["file"] is None
    words = [word for word in front_words(status) if word]
    assert words[0] == "1 file waiting"
    assert process.poll() is None


# -- the configuration ---------------------------------------------------------------------------------------


def test_the_example_is_right(tmp_path):
    config = tmp_path / "config"
    shutil.copytree(EXAMPLE, config)
    site, problems = load_site(config)
    assert problems == []
    assert load_profile(config, "batch", site)[1] == []


OTHER = '\n[[banks.batch.others]]\nmachine = "{}"\nmetrics_port = 17303\n'


@pytest.mark.parametrize(
    ("file", "old", "new", "key", "expected"),
    [
        ("site", 'folder = "banks/batch" ', "", "banks.batch.folder", "a folder"),
        (
            "site",
            "folder =",
            'listen = "127.0.0.1:1"\nfolder =',
            "banks.batch.listen",
            "nothing, since its files",
        ),
        ("site", "instances = 1", "instances = 2", "banks.batch.instances", "one machine"),
        ("banks/batch", 'kind = "files"', 'kind = "queue"', "files", "unless transport.kind"),
        ("banks/batch", "tries = 3", "tries = 3\nrecord_bytes = 9999", "files.record_bytes", "at most"),
        ("banks/batch", 'kind = "none"', 'kind = "ascii"', "frame.kind", "'none'"),
        ("banks/batch", 'kind = "files"', 'kind = "files"\none_queue = true', "transport.one_queue", "false"),
        ("banks/batch", "sign_on = false", "sign_on = true", "session.sign_on", "false"),
    ],
)
def test_check_refuses(tmp_path, file, old, new, key, expected):
    config = shutil.copytree(EXAMPLE, tmp_path / "config")
    path = config / f"{file}.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    text = text.replace(old, new, 1) + (OTHER.format("far") if "instances" in old else "")
    path.write_text(text, encoding="utf-8")
    site, problems = load_site(config)
    assert problems == []
    _, problems = load_profile(config, "batch", site)
    told = {problem.key: problem.expected for problem in problems}
    assert expected in told[key]


def test_its_interface_document_speaks_of_files_and_marks():
    done = subprocess.run(
        [sys.executable, "-m", "qianzhi.cli.main", "--config", EXAMPLE, "docs", "batch"],
        capture_output=True,
        check=True,
        text=True,
    )
    transport = done.stdout.partition("## 2.")[2].partition("## 4.")[0]
    assert all(word in transport for word in ("`NAME.ok`", "`?UNKNOWN`", "`?CUT`", "`out`"))
    assert not any(word in transport for word in ("queue", "connection", "TCP"))


def test_who_wants_to_dial_it_is_told_of_the_folder():
    site, problems = load_site(EXAMPLE)
    assert problems == []
    assert with_lines(site) == []
    with pytest.raises(CommandError) as told:
        refuse_deaf_lines(site, ["batch"])
    assert "var/banks/batch/in" in told.value.advice


def test_two_instances_on_one_machine_are_right(tmp_path):
    config = shutil.copytree(EXAMPLE, tmp_path / "config")
    path = config / "site.toml"
    text = path.read_text(encoding="utf-8").replace("instances = 1", "instances = 2")
    path.write_text(text + OTHER.format("local"), encoding="utf-8")
    site, problems = load_site(config)
    assert problems == []
    assert load_profile(config, "batch", site)[1] == []
    assert {site.banks["batch"].at(number).folder for number in (1, 2)} == {"banks/batch"}
