"""A bank's client for the icbc queue in plain pyzmq: one signed XML document out, its answer back.

    python examples/icbc_client.py --phone 13800000001 --amount 50.00

It shares no code with the platform.  Needs pyzmq and pycryptodome.  A message that stays without an answer is
sent again with the same id; the platform knows it by its serial and books it once.
"""

import argparse
import datetime
import re
from xml.sax.saxutils import escape

import zmq
from Crypto.Cipher import DES

KEY = bytes.fromhex("FEDCBA98765432100123456789ABCDEF")  # the test MAC key of config/banks/icbc.toml
SIGNED = ("TrxCode", "Type", "BankNo", "TrxDate", "TrxTime", "Serial", "RetCode")
SIGNED += ("Phone", "Amount", "CardNo", "Bill", "OrigDate", "OrigSerial", "Order")


def mac(values):
    """ANSI X9.19 over the signed values in GBK, a bar between them; an absent one leaves its place empty."""
    data = "|".join(values.get(name, "") for name in SIGNED).encode("gbk")
    chain = DES.new(KEY[:8], DES.MODE_CBC, bytes(8))  # noqa: S304 - what the dialect prescribes
    left, right = (DES.new(half, DES.MODE_ECB) for half in (KEY[:8], KEY[8:]))  # noqa: S304
    last = chain.encrypt(data + bytes(-len(data) % 8))[-8:]
    return left.encrypt(right.decrypt(last)).hex().upper()


def document(head, body):
    def elements(values):
        return "".join(f"<{name}>{escape(value)}</{name}>" for name, value in values.items())

    signed = f"<Head>{elements(head)}</Head><Body>{elements(body)}</Body><Mac>{mac(head | body)}</Mac>"
    text = f"<Message>{signed}</Message>"
    return f'<?xml version="1.0" encoding="GBK"?>{text}'.encode("gbk")


def values_of(data):
    return dict(re.findall(r"<(\w+)>([^<]*)</\1>", data.decode("gbk")))


def exchange(address, message_id, data, seconds):
    """Send until answered, or until the time is up; an answer to anything else is passed over."""
    dealer = zmq.Context.instance().socket(zmq.DEALER)
    dealer.setsockopt(zmq.LINGER, 0)
    dealer.connect(address)
    try:
        for _ in range(-(-seconds // 5)):
            dealer.send_multipart([message_id, data])
            while dealer.poll(min(seconds, 5) * 1000):
                answered_id, answer = dealer.recv_multipart()
                if answered_id == message_id:
                    return answer
    finally:
        dealer.close()
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--phone", required=True)
    parser.add_argument("--amount", required=True, help="yuan, such as 50.00")
    parser.add_argument("--serial", help="up to twenty letters and digits; by default from the time")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=17311)
    parser.add_argument("--seconds", type=int, default=15, help="how long to wait for an answer")
    args = parser.parse_args()
    now = datetime.datetime.now(datetime.timezone(datetime.timedelta(hours=8)))  # noqa: TID251
    serial = args.serial or now.strftime("C%m%d%H%M%S%f")

    head = {"Version": "1.0", "TrxCode": "030012", "Type": "REQ", "BankNo": "0102"}
    head |= {
        "TrxDate": now.strftime("%Y%m%d"),
        "TrxTime": now.strftime("%H%M%S"),
        "Serial": serial,
        "Repeat": "0",
    }
    data = document(head, {"Phone": args.phone, "Amount": args.amount, "CardNo": "6222000000000000018"})
    answer = exchange(f"tcp://{args.host}:{args.port}", serial.encode(), data, args.seconds)
    if answer is None:
        raise SystemExit(
            f"no answer in {args.seconds} s: the outcome is unknown, ask for serial {serial} later"
        )
    values = values_of(answer)
    if values.get("Mac") != mac(values):
        raise SystemExit("the answer's MAC is wrong: the outcome is unknown, ask again")
    code = values["RetCode"]
    print(
        f"serial {serial}: {code} {values.get('RetText', '')}"
        + (f", order {values['Order']}" if code == "0000" else "")
    )
    raise SystemExit(0 if code == "0000" else 1)


if __name__ == "__main__":
    main()
