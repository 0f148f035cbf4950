"""A small bank-side client for the line `bocom` (ZeroMQ, fixed width, 88-byte header, MD5 MAC).

Written from the interface document of the line alone; it imports nothing of the platform.
Needs Python 3.11 and pyzmq.  How to run it:

    python examples/bocom_client.py --phone 13800000001 --amount 50.00
    python examples/bocom_client.py --action owed --phone 13800000001
    python examples/bocom_client.py --action pay --phone 13800000001     # the oldest bill owed
    python examples/bocom_client.py --action status --serial S [--date YYYYMMDD]
    python examples/bocom_client.py --action reverse --serial S --amount 50.00 [--date YYYYMMDD]

Without an answer the very same bytes go out again after --seconds, five times in all.  To repeat
a recharge later, give its --serial, its --date, the same content and --repeat.  The exit status
is 0 when approved, 1 when refused, 2 when the outcome is not known: then repeat, ask, or reverse.
"""

import argparse
import hashlib
import itertools
import secrets
import sys
import time  # noqa: TID251 (a program of its own)
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import zmq

TEST_KEY = "A54FF53A5F1D36F1BB67AE8584CAA73B"
AGENT = "0301"
ATTEMPTS = 5
CODES = {"owed": "404003", "pay": "404101", "recharge": "404102", "status": "404004", "reverse": "404401"}

# A field is (name, bytes, filling): "0" zeros on the left, "<" blanks on the right, ">" on the left.
FILL = {"0": bytes.zfill, "<": bytes.ljust, ">": bytes.rjust}
HEADER = [("length", 6, "0"), ("code", 6, "0"), ("agent", 6, "<"), ("stamp", 14, "0")]
HEADER += [("result", 4, "<"), ("reference", 20, "<"), ("digest", 32, "<")]
DIGEST = slice(56, 88)
PHONE, AMOUNT, CARD = ("phone", 15, "<"), ("amount", 12, ">"), ("card", 19, "<")
REPEAT, NOTE, ORDER = ("repeat", 1, "<"), ("note", 40, "<"), ("order", 20, "<")
ORIGINAL = [("own_serial", 20, "<"), ("original_date", 8, "0")]
REQUESTS = {
    "owed": [PHONE, REPEAT],
    "recharge": [PHONE, AMOUNT, CARD, REPEAT],
    "pay": [PHONE, AMOUNT, CARD, ("bill", 20, "<"), REPEAT],
    "status": ORIGINAL,
    "reverse": [*ORIGINAL, AMOUNT],
}
MONEY_ANSWER = [NOTE, PHONE, AMOUNT, ORDER, ("balance", 12, ">")]
ORIGINAL_ANSWER = [*ORIGINAL, NOTE, AMOUNT, ORDER]
ANSWERS = {c: ORIGINAL_ANSWER if c in ("404004", "404401") else MONEY_ANSWER for c in CODES.values()}

MEANINGS = """0000 approved; 0001 the platform is busy or cannot take it now; 0002 bank number unknown;
0003 a field is missing or not in its form; 0004 no such transaction on this line; 0005 MAC missing or wrong;
0006 outcome not known; 0007 the original is still under way; 0008 outside the hours of service;
0009 not signed on; 1001 nothing is owed; 1002 the phone number does not exist;
1003 the phone number has been closed; 1004 the amount is zero or no amount;
1005 the amount is above the limit; 1006 there is no such bill;
1007 the amount is not what the bill comes to now; 1008 the bill is paid already;
1009 over the quota of this account or channel; 1101 this serial was used before with other content;
1102 it was approved and has been reversed since; 1103 the serial is blocked;
1104 no original under this serial, and there never will be; 1105 the original was refused;
1106 the amount is not the original's; 1107 the business date is more than one day from today;
1108 the business date is closed; 1109 older than what is kept;
1110 it could not be processed and is refused for good"""
MEANING = dict(entry.strip().split(" ", 1) for entry in MEANINGS.split(";"))
OPEN = {"0006", "0007"}
OF_THE_MESSAGE = {"0001", "0002", "0003", "0004", "0005", "0008", "0009"}  # say nothing of an earlier one


def mac(message, key):
    data = message[: DIGEST.start] + message[DIGEST.stop :] + key
    return hashlib.md5(data).hexdigest().upper().encode()  # noqa: S324 (the line prescribes it)


def write(fields, values):
    out = b""
    for name, width, fill in fields:
        raw = str(values.get(name, "")).encode("gbk")
        if len(raw) > width:
            raise ValueError(f"{name} is longer than {width} bytes")
        out += FILL[fill](raw, width) if raw else b" " * width
    return out


def read(fields, data):
    ends = itertools.accumulate(width for _, width, _ in fields)
    cut = ((name, data[end - width : end]) for (name, width, _), end in zip(fields, ends, strict=True))
    return {name: raw.decode("gbk", "replace").strip(" ") for name, raw in cut}


def encode(action, values, key):
    fields = HEADER + REQUESTS[action]
    length = sum(width for _, width, _ in fields)
    message = write(fields, {"agent": AGENT, **values, "code": CODES[action], "length": length})
    return message[: DIGEST.start] + mac(message, key) + message[DIGEST.stop :]


def decode(message, key):
    """The fields of an answer; ValueError when it cannot be believed."""
    head = read(HEADER, message)
    if message[DIGEST] != mac(message, key):
        raise ValueError("its MAC is wrong")
    if head["length"] != f"{len(message):06d}" or head["code"] not in ANSWERS or not head["result"]:
        raise ValueError("it is not an answer of this line")
    if head["code"] != CODES["owed"]:
        return {**head, **read(ANSWERS[head["code"]], message[DIGEST.stop :])}
    # Decode before splitting: the second byte of a Chinese character may be the bar's 0x7C.
    note, phone, name, total, _, *rest = message[DIGEST.stop :].decode("gbk").split("|")
    bills = [rest[i : i + 4] for i in range(0, len(rest), 4)]
    return {**head, "note": note, "phone": phone, "name": name, "total": total, "bills": bills}


def exchange(args, message):
    """Send, and send the very same bytes again when nothing comes; the answer's fields, or None."""
    key, question = bytes.fromhex(args.key), read(HEADER + ORIGINAL, message)
    about_original = args.action in ("status", "reverse")
    same = ["code", "stamp", "reference"] + ["own_serial"] * about_original
    message_id = secrets.token_bytes(16)
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger, socket.heartbeat_ivl = 0, 5000
        socket.connect(f"tcp://{args.host}:{args.control_port if about_original else args.port}")
        for _ in range(ATTEMPTS):
            socket.send_multipart([message_id, message])
            until = time.monotonic() + args.seconds
            while (left := until - time.monotonic()) > 0 and socket.poll(int(left * 1000) + 1):
                frames = socket.recv_multipart()
                try:
                    answer = decode(frames[-1], key)
                except ValueError as error:
                    said = frames[-1][32:36].decode("ascii", "replace")
                    print(f"ignored an answer that says {said}: {error}", file=sys.stderr)
                    continue
                if frames[:-1] == [message_id] and all(answer[f] == question[f] for f in same):
                    return answer
                print("ignored an answer that fits no open question", file=sys.stderr)
    return None


def ask(args, action, serial, **values):
    """One business transaction: print what became of it; (exit status, answer's fields)."""
    about_original = action in ("status", "reverse")
    now = beijing()
    date = args.date if args.date and not about_original else f"{now:%Y%m%d}"
    if about_original:
        values |= {"own_serial": new_serial(), "original_date": args.date or f"{now:%Y%m%d}"}
    else:
        values |= {"phone": args.phone, "repeat": int(args.repeat)}
    values |= {"stamp": f"{date}{now:%H%M%S}", "reference": serial}
    answer = exchange(args, encode(action, values, bytes.fromhex(args.key)))
    if answer is None:
        print(f"{action} {serial}: no answer; the outcome is not known")
        return 2, {}
    code = answer["result"]
    print(f"{action} {serial}: {code} {MEANING.get(code, 'a code that is not in the table')}")
    for name in ("amount", "order", "balance", "name", "total", "bills"):
        if answer.get(name):
            print(f"  {name}: {answer[name]}")
    if code in OPEN or code not in MEANING or (code in OF_THE_MESSAGE and (about_original or args.repeat)):
        return 2, answer
    return int(code != "0000"), answer


def beijing():
    return datetime.now(timezone(timedelta(hours=8)))  # noqa: TID251


def new_serial():
    return f"{beijing():%Y%m%d}{secrets.randbelow(10**12):012d}"


def main():
    parser = argparse.ArgumentParser(description="Ask the line bocom: recharge, owed, pay, status, reverse.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=17361)
    parser.add_argument("--control-port", type=int, default=17362)
    parser.add_argument("--key", default=TEST_KEY, help="MAC key, hex")
    parser.add_argument("--action", choices=CODES, default="recharge")
    parser.add_argument("--phone", default="13800000001")
    parser.add_argument("--amount", type=Decimal, default=Decimal("50.00"), help="in yuan")
    parser.add_argument("--serial")
    parser.add_argument("--date", help="business date of the original, YYYYMMDD; default today")
    parser.add_argument("--repeat", action="store_true", help="the serial was sent before")
    parser.add_argument("--seconds", type=float, default=10, help="before the same bytes go out again")
    args = parser.parse_args()
    if args.action in ("status", "reverse") and not args.serial:
        parser.error(f"--action {args.action} needs --serial")
    if args.amount * 100 % 1:
        parser.error("--amount has a fraction of a fen")
    serial, fen = args.serial or new_serial(), int(args.amount * 100)
    if args.action != "pay":
        return ask(args, args.action, serial, amount=fen)[0]  # a body without an amount leaves it out
    status, answer = ask(args, "owed", new_serial())
    if status:
        return status
    number, _, principal, late_fee = answer["bills"][0]
    return ask(args, "pay", serial, amount=int(principal) + int(late_fee), bill=number)[0]


if __name__ == "__main__":
    sys.exit(main())
