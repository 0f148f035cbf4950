"""How a simulated bank fills in its requests, and which message it sends next when an answer settles nothing.

Decisions only: `bank` acts on them.
"""

from collections.abc import Callable
from datetime import tzinfo
from typing import NamedTuple

from qianzhi.domain.requests import Bill, Key, Kind, Request
from qianzhi.runtime.now import Now
from simulators.record import Outcome, Record, Verdict
from simulators.scenario import ACTIONS, Chance, Scenario, Settle, Step, choose


class Identity(NamedTuple):
    """Who the bank is: its profile's name, serial space, bank numbers and the zone of its business dates."""

    bank: str
    space: str
    numbers: tuple[str, ...]
    zone: tzinfo


def new_record(
    identity: Identity, scenario: Scenario, chance: Chance, action: str, key: Key, now: Now
) -> Record:
    """Draw a customer and an amount for one action."""
    people = scenario.customers
    customer = chance.randrange(0, people.count)
    amount_yuan = people.amounts_yuan[chance.randrange(0, len(people.amounts_yuan))]
    phone = f"{people.phone_first + customer:011d}"
    if action == "unknown_phone":
        phone = people.unknown_phone
    elif action == "closed_phone":
        phone = people.closed_phones[chance.randrange(0, len(people.closed_phones))]
    elif action == "zero_amount":
        amount_yuan = 0
    elif action == "absurd_amount":
        amount_yuan = people.absurd_yuan
    kind = {"owed": Kind.OWED, "pay": Kind.PAY, "pay_changed": Kind.PAY}.get(action, Kind.RECHARGE)
    return Record(
        key=key,
        kind=kind,
        action=action,
        customer=customer,
        phone=phone,
        bank_number=identity.numbers[chance.randrange(0, len(identity.numbers))],
        amount_fen=amount_yuan * 100,
        stamp_us=now.wall_us,
        steps=list(ACTIONS[action]),
    )


def make_request(
    identity: Identity, record: Record, step: Step, now: Now, new_serial: Callable[[], str]
) -> tuple[Request, int]:
    """Return the request of one step and the wall time that its message carries.

    Queries have a serial of their own each time; a reversal keeps its serial and time when it is sent again.
    """
    kind, own_serial, stamp_us = record.kind, "", record.stamp_us
    serial, date = record.key.serial, record.key.date
    if step is Step.OWED:
        kind, stamp_us = Kind.OWED, now.wall_us
        serial = serial if record.kind is Kind.OWED else new_serial()
    elif step is Step.STATUS:
        kind, own_serial, stamp_us = Kind.STATUS, new_serial(), now.wall_us
    elif step is Step.REVERSAL:
        if not record.reversal_serial:
            record.reversal_serial, record.reversal_us = new_serial(), now.wall_us
        kind, own_serial, stamp_us = Kind.REVERSAL, record.reversal_serial, record.reversal_us
    request = Request(
        kind=kind,
        space=identity.space,
        date=date,
        serial=serial,
        bank=identity.bank,
        bank_number=record.bank_number,
        phone=record.phone,
        amount_fen=record.amount_fen + (100 if step is Step.OTHER else 0),
        bill=record.bill,
        repeat=step is Step.REPEAT or record.originals > 1,
        own_serial=own_serial,
    )
    return request, stamp_us


def take_bill(record: Record, bills: tuple[Bill, ...]) -> None:
    """Take the oldest bill of an owed answer for the payment that follows, if there is one."""
    if record.kind is not Kind.PAY:
        return
    if not bills:
        record.kind = Kind.OWED
        del record.steps[1:]
        return
    bill = min(bills, key=lambda bill: bill.month)
    record.bill = bill.serial
    record.amount_fen = bill.total_fen + (100 if record.action == "pay_changed" else 0)


def settling_step(record: Record, step: Step, verdict: Verdict, settle: Settle, chance: Chance) -> Step:
    """Return what to send after an answer, or a silence, that settles nothing.

    Once a reversal went out the original is not sent again; a serial whose state is known is only asked
    about.
    """
    if verdict is Verdict.QUERY:
        return Step.STATUS
    if verdict is Verdict.AGAIN or step not in (Step.ORIGINAL, Step.REPEAT):
        return step
    if record.reversing:
        return Step.REVERSAL
    if record.outcome in (Outcome.APPROVED, Outcome.REVERSED):
        return Step.REPEAT
    parts = {"repeat": settle.repeat, "status": settle.status, "reversal": settle.reversal}
    return Step(choose(parts, chance))
