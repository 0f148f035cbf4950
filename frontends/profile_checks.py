"""What can be wrong with a profile beyond the types of its keys, and with several profiles together.

Here are names, numbers and the place that a site gives; `profile_line_checks` looks at transport and session,
`profile_key_checks` at keys and MACs, `mapping_checks` at what messages mean.
"""

import re
from pathlib import Path

from frontends.hours import check_hours
from frontends.mapping_checks import mapping_problems
from frontends.mapping_rows import split_row
from frontends.mapping_tables import MappingTables
from frontends.outward_checks import outward_problems
from frontends.profile_key_checks import key_problems
from frontends.profile_line_checks import line_problems
from frontends.profile_tables import BankTable
from frontends.results import check_results
from frontends.session_dates import NOTICE
from qianzhi.link.tables import Site
from qianzhi.runtime.problems import Problem
from qianzhi.wire.codec import Codec

SPACE = re.compile(r"[A-Za-z0-9_.-]{1,32}\Z")
NUMBER = re.compile(r"[A-Za-z0-9_.-]{1,32}\Z")
NAME = re.compile(r"[a-z][a-z0-9_]{0,31}\Z")


def profile_problems(
    bank: BankTable, codec: Codec | None, file: str, config: Path | None, site: Site | None, name: str
) -> list[Problem]:
    """Return everything that is wrong with one profile; `codec` is None when its spec could not be loaded.

    `config` is the folder from which key files are meant, None when the keys are not to be looked at.
    """
    tables = mapping_tables(bank)
    problems = mapping_problems(tables, codec, bank.limits.amount_fen_max, file)
    problems += outward_problems(bank, tables, codec, file, name)
    problems += check_results(bank.results, file, {rows.kind for rows in bank.transactions.values()})
    problems += check_hours(bank.hours, file)
    problems += key_problems(bank, codec, file, config, production=site.production if site else False)
    problems += line_problems(bank, codec, file)
    problems += _place_problems(bank, file, site, name)
    problems += _group_problems(bank, file, site, name)
    problems += _name_problems(bank, file, name)
    problems += _number_problems(bank, codec, file)
    return list(dict.fromkeys(problems))


def mapping_tables(bank: BankTable) -> MappingTables:
    """Return the tables of a bank's file that say what messages mean."""
    return MappingTables(
        request=bank.request,
        reply=bank.reply,
        match=bank.match,
        transactions=bank.transactions,
        bills=bank.bills,
        management=bank.management,
    )


def cross_problems(profiles: list[tuple[str, str, list[str]]]) -> list[Problem]:
    """Return what two profiles, given as (file, serial space, bank numbers), both claim."""
    problems = []
    spaces: dict[str, str] = {}
    holders: dict[str, str] = {}
    for file, space, numbers in profiles:
        first = spaces.setdefault(space, file)
        if first != file:
            found = f"{space!r}, which {first} claims too"
            problems.append(Problem(file, "space", found, "a serial space of its own"))
        for number in numbers:
            holder = holders.setdefault(number, file)
            if holder != file:
                found = f"{number!r}, which {holder} claims too"
                problems.append(Problem(file, "numbers", found, "numbers of its own"))
    return problems


def _place_problems(bank: BankTable, file: str, site: Site | None, name: str) -> list[Problem]:
    """Compare the transport with the place that a site gives it."""
    place = site.banks.get(name) if site else None
    if site is None or place is None:
        return []
    problems = [*_sharing_problems(bank, site, name), *_folder_problems(bank, site, name)]
    at = f"banks.{name}"
    queue = bank.transport.kind == "queue"
    engine = place.engine or bank.transport.engine
    if queue and engine == "rabbitmq" and site.broker is None and not place.engine:
        expected = "a table [broker] in this site, or another engine"
        problems.append(Problem(file, "transport.engine", repr(engine), expected))
    filed = bank.transport.kind == "files"
    direct = not filed and (not queue or engine == "zeromq")
    control = queue and direct and not bank.transport.one_queue
    for number in range(1, place.instances + 1):
        front = place.at(number)
        key = at if number == 1 else f"{at}.others.{number - 2}"
        for title, address, wanted in (("listen", front.listen, direct), ("control", front.control, control)):
            if wanted and not address.startswith("tcp://" if queue else ""):
                problems.append(
                    Problem(site.file, f"{key}.{title}", repr(address), "tcp://HOST:PORT, for a queue")
                )
            elif bool(address) != wanted:
                nothing = f"{name} has no second queue" if direct else "its queues are the broker's"
                nothing = "its files lie in a folder" if filed else nothing
                expected = "an address" if wanted else f"nothing, since {nothing}"
                problems.append(Problem(site.file, f"{key}.{title}", repr(address), expected))
    return problems


def _folder_problems(bank: BankTable, site: Site, name: str) -> list[Problem]:
    """Files lie in a folder of the bank's own; its instances part them by locks of one machine."""
    place, at = site.banks[name], f"banks.{name}"
    problems = [
        Problem(site.file, f"{at}.others.{index}.folder", repr(other.folder), f"nothing: {at}.folder holds")
        for index, other in enumerate(place.others)
        if other.folder
    ]
    if bank.transport.kind != "files":
        if place.folder:
            expected = f"nothing, since {name} sends no files"
            problems.append(Problem(site.file, f"{at}.folder", repr(place.folder), expected))
        return problems
    same = [other for other, its in site.banks.items() if other != name and its.folder == place.folder]
    if not place.folder:
        expected = "a folder, for the files of this bank"
        problems.append(Problem(site.file, f"{at}.folder", "''", expected))
    elif same:
        found = f"{place.folder!r}, which {same[0]} has too"
        problems.append(Problem(site.file, f"{at}.folder", found, "a folder of its own"))
    if len({place.at(number).machine for number in range(1, place.instances + 1)}) > 1:
        found = f"{place.instances} on several machines"
        problems.append(Problem(site.file, f"{at}.instances", found, "one machine, which has the folder"))
    return problems


def _sharing_problems(bank: BankTable, site: Site, name: str) -> list[Problem]:
    """Instances share sign-on, keys, serials and the date: in a file of one machine, or in a database."""
    place, session = site.banks[name], bank.session
    keeps = session.sign_on or session.keys in ("ours", "theirs") or session.echo_seconds > 0
    keeps = keeps or session.cutover == NOTICE
    apart = len({place.at(number).machine for number in range(1, place.instances + 1)}) > 1
    if not keeps or not apart or site.state.database:
        return []
    found = f"{place.instances} on several machines"
    expected = "one machine, or a [state] database in which they share sign-on, keys and serials"
    return [Problem(site.file, f"banks.{name}.instances", found, expected)]


def _group_problems(bank: BankTable, file: str, site: Site | None, name: str) -> list[Problem]:
    if site is None:
        return []
    place = site.banks.get(name)
    group = (place.group if place else "") or bank.group
    if group in site.groups:
        return []
    found = repr(group) if group else "no group"
    return [Problem(file, "group", found, f"one of {', '.join(sorted(site.groups))}")]


def _name_problems(bank: BankTable, file: str, name: str) -> list[Problem]:
    """Names stand in keys, paths and metrics, so they are plain."""
    problems = []
    if not NAME.match(name):
        expected = "small letters, digits and _, a letter first, 32 at most"
        problems.append(Problem(file, "(file name)", repr(name), expected))
    if bank.space and not SPACE.match(bank.space):
        expected = "letters, digits and _ . -, 32 at most"
        problems.append(Problem(file, "space", repr(bank.space), expected))
    for key, text in (
        ("title", bank.title),
        ("pattern", bank.pattern),
        ("reversal.rule", bank.reversal.rule),
    ):
        if not text.strip():
            problems.append(Problem(file, key, "nothing but blanks", "words for the bank's engineers"))
    return problems


def _number_problems(bank: BankTable, codec: Codec | None, file: str) -> list[Problem]:
    twice = sorted({number for number in bank.numbers if bank.numbers.count(number) > 1})
    problems = [Problem(file, "numbers", f"{number!r} twice", "each number once") for number in twice]
    for index, number in enumerate(bank.numbers):
        if not NUMBER.match(number):
            expected = "letters, digits and _ . -, 32 at most"
            problems.append(Problem(file, f"numbers.{index}", repr(number), expected))
    for name, rows in bank.transactions.items():
        key = f"transactions.{name}.numbers"
        for number in rows.numbers:
            if number not in bank.numbers:
                problems.append(Problem(file, key, repr(number), f"one of {', '.join(bank.numbers)}"))
        row = {**bank.request.take, **rows.take}.get("bank_number")
        if row is None and len(rows.numbers or bank.numbers) > 1:
            expected = "a row for bank_number, or one number for this transaction"
            problems.append(Problem(file, f"transactions.{name}.take", "no bank_number", expected))
        if codec is not None and isinstance(row, str):
            problems += _width_problems(bank, codec, split_row(row)[0], file)
    return list(dict.fromkeys(problems))


def _width_problems(bank: BankTable, codec: Codec, path: str, file: str) -> list[Problem]:
    room = codec.width(path) if path in codec.paths() else None
    return [
        Problem(file, f"numbers.{index}", repr(number), f"at most {room} characters, as {path} has")
        for index, number in enumerate(bank.numbers)
        if room and len(number) > room
    ]
