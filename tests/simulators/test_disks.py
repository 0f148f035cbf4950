"""A disk of its own can be filled under a writer's hands; who stands for the wire runs before others."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulators.servers.disks import Disk
from simulators.servers.processes import put_first

MEGABYTE = 1024 * 1024


class WrittenTo(Disk):
    """A disk of which a megabyte is written just after somebody has looked how much is taken."""

    looked_at_kilobytes: int | None = None

    @property
    def used_kilobytes(self) -> int:
        """How much was taken at the first look, then what is."""
        if self.looked_at_kilobytes is None:
            self.looked_at_kilobytes = super().used_kilobytes
            (self.folder / "written").write_bytes(bytes(MEGABYTE))
            return self.looked_at_kilobytes
        return super().used_kilobytes


@pytest.fixture(autouse=True)
def root() -> None:
    if os.geteuid() != 0:
        pytest.fail("disks and priorities of their own need root: sudo env PATH=$PATH make test")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[WrittenTo]:
    made = WrittenTo(tmp_path / "disk", 8)
    try:
        yield made
    finally:
        made.remove()


def test_a_disk_that_is_written_to_while_it_is_made_full_is_full(disk: WrittenTo) -> None:
    disk.fill()
    with pytest.raises(OSError, match="No space left") as caught:
        (disk.folder / "more").write_bytes(bytes(MEGABYTE))
    assert caught.value.errno == errno.ENOSPC
    assert (disk.folder / "written").stat().st_size == MEGABYTE, "what stood there stands"

    disk.free()
    assert (disk.folder / "more").write_bytes(bytes(MEGABYTE)) == MEGABYTE


def test_who_is_put_first_runs_before_others_and_its_session_too() -> None:
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as process:
        try:
            put_first(process.pid)
            assert os.getpriority(os.PRIO_PROCESS, process.pid) == -10
            group = Path(f"/proc/{process.pid}/autogroup")
            if group.exists():
                assert group.read_text(encoding="ascii").split()[-1] == "-10"
        finally:
            process.kill()


def test_who_has_ended_meanwhile_is_not_put_first_and_nothing_falls_over() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
        put_first(process.pid)
