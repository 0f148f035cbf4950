"""The interleavings that the money rules exist for, by name: docs/MONEY.md draws each, a test holds each, and
the simulator counts how often each happened.

Data only.  The names are shared by all three, and a test holds them to each other.
"""

from typing import NamedTuple


class Sequence(NamedTuple):
    """One interleaving: the rule that it belongs to, and what happens in it."""

    name: str
    rule: int
    says: str


SEQUENCES = (
    Sequence(
        "same-serial-twice-at-once", 1, "two copies of a request are carried out side by side, by two bridges"
    ),
    Sequence("serial-shared-by-two-numbers", 1, "one serial comes under two bank numbers of one bank"),
    Sequence(
        "repeat-over-midnight", 2, "a repeat without a date of its own comes on the other side of midnight"
    ),
    Sequence("reversal-over-midnight", 2, "a reversal by serial alone comes on the other side of midnight"),
    Sequence("bank-a-day-ahead", 2, "a bank whose business date is tomorrow's is served"),
    Sequence("bank-a-day-behind", 2, "a bank whose business date is yesterday's still is served"),
    Sequence(
        "date-too-far-ahead", 2, "a new key two days ahead is refused, also when it comes again in time"
    ),
    Sequence(
        "cutover-by-notice", 2, "the bank's notice, not midnight, changes the date of what carries none"
    ),
    Sequence("late-original-of-closed-day", 2, "an original comes after its day was closed"),
    Sequence("query-of-closed-day", 2, "a key of a closed day that was never seen is asked about"),
    Sequence("repeat-after-answer", 3, "a repeat comes after the first was answered"),
    Sequence("repeat-in-flight", 3, "a repeat comes while the first is under way, and joins it"),
    Sequence("repeat-after-reversal", 3, "a repeat comes after its original was reversed"),
    Sequence("other-content", 3, "a used serial comes with other content"),
    Sequence("reversal-before-original", 4, "a reversal overtakes its original"),
    Sequence("reversal-during-original", 4, "a reversal comes while its original is under way"),
    Sequence("reversal-after-original", 4, "a reversal comes after its original was credited"),
    Sequence("reversal-repeated", 4, "a reversal comes again"),
    Sequence("reversal-of-refused", 4, "the original of a reversal was refused"),
    Sequence(
        "reversal-of-tombstone", 4, "the original of a reversal was never seen and is asked about before"
    ),
    Sequence("reversal-of-unknown", 4, "the original of a reversal is one whose outcome was told as unknown"),
    Sequence("query-before-original", 4, "a query comes before its original, which comes after all"),
    Sequence("query-in-flight", 4, "a query comes while its original is under way in the front-end"),
    Sequence("query-after-answer", 4, "a query comes after its original was settled"),
    Sequence(
        "budget-spent-waiting", 5, "a credit's time runs out before it is carried out: its key is blocked"
    ),
    Sequence("expired-not-forwarded", 5, "a queue message is past its expiry when it is read"),
    Sequence("resend-to-partner", 6, "a peer dies with a request, and its partner gets it once more"),
    Sequence("unknown-told-then-queried", 6, "a bank hears unknown, or nothing, and asks"),
    Sequence("late-reply-dropped", 7, "the core's answer comes after its request was answered as unknown"),
    Sequence("silence-then-asked", 7, "a dialect without a code for unknown hears nothing, and asks"),
    Sequence("refused-after-block-alone", 7, "a refusal waits for the core's word that the key is blocked"),
    Sequence("busy-then-approved", 8, "a request that was refused as busy comes again and is approved"),
    Sequence(
        "paused-queue-served-later", 8, "a queue is not read while nothing can be taken, and served after"
    ),
    Sequence("queue-refusal-blocks-first", 8, "a refusal on a queue waits until its key is blocked"),
    Sequence("reversal-through-drain", 8, "a reversal or query passes while new money is refused"),
    Sequence("redelivery-after-crash", 9, "a front dies between handling a message and acknowledging it"),
    Sequence("confirm-lost", 9, "the broker has taken a reply and its word of that is lost"),
    Sequence("reply-unroutable", 9, "a reply comes back because its queue is gone"),
    Sequence("poison-backed-out", 9, "a message whose handling fails alone twice is put aside"),
    Sequence("reversal-into-arrears", 10, "a time-out reversal takes back what was spent meanwhile"),
    Sequence("void-of-spent-money", 10, "a clerk's cancellation of spent money is refused"),
    Sequence("fence-too-early", 10, "a day cannot close before its window is over"),
    Sequence("fence-asked-twice", 10, "several ask for one fence, a timer or operators, and it rises once"),
    Sequence("reversal-after-fence", 10, "a reversal comes after its day's fence"),
    Sequence("fence-held-by-break", 10, "a day cannot close while a break of it is open"),
    Sequence(
        "saf-node-dies", 11, "a node dies with entries on their way, and they are delivered all the same"
    ),
    Sequence("saf-not-stored", 11, "an entry cannot be stored, and nothing of it is sent or promised"),
    Sequence(
        "saf-expires", 11, "an entry's time is over: it is manual, a break is open, the day cannot close"
    ),
    Sequence("saf-poisoned", 11, "an entry that cannot be handled is put aside, and those behind it go on"),
    Sequence("saf-signed-off", 11, "a destination is signed off, and its entries wait without being tried"),
    Sequence("saf-repeat-marked", 11, "an entry whose answer was lost is sent again, marked as a repeat"),
    Sequence(
        "charge-timed-out", 12, "a charge is not answered in time, and is reversed by the scheme's rule"
    ),
    Sequence("charge-late-approval", 12, "a charge is approved too late, and is reversed then"),
    Sequence(
        "charge-without-reversal", 12, "a charge of a scheme without reversals is not answered: a break"
    ),
    Sequence(
        "charge-answer-after-death", 12, "a node dies with a charge on its way, and settles it afterwards"
    ),
    Sequence("charge-credit-refused", 12, "a charge was approved and its credit refused: it is refunded"),
    Sequence(
        "batch-again-after-conflict", 13, "a batch that others stand in the way of is carried out again"
    ),
    Sequence("commit-unknown-written", 14, "a COMMIT's answer is lost, and it was written"),
    Sequence("commit-unknown-lost", 14, "a COMMIT's answer is lost, and nothing was written"),
    Sequence("bad-request-alone", 14, "a request that breaks its batch is blocked alone"),
    Sequence("failover-keeps-answers", 15, "the database fails over, and everything answered stands"),
    Sequence("invariant-stops-request", 16, "a request that would break an invariant is stopped alone"),
)
NAMES = tuple(sequence.name for sequence in SEQUENCES)
