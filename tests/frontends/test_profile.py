"""Everything that can be wrong with a bank's profile is planted, and found before anything starts."""

import shutil
from pathlib import Path

import msgspec
import pytest

from frontends.mapping import Refusal
from frontends.profile import load_profile, load_profiles, resolve_keys
from qianzhi.domain.requests import Key, Kind, Request
from qianzhi.domain.results import Result
from qianzhi.link.site import load_site
from qianzhi.runtime.now import Now
from qianzhi.runtime.secrets import KeyReferenceError

CONFIG = Path(__file__).parents[2] / "config"
NOW = Now(0, 1_795_312_800_000_000)  # 2026-11-22 10:00:00 in Shanghai


@pytest.fixture
def config(tmp_path):
    return Path(shutil.copytree(CONFIG, tmp_path / "config"))


def plant(config, bank, old, new):
    """Write something else in a bank's file, in the first place where the old text stands."""
    path = config / "banks" / f"{bank}.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def keys_of(problems):
    return [problem.key for problem in problems]


def test_the_shipped_profiles_are_sound_in_their_site():
    site, problems = load_site(CONFIG)
    assert problems == []
    profiles, problems = load_profiles(CONFIG, site)
    assert problems == []
    assert set(profiles) == set(site.banks)
    citic, icbc = profiles["hz_citic"], profiles["icbc"]
    assert (citic.group, citic.instances, citic.space, citic.numbers) == ("one", 1, "hz_citic", ["0302"])
    assert (icbc.engine, icbc.transport.kind, icbc.numbers) == ("zeromq", "queue", ["0102"])
    assert citic.session.sign_on
    assert not icbc.session.sign_on
    assert resolve_keys(citic, CONFIG, production=False) == {
        "master": bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
    }
    with pytest.raises(KeyReferenceError):
        resolve_keys(icbc, CONFIG, production=True)


def test_no_key_stands_in_what_a_profile_shows():
    citic, _ = load_profile(CONFIG, "hz_citic")
    assert citic.name in repr(citic)
    assert "0123456789ABCDEFFEDCBA9876543210" not in str(resolve_error(citic))


def resolve_error(profile):
    with pytest.raises(KeyReferenceError) as caught:
        resolve_keys(profile, CONFIG, production=True)
    return caught.value


# bank, the text that is replaced, what stands there instead, the key that is to blame
PLANTED = [
    ("hz_citic", 'kind = "socket"', 'kind = "pigeon"', "transport.kind"),
    ("hz_citic", 'title = "', 'colour = "red"\ntitle = "', "colour"),
    ("hz_citic", "reply_seconds = 10", "", "limits.reply_seconds"),
    ("hz_citic", "in_flight = 1000", "in_flight = 0", "limits.in_flight"),
    ("hz_citic", "amount_fen_max = 5000000", "amount_fen_max = 50000.00", "limits.amount_fen_max"),
    ("hz_citic", 'spec = "cups"', 'spec = "cubs"', "message.spec"),
    ("hz_citic", 'spec = "cups"', 'spec = "../specs/cups"', "message.spec"),
    ("hz_citic", 'numbers = ["0302"]', "numbers = []", "numbers"),
    ("hz_citic", 'numbers = ["0302"]', 'numbers = ["0302", "0302"]', "numbers"),
    ("hz_citic", 'close = "24:00"', 'close = "25:00"', "hours.close"),
    ("hz_citic", 'close = "24:00"', 'close = "00:00"', "hours.close"),
    ("hz_citic", 'open = "00:00"', 'open = "midnight"', "hours.open"),
    ("hz_citic", '"test:0123456789ABCDEFFEDCBA9876543210"', '"file:missing.key"', "keys.master"),
    ("hz_citic", '"test:0123456789ABCDEFFEDCBA9876543210"', '"test:0123456789ABCDEF"', "keys.master"),
    (
        "hz_citic",
        '"test:0123456789ABCDEFFEDCBA9876543210"',
        '"0123456789ABCDEFFEDCBA9876543210"',
        "keys.master",
    ),
    ("hz_citic", 'master = "test', '# "test', "keys.master"),
    ("hz_citic", 'keys = "ours"', 'keys = "static"', "keys.mac"),
    ("icbc", 'keys = "static"', 'keys = "none"', "mac"),
    ("icbc", 'mac = "test:FEDCBA98765432100123456789ABCDEF"', 'mac = "test:00"', "keys.mac"),
    ("icbc", 'mac = "test:FEDCBA98765432100123456789ABCDEF"', 'mac = "env:QIANZHI_NO_SUCH_KEY"', "keys.mac"),
    ("icbc", "sign_on = false", "sign_on = true", "session.sign_on"),
    ("icbc", 'kind = "none" ', 'kind = "ascii" ', "frame.kind"),
    ("hz_citic", 'kind = "ascii"', 'kind = "none"', "frame.kind"),
    ("hz_citic", 'allow = ["127.0.0.0/8"]', 'allow = ["localhost"]', "socket"),
    ("hz_citic", 'field = "mac"', 'field = "mack"', "mac.field"),
    ("hz_citic", '"fee", "acquirer"', '"fees", "acquirer"', "mac.lists.default.8"),
    ("hz_citic", "required = [{ mti =", "required = [{ mtv =", "protection.required.0.mtv"),
    ("hz_citic", '["0200", "0210", "0420", "0430"] }', '["0200", "0210"] }', "protection.required"),
    ("hz_citic", '["0200", "0210", "0420", "0430"] }', '["0200", "0420", "0820"] }', "mac.lists"),
    ("hz_citic", "default = [", "other = [", "mac.lists"),
    ("hz_citic", 'role = "server"', 'role = "client"', "transport.role"),
    ("icbc", '"Body.Phone|digits:11" }', '["Body.Phone|digits:11"] }', "transactions.owed.take.phone"),
    (
        "icbc",
        'take = { serial = "Head.Serial|word:20"',
        'take = { serial = ["Head.BankNo|word:15", "Head.Serial|word:20"]',
        "transactions.owed.take.serial",
    ),
    # results
    ("hz_citic", 'approved = "00"', 'aproved = "00"', "results.codes.aproved"),
    ("hz_citic", 'approved = "00"', 'aproved = "00"', "results.codes.approved"),
    ("hz_citic", 'unknown = "68"', "", "results.codes.unknown"),
    ("hz_citic", 'in_process = "09"', "", "results.codes.in_process"),
    ("hz_citic", 'busy = "96"', 'busy = "00"', "results.codes"),
    ("hz_citic", 'blocked = "22"', 'blocked = "68"', "results.codes"),
    ("hz_citic", 'repeat_codes = ["96"', 'repeat_codes = ["97"', "results.repeat_codes"),
    ("hz_citic", 'on_unknown = "code"', 'on_unknown = "guess"', "results.on_unknown"),
    ("icbc", 'busy = "系统忙"', 'bussy = "系统忙"', "results.texts.bussy"),
    # rows: unknown transforms, paths that the spec does not have, fields that are too narrow
    (
        "hz_citic",
        'amount_fen = "amount|fen:12"',
        'amount_fen = "amount|yen:12"',
        "transactions.recharge.take.amount_fen",
    ),
    (
        "hz_citic",
        'amount_fen = "amount|fen:12"',
        'amount_fen = "amount"',
        "transactions.recharge.take.amount_fen",
    ),
    (
        "hz_citic",
        'amount_fen = "amount|fen:12"',
        'amount_fen = "sum|fen:12"',
        "transactions.recharge.take.amount_fen",
    ),
    (
        "hz_citic",
        'amount_fen = "amount|fen:12"',
        'amount_fen = "amount|fen:13"',
        "transactions.recharge.take.amount_fen",
    ),
    (
        "hz_citic",
        'amount_fen = "amount|fen:12"',
        'amount_fen = "amount|fen:6"',
        "transactions.recharge.take.amount_fen",
    ),
    (
        "hz_citic",
        'bill = "private.PZ.bill|word:20"',
        'bill = "private.PZ.bill|word:21"',
        "transactions.pay.take.bill",
    ),
    ("hz_citic", 'bill = "private.PZ.bill|word:20"', "", "transactions.pay.take"),
    (
        "hz_citic",
        'phone = "private.PZ.number|digits:11"',
        'fone = "private.PZ.number|digits:11"',
        "transactions.owed.take.fone",
    ),
    ("hz_citic", 'own_serial = "stan|digits:6"', "", "transactions.status.take"),
    ("hz_citic", 'rrn = "order"', 'terminal = "order"', "transactions.recharge.give.terminal"),
    ("hz_citic", 'rrn = "order"', 'rrn = "odour"', "transactions.recharge.give.rrn"),
    ("hz_citic", 'rrn = "order"', 'rnn = "order"', "transactions.recharge.give.rnn"),
    (
        "hz_citic",
        'need = ["private.PZ.number"]',
        'need = ["private.PX.number"]',
        "transactions.owed.need.private.PX.number",
    ),
    ("hz_citic", 'mcc = "4814"', 'mcc = "48140"', "request.set.mcc"),
    ("hz_citic", 'mcc = "4814"', 'mmc = "4814"', "request.set.mmc"),
    ("hz_citic", "late_fee_fen|fen:12", "late_fee_fen|fen:14", "bills.columns.late_fee"),
    ("hz_citic", "month|number:6", "mouth|number:6", "bills.columns.month"),
    ("hz_citic", 'path = "details.bills"', 'path = "details.bill"', "bills.path"),
    ("icbc", "now|clock:hhmmss", "now|clock:hhmm", "request.stamp.Head.TrxTime"),
    ("hz_citic", 'result = "response_code"', 'result = "answer_code"', "reply.result"),
    (
        "hz_citic",
        '"processing_code", "transmission_time", "stan", "mcc"',
        '"processing", "transmission_time", "stan", "mcc"',
        "reply.echo.processing",
    ),
    ("hz_citic", '"mti|head:2", "transmission_time"', '"mti|head:2", "transmission"', "match.keys.1"),
    ("hz_citic", 'stamp = ["transmission_time"]', 'stamp = ["stan"]', "management.sign_on.stamp"),
    # one message that would be two things at once
    (
        "hz_citic",
        'when = { mti = "0200", processing_code = "390000" }',
        'when = { mti = "0200" }',
        "transactions.status.when",
    ),
    ("hz_citic", 'processing_code = "000000", condition = "28"', 'condition = "28"', "transactions.pay.when"),
    ("hz_citic", 'network_code = "301"', 'network_code = "001"', "management.echo.when"),
    ("hz_citic", 'when = { mti = "0420" }', 'when = { mti = ["0420", "0430"] }', "match.answer"),
    ("hz_citic", 'when = { mti = "0420" }', "when = {}", "transactions.reversal.when"),
    ("hz_citic", 'when = { mti = "0420" }', "when = { mti = [] }", "transactions.reversal.when.mti"),
    ("hz_citic", 'when = { mti = "0420" }', 'when = { nti = "0420" }', "transactions.reversal.when.nti"),
]


@pytest.mark.parametrize(("bank", "old", "new", "key"), PLANTED)
def test_a_planted_fault_is_found_where_it_stands(config, bank, old, new, key):
    plant(config, bank, old, new)
    profile, problems = load_profile(config, bank)
    assert profile is None
    assert key in keys_of(problems)
    for problem in problems:
        assert problem.file.startswith(str(config))
        assert problem.found
        assert problem.expected
        assert "0123456789ABCDEF" not in str(problem)


def test_all_faults_of_a_file_are_told_at_once(config):
    plant(config, "hz_citic", 'unknown = "68"', 'no_idea = "68"')
    plant(config, "hz_citic", 'mcc = "4814"', 'mmc = "4814"')
    plant(config, "hz_citic", 'rrn = "order"', 'rrn = "odour"')
    plant(config, "hz_citic", '"test:0123456789ABCDEFFEDCBA9876543210"', '"file:missing.key"')
    plant(config, "hz_citic", 'open = "00:00"', 'open = "24:30"')
    _, problems = load_profile(config, "hz_citic")
    expected = {
        "results.codes.no_idea", "results.codes.unknown", "request.set.mmc", "transactions.recharge.give.rrn",
        "keys.master", "hours.open",
    }  # fmt: skip
    assert expected <= set(keys_of(problems))


def test_faults_of_the_types_and_of_the_spec_are_told_together(config):
    plant(config, "icbc", "in_flight = 1000", 'in_flight = "many"')
    spec = config / "specs" / "icbc_xml.toml"
    spec.write_text(
        spec.read_text(encoding="utf-8").replace('kind = "xml"', 'kind = "sgml"', 1), encoding="utf-8"
    )
    profile, problems = load_profile(config, "icbc")
    assert profile is None
    assert {problem.file for problem in problems} == {str(config / "banks" / "icbc.toml"), str(spec)}


def test_a_missing_or_broken_file_is_a_problem_and_not_a_crash(config):
    _, problems = load_profile(config, "nowhere")
    assert len(problems) == 1
    (config / "banks" / "icbc.toml").write_bytes(b"title = \xff")
    profile, problems = load_profile(config, "icbc")
    assert (profile, len(problems)) == (None, 1)
    (config / "specs" / "cups.toml").write_text("kind = ", encoding="utf-8")
    profile, problems = load_profile(config, "hz_citic")
    assert profile is None
    assert any(problem.file.endswith("cups.toml") for problem in problems)


def test_a_silent_profile_needs_no_code_for_unknown(config):
    plant(config, "hz_citic", 'unknown = "68"', "")
    plant(config, "hz_citic", 'on_unknown = "code"', 'on_unknown = "silence"')
    profile, problems = load_profile(config, "hz_citic")
    assert problems == []
    assert profile.results.silent_on_unknown


def test_two_profiles_cannot_claim_one_number_or_one_serial_space(config):
    site, _ = load_site(config)
    plant(config, "icbc", 'numbers = ["0102"]', 'numbers = ["0102", "0302"]\nspace = "hz_citic"')
    profiles, problems = load_profiles(config, site)
    assert set(profiles) == set(site.banks)
    assert sorted(keys_of(problems)) == ["numbers", "space"]
    assert all("hz_citic" in str(problem) and problem.file.endswith("icbc.toml") for problem in problems)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('control = "tcp://127.0.0.1:17312"', "", "banks.icbc.control"),
        (
            "[banks.icbc]",
            '[broker]\nhosts = ["[::1]:5672"]\npassword = "test:x"\n[banks.icbc]\nengine = "rabbitmq"',
            "banks.icbc.listen",
        ),
        ('listen = "tcp://127.0.0.1:17311"', 'listen = "127.0.0.1:17311"', "banks.icbc.listen"),
        ('listen = "127.0.0.1:17301"', "", "banks.hz_citic.listen"),
        (
            'listen = "127.0.0.1:17301"',
            'listen = "[::1]:17301"\ncontrol = "[::1]:17300"',
            "banks.hz_citic.control",
        ),
    ],
)
def test_a_place_that_does_not_suit_the_transport_is_found(config, old, new, key):
    path = config / "site.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    site, problems = load_site(config)
    assert problems == []
    _, problems = load_profiles(config, site)
    assert key in keys_of(problems)
    assert {problem.file for problem in problems} == {site.file}


def test_a_group_that_the_site_does_not_have_is_found(config):
    (config / "site.toml").write_text(
        (config / "site.toml").read_text(encoding="utf-8").replace('group = "one"', 'group = ""'),
        encoding="utf-8",
    )
    plant(config, "icbc", 'group = "one"', 'group = "three"')
    plant(config, "hz_citic", 'group = "one"', "")
    site, problems = load_site(config)
    assert problems == []
    _, problems = load_profiles(config, site)
    assert [(Path(p.file).stem, p.key, p.found) for p in problems] == [
        ("hz_citic", "group", "no group"),
        ("icbc", "group", "'three'"),
    ]


def test_in_production_test_keys_are_refused(config):
    site, _ = load_site(config)
    path = config / "site.toml"
    text = path.read_text(encoding="utf-8").replace("production = false", "production = true", 1)
    secret = config / "link.key"
    secret.write_text("ab" * 32, encoding="ascii")
    secret.chmod(0o600)
    path.write_text(text.replace(site.key, "file:link.key"), encoding="utf-8")
    site, problems = load_site(config)
    assert problems == []
    _, problems = load_profiles(config, site)
    assert set(keys_of(problems)) == {"keys.master", "keys.mac"}
    assert len(problems) == len(site.banks)  # each has one key of one kind


def test_a_serial_may_be_joined_from_parts_of_fixed_widths(config):
    joined = 'serial = ["acquirer|digits:8", "stan|digits:6"]'
    path = config / "banks" / "hz_citic.toml"
    text = path.read_text(encoding="utf-8")
    at = text.index("[transactions.recharge.take]")
    path.write_text(text[:at] + text[at:].replace('serial = "stan|digits:6"', joined, 1), encoding="utf-8")
    profile, problems = load_profile(config, "hz_citic")
    assert problems == []
    request = Request(
        Kind.RECHARGE, "hz_citic", 20261122, "03023310000007", "hz_citic", "0302", "13800000000", 5000
    )
    message = profile.mapping.request_message(request, NOW)
    assert (message["acquirer"], message["stan"]) == ("03023310", "000007")
    assert profile.mapping.request_of(message, NOW) == msgspec.structs.replace(
        request, received_us=NOW.wall_us
    )
    message["acquirer"] = "3310"
    refusal = profile.mapping.request_of(message, NOW)
    assert (refusal.result, refusal.field) == (Result.FORMAT, "acquirer")


@pytest.mark.parametrize("hours", [("22:00", "06:00", True, False), ("08:00", "20:00", False, True)])
def test_hours_may_run_over_midnight(config, hours):
    opens, closes, at_night, at_noon = hours
    plant(config, "hz_citic", 'open = "00:00"', f'open = "{opens}"')
    plant(config, "hz_citic", 'close = "24:00"', f'close = "{closes}"')
    profile, problems = load_profile(config, "hz_citic")
    assert problems == []
    assert profile.hours.is_open(23 * 60) == at_night
    assert profile.hours.is_open(12 * 60) == at_noon
    assert profile.hours.is_open(5 * 60 + 59) == at_night
    assert not profile.hours.is_open(6 * 60)


def test_a_refusal_with_a_code_that_invites_no_repeat_blocks_its_key_first():
    citic, _ = load_profile(CONFIG, "hz_citic")
    icbc, _ = load_profile(CONFIG, "icbc")
    key = Key("s", 20261122, "1")
    busy = Refusal(Result.BUSY, "", "", key, Kind.RECHARGE)
    limit = Refusal(Result.AMOUNT_LIMIT, "", "", key, Kind.PAY)
    assert not citic.blocks_first(busy)
    assert citic.blocks_first(limit)
    assert icbc.blocks_first(busy)
    assert not citic.blocks_first(limit._replace(key=None))
    assert not citic.blocks_first(limit._replace(kind=Kind.OWED))
