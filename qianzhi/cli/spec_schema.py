"""The JSON Schema of message specs, from the rows of types, encodings, prefixes and paddings that wire has.

One definition for each table of a spec; which keys a table may have follows `qianzhi.wire`'s reading of it,
and a test compares the two.
"""

from collections.abc import Iterable
from typing import Any

from qianzhi.wire import item_spec, text_spec, xml_spec
from qianzhi.wire.iso_head import BITMAPS, MTIS
from qianzhi.wire.items import SENSITIVES
from qianzhi.wire.packed import PACKINGS
from qianzhi.wire.rows import ENCODINGS, PADDINGS, PREFIXES, TYPES, UNPREFIXED
from qianzhi.wire.xml import CHARSETS

Schema = dict[str, Any]


def spec_schema() -> Schema:
    """Return the schema of a whole spec: one of the kinds, each with its own keys."""
    return {"oneOf": [ref(name) for name in KINDS], "definitions": DEFINITIONS}


def ref(name: str) -> Schema:
    """Return a reference of a definition."""
    return {"$ref": f"#/definitions/{name}"}


def one_of(values: Iterable[str], description: str = "") -> Schema:
    """Return one of some words."""
    return said({"type": "string", "enum": sorted(set(values))}, description)


def text(description: str = "") -> Schema:
    """Return any text."""
    return said({"type": "string"}, description)


def number(low: int, high: int, description: str = "") -> Schema:
    """Return a whole number between two bounds."""
    return said({"type": "integer", "minimum": low, "maximum": high}, description)


def flag(description: str = "") -> Schema:
    """Return true or false."""
    return said({"type": "boolean"}, description)


def said(schema: Schema, description: str) -> Schema:
    """Return a schema with its description, if it has one."""
    return {**schema, "description": description} if description else schema


def tables(name: str, description: str = "") -> Schema:
    """Return a list of tables."""
    return said({"type": "array", "items": ref(name)}, description)


def by_key(inner: Schema, pattern: str = "", description: str = "") -> Schema:
    """Return a table whose keys are free, or follow a pattern."""
    if not pattern:
        return said({"type": "object", "additionalProperties": inner}, description)
    found = {"type": "object", "patternProperties": {pattern: inner}, "additionalProperties": False}
    return said(found, description)


def table(properties: Schema, *required: str, description: str = "") -> Schema:
    """Return a table with these keys and no others."""
    found: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        found["required"] = list(required)
    return said(found, description)


NAME = {
    "name": text("the step of a path under which profiles name it"),
    "title": text("what it is, in English and Chinese"),
    "sensitive": one_of(("", *SENSITIVES), "how it is masked in logs, dumps and errors"),
}
LENGTH = number(1, item_spec.LENGTH_MAX, "in digits or bytes; the greatest where there is a prefix")
TITLES = {"name": text("the spec's own name"), "title": text("what dialect it is")}


def simple(prefixes: Iterable[str], encodings: Iterable[str], types: Iterable[str]) -> Schema:
    """Return the keys that make a value: type × encoding × length prefix × padding."""
    return {
        "type": one_of(types, "; ".join(f"{name} {row.expected}" for name, row in TYPES.items())),
        "prefix": one_of(prefixes, "how its length stands before it; fixed, the default, has none"),
        "length": LENGTH,
        "encoding": one_of(encodings, "how it stands in bytes; the default is the spec's"),
        "padding": one_of(PADDINGS, "how a short value fills its place"),
    }


ALL_PREFIXES = (*UNPREFIXED, *PREFIXES)

FIELD = table(
    NAME
    | simple(ALL_PREFIXES, (*ENCODINGS, *PACKINGS, ""), TYPES)
    | {
        "unit": one_of(item_spec.UNITS, "what the prefix counts"),
        "lenient": flag("accept whatever the prefix can state"),
        "layout": one_of(("simple", "parts", "repeat", "tagged", "tlv"), "what stands inside"),
        "tag": text("how a part is shown in dumps"),
        "parts": tables("Field", "in the order of the wire"),
        "length_min": LENGTH,
        "open": flag("parts may end early, and more may follow them as `rest`"),
        "counts": by_key(text(), description="part that holds the number of entries = part with the entries"),
        "entries_max": number(1, item_spec.ENTRIES_MAX),
        "tag_length": number(1, 8),
        "length_digits": number(0, 4),
        "other": one_of(("text", "bytes"), "what stands behind a tag that is not listed"),
        "cases": by_key(ref("Case"), description="by tag"),
        "tags": by_key(ref("Tlv"), description="by BER tag in upper-case hex"),
        "fallback": one_of(("", "text", "bytes"), "how what does not fit the layout is kept"),
    },
    description="A field or part: a value, or a layout of others.",
)
CASE = table(
    {
        "title": NAME["title"],
        "parts": tables("Field"),
        "open": flag(),
        "counts": by_key(text()),
    }
)
TLV = table({"title": NAME["title"], "sensitive": NAME["sensitive"], "length": LENGTH})

ISO = table(
    TITLES
    | {
        "kind": one_of(["iso8583"]),
        "header": one_of(("none", "cups", "parts"), "what stands before the message type"),
        "header_required": flag(),
        "header_parts": tables("Field", "the header's parts, for header = parts"),
        "bitmap": one_of(BITMAPS),
        "bitmaps_max": number(1, 3, "fields up to 64, 128 or 192"),
        "message_bytes_max": number(12, item_spec.LENGTH_MAX),
        "defaults": table(
            {
                "mti": one_of(MTIS),
                "digits": one_of(item_spec.encodings_of("digits")),
                "text": one_of(item_spec.encodings_of("text")),
                "binary": one_of(item_spec.encodings_of("binary")),
            },
            description="encodings of fields that say none",
        ),
        "fields": by_key(ref("Field"), "^[1-9][0-9]{0,2}$", "by field number"),
        "carried": ref("Carried"),
    },
    "kind",
    "name",
    "fields",
    description="ISO 8583",
)

XML = table(
    TITLES
    | {
        "kind": one_of(["xml"]),
        "root": text("the document's root element"),
        "charset": one_of({*CHARSETS, *(name.upper() for name in CHARSETS)}),
        "message_bytes_max": number(64, 1_000_000),
        "elements_max": number(1, 100_000),
        "declaration": flag("whether documents begin with <?xml …?>"),
        "elements": by_key(
            table(
                {
                    "title": NAME["title"],
                    "type": one_of(xml_spec.TEXT_TYPES),
                    "length": number(1, xml_spec.LENGTH_MAX, "the greatest number of characters"),
                    "sensitive": NAME["sensitive"],
                    "repeats": flag("the element may come several times"),
                }
            ),
            description="by path, in the order of the wire",
        ),
        "carried": ref("Carried"),
    },
    "kind",
    "name",
    "root",
    "elements",
    description="XML",
)

TEXT_PART = table(
    NAME
    | simple(ALL_PREFIXES, ENCODINGS, TYPES)
    | {
        "tag": text("the name on the wire, in pairs; how it is shown in dumps"),
        "unit": one_of(text_spec.UNITS, "what the prefix counts"),
        "clip": flag("cut a text that is too long, at a whole character"),
        "computed": one_of(text_spec.COMPUTED, "the codec writes and checks this size"),
        "layout": one_of(("simple", "repeat")),
        "counted_by": text("the part before it that holds the number of entries"),
        "entries_max": number(1, text_spec.ENTRIES_MAX),
        "inner": {"type": "array", "items": text(), "minItems": 2, "maxItems": 2},
        "parts": tables("TextPart"),
    },
    "name",
    description="A part of a text message: a value, or a list of entries.",
)
BODY = table(
    {
        "name": NAME["name"],
        "title": NAME["title"],
        "when": by_key(
            {"anyOf": [text(), {"type": "array", "items": text()}]},
            description="what the header says then; * anything, empty blank",
        ),
        "layout": one_of(("parts", "delimited")),
        "delimiter": text(),
        "parts": tables("TextPart"),
    },
    "name",
)


def text_kind(kind: str, more: Schema) -> Schema:
    """Return the schema of one of the kinds of text messages."""
    keys = {
        "kind": one_of([kind]),
        "charset": one_of(text_spec.CHARSETS),
        "message_bytes_max": number(16, 1_000_000),
        "header": tables("TextPart", "what every message begins with"),
        "bodies": tables("Body", "the first whose `when` fits the header"),
        "trailer": tables("TextPart", "what every message ends with, such as a MAC"),
        "carried": ref("Carried"),
    }
    return table(TITLES | keys | more, "kind", "name", "header", description=f"{kind.capitalize()} text")


KINDS = {
    "Iso8583": ISO,
    "Xml": XML,
    "Fixed": text_kind("fixed", {}),
    "Delimited": text_kind("delimited", {"delimiter": text(), "ending": one_of(text_spec.ENDINGS)}),
    "Pairs": text_kind("pairs", {}),
}
DEFINITIONS: Schema = {
    **KINDS,
    "Field": FIELD,
    "Case": CASE,
    "Tlv": TLV,
    "TextPart": TEXT_PART,
    "Body": BODY,
    "Carried": one_of(("", "hex"), "hex: the body travels as hex digits"),
}
