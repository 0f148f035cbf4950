"""What a list of requests may touch, worked out before anything is loaded.  Pure."""

from collections.abc import Sequence
from itertools import zip_longest

from crm_bridge.batch import Wanted
from crm_bridge.gateway_checks import refusal
from crm_bridge.journal import void_key
from crm_bridge.journal_breaks import MANUAL, SAF, seats
from crm_bridge.journal_dates import Calendar
from crm_bridge.journal_fences import EVERY_SPACE
from crm_bridge.journal_totals import Day, day_of
from crm_bridge.plain import NOTHING_PLAIN, Plain
from qianzhi.billing.orders import CLEARING, LATE_FEES, RECEIVABLE, SUSPENSE
from qianzhi.domain.requests import MONEY_KINDS, Key, Kind, Request
from qianzhi.ledger.entries import Name

UNDOING_KINDS = frozenset({Kind.REVERSAL, Kind.VOID})
BREAK_KINDS = frozenset({Kind.BREAK, Kind.MEND})


def wants(
    requests: Sequence[Request],
    calendar: Calendar,
    part: str,
    plain: Plain = NOTHING_PLAIN,
    *,
    quarantine: bool = False,
) -> Wanted:
    """Return what a list may touch; requests that cannot be looked at name nothing.

    `plain` says what was found to be plain of just this list, so that it need not be looked at again.
    `quarantine` says that the keys are to be blocked, which opens breaks.
    """
    found = _Found(part, quarantine)
    if found.take_plain(plain) == len(requests):
        return found.wanted()
    for request, key in zip_longest(requests, plain.keys):
        if key is None and refusal(request) is None:
            found.take(request, calendar)
    return found.wanted()


class _Found:
    """What the requests looked at so far name."""

    def __init__(self, part: str, quarantine: bool) -> None:
        self._part = part
        self._quarantine = quarantine
        self._keys: list[Key] = []  # as they came: mostly in their order already, some more than once
        self._reversals: set[Key] = set()
        self._breaks: set[Key] = set()
        self._phones: set[str] = set()
        self._bills: set[str] = set()
        self._numbers: set[str] = set()
        self._suspended: set[str] = set()
        self._days: set[Day] = set()
        self._closes: set[tuple[str, int]] = set()
        self._orders = self._due_through = 0

    def take_plain(self, plain: Plain) -> int:
        """Take over what plain recharges name; return how many there are."""
        keys = [key for key in plain.keys if key is not None]
        self._keys += keys
        self._phones.update(plain.phones)
        self._numbers.update(plain.numbers)
        self._orders += len(keys)
        return len(keys)

    def take(self, request: Request, calendar: Calendar) -> None:
        """Look at one request."""
        if request.kind is Kind.OWED:
            self._phones.add(request.phone)
        elif request.kind is Kind.TOTALS:
            self._days.add(day_of(request))
        elif request.kind is Kind.CLOSE and request.space == EVERY_SPACE:
            self._due_through = max(self._due_through, request.date)
        elif request.kind is Kind.CLOSE:
            self._closes.add((request.space, request.date))
        else:
            self._take_keyed(request, calendar)

    def _take_keyed(self, request: Request, calendar: Calendar) -> None:
        named = named_keys(request, calendar)
        self._keys += named
        if request.kind is Kind.VOID and request.own_serial:
            self._keys += [void_key(key, request.own_serial) for key in named]
        if request.kind in UNDOING_KINDS:
            self._reversals.update(named)
            self._orders += 1
        elif request.kind in MONEY_KINDS:
            self._phones.add(request.phone)
            self._bills.add(request.bill)
            self._numbers.add(request.bank_number)
            self._orders += 1
        if request.kind in BREAK_KINDS or self._quarantine:
            self._breaks.update(seat for key in named for seat in seats(key))
        if request.kind is Kind.BREAK and request.reason in (MANUAL, SAF):  # of a closed date, that is manual
            self._suspended.add(request.bank_number)

    def wanted(self) -> Wanted:
        """Return it all, each in an order of its own."""
        numbers = sorted(self._numbers | self._suspended)
        house = [Name(CLEARING, number, self._part) for number in numbers]
        house += [Name(SUSPENSE, number, self._part) for number in sorted(self._suspended)]
        if self._numbers:
            house += [Name(RECEIVABLE, "", self._part), Name(LATE_FEES, "", self._part)]
        keys = sorted(dict.fromkeys(self._keys))
        spaces, serials = {key[0] for key in keys}, [(key[0], key[2]) for key in keys]
        if len({key[1] for key in keys}) > 1:  # else they are in order, and all different, as the keys are
            serials = sorted(set(serials))
        return Wanted(
            keys=keys,
            reversals=frozenset(self._reversals),
            phones=frozenset(self._phones),
            bills=frozenset(self._bills - {""}),
            house=house,
            orders_max=self._orders,
            days=sorted(self._days),
            serials=serials,
            spaces=sorted(spaces | {space for space, _ in self._closes}),
            closes=sorted(self._closes),
            breaks=frozenset(self._breaks),
            part=self._part,
            due_through=self._due_through,
        )


def named_keys(request: Request, calendar: Calendar) -> list[Key]:
    """Return the keys that a request may mean: of a date of ours, the days beside it too."""
    if not request.date_ours:
        return [request.key]
    beside = calendar.beside(request.date)
    return [request.key, *(request.key._replace(date=date) for date in beside)]
