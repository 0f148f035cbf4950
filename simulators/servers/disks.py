"""A small disk of its own (tmpfs) for a folder, so that it can be full; making one needs root."""

import os
import subprocess
from pathlib import Path

from simulators.servers.packages import program


class Disk:
    """One disk; only what is written to it is taken from memory."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        """Mount it on a folder, which is made where it is missing."""
        self.folder = folder
        self._kilobytes = megabytes * 1024
        folder.mkdir(parents=True, exist_ok=True)
        mount("-t", "tmpfs", "-o", f"size={self._kilobytes}k,mode=0755", "tmpfs", str(folder))

    @property
    def used_kilobytes(self) -> int:
        """How much of it is taken."""
        found = os.statvfs(self.folder)
        return (found.f_blocks - found.f_bfree) * found.f_frsize // 1024

    def fill(self, left_kilobytes: int = 0) -> None:
        """Let it have no more room than that, and a little more where somebody writes to it meanwhile."""
        left_kilobytes = max(4, left_kilobytes)
        while True:
            try:
                self._resize(self.used_kilobytes + left_kilobytes)
            except subprocess.CalledProcessError:  # smaller than what has been written since it was looked at
                if left_kilobytes > self._kilobytes:
                    raise
                left_kilobytes *= 2
            else:
                return

    def free(self) -> None:
        """Let it have all its room again."""
        self._resize(self._kilobytes)

    def remove(self) -> None:
        """Take it away with all that is on it."""
        command = [program("umount"), "--lazy", str(self.folder)]
        subprocess.run(command, check=False)  # noqa: S603  our own words

    def _resize(self, kilobytes: int) -> None:
        mount("-o", f"remount,size={kilobytes}k", str(self.folder))


def mount(*words: str) -> None:
    """Run `mount`; raises CalledProcessError."""
    subprocess.run([program("mount"), *words], check=True)  # noqa: S603  our own words
