"""Key references: a configuration names where a key lies and never holds the key itself.

    test:HEX     the key itself, for tests and demonstrations; refused in production
    file:PATH    a file of mode 0600 or stricter that holds the key in hex; from the configuration's folder
    env:NAME     an environment variable that holds the key in hex

No message of this module shows a key or any part of one.
"""

import os
import stat
from pathlib import Path

KEY_BYTES_MAX = 64
FILE_BYTES_MAX = 4096


class KeyReferenceError(Exception):
    """A reference that gives no key; `expected` says in plain words what would."""

    def __init__(self, expected: str) -> None:
        super().__init__(expected)
        self.expected = expected


def resolve_key(reference: str, *, production: bool, base: Path) -> bytes:
    """Return the key that `reference` names; `base` is the folder from which a relative path is meant.

    Raises KeyReferenceError when the reference has no known form, is not allowed here, or leads to no key.
    """
    scheme, colon, rest = reference.partition(":")
    if colon and scheme == "test":
        if production:
            raise KeyReferenceError(
                "in production a key comes from file:PATH or env:NAME, never from test:HEX"
            )
        return _key_from_hex(rest, "after test:")
    if colon and scheme == "file":
        return _key_from_hex(_read_private_file(base / rest), "in the key file")
    if colon and scheme == "env":
        if rest not in os.environ:
            raise KeyReferenceError(f"the environment variable {rest[:40]!r} is to be set")
        return _key_from_hex(os.environ[rest], "in the environment variable")
    raise KeyReferenceError("a key reference is test:HEX, file:PATH or env:NAME")


def resolve_password(reference: str, *, production: bool, base: Path) -> str:
    """Return the password that `reference` names: the text itself after test:, else that of a file or
    variable, less the white space around it.

    Raises KeyReferenceError as `resolve_key` does, and for an empty password.
    """
    scheme, _, rest = reference.partition(":")
    if scheme == "test":
        if production:
            raise KeyReferenceError("in production a password comes from file:PATH or env:NAME")
        text = rest
    elif scheme == "file":
        text = _read_private_file(base / rest)
    elif scheme == "env":
        text = os.environ.get(rest, "")
    else:
        raise KeyReferenceError("a password's reference is test:TEXT, file:PATH or env:NAME")
    if not text.strip():
        raise KeyReferenceError(f"a password is to stand where {scheme}: leads")
    return text.strip()


def _read_private_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode) or stat.S_IMODE(mode) & 0o077:
                raise KeyReferenceError(
                    f"the key file {path} is to be a plain file that only its owner reads (0600)"
                )
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise KeyReferenceError(f"the key file {path} is to be readable: {error.strerror}") from error
    if len(data) > FILE_BYTES_MAX:
        raise KeyReferenceError(f"the key file {path} is to hold one key in hex and nothing else")
    return data.decode("ascii", "replace")


def _key_from_hex(text: str, where: str) -> bytes:
    digits = text.strip()
    if not digits or len(digits) % 2 or any(c not in "0123456789abcdefABCDEF" for c in digits):
        raise KeyReferenceError(f"an even number of hex digits stands {where}")
    if len(digits) > 2 * KEY_BYTES_MAX:
        raise KeyReferenceError(f"at most {KEY_BYTES_MAX} bytes of key stand {where}")
    return bytes.fromhex(digits)
