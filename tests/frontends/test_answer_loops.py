"""Two fronts of one profile, each the other's peer: whatever a line damages, they do not answer for ever."""

import functools
import json
from itertools import product
from pathlib import Path

import pytest
from asked_networks import world

from frontends.front import BACKOUT, TO_BANK, Frame
from frontends.front_core import make_processor
from frontends.mapping_rows import values_of
from frontends.profile import load_profile, resolve_keys
from frontends.session_rows import KeyRow, Saved
from qianzhi.link.hop import Hop, HopLimits
from qianzhi.runtime.effects import Count, Record, Send, Store
from qianzhi.runtime.now import Now
from qianzhi.wire.codec import put_path
from qianzhi.wire.errors import EncodeError
from qianzhi.wire.keys import check_value, wrap
from qianzhi.wire.mac import KEY_BYTES, make_mac
from qianzhi.wire.mackey import MacKey
from simulators.line import Incoming

ROOT = Path(__file__).parents[2]
BANKS = sorted(path.stem for path in (ROOT / "config/banks").glob("*.toml"))
NOW = Now(5_000_000, 1_795_312_800_250_000)
WORKING = bytes.fromhex("15D6F2A762018AD004155E6E0162527A")
ROUNDS_MAX = 4  # of a line's own talk: sign-on, its answer with a key to follow, the answer to that
TYPES = ["".join(digits) for digits in product("0", "0123456789", "0123456789", "01")]
TYPES += ["1200", "1210", "8583", "0299", "A211"]
ODD = ["", "0", "1", "7", "9999", "XXX", "RSP", "00000"]


class Side:
    """One end: a front's core as it starts, signed on with a key or not, and what it says."""

    def __init__(self, profile, keys, *, signed_on):
        self.key = MacKey(keys["mac"] if "mac" in keys else working(profile)) if profile.mac else None
        rows = []
        if "master" in keys and self.key is not None:
            material = self.key.material
            row = (profile.name, "current", wrap(keys["master"], material), check_value(material)[:4])
            rows = [KeyRow(*row, NOW.wall_us)]
        saved = Saved(rows, signed_on, 0)
        self.core = make_processor(profile, keys, saved, Hop(HopLimits(), ["n1"]), "front-x-1", NOW)
        self.core.add_random(bytes(range(256)))
        self.aside = []
        self.hear(self.core.on_connected(1, "peer", NOW))

    def hear(self, effects):
        """Carry effects out; return the frames that go to the other side."""
        said = []
        for effect in effects:
            if isinstance(effect, Store):
                said += self.hear(self.core.on_stored(effect.token, NOW))
            elif isinstance(effect, Send) and effect.to == TO_BANK:
                said += [body for _, body in effect.items]
            elif isinstance(effect, Send) and effect.to == BACKOUT:
                self.aside += effect.items
        return said

    def take(self, *bodies):
        return self.hear(self.core.on_frames([Frame(1, body) for body in bodies], NOW))


def working(profile):
    """A working key of the line's length."""
    ours = profile.session.keys == "ours"
    return WORKING[: profile.session.key_bytes if ours else max(KEY_BYTES[profile.mac.algorithm])]


@functools.cache
def made(bank):
    profile, problems = load_profile(ROOT / "config", bank)
    assert problems == []
    return profile, resolve_keys(profile, ROOT / "config", production=False)


def written(bank):
    """The first message of each sort that the bank's vectors hold."""
    for file in ("requests", "outward", "answers", "management"):
        path = ROOT / "tests/vectors" / bank / f"{file}.json"
        if path.exists():
            yield bytes.fromhex(json.loads(path.read_text(encoding="utf-8"))[0]["frame"])


def told_apart_by(profile):
    """Every path that says what a message is, with all values that mean something there, and odd ones."""
    table = profile.table
    whens = [rows.when for rows in (*table.transactions.values(), *table.management.values())]
    found = {}
    for when in [*whens, table.match.answer, table.match.rejected]:
        for path, values in when.items():
            found.setdefault(path, {*ODD}).update(values_of(values))
    if "mti" in found:
        found["mti"].update(TYPES)
    return {path: sorted(values - {"*"}) for path, values in found.items()}


TYPED = [name for name in BANKS if "mti" in told_apart_by(made(name)[0])]


def odd_messages(bank):
    """Messages of the profile with another word where it says what it is, with a right MAC and without."""
    profile, keys = made(bank)
    key = Side(profile, keys, signed_on=True).key
    for body in written(bank):
        for path, values in told_apart_by(profile).items():
            for value in values:
                for sealed in (True, False):
                    message = profile.codec.decode(body)
                    put_path(message, path, value)
                    try:
                        if sealed and key is not None:
                            make_mac(profile.mac, message, profile.codec, key)
                        yield profile.codec.encode(message)
                    except (EncodeError, ValueError):
                        continue  # this dialect has no such message


@pytest.mark.parametrize("signed_on", [False, True])
@pytest.mark.parametrize("bank", BANKS)
def test_what_a_front_says_to_an_odd_message_is_answered_by_nobody(bank, signed_on):
    profile, keys = made(bank)
    silent = answered = 0
    for body in odd_messages(bank):
        first, other = (Side(profile, keys, signed_on=signed_on) for _ in range(2))
        said = first.take(body)
        silent, answered = silent + (not said), answered + bool(said)
        echoed = said
        for _ in range(ROUNDS_MAX):
            said, echoed = other.take(*said), first.take(*echoed)
            first, other = other, first
        assert (said, echoed) == ([], []), body
    assert silent
    assert answered


def spoiled(bank, mti):
    """A request of a bank with another message type, signed."""
    profile, keys = made(bank)
    side = Side(profile, keys, signed_on=True)
    message = profile.codec.decode(next(written(bank)))
    message["mti"] = mti
    if profile.mac is not None:
        make_mac(profile.mac, message, profile.codec, side.key)
    return side, profile.codec.encode(message)


@pytest.mark.parametrize("bank", TYPED)
@pytest.mark.parametrize("mti", ["0291", "0990"])
def test_a_message_type_that_nobody_names_is_counted_and_not_answered(bank, mti):
    side, body = spoiled(bank, mti)
    effects = side.core.on_frames([Frame(1, body)], NOW)
    assert side.hear(effects) == []
    assert Count("qianzhi_bad_frames_total", (bank, "unanswerable"), 1) in effects
    [rows] = [effect.rows for effect in effects if isinstance(effect, Record)]
    assert rows[0].name == "in", "it is recorded as it came"
    assert side.core.idle


@pytest.mark.parametrize("bank", TYPED)
def test_a_request_of_a_type_that_nobody_names_hears_so_once(bank):
    side, body = spoiled(bank, "0300")
    [said] = side.take(body)
    message = made(bank)[0].codec.decode(said)
    assert message["mti"] == "0310"
    assert Side(*made(bank), signed_on=True).take(said) == []


def test_on_a_queue_such_a_message_is_put_aside():
    side, body = spoiled("boc", "0211")
    assert side.take(body) == []
    assert side.aside == [(1, "unanswerable")]


def test_a_message_type_that_is_another_by_one_damaged_bit_is_not_answered():
    side, body = spoiled("hz_citic", "0211")
    assert side.take(body) == []


@pytest.mark.parametrize("name", ["unet", "vnet", "mnet"])
@pytest.mark.parametrize("mti", ["0291", "0891", "0990"])
def test_front_and_network_do_not_answer_each_other_for_ever(name, mti):
    both = world(name)
    both.ask(both.charge())
    profile, books = both.profile, dict(both.network.network.charges)
    message = profile.codec.decode(both.sent[-1])
    message["mti"] = mti
    if profile.mac is not None:
        make_mac(profile.mac, message, profile.codec, MacKey(made(name)[1]["mac"]))
    body, before = profile.codec.encode(message), len(both.sent)
    both.inject(body)
    assert both.network.on_frames([Incoming(body)], both.now) == []
    assert (both.network.bad, len(both.sent)) == (1, before)
    assert both.network.network.charges == books


def test_a_network_leaves_alone_what_came_back_as_unacceptable():
    both = world("unet")
    both.ask(both.charge(amount_fen=5_099))
    body = both.sent[-1]
    assert both.network.on_frames([Incoming(body[:41] + b"10026" + body[46:])], both.now) == []
    assert both.network.bad == 1
    assert both.network.network.charges == {}
