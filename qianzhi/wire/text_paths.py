"""The paths of a text dialect and what is known about each: header and trailer at the top, bodies under
`body`."""

from qianzhi.wire.items import Item
from qianzhi.wire.text_parts import Section

BODY, UNREAD = "body", "unread"
UNREAD_PATH = f"{BODY}.{UNREAD}"


def paths_of(sections: tuple[Section, ...]) -> dict[str, list[Item]]:
    """Return the parts by path; bodies may have several at one path."""
    found: dict[str, list[Item]] = {}
    for section in sections:
        for part in section.parts:
            for item in (part.item, *part.group):
                found.setdefault(item.about.path, []).append(item)
    return found


def sensitive_of(by_path: dict[str, list[Item]], path: str) -> str | None:
    """Return the kind of secrecy of a path, in whichever body it is a secret."""
    if path == UNREAD_PATH:
        return "secret"
    return next((item.about.sensitive for item in by_path.get(path, []) if item.about.sensitive), None)


def width_of(by_path: dict[str, list[Item]], path: str) -> int | None:
    """Return the smallest of the widths that a path has in several bodies."""
    return min((item.width for item in by_path.get(path, []) if item.width is not None), default=None)
