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
    kind = request.kind
    if kind not in _KINDS:
        return Result.UNSUPPORTED
    if not (_texts_fit(request) and _numbers_fit(request)):
        return Result.FORMAT
    if not request.space or not request.serial:
        return Result.FORMAT
    if kind in MONEY_KINDS:
        fits = request.phone and request.bank_number and request.space != EVERY_SPACE
        return None if fits else Result.FORMAT
    if kind in (Kind.TOTALS, Kind.BREAK) and not request.bank_number:
        return Result.FORMAT
    return None if _fits_its_kind(request) else Result.FORMAT


def _texts_fit(request: Request) -> bool:
    texts = (
        *(request.serial, request.space, request.bank, request.bank_number, request.phone, request.bill),
        *(request.own_serial, request.reason),
    )
    try:  # all at once: nearly always they are texts, short and printable
        fit = "".join(texts).isprintable() and max(map(len, texts)) <= TEXT_CHARS_MAX
    except TypeError:
        return False
    if fit or request.kind is not Kind.MEND:
        return fit
    return _is_text(request.serial, BESIDE_CHARS_MAX) and all(map(_is_text, texts[1:]))  # names a row beside


def _numbers_fit(request: Request) -> bool:
    amount, received, date, stamp = request.amount_fen, request.received_us, request.date, request.stamp_us
    count, reversed_count, reversed_fen = request.count, request.reversed_count, request.reversed_fen
    if not (type(amount) is type(received) is type(date) is type(stamp) is int):
        return False
    if count or reversed_count or reversed_fen:
        figures = (count, reversed_count, reversed_fen)
        if not all(type(one) is int and 0 <= one <= AMOUNT_FEN_CAP for one in figures):
            return False
    elif not (type(count) is type(reversed_count) is type(reversed_fen) is int):
        return False
    within = -AMOUNT_FEN_CAP <= amount <= AMOUNT_FEN_CAP and 0 <= date <= DATE_MAX
    return within and 0 <= received < TIME_US_CAP and 0 <= stamp < TIME_US_CAP


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
