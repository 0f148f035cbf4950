"""What came of a day-end file of store-and-forward at whoever books it; plain data."""

from typing import NamedTuple


class Imported(NamedTuple):
    """Lines booked now, lines that were booked before, and those not to be booked: id and result."""

    booked: int
    known: int
    refused: list[tuple[str, str]]
