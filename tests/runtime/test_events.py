"""Event files under torn tails, full disks, midnight and restarts."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from qianzhi.runtime.effects import Event
from qianzhi.runtime.events import EventsError, EventWriter, read_events

NOON_US = int(datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()) * 1_000_000
ROOT = Path(__file__).parent.parent.parent


def rows(*numbers: int, wall_us: int = NOON_US) -> list[Event]:
    return [
        Event(wall_us, "answered", f"bank/20261122/{n}", f"trace{n}", {"n": n, "text": "工单"})
        for n in numbers
    ]


def numbers(found: Iterator[Event]) -> list[int]:
    return [row.data["n"] for row in found]


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path / "events" / "front")
    writer.append(rows(1, 2))
    writer.append([])
    writer.append(rows(3))
    assert list(read_events(tmp_path / "events" / "front")) == rows(1, 2, 3)
    assert [path.name for path in (tmp_path / "events" / "front").iterdir()] == ["20261122-1.evt"]
    writer.close()


def test_rows_of_one_key_or_trace(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path)
    for n in range(30):
        writer.append(rows(n, n + 100))
    assert numbers(read_events(tmp_path, key="bank/20261122/1")) == [1]
    assert numbers(read_events(tmp_path, trace="trace12")) == [12]
    assert numbers(read_events(tmp_path, key="bank/20261122/1", trace="trace2")) == []
    assert list(read_events(tmp_path / "nowhere")) == []
    writer.close()


def test_a_tail_torn_at_any_byte_loses_its_own_block_alone(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path)
    writer.append(rows(1))
    path = tmp_path / "20261122-1.evt"
    whole = path.stat().st_size
    writer.append(rows(2))
    writer.close()
    data = path.read_bytes()
    for size in range(whole, len(data)):
        path.write_bytes(data[:size])
        assert numbers(read_events(tmp_path)) == [1]


@pytest.mark.parametrize("at", [0, 3, 4, 7, 8, 30])
def test_a_damaged_block_ends_its_file_and_not_the_reading(tmp_path: Path, at: int) -> None:
    for n in (1, 2):
        writer = EventWriter(tmp_path)
        writer.append(rows(n))
        writer.close()
    path = tmp_path / "20261122-1.evt"
    data = bytearray(path.read_bytes())
    data[at] ^= 0x55
    path.write_bytes(data)
    assert numbers(read_events(tmp_path)) == [2]


def test_a_new_process_never_continues_a_file_and_order_is_by_number(tmp_path: Path) -> None:
    for n in range(1, 13):
        writer = EventWriter(tmp_path)
        writer.append(rows(n))
        writer.close()
    (tmp_path / "notes.evt").write_bytes(b"\xff" * 100)
    (tmp_path / "20261122-x.evt").write_bytes(b"\xff" * 100)
    assert len(list(tmp_path.glob("20261122-[0-9]*.evt"))) == 12
    assert numbers(read_events(tmp_path)) == list(range(1, 13))


def test_two_writers_on_one_folder_share_no_file(tmp_path: Path) -> None:
    first, second = EventWriter(tmp_path), EventWriter(tmp_path)
    first.append(rows(1))
    second.append(rows(2))
    first.append(rows(3))
    assert numbers(read_events(tmp_path)) == [1, 3, 2]
    first.close()
    second.close()


def test_a_local_day_has_its_own_files(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path, zone=ZoneInfo("Asia/Shanghai"))
    before_midnight = int(datetime(2026, 11, 22, 15, 59, 59, tzinfo=UTC).timestamp()) * 1_000_000
    writer.append(rows(1, wall_us=before_midnight))
    writer.append(rows(2, wall_us=before_midnight + 999_999))
    writer.append(rows(3, wall_us=before_midnight + 1_000_000))
    writer.append(rows(4, wall_us=before_midnight))  # the clock was set back; no new file for that
    assert sorted(path.name for path in tmp_path.iterdir()) == ["20261122-1.evt", "20261123-1.evt"]
    assert numbers(read_events(tmp_path)) == [1, 2, 3, 4]
    writer.close()


def test_a_file_that_has_grown_enough_is_followed_by_the_next(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path, file_bytes_max=200)
    for n in range(10):
        writer.append(rows(n))
    assert len(list(tmp_path.iterdir())) > 2
    assert numbers(read_events(tmp_path)) == list(range(10))
    writer.close()


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from qianzhi.runtime.effects import Event
from qianzhi.runtime.events import EventWriter, EventsError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
writer = EventWriter(Path(sys.argv[1]))
written, failed = [], 0
for n in range(30):
    try:
        writer.append([Event(1_793_000_000_000_000, "answered", "k", "t", {"n": n, "fill": "x" * 50})])
        written.append(n)
    except EventsError as error:
        failed += 1
        if failed == 5:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(written, failed)
"""


def test_a_full_disk_is_a_named_error_and_what_was_said_to_be_written_is_there(tmp_path: Path) -> None:
    """The kernel takes part of the block that reaches the limit, then refuses: both look like a full disk."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    written, failed = done.stdout.rsplit("]", 1)
    assert failed.split() == ["5"]
    assert numbers(read_events(tmp_path)) == [int(n) for n in written.strip("[ ").split(",")]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EventsError, match="events"):
        EventWriter(tmp_path / "file" / "events")
