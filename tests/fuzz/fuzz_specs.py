"""Small dialects that the parsers are fuzzed with beside the shipped ones: one for each kind of spec, crowded
with variants, and messages to begin from.
"""

PAN = "6225561620345170"
MAC_FIELD = {"name": "mac", "type": "b", "length": 8}

# The second bitmap, LL and LLL in ASCII, hex bytes; the whole message is text and shows its own end.
ISO_TEXT = {
    "kind": "iso8583",
    "bitmap": "hex",
    "defaults": {"binary": "hex", "text": "gbk"},
    "fields": {
        "2": {"name": "pan", "type": "n", "prefix": "LL", "length": 19, "sensitive": "pan"},
        "3": {"name": "processing_code", "type": "n", "length": 6},
        "4": {"name": "amount", "type": "n", "length": 12},
        "43": {"name": "place", "type": "ans", "length": 20, "padding": "spaces_right"},
        "48": {"name": "more", "type": "ans", "prefix": "LLL", "length": 60, "sensitive": "secret"},
        "62": {
            "name": "lists",
            "prefix": "LLL",
            "length": 80,
            "layout": "repeat",
            "parts": [
                {"name": "month", "type": "n", "length": 6},
                {"name": "fen", "type": "xn", "length": 9},
            ],
        },
        "64": {"name": "mac", "type": "b", "length": 8, "sensitive": "secret"},
        "128": {"name": "mac2", "type": "b", "length": 8},
    },
}

# TPDU and a header of parts, packed digits with the filler on either side, chip data, tags.
ISO_PACKED = {
    "kind": "iso8583",
    "header": "parts",
    "defaults": {"mti": "bcd", "digits": "bcd_left", "text": "gbk"},
    "header_parts": [
        {"name": "protocol", "type": "b", "length": 1},
        {"name": "destination", "type": "b", "length": 2},
        {"name": "origin", "type": "b", "length": 2},
        {"name": "class", "type": "n", "length": 2, "encoding": "bcd"},
        {"name": "state", "type": "n", "length": 3, "encoding": "bcd"},
    ],
    "fields": {
        "2": {"name": "pan", "type": "n", "prefix": "LL_bcd", "length": 19, "sensitive": "pan"},
        "3": {"name": "processing_code", "type": "n", "length": 6},
        "22": {"name": "entry", "type": "n", "length": 3, "encoding": "bcd"},
        "35": {"name": "track2", "type": "z", "prefix": "LL_bcd", "length": 37, "sensitive": "secret"},
        "41": {"name": "terminal", "type": "ans", "length": 8},
        "52": {"name": "pin", "type": "b", "length": 8, "sensitive": "secret"},
        "55": {"name": "chip", "layout": "tlv", "prefix": "LLL_bcd", "length": 255},
        "60": {
            "name": "batch",
            "layout": "parts",
            "prefix": "LLL_bcd",
            "length": 11,
            "length_min": 8,
            "encoding": "bcd_left",
            "parts": [
                {"name": "kind", "type": "n", "length": 2},
                {"name": "number", "type": "n", "length": 6},
                {"name": "net", "type": "n", "length": 3},
            ],
        },
        "62": {"name": "keys", "type": "b", "prefix": "LLL_bcd", "length": 40, "sensitive": "secret"},
        "63": {
            "name": "private",
            "layout": "tagged",
            "prefix": "LLL_bcd",
            "length": 90,
            "tag_length": 2,
            "length_digits": 3,
            "cases": {"PZ": {"parts": [{"name": "number", "type": "n", "length": 4, "encoding": "ascii"}]}},
        },
        "64": MAC_FIELD,
    },
}

# EBCDIC throughout, prefixes of each kind, three bitmaps.
ISO_THIRD = {
    "kind": "iso8583",
    "bitmaps_max": 3,
    "defaults": {"mti": "ebcdic", "digits": "ebcdic", "text": "ebcdic"},
    "fields": {
        "2": {"name": "pan", "type": "n", "prefix": "LL_ebcdic", "length": 19, "sensitive": "pan"},
        "39": {"name": "code", "type": "an", "length": 2},
        "48": {"name": "more", "type": "ans", "prefix": "LLL_ebcdic", "length": 99},
        "66": {"name": "one", "type": "b", "prefix": "binary_1", "length": 30},
        "102": {"name": "two", "type": "ans", "prefix": "binary_2", "length": 40, "encoding": "utf-8"},
        "128": MAC_FIELD,
        "130": {"name": "left", "type": "n", "prefix": "LL_bcd", "length": 9, "encoding": "bcd_left"},
        "150": {"name": "right", "type": "n", "prefix": "binary_1", "length": 9, "encoding": "bcd"},
        "192": {"name": "last", "type": "ans", "length": 6, "padding": "spaces_left", "encoding": "ascii"},
    },
}

XML_ELEMENTS = {
    "Head": {"title": "Head"},
    "Head.Code": {"type": "n", "length": 6},
    "Head.Text": {"type": "ans", "length": 30},
    "Body": {"title": "Body"},
    "Body.Phone": {"type": "ans", "length": 11, "sensitive": "phone"},
    "Body.Card": {"type": "ans", "length": 19, "sensitive": "pan"},
    "Body.Bill": {"repeats": True},
    "Body.Bill.Month": {"type": "n", "length": 6},
    "Body.Bill.Fen": {"type": "dec", "length": 12},
    "Mac": {"type": "ans", "length": 16, "sensitive": "secret"},
}
XML = {"kind": "xml", "root": "Message", "charset": "UTF-8", "elements": XML_ELEMENTS}
XML_HEX = {**XML, "charset": "GB18030", "carried": "hex"}

ASKED_PARTS = [
    {"name": "phone", "type": "ans", "length": 11, "sensitive": "phone"},
    {"name": "name", "type": "ans", "length": 9, "sensitive": "name"},
    {"name": "amount", "type": "n", "length": 8, "padding": "spaces_left"},
    {"name": "count", "type": "n", "length": 2},
    {
        "name": "bills",
        "layout": "repeat",
        "counted_by": "count",
        "entries_max": 3,
        "parts": [
            {"name": "no", "type": "an", "length": 5},
            {"name": "card", "type": "n", "length": 16, "sensitive": "pan"},
        ],
    },
]
TOLD_PARTS = [{"name": "order", "type": "an", "length": 12}, {"name": "text", "type": "ans", "length": 20}]
CODE = {"name": "code", "type": "n", "length": 6}
RESULT = {"name": "result", "type": "an", "length": 4}
COLUMNS = [{key: value for key, value in part.items() if key != "padding"} for part in ASKED_PARTS]
ASKED = {"name": "asked", "when": {"code": ["030012", "030013"], "result": ""}, "parts": ASKED_PARTS}
TOLD = {"name": "told", "when": {"result": "*"}, "parts": TOLD_PARTS}
TRAILER = [{"name": "mac", "type": "an", "length": 8, "sensitive": "secret"}]
FIXED = {
    "kind": "fixed",
    "charset": "gb18030",
    "header": [{"name": "total", "type": "n", "length": 6, "computed": "total_bytes"}, CODE, RESULT],
    "bodies": [ASKED, {**TOLD, "layout": "delimited"}],
    "trailer": TRAILER,
}
DELIMITED = {
    "kind": "delimited",
    "charset": "gbk",
    "ending": "\n",
    "header": [CODE, RESULT],
    "bodies": [{**ASKED, "parts": COLUMNS}, TOLD],
    "trailer": TRAILER,
}
PAIR_BILLS = {
    "name": "bills",
    "layout": "repeat",
    "inner": [";", ","],
    "entries_max": 3,
    "parts": [{"name": "no", "type": "an", "length": 5}, {"name": "fen", "type": "n", "length": 9}],
}
PAIRS = {
    "kind": "pairs",
    "charset": "utf-8",
    "header": [CODE, RESULT],
    "bodies": [{**ASKED, "parts": [*COLUMNS[:3], PAIR_BILLS]}, TOLD],
    "trailer": TRAILER,
}

SPECS = {
    "iso_text": ISO_TEXT,
    "iso_packed": ISO_PACKED,
    "iso_third": ISO_THIRD,
    "xml": XML,
    "xml_hex": XML_HEX,
    "fixed": FIXED,
    "delimited": DELIMITED,
    "pairs": PAIRS,
}

BILL = {"no": "00001", "card": PAN}
BODY = {"phone": "13800000000", "name": "张三", "amount": "5000"}
ANSWER = {
    "code": "030012",
    "result": "0000",
    "body": {"order": "Q00000000001", "text": "成功"},
    "mac": "89ABCDEF",
}
TEXTS = [
    {"code": "030012", "body": {**BODY, "bills": [BILL, BILL]}, "mac": "0123ABCD"},
    {"code": "030013", "body": {"phone": "13800000000"}, "mac": "0123ABCD"},
    {"code": "999999", "mac": "0123ABCD"},
    ANSWER,
]
DOCUMENT = {
    "Head": {"Code": "030012", "Text": "查询 <&>"},
    "Body": {
        "Phone": "13800000000",
        "Card": PAN,
        "Bill": [{"Month": "202601", "Fen": "12.50"}, {"Month": "202602", "Fen": "8"}],
    },
    "Mac": "0123456789ABCDEF",
}
HEADER = {
    "protocol": b"\x60",
    "destination": b"\0\3",
    "origin": b"\0\0",
    "class": "61",
    "state": "031",
}

MESSAGES = {
    "iso_text": [
        {"mti": "0800"},
        {"mti": "0200", "pan": PAN, "processing_code": "310000", "place": "杭州", "mac": bytes(range(8))},
        {"mti": "0210", "amount": "000000005000", "more": "secret words", "mac2": bytes(8)},
        {
            "mti": "0210",
            "lists": [{"month": "202601", "fen": "C00001234"}, {"month": "202602", "fen": "D00000001"}],
        },
    ],
    "iso_packed": [
        {"mti": "0800", "header": HEADER, "batch": {"kind": "00", "number": "000001", "net": "003"}},
        {"mti": "0200", "header": HEADER, "pan": PAN + "1", "processing_code": "000000", "entry": "021"},
        {
            "mti": "0200",
            "header": HEADER,
            "track2": f"{PAN}D2512",
            "pin": bytes(range(8)),
            "terminal": "00000001",
        },
        {"mti": "0210", "header": HEADER, "chip": {"9F26": bytes(8), "95": bytes(5), "DF01": b"x" * 130}},
        {"mti": "0810", "header": HEADER, "keys": bytes(range(40)), "private": {"PZ": {"number": "1234"}}},
        {"mti": "0200", "header": HEADER, "mac": b"ABCDEFGH"},
    ],
    "iso_third": [
        {"mti": "0100", "pan": PAN, "code": "00"},
        {"mti": "0110", "more": "NOTHING NEW", "one": b"12345", "two": "张三", "mac": bytes(8)},
        {"mti": "0110", "left": "123", "right": "12345", "last": "xyz"},
    ],
    "xml": [DOCUMENT, {"Head": {"Code": "1"}}],
    "xml_hex": [DOCUMENT, {"Head": {"Code": "1", "Text": "𠮷"}}],
    "fixed": TEXTS,
    "delimited": TEXTS,
    "pairs": [
        {**TEXTS[0], "body": {**BODY, "bills": [{"no": "1", "fen": "5"}, {"no": "2"}]}},
        TEXTS[1],
        ANSWER,
    ],
}
