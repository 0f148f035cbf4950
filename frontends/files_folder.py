"""A bank's folder on disk: what arrives, who works on it, where it goes in the end.

    in/NAME ──claimed──▶ work/NAME ──answered──▶ out/NAME, then done/NAME
       └──────────────────────┴──not to be read──▶ bad/NAME with bad/NAME.why

A name is chosen when a file is claimed, and kept: NAME.2 where work/, out/ or done/ have NAME already.  So a
file that is worked on again after a crash replaces its own answer and no other's.  Whoever works on a file
holds its lock, which ends with the process; a file in work/ without a lock is anybody's to begin again.
"""

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

from frontends.files_core import MARKER, free_name, lonely_markers
from qianzhi.runtime.crash import crashpoint

PARTS = ("in", "work", "out", "done", "bad")
MODE = 0o660
FOLDER_MODE = 0o2770  # what is made in it belongs to its group, which the file server's user shares
NAME_BYTES_MAX = 200
SYNC_BYTES = 1 << 20


class BadFileError(Exception):
    """A file that cannot be worked on, for a fault of its own; the text goes into its .why file."""


class LostAnswersError(Exception):
    """What was written of an answer file may not be on disk: the file is to be begun again."""


class Look(NamedTuple):
    """What tells that a file has changed."""

    size: int
    changed_ns: int


class Folder:
    """The folder of one bank; several processes may have it.  All methods raise OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._incoming, self._work, self._out, self._done, self._bad = (path / part for part in PARTS)

    def prepare(self) -> None:
        """Make what is missing, and take away markers that a crash has left."""
        for part in PARTS:
            folder = self.path / part
            if not folder.is_dir():
                folder.mkdir(parents=True)
                folder.chmod(FOLDER_MODE)
        for name in lonely_markers(os.listdir(self._incoming)):
            (self._incoming / name).unlink(missing_ok=True)

    def listing(self) -> dict[str, tuple[int, int]]:
        """Return the names of in/ with size and time of change."""
        found = {}
        with os.scandir(self._incoming) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    look = entry.stat(follow_symlinks=False)
                    found[entry.name] = (look.st_size, look.st_mtime_ns)
        return found

    def left_over(self) -> list[str]:
        """Return what lies in work/, in some order that stays the same."""
        return sorted(name for name in os.listdir(self._work) if not name.startswith("."))

    def claim(self, name: str) -> "WorkFile | None":
        """Take a file from in/ and open it; None when another process was faster.

        Raises BadFileError when it cannot be worked on; it lies in bad/ then.
        """
        with self._lock() as mine:
            if not mine or not os.path.lexists(self._incoming / name):
                return None
            if len(os.fsencode(name)) > NAME_BYTES_MAX:
                self._refuse(self._incoming / name, f"a name of more than {NAME_BYTES_MAX} bytes")
            chosen = free_name(name, self._is_taken)
            os.rename(self._incoming / name, self._work / chosen)
            (self._incoming / (name + MARKER)).unlink(missing_ok=True)
        return self.take_up(chosen)

    def take_up(self, name: str) -> "WorkFile | None":
        """Open a file of work/; None when another process works on it.  Raises BadFileError as `claim`."""
        path = self._work / name
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._refuse(path, f"it cannot be opened: {error.strerror}")
        look = os.fstat(fd)
        if not stat.S_ISREG(look.st_mode):
            os.close(fd)
            self._refuse(path, "it is no regular file")
        if not _locked(fd) or not _is_still(path, look):
            os.close(fd)
            return None
        try:
            return WorkFile(self, name, fd)
        except OSError:
            os.close(fd)
            raise

    def put_aside(self, name: str, why: str) -> NoReturn:
        """Move a file from work/ to bad/; raises BadFileError."""
        self._refuse(self._work / name, why)

    def part(self, name: str) -> Path:
        """Return where an answer file is written, out of the bank's sight."""
        return self._out / f".{name}.part"

    def publish(self, name: str) -> None:
        """Show the answers, whose bytes are on disk, and then put the original away."""
        os.rename(self.part(name), self._out / name)
        _sync(self._out)
        crashpoint("files.before_done")
        os.rename(self._work / name, self._done / name)
        _sync(self._done)
        _sync(self._work)

    def _is_taken(self, name: str) -> bool:
        return any(os.path.lexists(part / name) for part in (self._work, self._out, self._done))

    def _refuse(self, path: Path, why: str) -> NoReturn:
        kept = os.fsdecode(os.fsencode(path.name)[:NAME_BYTES_MAX])
        chosen = free_name(kept, lambda name: os.path.lexists(self._bad / name))
        (self._bad / f"{chosen}.why").write_text(f"{why}\n", encoding="utf-8")
        os.rename(path, self._bad / chosen)
        (self._incoming / (path.name + MARKER)).unlink(missing_ok=True)
        raise BadFileError(why)

    @contextlib.contextmanager
    def _lock(self) -> Iterator[bool]:
        """Be the only one that chooses names; False when somebody else is."""
        fd = os.open(self._work / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE)
        try:
            yield _locked(fd)
        finally:
            os.close(fd)


class WorkFile:
    """A file that this process works on, and its answers so far."""

    def __init__(self, folder: Folder, name: str, fd: int) -> None:
        self.name = name
        self._folder = folder
        self._fd = fd
        self._began = self._look()
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        self._answers = os.open(folder.part(name), flags, MODE)
        self._written = self._synced = 0

    @property
    def size(self) -> int:
        """Its bytes when it was opened."""
        return self._began.size

    @property
    def changed(self) -> bool:
        """Whether somebody has written to it since it was opened."""
        return self._look() != self._began

    def read(self, size: int) -> bytes:
        """Return the next bytes, nothing at the end."""
        return os.read(self._fd, size)

    def write(self, pending: bytearray) -> None:
        """Write answers; what is written is taken from `pending`, whatever becomes of the rest.

        Raises OSError, after which it may be tried again, or LostAnswersError.
        """
        while pending:
            done = os.pwrite(self._answers, pending, self._written)
            self._written += done
            del pending[:done]
        if self._written - self._synced >= SYNC_BYTES:  # in small pieces, since everything waits for it
            try:
                os.fdatasync(self._answers)
            except OSError as error:
                raise LostAnswersError(str(error)) from error
            self._synced = self._written

    def finish(self) -> None:
        """Bring the answers to disk, show them, put the original away, and let go.

        Raises LostAnswersError; after a failed sync a second one proves nothing.
        """
        try:
            os.fsync(self._answers)
            self._folder.publish(self.name)
        except OSError as error:
            raise LostAnswersError(str(error)) from error
        self._close()

    def let_go(self) -> None:
        """Give it up; whoever takes it up begins at its start."""
        with contextlib.suppress(OSError):
            self._folder.part(self.name).unlink()
        self._close()

    def _close(self) -> None:
        os.close(self._answers)
        os.close(self._fd)

    def _look(self) -> Look:
        look = os.fstat(self._fd)
        return Look(look.st_size, look.st_mtime_ns)


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(path: Path, look: os.stat_result) -> bool:
    """Tell whether the file that was opened still lies there: another process may have finished it."""
    try:
        now = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return (now.st_dev, now.st_ino) == (look.st_dev, look.st_ino)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
