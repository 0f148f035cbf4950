"""The outward direction of a front-end: what the house asks of a bank or network, and what that answers.

    node ─▶ Envelope ─▶ Request ─▶ message ─▶ flight ─▶ the bank's line
                                                │
    node ◀─ Answer ◀─── Reply ◀── answer ◀──────┘  matched by the dialect's match fields, whatever its order

Pure.  What a node sends in an envelope (`to` is the bank's name):

    CHARGE           key of ours in the space of the terms, `serial` with all its digits; `phone`,
                     `amount_fen`; `received_us`: when the intent was made, which its message carries
    CHARGE_REVERSAL  the charge's key, phone and amount; `stamp_us` is the charge's `received_us`;
    CHARGE_REFUND    `own_serial` and `received_us` are the message's own and stay what they are when it
    ADVICE           is sent again, `repeat` is true from the second time on; `reason` is one of REASONS

What it hears:

    OK with a Reply     APPROVED; another result as the bank means it; UNKNOWN: sent, and the outcome is
                        open, and then `name` says which of REASONS a reversal should carry.  A reversal,
                        refund or advice is over with APPROVED, REVERSED, NOT_FOUND or ORIGINAL_REFUSED
    BUSY, DRAINING,     certainly not sent: too much under way, the line closed, no such transaction,
    NO_ROUTE, EXPIRED   no time left

While nothing can be sent, because the bank is signed off, no connection stands or the front is leaving, its
nodes are told by a DrainNotice(True), and by DrainNotice(False) when that is over; so a hop's `healthy` says
whether a destination is open, and its entries wait without being tried.

An answer to a charge that nobody waits for becomes a LATE_ANSWER envelope (`to` the bank number, priority 1):
a Request of that kind under the charge's key, with `phone` and `amount_fen` as the answer has them and the
result's name in small letters in `reason`.  It is offered to the nodes until one answers Reply(APPROVED): "it
is mine and is noted".  NOT_FOUND says that it is another's; after anything else it is offered again later.
"""

from typing import Final

# Why we reverse or refund, as `Request.reason` says it; a profile has a code for each that it can say.
REASONS: Final = ("timeout", "late", "bad_mac", "refused", "house")
