"""Mistakes in a message spec, and files that are no profile at all: each is refused with file, key, expected.

One mistake a row: what it is, a bank that uses the spec, what stands there, what is written instead, the key
that must be told, and words of what is expected.
"""

import os
import shutil
from pathlib import Path

import pytest

from frontends.profile import load_profile, load_profiles
from qianzhi.link.site import load_site

CONFIG = Path(__file__).parents[2] / "config"

SPECS = [
    ("unknown kind", "psbc", 'kind = "iso8583"', 'kind = "iso8538"', "kind", "iso8583"),
    ("unknown key", "zhenghe", 'charset = "gb18030"', 'charsett = "gb18030"', "charsett", "charset"),
    ("fixed charset", "zhenghe", 'charset = "gb18030"', 'charset = "gb2312"', "charset", "gb18030"),
    ("delimited charset", "ccb", 'charset = "gbk"', 'charset = "latin1"', "charset", "gbk"),
    ("pairs charset", "lianlian", 'charset = "utf-8"', 'charset = "utf8"', "charset", "utf-8"),
    ("XML charset", "wenzhou", 'charset = "GBK"', 'charset = "EBCDIC"', "charset", "gbk"),
    ("unknown carriage", "hz_ceb", 'carried = "hex"', 'carried = "base64"', "carried", "hex"),
    ("unknown bitmap", "boc", 'bitmap = "hex"', 'bitmap = "octal"', "bitmap", "binary"),
    ("four bitmaps", "psbc", "bitmaps_max = 2", "bitmaps_max = 4", "bitmaps_max", "3"),
    ("field past the bitmaps", "boc", "[fields.4]", "[fields.70]", "fields.70", "2 to 64"),
    ("unknown encoding", "nb_ccb", 'digits = "bcd', 'digits = "bdc', "defaults.digits", "ascii"),
    ("unknown field type", "psbc", 'type = "n"', 'type = "num"', "fields.2.type", "ans"),
    ("unknown prefix", "psbc", 'prefix = "LL"', 'prefix = "LLLLLLL"', "fields.2.prefix", "LL"),
    ("length past its prefix", "psbc", "length = 19", "length = 190", "fields.2.length", "99"),
    ("no length", "psbc", "length = 19", "", "fields.2.length", "the length"),
    ("unknown secrecy", "psbc", 'sensitive = "pan"', 'sensitive = "very"', "fields.2.sensitive", "pan"),
    ("field name twice", "psbc", 'name = "stan"', 'name = "amount"', "fields.11.name", "its own"),
    ("unknown header", "psbc", 'header = "none"', 'header = "tpdu"', "header", "cups"),
    ("no root", "wenzhou", 'root = "BANKMSG"', "", "root", "name"),
    (
        "element without parent",
        "icbc",
        "[elements.Body]",
        "[elements.Bodi]",
        "elements.Body.Phone",
        "before it",
    ),
    ("delimiter of two", "ccb", 'delimiter = "|"', 'delimiter = "||"', "delimiter", "one ASCII character"),
    ("unknown ending", "ccb", 'ending = ""', 'ending = "!"', "ending", "one of"),
    (
        "when of no header part",
        "zhenghe",
        'when = { code = "6101"',
        'when = { codd = "6101"',
        "bodies.0.when.codd",
        "a part of the header",
    ),
    (
        "body twice",
        "zhenghe",
        'name = "bills_answer"',
        'name = "bills_request"',
        "bodies.1.name",
        "a name of its own",
    ),
    (
        "count of no part",
        "zhenghe",
        'counted_by = "count"',
        'counted_by = "counts"',
        "bodies.1.parts.4.counted_by",
        "a part before",
    ),
    (
        "inner delimiters alike",
        "lianlian",
        'inner = [";", ","]',
        'inner = [";", ";"]',
        "bodies.1.parts.3.inner",
        "two",
    ),
    (
        "message of no size",
        "lianlian",
        "message_bytes_max = 8192",
        "message_bytes_max = 0",
        "message_bytes_max",
        "16",
    ),
]

TEXTS = [  # what the file says instead, and what is told of the whole file
    ("no TOML", b"title = \n", "TOML"),
    ("key twice", b'title = "a"\ntitle = "b"\n', "TOML"),
    ("bad escape", b'title = "a\\q"\n', "TOML"),
    ("open string", b'title = "a\n', "TOML"),
    ("table twice", b"[frame]\n[frame]\n", "TOML"),
    ("no UTF-8", b'title = "\xff"\n', "UTF-8"),
    ("GBK", 'title = "银行"\n'.encode("gbk"), "UTF-8"),
    ("UTF-16", 'title = "a"\n'.encode("utf-16"), "UTF-8"),
    ("byte order mark", b'\xef\xbb\xbftitle = "a"\n', "without a byte order mark"),
    ("control character", b'title = "a\x00b"\n', "TOML"),
    ("too long", b"# long\n" * 700_000, "reasonable size"),
]


@pytest.fixture
def config(tmp_path):
    return Path(shutil.copytree(CONFIG, tmp_path / "config"))


@pytest.mark.parametrize(
    ("bank", "old", "new", "key", "expected"), [row[1:] for row in SPECS], ids=[row[0] for row in SPECS]
)
def test_a_mistake_in_a_spec_is_told_where_it_stands(refused, bank, old, new, key, expected):
    told = [
        (at, problem) for where, at, problem in refused(bank, "spec", old, new) if where.parts[0] == "specs"
    ]
    fitting = [problem for at, problem in told if at == key]
    assert fitting, told
    assert any(expected in problem.expected for problem in fitting), fitting


@pytest.mark.parametrize("folder", ["banks", "specs"])
@pytest.mark.parametrize(("data", "expected"), [row[1:] for row in TEXTS], ids=[row[0] for row in TEXTS])
def test_a_file_that_cannot_be_read_is_told(config, folder, data, expected):
    path = config / folder / {"banks": "icbc.toml", "specs": "icbc_xml.toml"}[folder]
    path.write_bytes(data)
    profile, problems = load_profile(config, "icbc")
    assert profile is None
    fitting = [problem for problem in problems if problem.file == str(path)]
    assert [problem.key for problem in fitting] == ["(whole file)"]
    assert expected in fitting[0].expected


def make_folder(path):
    path.mkdir()


def point_nowhere(path):
    path.symlink_to("gone.toml")


def point_to_itself(path):
    path.symlink_to(path.name)


@pytest.mark.parametrize("instead", [make_folder, point_nowhere, point_to_itself, lambda path: None])
def test_what_is_no_file_is_told(config, instead):
    bank, spec = config / "banks" / "icbc.toml", config / "specs" / "cmb_xml.toml"
    for path in (bank, spec):
        path.unlink()
        instead(path)
    profile, problems = load_profile(config, "icbc")
    assert profile is None
    assert [(p.file, p.key, p.expected) for p in problems] == [(str(bank), "(whole file)", "a readable file")]
    profile, problems = load_profile(config, "cmb")
    assert profile is None
    assert [(Path(p.file).name, p.key) for p in problems] == [("cmb.toml", "message.spec")]
    assert "the name of a file in" in problems[0].expected


def test_a_link_to_a_good_file_is_as_good_as_the_file(config):
    path = config / "banks" / "icbc.toml"
    os.replace(path, config / "icbc.toml")
    path.symlink_to(config / "icbc.toml")
    profile, problems = load_profile(config, "icbc")
    assert problems == []
    assert profile is not None


def test_an_empty_file_is_told_all_that_it_lacks(config):
    (config / "banks" / "icbc.toml").write_text("", encoding="utf-8")
    _, problems = load_profile(config, "icbc")
    lacking = {
        "title",
        "numbers",
        "transport",
        "frame",
        "request",
        "reply",
        "match",
        "limits",
    }
    assert lacking <= {problem.key for problem in problems}


def test_a_name_that_no_metric_could_carry_is_told(config):
    os.replace(config / "banks" / "icbc.toml", config / "banks" / "icbc-2.toml")
    _, problems = load_profile(config, "icbc-2")
    assert [(problem.key, "small letters" in problem.expected) for problem in problems] == [
        ("(file name)", True)
    ]


def planted(config, file, old, new):
    path = config / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return load_profiles(config, load_site(config)[0], rehearsed=())[1]


@pytest.mark.parametrize(
    ("file", "old", "new", "told", "key", "expected"),
    [
        (
            "banks/icbc.toml",
            '["0102"]',
            '["0102", "0302"]',
            "banks/icbc.toml",
            "numbers",
            "numbers of its own",
        ),
        (
            "banks/icbc.toml",
            "\ngroup",
            '\nspace = "hz_citic"\ngroup',
            "banks/icbc.toml",
            "space",
            "of its own",
        ),
        (
            "site.toml",
            'control = "tcp://127.0.0.1:17312"',
            "",
            "site.toml",
            "banks.icbc.control",
            "tcp:",
        ),
        ("site.toml", '"127.0.0.1:17301"', '""', "site.toml", "banks.hz_citic.listen", "an address"),
    ],
)
def test_what_two_files_do_not_agree_on_is_told(config, file, old, new, told, key, expected):
    problems = planted(config, file, old, new)
    fitting = [p for p in problems if Path(p.file) == config / told and p.key == key]
    assert fitting, problems
    assert expected in fitting[0].expected


@pytest.mark.parametrize(
    ("machine", "state", "told"),
    [
        ("local", "", []),
        ("other", "", ["banks.hz_citic.instances"]),
        ("other", '[state]\ndatabase = "postgresql://qianzhi_front@core1/qianzhi"\n\n', []),
    ],
)
def test_front_ends_on_two_machines_need_a_database_to_share_what_they_keep(config, machine, state, told):
    old = '[banks.hz_citic]\nmachine = "local"\ngroup = "one"\ninstances = 1\n'
    place = f'machine = "{machine}"\nlisten = "127.0.0.1:17309"\nmetrics_port = 17308\n'
    planted(config, "site.toml", old, old.replace("instances = 1", "instances = 2"))
    planted(config, "site.toml", "[banks.icbc]", f"[[banks.hz_citic.others]]\n{place}\n[banks.icbc]")
    problems = planted(config, "site.toml", "[core]", f"{state}[core]")
    assert [problem.key for problem in problems] == told
