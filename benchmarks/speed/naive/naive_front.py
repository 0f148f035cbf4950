"""The front-end of the naive implementation: a CUPS line by Twisted, pyiso8583, pycryptodome; JSON onwards.

python naive_front.py PORT INTERFACE_PORT KEY_HEX
"""

import itertools
import sys
from typing import Any

import cups
from jsonpipe import JsonLine, dial, serve
from twisted.internet.protocol import Protocol

LENGTH_DIGITS = 4
ECHOED = ["3", "4", "7", "11", "18", "25", "32", "33", "41", "42", "49"]


class BankLine(Protocol):
    """One connection of the bank."""

    buffer = b""

    def dataReceived(self, data: bytes) -> None:
        """Cut frames off and handle each."""
        self.buffer += data
        while len(self.buffer) >= LENGTH_DIGITS:
            length = LENGTH_DIGITS + int(self.buffer[:LENGTH_DIGITS])
            if len(self.buffer) < length:
                return
            frame, self.buffer = self.buffer[LENGTH_DIGITS:length], self.buffer[length:]
            self.on_frame(frame)

    def on_frame(self, frame: bytes) -> None:
        """Judge one request and pass it on."""
        fields = cups.decode(frame)
        if fields.get("128") != cups.mac_of(fields, KEY):
            self.answer(fields, {"result": "A0"})
            return
        number = next(NUMBERS)
        WAITING[number] = (self, fields)
        INTERFACE.line.send_json(
            {
                "id": number,
                "space": "hz_citic",
                "date": "2026" + fields["7"][:4],
                "serial": fields["11"],
                "phone": fields["48"][4:].strip(),
                "amount_fen": int(fields["4"]),
                "bank_number": fields["42"].strip(),
            }
        )

    def answer(self, asked: dict[str, str], reply: dict[str, Any]) -> None:
        """Write the answer to a request."""
        fields = {number: asked[number] for number in ECHOED if number in asked}
        header = asked["h"]
        fields["t"] = "0210"
        fields["h"] = header[:6] + header[17:28] + header[6:17] + header[28:]
        fields["39"] = reply["result"]
        fields["15"] = asked["7"][:4]
        if "order" in reply:
            fields["37"], fields["38"] = reply["order"], reply["order"][-6:]
            fields["54"] = f"0002156C{reply['balance_fen']:012d}"
        fields["128"] = "0" * 8
        fields["128"] = cups.mac_of(fields, KEY)
        size = len(cups.encode(fields))
        fields["h"] = fields["h"][:2] + f"{size:04d}" + fields["h"][6:]
        body = cups.encode(fields)
        self.transport.write(f"{len(body):04d}".encode() + body)


class InterfaceLine(JsonLine):
    """The connection to the interface layer."""

    def on_json(self, message: dict[str, Any]) -> None:
        """Take an answer."""
        line, asked = WAITING.pop(message["id"])
        line.answer(asked, message)


KEY = bytes.fromhex(sys.argv[3])
NUMBERS = itertools.count(1)
WAITING: dict[int, tuple[BankLine, dict[str, str]]] = {}
INTERFACE = dial(int(sys.argv[2]), InterfaceLine)
serve(int(sys.argv[1]), BankLine)
