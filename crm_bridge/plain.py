"""Recharges as nearly all of them are: new, of an open day, approved, with one posting.  Pure.

A straight way through for these alone, beside the one for all that can be asked (`journal_decide`): it
settles a request just as that would, or leaves it untouched to that.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from crm_bridge.gateway_checks import AMOUNT_FEN_CAP, TEXT_CHARS_MAX, TIME_US_CAP, refusal
from crm_bridge.journal import Row, State, content_of
from crm_bridge.journal import encode as _encode
from crm_bridge.journal_totals import Tally
from qianzhi.billing.desk import Recharged
from qianzhi.domain.requests import Key, Kind, Reply, Request
from qianzhi.domain.results import Result

_RECHARGE, _STATE, _APPROVED = Kind.RECHARGE, State.APPROVED, Result.APPROVED
_KIND, _RESULT = int(_RECHARGE), int(_APPROVED)  # as rows have them
_new = tuple.__new__  # makes a named tuple of all its fields, for half of what calling its class costs

# As `Desk.recharge`: what approves a recharge of (key, phone, amount, bank number) if it is plain.
Recharge = Callable[[Key, str, int, str], Recharged | None]


class Plain(NamedTuple):
    """What of a list may be plain: of each request its key, None of one that is not; and all that they name.

    Of these nothing is refused by `gateway_checks`, the date is the message's own, and no bill is quoted.
    """

    keys: Sequence[Key | None]
    phones: frozenset[str] = frozenset()
    numbers: frozenset[str] = frozenset()


NOTHING_PLAIN = Plain(())


def plain_of(requests: Sequence[Request]) -> Plain:
    """Look for what may be plain in a list."""
    keys: list[Key | None] = []
    phones: set[str] = set()
    lines = _Lines()
    for request in requests:
        space, date, serial, phone = request.space, request.date, request.serial, request.phone
        amount, received, stamp = request.amount_fen, request.received_us, request.stamp_us
        count, reversed_count, reversed_fen = request.count, request.reversed_count, request.reversed_fen
        if (
            request.kind is _RECHARGE
            and not request.date_ours
            and request.bill == request.own_serial == request.reason == ""
            and type(serial) is type(phone) is str
            and serial
            and phone
            and len(both := serial + phone) <= TEXT_CHARS_MAX
            and both.isprintable()
            and type(date) is type(amount) is type(received) is type(stamp) is int
            and type(count) is type(reversed_count) is type(reversed_fen) is int
            and not (stamp or count or reversed_count or reversed_fen)
            and 0 < amount <= AMOUNT_FEN_CAP
            and 0 <= received < TIME_US_CAP
            and (
                (
                    space == lines.space
                    and date == lines.date
                    and request.bank == lines.bank
                    and request.bank_number == lines.bank_number
                )
                or lines.takes(request)
            )
        ):
            phones.add(phone)
            keys.append(_new(Key, (space, date, serial)))
        else:
            keys.append(None)
    return Plain(keys, frozenset(phones), frozenset(line[3] for line in lines.known))


class _Lines:
    """The spaces, dates, banks and numbers of a list, each looked at with the first request that has them."""

    __slots__ = ("bank", "bank_number", "date", "known", "space")

    def __init__(self) -> None:
        self.space: str | None = None  # of the last request, as the others; None before the first
        self.date, self.bank, self.bank_number = 0, "", ""
        self.known: set[tuple[str, int, str, str]] = set()

    def takes(self, request: Request) -> bool:
        """Say whether they can be looked at, of a request whose other fields can."""
        line = (request.space, request.date, request.bank, request.bank_number)
        if not all(type(one) is str for one in (line[0], *line[2:])):
            return False
        if line not in self.known and refusal(request) is not None:
            return False
        self.known.add(line)
        self.space, self.date, self.bank, self.bank_number = line
        return True


def still_plain(plain: Plain, before: Sequence[Request], now: Sequence[Request]) -> Sequence[Key | None]:
    """Return of each request its key if it may still be plain: one that has become another is not."""
    if now is before:
        return plain.keys
    if len(now) != len(before):
        return [None] * len(now)
    return [key if one is was else None for key, one, was in zip(plain.keys, now, before, strict=True)]


class Till:
    """Settles plain recharges on a journal's working copy: `rows`, `changed`, `tally` are the journal's."""

    def __init__(
        self,
        rows: dict[Key, Row],
        changed: dict[Key, None],
        tally: Tally,
        closed_through: Mapping[str, int],
        takes: Callable[[int], bool],
        amount_fen_max: int,
        wall_us: int,
        part: str,
    ) -> None:
        """`closed_through` is the fences' own, for they may rise meanwhile; `takes` says whether a business
        date takes new keys as long as it is not closed.
        """
        self._rows = rows
        self._changed = changed
        self._tally = tally
        self._sums: dict[tuple[str, int], list[int]] = {}
        self._closed_through = closed_through
        self._takes = takes
        self._dates: dict[int, bool] = {}
        self._amount_fen_max = amount_fen_max
        self._wall_us = wall_us
        self._part = part

    def settle(self, request: Request, key: Key, recharge: Recharge) -> Reply | None:
        """Approve a recharge, or return None: it is not plain, and nothing was done."""
        rows, amount_fen, wall_us = self._rows, request.amount_fen, self._wall_us
        if key in rows or not 0 < amount_fen <= self._amount_fen_max:
            return None
        space, date, serial = key
        takes = self._dates.get(date)
        if takes is None:
            takes = self._dates[date] = self._takes(date)
        if not takes or date <= self._closed_through.get(space, 0):
            return None
        phone, bank_number = request.phone, request.bank_number
        made = recharge(key, phone, amount_fen, bank_number)
        if made is None:
            return None
        order, balance_fen, name = made
        reply = Reply(_APPROVED, order, amount_fen, balance_fen, (), name, wall_us)
        row = (
            space,
            date,
            serial,
            _KIND,
            content_of(request),
            _STATE,
            _RESULT,
            _encode(reply),
            order,
            phone,
            amount_fen,
            request.bank,
            bank_number,
            request.bill,
            request.received_us or wall_us,
            wall_us,
            self._part,
            None,
            None,
            None,
        )
        rows[key] = _new(Row, row)
        self._changed[key] = None
        sums = self._sums.get((bank_number, date))
        if sums is None:
            sums = self._sums[bank_number, date] = self._tally.sums(bank_number, date)
        sums[0] += 1
        sums[1] += amount_fen
        return reply
