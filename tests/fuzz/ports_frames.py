"""Mutated messages of one dialect: bytes that a bank should never send, made from those that it does.

Pure: numbers come from a `Random` of the caller's, so that a seed and a count give the same frames again.
What is mutated may get a right MAC afterwards, because what stands behind the check of the MAC has to be
reached too.
"""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random  # noqa: TID251 - seeded
from typing import TYPE_CHECKING, Any

from simulators.codecs import BankCodec, BankCodecError
from simulators.codecs.paths import value_at
from simulators.macs import carries, field_text, sign, written

if TYPE_CHECKING:
    from frontends.profile import Profile

Message = dict[str, Any]
Mutation = Callable[[Random, bytes, bytes], bytes]  # chance, frame, another frame

HUGE = (300, 1_000, 5_000, 70_000)
TEXTS = (
    "",
    " ",
    "0",
    "-1",
    "+5",
    "1_0",
    "٣",
    "９９",
    "\0",
    "\ud800",
    "中" * 40,
    "9" * 400,
    "a|b&c=d<e>",
    "%s%n",
)
# No character of GBK, none of UTF-8, a byte order mark, an overlong NUL, the end of EBCDIC's digits.
CHARSETS = (b"\xff\xff", b"\x81\x30\x81", b"\xc3\x28", b"\xef\xbb\xbf", b"\xc0\x80", b"\xfa\xfb", b"\x80")


def flip(chance: Random, frame: bytes, _: bytes) -> bytes:
    """Turn a few bits."""
    data = bytearray(frame or b"\0")
    for _number in range(chance.randint(1, 8)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def head(chance: Random, frame: bytes, _: bytes) -> bytes:
    """Turn bits where header, message type and bitmap stand."""
    data = bytearray(frame or b"\0")
    for _number in range(chance.randint(1, 4)):
        data[chance.randrange(min(len(data), 96))] ^= 1 << chance.randrange(8)
    return bytes(data)


def cut(chance: Random, frame: bytes, _: bytes) -> bytes:
    """Keep the beginning or the end alone."""
    at = chance.randrange(len(frame) + 1)
    return frame[:at] if chance.randrange(4) else frame[at:]


def splice(chance: Random, frame: bytes, other: bytes) -> bytes:
    """Begin as one message and end as another."""
    return frame[: chance.randrange(len(frame) + 1)] + other[chance.randrange(len(other) + 1) :]


def double(chance: Random, frame: bytes, _: bytes) -> bytes:
    """Say a part of it again, or many times."""
    start = chance.randrange(len(frame) + 1)
    stop = min(len(frame), start + chance.randint(1, 40))
    times = chance.choice((1, 1, 2, 20, 100))
    return frame[:stop] + frame[start:stop] * times + frame[stop:]


def swell(chance: Random, frame: bytes, _: bytes) -> bytes:
    """Put something huge into it."""
    at = chance.randrange(len(frame) + 1)
    filling = chance.choice((b"9", b"\xff", b" ", b"\0", b"<a>", b"|", b"&a="))
    return frame[:at] + filling * (chance.choice(HUGE) // len(filling)) + frame[at:]


def digits(chance: Random, frame: bytes, _: bytes) -> bytes:
    """Make numbers that are none, or others: lengths and counts of the message among them."""
    data = bytearray(frame)
    places = [at for at, byte in enumerate(data) if 0x30 <= byte <= 0x39]
    for at in chance.sample(places, min(len(places), chance.randint(1, 6))):
        data[at] = chance.choice(b"0123456789 -+_.Aa\0\xb2")
    return bytes(data)


def charset(chance: Random, frame: bytes, _: bytes) -> bytes:
    """Put bytes into it that are no text in any of the character sets."""
    at = chance.randrange(len(frame) + 1)
    return frame[:at] + chance.choice(CHARSETS) + frame[at + chance.randrange(3) :]


def noise(chance: Random, frame: bytes, _: bytes) -> bytes:
    """Send something that has nothing to do with it."""
    return chance.randbytes(chance.choice((0, 1, 3, 17, len(frame), 900)))


def random_mac(chance: Random, frame: bytes, _: bytes) -> bytes:
    """Put a made-up MAC behind it."""
    size = min(len(frame), chance.choice((8, 16, 32)))
    made = chance.randbytes(size) if chance.randrange(2) else chance.randbytes(size).hex()[:size].encode()
    return frame[: len(frame) - size] + made


def whole(_: Random, frame: bytes, __: bytes) -> bytes:
    """Leave it as it is: a repeat, an answer that nobody asked for."""
    return frame


MUTATIONS: dict[str, Mutation] = {
    "flip": flip,
    "head": head,
    "cut": cut,
    "splice": splice,
    "double": double,
    "swell": swell,
    "digits": digits,
    "charset": charset,
    "noise": noise,
    "random_mac": random_mac,
    "whole": whole,
}


class Made:
    """One frame: its bytes, how it was made, and as it goes out: a socket's bytes, a queue's parts."""

    __slots__ = ("data", "how", "parts", "wire")

    def __init__(self, data: bytes, how: str) -> None:
        self.data, self.how = data, how
        self.wire = data
        self.parts = [data]


class Frames:
    """Frames of one dialect without end; `fresh` are messages of now, and `key` is the one in force."""

    def __init__(self, profile: "Profile", codec: BankCodec, vectors: Path) -> None:
        self._profile, self._codec = profile, codec
        self._samples, self._messages = read_vectors(vectors)
        self.fresh: list[tuple[Message, bytes]] = []
        self.key: bytes | None = None

    def take(self, count: int, chance: Random) -> list[Made]:
        """Return so many frames."""
        return [self._one(chance) for _ in range(count)]

    def _one(self, chance: Random) -> Made:
        way = chance.randrange(10)
        if way < 4 and (self.fresh or self._messages):
            made = self._changed(chance)
            if made is not None:
                return made
        name = chance.choice(list(MUTATIONS))
        message, frame = self._base(chance)
        data = MUTATIONS[name](chance, frame, self._base(chance)[1])
        if way < 8 and message is not None:
            signed = resigned(self._profile, self._codec, self.key, message, data)
            if signed is not None:
                return Made(signed, f"{name}, signed")
        return Made(data, name)

    def _base(self, chance: Random) -> tuple[Message | None, bytes]:
        if self.fresh and chance.randrange(10) < 7:
            return chance.choice(self.fresh)
        return None, chance.choice(self._samples)

    def _changed(self, chance: Random) -> Made | None:
        """Change values of a message, sign it and write it; None where its codec cannot write it."""
        now = [message for message, _ in self.fresh]
        chosen = now if now and (not self._messages or chance.randrange(10) < 7) else self._messages
        message = copy.deepcopy(chance.choice(chosen))
        names = change(chance, message)
        try:
            if self._profile.mac is not None and self.key is not None:
                sign(self._profile.mac, message, self._codec, self.key)
            return Made(self._codec.encode(message), f"changed {names}")
        except (BankCodecError, ValueError, TypeError, KeyError, AttributeError):
            return None  # the bank's codec refuses to write it


def change(chance: Random, message: Message) -> str:
    """Change one to three values of a message in place; return their names."""
    names = []
    for _ in range(chance.randint(1, 3)):
        holder: Any = message
        while True:
            places = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not places:
                break
            place = chance.choice(places)
            if isinstance(holder[place], dict | list) and holder[place]:
                holder = holder[place]
                continue
            _change_value(chance, holder, place)
            names.append(str(place))
            break
    return ", ".join(names)


def _change_value(chance: Random, holder: Any, place: Any) -> None:
    value = holder[place]
    way = chance.randrange(5)
    if way == 0 and isinstance(holder, dict):
        del holder[place]
    elif isinstance(value, bytes):
        holder[place] = chance.randbytes(len(value)) if way < 4 else value[: chance.randrange(len(value) + 1)]
    elif isinstance(value, str) and way < 3 and value:
        at = chance.randrange(len(value))
        holder[place] = value[:at] + chance.choice("0123456789 ABZ-") + value[at + 1 :]
    elif isinstance(value, str):
        text = chance.choice(TEXTS)
        holder[place] = text[: len(value)] if way == 3 and value else text
    elif isinstance(value, int):
        holder[place] = chance.choice((0, 1, value + 1, 10 ** chance.randrange(1, 20)))


def resigned(
    profile: "Profile", codec: BankCodec, key: bytes | None, message: Message, data: bytes
) -> bytes | None:
    """Return mutated bytes of `message` with a right MAC in the place of its own, None where that is not to
    be had: the MAC's bytes are gone, or there is nothing from which one could be made.
    """
    table = profile.mac
    if table is None or key is None or not carries(table, message):
        return None
    old = value_at(message, table.field)
    old = old.encode("ascii") if isinstance(old, str) else old
    if not old or data.count(old) != 1:
        return None
    at = data.index(old)
    try:
        if table.covers == "fields":
            covered = field_text(table, codec.decode(data), codec)
        else:
            sides = {"before": data[:at], "after": data[at + len(old) :]}
            sides["around"] = sides["before"] + sides["after"]
            covered = sides[table.covers]
        new = written(table, key, covered)
    except (BankCodecError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return data[:at] + new + data[at + len(old) :] if len(new) == len(old) else None


def read_vectors(folder: Path) -> tuple[list[bytes], list[Message]]:
    """Return the frames and the messages of a dialect's vectors."""
    frames, messages = [b""], []
    for path in sorted(folder.glob("*.json")):
        for vector in json.loads(path.read_text(encoding="utf-8")):
            for name in ("frame", "wire"):
                if vector.get(name):
                    frames.append(bytes.fromhex(vector[name]))
            if "message" in vector:
                messages.append(_restored(vector["message"]))
    return frames, messages


def _restored(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"$bytes"}:
            return bytes.fromhex(value["$bytes"])
        return {name: _restored(inner) for name, inner in value.items()}
    return [_restored(inner) for inner in value] if isinstance(value, list) else value


# -- lengths that are wrong


def broken_lengths(profile: "Profile", body: bytes, chance: Random) -> bytes:
    """Return a frame whose length header lies; what comes after it on the connection is lost."""
    spec = profile.frame
    if spec.kind in ("none", "message"):
        return body + chance.randbytes(chance.randrange(40))
    size = spec.size
    if spec.kind == "ascii":
        heads = [
            b"9" * size,
            b"0" * size,
            b" " * size,
            b"-" + b"1" * (size - 1),
            b"x" * size,
            b"0" * (size - 1),
        ]
        heads += [b"%0*d" % (size, wrong) for wrong in (1, max(0, len(body) - 3), len(body) + 9)]
    else:
        heads = [b"\xff" * size, b"\0" * size, b"\x0a" * size, b"\x7f" * size, b"\0" * (size - 1)]
        heads += [wrong.to_bytes(8, "big")[-size:] for wrong in (1, max(0, len(body) - 3), len(body) + 9)]
    return chance.choice(heads) + body


def slices(data: bytes, chance: Random) -> Iterator[bytes]:
    """Cut bytes into single ones at first, and into a few large pieces behind the 200th."""
    for at in range(min(len(data), 200)):
        yield data[at : at + 1]
    rest = data[200:]
    while rest:
        size = chance.randint(1, len(rest))
        yield rest[:size]
        rest = rest[size:]
