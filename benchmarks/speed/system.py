"""One run over several scenarios: the product, how fast it was seen to be, and what was found."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bank import Bank
from load import Run, drive
from product import Product
from series import Series, told

SUBSCRIBERS = 100_000
REQUESTS_MIN = 200  # of a run, whatever the rate


def tell(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


class Bench:
    """The product under measurement."""

    def __init__(self, product: Product, rounds: int, seconds: float, bank: Bank | None = None) -> None:
        self.product, self.rounds, self.seconds = product, rounds, seconds
        self.bank = bank or Bank(product)
        self.rates: dict[object, float] = {}  # as seen so far, to size the next run
        self.results: dict[str, Any] = {}
        self.said: dict[str, str] = {}  # of scenarios, for the last line
        self.approved = 0
        self.one_phone = False  # all recharges are of the same one
        self.stamp = f"{int(time.time()) % 1_000_000:06d}"

    def ask(self, connections: int, window: int, series: Series, rate: float = 0.0) -> Run:
        """Drive the first bank once for about `seconds`."""
        address = self.bank.address

        def work(frames: Path, first: int) -> Run:
            how = {"connections": connections, "window": window, "rate": rate, "first_serial": first}
            wait_ms = max(15_000, 6 * connections)  # all of them are taken before the first is answered
            return drive(address, frames, wait_ms=wait_ms, **how)

        return self.measure(self.bank, work, (connections, window), series, rate)

    def measure(
        self,
        bank: Bank,
        work: Callable[[Path, int], Run],
        kind: tuple[object, int],
        series: Series,
        rate: float = 0.0,
    ) -> Run:
        """Let `work` drive fresh frames of a bank once for about `seconds`, and check every answer.

        `kind` names what is driven, to know its rate from the last time; its second part is the number in
        flight for each line.
        """
        expected = rate or self.rates.get(kind, 200.0 if kind == (1, 1) else 1_000.0)
        count = max(REQUESTS_MIN, int(expected * self.seconds))
        frames, first = bank.fresh(count, one_phone=self.one_phone)
        before = self.product.cpu()
        run = work(frames, first)
        spent = self.product.cpu()
        spent.subtract(before)
        if not rate:
            self.rates[kind] = run.rate
        answered = max(1, run.answered)
        series.take(run, {name: round(each / answered * 1e6, 1) for name, each in spent.items()})
        codes = bank.check(run)
        if run.unanswered or codes[bank.approved] != run.answered:
            raise SystemExit(f"{run.unanswered} requests had no answer; codes {dict(codes)}")
        self.approved += run.answered
        return run

    def warm(self, connections: int, window: int) -> None:
        """Run for nobody, so that every later run is of its full length."""
        for _ in range(2):
            self.ask(connections, window, Series())

    def keep(self, name: str, found: dict[str, Series]) -> None:
        """Keep and show what a scenario measured."""
        self.results[name] = {each: series.plain() for each, series in found.items()}
        self.results[name]["memory_mb"] = self.product.memory()
        for each, series in found.items():
            tell(told(each, series))

    def books(self) -> None:
        """Audit the books, and count the journal: what was answered as approved stands there, no more, no
        less.  Raises SystemExit.
        """
        self.product.qianzhi("audit-books")
        spaces = "', '".join([*self.product.banks, "icbc"])
        question = f"SELECT count(*) FROM journal WHERE space IN ('{spaces}')"  # noqa: S608  names of ours
        found = int(self.product.sql(question))
        if found != self.approved:
            raise SystemExit(f"{self.approved} recharges were approved, the journal has {found}")
