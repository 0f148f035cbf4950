"""What a network's engineers are given: complete, the same every time, and true to its last byte."""

import re
from pathlib import Path

import pytest

from frontends.mapping_rows import split_row, values_of
from frontends.profile import load_profile
from qianzhi.cli.document.document import document, written
from qianzhi.cli.document.facts import gather
from simulators.codecs import bank_codec
from simulators.macs import is_signed

CONFIG = Path(__file__).parents[2] / "config"
NETWORKS = ("lnet", "mnet", "unet", "vnet")


def facts_of(name):
    """A network's facts."""
    profile, problems = load_profile(CONFIG, name)
    assert problems == []
    return gather(profile)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_it_is_the_same_every_time_and_nothing_in_it_is_unfilled(name, language):
    facts = facts_of(name)
    text = written(facts, language)
    assert document(facts.profile, language) == text
    numbers = re.findall(r"^## (\d+)\. ", text, flags=re.MULTILINE)
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]
    plain = re.sub(r"```.*?```|`[^`\n]*`", "…", text, flags=re.DOTALL)
    assert "None" not in plain
    assert not re.search(r"[{}]", plain)
    assert not re.search(r"(; |, |；|、)(\||$|[.。])", plain, re.MULTILINE)
    assert not re.search(r"[Cc]hapter (8|9|1\d)|第 (8|9|1\d) 章", plain)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_field_code_reason_and_policy_is_named(name):
    facts = facts_of(name)
    text = written(facts, "en")
    table, rows = facts.profile.table, facts.profile.table.outward
    for each in rows.transactions.values():
        taken = [row for texts in {**table.request.take, **each.take}.values() for row in values_of(texts)]
        for path in {split_row(row)[0] for row in taken} | set(each.when) | set(each.set):
            assert f"`{facts.spec.label(path)}`" in text, path
    for code in {*table.results.codes.values(), *rows.codes, *rows.reasons.values()}:
        assert f"`{code}`" in text, code
    assert f"We wait {rows.answer_seconds:g} seconds" in text


@pytest.mark.parametrize("name", NETWORKS)
def test_each_message_of_ours_and_its_answer_are_shown_and_both_codecs_read_them(name):
    facts = facts_of(name)
    codec = bank_codec(facts.profile.spec)
    text = written(facts, "en").replace("\n", "")
    for title in facts.profile.table.outward.transactions:
        for part in ("request", "approved"):
            sample = facts.sample(f"outward.{title}", part)
            assert sample.wire.hex().upper() in re.sub(r"\s", "", text)
            message = codec.decode(sample.body)
            if facts.profile.mac is not None:
                assert is_signed(facts.profile.mac, message, codec, sample.key, sample.body)
