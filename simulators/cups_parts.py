"""The fields of a CUPS message that have an inside, cut and joined by the bank's own code.

Each is a pair of functions: content to value, value to content; both get the character set of texts.  What a
bank has no use for is kept whole under `text`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple


class Parts(NamedTuple):
    """How one field's inside is read and written."""

    read: Callable[[bytes, str], Any]
    write: Callable[[Any, str], bytes]


def _row_reader(widths: dict[str, int]) -> Callable[[bytes, str], dict[str, str]]:
    def read(data: bytes, charset: str) -> dict[str, str]:
        value, at = {}, 0
        for name, width in widths.items():
            if at < len(data):  # a row may end early
                value[name] = data[at : at + width].decode(charset, "replace").rstrip(" ")
            at += width
        return value

    return read


def _row_writer(widths: dict[str, int], numbers: frozenset[str]) -> Callable[[Any, str], bytes]:
    def write(value: Any, charset: str) -> bytes:
        pieces = []
        for name, width in widths.items():
            data = str(value.get(name, "")).encode(charset)
            pieces.append(data.rjust(width, b"0") if name in numbers else data.ljust(width))
        return b"".join(pieces)

    return write


ORIGINAL = {"mti": 4, "stan": 6, "transmission_time": 10, "acquirer": 11, "forwarder": 11}
BALANCE = {"account_type": 2, "amount_type": 2, "currency": 3, "sign": 1, "amount": 12}
BILL = {"serial": 20, "month": 6, "principal": 12, "late_fee": 12}
PHONE = {"number_type": 2, "number": 40, "area": 4, "sub_area": 4, "bill": 20}

_read_bill, _write_bill = _row_reader(BILL), _row_writer(BILL, frozenset(BILL) - {"serial"})
_read_balance, _write_balance = _row_reader(BALANCE), _row_writer(BALANCE, frozenset({"amount"}))
_read_phone, _write_phone = _row_reader(PHONE), _row_writer(PHONE, frozenset())


def _read_private(data: bytes, charset: str) -> dict[str, Any]:
    tag, content = data[:2].decode("ascii", "replace"), data[2:]
    if tag == "NK":
        return {tag: {"key": content}}
    if tag == "PZ":
        return {tag: _read_phone(content, charset)}
    return {tag: {"text": content.decode(charset, "replace")}}


def _write_private(value: Any, charset: str) -> bytes:
    ((tag, content),) = value.items()
    if tag == "NK":
        return b"NK" + bytes(content["key"])
    if tag == "PZ":
        names = list(PHONE)
        last = max((at for at, name in enumerate(names) if content.get(name)), default=0)
        return b"PZ" + _write_phone(content, charset)[: sum(PHONE[name] for name in names[: last + 1])]
    return str(tag).encode("ascii") + str(content["text"]).encode(charset)


def _read_details(data: bytes, charset: str) -> dict[str, Any]:
    size = sum(BILL.values())
    count, rest = data[:2], data[2:]
    if not count.isdigit() or int(count) * size != len(rest):
        return {"text": data.decode(charset, "replace")}
    bills = [_read_bill(rest[at : at + size], charset) for at in range(0, len(rest), size)]
    return {"count": count.decode("ascii"), "bills": bills}


def _write_details(value: Any, charset: str) -> bytes:
    if "text" in value:
        return str(value["text"]).encode(charset)
    bills = value["bills"]
    return b"%02d" % len(bills) + b"".join([_write_bill(bill, charset) for bill in bills])


def _read_balances(data: bytes, charset: str) -> list[dict[str, str]]:
    size = sum(BALANCE.values())
    return [_read_balance(data[at : at + size], charset) for at in range(0, len(data), size)]


def _write_balances(value: Any, charset: str) -> bytes:
    return b"".join([_write_balance(entry, charset) for entry in value])


RESERVED = {
    "reason": 4,
    "owner_type": 1,
    "terminal_capability": 1,
    "chip_condition": 1,
    "reserved": 1,
    "terminal_type": 2,
    "pin_free": 1,
    "chip_reliability": 1,
    "commerce": 2,
}


def _read_reserved(data: bytes, charset: str) -> dict[str, str]:
    """Only the first fourteen characters have a meaning for this bank."""
    return _row_reader(RESERVED)(data, charset)


PARTS: dict[str, Parts] = {
    "private": Parts(_read_private, _write_private),
    "balance": Parts(_read_balances, _write_balances),
    "details": Parts(_read_details, _write_details),
    "reserved": Parts(_read_reserved, _row_writer(RESERVED, frozenset(RESERVED))),
    "original": Parts(_row_reader(ORIGINAL), _row_writer(ORIGINAL, frozenset(ORIGINAL))),
}
