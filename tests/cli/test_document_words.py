"""The document's words: every row that a dialect is made of can be explained in both languages."""

import re
from typing import get_args

import pytest

from frontends.mapping_checks import BILL_COLUMNS, GIVEN, TAKEN
from frontends.mapping_tables import KindName
from frontends.outward_tables import REASONS, OutwardKind, Policy
from frontends.results import NAMES, ONLY_OF
from frontends.transforms import TRANSFORMS
from qianzhi.cli.document import (
    arithmetic,
    asking,
    authentication,
    boundaries,
    results,
    sequence,
    settling,
    specs,
    words,
)
from qianzhi.cli.document.exchange import PURPOSES, RESULTS
from qianzhi.cli.document.layouts import LAYOUTS
from qianzhi.cli.document.opening import KINDS
from qianzhi.cli.document.page import Both, Page, code, split_title
from qianzhi.cli.document.samples import REFUSALS
from qianzhi.cli.document.samples import TITLES as TRANSACTIONS
from qianzhi.domain.requests import Kind
from qianzhi.domain.results import EDGE_RESULTS, HOUSE_RESULTS, Result
from qianzhi.wire.algorithms import KEY_BYTES
from qianzhi.wire.codec import MAKERS
from qianzhi.wire.framing import LENGTHS
from qianzhi.wire.mac import FORMS
from qianzhi.wire.rows import ENCODINGS, PADDINGS, PREFIXES, TYPES, UNPREFIXED

ASKED = {Kind[name.upper()] for name in get_args(KindName)}
OF_OTHERS = {NAMES[name] for name, kind in ONLY_OF.items() if kind not in get_args(KindName)}
HEARD = set(Result) - HOUSE_RESULTS - OF_OTHERS


@pytest.mark.parametrize(
    ("rows", "explained"),
    [
        (TYPES, words.TYPES),
        (TYPES, words.TYPES_LONG),
        (ENCODINGS, words.ENCODINGS),
        (ENCODINGS, words.ENCODINGS_LONG),
        ({*PREFIXES, *UNPREFIXED}, words.PREFIXES),
        (PADDINGS, words.PADDINGS),
        (PADDINGS, words.PADDINGS_SHORT),
        (TRANSFORMS, words.TRANSFORMS),
        (TAKEN, {*words.TAKEN, *asking.FIELDS}),
        (get_args(OutwardKind), asking.TITLES),
        (get_args(OutwardKind), asking.PURPOSES),
        (get_args(Policy), asking.POLICIES),
        (REASONS, asking.REASONS),
        ({name.removeprefix("request.") for name in GIVEN}, {*words.GIVEN, *words.TAKEN}),
        (BILL_COLUMNS, words.BILL_COLUMNS),
        (FORMS, authentication.FORM_WORDS),
        (KEY_BYTES, arithmetic.ALGORITHM_NAMES),
        (KEY_BYTES, {*arithmetic.STEPS, *arithmetic.DIGEST_NAMES}),
        (HEARD, results.MEANINGS),
        (HEARD, results.ADVICE),
        (HEARD, {*settling.SETTLED, *(Result(number) for number in Result if number in EDGE_RESULTS)}),
        (settling.Verdict.__args__, results.VERDICTS),
        (settling.Verdict.__args__, results.VERDICTS_LONG),
        (settling.LISTENERS, results.LISTENERS),
        (ASKED, PURPOSES),
        (ASKED, RESULTS),
        (ASKED, TRANSACTIONS),
        (ASKED, REFUSALS),
        (MAKERS, specs.READERS),
        (MAKERS, LAYOUTS),
        (MAKERS, KINDS),
        (LENGTHS, boundaries.LENGTHS),
        (("none", "static", "theirs", "ours_message", "ours_answer"), sequence.KEY_RULES),
    ],
)
def test_no_row_is_without_its_words(rows, explained):
    assert not set(rows) - set(explained)


def test_titles_are_split_where_chinese_begins():
    assert split_title("Amount, fen 交易金额") == Both("Amount, fen", "交易金额")
    assert split_title("Bitmap PIN 获取码") == Both("Bitmap PIN", "获取码")
    assert split_title("Only English") == Both("Only English", "Only English")
    assert split_title("只有中文") == Both("只有中文", "只有中文")


def test_a_page_keeps_one_language_and_escapes_what_would_break_a_table():
    page = Page("zh")
    page.chapter(Both("One", "一"))
    page.say("English", "中文")
    page.table((Both("a", "甲"),), [(code("x|y"),)])
    page.hex(b"\x01\xff")
    text = page.finished()
    assert "English" not in text
    assert "## 1. 一" in text
    assert "`x\\|y`" in text
    assert re.search(r"```hex\n01FF\n```", text)
