"""What a shipped profile's MAC protects: whoever holds no key can change nothing that money depends on.

Tried on bytes, not on tables: in every request that must carry a MAC each value that the platform takes is
changed, one at a time, and the message must then be refused; so must an answer with another result.
"""

import copy
from pathlib import Path
from typing import Any

import pytest

from frontends.mapping_rows import split_row, values_of
from frontends.profile import load_profile
from qianzhi.cli.sample_requests import message_of, request_of
from qianzhi.cli.vector_making import Bench, answers
from qianzhi.cli.vector_outward import outward_vectors
from qianzhi.wire.errors import MacError
from qianzhi.wire.mac import verify_mac
from qianzhi.wire.mackey import MacKey
from qianzhi.wire.paths import get_path, put_path

CONFIG = Path(__file__).parents[2] / "config"
NETWORKS = ("lnet", "unet", "vnet")  # of which nothing is asked of us; a fourth, mnet, has no MACs
ALL = sorted(path.stem for path in (CONFIG / "banks").glob("*.toml"))
BANKS = [name for name in ALL if name not in (*NETWORKS, "mnet")]
# A repeat flag decides nothing: the key does.
FREE = {"repeat"}


@pytest.mark.parametrize("name", BANKS)
def test_no_value_of_a_request_can_be_changed_without_the_key(name: str) -> None:
    profile, problems = load_profile(CONFIG, name)
    assert profile is not None, problems
    assert profile.mac is not None
    bench = Bench(profile)
    key = MacKey(bench.mac_key)
    open_values = []
    for title, rows in profile.table.transactions.items():
        body = bench.by_bank(message_of(profile, title, request_of(profile, title)))
        message = profile.codec.decode(body)
        assert profile.mac_required(message), title
        verify_mac(profile.mac, message, profile.codec, [key], body)
        taken = {**profile.table.request.take, **rows.take}
        paths = {
            split_row(row)[0] for field, text in taken.items() if field not in FREE for row in values_of(text)
        }
        for path in sorted(paths | set(rows.when)):
            changed = change(message, path)
            if changed is None:
                continue
            try:
                bytes_changed = profile.codec.encode(changed)
                verify_mac(
                    profile.mac, profile.codec.decode(bytes_changed), profile.codec, [key], bytes_changed
                )
            except MacError:
                continue
            except ValueError:
                continue  # this dialect cannot say the other value at all
            open_values.append(f"{title}: {path}")
    assert open_values == []


@pytest.mark.parametrize("name", BANKS)
def test_no_result_of_an_answer_can_be_changed_without_the_key(name: str) -> None:
    profile, problems = load_profile(CONFIG, name)
    assert profile is not None, problems
    assert profile.mac is not None
    bench = Bench(profile)
    key = MacKey(bench.mac_key)
    for vector in answers(bench):
        message = profile.codec.decode(vector.body)
        assert profile.mac_required(message), vector.name
        verify_mac(profile.mac, message, profile.codec, [key], vector.body)
        changed = change(message, profile.table.reply.result)
        assert changed is not None
        body = profile.codec.encode(changed)
        with pytest.raises(MacError):
            verify_mac(profile.mac, profile.codec.decode(body), profile.codec, [key], body)


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_that_a_network_and_we_say_of_money_can_be_changed_without_the_key(name: str) -> None:
    profile, problems = load_profile(CONFIG, name)
    assert profile is not None, problems
    assert profile.mac is not None
    assert profile.table.outward is not None
    bench = Bench(profile)
    key = MacKey(bench.mac_key)
    open_values = []
    for vector, _ in outward_vectors(bench):
        message = profile.codec.decode(vector.body)
        assert profile.mac_required(message), vector.name
        rows = profile.table.outward.transactions[vector.what.rpartition(".")[2]]
        taken = {**profile.table.request.take, **rows.take}
        paths = {
            split_row(row)[0]
            for field, text in taken.items()
            if field not in {*FREE, "reason", "phone" if vector.direction == "in" else ""}
            for row in values_of(text)
        }
        for path in sorted(paths | {profile.table.reply.result}):
            changed = change(message, path)
            if changed is None:
                continue
            try:
                body = profile.codec.encode(changed)
                verify_mac(profile.mac, profile.codec.decode(body), profile.codec, [key], body)
            except (MacError, ValueError):
                continue
            open_values.append(f"{vector.name}: {path}")
    assert open_values == []


def change(message: dict[str, Any], path: str) -> dict[str, Any] | None:
    """The message with another value at a path, of the same form; None where there is nothing to change."""
    value = get_path(message, path)
    if not isinstance(value, str) or not value:
        return None
    last = value[-1]
    other = "1" if last == "0" else "0" if last.isdigit() else "B" if last == "A" else "A"
    changed = copy.deepcopy(message)
    put_path(changed, path, value[:-1] + other)
    return changed
