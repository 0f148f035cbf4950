"""The working copy of one batch's accounts: commands change it in order, and it says what is to be written.

Pure: loaded rows in, `Changes` out.  Nothing is read from a database or a clock here.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from qianzhi.ledger.entries import (
    Account,
    Capture,
    Changes,
    Command,
    Delta,
    Ending,
    Expire,
    Forward,
    Leg,
    Outcome,
    Pending,
    Post,
    Reserve,
    Settlement,
    Transfer,
    Void,
)
from qianzhi.ledger.invariant import invariant
from qianzhi.runtime.now import Now

_new = tuple.__new__  # makes a named tuple of all its fields, for half of what calling its class costs
_DONE = Outcome.DONE
AMOUNT_FEN_CAP = 10**15  # sums of such amounts stay far from the 63 bits of a database's integer


def decide(
    accounts: Iterable[Account], pendings: Iterable[Pending], commands: Sequence[Command], now: Now
) -> tuple[list[Outcome], Changes]:
    """Decide a batch in its order; return each command's outcome and all that is to be written.

    `accounts` and `pendings` are those that the commands name, as far as they exist.
    """
    sheet = Sheet(accounts, pendings)
    return [sheet.do(command, now) for command in commands], sheet.changes()


class Sheet:
    """One batch's working copy; thrown away when its batch is decided again."""

    def __init__(self, accounts: Iterable[Account], pendings: Iterable[Pending] = ()) -> None:
        self._accounts = {account.id: account for account in accounts}
        # What was added to balances, and to what is reserved of them.
        self._moved = dict.fromkeys(self._accounts, 0)
        self._set_aside: dict[int, int] = {}
        self._pendings: dict[str, Pending] = {}
        self._settled: set[str] = set()
        for pending in pendings:
            if pending.settled:
                self._settled.add(pending.serial)
            else:
                self._pendings[pending.serial] = pending
        self._changes = Changes()

    def balance_fen(self, account: int) -> int:
        """Return the balance as it stands after what was decided so far."""
        return self._accounts[account].balance_fen + self._moved.get(account, 0)

    def free_fen(self, account: int) -> int:
        """Return how much the balance exceeds what is reserved."""
        one = self._accounts[account]
        reserved = one.reserved_fen + self._set_aside.get(account, 0)
        return one.balance_fen + self._moved.get(account, 0) - reserved

    def free_with(self, account: int, beside: int) -> int | None:
        """Return how much is free of an account and stands beside it; None where beside it is less than
        nothing.
        """
        accounts, moved = self._accounts, self._moved
        balance_beside = accounts[beside][1] + moved[beside]
        if balance_beside < 0:
            return None
        one = accounts[account]
        free = one[1] + moved[account] - one[2] + balance_beside
        return free - self._set_aside.get(account, 0) if self._set_aside else free

    def do(self, command: Command, now: Now) -> Outcome:
        """Carry out one command, wholly or not at all."""
        return _DO[type(command)](self, command, now)

    def post(self, reference: str, legs: Sequence[Leg], now: Now, date: int = 0) -> Outcome:
        """Make all transfers of `legs` or none; only where they end counts against the accounts' floors.

        `date` is their accounting date, 0 of what never leaves the books.
        """
        refusal = self._refusal(legs)
        if refusal is not Outcome.DONE:
            return refusal
        moved, transfers, posted_us = self._moved, self._changes.transfers, now.wall_us
        for debit, credit, amount_fen, code in legs:
            moved[debit] = moved.get(debit, 0) - amount_fen
            moved[credit] = moved.get(credit, 0) + amount_fen
            transfers.append(Transfer(reference, code, debit, credit, amount_fen, posted_us, None, date))
        return Outcome.DONE

    def post_one(
        self, reference: str, debit: int, credit: int, amount_fen: int, code: int, posted_us: int, date: int
    ) -> Outcome:
        """Make one transfer, as `post` makes a list of one leg."""
        accounts, moved = self._accounts, self._moved
        if not 0 < amount_fen <= AMOUNT_FEN_CAP or debit == credit:
            return Outcome.BAD_AMOUNT
        if debit not in accounts or credit not in accounts:
            return Outcome.NO_ACCOUNT
        if accounts[debit][3] is not None and self._sinks(debit, -amount_fen):
            return Outcome.BELOW_FLOOR
        moved[debit] -= amount_fen
        moved[credit] += amount_fen
        transfer = (reference, code, debit, credit, amount_fen, posted_us, None, date)
        self._changes.transfers.append(_new(Transfer, transfer))
        return _DONE

    def changes(self) -> Changes:
        """Return all that is to be written; the deltas sum to zero, because every transfer balances."""
        moved, set_aside = self._moved, self._set_aside
        invariant(sum(moved.values()) == 0, "a batch's balances must sum to zero")
        if not set_aside:
            self._changes.deltas = {account: _new(Delta, (fen, 0)) for account, fen in moved.items() if fen}
            return self._changes
        deltas = {account: Delta(fen, set_aside.get(account, 0)) for account, fen in moved.items()}
        for account in set_aside.keys() - moved.keys():
            deltas[account] = Delta(0, set_aside[account])
        self._changes.deltas = {account: delta for account, delta in deltas.items() if any(delta)}
        return self._changes

    def _refusal(self, legs: Sequence[Leg]) -> Outcome:
        for debit, credit, amount_fen, _ in legs:
            if not 0 < amount_fen <= AMOUNT_FEN_CAP or debit == credit:
                return Outcome.BAD_AMOUNT
        accounts = self._accounts
        moved: dict[int, int] = {}
        for debit, credit, amount_fen, _ in legs:
            if debit not in accounts or credit not in accounts:
                return Outcome.NO_ACCOUNT
            moved[debit] = moved.get(debit, 0) - amount_fen
            moved[credit] = moved.get(credit, 0) + amount_fen
        for account, fen in moved.items():
            if fen < 0 and self._sinks(account, fen):
                return Outcome.BELOW_FLOOR
        return Outcome.DONE

    def _sinks(self, account: int, fen: int) -> bool:
        floor = self._accounts[account].floor_fen
        return floor is not None and self.free_fen(account) + fen < floor

    def _transfer(self, reference: str, leg: Leg, now: Now, pending: str | None = None) -> None:
        self._moved[leg.debit] = self._moved.get(leg.debit, 0) - leg.amount_fen
        self._moved[leg.credit] = self._moved.get(leg.credit, 0) + leg.amount_fen
        self._changes.transfers.append(
            Transfer(reference, leg.code, leg.debit, leg.credit, leg.amount_fen, now.wall_us, pending)
        )

    def _reserve(self, command: Reserve, now: Now) -> Outcome:
        if command.serial in self._pendings or command.serial in self._settled:
            return Outcome.EXISTS
        refusal = self._refusal([command.leg])
        if refusal is not Outcome.DONE:
            return refusal
        pending = Pending(command.serial, *command.leg, now.wall_us, command.expires_us)
        self._pendings[command.serial] = pending
        self._changes.pendings.append(pending)
        self._set_apart(pending.debit, pending.amount_fen)
        return Outcome.DONE

    def _forward(self, command: Forward, now: Now) -> Outcome:
        pending = self._pendings.get(command.serial)
        if pending is None:
            return self._missing(command.serial)
        if not pending.forwarded:
            self._pendings[command.serial] = pending._replace(forwarded=True)
            self._changes.forwards.append((command.serial, now.wall_us))
        return Outcome.DONE

    def _capture(self, command: Capture, now: Now) -> Outcome:
        pending = self._pendings.get(command.serial)
        if pending is None:
            return self._missing(command.serial)
        amount = pending.amount_fen if command.amount_fen is None else command.amount_fen
        if not 0 < amount <= pending.amount_fen:
            return Outcome.BAD_AMOUNT
        self._settle(pending, Ending.POSTED, amount, now)
        leg = Leg(pending.debit, pending.credit, amount, pending.code)
        self._transfer(command.reference, leg, now, pending.serial)
        return Outcome.DONE

    def _void(self, command: Void, now: Now) -> Outcome:
        pending = self._pendings.get(command.serial)
        if pending is None:
            return self._missing(command.serial)
        self._settle(pending, Ending.VOIDED, 0, now)
        return Outcome.DONE

    def _expire(self, command: Expire, now: Now) -> Outcome:
        pending = self._pendings.get(command.serial)
        if pending is None:
            return self._missing(command.serial)
        if pending.forwarded:
            return Outcome.FORWARDED
        if not pending.expires_us or now.wall_us < pending.expires_us:
            return Outcome.NOT_DUE
        self._settle(pending, Ending.EXPIRED, 0, now)
        return Outcome.DONE

    def _missing(self, serial: str) -> Outcome:
        return Outcome.SETTLED if serial in self._settled else Outcome.NO_PENDING

    def _settle(self, pending: Pending, ending: Ending, amount_fen: int, now: Now) -> None:
        del self._pendings[pending.serial]
        self._settled.add(pending.serial)
        self._set_apart(pending.debit, -pending.amount_fen)
        self._changes.settlements.append(Settlement(pending.serial, ending, amount_fen, now.wall_us))

    def _set_apart(self, account: int, reserved_fen: int) -> None:
        self._set_aside[account] = self._set_aside.get(account, 0) + reserved_fen


def _post(sheet: Sheet, command: Post, now: Now) -> Outcome:
    return sheet.post(command.reference, command.legs, now)


_DO: dict[type, Callable[[Sheet, Any, Now], Outcome]] = {
    Post: _post,
    Reserve: Sheet._reserve,
    Forward: Sheet._forward,
    Capture: Sheet._capture,
    Void: Sheet._void,
    Expire: Sheet._expire,
}
