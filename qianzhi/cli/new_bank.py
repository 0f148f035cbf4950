"""`qianzhi new-bank`: a bank begun as a copy of another one: profile, place in the site, vector skeleton.

What is the new bank's own (title, numbers, serial space, keys) is changed, and marked where only its people
can say it.  Everything is worked out before the first file is written.
"""

import hashlib
import itertools
import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qianzhi.cli.output import USAGE, CommandError, say, show_json
from qianzhi.cli.toml_text import quoted, under, with_values, without_head
from qianzhi.runtime.problems import ConfigError, Problem

if TYPE_CHECKING:
    from frontends.profile import Profile
    from qianzhi.cli.chosen import Chosen
    from qianzhi.link.tables import BankPlace, Site

NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
NUMBER = re.compile(r"[0-9A-Za-z]{1,15}")
TO_DO = "TO DO"
PORT_STEP = 10
PORT_MAX = 65_535
FREE_NUMBERS = range(9900, 10_000)  # one of these stands in for a number that was not given
SAMPLES = "samples.json"


@dataclass(frozen=True)
class Wish:
    """What the new bank is to be; empty and zero leave it to the command."""

    name: str
    like: str
    title: str = ""
    numbers: tuple[str, ...] = ()
    port: int = 0
    own_spec: bool = False
    in_site: bool = True
    vectors: Path = Path("tests/vectors")


def new_bank_command(chosen: "Chosen", wish: Wish, as_json: bool) -> None:
    """Write the files of a new bank and say what to edit next; exit 2 for what cannot be."""
    from qianzhi.cli.daemons import site_of
    from qianzhi.cli.describing import profile_of

    refuse_name(chosen, wish)
    site = site_of(chosen)
    like = profile_of(chosen, wish.like, placed=False)
    refuse_numbers(chosen, wish)
    files = {chosen.config / "banks" / f"{wish.name}.toml": profile_text(chosen.config, like, wish)}
    if wish.in_site:
        files[Path(site.file)] = Path(site.file).read_text(encoding="utf-8") + place_text(site, like, wish)
    files[wish.vectors / wish.name / SAMPLES] = samples_text(like)
    for path, text in files.items():
        if path.suffix == ".toml":
            tomllib.loads(text)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    tell(chosen, wish, like, list(files), as_json)


def refuse_name(chosen: "Chosen", wish: Wish) -> None:
    """Raise CommandError for a name that is none, or that is taken."""
    from qianzhi.cli.daemons import site_of

    if not NAME.fullmatch(wish.name):
        raise CommandError(
            USAGE,
            f"{wish.name!r} is no name for a bank",
            "small letters, digits and underscores, at most 31, a letter first",
        )
    site = site_of(chosen)
    taken = [chosen.config / "banks" / f"{wish.name}.toml", wish.vectors / wish.name]
    for path in taken:
        if path.exists():
            raise CommandError(USAGE, f"{path} is there already", "choose another name, or remove it first")
    if wish.in_site and wish.name in site.banks:
        raise CommandError(USAGE, f"{site.file} has a table [banks.{wish.name}] already", "see --no-site")


def refuse_numbers(chosen: "Chosen", wish: Wish) -> None:
    """Raise CommandError for bank numbers that are none, or that another profile claims."""
    claimed = claimed_numbers(chosen.config)
    for number in wish.numbers:
        if not NUMBER.fullmatch(number):
            raise CommandError(USAGE, f"--number {number!r} is no bank number", "up to 15 letters and digits")
        if number in claimed:
            raise CommandError(USAGE, f"{claimed[number]} claims the number {number} already", "see --number")
    if len(set(wish.numbers)) < len(wish.numbers):
        raise CommandError(USAGE, "--number gives one number twice", "each once")


def numbers_of(config: Path, like: "Profile", wish: Wish) -> list[str]:
    """Return the new bank's numbers: those given, and where the other has more in use, some nobody claims."""
    parted = any(rows.numbers for rows in like.table.transactions.values())
    wanted = len(like.numbers) if parted else 1
    claimed = claimed_numbers(config)
    free = (number for number in map(str, FREE_NUMBERS) if number not in claimed)
    return [*wish.numbers, *itertools.islice(free, max(0, wanted - len(wish.numbers)))]


def number_line(key: str, numbers: list[str], given: int) -> str:
    """Return a line of bank numbers, marked where one stands in for what was not given."""
    mark = f"   # {TO_DO}: the numbers that the bank was given" if given < len(numbers) else ""
    return f"{key} = [{', '.join(map(quoted, numbers))}]{mark}"


def claimed_numbers(config: Path) -> dict[str, Path]:
    """Return which file claims which bank number; a file that cannot be read claims none."""
    from qianzhi.runtime.settings import read_toml

    found: dict[str, Path] = {}
    for path in sorted((config / "banks").glob("*.toml")):
        try:
            numbers = read_toml(path).get("numbers")
        except ConfigError:
            continue
        found |= dict.fromkeys(map(str, numbers), path) if isinstance(numbers, list) else {}
    return found


def profile_text(config: Path, like: "Profile", wish: Wish) -> str:
    """Return the new profile: the other one's text with everything of its own changed and marked."""
    numbers = numbers_of(config, like, wish)
    title = wish.title or f"{wish.name} ({TO_DO}: the bank's full name)"
    text = without_head(Path(like.file).read_text(encoding="utf-8"))
    text = with_values(
        text,
        "",
        {
            "title": [f"title = {quoted(title)}"],
            "pattern": pattern_lines(like),
            "pattern_zh": [],
            "numbers": [number_line("numbers", numbers, len(wish.numbers))],
            "space": [
                f"space = {quoted(wish.name)}   # serials are unique within it; never changed once in use"
            ],
        },
    )
    text = with_values(text, "keys", key_lines(like, wish.name))
    new = dict(zip(like.numbers, numbers, strict=False))
    for name, rows in like.table.transactions.items():
        if rows.numbers:
            own = [new.get(number, numbers[0]) for number in rows.numbers]
            text = with_values(
                text, f"transactions.{name}", {"numbers": [number_line("numbers", own, len(own))]}
            )
    if wish.own_spec and not like.table.spec:
        text = with_own_spec(text, like, wish.name)
    schema = "#:schema ../schemas/bank.json\n"
    head = (
        f"# Begun as a copy of {like.name}.toml.  docs/ADDING_A_BANK.md says what each table means; what is\n"
        f"# marked {TO_DO} only this bank's people can say.\n\n"
    )
    return schema + head + text


def pattern_lines(like: "Profile") -> list[str]:
    """Return a pattern to be filled in, which says what is true of a fresh copy."""
    return [
        'pattern = """',
        f"{TO_DO}: which public convention this dialect follows, and what was added; or that it is ours.",
        f"Begun as a copy of {like.name}, whose messages it still speaks.",
        "This is not the interface of any real bank.",
        '"""',
    ]


def key_lines(like: "Profile", name: str) -> dict[str, list[str]]:
    """Return each key reference as a test key that this bank shares with no other."""
    found = {}
    for key in ("master", "mac"):
        reference = getattr(like.keys, key)
        if reference:
            material = test_key(name, key, key_bytes(reference)).hex().upper()
            found[key] = [
                f'{key} = "test:{material}"   # {TO_DO}: a test key; in production file:PATH or env:NAME'
            ]
    return found


def key_bytes(reference: str) -> int:
    """Return how long a key is, as far as its reference shows it."""
    kind, _, rest = reference.partition(":")
    return len(rest) // 2 if kind == "test" else 16


def test_key(name: str, key: str, size: int) -> bytes:
    """Return a test key that follows from the bank's name, with odd parity in every byte as DES keys have."""
    material = b"".join(hashlib.sha256(f"{name}/{key}/{n}".encode()).digest() for n in range(1 + size // 32))
    return bytes(byte & 0xFE | (byte >> 1).bit_count() & 1 ^ 1 for byte in material[:size])


def with_own_spec(text: str, like: "Profile", name: str) -> str:
    """Return the profile with the message spec inside it, as its table [spec], so that one file says all."""
    path = Path(like.file).parent.parent / "specs" / f"{like.table.message.spec}.toml"
    spec = with_values(
        without_head(path.read_text(encoding="utf-8")), "", {"name": [f"name = {quoted(name)}"]}
    )
    text = with_values(text, "message", {"spec": []})
    rule = "-" * 84
    return f"{text}\n# --- the message spec, this bank's own {rule[38:]}\n\n{under(spec, 'spec')}"


def place_text(site: "Site", like: "Profile", wish: Wish) -> str:
    """Return the bank's table for the site's file; raises CommandError when a port is taken."""
    place = site.banks.get(like.name)
    queue = like.transport.kind == "queue"
    control = queue and not like.transport.one_queue
    count = 3 if control else 2
    first = port_of(site, wish.port, count)
    host = host_of(place)
    prefix = "tcp://" if queue else ""
    lines = [
        "",
        f"[banks.{wish.name}]",
        f"machine = {quoted(place.machine if place else 'local')}",
        f"group = {quoted((place.group if place else '') or like.group or next(iter(site.groups)))}",
        "instances = 1",
        f"listen = {quoted(f'{prefix}{host}:{first}')}",
    ]
    if control:
        lines.append(f"control = {quoted(f'{prefix}{host}:{first + 1}')}")
    lines.append(f"metrics_port = {first + count - 1}")
    return "\n".join(lines) + "\n"


def host_of(place: "BankPlace | None") -> str:
    """Return the address that the other bank listens on, as it stands in an address."""
    return place.listen.removeprefix("tcp://").rpartition(":")[0] if place and place.listen else "127.0.0.1"


def port_of(site: "Site", wanted: int, count: int) -> int:
    """Return the first of so many ports in a row that the site does not use; raises CommandError."""
    from qianzhi.cli.ports import needs

    used = {need.port: need.daemon for need in needs(site)}
    if wanted:
        clash = next((port for port in range(wanted, wanted + count) if port in used), None)
        if clash is not None:
            raise CommandError(
                USAGE, f"port {clash} belongs to {used[clash]}", f"--port needs {count} free ports in a row"
            )
    else:
        wanted = max(used, default=17_300) // PORT_STEP * PORT_STEP + PORT_STEP + 1
    if not 0 < wanted <= PORT_MAX - count:
        raise CommandError(USAGE, f"there is no port {wanted}", "give --port")
    return wanted


def samples_text(like: "Profile") -> str:
    """Return the vector skeleton: one place for each message, to be filled from the bank's own paper."""
    named = [("in", f"transactions.{name}") for name in like.table.transactions]
    named += [("in", f"management.{name}") for name in like.table.management]
    rows = [
        {
            "name": what.partition(".")[2],
            "direction": direction,
            "what": what,
            "frame": "",
            "note": f"{TO_DO}: the bank's own sample of this message, in hex, without the length header",
        }
        for direction, what in named
    ]
    return json.dumps(rows, ensure_ascii=False, indent=2) + "\n"


def tell(chosen: "Chosen", wish: Wish, like: "Profile", files: list[Path], as_json: bool) -> None:
    """Say what was written, what is still wrong with it, and what to do next."""
    problems = problems_of(chosen, wish)
    steps = next_steps(chosen, wish, like)
    if as_json:
        show_json(
            {
                "bank": wish.name,
                "like": wish.like,
                "files": [str(path) for path in files],
                "problems": [problem._asdict() for problem in problems],
                "next": steps,
            }
        )
        return
    for path in files:
        say(f"wrote {path}")
    for problem in problems:
        say(f"to mend: {problem}")
    say("next:")
    for number, step in enumerate(steps, 1):
        say(f"  {number}. {step}")


def problems_of(chosen: "Chosen", wish: Wish) -> list[Problem]:
    """Return what `qianzhi check` would say about the new profile."""
    from frontends.profile import load_profile
    from qianzhi.cli.daemons import site_of

    return load_profile(chosen.config, wish.name, site_of(chosen) if wish.in_site else None)[1]


def next_steps(chosen: "Chosen", wish: Wish, like: "Profile") -> list[str]:
    """Return what is left to do, in order."""
    spec = like.table.message.spec
    shared = f", which shares the spec {spec} with {like.name}" if spec and not wish.own_spec else ""
    steps = [
        f"edit {chosen.config / 'banks' / wish.name}.toml{shared}: what is marked {TO_DO}, then each table",
        f"qianzhi diff-profile {wish.name} {wish.like}    shows what already differs",
        "qianzhi check    until it is clean",
        "qianzhi supervisor render    and restart; make run needs only a new start",
        f"qianzhi vectors {wish.name} --write    once its messages are right",
    ]
    if not wish.in_site:
        steps.insert(1, f"give it a table [banks.{wish.name}] in the site's file")
    return steps
