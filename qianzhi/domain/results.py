"""Every way in which a request can end, as one closed list.

`UNKNOWN` is a value of its own and never a kind of failure: nothing may be concluded from it.
"""

from enum import IntEnum


class Result(IntEnum):
    """What the asker is told; the numbers travel on link and stand in the journal, so they never change."""

    APPROVED = 0
    UNKNOWN = 1  # no answer from further in: the money may or may not have moved
    IN_PROCESS = 2  # the original is still under way; ask again

    # Business refusals, final for this key: a repeat gets the same answer.
    NOTHING_OWED = 10
    NO_SUCH_PHONE = 11
    PHONE_CLOSED = 12
    BAD_AMOUNT = 13  # zero, negative, or not a number
    AMOUNT_LIMIT = 14  # above what the bank or the core allows
    NO_SUCH_BILL = 15
    BILL_CHANGED = 16  # what is owed differs from the amount quoted
    BILL_PAID = 17
    OVER_QUOTA = 18

    # About keys, originals and dates.
    DUPLICATE_SERIAL = 30  # the same key with other content
    REVERSED = 31  # the original was approved and has been reversed
    BLOCKED = 32  # the key was blocked before this original came
    NOT_FOUND = 33  # no original under this key; the key is blocked from now on
    ORIGINAL_REFUSED = 34  # the original was refused, so nothing stands to be reversed
    AMOUNT_DIFFERS = 35  # a reversal whose amount is not its original's
    BAD_DATE = 36  # a new key more than one day from today
    DATE_CLOSED = 37  # the business date is closed
    TOO_OLD = 38  # the key is older than keys are kept

    TOTALS_DIFFER = 40  # the journal's totals are not those that were sent; the answer says what they are

    SPENT = 41  # what was credited has been spent: a cancellation needs it unspent
    BREAK_OPEN = 42  # the day cannot be closed while this much of it is open
    TOO_EARLY = 43  # the day cannot be closed yet

    # Refused at the edge, before anything was forwarded.
    FORMAT = 50
    BAD_MAC = 51
    NOT_SIGNED_ON = 52
    UNSUPPORTED = 53
    NO_ROUTE = 54
    BUSY = 55
    UNAVAILABLE = 56
    CLOSED_HOURS = 57

    # The core's own trouble with this one request: its key is blocked.
    QUARANTINED = 70


EDGE_RESULTS = frozenset(range(50, 60))
HOUSE_RESULTS = frozenset({Result.BREAK_OPEN, Result.TOO_EARLY})  # said to ourselves, never to a bank
