"""Mistakes in a table [outward]: each is refused, with the key, and what should stand there."""

import shutil
from pathlib import Path

import pytest

from frontends.profile import load_profile, load_profiles

CONFIG = Path(__file__).parents[2] / "config"

MISTAKES = [
    (
        "unknown policy",
        "unet",
        'policy = "on_timeout"',
        'policy = "sometimes"',
        "outward.policy",
        "on_timeout",
    ),
    ("no charge", "lnet", 'kind = "charge"', 'kind = "advice"', "outward.transactions", "'charge'"),
    ("no refund", "lnet", 'kind = "charge_refund"', 'kind = "advice"', "outward.transactions", "given back"),
    (
        "a policy without its reversal",
        "lnet",
        'policy = "none"',
        'policy = "on_timeout"',
        "outward.transactions",
        "on_timeout",
    ),
    (
        "a reversal without use",
        "vnet",
        'policy = "on_timeout"',
        'policy = "none"',
        "outward.transactions",
        "none",
    ),
    ("a kind twice", "mnet", 'kind = "advice"', 'kind = "charge_refund"', "outward.transactions", "once"),
    ("no code for a reason", "unet", 'late = "4353", ', "", "outward.reasons.late", "code"),
    ("no such reason", "unet", "house =", "whim =", "outward.reasons.whim", "timeout"),
    ("no such result", "vnet", '"98" = "unknown"', '"98" = "unheard"', "outward.codes.98", "approved"),
    ("a code explained twice", "vnet", '"98" = "unknown"', '"00" = "unknown"', "outward.codes.00", "another"),
    (
        "late before it is due",
        "mnet",
        "late_seconds = 3600",
        "late_seconds = 5",
        "outward.late_seconds",
        "answer_seconds",
    ),
    (
        "answers that are alike",
        "mnet",
        'answered = { mti = ["0230", "0231"], processing_code = "000000" }',
        'answered = { mti = ["0230", "0231"] }',
        "outward.transactions.completion.answered",
        "no other",
    ),
    (
        "a message that no MAC proves",
        "unet",
        'required = [{ mti = ["0200", "0210", ',
        'required = [{ mti = ["0210", ',
        "outward.transactions.charge.when",
        "MAC",
    ),
    (
        "a short connection",
        "lnet",
        'role = "server" ',
        'connection = "short"\nrole = "server" ',
        "outward.policy",
        "long",
    ),
    (
        "a path of no message",
        "unet",
        "[outward.transactions.charge]     # 代收 under the customer's mandate",
        '[outward.transactions.charge]\nagain = { mty = "0201" }',
        "outward.transactions.charge.again.mty",
        "spec",
    ),
    (
        "a serial of another width",
        "lnet",
        'own_serial = "serial|digits:8"',
        'own_serial = "serial|digits:6"',
        "outward.transactions.refund.take.own_serial",
        "8 digits",
    ),
    (
        "the bank's own space",
        "unet",
        'policy = "on',
        'space = "unet"\npolicy = "on',
        "outward.space",
        "another",
    ),
    (
        "a space that is no name",
        "unet",
        'policy = "on',
        'space = "unet out"\npolicy = "on',
        "outward.space",
        "letters",
    ),
    (
        "an answer that does not say whose it is",
        "vnet",
        '"merchant", "customer", "amount",',
        '"merchant", "amount",',
        "outward.transactions.charge.give.approved",
        "repeats",
    ),
    (
        "an original without its date",
        "vnet",
        'date = "original.transmission_time|mmdd:10"\n',
        "",
        "outward.transactions.reversal.take",
        "date",
    ),
]


def changed(folder, bank, old, new):
    """A copy of config/ with one edit of one bank's file."""
    config = Path(shutil.copytree(CONFIG, folder / "config"))
    path = config / "banks" / f"{bank}.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text, old
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return config


@pytest.mark.parametrize(
    ("bank", "old", "new", "key", "expected"), [row[1:] for row in MISTAKES], ids=[row[0] for row in MISTAKES]
)
def test_a_mistake_is_told_with_its_key_and_what_should_stand_there(tmp_path, bank, old, new, key, expected):
    profile, problems = load_profile(changed(tmp_path, bank, old, new), bank)
    assert profile is None
    assert any(problem.key == key and expected in problem.expected for problem in problems) or not key, (
        problems
    )


def test_a_file_without_transactions_and_outward_is_no_profile(tmp_path):
    config = changed(tmp_path, "lnet", "[outward]", "[outwards]")
    path = config / "banks" / "lnet.toml"
    kept = [block for block in path.read_text("utf-8").split("\n\n") if "[outward" not in block]
    path.write_text("\n\n".join(kept), encoding="utf-8")
    _, problems = load_profile(config, "lnet")
    assert [problem.key for problem in problems] == ["transactions"]


def test_two_profiles_may_not_share_the_space_of_our_serials(tmp_path):
    config = changed(tmp_path, "unet", 'policy = "on', 'space = "lnet-out"\npolicy = "on')
    for path in (config / "banks").glob("*.toml"):
        if path.stem not in ("unet", "lnet"):
            path.unlink()
    _, problems = load_profiles(config, None)
    assert any(problem.key == "space" and "lnet-out" in problem.found for problem in problems)
