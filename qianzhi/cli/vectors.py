"""`qianzhi vectors`: the messages of tests/vectors, checked by both codecs of a dialect, or written anew.

    requests.json    what banks ask          written by the simulators' codec, read by both
    answers.json     what the platform says  written by the platform, read by both
    management.json  sign-on, echo, keys     written by whoever sends them, read by both
    outward.json     what we ask networks    written by the platform, answers by the simulators, read by both
    broken.json      derived by rule         with the error or the result that it must meet
    samples.json     from the bank's paper   by hand; never written anew

tests/vectors/README.md says what stands in a vector.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from qianzhi.cli.new_bank import SAMPLES
from qianzhi.cli.output import BROKEN, USAGE, CommandError, say, show_json, show_table
from qianzhi.cli.wording import counted

if TYPE_CHECKING:
    from frontends.profile import Profile
    from qianzhi.cli.chosen import Chosen
    from qianzhi.cli.vector_making import Bench, Vector

Row = dict[str, Any]

REQUESTS, ANSWERS, MANAGEMENT, DEFECTIVE = "requests.json", "answers.json", "management.json", "broken.json"
OUTWARD = "outward.json"
SHOWN_MAX = 30
VERDICTS = (
    *("error", "result", "field", "request", "asked"),
    *("management", "answer", "rejected", "heartbeat"),
)


class Fault(NamedTuple):
    """One vector that is not as it must be."""

    file: str
    name: str
    what: str


class Report(NamedTuple):
    """What came of one bank's vectors: how many, of them broken on purpose, and how many yet to be given."""

    bank: str
    vectors: int
    broken: int
    to_do: int
    faults: list[Fault]


def vectors_command(chosen: "Chosen", banks: list[str], folder: Path, write: bool, as_json: bool) -> None:
    """Check the vectors of some banks, or of all; exit 1 when one is wrong or a bank has none."""
    from qianzhi.cli.describing import bank_files

    known = bank_files(chosen)
    unknown = [bank for bank in banks if bank not in known]
    if unknown:
        where = chosen.config / "banks"
        raise CommandError(USAGE, f"there is no bank {unknown[0]!r} in {where}", f"it has {', '.join(known)}")
    reports = []
    for bank in banks or known:
        profile = standing_alone(chosen, bank)
        if write:
            write_or_say(profile, folder / bank)
        reports.append(check_files(profile, folder / bank))
    if as_json:
        plain_faults = [[fault._asdict() for fault in each.faults] for each in reports]
        show_json(
            [each._asdict() | {"faults": told} for each, told in zip(reports, plain_faults, strict=True)]
        )
    else:
        show(reports)
    wrong = sum(len(each.faults) for each in reports)
    if wrong:
        raise CommandError(
            BROKEN, f"{counted(wrong, 'vector')} wrong", "`--write` makes them anew; look at the difference"
        )


def standing_alone(chosen: "Chosen", bank: str) -> "Profile":
    """Read a profile as it stands in its file, whatever the site; raises ConfigError."""
    from frontends.profile import load_profile
    from qianzhi.runtime.problems import ConfigError

    profile, problems = load_profile(chosen.config, bank, with_keys=False)
    if profile is None:
        raise ConfigError(problems)
    return profile


def show(reports: list[Report]) -> None:
    """Print what was checked, and the first of what is wrong."""
    rows = [
        (each.bank, each.vectors, each.broken, each.to_do or "", len(each.faults) or "") for each in reports
    ]
    show_table(("bank", "vectors>", "broken on purpose>", "to be given>", "wrong>"), rows)
    faults = [fault for each in reports for fault in each.faults]
    show_table(("file", "vector", "what is wrong"), faults[:SHOWN_MAX])
    if len(faults) > SHOWN_MAX:
        say(f"and {len(faults) - SHOWN_MAX} more")
    if not faults:
        say(f"{sum(each.vectors for each in reports)} vectors, every one as it must be")


# Writing


def write_or_say(profile: "Profile", folder: Path) -> None:
    """Write a bank's vectors anew; raises CommandError for a message that one of its codecs cannot carry."""
    from qianzhi.wire.errors import EncodeError
    from simulators.codecs import BankCodecError

    try:
        write_files(profile, folder)
    except (BankCodecError, EncodeError) as error:
        raise CommandError(BROKEN, f"{profile.name}: a message that cannot be written: {error}") from error


def write_files(profile: "Profile", folder: Path) -> None:
    """Write a bank's vectors anew; a file that would be empty is removed, samples by hand stay."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in made(profile).items():
        path = folder / name
        if rows:
            path.write_text(text_of(rows), encoding="utf-8")
        else:
            path.unlink(missing_ok=True)


def text_of(rows: list[Row]) -> str:
    """Return vectors as a file holds them: one in a line, so that a change shows which."""
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    return "[\n" + ",\n".join(lines) + "\n]\n"


def made(profile: "Profile") -> dict[str, list[Row]]:
    """Return a bank's vectors by file; raises BankCodecError or EncodeError for what a codec cannot carry."""
    from qianzhi.cli.sample_requests import main_of
    from qianzhi.cli.vector_making import Bench, answers, management, requests
    from qianzhi.cli.vector_outward import outward_vectors

    bench = Bench(profile)
    asked = list(requests(bench)) if profile.table.transactions else []
    main = next((each for each in asked if each[0].name == main_of(profile)), None)
    told = list(outward_vectors(bench))
    spoilt = [(main[0], main[2])] if main is not None else told[1:2]
    return {
        REQUESTS: [good_row(bench, vector) for vector, _, _ in asked],
        ANSWERS: [good_row(bench, vector) for vector in answers(bench)] if asked else [],
        MANAGEMENT: [good_row(bench, vector) for vector in management(bench)],
        OUTWARD: [good_row(bench, vector) for vector, _ in told],
        DEFECTIVE: [row for one in spoilt for row in broken_rows(bench, *one)],
    }


def good_row(bench: "Bench", vector: "Vector") -> Row:
    """Return a good vector as its file holds it."""
    from qianzhi.cli.vector_judge import judge

    row: Row = {
        "name": vector.name,
        "direction": vector.direction,
        "what": vector.what,
        "frame": vector.body.hex().upper(),
        "wire": bench.wire(vector.body).hex().upper(),
    }
    if vector.mac_key:
        row["mac_key"] = vector.mac_key.hex().upper()
    if vector.what == "management.key_delivery":
        row["master_key"] = bench.master.hex().upper()
    row["message"] = plain(bench.profile.codec.decode(vector.body))
    return (
        row
        | judge(bench.profile, vector.body, vector.mac_key)
        | ({"note": vector.note} if vector.note else {})
    )


def broken_rows(bench: "Bench", vector: "Vector", message: Row) -> Iterator[Row]:
    """Yield what is derived from one good message; what this dialect reads as good is left out."""
    from qianzhi.cli.vector_defects import FOR_THE_CORE, broken, broken_wire, good_of
    from qianzhi.cli.vector_judge import judge, judge_wire

    good = good_of(bench, vector, message)
    head = {"direction": "in", "what": vector.what}
    key = {"mac_key": vector.mac_key.hex().upper()} if vector.mac_key else {}
    for name, body in broken(good):
        verdict = judge(bench.profile, body, vector.mac_key)
        if not verdict.keys() & {"request", "answer"} or (name in FOR_THE_CORE and "request" in verdict):
            yield {"name": f"{vector.name}.{name}", **head, "frame": body.hex().upper(), **key, **verdict}
    for name, data in broken_wire(good):
        verdict = judge_wire(bench.profile, data, vector.mac_key)
        if not verdict.keys() & {"request", "answer"}:
            yield {"name": f"{vector.name}.{name}", **head, "wire": data.hex().upper(), **key, **verdict}


def plain(value: Any) -> Any:
    """Return a message as JSON can hold it: bytes become {"$bytes": hex}."""
    if isinstance(value, bytes):
        return {"$bytes": value.hex().upper()}
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


def message_of(value: Any) -> Any:
    """Return a message from JSON."""
    if isinstance(value, dict):
        if value.keys() == {"$bytes"}:
            return bytes.fromhex(value["$bytes"])
        return {key: message_of(one) for key, one in value.items()}
    return [message_of(one) for one in value] if isinstance(value, list) else value


# Checking


def check_files(profile: "Profile", folder: Path) -> Report:
    """Check every vector of one bank."""
    from qianzhi.cli.vector_making import Bench

    bench = Bench(profile)
    count = broken = to_do = 0
    faults: list[Fault] = []
    for path in sorted(folder.glob("*.json")):
        rows = read_rows(path, faults)
        count += len(rows)
        broken += sum("message" not in row for row in rows if path.name != SAMPLES)
        for row in rows:
            if not (row.get("frame") or row.get("wire")) and path.name == SAMPLES:
                to_do += 1
                continue
            faults += [Fault(str(path), str(row.get("name", "")), what) for what in wrong(bench, row)]
    if not count:
        faults.append(Fault(str(folder), "", f"no vectors: run `qianzhi vectors {profile.name} --write`"))
    return Report(profile.name, count - to_do, broken, to_do, faults)


def read_rows(path: Path, faults: list[Fault]) -> list[Row]:
    """Return the vectors of one file; one that holds none is a fault, and so is a name that comes twice."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        faults.append(Fault(str(path), "", f"no JSON: {error}"))
        return []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        faults.append(Fault(str(path), "", "no list of vectors"))
        return []
    names = [row.get("name") for row in rows]
    twice = sorted({str(name) for name in names if names.count(name) > 1})
    faults += [Fault(str(path), name, "this name comes twice") for name in twice]
    return rows


def wrong(bench: "Bench", row: Row) -> Iterator[str]:
    """Yield what is wrong with one vector."""
    from qianzhi.cli.vector_judge import judge, judge_wire

    try:
        body, data = (bytes.fromhex(row.get(name, "")) for name in ("frame", "wire"))
        key = bytes.fromhex(row.get("mac_key", ""))
        expected = message_of(row["message"]) if "message" in row else None
    except (TypeError, ValueError):
        yield "frame, wire or a key that is no hex"
        return
    stated = {name: row[name] for name in VERDICTS if name in row}
    found = judge(bench.profile, body, key) if "frame" in row else judge_wire(bench.profile, data, key)
    if stated and found != stated:
        yield f"stated {shown(stated)}, found {shown(found)}"
    if expected is None and not stated:
        yield "neither a message nor an error or result is stated"
    if data and "frame" in row and bench.wire(body) != data:
        yield "the wire is not the frame behind its length header"
    if expected is not None:
        yield from wrong_message(bench, body, expected, key)


def shown(verdict: Row) -> str:
    """Write a judgement in a line."""
    return json.dumps(verdict, ensure_ascii=False)


def wrong_message(bench: "Bench", body: bytes, expected: Row, key: bytes) -> Iterator[str]:
    """Yield in what the platform's codec, or the simulators', does not read or write a good message."""
    from qianzhi.wire.errors import EncodeError, RemoteProtocolError
    from simulators.codecs import BankCodecError
    from simulators.macs import is_signed

    for who, codec in (("our codec", bench.profile.codec), ("the bank's codec", bench.bank)):
        try:
            message = codec.decode(body)
            if message != expected:
                yield f"{who} finds another {differing(message, expected)}"
            if codec.encode(message) != body:
                yield f"{who} would write other bytes"
        except (RemoteProtocolError, EncodeError, BankCodecError) as error:
            yield f"{who}: {error}"
            return
    mac = bench.profile.mac
    if key and mac is not None and not is_signed(mac, bench.bank.decode(body), bench.bank, key, body):
        yield "the simulators find the MAC wrong"


def differing(message: Row, expected: Row) -> str:
    """Name the first field in which two messages differ."""
    names = [name for name in {**expected, **message} if message.get(name) != expected.get(name)]
    return names[0] if names else "message"
