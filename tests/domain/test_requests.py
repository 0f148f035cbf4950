"""The vocabulary that travels: keys as text, and messages that older and newer versions both read."""

import msgspec
import pytest

from qianzhi.domain.requests import Key, Kind, Reply, Request
from qianzhi.domain.results import Result


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


def test_totals_travel_between_versions_that_know_them_and_versions_that_do_not():
    asked = Request(
        Kind.TOTALS, "s", 20261122, "1", "b", "n", "", 900, count=2, reversed_count=1, reversed_fen=400
    )
    told = Reply(Result.TOTALS_DIFFER, amount_fen=500, count=1, reversed_count=1, reversed_fen=500)
    for message, known in ((asked, 13), (told, 8)):
        wire = msgspec.msgpack.decode(msgspec.msgpack.encode(message))
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=type(message)) == message
        old = msgspec.msgpack.decode(msgspec.msgpack.encode(wire[:known]), type=type(message))
        assert (old.count, old.reversed_count, old.reversed_fen) == (0, 0, 0)
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(old))[:known] == wire[:known]
