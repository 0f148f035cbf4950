"""Everything that fuzzing once found is read again, with the same properties; see docs/RELIABILITY.md."""

import pytest
from fuzz_parsers import CORPUS, PARSERS, kept


@pytest.mark.parametrize("name", sorted(PARSERS))
def test_seeds_and_the_kept_corpus_keep_the_properties(name):
    check = PARSERS[name].check()
    for data in [*PARSERS[name].seeds(), *kept(name), b""]:
        check(data)


def test_every_corpus_belongs_to_a_parser_and_stays_small():
    folders = {path.name for path in CORPUS.iterdir()}
    assert folders <= set(PARSERS), "a corpus without a parser"
    sizes = {name: sum(map(len, kept(name))) for name in folders}
    assert all(size <= 64_000 for size in sizes.values()), sizes
