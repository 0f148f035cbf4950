"""What can be wrong with a profile beyond the types of its keys, and with several profiles together."""

from pathlib import Path

from frontends.hours import check_hours
from frontends.mapping_checks import mapping_problems
from frontends.mapping_rows import values_of
from frontends.mapping_tables import MappingTables
from frontends.profile_tables import BankTable
from frontends.results import check_results
from qianzhi.link.tables import Site
from qianzhi.runtime.problems import Problem
from qianzhi.runtime.secrets import KeyReferenceError, resolve_key
from qianzhi.wire.codec import Codec
from qianzhi.wire.mac import MacSpec

KEY_BYTES = {"x99": {8}, "x919": {16}, "cbc3des": {16}, "by_length": {8, 16}}


def profile_problems(
    bank: BankTable, codec: Codec | None, file: str, config: Path, site: Site | None, name: str
) -> list[Problem]:
    """Return everything that is wrong with one profile; `codec` is None when its spec could not be loaded."""
    tables = MappingTables(
        request=bank.request,
        reply=bank.reply,
        match=bank.match,
        transactions=bank.transactions,
        bills=bank.bills,
        management=bank.management,
    )
    problems = mapping_problems(tables, codec, bank.limits.amount_fen_max, file)
    problems += check_results(bank.results, file)
    problems += check_hours(bank.hours, file)
    problems += _key_problems(bank, file, config, production=site.production if site else False)
    problems += _transport_problems(bank, file)
    problems += _mac_problems(bank, codec, file)
    problems += _group_problems(bank, file, site, name)
    problems += _number_problems(bank, file)
    return problems


def cross_problems(profiles: list[tuple[str, str, list[str]]]) -> list[Problem]:
    """Return what two profiles, given as (file, serial space, bank numbers), both claim."""
    problems = []
    spaces: dict[str, str] = {}
    holders: dict[str, str] = {}
    for file, space, numbers in profiles:
        if spaces.setdefault(space, file) != file:
            problems.append(
                Problem(
                    file, "space", f"{space!r}, which {spaces[space]} claims too", "a serial space of its own"
                )
            )
        for number in numbers:
            if holders.setdefault(number, file) != file:
                problems.append(
                    Problem(
                        file,
                        "numbers",
                        f"{number!r}, which {holders[number]} claims too",
                        "numbers of its own",
                    )
                )
    return problems


def _key_problems(bank: BankTable, file: str, config: Path, *, production: bool) -> list[Problem]:
    problems = []
    needed = {"ours": "master", "static": "mac"}.get(bank.session.keys)
    for name, reference in (("master", bank.keys.master), ("mac", bank.keys.mac)):
        if not reference:
            if name == needed:
                problems.append(
                    Problem(
                        file,
                        f"keys.{name}",
                        "missing",
                        f"a key reference, for session.keys = {bank.session.keys!r}",
                    )
                )
            continue
        try:
            key = resolve_key(reference, production=production, base=config)
        except KeyReferenceError as error:
            problems.append(Problem(file, f"keys.{name}", "a reference that gives no key", error.expected))
            continue
        lengths = (
            {16} if name == "master" else KEY_BYTES.get(bank.mac.algorithm if bank.mac else "", {len(key)})
        )
        if len(key) not in lengths:
            allowed = " or ".join(map(str, sorted(lengths)))
            problems.append(Problem(file, f"keys.{name}", f"a key of {len(key)} bytes", f"{allowed} bytes"))
    return problems


def _transport_problems(bank: BankTable, file: str) -> list[Problem]:
    problems = []
    if bank.transport.kind == "socket" and bank.socket is None:
        problems.append(Problem(file, "socket", "missing", "the limits of this bank's connections"))
    if bank.transport.kind == "socket" and bank.frame.kind == "none":
        problems.append(
            Problem(file, "frame.kind", "'none'", "a length header, since a socket keeps no boundaries")
        )
    if bank.transport.kind == "queue" and bank.frame.kind != "none":
        problems.append(
            Problem(file, "frame.kind", repr(bank.frame.kind), "'none', since a queue keeps boundaries")
        )
    if bank.transport.kind == "queue" and bank.session.sign_on:
        problems.append(
            Problem(file, "session.sign_on", "true", "false, since a queue has no line to sign on to")
        )
    return problems


def _mac_problems(bank: BankTable, codec: Codec | None, file: str) -> list[Problem]:
    problems = []
    if (bank.session.keys == "none") != (bank.mac is None):
        problems.append(
            Problem(file, "mac", "present" if bank.mac else "missing", "a MAC exactly where keys are used")
        )
    if bank.mac is None and bank.protection.required:
        problems.append(Problem(file, "protection.required", "messages with a MAC", "a table [mac]"))
    known = codec.paths() if codec else set()
    if bank.mac is not None and codec is not None:
        problems += _mac_path_problems(bank.mac, known, file)
    for index, when in enumerate(bank.protection.required):
        for path, wanted in when.items():
            key = f"protection.required.{index}.{path}"
            if codec and path not in known:
                problems.append(Problem(file, key, f"the path {path!r}", "a path of the message spec"))
            if not values_of(wanted):
                problems.append(Problem(file, key, "an empty list", "at least one value"))
    return problems


def _mac_path_problems(mac: MacSpec, known: set[str], file: str) -> list[Problem]:
    """A path that the spec does not have adds nothing to a MAC, silently; so it must not stand there."""
    places = [("mac.field", mac.field), ("mac.choose_by", mac.choose_by)]
    places += [
        (f"mac.lists.{name}.{index}", path)
        for name, row in mac.lists.items()
        for index, path in enumerate(row)
    ]
    places += [("mac.with_prefix", path) for path in mac.with_prefix]
    places += [(f"mac.take.{path}", path) for path in mac.take]
    return [
        Problem(file, key, f"the path {path!r}", "a path of the message spec")
        for key, path in places
        if path not in known
    ]


def _group_problems(bank: BankTable, file: str, site: Site | None, name: str) -> list[Problem]:
    if site is None:
        return []
    place = site.banks.get(name)
    group = (place.group if place else "") or bank.group
    if group in site.groups:
        return []
    found = repr(group) if group else "no group"
    return [Problem(file, "group", found, f"one of {', '.join(sorted(site.groups))}")]


def _number_problems(bank: BankTable, file: str) -> list[Problem]:
    twice = sorted({number for number in bank.numbers if bank.numbers.count(number) > 1})
    return [Problem(file, "numbers", f"{number!r} twice", "each number once") for number in twice]
