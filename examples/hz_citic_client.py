"""A bank member's client for the hz_citic line in raw sockets: sign on, get a MAC key, recharge a phone.

    python examples/hz_citic_client.py --phone 13800000001 --amount 50.00

It shares no code with the platform: fields, bitmaps, header and MAC are written out here.
Needs pycryptodome.
"""

import argparse
import datetime
import socket

from Crypto.Cipher import DES

MASTER = bytes.fromhex(
    "0123456789ABCDEFFEDCBA9876543210"
)  # the test master key of config/banks/hz_citic.toml
MEMBER, SWITCH, BANK_NUMBER = "03023310", "00010000", "0302"
# Field numbers: length of fixed fields, or the number of length digits as a negative figure.
FIELDS = {
    2: -2,
    3: 6,
    4: 12,
    7: 10,
    11: 6,
    12: 6,
    13: 4,
    15: 4,
    18: 4,
    22: 3,
    25: 2,
    32: -2,
    33: -2,
    37: 12,
    38: 6,
}
FIELDS |= {39: 2, 41: 8, 42: 15, 48: -3, 49: 3, 53: 16, 54: -3, 60: -3, 70: 3, 90: 42, 96: 8, 100: -2, 128: 8}
MAC_FIELDS = (2, 3, 4, 7, 11, 18, 25, 28, 32, 33, 38, 39, 41, 42, 90, 48)
LINE_MAC_FIELDS = (7, 11, 39, 53, 70, 100)


def pack(mti, fields):
    """Header of 46 bytes, message type, bitmap of 128 bits, fields in order."""
    bits = sum(1 << (128 - number) for number in fields) | 1 << 127
    body = mti.encode() + bits.to_bytes(16, "big")
    for number in sorted(fields):
        body += on_wire(number, fields[number])
    ids = SWITCH.ljust(11).encode() + MEMBER.ljust(11).encode()
    return b"\x2e\x02%04d" % (46 + len(body)) + ids + b"\0\0\0" + b"\0" + b"00000000" + b"0" + b"00000" + body


def on_wire(number, value):
    data = value if isinstance(value, bytes) else value.encode("gbk")
    return b"%0*d" % (-FIELDS[number], len(data)) + data if FIELDS[number] < 0 else data


def unpack(frame):
    body = frame[46:]
    bits, at = int.from_bytes(body[4:12], "big") << 64, 12
    if bits >> 127:
        bits, at = bits | int.from_bytes(body[12:20], "big"), 20
    fields = {}
    for number in range(2, 129):
        if bits >> (128 - number) & 1:
            size = FIELDS[number]
            if size < 0:
                size, at = int(body[at : at - size]), at - size
            fields[number], at = body[at : at + size], at + size
    return body[:4].decode(), fields


def des(key, mode="encrypt"):
    return getattr(DES.new(key, DES.MODE_ECB), mode)  # noqa: S304 - what the dialect prescribes


def triple(key, block, mode="encrypt"):
    other = "decrypt" if mode == "encrypt" else "encrypt"
    return des(key[:8], mode)(des(key[8:], other)(des(key[:8], mode)(block)))


def mac(key, mti, fields, numbers):
    """ANSI X9.19 over the selected text of these fields, one blank between them."""
    parts = [mti.encode()] + [
        on_wire(n, fields[n])[: 20 if n == 90 else None] for n in numbers if n in fields
    ]
    allowed = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ,."
    text = b" ".join(b" ".join(bytes(c for c in part.upper() if c in allowed).split()) for part in parts)
    chain = DES.new(key[:8], DES.MODE_CBC, bytes(8))  # noqa: S304 - what the dialect prescribes
    last = chain.encrypt(text + bytes(-len(text) % 8))[-8:]
    return des(key[:8])(des(key[8:], "decrypt")(last))


class Line:
    def __init__(self, host, port):
        self.socket = socket.create_connection((host, port), timeout=15)
        self.key = None

    def send(self, mti, fields):
        frame = pack(mti, fields)
        self.socket.sendall(b"%04d" % len(frame) + frame)

    def receive(self):
        size = 0
        while not size:  # 0000 is a heartbeat
            size = int(self.read(4))
        return unpack(self.read(size))

    def read(self, size):
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise SystemExit("the other side closed the connection")
            data += more
        return data

    def ask(self, mti, fields):
        """Send, and wait for the answer with the same serial; keys and echoes meanwhile are dealt with."""
        self.send(mti, fields)
        while True:
            got, answer = self.receive()
            if got == "0800" and answer.get(70) == b"101":
                self.take_key(answer)
            elif got == "0820":
                self.send("0830", {n: answer[n] for n in (7, 11, 70) if n in answer} | {33: MEMBER, 39: "00"})
            elif got == f"{int(mti) + 10:04d}" and answer.get(11) == fields[11].encode():
                return answer

    def take_key(self, delivery):
        wrapped = delivery[48][2:18]
        key = triple(MASTER, wrapped[:8], "decrypt") + triple(MASTER, wrapped[8:], "decrypt")
        proof = mac(key, "0800", delivery, LINE_MAC_FIELDS)[:4] + triple(key, bytes(8))[:4]
        if proof != delivery[128]:
            raise SystemExit("the key that was delivered is not what it says")
        answer = {n: delivery[n] for n in (7, 11, 53, 70, 100)} | {39: b"00"}
        answer[128] = mac(key, "0810", answer, LINE_MAC_FIELDS)[:4] + triple(key, bytes(8))[:4]
        self.send("0810", answer)
        self.key = key


def serial_at(now):
    """A new serial every 0.3 s of the day, from 700002 on; simulated banks stay below 700000."""
    passed = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return f"{700_002 + (now - passed) * 299_990 // datetime.timedelta(days=1):06d}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--phone", required=True)
    parser.add_argument("--amount", required=True, help="yuan, such as 50.00")
    parser.add_argument("--serial", help="six digits; by default from the time of day")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=17301)
    args = parser.parse_args()
    now = datetime.datetime.now(datetime.timezone(datetime.timedelta(hours=8)))  # noqa: TID251
    serial = args.serial or serial_at(now)
    stamp, yuan, _, decimals = now.strftime("%m%d%H%M%S"), *args.amount.partition(".")

    line = Line(args.host, args.port)
    signed = line.ask("0820", {7: stamp, 11: f"{int(serial) - 1:06d}", 33: MEMBER, 70: "001"})
    print("signed on:", signed[39].decode())
    line.ask("0820", {7: stamp, 11: f"{int(serial) - 2:06d}", 33: MEMBER, 53: "26".ljust(16, "0"), 70: "101"})
    while line.key is None:
        got, delivery = line.receive()
        if got == "0800" and delivery.get(70) == b"101":
            line.take_key(delivery)
    print("MAC key received, check value", triple(line.key, bytes(8))[:4].hex().upper())

    request = {
        2: "6222000000000000018",
        3: "000000",
        4: f"{int(yuan) * 100 + int(decimals.ljust(2, '0')):012d}",
    }
    request |= {
        7: stamp,
        11: serial,
        12: stamp[4:],
        13: stamp[:4],
        18: "4814",
        22: "012",
        25: "00",
        32: MEMBER,
    }
    request |= {
        33: MEMBER,
        41: "00000001",
        42: BANK_NUMBER.ljust(15),
        48: "PZ01" + args.phone.ljust(40),
        49: "156",
    }
    request[128] = mac(line.key, "0200", request, MAC_FIELDS)[:4].hex().upper()
    answer = line.ask("0200", request)
    if answer.get(128) != mac(line.key, "0210", answer, MAC_FIELDS)[:4].hex().upper().encode():
        raise SystemExit("the answer's MAC is wrong: the outcome is unknown, ask again")
    code, order = answer[39].decode(), answer.get(37, b"").decode()
    print(f"serial {serial}: response code {code}" + (f", order {order}" if code == "00" else ""))
    raise SystemExit(0 if code == "00" else 1)


if __name__ == "__main__":
    main()
