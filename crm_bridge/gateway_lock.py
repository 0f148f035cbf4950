"""Exactly one crm_bridge per SQLite database: a lock file beside it, held as long as its process lives.

PostgreSQL takes several bridges at once, so there nothing is held.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crm_bridge.database.store import database_path
from crm_bridge.gateway_errors import LockedError
from qianzhi.runtime.urls import is_postgres


@contextmanager
def held(url: str) -> Iterator[None]:
    """Hold an SQLite database for this process alone; raises LockedError as `acquire_lock` does."""
    if is_postgres(url):
        yield
        return
    with acquire_lock(lock_path(url)):
        yield


def lock_path(url: str) -> Path:
    """Return the lock file of the core's database."""
    return Path(database_path(url) + ".lock")


@contextmanager
def acquire_lock(path: Path) -> Iterator[None]:
    """Hold the lock file; raises LockedError, naming the holder's process, when another one has it.

    The file stays: removing it would let two processes lock two files of one name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(descriptor, 20).decode("ascii", "replace").strip() or "unknown"
            raise LockedError(f"{path} is held by process {holder}") from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
