"""The table [core] of a site: where the core's database is, how much it takes at once, what it allows.

Data only; the file is read by `runtime.settings`, and what types cannot say is said by `problems`.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

from annotated_types import Ge, Le

from crm_bridge.remote.settings import RemoteTable
from crm_bridge.remote.settings import problems as remote_problems
from qianzhi.billing.bills import Tariff
from qianzhi.billing.orders import ORDER_CHARS
from qianzhi.runtime.problems import Problem
from qianzhi.runtime.table import table
from qianzhi.runtime.urls import database_of, hosts_of, is_postgres, password_of, user_of

_POSTGRES_FORM = "postgresql://USER@HOST:PORT[,HOST:PORT]/DATABASE"
KEEP_DAYS_MIN = 200  # money rule 3


@table
class CoreSettings:
    """The core of one site.

    `kind` says where the money is moved: here, or by the core behind HTTP that `remote` names, with the
    journal alone in `database`.

    `database` is SQLite's file or PostgreSQL's URL, which names no password: those are references.
    `password` is the bridges' own; with `owner_password` the schema is changed (as qianzhi_owner), and with
    `auditor_password` the books are read (as qianzhi_auditor), where these are given.

    `day_closes` is the local time HH:MM of the next day at which a bridge asks for a business date to be
    closed, and at least `fence_minutes` have to lie between the date's end and its close, whoever asks: so
    long a bank's reversals of it are taken.  `late_fee_per_day` counts ten-thousandths of the principal;
    `repeat_hours` is how long a repeat without a date of its own is looked for under the dates beside
    today's.
    """

    database: str
    password: str = ""
    owner_password: str = ""
    auditor_password: str = ""
    writers: Annotated[int, Ge(1), Le(64)] = 1
    batch_max: Annotated[int, Ge(1), Le(2_000)] = 500
    queue_max: Annotated[int, Ge(1), Le(1_000_000)] = 5_000
    day_closes: str = "12:00"
    fence_minutes: Annotated[int, Ge(0), Le(1_440)] = 30
    amount_fen_max: Annotated[int, Ge(1), Le(10**12)] = 5_000_000
    late_fee_per_day: Annotated[int, Ge(0), Le(10_000)] = 5
    late_fee_free_days: Annotated[int, Ge(0), Le(366)] = 0
    bill_due_day: Annotated[int, Ge(1), Le(28)] = 20
    keep_days: Annotated[int, Ge(KEEP_DAYS_MIN), Le(36_500)] = KEEP_DAYS_MIN
    repeat_hours: Annotated[int, Ge(0), Le(48)] = 2
    order_prefix: str = "Q"
    kind: Literal["embedded", "remote"] = "embedded"
    remote: RemoteTable | None = None

    @property
    def tariff(self) -> Tariff:
        """How late fees grow."""
        return Tariff(self.late_fee_per_day, self.late_fee_free_days)

    @property
    def close_minutes(self) -> int:
        """`day_closes` as minutes after midnight; raises ValueError when it is no time."""
        return minutes(self.day_closes)


def minutes(clock: str) -> int:
    """Read HH:MM as minutes after midnight; raises ValueError when it is no time of day."""
    hours, colon, rest = clock.partition(":")
    digits = hours + rest
    if not (colon and len(hours) == 2 and len(rest) == 2 and digits.isascii() and digits.isdigit()):
        raise ValueError("a time of day is written HH:MM")
    if int(hours) > 23 or int(rest) > 59:
        raise ValueError("a time of day lies between 00:00 and 23:59")
    return int(hours) * 60 + int(rest)


def problems(settings: CoreSettings, file: str = "site.toml", at: str = "core") -> list[Problem]:
    """Return everything that is wrong with the settings beyond their types."""
    found = []
    found += [Problem(file, f"{at}.{key}", *said) for key, *said in _database_problems(settings)]
    try:
        minutes(settings.day_closes)
    except ValueError as error:
        found.append(Problem(file, f"{at}.day_closes", repr(settings.day_closes), str(error)))
    else:
        if settings.close_minutes < settings.fence_minutes:
            expected = f"no earlier than fence_minutes ({settings.fence_minutes}) after midnight"
            found.append(Problem(file, f"{at}.day_closes", repr(settings.day_closes), expected))
    prefix = settings.order_prefix
    if len(prefix) > ORDER_CHARS - 9 or not (prefix.isascii() and (prefix.isalnum() or not prefix)):
        expected = f"at most {ORDER_CHARS - 9} ASCII letters or digits"
        found.append(Problem(file, f"{at}.order_prefix", repr(prefix), expected))
    if (settings.kind == "remote") != (settings.remote is not None):
        expected = "a table [core.remote] with kind remote, and none without"
        found.append(Problem(file, f"{at}.kind", repr(settings.kind), expected))
    if settings.remote is not None:
        found += remote_problems(settings.remote, file, f"{at}.remote")
    if settings.queue_max < settings.batch_max:
        found.append(Problem(file, f"{at}.queue_max", str(settings.queue_max), "no less than batch_max"))
    return found


def _database_problems(settings: CoreSettings) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with where the database is, as (key, found, expected)."""
    url = settings.database
    if is_postgres(url):
        if password_of(url):
            yield "database", "a password in a URL", "its reference under `password`"
        if not database_of(url) or not hosts_of(url) or not user_of(url):
            yield "database", "a URL that leaves something out", _POSTGRES_FORM
        ports = [host.rpartition(":")[2] for host in hosts_of(url) if ":" in host.rpartition("]")[2]]
        for port in ports:
            if not (port.isascii() and port.isdigit() and 0 < int(port) <= 65_535):
                yield "database", f"the port {port[:40]!r}", "a number from 1 to 65535"
        return
    if not url.startswith("sqlite:///"):
        yield "database", url.partition(":")[0] + ":…", f"sqlite:/// and a path, or {_POSTGRES_FORM}"
        return
    if settings.writers != 1:
        yield "writers", str(settings.writers), "1, because SQLite has one writer"
    for key in ("password", "owner_password", "auditor_password"):
        if getattr(settings, key):
            yield key, "a reference", "nothing, because SQLite knows no passwords"
