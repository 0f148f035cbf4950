"""A bank's message taken apart for people, masked: from hex, a file or standard input.

The input may begin with the line's length prefix, with the dialect's header, or with the message itself.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from qianzhi.cli.output import BROKEN, USAGE, CommandError, say, show_json, show_table
from qianzhi.runtime.problems import ConfigError

if TYPE_CHECKING:
    from frontends.profile import Profile
    from qianzhi.cli.chosen import Chosen
    from qianzhi.wire.framing import FrameSpec

INPUT_BYTES_MAX = 1 << 20


def profile_of(chosen: "Chosen", bank: str) -> "Profile":
    """Assemble the profile of one bank of the site; raises ConfigError or CommandError."""
    from frontends.profile import load_profile
    from qianzhi.cli.daemons import site_of

    site = site_of(chosen)
    if bank not in site.banks:
        raise CommandError(USAGE, f"the site has no bank {bank!r}", f"it has {', '.join(site.banks)}")
    profile, problems = load_profile(chosen.config, bank, site)
    if profile is None:
        raise ConfigError(problems)
    return profile


def describe_command(chosen: "Chosen", bank: str, text: str, as_json: bool) -> None:
    """Show every field of a message with its offset and masked value; exit 1 when it cannot be decoded."""
    profile = profile_of(chosen, bank)
    body, prefix_bytes = without_prefix(profile.frame, bytes_of(text))
    views = profile.codec.describe(body)
    if as_json:
        show_json([view._asdict() for view in views])
    else:
        rows = [(view.offset, view.length, view.tag, view.path, view.title, view.value) for view in views]
        say(
            f"{profile.title}: {len(body)} bytes"
            + f" after {prefix_bytes} of length prefix" * bool(prefix_bytes)
        )
        show_table(("at>", "bytes>", "field", "path", "title", "value"), rows)
    broken = [view for view in views if view.tag == "!"]
    if broken:
        raise CommandError(BROKEN, f"not readable from byte {broken[0].offset} on: {broken[0].value}")


def bytes_of(text: str) -> bytes:
    """Return the bytes that an argument means: `-` standard input, a file, hex, or XML as it stands."""
    if text == "-":
        return from_hex(sys.stdin.buffer.read(INPUT_BYTES_MAX))
    data = text.encode()
    if data.lstrip().startswith(b"<"):
        return data
    try:
        if Path(text).is_file():
            return from_hex(Path(text).read_bytes()[:INPUT_BYTES_MAX])
    except OSError as error:
        if len(text) < 255:
            raise CommandError(USAGE, f"{text}: {error.strerror}") from error  # a longer text is no name
    found = from_hex(data)
    if found == data:
        raise CommandError(
            USAGE, "this is no hex and no file", "give hex digits, a file's name, or - for stdin"
        )
    return found


def from_hex(data: bytes) -> bytes:
    """Return what hex digits stand for, spaces aside; anything else as it is."""
    digits = b"".join(data.split())
    try:
        return bytes.fromhex(digits.decode("ascii")) or data
    except ValueError:
        return data


def without_prefix(spec: "FrameSpec", data: bytes) -> tuple[bytes, int]:
    """Return the body and the length of the prefix before it: 0 when the data is no whole frame."""
    from qianzhi.wire.errors import RemoteProtocolError
    from qianzhi.wire.framing import FrameReader

    reader = FrameReader(spec)
    try:
        frames = reader.receive_data(data)
    except RemoteProtocolError:
        return data, 0
    if len(frames) == 1 and not reader.partial and reader.fault is None:
        return frames[0], len(data) - len(frames[0])
    return data, 0
