"""What a request by hand asks for, and what came of it: plain data between `send` and the command."""

from dataclasses import dataclass, field
from typing import Any

from qianzhi.domain.requests import Bill
from qianzhi.domain.results import Result
from qianzhi.wire.codec import FieldView
from simulators.sums import Sums


class SendError(Exception):
    """The request could not be made, or (`unknown`) its outcome is not known; the text is for people."""

    def __init__(self, text: str, *, unknown: bool = False, key: str = "") -> None:
        super().__init__(text)
        self.unknown = unknown
        self.key = key


@dataclass(frozen=True)
class Order:
    """What to ask for: `serial` empty takes the bank's next one; `date` 0 is today.

    Of a status query and a reversal, serial and date are the original's.  `bill` empty pays the oldest bill.
    Totals are those that this bank has counted itself, nothing where it does not know the whole day.
    """

    action: str
    phone: str = ""
    amount_fen: int = 0
    serial: str = ""
    date: int = 0
    bill: str = ""
    number: str = ""
    repeat: bool = False


@dataclass(frozen=True)
class SendResult:
    """One request and its answer; `key` is empty for messages about the line, `rows` are masked."""

    bank: str
    action: str
    key: str
    code: str
    result: Result | None
    meaning: str
    order: str
    bills: tuple[Bill, ...]
    elapsed_us: int
    amount_fen: int  # what was asked, of totals what the bank itself counts
    request_rows: list[FieldView] = field(repr=False)
    reply_rows: list[FieldView] = field(repr=False)
    counted: Sums | None = None  # of totals: what the bank knows of that day itself, None where it does not
    answered: Sums | None = None  # of totals: the journal's

    @property
    def approved(self) -> bool:
        """Whether the answer was yes."""
        return self.result is Result.APPROVED

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for --json."""
        return {
            "bank": self.bank,
            "action": self.action,
            "key": self.key,
            "code": self.code,
            "result": self.result.name.lower() if self.result is not None else None,
            "meaning": self.meaning,
            "order": self.order,
            "bills": [
                {
                    "serial": b.serial,
                    "month": b.month,
                    "principal_fen": b.principal_fen,
                    "late_fee_fen": b.late_fee_fen,
                }
                for b in self.bills
            ],
            "totals": {
                name: sums._asdict()
                for name, sums in (("bank", self.counted), ("journal", self.answered))
                if sums is not None
            },
            "elapsed_us": self.elapsed_us,
            "request": [row._asdict() for row in self.request_rows],
            "reply": [row._asdict() for row in self.reply_rows],
        }
