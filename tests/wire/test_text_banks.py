"""Messages of the shipped text dialects, laid out here by hand with Python's codecs and others' MACs: each is
read, written again to the byte, and its MAC found right."""

import hashlib
import hmac
import tomllib
from pathlib import Path

import psec
import pytest

from qianzhi.wire.codec import load_codec
from qianzhi.wire.errors import MacError
from qianzhi.wire.mac import MacSpec, make_mac, verify_mac
from qianzhi.wire.mackey import MacKey
from qianzhi.wire.paths import get_path, put_path

CONFIG = Path(__file__).resolve().parents[2] / "config"
DOUBLE = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
LONG = bytes(range(32))
TRAP = "倈"  # its second byte in GBK is the bar
FOUR = "𠮷"  # four bytes in GB18030


def retail(key, data):
    return psec.mac.generate_retail_mac(key[:8], key[8:], data + bytes(-len(data) % 8), 1).hex().upper()


def padded(text, size, charset):
    return text.encode(charset).ljust(size)


def abc_answer():
    """An owed answer with two bills; the size counts the MAC, the MAC covers the size."""
    body = b"18200001234".ljust(20) + padded("张三", 40, "gbk") + b"000000006100" + b"002"
    for number, month in (b"B1", b"202609"), (b"B2", b"202610"):
        body += number.ljust(20) + month + b"000000003000" + b"000000000050"
    head = b"10" + b"1001" + b"1" + b"0103    " + b"20261122" + b"101530" + b"ABC1".ljust(20) + b"03"
    head += b"AUTO    " + b"0" + b"0000" + padded("交易成功", 40, "gbk")
    before = b"%06d" % (6 + len(head) + len(body) + 16) + head + body
    mac = retail(DOUBLE, before)
    wanted = {"note": "交易成功", "body.name": "张三", "body.count": "002", "body.bills.1.month": "202610"}
    return before + mac.encode(), DOUBLE, {**wanted, "mac": mac}


def ccb_request():
    """A recharge whose account name has the bar's byte inside a character; the digest covers the last bar."""
    before = f"CZ01|REQ|0105|20261122|101530|CCB1|||第{TRAP}次|18200001234|50.00||".encode("gbk")
    digest = hashlib.md5(before + LONG).hexdigest().upper()  # noqa: S324 - the dialect's
    return before + digest.encode(), LONG, {"note": f"第{TRAP}次", "body.amount": "50.00", "digest": digest}


def bocom_answer():
    """An inquiry's answer between bars, behind a header of 88 bytes whose last field digests all the rest."""
    body = "成功|18200001234|张三|6100|2|B1|202609|3000|50|B2|202610|3000|50".encode("gbk")
    head = b"%06d" % (88 + len(body)) + b"404003" + b"0301  " + b"20261122101530" + b"0000" + b"R1".ljust(20)
    digest = hashlib.md5(head + body + LONG).hexdigest().upper()  # noqa: S324 - the dialect's
    wanted = {"reference": "R1", "body.total": "6100", "body.bills.1.number": "B2", "digest": digest}
    return head + digest.encode() + body, LONG, wanted


def bocom_payment():
    """Amounts stand behind blanks."""
    body = b"18200001234    " + b"        5000" + b"6225561620345170   " + b"B1".ljust(20) + b"0"
    head = b"%06d" % (88 + len(body)) + b"404101" + b"0301  " + b"20261122101530" + b"    " + b"R1".ljust(20)
    digest = hashlib.md5(head + body + LONG).hexdigest().upper()  # noqa: S324 - the dialect's
    wanted = {"result": None, "body.amount": "5000", "body.card": "6225561620345170", "digest": digest}
    return head + digest.encode() + body, LONG, wanted


def nb_ceb_answer():
    """A name with a character of four bytes, and bills to the end of the body."""
    before = b"A" + b"1001" + b"0313  " + b"20261122" + b"101530" + b"NB1".ljust(16) + b"0" + b"000"
    before += padded("交易成功", 48, "gb18030") + b"18200001234     " + padded(FOUR + "三", 60, "gb18030")
    before += b"0000000003050" + b"B1".ljust(20) + b"202610" + b"0000000003000" + b"0000000000050"
    mac = retail(DOUBLE, before)
    wanted = {"body.name": FOUR + "三", "body.bills.0.late_fee": "0000000000050", "mac": mac}
    return before + mac.encode(), DOUBLE, wanted


def hz_ceb_request():
    """XML as hex, and the tag over the values inside, absent ones empty."""
    covered = "82112|1.0|0303|20261122|101530|HZ1||18200001234|50.00||B1||||"
    tag = hmac.new(LONG, covered.encode("gbk"), "sm3").hexdigest().upper()
    text = (
        '<?xml version="1.0" encoding="GBK"?><topup><pub><txncode>82112</txncode><version>1.0</version>'
        "<bankno>0303</bankno><txndate>20261122</txndate><txntime>101530</txntime><seqno>HZ1</seqno></pub>"
        "<data><mobile>18200001234</mobile><amount>50.00</amount><billno>B1</billno><username>张三</username>"
        f"</data><tag>{tag}</tag></topup>"
    )
    wanted = {"pub.txncode": "82112", "data.username": "张三", "tag": tag}
    return text.encode("gbk").hex().upper().encode(), LONG, wanted


MESSAGES = {
    "abc": abc_answer,
    "ccb": ccb_request,
    "bocom": bocom_answer,
    "bocom:pay": bocom_payment,
    "nb_ceb": nb_ceb_answer,
    "hz_ceb": hz_ceb_request,
}


@pytest.fixture(params=sorted(MESSAGES))
def dialect(request):
    bank = request.param.partition(":")[0]
    profile = tomllib.loads((CONFIG / "banks" / f"{bank}.toml").read_text(encoding="utf-8"))
    spec = (CONFIG / "specs" / f"{profile['message']['spec']}.toml").read_text(encoding="utf-8")
    codec, problems = load_codec(tomllib.loads(spec), bank)
    assert problems == []
    return codec, MacSpec(**profile["mac"]), *MESSAGES[request.param]()


def test_a_message_by_hand_reads_and_writes(dialect):
    codec, mac, body, key, wanted = dialect
    message = codec.decode(body)
    assert {path: get_path(message, path) for path in wanted} == wanted
    assert codec.encode(message) == body
    assert verify_mac(mac, message, codec, [MacKey(key)], body) is not None
    put_path(message, mac.field, "0" * len(wanted[mac.field]))
    make_mac(mac, message, codec, MacKey(key))
    assert codec.encode(message) == body


def test_another_key_or_a_changed_amount_is_found_out(dialect):
    codec, mac, body, key, _ = dialect
    with pytest.raises(MacError):
        verify_mac(mac, codec.decode(body), codec, [MacKey(key[:-2] + b"\x55\xaa")], body)
    amount = b"50.00".hex().upper().encode() if body[:2] == b"3C" else b"50"
    other = b"90.00".hex().upper().encode() if body[:2] == b"3C" else b"90"
    changed = other.join(body.rsplit(amount, 1))
    assert changed != body
    with pytest.raises(MacError):
        verify_mac(mac, codec.decode(changed), codec, [MacKey(key)], changed)


def test_no_secret_stands_in_a_dump(dialect):
    codec, _, body, _, _ = dialect
    shown = repr(codec.describe(body)) + repr(codec.mask(body))
    for secret in ("18200001234", "182000012", "6225561620345170", "张三", FOUR):
        assert secret not in shown
        assert repr(secret.encode("gb18030"))[2:-1] not in shown
        assert secret.encode("gb18030").hex().upper() not in shown


def test_a_phone_that_a_missing_column_moves_into_the_note_is_not_shown():
    path = Path(__file__).parents[2] / "config" / "specs" / "ccb_bar.toml"
    codec, _ = load_codec(tomllib.loads(path.read_text(encoding="utf-8")), str(path))
    whole = b"CZ01|REQ|0105|20261122|120000|A1|0|||13800001234|50.00||" + b"0" * 32
    assert codec.decode(whole)["body"]["phone"] == "13800001234"
    shifted = whole.replace(b"|||", b"||")
    assert b"13800001234" not in codec.mask(shifted)
    assert all("13800001234" not in view.value for view in codec.describe(shifted))
    assert b"20261122|120000|A1" in codec.mask(shifted)
