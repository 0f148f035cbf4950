"""Operators' passwords as the command takes them: typed unseen, from a private file, or from standard input.

Never from the command line or the environment, which other users of the machine can read.
"""

import getpass
import os
import stat
import sys
from pathlib import Path

from qianzhi.cli.output import USAGE, CommandError

STDIN = "-"
BYTES_MAX = 1024
WAYS = "type it at a terminal, or give --password-file FILE (mode 0600; - for standard input)"
NEW_WAYS = "the new password of {who}: type it at a terminal, or give --new-password-file FILE (mode 0600)"


def read_password(who: str, file: str) -> str:
    """Return the password of `who`: from a file, standard input (`-`), or typed at the terminal."""
    if file:
        return _from_file(file, WAYS)
    return _typed(f"password of {who}: ", f"the password of {who}: {WAYS}")


def read_new_password(who: str, file: str) -> str:
    """Return a new password of `who`; typed, it is typed twice."""
    ways = NEW_WAYS.format(who=who)
    if file:
        return _from_file(file, ways)
    first = _typed(f"new password of {who}: ", ways)
    if _typed("the same again: ", ways) != first:
        raise CommandError(USAGE, "the two are not the same", "nothing was changed; try again")
    return first


def operator_name(given: str) -> str:
    """Return the operator's name: as given, else that of this machine's user."""
    return given or os.environ.get("SUDO_USER") or getpass.getuser()


def _typed(prompt: str, ways: str) -> str:
    if not sys.stdin.isatty():
        raise CommandError(USAGE, "there is no terminal to type a password at", ways)
    try:
        return getpass.getpass(prompt)
    except (EOFError, KeyboardInterrupt) as error:
        raise CommandError(USAGE, "no password was given", ways) from error


def _from_file(name: str, ways: str) -> str:
    """Return the first line of a file that only its owner may read."""
    if name == STDIN:
        return _line(sys.stdin.buffer.readline(BYTES_MAX + 1), "standard input", ways)
    path = Path(name)
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if stat.S_ISREG(mode) and stat.S_IMODE(mode) & 0o077:
                raise CommandError(USAGE, f"{path} can be read by others", f"chmod 600 {path}")
            return _line(file.readline(BYTES_MAX + 1), name, ways)
    except OSError as error:
        raise CommandError(USAGE, f"{path} cannot be read: {error.strerror}", ways) from error


def _line(data: bytes, where: str, ways: str) -> str:
    try:
        text = data.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise CommandError(USAGE, f"the password in {where} is no UTF-8", ways) from error
    if not text or len(data) > BYTES_MAX:
        raise CommandError(USAGE, f"{where} holds no password in its first line", ways)
    return text
