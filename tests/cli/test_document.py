"""The interface document of every bank: whole, in both languages, true to the last byte of its samples."""

import dataclasses
import functools
import hashlib
import hmac
import re
import shutil
import tomllib
from pathlib import Path

import pytest
from Crypto.Cipher import DES

from frontends.mapping_rows import split_row, values_of
from frontends.profile import load_profile
from qianzhi.cli.chosen import Chosen
from qianzhi.cli.document.document import written
from qianzhi.cli.document.facts import gather
from qianzhi.cli.document.html import to_html
from qianzhi.cli.document.line_samples import delivery_spec
from qianzhi.cli.document.places import where_of
from qianzhi.cli.document.samples import House, approved, request_of
from qianzhi.cli.document.settling import is_heard
from qianzhi.cli.documenting import docs_command
from qianzhi.cli.output import CommandError
from qianzhi.domain.results import Result
from qianzhi.link.site import load_site
from qianzhi.wire.codec import get_path
from qianzhi.wire.framing import FrameReader
from simulators.codecs import bank_codec
from simulators.macs import is_signed, sm4_cbc

CONFIG = Path(__file__).parents[2] / "config"
NETWORKS = ("lnet", "mnet", "unet", "vnet")  # their documents are others: test_document_networks
BANKS = sorted(path.stem for path in (CONFIG / "banks").glob("*.toml") if path.stem not in NETWORKS)
LANGUAGES = ("en", "zh")


def keys_of(bank):
    """Who makes a bank's working keys, as its file says."""
    return tomllib.loads((CONFIG / "banks" / f"{bank}.toml").read_text(encoding="utf-8"))["session"]["keys"]


EXCHANGING = [bank for bank in BANKS if keys_of(bank) in ("ours", "theirs")]


@functools.cache
def facts_of(bank):
    profile, problems = load_profile(CONFIG, bank, rehearsed=False)
    assert problems == []
    return gather(profile)


@functools.cache
def text_of(bank, language):
    return written(facts_of(bank), language)


def chapters(text):
    """The chapters by number."""
    parts = re.split(r"^## (\d+)\. ", text, flags=re.MULTILINE)
    return dict(zip(map(int, parts[1::2]), parts[2::2], strict=True))


def prose(text):
    """The document without code spans and drawings."""
    return re.sub(r"``.*?``|`[^`\n]*`", "…", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


each_bank = pytest.mark.parametrize("bank", BANKS)


# -- it is complete ------------------------------------------------------------------------------------------


@each_bank
@pytest.mark.parametrize("language", LANGUAGES)
def test_it_is_the_same_every_time_and_has_all_its_chapters(bank, language):
    text = text_of(bank, language)
    assert written(gather(facts_of(bank).profile), language) == text
    assert sorted(chapters(text)) == list(range(1, 14))
    assert "None" not in text
    assert not re.search(r"[{}]", re.sub(r"`[^`]*`", "", text)), "an unfilled place"
    dangling = re.search(r"(; |, |；|、)(\||$|[.。])", prose(text), re.MULTILINE)
    assert not dangling, "a separator that nothing follows"


@each_bank
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_transaction_field_code_and_list_is_named(bank, language):
    facts, text = facts_of(bank), text_of(bank, language)
    table, spec = facts.profile.table, facts.spec
    paths = set(table.reply.echo) | {table.reply.result} | {split_row(row)[0] for row in table.match.keys}
    for name, rows in table.transactions.items():
        assert f"`{name}`" in text
        taken = [row for texts in {**table.request.take, **rows.take}.values() for row in values_of(texts)]
        paths |= {split_row(row)[0] for row in taken} | set(rows.give) | set(rows.set) | set(rows.when)
        paths |= {need.partition("=")[0] for need in [*table.request.need, *rows.need]}
    for name, rows in table.management.items():
        assert f"`{name}`" in text
        paths |= set(rows.when) | set(rows.ours) | set(rows.theirs) | set(rows.need)
    mac = facts.profile.mac
    if mac is not None:
        paths |= {path for listed in mac.lists.values() for path in listed} | {mac.field}
    known = {path for path in paths if spec.find(path)}
    missing = {path for path in known if f"`{spec.label(path)}`" not in text}
    carried = {path for one in facts.samples for path in _paths(one.message)}
    assert not {path for path in missing if path in carried or path not in table.reply.echo}
    codes = {code for name, code in table.results.codes.items() if is_heard(facts, Result[name.upper()])}
    assert not {code for code in codes if f"| `{code}` |" not in text}


def _paths(message, path=""):
    for name, value in message.items():
        inner = f"{path}.{name}" if path else name
        yield inner
        if isinstance(value, dict):
            yield from _paths(value, inner)


@each_bank
def test_every_message_has_a_sample_of_each_part(bank):
    facts = facts_of(bank)
    have = {(one.name, one.part) for one in facts.samples}
    table = facts.profile.table
    wanted = {(name, part) for name in table.transactions for part in ("request", "approved", "refusal")}
    wanted |= {(name, part) for name in table.management for part in ("request", "answer")}
    assert wanted <= have
    mapping = facts.profile.mapping
    for one in facts.samples:
        if one.part in ("approved", "refusal"):
            approved = mapping.reply_of(one.message).result is Result.APPROVED
            assert approved == (one.part == "approved"), one.anchor


# -- it is written in one language ---------------------------------------------------------------------------

ENGLISH = re.compile(r"\b[A-Za-z]{2,} [a-z]{2,} [a-z]{2,}\b")
CHINESE = re.compile(r"[\u4e00-\u9fff]")


@each_bank
def test_the_chinese_document_has_no_english_sentence_and_the_english_one_no_chinese(bank):
    found = ENGLISH.findall(prose(text_of(bank, "zh")))
    assert not found, found[:5]
    assert not CHINESE.findall(prose(text_of(bank, "en")))


# -- its samples are true ------------------------------------------------------------------------------------


@each_bank
def test_samples_are_cut_by_the_framing_and_read_by_another_codec(bank):
    facts = facts_of(bank)
    codec, other = facts.profile.codec, bank_codec(facts.profile.spec)
    spec = facts.profile.frame
    for one in facts.samples:
        reader = FrameReader(spec, codec.measure) if spec.kind == "message" else FrameReader(spec)
        assert reader.receive_data(one.wire) == [one.body], one.anchor
        assert not reader.partial
        assert codec.encode(codec.decode(one.body)) == one.body, one.anchor
        assert other.encode(other.decode(one.body)) == one.body, one.anchor


@each_bank
def test_a_fresh_core_answers_the_printed_bytes_with_the_printed_bytes(bank):
    facts = facts_of(bank)
    house = House(facts.profile)
    numbers = {name: at for at, name in enumerate(facts.profile.table.transactions, 1)}
    for one in facts.samples:
        if one.ours:
            continue
        reply = None
        if one.name in numbers:
            reply = approved(request_of(facts.profile, one.name, numbers[one.name]))
        heard = house.ask(bytes.fromhex(one.body.hex()), reply)
        answer = facts.sample(one.name, "approved" if one.name in numbers else "answer")
        assert heard[:1] == ([answer.body] if one.part == "request" else []), one.anchor


@each_bank
def test_every_mac_is_right_by_another_implementation(bank):
    facts = facts_of(bank)
    mac, codec = facts.profile.mac, bank_codec(facts.profile.spec)
    signed = [one for one in facts.samples if one.key and facts.profile.mac_required(one.message)]
    signed = [
        one for one in signed if one.name != "key_delivery" or delivery_spec(facts.profile).form == "slots"
    ]
    assert not mac or {one.part for one in signed} >= {"request", "approved", "refusal"}
    for one in signed:
        assert is_signed(mac, codec.decode(one.body), codec, one.key, one.body), one.anchor
        wrong = bytes([one.key[0] ^ 2]) + one.key[1:]
        assert not is_signed(mac, codec.decode(one.body), codec, wrong, one.body), one.anchor


@each_bank
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_worked_mac_can_be_followed_with_other_libraries(bank, language):
    """Nothing but the text of the chapter and pycryptodome, hashlib and hmac."""
    mac = facts_of(bank).profile.mac
    text = chapters(text_of(bank, language))[7]
    example = text[text.rindex("\n### 7.") :]
    key = bytes.fromhex(re.search(r"`([0-9A-F]{16,})`", example)[1])
    data = bytes.fromhex(re.search(r"```hex\n([0-9A-F]+)\n```", text)[1])
    last = bytes.fromhex(re.findall(r"\| `([0-9A-F]+)` \|$", text, re.MULTILINE)[-1])
    assert last == OTHERS[mac.algorithm](key, data, mac.key_place)
    shown = last.hex().upper()[:8] if mac.case == "upper" else last.hex()[:8]
    assert shown in text.rpartition("|")[2]


def des(key, mode, **more):
    return DES.new(key, mode, **more)  # noqa: S304 - what the dialects prescribe


def cbc(key, data):
    whole = data + bytes(-len(data) % 8)
    return des(key, DES.MODE_CBC, iv=bytes(8)).encrypt(whole)[-8:]


def retail(key, data, _):
    last = des(key[8:], DES.MODE_ECB).decrypt(cbc(key[:8], data))
    return des(key[:8], DES.MODE_ECB).encrypt(last)


def folded(key, data, _):
    total = 0
    for at in range(0, len(data), 8):
        total ^= int.from_bytes(data[at : at + 8].ljust(8, b"\0"), "big")
    letters = f"{total:016X}".encode()

    def encrypt(block):
        once = des(key[:8], DES.MODE_ECB).encrypt(block)
        if len(key) == 8:
            return once
        return des(key[:8], DES.MODE_ECB).encrypt(des(key[8:], DES.MODE_ECB).decrypt(once))

    mixed = int.from_bytes(encrypt(letters[:8]), "big") ^ int.from_bytes(letters[8:], "big")
    return encrypt(mixed.to_bytes(8, "big"))


def digest(name):
    places = {"before": lambda key, data: key + data, "after": lambda key, data: data + key}
    return lambda key, data, place: hashlib.new(name, places[place](key, data)).digest()


def keyed(name):
    return lambda key, data, _: hmac.new(key, data, name).digest()


OTHERS = {
    "x99": lambda key, data, _: cbc(key, data),
    "x919": retail,
    "pos_ecb": folded,
    "sm4cbc": lambda key, data, _: sm4_cbc(key, data),
    **{name: digest(name) for name in ("md5", "sha1", "sha256", "sm3")},
    **{f"hmac_{name}": keyed(name) for name in ("md5", "sha1", "sha256", "sm3")},
}


@each_bank
def test_every_sample_stands_in_the_document_in_one_line_and_taken_apart_to_its_end(bank):
    facts, text = facts_of(bank), text_of(bank, "en")
    for one in facts.samples:
        start = text.index(f"```hex\n{one.wire.hex().upper()}\n```")
        if facts.spec.kind not in ("iso8583", "fixed"):
            continue
        table = text[start:].partition("| offset | bytes |")[2].partition("\n\n")[0]
        rows = re.findall(r"^\| (\d+) \| (\d+) \|", table, re.MULTILINE)
        at = 0
        for offset, size in rows:
            assert int(offset) == at, f"{one.anchor}: a gap before byte {offset}"
            at += int(size)
        inner = len(one.body) // 2 if facts.spec.carried == "hex" else len(one.body)
        assert at == inner, one.anchor


@each_bank
def test_the_keys_of_the_document_are_its_own(bank, tmp_path):
    """The profile's own references play no part: with other keys the document is the same."""
    facts = facts_of(bank)
    keys = dataclasses.replace(facts.profile.keys, **{name: value and "file:nowhere" for name, value in (
        ("master", facts.profile.keys.master), ("mac", facts.profile.keys.mac))})  # fmt: skip
    other = dataclasses.replace(facts.profile, keys=keys)
    assert written(gather(other), "en") == text_of(bank, "en")
    for reference in (facts.profile.keys.master, facts.profile.keys.mac):
        secret = reference.partition(":")[2]
        assert not secret or secret.upper() not in text_of(bank, "en").upper()


@pytest.mark.parametrize("bank", EXCHANGING)
def test_a_delivered_key_is_worked_out_as_it_stands_in_its_sample(bank):
    facts = facts_of(bank)
    assert facts.exchanged
    spec = delivery_spec(facts.profile)
    text = chapters(text_of(bank, "en"))[5]
    master, wrapped, key, zeros, check = re.findall(r"\| `([0-9A-F]+)` \|$", text, re.MULTILINE)[:5]
    assert bytes.fromhex(master) == facts.keys["master"]
    blocks = [bytes.fromhex(wrapped)[at : at + 8] for at in range(0, len(key) // 2, 8)]
    assert (
        b"".join(triple(bytes.fromhex(master), block, decrypt=True) for block in blocks).hex().upper() == key
    )
    assert triple(bytes.fromhex(key), bytes(8)).hex().upper() == zeros
    assert zeros.startswith(check)
    delivered = facts.sample("key_delivery", "request") or facts.sample("sign_on", "answer")
    path = spec.mac_key if spec.form == "slots" else spec.double if len(key) == 32 else spec.single
    found = get_path(delivered.message, path)
    assert (found.hex().upper() if isinstance(found, bytes) else found) == wrapped


def triple(key, block, *, decrypt=False):
    left, right = des(key[:8], DES.MODE_ECB), des(key[8:] or key, DES.MODE_ECB)
    if len(key) == 8:
        return left.decrypt(block) if decrypt else left.encrypt(block)
    if decrypt:
        return left.decrypt(right.encrypt(left.decrypt(block)))
    return left.encrypt(right.decrypt(left.encrypt(block)))


# -- HTML ----------------------------------------------------------------------------------------------------


@each_bank
@pytest.mark.parametrize("language", LANGUAGES)
def test_html_is_one_page_that_needs_nothing_else(bank, language):
    text = text_of(bank, language)
    page = to_html(text, language)
    assert page.startswith("<!doctype html>")
    assert page.count("<table>") == len(re.findall(r"^\|(---\|)+$", text, re.MULTILINE))
    assert page.count('<code class="language-hex">') == text.count("```hex")
    assert not re.search(r"(src|href)=\"(?!#)|@import|url\(|<script", page)
    assert page.count('href="#') == 13


# -- the command ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "start"), [("md", "# 杭州银行专线"), ("html", "<!doctype html>")])
def test_the_command_prints_the_document(capsys, form, start):
    docs_command(Chosen(CONFIG), "hz_citic", form, "zh")
    printed = capsys.readouterr().out
    assert printed.startswith(start)
    site, problems = load_site(CONFIG)
    assert problems == []
    profile = facts_of("hz_citic").profile
    text = written(dataclasses.replace(facts_of("hz_citic"), where=where_of(site, profile)), "zh")
    assert "127.0.0.1:17301" in text
    assert printed.rstrip("\n") == (text if form == "md" else to_html(text, "zh")).rstrip("\n")


@pytest.mark.parametrize(
    ("bank", "form", "language", "said"),
    [
        ("nowhere", "md", "en", "no bank 'nowhere'"),
        ("../icbc", "md", "en", "no bank"),
        ("icbc", "pdf", "en", "no format 'pdf'"),
        ("icbc", "md", "fr", "no language 'fr'"),
    ],
)
def test_the_command_says_what_there_is_not(bank, form, language, said):
    with pytest.raises(CommandError, match=said):
        docs_command(Chosen(CONFIG), bank, form, language)


def test_a_document_needs_no_key_file_of_the_site(tmp_path, capsys):
    shutil.copytree(CONFIG, tmp_path / "config")
    file = tmp_path / "config/banks/icbc.toml"
    text = re.sub(r'"test:[0-9A-F]+"', '"file:elsewhere.key"', file.read_text(encoding="utf-8"))
    assert "file:elsewhere.key" in text
    file.write_text(text, encoding="utf-8")
    docs_command(Chosen(tmp_path / "config"), "icbc", "md", "en")
    assert "# " in capsys.readouterr().out
    assert load_profile(tmp_path / "config", "icbc")[1][0].key == "keys.mac"
