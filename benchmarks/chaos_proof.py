"""What must hold when the chaos run is over; of the money that the house asks for, see `chaos_money`.

the banks' records   for every serial a final state, and the core holds just what the bank says it has paid
the database alone   every approved key has one standing work order of its amount, and none has two
queues               nothing waits in any bank's queue
I9                   no card number and no key of a bank in anything that a daemon or the database wrote
I10                  each daemon's memory, descriptors and threads, and the database's connections, bounded
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from simulators.compare import STANDING, JournalRow
from simulators.customers import Purses
from simulators.record import Debit, Record
from simulators.scenario_file import load_scenario
from simulators.state_file import StateFile

READ_BYTES = 1 << 20
OVERLAP = 128
TEST_KEY = re.compile(r"test:([0-9A-Fa-f]{32,})")
MEMORY_GROWTH_KB_MAX = 120_000
DESCRIPTORS_MAX = 200
CONNECTIONS_MAX = 90

# What must not be, by name; each finds keys or serials.
DATABASE = {
    "a key with two standing work orders": """
        SELECT o.space || '/' || o.business_date || '/' || o.key_serial FROM billing_orders o
        LEFT JOIN billing_orders r ON r.reverses = o.serial WHERE o.reverses IS NULL AND r.serial IS NULL
        GROUP BY o.space, o.business_date, o.key_serial HAVING count(*) > 1""",
    "a work order reversed twice": """
        SELECT reverses FROM billing_orders WHERE reverses IS NOT NULL
        GROUP BY reverses HAVING count(*) > 1""",
    "an approved key without its work order": """
        SELECT j.space || '/' || j.business_date || '/' || j.serial FROM journal j
        LEFT JOIN billing_orders o ON o.serial = j.order_serial AND o.amount_fen = j.amount_fen
        WHERE j.state = {approved} AND j.kind IN ({money}) AND o.serial IS NULL""",
    "a standing work order without an approved key": """
        SELECT o.serial FROM billing_orders o LEFT JOIN billing_orders r ON r.reverses = o.serial
        LEFT JOIN journal j ON j.order_serial = o.serial AND j.state = {approved}
        WHERE o.reverses IS NULL AND r.serial IS NULL AND j.serial IS NULL""",
}


class Judged(NamedTuple):
    """What the banks' records came to, held against the journal: words of each key, and what they have paid
    in all.
    """

    lost: list[str]
    doubled: list[str]
    unanswered: list[str]
    paid_fen: int


def judged(pairs: Iterable[tuple[Record, JournalRow | None]]) -> Judged:
    """Hold every record against its row of the journal, None where there is none."""
    found = Judged([], [], [], 0)
    paid_fen = 0
    for record, row in pairs:
        core_fen = row.amount_fen if row is not None and row.state == STANDING else 0
        paid_fen += record.standing_fen
        if record.outcome is None or record.debit is Debit.UNKNOWN:
            found.unanswered.append(words(record, row))
        elif record.standing_fen > core_fen:
            found.lost.append(words(record, row))
        elif record.standing_fen < core_fen:
            found.doubled.append(words(record, row))
    return found._replace(paid_fen=paid_fen)


def words(record: Record, row: JournalRow | None) -> str:
    """Say what both sides have of a key, without a customer's data."""
    state = record.outcome.value if record.outcome else "not final"
    bank = f"{record.action}: {state}, {record.standing_fen} fen paid, last code {record.code or 'none'}"
    core = f"{row.state}, {row.amount_fen} fen" if row else "no such key"
    return f"{record.key.text}: the bank has {bank}; the core has {core}"


# -- the database alone


class Database(Protocol):
    """Answers statements; `Postgres` does."""

    def psql(self, statement: str, database: str = ...) -> str:
        """Return the rows, `|` between columns."""


def database_faults(server: Database, name: str) -> dict[str, list[str]]:
    """Return what the database's own rows say must not be."""
    from crm_bridge.journal import State
    from qianzhi.domain.requests import Kind

    given = {"approved": int(State.APPROVED), "money": f"{int(Kind.RECHARGE)}, {int(Kind.PAY)}"}
    found = {what: server.psql(sql.format(**given), name).splitlines() for what, sql in DATABASE.items()}
    return {what: rows for what, rows in found.items() if rows}


# -- I9: canaries


class Canaries:
    """Every card number of the banks' customers and every key, in the forms in which they could stand."""

    def __init__(self, config: Path, data: Path, banks: Iterable[str]) -> None:
        """`data` is where the simulated banks keep the working keys that they were given."""
        customers = load_scenario().customers
        cards = [Purses(customers).card(customer) for customer in range(customers.count)]
        self._cards = {card.encode() for card in cards}
        self._cards |= {bytes.fromhex(form) for card in cards for form in (card + "f", "0" + card)}
        self._patterns = [
            re.compile(pattern, re.DOTALL)
            for pattern in (
                # Not what begins in the last digits of a masked one: an amount behind them may make a card.
                rb"(?<!\*)(?<!\*\d)(?<!\*\d\d)(?<!\*\d\d\d)622200000\d{10}",
                re.escape(bytes.fromhex("622200000000")) + b".{4}",
                re.escape(bytes.fromhex("062220000000")) + b".{4}",
            )
        ]
        texts = [path.read_text(encoding="utf-8") for path in sorted((config / "banks").glob("*.toml"))]
        texts.append((config / "site.toml").read_text(encoding="utf-8"))
        masters = {bytes.fromhex(match[1]) for text in texts for match in TEST_KEY.finditer(text)}
        states = [StateFile(data, bank) for bank in banks]
        working = {key for state in states for master in masters if (key := opened(state, master))}
        self.keys = len(masters), len(working)
        self._keys = {
            form: f"a {what} key"
            for what, keys in (("configured", masters), ("working", working))
            for key in keys
            for form in (key, key.hex().encode(), key.hex().upper().encode())
        }

    def leaks(self, files: Iterable[Path]) -> Iterator[str]:
        """Yield every file in which one stands, and what it is, but not its value."""
        for path in files:
            found = next((what for data in pieces(path) if (what := self.found(data))), "")
            if found:
                yield f"{path}: {found}"

    def found(self, data: bytes) -> str:
        """Say what stands in some bytes, empty for nothing."""
        for pattern in self._patterns:
            if any(match.group() in self._cards for match in pattern.finditer(data)):
                return "a card number"
        return next((what for form, what in self._keys.items() if form in data), "")


def opened(state: StateFile, master: bytes) -> bytes | None:
    """Return a bank's working key where this master key opens it."""
    try:
        return state.load_key(master)
    except ValueError:
        return None  # a master key of another algorithm


def pieces(path: Path) -> Iterator[bytes]:
    """Yield a file's content in pieces that overlap, so that nothing is cut in two."""
    try:
        with path.open("rb") as file:
            kept = b""
            while data := file.read(READ_BYTES):
                yield kept + data
                kept = data[-OVERLAP:]
    except OSError:
        return  # taken away meanwhile


def written_files(folders: Iterable[Path]) -> list[Path]:
    """Return every file below some folders."""
    return sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())


# -- I10: bounds


class Use(NamedTuple):
    """What a process uses at a moment."""

    memory_kb: int
    descriptors: int
    threads: int


def use_of(pid: int) -> Use | None:
    """Look at a process; None where it has gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except (OSError, UnicodeDecodeError):
        return None
    numbers = dict(re.findall(r"(?m)^(VmRSS|Threads):\s+(\d+)", status))
    return Use(int(numbers.get("VmRSS", 0)), descriptors, int(numbers.get("Threads", 0)))


def unbounded(first: dict[str, Use], last: dict[str, Use], highest: dict[str, Use]) -> list[str]:
    """Say what has grown over its bound between two looks, or was over it at any."""
    found = []
    for name, use in last.items():
        before = first.get(name, use)
        if use.memory_kb > before.memory_kb + MEMORY_GROWTH_KB_MAX:
            found.append(f"{name}: {before.memory_kb} kB grew to {use.memory_kb} kB")
        if highest[name].descriptors > DESCRIPTORS_MAX:
            found.append(f"{name}: {highest[name].descriptors} descriptors")
        if use.threads > before.threads + 8:
            found.append(f"{name}: {before.threads} threads became {use.threads}")
    return found


def connections(server: Database) -> int:
    """How many connections the database has."""
    return int(server.psql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"))
