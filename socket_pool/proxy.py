"""The PROXY header that a balancer writes before a connection's own bytes, to say who dials.  Pure.

    version 1   PROXY TCP4 10.1.2.3 10.9.9.9 51234 9001\r\n             at most 107 bytes
                PROXY UNKNOWN …\r\n                                     the balancer itself, looking at us

    version 2   +------------------+----------+--------+--------+--------------------------------------+
                | 12 bytes of mark | 2 │ cmd  | family | length | source, destination, both ports, …   |
                +------------------+----------+--------+--------+--------------------------------------+
                  cmd 0: the balancer itself;  cmd 1: on behalf of the source
                  family 0x11: IPv4 (12 bytes), 0x21: IPv6 (36 bytes); what follows the ports is passed over

Source: "The PROXY protocol", versions 1 & 2, of the HAProxy project.
"""

import ipaddress
import re
from typing import NamedTuple

MARK = b"\r\n\r\n\x00\r\nQUIT\n"
LINE_BYTES_MAX = 107
BODY_BYTES_MAX = 4096  # of version 2, extensions and all
_HEAD_BYTES = 16
_ADDRESS_BYTES = {0x11: 4, 0x21: 16}
_LINE = re.compile(rb"PROXY TCP([46]) (\S{2,39}) (\S{2,39}) ([0-9]{1,5}) ([0-9]{1,5})")


class ProxyHeaderError(Exception):
    """Bytes that are no PROXY header; the text says why."""


class Dialler(NamedTuple):
    """Who dials; an empty host is the balancer itself."""

    host: str
    port: int


class HeaderReader:
    """Reads the header of one connection, however its bytes are cut."""

    def __init__(self) -> None:
        self._data = b""

    @property
    def began(self) -> bool:
        """Whether any byte has come."""
        return bool(self._data)

    def receive_data(self, data: bytes) -> tuple[Dialler, bytes] | None:
        """Take bytes; return who dials with what stands behind the header, or None until it is whole.

        Raises ProxyHeaderError.
        """
        self._data += data
        begun = self._data[: len(MARK)]
        if MARK.startswith(begun):
            return _read_binary(self._data)
        if b"PROXY ".startswith(begun[:6]):
            return _read_line(self._data)
        raise ProxyHeaderError("neither version 1 nor version 2")


def _read_line(data: bytes) -> tuple[Dialler, bytes] | None:
    end = data.find(b"\r\n", 0, LINE_BYTES_MAX)
    if end < 0:
        if len(data) >= LINE_BYTES_MAX:
            raise ProxyHeaderError(f"a line of more than {LINE_BYTES_MAX} bytes")
        return None
    line, rest = data[:end], data[end + 2 :]
    if line == b"PROXY UNKNOWN" or line.startswith(b"PROXY UNKNOWN "):
        return Dialler("", 0), rest
    found = _LINE.fullmatch(line)
    if found is None:
        raise ProxyHeaderError("a line of another form than version 1 has")
    family, source, destination = int(found[1]), found[2].decode("latin-1"), found[3].decode("latin-1")
    try:
        addresses = [ipaddress.ip_address(source), ipaddress.ip_address(destination)]
    except ValueError as error:
        raise ProxyHeaderError("an address that is none") from error
    if any(address.version != family for address in addresses) or int(found[4]) > 65_535:
        raise ProxyHeaderError("addresses of another family, or a port that is none")
    return Dialler(str(addresses[0]), int(found[4])), rest


def _read_binary(data: bytes) -> tuple[Dialler, bytes] | None:
    if len(data) < _HEAD_BYTES:
        return None
    command, family = data[12], data[13]
    size = int.from_bytes(data[14:16], "big")
    if command not in (0x20, 0x21):
        raise ProxyHeaderError("a command that version 2 does not know")
    if size > BODY_BYTES_MAX:
        raise ProxyHeaderError(f"more than {BODY_BYTES_MAX} bytes of addresses and extensions")
    if len(data) < _HEAD_BYTES + size:
        return None
    body, rest = data[_HEAD_BYTES : _HEAD_BYTES + size], data[_HEAD_BYTES + size :]
    if command == 0x20 or family == 0:
        return Dialler("", 0), rest
    length = _ADDRESS_BYTES.get(family)
    if length is None or size < 2 * length + 4:
        raise ProxyHeaderError("a family other than TCP over IPv4 or IPv6, or an address cut short")
    port = int.from_bytes(body[2 * length : 2 * length + 2], "big")
    return Dialler(str(ipaddress.ip_address(body[:length])), port), rest
