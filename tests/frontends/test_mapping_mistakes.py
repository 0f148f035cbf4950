"""Mistakes in what messages mean and in result codes: each is refused, with file, key, and what should be.

One mistake a row: what it is, the bank, what stands there, what is written instead, the key that must be
told, and words of what is expected.
"""

from pathlib import Path

import pytest

MAPPING = [
    (
        "a bank's reversal that would pass for our own",
        "hz_citic",
        'own_serial = "stan|digits:6"\namount_fen = "amount|fen:12"',
        'own_serial = "stan|digits:6"\namount_fen = "amount|fen:12"\nreason = "condition|digits:2"',
        "transactions.reversal.take.reason",
        "does not say it",
    ),
    ("unknown path", "psbc", '"stan|digits:6"', '"stun|digits:6"', "request.serial", "a path"),
    (
        "path into nothing",
        "wenzhou",
        'phone = "MOBILE',
        'phone = "MOBILE.NO',
        "transactions.owed.take.phone",
        "path",
    ),
    (
        "body path unknown",
        "abc",
        '"body.phone|',
        '"body.fone|',
        "transactions.owed.take.phone",
        "a path of the message spec",
    ),
    (
        "when on a body path unknown",
        "zhenghe",
        'when = { code = "6102", kind = "0" }',
        'when = { code = "6102", "body.kind" = "0" }',
        "transactions.recharge.when.body.kind",
        "a path",
    ),
    (
        "field too narrow",
        "zhenghe",
        'amount_fen = "body.amount|fen:12"',
        'amount_fen = "body.amount|fen:13"',
        "transactions.recharge.take.amount_fen",
        "wide enough",
    ),
    (
        "amount too narrow",
        "boc",
        '"amount|fen:12"',
        '"amount|fen:6"',
        "transactions.recharge.take.amount_fen",
        "7",
    ),
    ("unknown transform", "ccb", "|date8", "|date9", "transactions.owed.take.date", "date8"),
    ("transform of another field", "ccb", "|date8", "|yuan:8", "transactions.owed.take.date", "date8"),
    (
        "transform without its width",
        "ccb",
        "|digits:11",
        "|digits",
        "transactions.owed.take.phone",
        "a width",
    ),
    (
        "date head too short",
        "bocom",
        "|date_head:14",
        "|date_head:6",
        "transactions.owed.take.date",
        "8 digits",
    ),
    ("no row for a serial", "cmb", "serial = ", "repeat = ", "request.serial", "required"),
    (
        "two messages alike",
        "zhenghe",
        'code = "6103"',
        'code = "6102"',
        "transactions.pay.when",
        "no other message",
    ),
    (
        "anything beside a value",
        "lianlian",
        'when = { cmd = "TOPUP", result = "" }',
        'when = { cmd = "*", result = "" }',
        "transactions.recharge.when",
        "no other message",
    ),
    (
        "request that is an answer",
        "wenzhou",
        'PROCCODE = "000000", RESPCODE = ""',
        'PROCCODE = "000000", RESPCODE = "*"',
        "match.answer",
        "no other message",
    ),
    (
        "empty when",
        "psbc",
        'when = { mti = "0420"',
        "when = {} # ",
        "transactions.reversal.when",
        "what the message",
    ),
    ("echo of an unknown path", "ccb", 'echo = ["code"', 'echo = ["coda"', "reply.echo.coda", "a path"),
    (
        "match key that no answer has",
        "ccb",
        'echo = ["code", "bank", "date"',
        'echo = ["code", "bank"',
        "transactions.owed.give.approved",
        "comes back as it went",
    ),
    (
        "constant too wide",
        "lianlian",
        'ver = "1.0"',
        'ver = "1.0.0.0.0"',
        "management.echo.ours.ver",
        "that fits",
    ),
    (
        "constant of a wrong kind",
        "psbc",
        '"00000001"',
        '"0000\\u00001"',
        "transactions.owed.take",
        "can carry",
    ),
    (
        "stamp of a strange path",
        "psbc",
        'stamp = ["tr',
        'stamp = ["stan", "tr',
        "management.sign_on.stamp",
        "tran",
    ),
    (
        "bills in no list",
        "icbc",
        'path = "Body.Bills.Bill"',
        'path = "Body.Bill.Bills"',
        "bills.path",
        "a path",
    ),
    ("bills missing", "cmb", "[bills]", "[hours]", "bills", "how the bills"),
    (
        "bills beyond the field",
        "psbc",
        "max = 12",
        "max = 499",
        "transactions.owed.give.approved",
        "can carry",
    ),
    (
        "bill column too wide",
        "psbc",
        "late_fee_fen|fen:12",
        "late_fee_fen|fen:15",
        "bills.columns.late_fee",
        "wide",
    ),
    ("bill column of nothing", "psbc", "late_fee_fen|", "late_fees|", "bills.columns.late_fee", "no rows"),
    (
        "totals without a date",
        "psbc",
        'date = "settlement_date|mmdd:4"',
        "",
        "transactions.totals.take",
        "date",
    ),
    (
        "totals without a count",
        "psbc",
        'count = "paid_count|number:10"',
        "",
        "transactions.totals.take",
        "count",
    ),
    ("totals without their code", "psbc", 'totals_differ = "95"', "", "results.codes.totals_differ", "code"),
]

RESULTS = [
    (
        "unknown result",
        "boc",
        "no_such_phone = ",
        "no_such_fone = ",
        "results.codes.no_such_fone",
        "no_such_phone",
    ),
    ("missing result", "boc", "no_such_phone = ", "# ", "results.codes.no_such_phone", "the bank's code"),
    (
        "open and refused alike",
        "wenzhou",
        'blocked = "',
        'blocked = "68" # ',
        "results.codes",
        "both open",
    ),
    ("approved and refused alike", "wenzhou", 'busy = "', 'busy = "00" # ', "results.codes", "both open"),
    (
        "repeat code of nothing",
        "psbc",
        'repeat_codes = ["',
        'repeat_codes = ["ZZ", "',
        "results.repeat_codes",
        "codes",
    ),
    ("text of nothing", "psbc", 'approved = "成功"', 'aproved = "成功"', "results.texts.aproved", "approved"),
    (
        "code too wide",
        "psbc",
        'quarantined = "05"',
        'quarantined = "0500"',
        "transactions.owed.give.quarantined",
        "carry",
    ),
    (
        "text that the charset lacks",
        "wenzhou",
        'busy = "系统忙',
        'busy = "😀',
        "transactions.owed.give.busy",
        "carry",
    ),
    (
        "guess for an answer",
        "cmb",
        'on_unknown = "code"',
        'on_unknown = "guess"',
        "results.on_unknown",
        "silence",
    ),
    (
        "unproved refusal that forbids a repeat",
        "wenzhou",
        '"C1", "A0"]',
        '"C1"]',
        "results.repeat_codes",
        "because its key is not blocked",
    ),
]

ROWS = [*MAPPING, *RESULTS]


@pytest.mark.parametrize(
    ("bank", "old", "new", "key", "expected"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_a_mistake_is_told_where_it_stands(refused, bank, old, new, key, expected):
    told = refused(bank, "bank", old, new)
    file = Path("banks") / f"{bank}.toml"
    fitting = [problem for where, at, problem in told if (where, at) == (file, key)]
    assert fitting, told
    assert any(expected in problem.expected for problem in fitting), fitting
