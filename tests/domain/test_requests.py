"""The vocabulary that travels: keys as text, and messages that older and newer versions both read."""

import msgspec
import pytest

from qianzhi.domain.requests import Key, Kind, Request


def test_a_key_survives_being_written_down_even_with_a_slash_in_its_serial():
    key = Key("hz_citic", 20261122, "A/7")
    assert Key.parse(key.text) == key


@pytest.mark.parametrize(
    "bad", ["", "x", "a/20261122", "a//1", "/20261122/1", "a/2026112/1", "a/２0261122/1"]
)
def test_what_is_no_key_is_refused(bad):
    with pytest.raises(ValueError, match="key"):
        Key.parse(bad)


def test_a_newer_peers_extra_fields_are_ignored_and_an_older_ones_missing_fields_get_defaults():
    request = Request(Kind.RECHARGE, "s", 20261122, "1", "b", "n", "13800000000", 5000)
    wire = msgspec.msgpack.decode(msgspec.msgpack.encode(request))
    newer = msgspec.msgpack.encode([*wire, "field of a later version"])
    older = msgspec.msgpack.encode(wire[:8])
    assert msgspec.msgpack.decode(newer, type=Request) == request
    assert msgspec.msgpack.decode(older, type=Request) == request
