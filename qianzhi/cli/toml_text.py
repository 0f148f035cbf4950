"""Editing TOML as text, so that comments and layout stay: replacing values, moving a file under a table.

The standard library reads TOML and does not write it.  Each edit here is proved by reading the result.
"""

import re
import tomllib
from collections.abc import Iterator

HEADER = re.compile(r"^(\[\[?)([^\[\]]+)(\]\]?)\s*(#.*)?$")
KEY = re.compile(r'^("?)([A-Za-z0-9_-]+)\1\s*=')


def quoted(text: str) -> str:
    """Write a text as a TOML string."""
    shown = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(f"\\u{ord(c):04X}" if ord(c) < 0x20 or ord(c) == 0x7F else c for c in shown) + '"'


def statements(text: str) -> Iterator[list[str]]:
    """Yield the text in pieces that stand alone: a key with all lines of its value, or any other line."""
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        stop = at + 1
        if KEY.match(lines[at]) or lines[at].startswith('"'):
            while stop < len(lines) and not is_toml("\n".join(lines[at:stop])):
                stop += 1
        yield lines[at:stop]
        at = stop


def is_toml(text: str) -> bool:
    """Tell whether a text is TOML as it stands."""
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


def with_values(text: str, table: str, values: dict[str, list[str]]) -> str:
    """Return the text with lines instead of these keys of one table (empty: before the first table).

    No lines take a key away; a key that the table does not have is put at the table's end.
    """
    missing = dict(values)
    found: list[str] = []
    here = ""
    for piece in statements(text):
        header = HEADER.match(piece[0])
        if header:
            if here == table:
                found = put_before_blanks(found, missing)
                missing = {}
            here = header.group(2).strip()
        key = KEY.match(piece[0]) if here == table else None
        if key and key.group(2) in values:
            found += missing.pop(key.group(2), [])
        else:
            found += piece
    if here == table:
        found = put_before_blanks(found, missing)
    return "\n".join(found) + "\n"


def put_before_blanks(lines: list[str], more: dict[str, list[str]]) -> list[str]:
    """Return the lines with more behind their last key; blank lines and comments come after it."""
    end = len(lines)
    while end and (not lines[end - 1].strip() or lines[end - 1].startswith("#")):
        end -= 1
    return lines[:end] + [line for added in more.values() for line in added] + lines[end:]


def under(text: str, table: str) -> str:
    """Return a whole file as one table of another: `[x]` becomes `[table.x]`."""
    found = [f"[{table}]"]
    for piece in statements(text):
        header = HEADER.match(piece[0])
        if header:
            begin, name, end, comment = header.groups()
            piece = [f"{begin}{table}.{name.strip()}{end}{'  ' + comment if comment else ''}"]
        found += piece
    return "\n".join(found) + "\n"


def without_head(text: str) -> str:
    """Return the text without the comment that it begins with."""
    lines = text.splitlines()
    while lines and (lines[0].startswith("#") or not lines[0].strip()):
        lines.pop(0)
    return "\n".join(lines) + "\n"
