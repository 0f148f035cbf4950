"""What banks may be told: every word to a bank held to the journal as it stands at that moment.  Pure.

I3   approved is said only of what is credited, "reversed" only of what is taken back
I5   the answer to one content of a key stays what it was, but for "approved", which becomes "reversed"
I6   whoever hears "not found" hears it of a key that nothing can be credited under any more
I13  an order number is told of one key
r3   approved is answered only to the content that stands under the key
r7   "refused" is said only of what the core has refused, blocked or reversed, or has never heard of
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from crm_bridge.journal import Row, State
from qianzhi.domain.requests import MONEY_KINDS, Key, Reply, Request
from qianzhi.domain.results import EDGE_RESULTS, Result
from simulators.scenario import Step
from simulators.world.banks_deals import Deal, HeardAt
from simulators.world.checks_books import words
from simulators.world.checks_serials import Serials
from simulators.world.observe import Violation

if TYPE_CHECKING:
    from qianzhi.runtime.effects import Event

Find = Callable[[Key, str], Sequence[Row]]

OPEN = frozenset({None, Result.UNKNOWN, Result.IN_PROCESS, Result.BAD_MAC, Result.NOT_SIGNED_ON})
DATES = frozenset({Result.BAD_DATE, Result.DATE_CLOSED, Result.TOO_OLD})
_STANDS = frozenset({State.APPROVED, State.REVERSED})
_ORIGINALS = frozenset({Step.ORIGINAL, Step.REPEAT})
_MONEY = frozenset({"recharge", "pay"})
_TRACES_MAX = 20_000


class Told:
    """Watches the fronts' words; `find(key, bank)` returns the rows that a key may mean, as committed."""

    def __init__(
        self,
        find: Find,
        may_repeat: Mapping[str, frozenset[Result]],
        takes_none: Callable[[Key], bool] = lambda _: False,
        serials: Serials | None = None,
    ) -> None:
        """`may_repeat` gives for each bank the edge results after which a serial may come again;
        `takes_none` says whether a key's date takes no new key in any case.
        """
        self._find = find
        self._takes_none = takes_none
        self._serials = serials or Serials()
        self.damaged = False  # bytes change on the way: what no MAC covers may not be what was said
        self._may_repeat = may_repeat
        self._kinds: dict[str, str] = {}  # by trace
        self._answers: dict[int, tuple[Deal, Result, str]] = {}  # the last final one to each deal's content

    # -- rows of the fronts' event files

    def rows(self, bank: str, rows: Iterable["Event"]) -> None:
        """Take what a front wrote before it spoke."""
        for row in rows:
            if row.name == "in":
                self._kinds[row.trace] = row.data["kind"]
                if len(self._kinds) > _TRACES_MAX:
                    del self._kinds[next(iter(self._kinds))]
            elif row.name in ("out", "shed") and row.key:
                kind = row.data.get("kind") or self._kinds.get(row.trace, "")
                self._said(bank, kind, Key.parse(row.key), Result[row.data["result"].upper()])

    def _said(self, bank: str, kind: str, key: Key, result: Result) -> None:
        if result in OPEN:
            return
        if kind in _MONEY:
            self._said_of_money(bank, key, result)
        elif kind == "reversal":
            if result is Result.APPROVED:
                self._need(
                    bank, key, {State.REVERSED}, "I3", "a reversal is confirmed, and nothing is undone"
                )
            elif result is Result.NOT_FOUND:
                self._tombstone(bank, key, "a reversal")
        elif kind in ("status", "void"):
            self._said_of_state(bank, kind, key, result)

    def _said_of_money(self, bank: str, key: Key, result: Result) -> None:
        if result is Result.APPROVED:
            self._need(bank, key, _STANDS, "I3", "success is told, and nothing is credited")
        elif result is Result.REVERSED:
            self._need(bank, key, {State.REVERSED}, "I5", "reversed is told of what was not")
        elif result is Result.DUPLICATE_SERIAL:
            self._need(bank, key, set(State), "r7", "a serial is called a duplicate, and nobody used it")
        elif result in DATES:
            pass  # the key is checked at the end: nothing may ever stand under it
        elif result in EDGE_RESULTS:
            if result not in self._may_repeat.get(bank, frozenset()) and not self._takes_none(key):
                closed = {State.BLOCKED, State.REFUSED, State.QUARANTINED, State.REVERSED}
                self._need(
                    bank, key, closed, "r7", f"{result.name} is told for good before its key is closed"
                )
        else:
            self._need(
                bank,
                key,
                {State.REFUSED, State.BLOCKED, State.QUARANTINED},
                "r7",
                f"{result.name} is told, and the core has not refused it",
            )

    def _said_of_state(self, bank: str, kind: str, key: Key, result: Result) -> None:
        if kind == "void" and result is Result.APPROVED:
            self._need(
                bank, key, {State.REVERSED}, "I3", "a cancellation is confirmed, and nothing is undone"
            )
        elif result is Result.APPROVED:
            self._need(bank, key, _STANDS, "I3", "success is told, and nothing is credited")
        elif result is Result.REVERSED:
            self._need(bank, key, {State.REVERSED}, "I5", "reversed is told of what was not")
        elif result is Result.NOT_FOUND:
            self._tombstone(bank, key, f"a {kind}")

    def _need(
        self, bank: str, key: Key, states: "set[State] | frozenset[State]", invariant: str, says: str
    ) -> None:
        rows = self._find(key, bank)
        if not any(row.state in states for row in rows):
            raise Violation(invariant, key.text, says, front=bank, journal=_all(rows))

    def _tombstone(self, bank: str, key: Key, what: str) -> None:
        """Hold "not found" to a row that blocks the key; a closed date needs none."""
        rows = self._find(key, bank)
        if any(row.state is State.APPROVED for row in rows) and not any(
            row.state is State.BLOCKED for row in rows
        ):
            says = f"{what} is told that there is nothing, and it stands"
            raise Violation("I3", key.text, says, front=bank, journal=_all(rows))
        if not rows and not self._takes_none(key):
            says = f"{what} is told that there is nothing, and nothing blocks a late original"
            raise Violation("I6", key.text, says, front=bank)

    # -- the core's own words

    def executed(self, request: Request, reply: Reply) -> None:
        """Hold an approval to the content for which it is given: a used serial with other content is none of
        its original's repeats.
        """
        if request.kind not in MONEY_KINDS or reply.result is not Result.APPROVED:
            return
        rows = self._find(request.key, request.bank)
        if not any(row.state in _STANDS and _content(row) == _content(request) for row in rows):
            asked = f"{request.amount_fen} fen for {request.phone} under {request.bank_number}"
            says = "approved is the answer to a content that is not the row's"
            raise Violation("rule 3", request.key.text, says, asked=asked, journal=_all(rows))

    # -- answers as banks read them

    def heard(self, heard: HeardAt) -> None:
        """Hold an answer to those that the same content had before."""
        deal, result = heard.deal, heard.heard.result
        if heard.step not in _ORIGINALS or result in OPEN or result in EDGE_RESULTS or not heard.heard.sure:
            return
        assert result is not None  # noqa: S101 - None is open
        if result is Result.APPROVED and heard.heard.order and not self.damaged:
            order, key = heard.heard.order, deal.record.key.text
            self._serials.used(f"orders told to {heard.bank}", 0, order, f"key {key}")
        before = self._answers.get(id(deal))
        self._answers[id(deal)] = (deal, result, heard.heard.order)
        if before is None:
            return
        _, was, order = before
        if was is result:
            other = "" if self.damaged else heard.heard.order
            if result is Result.APPROVED and order and other and order != other:
                says = f"approved as {order}, then as {heard.heard.order}"
                raise Violation("I5", deal.record.key.text, says, bank=heard.bank)
        elif {was, result} != {Result.APPROVED, Result.REVERSED}:
            says = f"{was.name} became {result.name}"
            raise Violation(
                "I5",
                deal.record.key.text,
                says,
                bank=heard.bank,
                journal=_all(self._find(deal.record.key, "")),
            )


def _content(said: Request | Row) -> tuple[str, int, str, str]:
    return said.phone, said.amount_fen, said.bank_number, said.bill


def _all(rows: Sequence[Row]) -> str:
    return "; ".join(words(row) for row in rows) or "no row"
