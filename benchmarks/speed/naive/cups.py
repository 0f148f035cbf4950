"""The messages of a CUPS line as pyiso8583 reads them, and their MAC by pycryptodome: what one writes first.

Only what a recharge has; the tables are the public conventions of the dialect.
"""

import re

import iso8583
from Crypto.Cipher import DES, DES3

HEADER_BYTES = 46
PREFIXED = {"2", "32", "33", "48", "100"}
COVERED = ["t", "2", "3", "4", "7", "11", "18", "25", "28", "32", "33", "38", "39", "41", "42", "90", "48"]


def _field(length_digits: int, length: int, text: str = "ascii") -> dict[str, object]:
    return {
        "data_enc": text,
        "len_enc": "ascii",
        "len_type": length_digits,
        "max_len": length,
        "desc": "",
    }


SPEC: dict[str, dict[str, object]] = {
    "h": _field(0, HEADER_BYTES, "latin-1"),
    "t": _field(0, 4),
    "p": {**_field(0, 8, "b"), "len_count": "bytes"},
    "1": {**_field(0, 8, "b"), "len_count": "bytes"},
    **{str(number): _field(3, 999) for number in range(2, 129)},
    "2": _field(2, 19),
    "3": _field(0, 6),
    "4": _field(0, 12),
    "7": _field(0, 10),
    "11": _field(0, 6),
    "12": _field(0, 6),
    "13": _field(0, 4),
    "15": _field(0, 4),
    "18": _field(0, 4),
    "22": _field(0, 3),
    "25": _field(0, 2),
    "32": _field(2, 11),
    "33": _field(2, 11),
    "37": _field(0, 12),
    "38": _field(0, 6),
    "39": _field(0, 2),
    "41": _field(0, 8),
    "42": _field(0, 15),
    "48": _field(3, 512),
    "49": _field(0, 3),
    "54": _field(3, 40),
    "128": _field(0, 8),
}


def decode(frame: bytes) -> dict[str, str]:
    """Return the fields of a frame by number, `t` its type, `h` its header."""
    fields, _ = iso8583.decode(frame, SPEC)
    return fields


def encode(fields: dict[str, str]) -> bytes:
    """Return the frame of these fields."""
    data, _ = iso8583.encode(fields, SPEC)
    return bytes(data)


def mac_of(fields: dict[str, str], key: bytes) -> str:
    """Return the MAC (X9.19, eight hex characters) of a message's covered fields."""
    parts = []
    for name in COVERED:
        value = fields.get(name)
        if value is None:
            continue
        if name in PREFIXED:
            digits = SPEC[name]["len_type"]
            value = f"{len(value):0{digits}d}{value}"
        value = re.sub(r"[^A-Z0-9 ,.]", "", value.upper()).strip()
        parts.append(re.sub(" +", " ", value))
    return x919(" ".join(parts).encode("ascii"), key).hex().upper()[:8]


def x919(data: bytes, key: bytes) -> bytes:
    """Return the MAC of ANSI X9.19 under a key of 16 bytes."""
    data += bytes(-len(data) % 8)
    chained = DES.new(key[:8], DES.MODE_CBC, iv=bytes(8)).encrypt(data)  # noqa: S304  as prescribed
    return DES3.new(key, DES3.MODE_ECB).encrypt(
        bytes(
            a ^ b for a, b in zip(data[-8:], chained[-16:-8] if len(chained) > 8 else bytes(8), strict=True)
        )
    )
