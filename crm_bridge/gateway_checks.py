"""What is refused before a database sees it: texts, dates and numbers that could poison a batch.  Pure."""

from crm_bridge.journal_breaks import BESIDE_CHARS_MAX
from crm_bridge.journal_fences import EVERY_SPACE, HOUSE_SERIAL
from qianzhi.domain.requests import KEYLESS_KINDS, MONEY_KINDS, OUTWARD_KINDS, Key, Kind, Request
from qianzhi.domain.results import Result

AMOUNT_FEN_CAP = 10**15
TIME_US_CAP = 2**62
TEXT_CHARS_MAX = 40
DATE_MAX = 99_999_999
_KINDS = frozenset(Kind) - OUTWARD_KINDS - {Kind.LATE_ANSWER}  # what a core is asked for


def refusal(request: Request) -> Result | None:
    """Return why a request cannot even be looked at, or None when it can.

    Such a refusal leaves no row: a malformed key could never be asked for again.
    """
    if request.kind not in _KINDS:
        return Result.UNSUPPORTED
    more = BESIDE_CHARS_MAX if request.kind is Kind.MEND else 0  # it may name a row beside a key's own
    if not _is_text(request.serial, more):
        return Result.FORMAT
    texts = (request.space, request.bank, request.bank_number, request.phone, request.bill)
    if not all(map(_is_text, (*texts, request.own_serial, request.reason))):
        return Result.FORMAT
    if not request.space or not request.serial:
        return Result.FORMAT
    figures = (request.count, request.reversed_count, request.reversed_fen)
    numbers = (request.amount_fen, request.received_us, request.date, *figures)
    if any(type(number) is not int for number in (*numbers, request.stamp_us)):
        return Result.FORMAT
    if not (0 <= request.received_us < TIME_US_CAP and 0 <= request.stamp_us < TIME_US_CAP):
        return Result.FORMAT
    if not all(0 <= figure <= AMOUNT_FEN_CAP for figure in figures):
        return Result.FORMAT
    if abs(request.amount_fen) > AMOUNT_FEN_CAP or not 0 <= request.date <= DATE_MAX:
        return Result.FORMAT
    if request.kind in MONEY_KINDS and not (request.phone and request.bank_number):
        return Result.FORMAT
    if request.kind in (Kind.TOTALS, Kind.BREAK) and not request.bank_number:
        return Result.FORMAT
    return None if _fits_its_kind(request) else Result.FORMAT


def _fits_its_kind(request: Request) -> bool:
    """Say whether a request is about what its kind is about: a whole date, or one key, with its reason."""
    if request.kind is Kind.CLOSE:
        return request.serial == HOUSE_SERIAL
    if request.space == EVERY_SPACE:
        return request.kind in KEYLESS_KINDS
    return bool(request.reason) or request.kind is not Kind.BREAK


def key_refusal(key: Key) -> Result | None:
    """Return why a key cannot be looked up, or None when it can."""
    if not (_is_text(key.space) and key.space and _is_text(key.serial) and key.serial):
        return Result.FORMAT
    return None if type(key.date) is int and 0 <= key.date <= DATE_MAX else Result.FORMAT


def _is_text(value: object, more: int = 0) -> bool:
    """Say whether a value is short printable text: no NUL, no control character, no lone surrogate."""
    return isinstance(value, str) and len(value) <= TEXT_CHARS_MAX + more and value.isprintable()
