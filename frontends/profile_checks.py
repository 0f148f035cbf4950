"""What can be wrong with a profile beyond the types of its keys, and with several profiles together."""

from pathlib import Path

from frontends.hours import check_hours
from frontends.mapping_checks import mapping_problems
from frontends.mapping_rows import ANYTHING, values_of
from frontends.mapping_tables import MappingTables, When
from frontends.profile_tables import BankTable
from frontends.results import check_results
from qianzhi.link.tables import Site
from qianzhi.runtime.problems import Problem
from qianzhi.runtime.secrets import KeyReferenceError, resolve_key
from qianzhi.wire.codec import Codec
from qianzhi.wire.mac import DEFAULT_LIST, KEY_BYTES, MacSpec, expected_key, spec_faults

MASTER_BYTES = 16


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
    problems += check_results(bank.results, file, {rows.kind for rows in bank.transactions.values()})
    problems += check_hours(bank.hours, file)
    problems += _key_problems(bank, file, config, production=site.production if site else False)
    problems += _transport_problems(bank, file)
    problems += _place_problems(bank, file, site, name)
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
        expected = _expected_length(bank, name, len(key))
        if expected:
            problems.append(Problem(file, f"keys.{name}", f"a key of {len(key)} bytes", expected))
    return problems


def _expected_length(bank: BankTable, name: str, length: int) -> str:
    """Say which keys would fit where one of this length does not; empty where it does."""
    if name == "master":
        return "" if length == MASTER_BYTES else f"{MASTER_BYTES} bytes"
    if bank.mac is None or length in KEY_BYTES[bank.mac.algorithm]:
        return ""
    return expected_key(bank.mac.algorithm)


def _transport_problems(bank: BankTable, file: str) -> list[Problem]:
    problems = []
    transport, frame = bank.transport, bank.frame
    if transport.kind == "socket" and bank.socket is None:
        problems.append(Problem(file, "socket", "missing", "the limits of this bank's connections"))
    if transport.kind == "socket" and frame.kind == "none":
        expected = "a length header, since a socket keeps no boundaries"
        problems.append(Problem(file, "frame.kind", "'none'", expected))
    if transport.kind == "queue" and frame.kind != "none":
        expected = "'none', since a queue keeps the boundaries itself"
        problems.append(Problem(file, "frame.kind", repr(frame.kind), expected))
    if transport.kind == "queue" and bank.session.sign_on:
        expected = "false, since a queue has no line to sign on to"
        problems.append(Problem(file, "session.sign_on", "true", expected))
    if transport.role == "client":
        expected = "'server'; that we dial a bank is not built yet"
        problems.append(Problem(file, "transport.role", "'client'", expected))
    return problems


def _place_problems(bank: BankTable, file: str, site: Site | None, name: str) -> list[Problem]:
    """Compare the transport with the place that a site gives it."""
    place = site.banks.get(name) if site else None
    if site is None or place is None:
        return []
    problems = []
    at = f"banks.{name}"
    queue = bank.transport.kind == "queue"
    if queue and (place.engine or bank.transport.engine) != "zeromq":
        where = (site.file, f"{at}.engine") if place.engine else (file, "transport.engine")
        problems.append(Problem(*where, "'rabbitmq'", "'zeromq'; other engines are not built yet"))
    control = queue and not bank.transport.one_queue
    for number in range(1, place.instances + 1):
        front = place.at(number)
        key = at if number == 1 else f"{at}.others.{number - 2}"
        for title, address, wanted in (("listen", front.listen, True), ("control", front.control, control)):
            if wanted and not address.startswith("tcp://" if queue else ""):
                problems.append(
                    Problem(site.file, f"{key}.{title}", repr(address), "tcp://HOST:PORT, for a queue")
                )
            elif bool(address) != wanted:
                expected = "an address" if wanted else f"nothing, since {name} has no second queue"
                problems.append(Problem(site.file, f"{key}.{title}", repr(address), expected))
    return problems


def _mac_problems(bank: BankTable, codec: Codec | None, file: str) -> list[Problem]:
    problems = []
    if (bank.session.keys == "none") != (bank.mac is None):
        found = "present" if bank.mac else "missing"
        problems.append(Problem(file, "mac", found, "a table [mac] exactly where session.keys are used"))
    if bank.mac is None and bank.protection.required:
        problems.append(Problem(file, "protection.required", "messages with a MAC", "a table [mac]"))
    known = codec.paths() if codec else set()
    for index, when in enumerate(bank.protection.required):
        for path, wanted in when.items():
            key = f"protection.required.{index}.{path}"
            if codec and path not in known:
                problems.append(Problem(file, key, f"the path {path!r}", "a path of the message spec"))
            if not values_of(wanted):
                problems.append(Problem(file, key, "an empty list", "at least one value"))
    if bank.mac is not None:
        problems += _mac_path_problems(bank.mac, known, file) if codec else []
        problems += [Problem(file, f"mac.{key}", *fault) for key, *fault in spec_faults(bank.mac)]
        problems += _gap_problems(bank, bank.mac, file)
    return problems


def _gap_problems(bank: BankTable, mac: MacSpec, file: str) -> list[Problem]:
    """Find money that would move without a MAC, and messages whose MAC would cover nothing."""
    problems = []
    for name, rows in bank.transactions.items():
        if rows.kind != "owed" and not any(_covers(when, rows.when) for when in bank.protection.required):
            expected = "a row that demands a MAC of this transaction"
            problems.append(
                Problem(file, "protection.required", f"nothing for transactions.{name}", expected)
            )
    for index, when in enumerate(bank.protection.required):
        chosen = [value for value in values_of(when.get(mac.choose_by, [])) if value != ANYTHING]
        lists = [mac.lists.get(value, mac.lists.get(DEFAULT_LIST, [])) for value in chosen]
        if not all(lists or list(mac.lists.values())) or not (chosen or mac.lists.get(DEFAULT_LIST)):
            found = f"no fields for all that protection.required.{index} means"
            problems.append(
                Problem(file, "mac.lists", found, "fields for every message that must carry a MAC")
            )
    return problems


def _covers(demand: When, when: When) -> bool:
    """Tell whether every message of a `when` meets the demand."""
    return all(path in when and _within(values_of(when[path]), values_of(demand[path])) for path in demand)


def _within(values: list[str], demanded: list[str]) -> bool:
    """Tell whether whatever fits the values fits what is demanded."""
    return all(value in demanded or (value and ANYTHING in demanded) for value in values)


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
