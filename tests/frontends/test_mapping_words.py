"""The words beside a code: a bank's people read them most of all where a message never became a request."""

from pathlib import Path

import pytest

from frontends.mapping_rows import split_row
from frontends.profile import load_profile
from qianzhi.cli.sample_requests import NOW, message_of, request_of
from qianzhi.domain.results import Result
from qianzhi.wire.paths import get_path

CONFIG = Path(__file__).parents[2] / "config"
NETWORKS = ("lnet", "mnet", "unet", "vnet")  # of which nothing is ever asked of us
BANKS = sorted(path.stem for path in (CONFIG / "banks").glob("*.toml") if path.stem not in NETWORKS)


@pytest.mark.parametrize("name", BANKS)
def test_a_refusal_at_the_edge_says_in_words_what_its_code_means(name: str) -> None:
    profile, problems = load_profile(CONFIG, name)
    assert profile is not None, problems
    told = 0
    for title, rows in profile.table.transactions.items():
        given = {**profile.table.reply.give, **rows.give}
        places = [path for path, source in given.items() if split_row(source)[0] == "result_text"]
        message = message_of(profile, title, request_of(profile, title))
        answer = profile.mapping.refusal_message(message, Result.FORMAT, NOW)
        heard = profile.codec.decode(profile.codec.encode(answer))
        for path in places:
            assert get_path(heard, path) == profile.results.texts["format"], title
            told += 1
    assert told or profile.spec.get("header") == "cups", "only CUPS has no place for words"
