"""A bank's client for the line nb_ccb, written from `qianzhi docs nb_ccb` alone. Needs pycryptodome.

It signs on, takes the keys and does one thing; numbers in brackets are the document's chapters:

    python examples/nb_ccb_client.py --phone 13800000001 --amount 50.00
    python examples/nb_ccb_client.py --serial 000123 --date 1122             the same recharge once more
    python examples/nb_ccb_client.py --action owed                           or pay, or echo
    python examples/nb_ccb_client.py --action status --serial 000123 --date 1122
    python examples/nb_ccb_client.py --action reverse --serial 000123 --date 1122 --amount 50.00
    python examples/nb_ccb_client.py --action totals --date 1122 --totals 350.00,7,50.00,1

Exit: 0 approved, 1 refused, 2 no answer or outcome not known. A real bank keeps its serials and open
orders in a database; this example takes serials from the clock.
"""

import argparse
import hmac
import socket
import sys
import time  # noqa: TID251 - a program of its own
from datetime import datetime, timedelta, timezone
from decimal import Decimal

from Crypto.Cipher import DES3

HEADER = bytes.fromhex("6000030125603100311903")  # TPDU and software header (4.1)
TERMINAL, BANK, CURRENCY, BATCH = "00000001", "0125", "156", "000001"
PAUSES = (0, 10, 30)  # seconds before each question about an open order (8.2)

# Bytes of BCD length before it, how it is written (n: packed digits, an odd number with a zero behind;
# t: text, filled with blanks when it has no length; b: bytes), its length: digits or bytes (6).
FIELDS = {
    3: (0, "n", 6), 4: (0, "n", 12), 11: (0, "n", 6), 12: (0, "n", 6), 13: (0, "n", 4), 22: (0, "n", 3),
    25: (0, "n", 2), 37: (0, "t", 12), 38: (0, "t", 6), 39: (0, "t", 2), 41: (0, "t", 8), 42: (0, "t", 15),
    43: (1, "t", 40), 44: (1, "t", 60), 48: (2, "n", 48), 49: (0, "t", 3), 54: (2, "t", 20),
    57: (2, "t", 602), 60: (2, "n", 11), 61: (2, "n", 16), 62: (2, "b", 40), 63: (2, "b", 32),
    64: (0, "b", 8),
}  # fmt: skip

MEANINGS = {  # (9)
    "00": "approved", "68": "outcome not known", "09": "the original is still under way",
    "B1": "nothing is owed", "14": "the phone number does not exist", "62": "the phone number is closed",
    "13": "the amount is zero or no amount", "61": "the amount is above the limit", "B2": "no such bill",
    "64": "the amount is not the bill's, or not the original's", "B3": "the bill is paid already",
    "65": "over the quota of this account or channel", "94": "serial used before with other content",
    "22": "reversed since, or the serial is blocked", "25": "no original, and there never will be",
    "12": "the original was refused: nothing to reverse", "B4": "the business date is not near today",
    "B5": "the business date is closed", "B6": "older than what is kept", "05": "refused for good",
    "30": "a field is missing or not in its form", "A0": "the MAC is missing or wrong",
    "C1": "not signed on", "40": "no such transaction here", "92": "the bank number is not served here",
    "96": "the platform is busy", "91": "the platform cannot take it now", "90": "outside the hours",
    "95": "the totals differ; the answer brings ours",
}  # fmt: skip
OPEN = {"68", "09"}  # and no answer, and a code without a meaning: the money may have moved (8.2)
THIS_MESSAGE = {"A0", "C1", "40", "92", "96", "91", "90"}  # an earlier one of its serial may have passed
OF_THE_QUERY = {"30", "B5", "B6"} | THIS_MESSAGE  # to a query these say nothing about its original


def encode_field(number: int, value: str | bytes) -> bytes:
    """One field as it stands on the wire, its length included (4.3)."""
    prefix, kind, length = FIELDS[number]
    data = value.encode("gbk").ljust(0 if prefix else length) if kind == "t" else value
    count = len(data)
    if kind == "n":
        data = bytes.fromhex(value + "0" * (len(value) % 2))
    return (bytes.fromhex(f"{count:0{2 * prefix}}") if prefix else b"") + data


def decode_field(number: int, body: bytes, at: int) -> tuple[str | bytes, int]:
    """Value of the field that begins at this offset, and the offset behind it."""
    prefix, kind, length = FIELDS[number]
    if prefix:
        length = int(body[at : at + prefix].hex())
    end = at + prefix + ((length + 1) // 2 if kind == "n" else length)
    data = body[at + prefix : end]
    if kind == "n":
        return data.hex()[:length], end
    return (data.decode("gbk").rstrip(" ") if kind == "t" else data), end


def encode(message: dict, key: bytes | None) -> bytes:
    """A body: header, type (kept under 0), bitmap, fields, and with a key the MAC in field 64."""
    numbers = sorted(number for number in message if number not in (0, 64))
    bits = sum(1 << (64 - number) for number in numbers) + (1 if key else 0)
    text = bytes.fromhex(message[0]) + bits.to_bytes(8, "big")
    text += b"".join(encode_field(number, message[number]) for number in numbers)
    return HEADER + text + (mac(key, text) if key else b"")


def decode(body: bytes) -> tuple[dict, bytes]:
    """The fields of a body by number, the type under 0, and the bytes that its MAC covers."""
    start = len(HEADER)
    message: dict = {0: body[start : start + 2].hex()}
    bits, at, covered = int.from_bytes(body[start + 2 : start + 10], "big"), start + 10, body[start:]
    for number in (number for number in range(1, 65) if bits >> (64 - number) & 1):
        covered = body[start:at]
        message[number], at = decode_field(number, body, at)
    if at != len(body):
        raise ValueError("the answer is cut off or too long")
    return message, covered


def mac(key: bytes, data: bytes) -> bytes:
    """The eight characters of field 64 (7): all blocks XORed, in hex, encrypted half by half."""
    data, mixed, cipher = data + bytes(-len(data) % 8), 0, DES3.new(key, DES3.MODE_ECB)
    for at in range(0, len(data), 8):
        mixed ^= int.from_bytes(data[at : at + 8], "big")
    digits = f"{mixed:016X}".encode()
    last = bytes(a ^ b for a, b in zip(cipher.encrypt(digits[:8]), digits[8:], strict=True))
    return cipher.encrypt(last)[:4].hex().upper().encode()


class Line:
    """One connection, one question at a time."""

    def __init__(self, host: str, port: int, master: bytes, seconds: float):
        self.address, self.master, self.seconds = (host, port), master, seconds
        self.socket = self.key = None
        self.serial = int(time.time() * 10)  # its last six digits return after more than a day

    def message(self, mti: str, manage: str, fields: dict) -> dict:
        """A request: these fields, and those that all have in common."""
        now = datetime.now(timezone(timedelta(hours=8)))  # noqa: TID251 - Beijing time (6.1)
        self.serial += 1
        message = {0: mti, 11: f"{self.serial % 10**6:06}", 12: f"{now:%H%M%S}", 13: f"{now:%m%d}"}
        message |= {41: TERMINAL, 42: BANK, 60: ("22" if manage == "000" else "00") + BATCH + manage}
        return message | ({} if mti.startswith("08") else {22: "012", 25: "00"}) | fields

    def exchange(self, request: dict, key: bytes | None) -> tuple[dict, bytes]:
        """Send, and wait for the answer that belongs to it (6.2)."""
        if self.socket is None:
            self.socket = socket.create_connection(self.address, timeout=self.seconds)
            self.stream = self.socket.makefile("rb")
        body, until = encode(request, key), time.monotonic() + self.seconds
        self.socket.sendall(len(body).to_bytes(2, "big") + body)
        mti = f"{int(request[0]) + 10:04}"
        while True:
            self.socket.settimeout(max(until - time.monotonic(), 0.001))
            size = int.from_bytes(self.stream.read(2), "big")
            body = self.stream.read(size)
            if not size or len(body) < size:
                raise ConnectionError("the connection was closed")
            answer, covered = decode(body)
            if answer[0] == mti and all(answer.get(number) == request[number] for number in (11, 13, 41)):
                return answer, covered
            print("late or repeated answer, ignored:", answer.get(11), answer.get(39))

    def ask(self, request: dict, *, again: bool = True) -> dict | None:
        """The answer to a request; None when there is none, or none that can be believed."""
        key = None if request[0].startswith("08") else self.key
        try:
            answer, covered = self.exchange(request, key)
        except (OSError, ValueError, KeyError) as error:
            print(f"no answer: {error}")
            self.socket = self.socket and self.socket.close()
            return None
        code = answer[39]
        right = key is None or hmac.compare_digest(answer.get(64, b""), mac(key, covered))
        if not right and not (64 not in answer and code == "C1"):  # no key in force: no MAC (7)
            print(f"the MAC of the answer {code} is missing or wrong: not believed")
            return None
        if key and code == "C1" and again and self.sign_on() == "00":
            return self.ask(request, again=False)
        return answer

    def sign_on(self) -> str:
        """Open the line and take the keys; the code of the answer, empty without one."""
        answer = self.ask(self.message("0800", "003", {}))
        if answer and answer[39] == "00":
            for at in (0, 20):  # the PIN key, which no message uses, and the MAC key
                key = DES3.new(self.master, DES3.MODE_ECB).decrypt(answer[62][at : at + 16])
                if DES3.new(key, DES3.MODE_ECB).encrypt(bytes(8))[:4] != answer[62][at + 16 : at + 20]:
                    print("the check value of a key is wrong: look at the master key")
                    return ""
            self.key = key
        return answer[39] if answer else ""

    def tell(self, request: dict) -> tuple[str, dict]:
        """Ask, and print what came: its code, empty without an answer, and its fields."""
        answer = self.ask(request) or {39: ""}
        code = answer[39]
        print(f"serial {request[11]} date {request[13]}: {code} {MEANINGS.get(code, 'outcome not known')}")
        print("   ", {number: answer[number] for number in (4, 37, 43, 44, 48, 54) if number in answer})
        return code, answer


def settle(line: Line, mti: str, fields: dict) -> str:
    """Query (0200) or reverse (0400), under new serials, until it is final; else empty (8.2)."""
    for pause in PAUSES:
        time.sleep(pause)
        code, _ = line.tell(line.message(mti, "000", fields))
        if code in MEANINGS and code not in OPEN | THIS_MESSAGE:
            return "" if mti == "0200" and code in OF_THE_QUERY else code
    return ""


def order(line: Line, args: argparse.Namespace) -> str:
    """Query, recharge, or pay the oldest bill; what stays open of an order is asked about (6.3 to 6.5)."""
    fen, fields = int(args.amount * 100), {3: "000000", 63: args.phone.encode(), 49: CURRENCY}
    if args.action != "recharge":
        code, answer = line.tell(line.message("0200", "000", {3: "310000", 63: fields[63]}))
        bills = answer.get(57, "")[2:]
        for at in range(0, len(bills), 50):
            print("    bill, month, principal, late fee:", bills[at : at + 50])
        if args.action == "owed" or code != "00":
            return code
        bill, fen = bills[:20].strip(), int(bills[26:38]) + int(bills[38:50])
        fields |= {3: "480000", 63: fields[63] + bytes.fromhex(f"{len(bill):02}") + bill.encode()}
    request = line.message("0200", "000", fields | {4: f"{fen:012}"})
    request |= {11: args.serial or request[11], 13: args.date or request[13]}
    code, _ = line.tell(request)
    if code in MEANINGS and code not in (OPEN | (THIS_MESSAGE if args.serial else set())):
        return code
    return settle(line, "0200", {3: "390000", 61: BATCH + request[11] + request[13]})


def act(line: Line, args: argparse.Namespace) -> str:
    """Do what was asked for; its final code, empty when nothing is known."""
    if args.action in ("recharge", "owed", "pay"):
        return order(line, args)
    if args.action == "status":
        return settle(line, "0200", {3: "390000", 61: BATCH + args.serial + args.date})
    if args.action == "reverse":
        fields = {3: "000000", 4: f"{int(args.amount * 100):012}", 49: CURRENCY}
        return settle(line, "0400", fields | {61: BATCH + args.serial + args.date})
    paid, count, back, back_count = (Decimal(part) for part in args.totals.split(","))
    figures = f"{int(paid * 100):012}{int(count):010}{int(back * 100):012}{int(back_count):010}"
    totals = line.message("0500", "201", {48: args.date + figures})
    return line.tell(totals if args.action == "totals" else line.message("0820", "301", {}))[0]


def main() -> int:
    """Read the command line, sign on, act."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add, actions = parser.add_argument, ("recharge", "owed", "pay", "status", "reverse", "totals", "echo")
    add("--action", default="recharge", choices=actions)
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=17441)
    add("--key", type=bytes.fromhex, default="CA5D92598DCA48CE8A4C76361A9269E9", help="master key, hex")
    add("--phone", default="13800000001")
    add("--amount", type=Decimal, default="50.00", help="yuan; of a reversal: the original's")
    add("--serial", default="", help="six digits: send this one again, or ask about it")
    add("--date", default="", help="MMDD, the business date of the serial or the totals")
    add("--totals", default="0,0,0,0", help="yuan paid, their number, yuan reversed, their number")
    add("--seconds", type=float, default=15, help="how long to wait for an answer (8.2)")
    args = parser.parse_args()
    asks = args.action in ("status", "reverse")
    if (asks and not args.serial) or ((asks or args.action == "totals") and not args.date):
        parser.error("status and reverse need --serial and --date of the original, totals a --date")
    line = Line(args.host, args.port, args.key, args.seconds)
    code = line.sign_on()
    print("sign-on:", code or "failed")
    code = act(line, args) if code == "00" else code
    known = code in MEANINGS and code not in OPEN
    return int(code != "00") if known else 2


if __name__ == "__main__":
    sys.exit(main())
