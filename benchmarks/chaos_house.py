"""What the house does of itself while the chaos run goes on: orders for which customers' money is asked of a
network, and acts that two operators carry out.  The banks know nothing of either.

An order that got no answer is asked again under its own number, at any node of the group; an act is proposed
and approved again, at any bridge, until it is done: whoever wants something done does not give up.
"""

import itertools
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from chaos_layout import NETWORK

from qianzhi.runtime import clock
from qianzhi.runtime.admin import AdminError, ask

ORDERS_PER_SECOND = 4
ASKERS = 64
ORDER_SECONDS = 8.0  # that an answer is waited for
ORDER_TRIES = 4
PHONES = 100
STRANGER = "13999999999"  # of whom the core knows nothing: what was charged goes back
STRANGERS_PERCENT = 3
ACT_SECONDS = 1.5  # between acts
ANSWER_SECONDS = 12.0
AGAIN_SECONDS = 0.3
END_SECONDS = 90.0  # for what was begun
MAKER, CHECKER = "wang", "li"
PASSWORDS = {MAKER: "lamps behind seven mills", CHECKER: "a quiet boat of tin"}
WAITS = re.compile(r"it waits already: act (\d+)")
DONE = "done"


class Told(NamedTuple):
    """What an asker was told of an order."""

    order: str
    state: str
    key: str
    phone: str
    amount_fen: int


class Charges:
    """Asks the nodes of the network's group for charges, so many a second, until it is stopped."""

    def __init__(self, nodes: list[Path], seed: int) -> None:
        self._nodes = nodes
        self._chance = Random(f"chaos/{seed}/charges")
        self._name = f"chaos-{seed}"
        self._over = threading.Event()
        self._askers = ThreadPoolExecutor(ASKERS)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._lock = threading.Lock()
        self.told: dict[str, Told] = {}
        self.asked = 0
        self.credits: list[float] = []  # when askers were told of one
        self.fresh: list[Told] = []  # credited, and no act has been about it

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Ask for nothing new, and wait for those that are under way."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        self._askers.shutdown()

    def credited_after(self, moment: float) -> float | None:
        """When somebody was told of a credit for the first time after a moment."""
        return next((each for each in self.credits if each > moment), None)

    def take_fresh(self) -> Told | None:
        """Return the oldest credit that no act is about."""
        with self._lock:
            return self.fresh.pop(0) if self.fresh else None

    def _run(self) -> None:
        due = clock.monotonic_seconds()
        for number in itertools.count(1):
            due += 1 / ORDERS_PER_SECOND
            if self._over.wait(max(0.0, due - clock.monotonic_seconds())):
                return
            stranger = self._chance.randrange(100) < STRANGERS_PERCENT
            phone = STRANGER if stranger else f"1380000{self._chance.randrange(PHONES):04d}"
            amount_fen = self._chance.randint(5, 50) * 100
            nodes = [self._chance.choice(self._nodes) for _ in range(ORDER_TRIES)]
            self.asked = number
            self._askers.submit(self._ask, f"{self._name}-{number}", phone, amount_fen, nodes)

    def _ask(self, order: str, phone: str, amount_fen: int, nodes: list[Path]) -> None:
        wanted = {"bank": NETWORK, "phone": phone, "amount_fen": amount_fen, "order": order}
        for node in nodes:
            try:
                said = ask(node, "charge", timeout_seconds=ORDER_SECONDS, **wanted)
            except AdminError:
                self._over.wait(AGAIN_SECONDS)
                continue
            told = Told(order, str(said["state"]), str(said.get("key", "")), phone, amount_fen)
            with self._lock:
                self.told[order] = told
                if told.state == "credited":
                    self.credits.append(clock.monotonic_seconds())
                    self.fresh.append(told)
            return


class Acts:
    """Two operators: they cancel credits, and open and mend breaks, one act after the other."""

    def __init__(self, bridges: list[Path], charges: Charges, number: str, seed: int) -> None:
        """`number` is the bank number under which charges are credited."""
        self._bridges = bridges
        self._charges = charges
        self._number = number
        self._chance = Random(f"chaos/{seed}/acts")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._until = 0.0  # when what is under way is given up, once it is over
        self.done = 0
        self.trouble: list[str] = []

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Propose nothing new, and end what is under way."""
        self._until = clock.monotonic_seconds() + END_SECONDS
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        for number in itertools.count():
            if self._over.wait(ACT_SECONDS):
                return
            charge = self._charges.take_fresh()
            if charge is None:
                continue
            about = {"key": charge.key, "bank": NETWORK, "bank_number": self._number}
            about |= {"amount_fen": charge.amount_fen}
            if number % 2:
                self._carry_out("void", about | {"phone": charge.phone})
                continue
            opened = self._carry_out("break-open", about)
            if opened is not None:
                self._carry_out("break-mend", about | {"stamp_us": opened["made_us"]})

    def _carry_out(self, kind: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
        """Propose an act and approve it until it is done; None where that was given up."""
        what = {"kind": kind, "subject": arguments["key"], "arguments": arguments, "reason": "chaos"}
        number = self._until_told(lambda: self._proposed(what), f"{kind} {arguments['key']} proposed")
        if number is None:
            return None
        act = self._until_told(lambda: self._approved(number), f"act {number} done")
        if act is not None:
            self.done += 1
        return act

    def _proposed(self, what: dict[str, Any]) -> int | None:
        said = self._ask("act_propose", MAKER, **what)
        if "act" in said:
            return int(said["act"]["id"])
        waits = WAITS.search(said.get("refused", ""))  # proposed, and nobody was told
        if waits is None and "refused" in said:
            self.trouble.append(f"{what['kind']} {what['subject']}: {said['refused']}")
        return int(waits[1]) if waits else None

    def _approved(self, number: int) -> dict[str, Any] | None:
        said = self._ask("act_approve", CHECKER, number=number)
        if "refused" in said:
            self.trouble.append(f"act {number}: {said['refused']}")
        act: dict[str, Any] = said.get("act", {})
        return act if act.get("state") == DONE else None

    def _ask(self, command: str, by: str, **arguments: Any) -> dict[str, Any]:
        signed = {"by": by, "password": PASSWORDS[by]}
        with suppress(AdminError):
            return ask(
                self._chance.choice(self._bridges), command, timeout_seconds=ANSWER_SECONDS,
                **signed, **arguments,
            )  # fmt: skip
        return {}

    def _until_told(self, once: Callable[[], Any], what: str) -> Any:
        """Do something until it has a result; None where something is wrong, or it takes too long."""
        wrong = len(self.trouble)
        while (found := once()) is None:
            if len(self.trouble) > wrong:
                return None
            if self._over.is_set() and clock.monotonic_seconds() > self._until:
                self.trouble.append(f"it was not to be had: {what}")
                return None
            clock.sleep(AGAIN_SECONDS)
        return found
