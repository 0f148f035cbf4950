"""What must hold of the reader of PROXY headers: what it says does not depend on how the bytes arrive."""

import contextlib
import ipaddress

from socket_pool.proxy import BODY_BYTES_MAX, MARK, Dialler, HeaderReader, ProxyHeaderError

SEEDS = [
    b"\0PROXY TCP4 10.1.2.3 10.9.9.9 51234 9001\r\n0005hello",
    b"\1PROXY TCP6 2001:db8::7 ::1 51234 9001\r\n",
    b"\2PROXY UNKNOWN\r\n",
    b"\3" + MARK + b"\x21\x11\x00\x0c\x0a\x01\x02\x03\x0a\x09\x09\x09\xc8\x22\x23\x29rest",
    b"\7" + MARK + b"\x21\x21\x00\x24" + bytes(36),
    b"\0" + MARK + b"\x20\x00\x00\x00",
]


def check_proxy(data: bytes) -> None:
    """The first byte chooses how the bytes arrive, the rest is a connection's beginning."""
    step, stream = (data[0] if data else 0) % 17 + 1, data[1:]
    whole, cut = _read([stream]), _read([stream[at : at + step] for at in range(0, len(stream), step)])
    assert whole == cut, "what a header says depends on how the bytes arrive"
    if isinstance(whole, tuple):
        dialler, rest = whole
        assert stream.endswith(rest)
        assert len(stream) - len(rest) <= 16 + BODY_BYTES_MAX
        assert 0 <= dialler.port <= 65_535
        if dialler.host:
            ipaddress.ip_address(dialler.host)


def _read(pieces: list[bytes]) -> "tuple[Dialler, bytes] | str":
    """Return what was read with all that stands behind it, or "refused", or "" while it is not whole."""
    reader, found, rest = HeaderReader(), None, b""
    with contextlib.suppress(ProxyHeaderError):
        for piece in pieces:
            if found is not None:
                rest += piece
            elif (read := reader.receive_data(piece)) is not None:
                found, rest = read
        return (found, rest) if found is not None else ""
    return "refused"
