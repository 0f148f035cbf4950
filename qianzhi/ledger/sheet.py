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
        self._deltas: dict[int, Delta] = {}
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
        return self._accounts[account].balance_fen + self._delta(account).balance_fen

    def free_fen(self, account: int) -> int:
        """Return how much the balance exceeds what is reserved."""
        reserved = self._accounts[account].reserved_fen + self._delta(account).reserved_fen
        return self.balance_fen(account) - reserved

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
        for leg in legs:
            self._transfer(reference, leg, now, date=date)
        return Outcome.DONE

    def changes(self) -> Changes:
        """Return all that is to be written; the deltas sum to zero, because every transfer balances."""
        moved = {account: delta for account, delta in self._deltas.items() if delta != Delta()}
        invariant(
            sum(delta.balance_fen for delta in moved.values()) == 0, "a batch's balances must sum to zero"
        )
        self._changes.deltas = moved
        return self._changes

    def _refusal(self, legs: Sequence[Leg]) -> Outcome:
        if any(not 0 < leg.amount_fen <= AMOUNT_FEN_CAP or leg.debit == leg.credit for leg in legs):
            return Outcome.BAD_AMOUNT
        moved: dict[int, int] = {}
        for leg in legs:
            if leg.debit not in self._accounts or leg.credit not in self._accounts:
                return Outcome.NO_ACCOUNT
            moved[leg.debit] = moved.get(leg.debit, 0) - leg.amount_fen
            moved[leg.credit] = moved.get(leg.credit, 0) + leg.amount_fen
        if any(self._sinks(account, fen) for account, fen in moved.items()):
            return Outcome.BELOW_FLOOR
        return Outcome.DONE

    def _sinks(self, account: int, fen: int) -> bool:
        floor = self._accounts[account].floor_fen
        return floor is not None and fen < 0 and self.free_fen(account) + fen < floor

    def _transfer(
        self, reference: str, leg: Leg, now: Now, pending: str | None = None, date: int = 0
    ) -> None:
        self._move(leg.debit, -leg.amount_fen)
        self._move(leg.credit, leg.amount_fen)
        self._changes.transfers.append(
            Transfer(reference, leg.code, leg.debit, leg.credit, leg.amount_fen, now.wall_us, pending, date)
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
        self._move(pending.debit, 0, pending.amount_fen)
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
        self._move(pending.debit, 0, -pending.amount_fen)
        self._changes.settlements.append(Settlement(pending.serial, ending, amount_fen, now.wall_us))

    def _delta(self, account: int) -> Delta:
        return self._deltas.get(account, Delta())

    def _move(self, account: int, balance_fen: int, reserved_fen: int = 0) -> None:
        delta = self._delta(account)
        self._deltas[account] = Delta(delta.balance_fen + balance_fen, delta.reserved_fen + reserved_fen)


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
