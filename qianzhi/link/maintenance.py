"""Maintenance windows of a site, [[maintenance]]: whose they are, and what may be wrong with them.  Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from qianzhi.link.tables import MaintenanceTable

FORM = "%Y-%m-%dT%H:%M"


class Window(NamedTuple):
    """A time without service, in local times of the site without their zone; the end is outside it."""

    start: datetime
    end: datetime
    reason: str

    def holds(self, local: datetime) -> bool:
        """Tell whether this local time lies inside."""
        return self.start <= local < self.end


def windows_of(tables: Sequence[MaintenanceTable], bank: str) -> tuple[Window, ...]:
    """Return the windows that a bank has, of tables without problems."""
    found = []
    for table in tables:
        start, end = _moment(table.start), _moment(table.end)
        if start is not None and end is not None and (not table.banks or bank in table.banks):
            found.append(Window(start, end, table.reason))
    return tuple(found)


def maintenance_problems(
    tables: Sequence[MaintenanceTable], banks: Sequence[str]
) -> Iterator[tuple[str, str, str]]:
    """Yield (key, found, expected) for times that are none or end before they start, and unknown banks."""
    for index, table in enumerate(tables):
        at = f"maintenance.{index}"
        start, end = _moment(table.start), _moment(table.end)
        for name, moment in (("start", start), ("end", end)):
            if moment is None:
                yield f"{at}.{name}", repr(getattr(table, name)[:40]), "a local time YYYY-MM-DDTHH:MM"
        if start is not None and end is not None and end <= start:
            yield f"{at}.end", repr(table.end), f"a time after {table.start}"
        for name in table.banks:
            if name not in banks:
                yield f"{at}.banks", repr(name), f"one of {', '.join(sorted(banks)) or 'none'}"


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.strptime(text, FORM)
    except ValueError:
        return None
    return moment if f"{moment:{FORM}}" == text else None
