"""What a stranger who holds no key can get out of a line: nothing that is signed and means something else."""

from pathlib import Path

import pytest

from frontends.mapping import Sort
from frontends.session_rows import KeyRow, Saved
from qianzhi.domain.requests import Kind
from qianzhi.domain.results import Result
from qianzhi.wire.errors import MacError
from qianzhi.wire.keys import CHECK_BYTES, check_value, wrap
from qianzhi.wire.mac import KEY_BYTES, verify_mac
from qianzhi.wire.mackey import MacKey
from qianzhi.wire.paths import get_path, put_path

NETWORKS = ("lnet", "mnet", "unet", "vnet")  # of which nothing is ever asked of us
ALL = sorted(path.stem for path in (Path(__file__).parents[2] / "config" / "banks").glob("*.toml"))
BANKS = [name for name in ALL if name not in NETWORKS]
KEY = bytes.fromhex("0123456789ABCDEF1133557799BBDDFF")


def line(bench, name):
    """A line with a key that the test knows, and a genuine recharge of the bank."""
    made = bench(name)
    if made.profile.session.keys != "static":
        key = KEY[: min(KEY_BYTES[made.profile.mac.algorithm])]
        row = KeyRow(name, "current", wrap(made.keys["master"], key), check_value(key)[:CHECK_BYTES])
        made = bench(name, saved=Saved([row], signed_on=True, leased_until=0))
        made.mac_key = MacKey(key)
    made.node_up()
    source = made.connect()
    genuine = made.profile.codec.decode(made.body(made.request(Kind.RECHARGE, serial="000777")))
    made.answers.clear()
    return made, source, genuine


def signed_for_a_stranger(made, source, message):
    """What the line answers to a message whose MAC is wrong."""
    field = made.profile.mac.field
    value = get_path(message, field)
    put_path(message, field, bytes(8) if isinstance(value, bytes) else "0" * len(value))
    made.send(source, made.profile.codec.encode(message))
    [(_, body)] = made.answers
    heard = made.profile.codec.decode(body)
    assert made.profile.mapping.reply_of(heard).result is Result.BAD_MAC
    return heard


def is_believed(made, forged):
    """Whether the bank takes this for an approval under the line's own key."""
    body = made.profile.codec.encode(forged)
    message = made.profile.codec.decode(body)
    assert made.profile.mapping.reply_of(message).result is Result.APPROVED
    try:
        verify_mac(made.profile.mac, message, made.profile.codec, [made.mac_key], body)
    except MacError:
        return False
    return True


def test_fields_without_lengths_between_them_cannot_be_cut_into_an_approval(bench):
    """boc joins its fields with nothing: terminal, currency and original become code and terminal."""
    made, source, genuine = line(bench, "boc")
    phone, terminal = genuine["private"]["phone"], genuine["terminal"]
    chosen = {
        **genuine,
        "terminal": f"ZZZZ00{terminal[:2]}",
        "currency": terminal[2:5],
        "original": {"stan": f"{terminal[5:]}156", "date": phone[:4]},
        "private": {"phone": f"{phone[4:]}0299"},
    }
    heard = signed_for_a_stranger(made, source, chosen)
    forged = {
        **{name: genuine[name] for name in genuine if name not in ("mti", "private")},
        "mti": "0210",
        "authorization": "A0ZZZZ",
        "response_code": "00",
        "private": {"phone": phone, "bill": "99"},
        "mac": heard["mac"],
    }
    assert not is_believed(made, forged)


@pytest.mark.parametrize("name", ["hz_citic", "unionpay_web"])
def test_blanks_inside_fields_cannot_pass_for_those_between_them(bench, name):
    """One blank parts the fields here, absent ones leave no trace: a terminal of `00` becomes the code."""
    made, source, genuine = line(bench, name)
    chosen = {**genuine, "terminal": "00", "merchant": f"{genuine['terminal']} {genuine['merchant'].strip()}"}
    heard = signed_for_a_stranger(made, source, chosen)
    answer = made.profile.mapping.refusal_message(genuine, Result.APPROVED, made.now)
    forged = {**answer, "authorization": "A0", "mac": heard["mac"]}
    assert not is_believed(made, forged)


@pytest.mark.parametrize("name", BANKS)
def test_an_answer_to_a_stranger_repeats_nothing_but_what_matches_it(bench, name):
    made, source, genuine = line(bench, name)
    mapping = made.profile.mapping
    heard = signed_for_a_stranger(made, source, genuine)
    assert mapping.sort_of(heard) is Sort.ANSWER
    assert mapping.match_key(heard) == mapping.match_key(genuine)
    assert "13800000000" not in str(heard)
    assert "5000" not in str({path: value for path, value in heard.items() if path != made.profile.mac.field})
    [(_, body)] = made.answers
    verify_mac(made.profile.mac, heard, made.profile.codec, [made.mac_key], body)
