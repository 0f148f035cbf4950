"""`qianzhi import-packager`: a message spec from what people who come from jPOS have."""

import sys
from pathlib import Path

from qianzhi.cli.output import BROKEN, USAGE, CommandError, say
from qianzhi.cli.toml_text import quoted, with_values

XML_BYTES_MAX = 4_000_000
SCHEMA_LINE = "#:schema ../schemas/spec.json\n"


def import_command(file: str, name: str) -> None:
    """Print the spec on standard output and what could not be carried over on standard error.

    Exit 2 for a file that cannot be read, 1 for one that is no packager description.
    """
    from qianzhi.wire.packager import PackagerError, import_packager

    if name and not name.isidentifier():
        raise CommandError(USAGE, f"--name {name!r} is no name", "letters, digits and underscores")
    try:
        imported = import_packager(read(file))
    except PackagerError as error:
        raise CommandError(BROKEN, f"{file}: {error}", "give the XML of a jPOS GenericPackager") from error
    name = name or name_of(file)
    text = with_values(imported.spec_text, "", {"name": [f"name = {quoted(name)}"]} if name else {})
    say(SCHEMA_LINE + text.rstrip("\n"))
    for note in imported.notes:
        print(f"qianzhi: note: {note}", file=sys.stderr)


def name_of(file: str) -> str:
    """Return the name that a file gives its spec, empty where it gives none."""
    stem = Path(file).stem.lower().replace("-", "_")
    return stem if stem.isidentifier() and stem.isascii() else ""


def read(file: str) -> bytes:
    """Return a file's bytes, of `-` those of standard input; raises CommandError."""
    try:
        if file == "-":
            data = sys.stdin.buffer.read(XML_BYTES_MAX + 1)
        else:
            with Path(file).open("rb") as opened:
                data = opened.read(XML_BYTES_MAX + 1)
    except OSError as error:
        raise CommandError(
            USAGE, f"{file}: {error.strerror}", "give a file's name, or - for stdin"
        ) from error
    if len(data) > XML_BYTES_MAX:
        raise CommandError(
            USAGE, f"{file}: more than {XML_BYTES_MAX} bytes", "this is no packager description"
        )
    return data
