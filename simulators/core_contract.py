"""The remote core's contract as its own side reads it: the models from which docs/openapi/core.json is made.

Shares nothing with the gateway of crm_bridge but the paper: what one side writes the other has to read.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

VERSION = 1
BATCH_MAX = 200
BILLS_MAX = 1_000


def _whole(value: Any) -> Any:
    """Take 5.0 for 5, as JSON Schema does: JSON knows one kind of number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
Text = Annotated[str, Field(max_length=40)]
Name = Annotated[str, Field(min_length=1, max_length=40)]
Fen = Annotated[int, Field(ge=0, le=10**15), WHOLE]
Date = Annotated[int, Field(ge=0, le=99_999_999, description="YYYYMMDD"), WHOLE]
Count = Annotated[int, Field(ge=0)]

ResultName = Literal[
    "approved",
    "nothing_owed",
    "no_such_phone",
    "phone_closed",
    "bad_amount",
    "amount_limit",
    "no_such_bill",
    "bill_changed",
    "bill_paid",
    "over_quota",
    "duplicate_serial",
    "reversed",
    "blocked",
    "not_found",
    "original_refused",
    "amount_differs",
    "bad_date",
    "date_closed",
    "too_old",
    "format",
    "unsupported",
    "quarantined",
]


STRICT = ConfigDict(strict=True)  # numbers are numbers and texts are texts


class Key(BaseModel):
    """What makes a request itself; calls that move money are idempotent under it."""

    model_config = STRICT
    space: Name
    date: Date
    serial: Name


class Terms(BaseModel):
    """What the core promises."""

    model_config = STRICT
    version: int = Field(description="Of the contract.")
    keep_days: int = Field(description="For how many days after its date a key keeps its answer.")
    batch_max: int = Field(description="How many calls a batch may hold; 0: there is no batch call.")


class Credit(BaseModel):
    """Recharge a phone, or pay one quoted bill."""

    model_config = STRICT
    call: Literal["credit"]
    key: Key
    kind: Literal["recharge", "pay"]
    phone: Name
    amount_fen: Fen
    bank: Text
    bank_number: Name
    bill: Text = ""
    received_us: Annotated[int, Field(ge=0, lt=2**62, description="When the bridge first had it."), WHOLE] = 0


class Reversal(BaseModel):
    """Take back what stands under a key; its own key is the original's."""

    model_config = STRICT
    call: Literal["reversal"]
    key: Key
    amount_fen: Fen = Field(default=0, description="The original's, to be compared; 0: not said.")
    phone: Text = Field(default="", description="The original's, to be compared; empty: not said.")
    repeat: bool = Field(default=False, description="This reversal may have been asked before.")


class Query(BaseModel):
    """What became of a key.  Asking settles: a key that was never seen is refused from now on."""

    model_config = STRICT
    call: Literal["query"]
    key: Key


class Owed(BaseModel):
    """What a phone owes, by month."""

    model_config = STRICT
    call: Literal["owed"]
    phone: Name


class Totals(BaseModel):
    """What a bank number's business date comes to."""

    model_config = STRICT
    call: Literal["totals"]
    bank_number: Name
    date: Date


class Batch(BaseModel):
    """Calls that do not touch each other, carried out in their order."""

    model_config = STRICT
    calls: list[Annotated[Credit | Reversal | Query | Owed | Totals, Field(discriminator="call")]] = Field(
        max_length=BATCH_MAX
    )


class Bill(BaseModel):
    """One month's bill, quoted or paid."""

    model_config = STRICT
    serial: str
    month: int = Field(description="YYYYMM")
    principal_fen: int
    late_fee_fen: int


class Answer(BaseModel):
    """The answer to one call; `key` is the call's own where it had one."""

    model_config = STRICT
    call: Literal["credit", "reversal", "query", "owed", "totals"]
    result: ResultName
    key: Key | None = None
    order: str = Field(default="", description="The original's work order, where money moved.")
    amount_fen: int = 0
    balance_fen: int = 0
    bills: list[Bill] = Field(default_factory=list, max_length=BILLS_MAX)
    name: str = ""
    shortage_fen: int = Field(default=0, description="What a reversal found missing in the book.")
    reversal_order: str = ""
    count: Count = 0
    reversed_count: Count = 0
    reversed_fen: int = 0


class Answers(BaseModel):
    """The answers to a batch, in the order of its calls."""

    model_config = STRICT
    answers: list[Answer]


class Refusal(BaseModel):
    """Why nothing was done at all."""

    model_config = STRICT
    detail: str
