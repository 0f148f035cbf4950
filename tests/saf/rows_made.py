"""Rows as the cores make them, for several files of tests."""

from typing import Any

from qianzhi.domain.requests import Kind, Request
from qianzhi.saf.rows import Charge, Entry

WALL_US = 1_700_000_000_000_000


def entry(name: str = "e1", **changes: Any) -> Entry:
    """An open reversal."""
    request = Request(
        Kind.CHARGE_REVERSAL,
        "unet-out",
        20231115,
        name,
        "unet",
        "900100",
        "13800000001",
        5_000,
        reason="late",
    )
    given: dict[str, Any] = {
        "id": name,
        "destination": "unet",
        "account": "138",
        "request": request,
        "number": WALL_US,
        "made_us": WALL_US,
        "deadline_us": WALL_US + 1,
    }
    return Entry(**{**given, **changes})


def charge(order: str = "o1", serial: str = "000008", **changes: Any) -> Charge:
    """An intent."""
    given: dict[str, Any] = {
        "order": order,
        "bank": "unet",
        "bank_number": "900100",
        "space": "unet-out",
        "date": 20231115,
        "serial": serial,
        "phone": "13800000001",
        "amount_fen": 5_000,
        "policy": "on_timeout",
        "reverses": True,
        "refunds": True,
        "late_seconds": 300,
        "made_us": WALL_US,
        "until_us": WALL_US + 1,
    }
    return Charge(**{**given, **changes})
