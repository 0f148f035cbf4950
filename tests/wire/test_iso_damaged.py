"""Damaged ISO 8583 messages of every shipped bank: where bytes are missing or too many, no secret shows."""

import json
import tomllib
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qianzhi.wire.codec import load_codec
from qianzhi.wire.errors import EncodeError, RemoteProtocolError
from qianzhi.wire.paths import get_path, put_path

ROOT = Path(__file__).resolve().parents[2]
BANKS = ["boc", "hz_citic", "nb_ccb", "psbc", "unionpay_web", "zongheng"]
PAN, PHONE, SECRET = "6228773946152785193", "13927485160", bytes.fromhex("8CB7E6A9D35EC4F1BA6D7E93CE5A8BF2")
WINDOW = 6  # digits in a row, or hex digits of a key


@cache
def messages_of(bank):
    """A bank's codec, and its vectors' messages with secrets that are known again wherever they appear."""
    profile = tomllib.loads((ROOT / "config" / "banks" / f"{bank}.toml").read_text(encoding="utf-8"))
    file = ROOT / "config" / "specs" / f"{profile['message']['spec']}.toml"
    codec, problems = load_codec(tomllib.loads(file.read_text(encoding="utf-8")), file.name)
    assert problems == []
    bodies = [
        with_canaries(codec, bytes.fromhex(row["frame"]))
        for path in sorted((ROOT / "tests" / "vectors" / bank).glob("*.json"))
        for row in json.loads(path.read_text(encoding="utf-8"))
        if "error" not in row
    ]
    return codec, list(dict.fromkeys(bodies))


def with_canaries(codec, body):
    message = codec.decode(body)
    if codec.sensitive("pan"):
        message.setdefault("pan", PAN)
    if parts := {path for path in codec.paths() if path.startswith("keys.")}:
        message["keys"] = {path.partition(".")[2]: bytes(codec.width(path)) for path in parts}
    for path in sorted(codec.paths()):
        kind, value = codec.sensitive(path), get_path(message, path)
        if not kind or value is None:
            continue
        size = codec.width(path) or len(value)
        canary = SECRET[:size] if codec.binary(path) else (PHONE if kind == "phone" else PAN)[:size]
        put_path(message, path, canary)
        try:
            codec.encode(message)
        except EncodeError:
            put_path(message, path, value)
    return codec.encode(message)


def leaks(shown):
    """Windows of the secrets that stand in a text; a card number's first six and last four may."""
    windows = [PAN[at : at + WINDOW] for at in range(1, len(PAN) - WINDOW + 1)]
    windows += [PHONE[at : at + WINDOW] for at in range(len(PHONE) - WINDOW + 1)]
    windows += [SECRET.hex()[at : at + WINDOW] for at in range(2 * len(SECRET) - WINDOW + 1)]
    return [window for window in windows if window in shown.lower()]


def error_of(codec, body):
    try:
        codec.decode(body)
    except RemoteProtocolError as error:
        return error
    return None


def shown_of(codec, body, error):
    """Everything that people are shown of a body that cannot be decoded."""
    masked = codec.mask(body)
    assert len(masked) == len(body)
    texts = [masked.decode("latin-1"), masked.decode("cp500"), masked.hex(), str(error), error.found]
    for view in codec.describe(body):
        texts += [view.value, view.title]
    return texts


def edits_of(data, body):
    """Truncate, insert, delete and flip at random, once to four times."""
    body = bytearray(body)
    for _ in range(data.draw(st.integers(1, 4))):
        at, size = data.draw(st.integers(0, len(body))), data.draw(st.integers(1, 24))
        how = data.draw(st.sampled_from(["cut", "delete", "insert", "again", "flip", "byte"]))
        if how == "cut":
            del body[at:]
        elif how == "delete":
            del body[at : at + size]
        elif how == "insert":
            body[at:at] = data.draw(st.binary(min_size=size, max_size=size))
        elif how == "again":
            body[at:at] = body[at : at + size]
        elif at < len(body):
            body[at] = body[at] ^ 1 << size % 8 if how == "flip" else data.draw(st.integers(0, 255))
    return bytes(body)


@pytest.mark.parametrize("bank", BANKS)
@settings(max_examples=400)
@given(data=st.data())
def test_of_a_damaged_message_no_secret_is_shown(bank, data):
    codec, bodies = messages_of(bank)
    body = edits_of(data, data.draw(st.sampled_from(bodies)))
    if (error := error_of(codec, body)) is not None:
        for text in shown_of(codec, body, error):
            assert leaks(text) == [], text


@pytest.mark.parametrize("bank", BANKS)
def test_no_digit_too_few_or_too_many_and_no_other_length_shows_a_secret(bank):
    """Every single damage that moves what follows: a byte away, a byte twice, a byte one more or less."""
    codec, bodies = messages_of(bank)
    broken = 0
    for body in (min(bodies, key=len), max(bodies, key=len)):
        for at in range(len(body)):
            near = [bytes([body[at] + by & 255]) for by in (-16, -1, 1, 16)]
            for piece in (b"", body[at : at + 1] * 2, *near):
                changed = body[:at] + piece + body[at + 1 :]
                if (error := error_of(codec, changed)) is not None:
                    broken += 1
                    assert not any(leaks(text) for text in shown_of(codec, changed, error)), changed
    assert broken > 100


@pytest.mark.parametrize("bank", BANKS)
def test_of_a_damaged_message_the_head_is_shown_and_where_it_breaks(bank):
    codec, bodies = messages_of(bank)
    for body in bodies:
        assert codec.mask(body) == codec.mask(body, decoded=True)
        assert codec.describe(codec.mask(body)) == codec.describe(body)
        views = {view.path: view for view in codec.describe(body)}
        start, stop = views["mti"].offset, views["bitmap"].offset + views["bitmap"].length
        for cut in (body[:-1], body + b"0", body + body):
            assert codec.mask(cut) == b"*" * start + body[start:stop] + b"*" * (len(cut) - stop)
            again = codec.describe(cut)
            assert [view for view in again if view.path == "mti"] == [views["mti"]]
            assert again[-1].tag == "!"
        assert codec.mask(body[: stop - 1]) == b"*" * (stop - 1)


@pytest.mark.parametrize("bank", ["hz_citic", "unionpay_web"])
def test_a_shift_that_later_bytes_make_up_for_shows_no_secret(bank):
    """Ten digits of the card number move into the fields behind it, and every length fits all the same."""
    codec, bodies = messages_of(bank)
    body = max((one for one in bodies if b"19" + PAN.encode() in one), key=len)
    at = body.index(b"19" + PAN.encode())
    fitting = 0
    for gap in range(at + 21, len(body) - 10):
        changed = body[:at] + b"09" + body[at + 2 : gap] + body[gap + 10 :]
        if (error := error_of(codec, changed)) is not None:
            fitting += codec.mask(changed, decoded=True) != codec.mask(changed)
            assert not any(leaks(text) for text in shown_of(codec, changed, error)), changed
    assert fitting
