"""Where the border runs between what hears a refusal and what hears nothing: broken requests, put to the
front-end's core on the bench.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import NamedTuple

from frontends.mapping import Sort
from frontends.mapping_rows import getter, putter, split_row
from qianzhi.cli.document.page import Both, code
from qianzhi.cli.document.samples import PHONE, House, request_of
from qianzhi.cli.sample_requests import message_of
from qianzhi.domain.requests import MONEY_KINDS, Kind, Reply
from qianzhi.domain.results import Result
from qianzhi.wire.codec import Message
from qianzhi.wire.errors import EncodeError, RemoteProtocolError

Change = Callable[[Message], None]

BORDER_FROM = 71  # number of the first broken request
FORWARDED = Result.TOO_OLD  # what the house says, of a request and of a block of its key alike
ONE_FEWER, A_LETTER = PHONE[:-1], f"{PHONE[:-1]}X"


class Border(NamedTuple):
    """One way to break a request, and what it hears: a code, empty for silence, or itself sent back."""

    words: Both
    code: str = ""
    returned: bool = False


def borders(house: House, label: Callable[[str], str]) -> list[Border]:
    """Return what broken requests for money hear; ways that a dialect does not know are left out.

    `label` gives what the document calls a path.
    """
    transactions = house.profile.table.transactions.items()
    money = [name for name, rows in transactions if Kind[rows.kind.upper()] in MONEY_KINDS]
    name = next(iter(money), "")
    passed = house.profile.results.code_of(FORWARDED)
    found = [_heard(house, words, body) for words, body in _broken(house, name, label)] if name else []
    return [one for one in found if one.code != passed]  # what was forwarded is no fault here


def _heard(house: House, words: Both, body: bytes) -> Border:
    profile = house.profile
    for heard in house.ask(body, Reply(FORWARDED)):
        try:
            message = profile.codec.decode(heard)
        except RemoteProtocolError:
            return Border(words, returned=True)  # as it was: we cannot read it any more than before
        if profile.mapping.sort_of(message) is Sort.REJECTED:
            return Border(words, returned=True)
        return Border(words, str(getter(profile.table.reply.result)(message)))
    return Border(words)


def _broken(house: House, name: str, label: Callable[[str], str]) -> Iterator[tuple[Both, bytes]]:
    """Yield requests with one fault each, their MAC right wherever a fault leaves them one."""
    profile = house.profile
    whole = house.signed(_message(house, name, BORDER_FROM))
    if profile.frame.kind != "message":  # there a byte more begins another message
        yield Both("a byte too many at the end", "末尾多一个字节"), whole + b" "
        yield Both("the last byte missing", "末尾少一个字节"), whole[:-1]
    for at, (words, change) in enumerate(_changes(house, name, label), BORDER_FROM + 1):
        message = deepcopy(_message(house, name, at))
        change(message)
        try:
            body = house.signed(message)
        except (EncodeError, ValueError):
            body = _in_bytes(whole, words)
        if body:
            yield words, body


def _message(house: House, name: str, number: int) -> Message:
    message: Message = message_of(house.profile, name, request_of(house.profile, name, number))
    return message


TOO_SHORT = Both(f"a phone number of ten digits, `{ONE_FEWER}`", f"十位的手机号码 `{ONE_FEWER}`")
LETTER = Both(f"a letter in the phone number, `{A_LETTER}`", f"手机号码含字母 `{A_LETTER}`")


def _changes(
    house: House, name: str, label: Callable[[str], str]
) -> list[tuple[Both, Callable[[Message], None]]]:
    table = house.profile.table
    rows = {**table.request.take, **table.transactions[name].take}
    phone, amount = (split_row(str(rows[field]))[0] for field in ("phone", "amount_fen"))
    shown = code(label(amount))
    no_amount = Both(f"no amount ({shown} blank or absent)", f"没有金额（{shown} 空或缺省）")
    return [
        (LETTER, lambda message: putter(phone)(message, A_LETTER)),
        (TOO_SHORT, lambda message: putter(phone)(message, ONE_FEWER)),
        (no_amount, lambda message: _remove(message, amount)),
    ]


def _in_bytes(whole: bytes, words: Both) -> bytes:
    """Return the letter written into bytes, where the codec would not write it."""
    as_hex = PHONE.encode().hex().upper().encode()
    if words is not LETTER:
        return b""
    if as_hex in whole:
        return whole.replace(as_hex, A_LETTER.encode().hex().upper().encode())
    return whole.replace(PHONE.encode(), A_LETTER.encode()) if PHONE.encode() in whole else b""


def _remove(message: Message, path: str) -> None:
    parent, _, name = path.rpartition(".")
    holder = getter(parent)(message) if parent else message
    if isinstance(holder, dict):
        holder.pop(name, None)
