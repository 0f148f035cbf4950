"""How simulated banks differ: what they do all day, and what they do when they hear nothing that settles.

Data only.  An action is a script of moves about one serial; a habit says how often each action is begun and
how a serial is settled whose outcome the bank does not know.  Shares are whole parts.
"""

from typing import NamedTuple

from simulators.scenario import Step

MS = 1_000


class Move(NamedTuple):
    """One message of a script; it goes out once the serial is settled as far as the bank has asked.

    With `beside` it goes out `from_us` to `to_us` after the move before it, or after the serial was drawn,
    whatever was answered.  `other` sends it by another line of the bank than the move before it, where the
    bank has two.
    """

    step: Step
    beside: bool = False
    from_us: int = 0
    to_us: int = 1
    other: bool = False


class Habit(NamedTuple):
    """One bank's ways.

    `actions` maps names of ACTIONS to parts.  `repeat`, `status` and `reversal` are the parts of what is done
    when nothing settles a serial.  `reply_us` is the patience with one message.
    """

    name: str
    actions: dict[str, int]
    repeat: int = 4
    status: int = 3
    reversal: int = 3
    reply_us: int = 6_000 * MS
    days_ahead: int = 0  # of the bank's business date
    shares_serials: bool = False  # two of its bank numbers draw serials from one roll, and meet
    reverses_found: bool = False  # it told its customer "failed", so an approval found late is reversed
    refunds_not_found: bool = False  # it gives the money back at "not found" and looks no further
    voids: int = 60  # so many in a thousand approved serials are cancelled by a clerk afterwards

    @property
    def settling(self) -> dict[str, int]:
        """What is done about an unknown outcome, by parts."""
        return {"repeat": self.repeat, "status": self.status, "reversal": self.reversal}


ORIGINAL, REPEAT, STATUS = Move(Step.ORIGINAL), Move(Step.REPEAT), Move(Step.STATUS)
REVERSAL, OTHER, OWED = Move(Step.REVERSAL), Move(Step.OTHER), Move(Step.OWED)


def beside(step: Step, from_us: int, to_us: int, *, other: bool = False) -> Move:
    """Return a move that does not wait for what was answered before."""
    return Move(step, True, from_us, to_us, other)


ACTIONS: dict[str, tuple[Move, ...]] = {
    "owed": (OWED,),
    "recharge": (ORIGINAL,),
    "pay": (OWED, ORIGINAL),
    "pay_changed": (OWED, ORIGINAL),
    "unknown_phone": (ORIGINAL,),
    "closed_phone": (ORIGINAL,),
    "zero_amount": (ORIGINAL,),
    "absurd_amount": (ORIGINAL,),
    "repeat": (ORIGINAL, REPEAT),
    "repeat_later": (ORIGINAL, beside(Step.REPEAT, 20_000 * MS, 90_000 * MS)),
    "repeat_at_once": (ORIGINAL, beside(Step.REPEAT, 0, 3 * MS)),
    "twice_by_two_lines": (ORIGINAL, beside(Step.REPEAT, 0, 1 * MS, other=True)),
    "other_content": (ORIGINAL, OTHER),
    "status": (ORIGINAL, STATUS),
    "status_at_once": (ORIGINAL, beside(Step.STATUS, 0, 5 * MS)),
    "status_first": (STATUS, ORIGINAL),
    "status_overtakes": (STATUS, beside(Step.ORIGINAL, 0, 5 * MS)),
    "reversal": (ORIGINAL, REVERSAL),
    "reversal_later": (ORIGINAL, beside(Step.REVERSAL, 20_000 * MS, 120_000 * MS)),
    "reversal_at_once": (ORIGINAL, beside(Step.REVERSAL, 0, 8 * MS)),
    "reversal_overtakes": (REVERSAL, beside(Step.ORIGINAL, 0, 5 * MS)),
    "reversal_lone": (REVERSAL,),
    "reversal_of_asked": (STATUS, REVERSAL),
    "reversal_twice": (ORIGINAL, REVERSAL, REVERSAL),
    "reversal_of_refused": (ORIGINAL, REVERSAL),
    "reversal_then_repeat": (ORIGINAL, REVERSAL, REPEAT),
    "reversal_beside_repeat": (ORIGINAL, REVERSAL, beside(Step.REPEAT, 0, 10 * MS)),
    "original_late": (beside(Step.ORIGINAL, 60_000 * MS, 150_000 * MS),),
    "status_late": (beside(Step.STATUS, 60_000 * MS, 150_000 * MS),),
    "two_days_ahead": (ORIGINAL, beside(Step.REPEAT, 60_000 * MS, 200_000 * MS)),
    "shared": (ORIGINAL,),
}

_PLAIN = {
    "recharge": 40,
    "pay": 8,
    "owed": 2,
    "unknown_phone": 1,
    "closed_phone": 1,
    "zero_amount": 1,
    "absurd_amount": 1,
}
_PLAIN |= {"pay_changed": 1, "repeat": 3, "repeat_at_once": 2, "other_content": 1, "status": 2}
_PLAIN |= {"status_at_once": 2, "twice_by_two_lines": 2, "repeat_later": 2, "original_late": 1}
_ASKS = {"status_first": 1, "status_overtakes": 2, "status_late": 3}
_REVERSES = {"reversal": 4, "reversal_at_once": 3, "reversal_overtakes": 2, "reversal_lone": 1}
_REVERSES |= {"reversal_twice": 1, "reversal_of_refused": 1, "reversal_of_asked": 1, "reversal_later": 2}

CAREFUL = Habit("careful", _PLAIN | _ASKS | _REVERSES)
NEVER_REVERSES = Habit("never_reverses", _PLAIN | _ASKS, reversal=0)
REFUNDS_NOT_FOUND = Habit(
    "refunds_not_found",
    _PLAIN | {"status_overtakes": 6, "status_first": 2},
    repeat=0,
    reversal=0,
    reply_us=2_500 * MS,
    refunds_not_found=True,
)
RESENDS = Habit(
    "resends_serial",
    _PLAIN | {"repeat": 10, "repeat_at_once": 8, "twice_by_two_lines": 8, "repeat_later": 4},
    repeat=10,
    status=0,
    reversal=0,
    reply_us=2_000 * MS,
)
RESENDS_REVERSED = Habit(
    "resends_after_reversal",
    _PLAIN | _REVERSES | {"reversal_then_repeat": 8, "reversal_beside_repeat": 4},
    repeat=1,
    status=1,
    reversal=8,
)
SHARES_SERIALS = Habit(
    "shares_serials", _PLAIN | {"shared": 15, "repeat": 6}, status=0, reversal=0, shares_serials=True
)
QUERIES_FIRST = Habit(
    "queries_before_reversing",
    _PLAIN | _REVERSES,
    repeat=0,
    status=1,
    reversal=0,
    reply_us=3_000 * MS,
    reverses_found=True,
)
DAY_AHEAD = Habit("day_ahead", _PLAIN | _ASKS | _REVERSES | {"two_days_ahead": 10}, days_ahead=1)

HABITS = (
    CAREFUL,
    NEVER_REVERSES,
    REFUNDS_NOT_FOUND,
    RESENDS,
    RESENDS_REVERSED,
    SHARES_SERIALS,
    QUERIES_FIRST,
    DAY_AHEAD,
)
BY_NAME = {habit.name: habit for habit in HABITS}


def without_dates(habit: Habit) -> Habit:
    """Return a habit as a bank has it whose messages carry no date.

    For it a serial means nothing on the other side of midnight: what comes with other content then is another
    request, so nothing rests on "duplicate serial", and no date can be ahead.
    """
    left_out = ("other_content", "shared", "two_days_ahead")
    actions = {name: part for name, part in habit.actions.items() if name not in left_out}
    return habit._replace(actions=actions, days_ahead=0, shares_serials=False)


def combined(names: tuple[str, ...]) -> Habit:
    """Return one habit made of several: whatever one of them does is done; careful without any."""
    found = [BY_NAME[name] for name in names] or [CAREFUL]
    actions: dict[str, int] = {}
    for habit in found:
        for action, part in habit.actions.items():
            actions[action] = actions.get(action, 0) + part
    return Habit(
        "+".join(habit.name for habit in found),
        actions,
        repeat=sum(habit.repeat for habit in found),
        status=sum(habit.status for habit in found),
        reversal=sum(habit.reversal for habit in found),
        reply_us=min(habit.reply_us for habit in found),
        days_ahead=max(habit.days_ahead for habit in found),
        shares_serials=any(habit.shares_serials for habit in found),
        reverses_found=any(habit.reverses_found for habit in found),
        refunds_not_found=any(habit.refunds_not_found for habit in found),
        voids=max(habit.voids for habit in found),
    )
