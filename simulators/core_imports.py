"""Make-up booking at the simulated remote core: a day-end file of store-and-forward, booked once.

A line is what could not be settled online: a reversal to be carried out, or a credit whose outcome is to be
settled (what stands stays, and else its key is blocked).  Its id is noted once it is booked.  Between the two
a death does no harm: under its key the same line books nothing twice.
"""

import os
from pathlib import Path

from qianzhi.domain.requests import Key as DomainKey
from qianzhi.saf.exported import ExportError, Line, bring_in, read_export
from simulators.core_books import Books
from simulators.core_contract import Answer, Key, Query, Reversal
from simulators.imported import Imported

BOOKED = frozenset({"approved"})  # what a reversal has to come to; a settled key may come to anything


def import_file(books: Books, data: bytes, notes: Path) -> Imported:
    """Book a file's lines; `notes` keeps the ids of all that were.

    Raises ExportError for a file of which nothing may be booked, before anything is.
    """
    read = read_export(data)
    before = set(notes.read_text(encoding="utf-8").split("\n")) if notes.exists() else set()
    new = bring_in(read, before)
    calls = [_call(line) for line in new]
    booked = 0
    refused: list[tuple[str, str]] = []
    with notes.open("a", encoding="utf-8") as file:
        for line, call in zip(new, calls, strict=True):
            (answer,) = books.answer([call])
            if not _is_booked(call, answer):
                refused.append((line.id, answer.result))
                continue
            file.write(f"{line.id}\n")
            file.flush()
            os.fsync(file.fileno())
            booked += 1
    return Imported(booked, len(read.lines) - len(new), refused)


def _call(line: Line) -> Reversal | Query:
    try:
        space, date, serial = DomainKey.parse(line.key)
        key = Key(space=space, date=date, serial=serial)
        if line.kind == "block":
            return Query(call="query", key=key)
        if line.kind == "reversal":
            return Reversal(call="reversal", key=key, amount_fen=line.amount_fen, phone=line.phone)
    except ValueError as error:
        raise ExportError(f"the line {line.id} cannot be booked: {error}") from error
    raise ExportError(f"the line {line.id} is a {line.kind}, which a core does not book")


def _is_booked(call: Reversal | Query, answer: Answer) -> bool:
    return isinstance(call, Query) or answer.result in BOOKED
