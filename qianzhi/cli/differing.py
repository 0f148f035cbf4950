"""`qianzhi diff-profile`: what two banks, or two message specs, do differently, place by place.

Profiles are compared as the daemons understand them, with every default filled in; specs by the paths of
their fields, whatever order or number those have.  Keys are never shown.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from qianzhi.cli.output import BROKEN, USAGE, CommandError, say, show_json, show_table
from qianzhi.cli.wording import counted

if TYPE_CHECKING:
    from qianzhi.cli.chosen import Chosen

Flat = dict[str, Any]

NOTHING = "—"
VALUE_CHARACTERS_MAX = 60
SECTIONS = (  # of a profile: a heading, and the tables of its file that stand under it
    ("identity", ("title", "pattern", "space", "numbers", "group")),
    ("transport", ("transport", "socket")),
    ("frame", ("frame",)),
    ("message", ("message",)),
    ("keys", ("keys", "delivery")),
    ("mac", ("mac", "protection")),
    ("session", ("session", "management")),
    ("matching", ("match", "request", "reply")),
    ("transactions", ("transactions", "bills")),
    ("results", ("results",)),
    ("limits", ("limits", "hours", "reversal")),
)
SUMMARY = ("number", "place", "type", "layout", "prefix", "length", "encoding", "sensitive")
LISTS = ("parts", "header", "trailer", "header_parts")  # of a spec: lists of tables that have names


class Difference(NamedTuple):
    """One place in which the two are not the same; None where one of them has no such place."""

    section: str
    path: str
    first: Any
    second: Any


class Side(NamedTuple):
    """One of the two: what to call it, and its places by section."""

    name: str
    sections: dict[str, Flat]


def diff_command(chosen: "Chosen", first: str, second: str, as_json: bool) -> None:
    """Show what differs; exit 0 when nothing does, 1 when something does, 2 for what cannot be compared."""
    one, other = side_of(chosen, first), side_of(chosen, second)
    if ("identity" in one.sections) != ("identity" in other.sections):
        raise CommandError(
            USAGE, "a bank and a message spec cannot be compared", "give two banks or two specs"
        )
    found = list(differences(one, other))
    if as_json:
        show_json(
            {"first": one.name, "second": other.name, "differences": [each._asdict() for each in found]}
        )
    else:
        show(one, other, found)
    if found:
        raise SystemExit(BROKEN)


def side_of(chosen: "Chosen", name: str) -> Side:
    """Find a bank or a spec by its name in the configuration, or by its file; raises CommandError."""
    from qianzhi.runtime.settings import read_toml

    places = [Path(name)] if name.endswith(".toml") else []
    places += [chosen.config / folder / f"{name}.toml" for folder in ("banks", "specs")]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        banks = sorted(each.stem for each in (chosen.config / "banks").glob("*.toml"))
        raise CommandError(
            USAGE, f"there is no bank, spec or file {name!r}", f"the banks are {', '.join(banks)}"
        )
    tree = read_toml(path)
    if "kind" in tree:
        return Side(name, spec_sections(tree))
    return Side(name, profile_sections(path))


def profile_sections(path: Path) -> dict[str, Flat]:
    """Return a bank's places by section; raises ConfigError for a profile with faults."""
    from frontends.profile import load_profile
    from qianzhi.runtime.problems import ConfigError

    profile, problems = load_profile(path.absolute().parent.parent, path.stem, with_keys=False)
    if profile is None:
        raise ConfigError(problems)
    table = asdict(profile.table)
    table["space"] = profile.space
    table["keys"] = {name: shown_key(reference) for name, reference in table["keys"].items()}
    found = {
        heading: dict(flat({key: table[key] for key in keys if table.get(key) is not None}))
        for heading, keys in SECTIONS
    }
    return found | spec_sections(profile.spec)


def shown_key(reference: str) -> str:
    """Say what kind of reference this is; two test keys of one length are told apart by a fingerprint."""
    kind, _, rest = reference.partition(":")
    if kind != "test":
        return f"{kind}:…" if kind else ""
    return f"test: {len(rest) // 2} bytes, {hashlib.sha256(rest.upper().encode()).hexdigest()[:6]}"


def spec_sections(tree: dict[str, Any]) -> dict[str, Flat]:
    """Return a spec's places: the whole message, and what is said of each field under its path."""
    inside = [key for key in LISTS if isinstance(tree.get(key), list)]
    head = {key: value for key, value in tree.items() if key not in ("fields", "elements", "bodies", *inside)}
    fields: Flat = {}
    for number, field in tree.get("fields", {}).items():
        fields |= dict(field_rows(field.get("name", number), {"number": number, **field}))
    fields |= tree.get("elements", {})
    for key in inside:
        for part in tree[key]:
            fields |= dict(field_rows(part.get("name", ""), {"place": key, **part}))
    for body in tree.get("bodies", []):
        fields |= dict(field_rows(f"body[{body.get('name', '')}]", body))
    return {"spec": dict(flat(head)), "fields": fields}


def field_rows(path: str, field: dict[str, Any]) -> Iterator[tuple[str, Flat]]:
    """Yield a field and all that it holds, each with what is said of it; a part stands under its holder."""
    inside = [key for key in LISTS if isinstance(field.get(key), list)]
    about = {key: value for key, value in field.items() if key not in (*inside, "name", "cases", "tags")}
    yield path, dict(flat(about))
    for key in inside:
        for part in field[key]:
            yield from field_rows(f"{path}.{part.get('name', '')}", part)
    for key in ("cases", "tags"):
        for tag, case in field.get(key, {}).items():
            yield from field_rows(f"{path}.{tag}", case)


def flat(tree: dict[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted path, value) of everything that is no table."""
    for key, value in tree.items():
        path = f"{at}.{key}" if at else str(key)
        if isinstance(value, dict):
            yield from flat(value, path)
        else:
            yield path, list(value) if isinstance(value, tuple) else value


def differences(one: Side, other: Side) -> Iterator[Difference]:
    """Yield the places that are not the same, in the order of the sections and of the files.

    A field that only one of the two has is one difference, whatever is said of it.
    """
    for section, places in one.sections.items():
        others = other.sections[section]
        for path in dict.fromkeys([*places, *others]):
            first, second = places.get(path), others.get(path)
            if isinstance(first, dict) and isinstance(second, dict):
                for key in dict.fromkeys([*first, *second]):
                    if first.get(key) != second.get(key):
                        yield Difference(section, f"{path}: {key}", first.get(key), second.get(key))
            elif first != second:
                yield Difference(section, path, first, second)


def show(one: Side, other: Side, found: list[Difference]) -> None:
    """Print the differences by section; a list shows only what one of the two has alone."""
    if not found:
        say(f"{one.name} and {other.name} are the same")
    for section in dict.fromkeys(each.section for each in found):
        rows = [
            (each.path, shown(each.first, each.second), shown(each.second, each.first))
            for each in found
            if each.section == section
        ]
        show_table((section, one.name, other.name), rows)
    if found:
        say(f"{counted(len(found), 'difference')} between {one.name} and {other.name}")


def shown(value: Any, other: Any) -> str:
    """Write a value for a column; of two lists only what this one has alone, of a field what it is."""
    if value is None:
        return NOTHING
    if isinstance(value, dict):
        text = " ".join(str(value[key]) for key in SUMMARY if key in value) or "holds others"
    elif isinstance(value, list):
        text = shown_list(value, other)
    elif isinstance(value, bool):
        text = "yes" if value else "no"
    else:
        text = str(value) or "none"
    text = " ".join(text.split()) or repr(text)
    return text if len(text) <= VALUE_CHARACTERS_MAX else text[: VALUE_CHARACTERS_MAX - 1] + "…"


def shown_list(value: list[Any], other: Any) -> str:
    """Write what a list has alone, after dots where it shares the rest."""
    if not isinstance(other, list):
        return ", ".join(map(str, value)) or "none"
    alone = [each for each in value if each not in other]
    if not alone:
        return "…, in another order" if len(value) == len(other) else "…" if value else "none"
    return ", ".join(["…"] * (len(alone) < len(value)) + list(map(str, alone)))
