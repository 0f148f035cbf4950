"""The table of what is fuzzed: a name, what makes its check, and the inputs to begin from.

Every shipped spec is a parser of its own, `shipped_NAME`: whoever adds one has it fuzzed.
"""

import json
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import fuzz_lines as lines
import fuzz_proxy
import msgspec
from fuzz_codecs import codec_check
from fuzz_specs import MESSAGES, SPECS

from qianzhi.wire.codec import Codec, load_codec
from qianzhi.wire.hex_codec import HexCodec

ROOT = Path(__file__).resolve().parents[2]
CORPUS = Path(__file__).parent / "corpus"
Check = Callable[[bytes], None]


class Parser(NamedTuple):
    """One parser: `check` makes the function that takes bytes, `seeds` makes good inputs; `bytes_max` bounds
    the inputs that are made.
    """

    check: Callable[[], Check]
    seeds: Callable[[], list[bytes]]
    bytes_max: int = 512


def compiled(name: str) -> Codec:
    """Return the codec of a dialect of the table of test specs."""
    return _load(SPECS[name], name)


def shipped(path: Path) -> Codec:
    """Return the codec of a shipped spec."""
    with path.open("rb") as file:
        return _load(tomllib.load(file), path.name)


def _load(tree: dict[str, object], name: str) -> Codec:
    codec, problems = load_codec(tree, name)
    if codec is None:
        raise ValueError(f"{name}: {problems[0]}")
    return codec


def encoded(name: str) -> list[bytes]:
    """Return a test dialect's messages as bytes."""
    codec = compiled(name)
    return [codec.encode(message) for message in MESSAGES[name]]


def shipped_seeds(path: Path) -> list[bytes]:
    """Return the messages of the banks that use a shipped spec, from their vectors."""
    found = []
    for bank in sorted((ROOT / "config" / "banks").glob("*.toml")):
        if f'"{path.stem}' in bank.read_text(encoding="utf-8"):
            for file in sorted((ROOT / "tests" / "vectors" / bank.stem).glob("*.json")):
                rows = json.loads(file.read_text(encoding="utf-8"))
                found += [bytes.fromhex(row["frame"]) for row in rows if "frame" in row]
    return found


def _frames(kind: str) -> Parser:
    if kind != "message":
        return Parser(lambda: lines.frame_check(lines.FRAMES[kind]), lambda: lines.FRAME_SEEDS[kind])

    def seeds() -> list[bytes]:
        return [b"\0\5" + one + two for one in encoded("iso_text") for two in encoded("iso_text")]

    return Parser(lambda: lines.frame_check(lines.FRAMES[kind], compiled("iso_text")), seeds)


def _codec(name: str) -> Parser:
    return _either(lambda: compiled(name), partial(encoded, name), 512)


def _shipped(path: Path) -> Parser:
    return _either(lambda: shipped(path), partial(shipped_seeds, path), 1024)


def _either(make: Callable[[], Codec], seeds: Callable[[], list[bytes]], bytes_max: int) -> Parser:
    """Return a codec's parser; of one that travels as hex text, the bytes inside are made up as well."""

    def check() -> Check:
        codec = make()
        plain = codec_check(codec)
        if not isinstance(codec, HexCodec):
            return plain

        def both(data: bytes) -> None:
            plain(data)
            plain(data.hex().upper().encode("ascii"))

        return both

    def inner_too() -> list[bytes]:
        found = seeds()
        return found + [
            bytes.fromhex(one.decode()) for one in found if isinstance(make(), HexCodec) and _is_hex(one)
        ]

    return Parser(check, inner_too, bytes_max)


def _is_hex(data: bytes) -> bool:
    return len(data) % 2 == 0 and not data.strip(b"0123456789ABCDEFabcdef")


def _plain(check: Check, seeds: list[bytes], bytes_max: int = 512) -> Parser:
    return Parser(lambda: check, lambda: seeds, bytes_max)


PARSERS: dict[str, Parser] = {
    **{f"frame_{kind}": _frames(kind) for kind in lines.FRAMES},
    "cups_header": _plain(lines.check_header, lines.HEADER_SEEDS, 128),
    "tlv": Parser(lines.tlv_check, lambda: lines.TLV_SEEDS, 300),
    "link": _plain(lines.check_link, lines.LINK_SEEDS),
    "link_body": _plain(lines.check_link_body, lines.LINK_BODY_SEEDS, 256),
    "keys": Parser(
        lambda: lines.keys_check(compiled("iso_packed")), lambda: lines.key_seeds(compiled("iso_packed")), 64
    ),
    "pin": _plain(lines.check_pin, lines.PIN_SEEDS, 16),
    "proxy": _plain(fuzz_proxy.check_proxy, fuzz_proxy.SEEDS, 256),
    "texts": _plain(lines.check_texts, lines.TEXT_SEEDS, 64),
    "spec": _plain(lines.check_spec, [msgspec.json.encode(tree) for tree in SPECS.values()], 2048),
    "packager": _plain(lines.check_packager, lines.PACKAGER_SEEDS, 1024),
    **{name: _codec(name) for name in SPECS},
    **{f"shipped_{path.stem}": _shipped(path) for path in sorted((ROOT / "config" / "specs").glob("*.toml"))},
}


def kept(name: str) -> list[bytes]:
    """Return a parser's kept corpus: what once reached something new, or failed."""
    return [path.read_bytes() for path in sorted((CORPUS / name).glob("*")) if path.is_file()]
