"""Mistakes in the spec of a text message: each is found, with its key, and none raises."""

import copy

import pytest

from qianzhi.wire.codec import load_codec

FIXED = {
    "kind": "fixed",
    "header": [{"name": "code", "type": "n", "length": 6}],
    "bodies": [
        {
            "name": "asked",
            "when": {"code": "000001"},
            "parts": [
                {"name": "count", "type": "n", "length": 2},
                {
                    "name": "bills",
                    "layout": "repeat",
                    "counted_by": "count",
                    "parts": [{"name": "no", "type": "an", "length": 2}],
                },
            ],
        }
    ],
    "trailer": [{"name": "mac", "type": "an", "length": 8}],
}
DELIMITED = {
    "kind": "delimited",
    "delimiter": "|",
    "header": [{"name": "code", "type": "n", "length": 6}],
    "bodies": [{"name": "any", "parts": [{"name": "note", "type": "ans", "length": 9}]}],
}
PAIRS = {
    "kind": "pairs",
    "header": [{"name": "code", "type": "n", "length": 6}],
    "bodies": [
        {
            "name": "any",
            "parts": [
                {
                    "name": "bills",
                    "layout": "repeat",
                    "inner": [";", ","],
                    "parts": [{"name": "no", "type": "an", "length": 2}],
                }
            ],
        }
    ],
}
TREES = {"fixed": FIXED, "delimited": DELIMITED, "pairs": PAIRS}


def change(tree, path, value):
    *steps, last = path
    for step in steps:
        tree = tree[step]
    if value is KeyError:
        del tree[last]
    else:
        tree[last] = value


COUNT, BILLS, PARTS = ("bodies", 0, "parts", 0), ("bodies", 0, "parts", 1), ("bodies", 0, "parts")
CODE = {"name": "code", "type": "n", "length": 6}
CASES = [
    ("fixed", ("kind",), "fixd", "kind"),
    ("fixed", ("carried",), "base64", "carried"),
    ("fixed", ("charset",), "ebcdic", "charset"),
    ("fixed", ("delimiter",), "|", "delimiter"),
    ("fixed", ("message_bytes_max",), 1, "message_bytes_max"),
    ("fixed", ("header",), [], "header"),
    ("fixed", ("header",), {}, "header"),
    ("fixed", ("header", 0, "name"), "the code", "header.0.name"),
    ("fixed", ("header", 0, "name"), "body", "header.0.name"),
    ("fixed", ("header", 0, "type"), "digits", "header.0.type"),
    ("fixed", ("header", 0, "type"), KeyError, "header.0.type"),
    ("fixed", ("header", 0, "length"), KeyError, "header.0.length"),
    ("fixed", ("header", 0, "length"), 0, "header.0.length"),
    ("fixed", ("header", 0, "width"), 6, "header.0.width"),
    ("fixed", ("header", 0, "prefix"), "LL", "header.0.prefix"),
    ("fixed", ("header", 0, "padding"), "spaces_kept", "header.0.padding"),
    ("fixed", ("header", 0, "encoding"), "morse", "header.0.encoding"),
    ("fixed", ("header", 0, "sensitive"), "very", "header.0.sensitive"),
    ("fixed", ("header", 0, "computed"), "all", "header.0.computed"),
    ("fixed", ("header", 0), {**CODE, "type": "an", "computed": "total_bytes"}, "header.0.type"),
    ("fixed", ("header",), [CODE, CODE], "header.1.name"),
    ("fixed", ("trailer", 0, "name"), "code", "trailer"),
    ("fixed", ("trailer", 0, "computed"), "body_bytes", "trailer.0.computed"),
    ("fixed", ("trailer", 0, "layout"), "repeat", "trailer.0.layout"),
    ("fixed", ("bodies", 0, "name"), "", "bodies.0.name"),
    ("fixed", ("bodies", 0, "when"), {"colour": "red"}, "bodies.0.when.colour"),
    ("fixed", ("bodies", 0, "when"), {"code": []}, "bodies.0.when.code"),
    ("fixed", ("bodies", 0, "when"), {"code": 1}, "bodies.0.when.code"),
    ("fixed", ("bodies", 0, "layout"), "tree", "bodies.0.layout"),
    ("fixed", ("bodies", 0, "delimiter"), "|", "bodies.0.delimiter"),
    ("fixed", ("bodies",), [FIXED["bodies"][0]] * 2, "bodies.1.name"),
    ("fixed", (*COUNT, "name"), "unread", "bodies.0.parts.0.name"),
    ("fixed", (*COUNT, "computed"), "body_bytes", "bodies.0.parts.0.computed"),
    ("fixed", (*COUNT, "prefix"), "rest", "bodies.0.parts.1"),
    ("fixed", (*COUNT, "length"), 100, ""),
    ("fixed", (*BILLS, "counted_by"), "number", "bodies.0.parts.1.counted_by"),
    ("fixed", (*BILLS, "counted_by"), KeyError, ""),
    ("fixed", (*BILLS, "entries_max"), 0, "bodies.0.parts.1.entries_max"),
    ("fixed", (*BILLS, "parts"), [], "bodies.0.parts.1.parts"),
    ("fixed", (*BILLS, "parts", 0, "prefix"), "rest", "bodies.0.parts.1.parts.0.prefix"),
    ("fixed", (*BILLS, "parts"), [CODE, CODE], "bodies.0.parts.1.parts.1.name"),
    ("fixed", (*COUNT, "unit"), "digits", "bodies.0.parts.0.unit"),
    ("fixed", (*COUNT, "unit"), "nibbles", "bodies.0.parts.0.unit"),
    ("fixed", PARTS, [{**CODE, "prefix": "rest", "encoding": "bcd"}], "bodies.0.parts.0.prefix"),
    ("fixed", PARTS, [{**CODE, "prefix": "L", "encoding": "bcd", "unit": "bytes", "length": 18}], ""),
    ("fixed", PARTS, [{**CODE, "prefix": "L", "encoding": "bcd", "length": 10}], "bodies.0.parts.0.length"),
    ("fixed", PARTS, [{"name": "n", "type": "an", "length": 100, "prefix": "LL"}], "bodies.0.parts.0.length"),
    ("delimited", ("delimiter",), "||", "delimiter"),
    ("delimited", ("delimiter",), "a", "delimiter"),
    ("delimited", ("delimiter",), "，", "delimiter"),
    ("delimited", ("ending",), ";", "ending"),
    ("delimited", (*COUNT, "type"), "b", "bodies.0.parts.0.type"),
    ("delimited", (*COUNT, "padding"), "none", "bodies.0.parts.0.padding"),
    ("delimited", (*COUNT, "prefix"), "LL", "bodies.0.parts.0.prefix"),
    ("delimited", (*COUNT, "encoding"), "bcd", "bodies.0.parts.0.encoding"),
    ("pairs", ("header", 0, "computed"), "total_bytes", "header.0.computed"),
    ("pairs", (*COUNT, "inner"), [";", ";"], "bodies.0.parts.0.inner"),
    ("pairs", (*COUNT, "inner"), ";,", "bodies.0.parts.0.inner"),
    ("pairs", (*COUNT, "counted_by"), "count", "bodies.0.parts.0.counted_by"),
    ("pairs", (*COUNT, "tag"), "code", "bodies.0.parts"),
    ("pairs", (*COUNT, "tag"), "the bills", "bodies.0.parts.0.tag"),
    ("pairs", ("header",), [CODE, {**CODE, "name": "other", "tag": "code"}], "header"),
]


@pytest.mark.parametrize(("kind", "path", "value", "key"), CASES)
def test_a_mistake_is_found_with_its_key(kind, path, value, key):
    tree = copy.deepcopy(TREES[kind])
    assert load_codec(tree, "spec.toml")[1] == []
    change(tree, path, value)
    codec, problems = load_codec(tree, "spec.toml")
    if not key:  # another choice, and no mistake
        assert problems == []
        return
    assert codec is None
    assert key in [problem.key for problem in problems], problems
