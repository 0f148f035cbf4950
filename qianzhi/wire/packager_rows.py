"""What the field classes of a packager description mean, by name, and what field numbers usually hold."""

from collections.abc import Callable
from typing import NamedTuple


class ClassRow(NamedTuple):
    """A field class: type, encoding (`packed` for digits whose filler the field's `pad` places), prefix, and
    what the prefix counts where it is not the usual; `note` says what differs, `size` how many bytes a
    stated length takes where it is not that many."""

    type: str
    encoding: str
    prefix: str = ""
    unit: str = ""
    note: str = ""
    size: Callable[[int], int] | None = None


def _signed_bytes(length: int) -> int:
    """A sign of one byte, and the digits behind it packed: a length of 9 is 5 bytes."""
    return 1 + length // 2


_F = "an odd number of digits is filled with F there and with 0 here"
_SIGNED = "sign and packed digits are read as bytes"
_EVEN = "the length of an odd number of digits is one more there"

CLASSES: dict[str, ClassRow] = {
    "IF_CHAR": ClassRow("ans", "ascii"),
    "IFA_NUMERIC": ClassRow("n", "ascii"),
    "IFA_AMOUNT": ClassRow("xn", "ascii"),
    "IFA_LCHAR": ClassRow("ans", "ascii", "L"),
    "IFA_LLCHAR": ClassRow("ans", "ascii", "LL"),
    "IFA_LLLCHAR": ClassRow("ans", "ascii", "LLL"),
    "IFA_LLLLCHAR": ClassRow("ans", "ascii", "LLLL"),
    "IFA_LLNUM": ClassRow("n", "ascii", "LL"),
    "IFA_LLLNUM": ClassRow("n", "ascii", "LLL"),
    "IFA_BINARY": ClassRow("b", "hex"),
    "IFA_LBINARY": ClassRow("b", "raw", "L"),
    "IFA_LLBINARY": ClassRow("b", "raw", "LL"),
    "IFA_LLLBINARY": ClassRow("b", "raw", "LLL"),
    "IFA_LLLLBINARY": ClassRow("b", "raw", "LLLL"),
    "IFA_LLABINARY": ClassRow("b", "hex", "LL", "bytes"),
    "IFA_LLLABINARY": ClassRow("b", "hex", "LLL", "bytes"),
    "IFA_LLBNUM": ClassRow("n", "packed", "LL", note=_EVEN),
    "IFB_NUMERIC": ClassRow("n", "packed"),
    "IFB_FNUMERIC": ClassRow("n", "bcd_left", note=_F),
    "IFB_AMOUNT": ClassRow("b", "raw", note=_SIGNED, size=_signed_bytes),
    "IFB_LLNUM": ClassRow("n", "packed", "LL_bcd"),
    "IFB_LLLNUM": ClassRow("n", "packed", "LLL_bcd"),
    "IFB_FLLNUM": ClassRow("n", "bcd_left", "LL_bcd", note=_F),
    "IFB_FLLLNUM": ClassRow("n", "bcd_left", "LLL_bcd", note=_F),
    "IFB_LLHNUM": ClassRow("n", "packed", "binary_1"),
    "IFB_LLLHNUM": ClassRow("n", "packed", "binary_2"),
    "IFB_LLCHAR": ClassRow("ans", "ascii", "LL_bcd"),
    "IFB_LLLCHAR": ClassRow("ans", "ascii", "LLL_bcd"),
    "IFB_LLLLCHAR": ClassRow("ans", "ascii", "LLL_bcd"),
    "IFB_LLHCHAR": ClassRow("ans", "ascii", "binary_1"),
    "IFB_LLLHCHAR": ClassRow("ans", "ascii", "binary_2"),
    "IFB_LLHECHAR": ClassRow("ans", "ebcdic", "binary_1"),
    "IFB_LLLHECHAR": ClassRow("ans", "ebcdic", "binary_2"),
    "IFB_BINARY": ClassRow("b", "raw"),
    "IFB_LLBINARY": ClassRow("b", "raw", "LL_bcd"),
    "IFB_LLLBINARY": ClassRow("b", "raw", "LLL_bcd"),
    "IFB_LLLLBINARY": ClassRow("b", "raw", "LLL_bcd"),
    "IFB_LLHBINARY": ClassRow("b", "raw", "binary_1"),
    "IFB_LLLHBINARY": ClassRow("b", "raw", "binary_2"),
    "IF_ECHAR": ClassRow("ans", "ebcdic"),
    "IFE_CHAR": ClassRow("ans", "ebcdic"),
    "IFE_NUMERIC": ClassRow("n", "ebcdic"),
    "IFE_SIGNED_NUMERIC": ClassRow("ans", "ebcdic", note="a signed number is read as text"),
    "IFE_AMOUNT": ClassRow("xn", "ebcdic"),
    "IFE_LLCHAR": ClassRow("ans", "ebcdic", "LL_ebcdic"),
    "IFE_LLLCHAR": ClassRow("ans", "ebcdic", "LLL_ebcdic"),
    "IFE_LLNUM": ClassRow("n", "ebcdic", "LL_ebcdic"),
    "IFE_LLLNUM": ClassRow("n", "ebcdic", "LLL_ebcdic"),
    "IFE_LLBINARY": ClassRow("b", "raw", "LL_ebcdic"),
    "IFE_LLLBINARY": ClassRow("b", "raw", "LLL_ebcdic"),
    "IFEA_LLCHAR": ClassRow("ans", "ascii", "LL_ebcdic"),
    "IFEB_LLNUM": ClassRow(
        "n", "bcd_left", "LL_ebcdic", "bytes", _F + ", and only even numbers can be written"
    ),
    "IFEB_LLLNUM": ClassRow(
        "n", "bcd_left", "LLL_ebcdic", "bytes", _F + ", and only even numbers can be written"
    ),
}

MTI_CLASSES = {"IFA_NUMERIC": "ascii", "IF_CHAR": "ascii", "IFB_NUMERIC": "bcd", "IFE_NUMERIC": "ebcdic"}
BITMAP_CLASSES = {"IFB_BITMAP": "binary", "IFA_BITMAP": "hex", "IFE_BITMAP": "hex_ebcdic"}

# Fields of track data, whatever class they have: their separator is no digit.
TRACKS = frozenset({35, 36})

SECRETS = {
    2: "pan",
    14: "secret",
    34: "pan",
    35: "secret",
    36: "secret",
    45: "secret",
    52: "secret",
    55: "secret",
    96: "secret",
    102: "pan",
    103: "pan",
}

NAMES = {
    2: "pan",
    3: "processing_code",
    4: "amount",
    5: "settlement_amount",
    7: "transmission_time",
    11: "stan",
    12: "local_time",
    13: "local_date",
    14: "expiry",
    15: "settlement_date",
    18: "mcc",
    22: "entry_mode",
    23: "card_sequence",
    25: "condition",
    32: "acquirer",
    33: "forwarder",
    35: "track2",
    36: "track3",
    37: "rrn",
    38: "authorisation",
    39: "response",
    41: "terminal",
    42: "merchant",
    43: "merchant_name",
    44: "additional_response",
    45: "track1",
    48: "private",
    49: "currency",
    52: "pin",
    53: "security",
    54: "balance",
    55: "chip",
    64: "mac",
    70: "network_code",
    90: "original",
    96: "key_data",
    100: "receiver",
    102: "account1",
    103: "account2",
    128: "mac_2",
}
