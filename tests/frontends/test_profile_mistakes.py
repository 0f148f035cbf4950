"""Mistakes in a bank's file: each is refused, with the file, the key, and what should stand there.

One mistake a row, made by one edit of a shipped file: what it is, the bank, what stands there, what is
written instead, the key that must be told, and words of what is expected.
"""

from pathlib import Path

import pytest

TYPES = [
    ("unknown key", "hz_citic", 'group = "one"', 'group = "one"\ngruop = "one"', "gruop", "group"),
    ("unknown table", "icbc", "[limits]", "[limit]\n[limits]", "limit", "limits"),
    ("unknown key in a table", "boc", 'engine = "zeromq"', 'motor = "zeromq"', "transport.motor", "known"),
    ("missing key", "lianlian", "reply_seconds = ", "# ", "limits.reply_seconds", "required"),
    ("missing table", "ccb", "[reply]", "[replies]", "reply", "required"),
    ("text for a number", "wenzhou", "in_flight = 1000", 'in_flight = "1000"', "limits.in_flight", "whole"),
    ("number for a text", "abc", 'spec = "abc_fixed"', "spec = 5", "message.spec", "text"),
    ("text for a list", "zhenghe", 'numbers = ["7102"]', 'numbers = "7102"', "numbers", "list"),
    ("empty list", "zhenghe", 'numbers = ["7102"]', "numbers = []", "numbers", "not empty"),
    ("list for a text", "cmb", 'group = "one"', 'group = ["one"]', "group", "text"),
    ("word for true", "psbc", "sign_on = true", 'sign_on = "yes"', "session.sign_on", "true or false"),
    (
        "number out of range",
        "psbc",
        "connections_max = 512",
        "connections_max = 0",
        "socket.connections_max",
        "1",
    ),
    ("word out of a choice", "nb_ceb", 'kind = "socket"', 'kind = "pigeon"', "transport.kind", "socket"),
    ("fraction", "boc", "amount_fen_max = 5000000", "amount_fen_max = 5.5", "limits.amount_fen_max", "whole"),
    ("blank title", "nb_ccb", "\ntitle = ", '\ntitle = "  " # ', "title", "words"),
    ("blank rule", "nb_ccb", "\nrule = ", '\nrule = " " # ', "reversal.rule", "words"),
    ("missing reversal rule", "ccb", "\nrule = ", "\n# ", "reversal.rule", "required"),
]

LIMITS = [
    ("no rate", "ccb", "rate_per_second = 2000", "rate_per_second = 0", "limits.rate_per_second", "above 0"),
    (
        "amount above the platform's",
        "bocom",
        "amount_fen_max = 5000000",
        "amount_fen_max = 99999999999",
        "limits.amount_fen_max",
        "9999999999",
    ),
    (
        "endless patience",
        "cboss",
        "reply_seconds = 10",
        "reply_seconds = 3600",
        "limits.reply_seconds",
        "300",
    ),
    ("no hour", "psbc", "[reversal]", '[hours]\nopen = "8:00"\n\n[reversal]', "hours.open", "HH:MM"),
    (
        "hours without service",
        "abc",
        "[reversal]",
        '[hours]\nopen = "08:00"\nclose = "08:00"\n\n[reversal]',
        "hours.close",
        "another time",
    ),
    ("no network", "wenzhou", '"127.0.0.0/8"', '"10.0.0.300/8"', "socket", "10.1.0.0/16"),
]

NUMBERS = [
    ("number twice", "boc", "numbers = [", 'numbers = ["0104", ', "numbers", "each number once"),
    ("number with a blank", "cmb", '["0308"]', '["03 08"]', "numbers.0", "letters, digits"),
    ("number too wide", "ccb", '["0105"]', '["010500000001"]', "numbers.0", "at most 10"),
    (
        "space no key can hold",
        "abc",
        'group = "one"',
        'group = "one"\nspace = "a/b"',
        "space",
        "letters, digits",
    ),
    (
        "transaction of a strange number",
        "zhenghe",
        'kind = "pay"',
        'kind = "pay"\nnumbers = ["0999"]',
        "transactions.pay.numbers",
        "7102",
    ),
    (
        "several numbers and no row for them",
        "boc",
        'take = { bank_number = "acquirer" }',
        "",
        "transactions.owed.take",
        "a row for bank_number",
    ),
]

LINE = [
    ("socket without limits", "lianlian", "[socket]", "[hours]", "socket", "limits"),
    ("queue with connections", "icbc", "[frame]", "[socket]\n[frame]", "socket", "no connections"),
    (
        "socket without boundaries",
        "nb_ccb",
        'kind = "binary"',
        'kind = "none"',
        "frame.kind",
        "length header",
    ),
    ("queue with a length", "ccb", 'kind = "none"', 'kind = "ascii"', "frame.kind", "'none'"),
    (
        "short connection on a queue",
        "boc",
        'kind = "queue"',
        'kind = "queue"\nconnection = "short"',
        "transport.connection",
        "no connections",
    ),
    (
        "second queue of a socket",
        "zhenghe",
        'kind = "socket"',
        'kind = "socket"\none_queue = true',
        "transport.one_queue",
        "no queue",
    ),
    ("bank that we dial", "zongheng", 'role = "server"', 'role = "client"', "transport.role", "'server'"),
    ("sign-on on a queue", "icbc", "sign_on = false", "sign_on = true", "session.sign_on", "no line"),
    ("echo on a queue", "icbc", "sign_on = false", "echo_seconds = 30", "session.echo_seconds", "no line"),
    (
        "echo on a short connection",
        "zhenghe",
        "sign_on = false",
        "echo_seconds = 30 #",
        "session.echo_seconds",
        "short connection",
    ),
    (
        "heartbeat on a short connection",
        "zhenghe",
        "size = 6",
        'size = 6\nheartbeat = "zero_length"',
        "frame.heartbeat",
        "one message",
    ),
    (
        "heartbeat without lengths",
        "psbc",
        'kind = "message"',
        'kind = "message"\nheartbeat = "zero_length"',
        "frame.heartbeat",
        "no length",
    ),
    (
        "inclusive length without lengths",
        "psbc",
        'kind = "message"',
        'kind = "message"\ninclusive = true',
        "frame.inclusive",
        "no length",
    ),
    ("XML without an end", "wenzhou", 'kind = "ascii"', 'kind = "message"', "frame.kind", "length header"),
    (
        "pairs without an end",
        "lianlian",
        'kind = "binary"',
        'kind = "message"',
        "frame.kind",
        "length header",
    ),
    ("fixed without an end", "nb_ceb", 'kind = "ascii"', 'kind = "message"', "frame.kind", "length header"),
    ("nine digits of length", "hz_ceb", "size = 6", "size = 9", "frame.size", "8"),
    (
        "frames shorter than messages",
        "wenzhou",
        "frame_bytes_max = 9999",
        "frame_bytes_max = 200",
        "transactions.owed.take",
        "can carry",
    ),
    (
        "lengths narrower than messages",
        "lianlian",
        "size = 4",
        "size = 1",
        "transactions.owed.give.approved",
        "can carry",
    ),
    (
        "unknown message about the line",
        "lianlian",
        "[management.echo]",
        "[management.ecko]",
        "management.ecko",
        "sign_on",
    ),
    (
        "echo without its message",
        "lianlian",
        "[management.echo]",
        "[management.ecko]",
        "management.echo",
        "echo",
    ),
    (
        "sign-on without its message",
        "psbc",
        "[management.sign_on]",
        "[management.echo]",
        "management.sign_on",
        "sign_on = true",
    ),
    (
        "sign-off rule without sign-on",
        "zhenghe",
        'on_mac_failures = "close"',
        'on_mac_failures = "sign_off"',
        "session.on_mac_failures",
        "nobody signs on",
    ),
]

ROWS = [*TYPES, *LIMITS, *NUMBERS, *LINE]


@pytest.mark.parametrize(
    ("bank", "old", "new", "key", "expected"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_a_mistake_is_told_where_it_stands(refused, bank, old, new, key, expected):
    told = refused(bank, "bank", old, new)
    file = Path("banks") / f"{bank}.toml"
    fitting = [problem for where, at, problem in told if (where, at) == (file, key)]
    assert fitting, told
    assert any(expected in problem.expected for problem in fitting), fitting
