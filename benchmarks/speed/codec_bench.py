"""The codec against pyiso8583: one message of 22 fields, as ASCII and packed, read and written by turns.

    python codec_bench.py       measures the form that is in force (QIANZHI_PURE=1: pure Python), prints JSON

Both libraries read the same bytes and write the same bytes, which is checked here before anything is timed.
CPU time of this one thread; ours and theirs alternate in slices, so that a slow moment meets both.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parent))

import iso8583
from series import Row, ratio

from qianzhi.wire.codec import load_codec
from qianzhi.wire.kernel import FORM

SLICES = 40
OURS_EACH, THEIRS_EACH = 250, 25
MARKS = {
    ("compiled", "decode"): (40, 60),
    ("compiled", "encode"): (60, 120),
    ("pure", "decode"): (5, 9),
    ("pure", "encode"): (12, 25),
}


class Field(NamedTuple):
    """One field; `digits` is 0 where its length is fixed, else how many digits tell it."""

    number: int
    kind: str
    length: int
    digits: int
    value: str


# The lengths are even, where digits are packed, because the two libraries fill odd ones up in different ways.
FIELDS = (
    Field(2, "n", 18, 2, "6222021001111234"),
    Field(3, "n", 6, 0, "000000"),
    Field(4, "n", 12, 0, "000000005000"),
    Field(7, "n", 10, 0, "1123043015"),
    Field(11, "n", 6, 0, "123456"),
    Field(12, "n", 6, 0, "043015"),
    Field(13, "n", 4, 0, "1123"),
    Field(14, "n", 4, 0, "2912"),
    Field(18, "n", 4, 0, "4814"),
    Field(25, "n", 2, 0, "00"),
    Field(32, "n", 10, 2, "03023310"),
    Field(33, "n", 10, 2, "03023310"),
    Field(37, "an", 12, 0, "123404123456"),
    Field(41, "ans", 8, 0, "00000001"),
    Field(42, "ans", 15, 0, "0302HZBANK00001"),
    Field(43, "ans", 40, 0, "HANGZHOU BRANCH OFFICE 12, WEST LAKE RD."),
    Field(48, "ans", 60, 3, "PZ0113800000001     "),
    Field(49, "an", 3, 0, "156"),
    Field(52, "b", 8, 0, "1122334455667788"),
    Field(54, "ans", 40, 3, "0002156C000000012345"),
    Field(60, "n", 20, 3, "012345670123"),
    Field(64, "b", 8, 0, "8877665544332211"),
)


def tree_of(packed: bool) -> dict[str, Any]:
    """Return the message spec as ours is read from a file."""
    digits = "bcd" if packed else "ascii"
    fields: dict[str, Any] = {}
    for field in FIELDS:
        row: dict[str, Any] = {"name": f"f{field.number}", "title": "-", "type": field.kind}
        row["length"] = field.length
        if field.digits:
            row["prefix"] = "L" * field.digits + ("_bcd" if packed else "")
        fields[str(field.number)] = row
    defaults = {"digits": digits, "text": "gbk", "mti": digits}
    head = {"kind": "iso8583", "name": "bench", "title": "-", "header": "none", "bitmap": "binary"}
    return {**head, "message_bytes_max": 2048, "defaults": defaults, "fields": fields}


def spec_of(packed: bool) -> dict[str, Any]:
    """Return the same spec as pyiso8583 has it."""

    def row(kind: str, length: int, digits: int) -> dict[str, Any]:
        is_packed = kind == "b" or (packed and kind == "n")
        found: dict[str, Any] = {"data_enc": "b" if is_packed else "ascii", "max_len": length, "desc": ""}
        found["len_enc"] = "bcd" if packed else "ascii"
        found["len_type"] = (digits + 1) // 2 if packed else digits
        if is_packed and kind == "n":
            found["len_count"] = "nibbles"
        return found

    spec = {str(number): row("ans", 999, 3) for number in range(2, 129)}
    spec |= {"h": row("ans", 0, 0), "t": row("n", 4, 0), "p": row("b", 8, 0), "1": row("b", 8, 0)}
    return spec | {str(field.number): row(field.kind, field.length, field.digits) for field in FIELDS}


class Pair(NamedTuple):
    """What ours and theirs read and write."""

    name: str
    ours: Callable[[Any], Any]
    theirs: Callable[[Any], Any]
    of_ours: Any
    of_theirs: Any


def pairs(packed: bool) -> list[Pair]:
    """Return both directions of an encoding, after a check that both libraries agree; raises SystemExit."""
    codec, problems = load_codec(tree_of(packed), "bench")
    if codec is None:
        raise SystemExit("\n".join(map(str, problems)))
    spec, encoding = spec_of(packed), "BCD" if packed else "ASCII"
    message: dict[str, Any] = {"mti": "0200"}
    fields = {"t": "0200"}
    for field in FIELDS:
        fields[str(field.number)] = field.value
        message[f"f{field.number}"] = bytes.fromhex(field.value) if field.kind == "b" else field.value

    def write(message: dict[str, Any]) -> bytes:
        data, _ = iso8583.encode(message, spec)
        return bytes(data)

    def read(body: bytes) -> dict[str, str]:
        return iso8583.decode(body, spec)[0]  # type: ignore[no-any-return]

    body = codec.encode(message)
    if body != write(dict(fields)):
        raise SystemExit(f"{encoding}: the two write different bytes")
    theirs, ours = read(body), codec.decode(body)
    for field in FIELDS:
        value = ours[f"f{field.number}"]
        text = value.hex().upper() if isinstance(value, bytes) else value.rstrip()
        if text != theirs[str(field.number)].rstrip():
            raise SystemExit(f"{encoding}: the two read field {field.number} as {text!r} and another value")
    return [
        Pair(f"{encoding} decode", codec.decode, read, body, body),
        Pair(f"{encoding} encode", codec.encode, write, message, fields),
    ]


def timed(pair: Pair) -> tuple[float, float]:
    """Return µs of CPU of ours and theirs for one message: the median slice of each."""
    slices: tuple[list[float], list[float]] = ([], [])
    for _ in range(SLICES):
        for work, given, each, found in (
            (pair.ours, pair.of_ours, OURS_EACH, slices[0]),
            (pair.theirs, pair.of_theirs, THEIRS_EACH, slices[1]),
        ):
            began = time.process_time_ns()
            for _ in range(each):
                work(given)
            found.append((time.process_time_ns() - began) / each / 1000)
    return statistics.median(slices[0]), statistics.median(slices[1])


def pyiso8583_us() -> float:
    """Return µs of CPU that pyiso8583 needs to read the message as ASCII: how fast this machine is now."""
    return timed(pairs(False)[0])[1]


def rows(rounds: int) -> tuple[list[Row], dict[str, Any]]:
    """Measure both forms so many times, by turns and in processes of their own; return rows and figures."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for _ in range(rounds):
        for pure in ("0", "1"):
            said = subprocess.run(
                [sys.executable, __file__], env={**os.environ, "QIANZHI_PURE": pure},
                check=True, capture_output=True, text=True,
            )  # fmt: skip
            told = json.loads(said.stdout)
            for name, us in told["us"].items():
                found.setdefault(told["form"], {}).setdefault(name, []).append(us)
    made = []
    for form, figures in found.items():
        for name, us in figures.items():
            marks = MARKS[form, name.partition(" ")[2]]
            theirs, ours = [each[1] for each in us], [each[0] for each in us]
            made.append(ratio(f"codec against pyiso8583, {form}: {name}", theirs, ours, marks))
    return made, {"ours_and_theirs_us": found, "fields": len(FIELDS)}


def main() -> None:
    """Measure once in this process."""
    figures = {pair.name: timed(pair) for packed in (False, True) for pair in pairs(packed)}
    print(json.dumps({"form": FORM, "us": figures}))


if __name__ == "__main__":
    main()
