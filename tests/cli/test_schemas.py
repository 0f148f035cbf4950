"""The schemas that editors are given: equal to what the code says, right about every shipped file."""

import copy
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qianzhi.cli import spec_schema
from qianzhi.cli.schemas import SCHEMAS, text_of
from qianzhi.wire.codec import load_codec
from qianzhi.wire.spec import Table

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config"
FILES = sorted([*CONFIG.glob("*.toml"), *CONFIG.glob("*/*.toml")])
KINDS = {"banks": "bank", "specs": "spec", "sites": "site", "config": "site"}
TYPES = {
    "string": str,
    "integer": int,
    "boolean": bool,
    "array": list,
    "object": dict,
    "number": (int, float),
}
SILENT = {"$schema", "title", "description", "default", "definitions"}


def faults(value: Any, node: dict[str, Any], whole: dict[str, Any], at: str = "") -> Iterator[str]:
    """Check a value as draft 4 says, with the keywords that our schemas use; another one is an error here."""
    if "$ref" in node:  # draft 4 lets a reference stand alone
        yield from faults(value, whole["definitions"][node["$ref"].removeprefix("#/definitions/")], whole, at)
        return
    for word, wanted in node.items():
        if word not in SILENT:
            yield from KEYWORDS[word](value, wanted, node, whole, at)


def of_type(value: Any, wanted: str, _n: Any, _w: Any, at: str) -> Iterator[str]:
    good = isinstance(value, TYPES[wanted]) and (wanted == "boolean" or not isinstance(value, bool))
    if not good:
        yield f"{at}: {value!r} is no {wanted}"


def of_properties(value: Any, wanted: Any, node: Any, whole: Any, at: str) -> Iterator[str]:
    for key in value if isinstance(value, dict) else ():
        if key in wanted:
            yield from faults(value[key], wanted[key], whole, f"{at}.{key}")


def of_patterns(value: Any, wanted: Any, node: Any, whole: Any, at: str) -> Iterator[str]:
    import re

    for key in value if isinstance(value, dict) else ():
        for pattern, inner in wanted.items():
            if re.search(pattern, key):
                yield from faults(value[key], inner, whole, f"{at}.{key}")


def of_others(value: Any, wanted: Any, node: Any, whole: Any, at: str) -> Iterator[str]:
    import re

    for key in value if isinstance(value, dict) else ():
        known = key in node.get("properties", {}) or any(
            re.search(pattern, key) for pattern in node.get("patternProperties", {})
        )
        if not known and wanted is False:
            yield f"{at}.{key}: unknown"
        elif not known and isinstance(wanted, dict):
            yield from faults(value[key], wanted, whole, f"{at}.{key}")


def of_items(value: Any, wanted: Any, _n: Any, whole: Any, at: str) -> Iterator[str]:
    for index, one in enumerate(value if isinstance(value, list) else ()):
        yield from faults(one, wanted, whole, f"{at}.{index}")


def of_choices(least: int, most: float) -> Any:
    def check(value: Any, wanted: Any, _n: Any, whole: Any, at: str) -> Iterator[str]:
        told = [list(faults(value, one, whole, at)) for one in wanted]
        fits = sum(not each for each in told)
        if not least <= fits <= most:
            yield from min(told, key=len) if not fits else [f"{at}: fits {fits}"]

    return check


def of_rule(wrong: Any) -> Any:
    def check(value: Any, wanted: Any, _n: Any, _w: Any, at: str) -> Iterator[str]:
        if wrong(value, wanted):
            yield f"{at}: {value!r} against {wanted!r}"

    return check


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


KEYWORDS: dict[str, Any] = {
    "type": of_type,
    "properties": of_properties,
    "patternProperties": of_patterns,
    "additionalProperties": of_others,
    "items": of_items,
    "anyOf": of_choices(1, float("inf")),
    "oneOf": of_choices(1, 1),
    "required": of_rule(lambda value, wanted: isinstance(value, dict) and set(wanted) - value.keys()),
    "enum": of_rule(lambda value, wanted: value not in wanted),
    "minimum": of_rule(lambda value, wanted: is_number(value) and value < wanted),
    "maximum": of_rule(lambda value, wanted: is_number(value) and value > wanted),
    "minLength": of_rule(lambda value, wanted: isinstance(value, str) and len(value) < wanted),
    "minItems": of_rule(lambda value, wanted: isinstance(value, list) and len(value) < wanted),
    "minProperties": of_rule(lambda value, wanted: isinstance(value, dict) and len(value) < wanted),
    "maxItems": of_rule(lambda value, wanted: isinstance(value, list) and len(value) > wanted),
    "not": of_rule(lambda value, wanted: value in wanted["enum"]),
}


@pytest.fixture(scope="module")
def schemas() -> dict[str, dict[str, Any]]:
    """All schemas, as the code says them."""
    return {name: make() for name, make in SCHEMAS.items()}


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_committed_files_are_what_the_code_says(name: str) -> None:
    committed = (CONFIG / "schemas" / f"{name}.json").read_text(encoding="utf-8")
    assert committed == text_of(name), "run `qianzhi schema --write`"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_shipped_file_names_its_schema_and_fits_it(path: Path, schemas: dict) -> None:
    text = path.read_text(encoding="utf-8")
    directive, _, named = text.splitlines()[0].partition(" ")
    assert directive == "#:schema"
    kind = KINDS[path.parent.name]
    assert (path.parent / named).resolve() == (CONFIG / "schemas" / f"{kind}.json").resolve()
    assert list(faults(tomllib.loads(text), schemas[kind], schemas[kind])) == []


SPOILED = [  # file, where, what stands there instead
    ("banks/hz_citic.toml", "limits.in_flight", "many"),
    ("banks/hz_citic.toml", "limits.in_flights", 1),
    ("banks/hz_citic.toml", "frame.kind", "asci"),
    ("banks/hz_citic.toml", "frame.size", 9),
    ("banks/hz_citic.toml", "limits.reply_seconds", 0),
    ("banks/hz_citic.toml", "title", ""),
    ("banks/hz_citic.toml", "transactions.owed.kind", "own"),
    ("banks/hz_citic.toml", "numbers", []),
    ("site.toml", "nodes.node1.port", 70_000),
    ("site.toml", "core.writer", 1),
    ("site.toml", "banks.icbc.metrics_port", True),
    ("specs/cups.toml", "fields.2.typ", "n"),
    ("specs/cups.toml", "fields.2.type", "nn"),
    ("specs/cups.toml", "fields.pan", {"name": "pan", "type": "n", "length": 4}),
    ("specs/icbc_xml.toml", "root", 1),
    ("specs/icbc_xml.toml", "header", "cups"),
]


@pytest.mark.parametrize(("file", "where", "value"), SPOILED, ids=lambda value: str(value)[:40])
def test_a_mistake_is_seen(file: str, where: str, value: object, schemas: dict) -> None:
    path = CONFIG / file
    tree = tomllib.loads(path.read_text(encoding="utf-8"))
    *steps, last = where.split(".")
    table = tree
    for step in steps:
        table = table[step]
    table[last] = value
    schema = schemas[KINDS[path.parent.name]]
    assert list(faults(tree, schema, schema))


def test_only_keywords_that_old_and_new_checkers_share_are_used(schemas: dict) -> None:
    def words(node: Any, names: bool = False) -> Iterator[str]:
        for key, value in node.items():
            if not names:
                yield key
            if isinstance(value, dict) and key not in ("default",):
                yield from words(
                    value, key in ("properties", "patternProperties", "definitions") and not names
                )
            elif isinstance(value, list) and key in ("anyOf", "oneOf"):
                for one in value:
                    yield from words(one)

    for schema in schemas.values():
        assert set(words(schema)) <= KEYWORDS.keys() | SILENT | {"$ref"}


def test_every_key_that_a_reader_of_specs_asks_for_is_in_the_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the readers in wire ask of a table is recorded while they read the shipped specs."""
    asked: dict[str, set[str]] = {}
    taken = Table.close

    def close(self: Table) -> None:
        asked.setdefault(shape_of(self.at), set()).update(self._used)
        taken(self)

    monkeypatch.setattr(Table, "close", close)
    for path in sorted((CONFIG / "specs").glob("*.toml")):
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
        asked.clear()
        codec, problems = load_codec(copy.deepcopy(tree), str(path))
        assert codec is not None, problems
        kind = {"iso8583": "Iso8583"}.get(tree["kind"], tree["kind"].capitalize())
        roots = {"": kind, "field": "Field" if kind == "Iso8583" else "TextPart", "body": "Body"}
        for shape, keys in asked.items():
            if shape in roots:
                known = spec_schema.DEFINITIONS[roots[shape]]["properties"].keys()
                assert keys <= known, f"{path.name}: {shape or 'the file'}: {keys - known}"


def shape_of(at: str) -> str:
    """What kind of table stands at a place of a spec; empty for the file itself."""
    steps = at.split(".")
    if at == "":
        return ""
    if steps[-2:-1] in (["parts"], ["header"], ["trailer"], ["header_parts"]):
        return "field"
    if steps[0] == "fields" and len(steps) == 2:
        return "field"
    return "body" if steps[0] == "bodies" and len(steps) == 2 else at


def test_json_is_printed_and_a_wrong_word_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from qianzhi.cli.chosen import Chosen
    from qianzhi.cli.output import CommandError
    from qianzhi.cli.schemas import schema_command

    here = Chosen(tmp_path)
    schema_command(here, "site", write=False, only_check=False)
    assert json.loads(capsys.readouterr().out)["title"] == "A site"
    with pytest.raises(CommandError, match="no schema of 'sites'"):
        schema_command(here, "sites", write=False, only_check=False)
    with pytest.raises(CommandError, match="differ"):
        schema_command(here, "bank", write=False, only_check=True)
    schema_command(here, "bank", write=True, only_check=False)
    schema_command(here, "bank", write=False, only_check=True)
