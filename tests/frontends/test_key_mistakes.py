"""Mistakes about keys, MACs and deliveries: each is refused, with file, key, and what should stand there.

One mistake a row: what it is, the bank, what stands there, what is written instead, the key that must be
told, and words of what is expected.  No key is ever told (`refused` looks).
"""

from pathlib import Path

import pytest

KEYS = [
    ("no master key", "wenzhou", 'master = "', '# "', "keys.master", "session.keys = 'ours'"),
    (
        "no master key for keys of theirs",
        "psbc",
        'master = "',
        '# "',
        "keys.master",
        "session.keys = 'theirs'",
    ),
    ("no static key", "cmb", '\nmac = "test:', '\n# "', "keys.mac", "session.keys = 'static'"),
    (
        "key that nothing uses",
        "cmb",
        '\nmac = "test:',
        '\nmaster = "test:00"\nmac = "test:',
        "keys.master",
        "uses none",
    ),
    ("key in the open", "boc", '"test:0123', '"0123', "keys.mac", "test:HEX"),
    ("key that is no hex", "boc", '"test:0123', '"test:XYZ3', "keys.mac", "hex"),
    ("key of a missing file", "boc", '"test:0123456789ABCDEF"', '"file:gone.key"', "keys.mac", "file"),
    (
        "key of 7 bytes for X9.9",
        "boc",
        '"test:0123456789ABCDEF"',
        '"test:0123456789ABCD"',
        "keys.mac",
        "8 bytes",
    ),
    ("key of 16 bytes for X9.9", "boc", '"test:0123', '"test:01234567890123450123', "keys.mac", "8 bytes"),
    (
        "key of 8 bytes for SM4",
        "zongheng",
        'mac = "test:',
        'mac = "test:0011223344556677" # ',
        "keys.mac",
        "16",
    ),
    ("short master key", "wenzhou", '"test:1023457689BADCEF', '"test:', "keys.master", "16 bytes"),
    ("keys of 8 bytes for X9.19", "wenzhou", "key_bytes = 16", "key_bytes = 8", "session.key_bytes", "16"),
    ("keys of 12 bytes", "wenzhou", "key_bytes = 16", "key_bytes = 12", "session.key_bytes", "8, 16"),
    (
        "key hours without messages",
        "wenzhou",
        "key_bytes = 16",
        "key_bytes = 16\nkey_hours = 24",
        "session.key_hours",
        "0",
    ),
]

MACS = [
    ("protection without a MAC", "ccb", "[mac]", "[hours]", "protection.required", "a table [mac]"),
    ("no MAC", "ccb", "[mac]", "[hours]", "mac", "exactly where session.keys"),
    ("MAC without keys", "ccb", 'keys = "static"', 'keys = "none"', "mac", "exactly where session.keys"),
    ("unknown algorithm", "ccb", 'algorithm = "md5"', 'algorithm = "md6"', "mac.algorithm", "md5"),
    ("field that the spec lacks", "ccb", 'field = "digest"', 'field = "mac"', "mac.field", "a path"),
    ("form longer than the MAC", "ccb", 'form = "hex32"', 'form = "hex64"', "mac.form", "16 bytes"),
    ("form wider than its field", "zhenghe", 'field = "mac"', 'field = "serial"', "mac.form", "that fits"),
    ("raw form in a text", "wenzhou", 'form = "hex8"', 'form = "raw4"', "mac.form", "hex"),
    ("list with an unknown path", "icbc", '"Body.Order",', '"Body.Ordre",', "mac.lists.default.13", "a path"),
    ("take of an unknown path", "hz_citic", "take = { original", "take = { orig", "mac.take.orig", "a path"),
    (
        "prefix of an unknown path",
        "lianlian",
        "with_prefix = [",
        'with_prefix = ["command",',
        "mac.with_prefix",
        "a path",
    ),
    (
        "choice by an unknown path",
        "wenzhou",
        'choose_by = "MSGTYPE"',
        'choose_by = "MTI"',
        "mac.choose_by",
        "a path",
    ),
    ("no list", "cmb", "[mac.lists]\ndefault", "[mac.lists]\nother", "mac.lists", "every message"),
    (
        "fields where bytes count",
        "ccb",
        'field = "digest"',
        'field = "digest"\nlists = { default = ["code"] }',
        "mac.lists.default",
        "no fields",
    ),
    (
        "bytes of a document",
        "icbc",
        'algorithm = "x919"',
        'algorithm = "x919"\ncovers = "before"',
        "mac.lists.default",
        "no fields",
    ),
    (
        "bytes behind the last field",
        "zhenghe",
        'covers = "before"',
        'covers = "behind"',
        "mac.covers",
        "before",
    ),
    (
        "place of a key that has none",
        "icbc",
        'algorithm = "x919"',
        'algorithm = "x919"\nkey_place = "before"',
        "mac.key_place",
        "digests",
    ),
    (
        "money without a MAC",
        "boc",
        '"0200", "0210", "0420", "0430"',
        '"0200", "0210"',
        "protection.required",
        "demands a MAC",
    ),
    (
        "protection of a strange path",
        "abc",
        "required = [{ ",
        'required = [{ colour = "red" }, { ',
        "protection.required.0.colour",
        "a path",
    ),
    (
        "protection by no value",
        "abc",
        "required = [{ ",
        "required = [{ serial = [] }, { ",
        "protection.required.0.serial",
        "at least one",
    ),
    (
        "protection of what has no MAC",
        "psbc",
        '"0500", "0510"',
        '"0500", "0510", "0830"',
        "mac.lists",
        "every message",
    ),
    (
        "MAC of a sign-on that brings the key",
        "wenzhou",
        '["800200", "800420"]',
        '["800200", "800420", "800820"]',
        "protection.required.0",
        "key comes with it",
    ),
]

DELIVERIES = [
    (
        "delivery without exchange",
        "cmb",
        "[session]",
        '[delivery]\nform = "slots"\n[session]',
        "delivery",
        "'static'",
    ),
    (
        "MAC in a delivery",
        "wenzhou",
        "[delivery]",
        '[delivery.mac]\nalgorithm = "x99"\n[delivery]',
        "delivery.mac",
        "[mac]",
    ),
    (
        "key at an unknown path",
        "wenzhou",
        'mac_key = "MACKEY"',
        'mac_key = "KEY"',
        "delivery.mac_key",
        "a path",
    ),
    (
        "check value at an unknown path",
        "psbc",
        'mac_check = "keys.mac_check"',
        'mac_check = "keys.check"',
        "delivery.mac_check",
        "a path",
    ),
    (
        "key in a narrow path",
        "wenzhou",
        'mac_key = "MACKEY"',
        'mac_key = "MACCHECK"',
        "delivery.mac_key",
        "a place for 32",
    ),
    (
        "slot shorter than the key",
        "wenzhou",
        "slot_bytes = 16",
        "slot_bytes = 8",
        "delivery.slot_bytes",
        "at least 16",
    ),
    (
        "slot of another length",
        "wenzhou",
        "slot_bytes = 16",
        "slot_bytes = 24",
        "delivery.slot_bytes",
        "8, 16",
    ),
    (
        "PIN key without its check value",
        "wenzhou",
        'pin_check = "PINCHECK"',
        "",
        "delivery.pin_check",
        "both or neither",
    ),
    ("key message in an answer", "wenzhou", 'form = "slots"', 'form = "cups"', "delivery.form", "'slots'"),
    (
        "key message at an unknown path",
        "hz_citic",
        "[session]",
        '[delivery]\nsingle = "keys"\n\n[session]',
        "delivery.single",
        "a path",
    ),
    (
        "keys in an answer to nobody",
        "icbc",
        'keys = "static"',
        'keys = "ours"\ndelivery = "answer"',
        "management",
        "in whose answer",
    ),
    ("form of nobody's", "wenzhou", 'form = "slots"', 'form = "post"', "delivery.form", "cups"),
    (
        "answer for keys of theirs",
        "psbc",
        'keys = "theirs"',
        'keys = "theirs"\ndelivery = "answer"',
        "session.delivery",
        "'theirs'",
    ),
    (
        "our message on a short connection",
        "psbc",
        'keys = "theirs"',
        'keys = "ours"',
        "session.delivery",
        "'answer'",
    ),
    ("our message on a queue", "icbc", 'keys = "static"', 'keys = "ours"', "session.delivery", "'answer'"),
    (
        "keys of theirs without their message",
        "psbc",
        "[management.key_delivery]",
        "[management.key_request]",
        "management.key_delivery",
        "keys = 'theirs'",
    ),
    (
        "our message without its table",
        "hz_citic",
        "[management.key_delivery]",
        "[management.echo_2]",
        "management.key_delivery",
        "keys = 'ours'",
    ),
    (
        "key message without an exchange",
        "lianlian",
        "[management.echo]",
        '[management.key_request]\nwhen = { cmd = "KEY" }\n[management.echo]',
        "management.key_request",
        "'static'",
    ),
    (
        "new keys that we cannot send",
        "wenzhou",
        '"sign_off"',
        '"new_keys"',
        "session.on_mac_failures",
        "by message",
    ),
    (
        "key message in a path for text",
        "hz_citic",
        'field = "mac"',
        'field = "rrn"',
        "mac.field",
        "eight bytes",
    ),
    (
        "exchange of keys that DES lacks",
        "wenzhou",
        'algorithm = "x919"',
        'algorithm = "hmac_sha512"',
        "mac.algorithm",
        "hmac_sha256",
    ),
]

ROWS = [*KEYS, *MACS, *DELIVERIES]


@pytest.mark.parametrize(
    ("bank", "old", "new", "key", "expected"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_a_mistake_is_told_where_it_stands(refused, bank, old, new, key, expected):
    told = refused(bank, "bank", old, new)
    file = Path("banks") / f"{bank}.toml"
    fitting = [problem for where, at, problem in told if (where, at) == (file, key)]
    assert fitting, told
    assert any(expected in problem.expected for problem in fitting), fitting
