"""A bank's messages taken apart for people, masked: from hex, a file, standard input or plain text."""

from typing import TYPE_CHECKING, Any

from qianzhi.cli.output import BROKEN, USAGE, CommandError, say, show_json, show_table
from qianzhi.cli.wording import counted
from qianzhi.runtime.problems import ConfigError

if TYPE_CHECKING:
    from frontends.profile import Profile
    from qianzhi.cli.chosen import Chosen
    from qianzhi.cli.inputs import Piece, Reading

DUMP_BYTES = 16  # of one line of a dump
PRINTABLE = range(0x20, 0x7F)


def profile_of(chosen: "Chosen", bank: str, *, placed: bool = True) -> "Profile":
    """Assemble the profile of one bank; raises ConfigError or CommandError.

    `placed` demands a place in the site and keys, for whoever wants to reach the bank's daemon; without it
    any file of banks/ will do.
    """
    from frontends.profile import load_profile
    from qianzhi.cli.daemons import site_of

    site = site_of(chosen)
    names = list(site.banks) if placed else bank_files(chosen)
    if bank not in names:
        where = site.file if placed else chosen.config / "banks"
        raise CommandError(USAGE, f"there is no bank {bank!r} in {where}", f"it has {', '.join(names)}")
    profile, problems = load_profile(chosen.config, bank, site, with_keys=placed)
    if profile is None:
        raise ConfigError(problems)
    return profile


def bank_files(chosen: "Chosen") -> list[str]:
    """Return the names of all profiles, whether the site has a place for them or not."""
    return sorted(path.stem for path in (chosen.config / "banks").glob("*.toml"))


def describe_command(chosen: "Chosen", bank: str, text: str, as_json: bool, with_hex: bool = False) -> None:
    """Show each message's fields with offsets and masked values; exit 1 when one cannot be read."""
    from qianzhi.cli.inputs import read_messages

    profile = profile_of(chosen, bank, placed=False)
    reading = read_messages(profile, text)
    if as_json:
        show_json(plain_reading(profile, reading))
    else:
        for number, piece in enumerate(reading.pieces, 1):
            which = f" {number} of {len(reading.pieces)}" if len(reading.pieces) > 1 else ""
            show_piece(profile, piece, which, with_hex)
    finish(reading)


def finish(reading: "Reading") -> None:
    """End with what could not be read, the first message's fault first; nothing where all is read."""
    from qianzhi.cli.inputs import NOT_WHOLE

    many = len(reading.pieces) > 1
    for number, piece in enumerate(reading.pieces, 1):
        if piece.fault is not None and not (reading.fault and number == len(reading.pieces)):
            where = f"message {number}: " if many else ""
            at, why = piece.fault.offset, piece.fault.value
            raise CommandError(
                BROKEN,
                f"{where}{piece.fault.path} is not readable from byte {at} on: {why}",
                "offsets count from the start of the message's body",
            )
    if reading.fault:
        whole = len(reading.pieces) - (reading.pieces[-1:] != [] and NOT_WHOLE in reading.fault)
        after = f"after {counted(whole, 'message')}: " if whole else ""
        raise CommandError(BROKEN, f"{after}{reading.fault}")


def plain_reading(profile: "Profile", reading: "Reading") -> dict[str, Any]:
    """Return a reading as plain data, masked."""
    return {
        "bank": profile.name,
        "messages": [
            {
                "offset": piece.offset,
                "prefix_bytes": piece.prefix_bytes,
                "bytes": len(piece.body),
                "masked_hex": profile.codec.mask(piece.body).hex().upper() if piece.body else "",
                "readable": piece.fault is None,
                "fields": [view._asdict() for view in piece.views],
            }
            for piece in reading.pieces
        ],
        "fault": reading.fault,
    }


def show_piece(profile: "Profile", piece: "Piece", which: str, with_hex: bool) -> None:
    """Print one message: what it is, its fields, and its masked bytes where they are wanted."""
    prefix = f" after {piece.prefix_bytes} of length prefix" if piece.prefix_bytes else ""
    what = f"{len(piece.body)} bytes" if piece.body else "a heartbeat"
    say(f"{profile.title}: message{which}, {what}{prefix}")
    rows = [(view.offset, view.length, view.tag, view.path, view.title, view.value) for view in piece.views]
    show_table(("at>", "bytes>", "field", "path", "title", "value"), rows)
    if with_hex and piece.body:
        say("\n".join(dump(profile.codec.mask(piece.body))))


def dump(data: bytes) -> list[str]:
    """Return lines of offset, hex and ASCII."""
    return [
        f"{at:06X}  {data[at : at + DUMP_BYTES].hex(' ').upper():<{3 * DUMP_BYTES}} "
        + "".join(chr(byte) if byte in PRINTABLE else "." for byte in data[at : at + DUMP_BYTES])
        for at in range(0, len(data), DUMP_BYTES)
    ]
