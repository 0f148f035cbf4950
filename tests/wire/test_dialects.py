"""Messages of shipped dialects, written here by hand: each spec reads them and writes them again to the byte,
and their MAC, made here by other means, is found right."""

import hashlib
import hmac
import tomllib
from pathlib import Path

import psec
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from qianzhi.wire.codec import load_codec
from qianzhi.wire.errors import MacError
from qianzhi.wire.mac import MacSpec, make_mac, spec_faults, verify_mac
from qianzhi.wire.mackey import MacKey
from qianzhi.wire.paths import get_path

CONFIG = Path(__file__).resolve().parents[2] / "config"
LONG = bytes(range(32, 64))
DOUBLE = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")


def cmb_recharge():
    """The HMAC of all listed values, joined by &, absent ones empty."""
    covered = "Recharge&Q&0308&20261122101530&CMB0000000000001&&13800000000&5000&&&&&"
    sign = hmac.new(LONG, covered.encode(), hashlib.sha256).hexdigest()
    body = (
        '<?xml version="1.0" encoding="UTF-8"?><Trade><Head><Service>Recharge</Service><Side>Q</Side>'
        "<Channel>0308</Channel><Stamp>20261122101530</Stamp><Serial>CMB0000000000001</Serial></Head>"
        f"<Body><Mobile>13800000000</Mobile><Fen>5000</Fen></Body><Sign>{sign}</Sign></Trade>"
    )
    return body.encode(), LONG, {"Head.Service": "Recharge", "Body.Fen": "5000", "Sign": sign}


def cboss_recharge():
    """The digest of all listed values, joined by |, and the key's bytes behind them."""
    serial = "UP" + "1".rjust(30, "0")
    covered = f"010012|0|9002|20261122|20261122101530|{serial}||03|13800000000|5000|||||"
    digest = hashlib.sha256(covered.encode() + LONG).hexdigest().upper()
    body = (
        '<?xml version="1.0" encoding="UTF-8"?><UPay><Header><ActivityCode>010012</ActivityCode>'
        "<ReqFlag>0</ReqFlag><OrgId>9002</OrgId><ReqDate>20261122</ReqDate><ReqTime>20261122101530</ReqTime>"
        f"<ReqSeq>{serial}</ReqSeq></Header><Body><BusiClass>03</BusiClass>"
        "<IdType>01</IdType><IdValue>13800000000</IdValue><PayMode>0</PayMode><Payed>5000</Payed></Body>"
        f"<Digest>{digest}</Digest></UPay>"
    )
    return body.encode(), LONG, {"Header.OrgId": "9002", "Body.BusiClass": "03", "Digest": digest}


def wenzhou_answer():
    """The retail MAC of the listed values with one blank between, absent ones leaving theirs."""
    covered = b"800200 000000 0577 20261122 101530 000123 00 13800000000 5000    261122000001 15000"
    mac = retail(DOUBLE, covered)[:4].hex().upper()
    body = (
        "<BANKMSG><MSGTYPE>800200</MSGTYPE><PROCCODE>000000</PROCCODE><BANKNO>0577</BANKNO>"
        "<TRANDATE>20261122</TRANDATE><TRANTIME>101530</TRANTIME><TRACENO>000123</TRACENO>"
        "<RESPCODE>00</RESPCODE><RESPTEXT>成功</RESPTEXT><MOBILE>13800000000</MOBILE><AMOUNT>5000</AMOUNT>"
        f"<ORDERNO>261122000001</ORDERNO><BALANCE>15000</BALANCE><MAC>{mac}</MAC></BANKMSG>"
    )
    return body.encode("gbk"), DOUBLE, {"RESPTEXT": "成功", "AMOUNT": "5000", "MAC": mac}


def lianlian_payment():
    """The HMAC of the listed values, each with its name, as they are before percent-encoding."""
    covered = "cmd=PAYBILL&ver=1.0&vendor=7101&time=20261122101530&serial=LL01"
    covered += "&phone=13800000000&amount=5000&bill=B1"
    sign = hmac.new(LONG, covered.encode(), hashlib.sha1).hexdigest()
    return f"{covered}&sign={sign}".encode(), LONG, {"cmd": "PAYBILL", "body.bill": "B1", "sign": sign}


def zhenghe_answer():
    """The digest of the key's bytes and all of the message before it."""
    text = "6101" + "1" + "7102    " + "20261122" + "101530" + "ZH00000000000001" + " " + "000"
    text += "成功".encode("gb18030").ljust(40).decode("gb18030") + "13800000000    " + "000000006100"
    before = text.encode("gb18030") + "张三".encode("gb18030").ljust(40) + b"01"
    before += b"B2026100001".ljust(20) + b"202610" + b"000000006000" + b"000000000100"
    mac = hashlib.sha256(LONG + before).hexdigest().upper()
    wanted = {"result": "000", "note": "成功", "body.name": "张三", "body.bills.0.late": "000000000100"}
    return before + mac.encode(), LONG, {**wanted, "mac": mac}


def zongheng_recharge():
    """SM4 block by block over everything before field 64, zeros behind it; half of the last block."""
    bits = {2, 3, 4, 7, 11, 42, 49, 64}
    bitmap = sum(1 << (64 - bit) for bit in bits)
    before = bytes.fromhex("0200") + b"%016X" % bitmap + bytes.fromhex("11" + "013800000000")
    before += bytes.fromhex("000000" + "000000005000" + "1122101530" + "000123") + b"7103    " + b"156"
    last = bytes(16)
    block = Cipher(algorithms.SM4(DOUBLE), modes.ECB()).encryptor()  # noqa: S305 - chained by hand below
    for at in range(0, len(before), 16):
        chunk = before[at : at + 16].ljust(16, b"\0")
        last = block.update(bytes(one ^ other for one, other in zip(last, chunk, strict=True)))
    return before + last[:8], DOUBLE, {"phone": "13800000000", "amount": "000000005000", "mac": last[:8]}


def retail(key, data):
    return psec.mac.generate_retail_mac(key[:8], key[8:], data + bytes(-len(data) % 8), 1)


MESSAGES = {
    "cmb": cmb_recharge,
    "cboss": cboss_recharge,
    "wenzhou": wenzhou_answer,
    "lianlian": lianlian_payment,
    "zhenghe": zhenghe_answer,
    "zongheng": zongheng_recharge,
}


@pytest.fixture(params=sorted(MESSAGES))
def dialect(request):
    profile = tomllib.loads((CONFIG / "banks" / f"{request.param}.toml").read_text(encoding="utf-8"))
    spec = (CONFIG / "specs" / f"{profile['message']['spec']}.toml").read_text(encoding="utf-8")
    codec, problems = load_codec(tomllib.loads(spec), request.param)
    assert problems == []
    mac = MacSpec(**profile["mac"])
    assert spec_faults(mac) == []
    return codec, mac, *MESSAGES[request.param]()


def test_a_message_by_hand_reads_and_writes(dialect):
    codec, mac, body, key, wanted = dialect
    message = codec.decode(body)
    assert {path: get_path(message, path) for path in wanted} == wanted
    assert codec.encode(message) == body
    assert verify_mac(mac, message, codec, [MacKey(key)], body) is not None
    made = codec.decode(body)
    make_mac(mac, made, codec, MacKey(key))
    assert made == message


def test_every_byte_is_covered_or_does_not_matter(dialect):
    """A changed letter or digit either is no message any more, or breaks the MAC, or is not listed."""
    codec, mac, body, key, wanted = dialect
    for path, value in wanted.items():
        raw = value if isinstance(value, bytes) else value.encode("ascii", "ignore")
        at = body.find(raw) if raw else -1
        if at < 0 or path in ("RESPTEXT", "note"):
            continue
        changed = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        message = codec.decode(changed)
        with pytest.raises(MacError):
            verify_mac(mac, message, codec, [MacKey(key)], changed)
