"""Other layouts of the product, without a yardstick: the embedded parts, on SQLite with one writer."""

import re
from collections.abc import Callable
from typing import Any

from product import Product
from series import Series
from system import Bench

from qianzhi.cli.checks import require
from qianzhi.cli.looking import seed_core

SUBSCRIBERS = 20_000
CORE = """\
[core]
database = "sqlite:///{data}/core.db"
writers = 1
batch_max = 500
day_closes = "23:59"
fence_minutes = 30

"""


class Embedded(Product):
    """The product on SQLite, without any server."""

    def start(self) -> None:
        """Seed the core's file and start the daemons."""
        checked, site = require(self.config)
        seed_core(checked, site, self.subscribers)
        self.start_daemons()

    def servers(self) -> dict[str, int]:
        """There are none."""
        return {}

    def _layout(self, text: str) -> str:
        tables = re.split(r"(?m)^(?=\[)", text)
        kept = (one for one in tables if not one.startswith("[state]"))
        return "".join(CORE if one.startswith("[core]") else one for one in kept)


def embedded(rounds: int, seconds: float) -> dict[str, Any]:
    """The product on its embedded parts: its figures alone."""
    product, series = Embedded(SUBSCRIBERS), Series()
    try:
        product.start()
        bench = Bench(product, rounds, seconds)
        bench.warm(8, 64)
        for _ in range(rounds):
            bench.ask(8, 64, series)
        product.qianzhi("audit-books")
        bench.keep("embedded", {"embedded 8x64": series})
        return bench.results
    finally:
        product.close()


ALONE: dict[str, Callable[[int, float], dict[str, Any]]] = {"embedded": embedded}
