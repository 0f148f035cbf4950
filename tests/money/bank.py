"""A bank that says what a script says, in its real dialect: the bank's end of docs/MONEY.md's drawings.

It stands where a simulated bank's `Teller` stands, so that lines, codecs and what is counted are the world's.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from frontends.mapping import Sort
from qianzhi.domain.dates import business_date, shift
from qianzhi.domain.requests import Key, Kind
from qianzhi.domain.results import Result
from qianzhi.runtime.effects import Effects, Send
from qianzhi.runtime.now import SECOND_US, Now
from simulators.codecs import bank_codec
from simulators.line import Incoming, Outgoing
from simulators.plans import make_request
from simulators.record import Ask, Record
from simulators.scenario import Step
from simulators.world.banks import BankActor
from simulators.world.banks_deals import Deal, Sent
from simulators.world.parts import Message


@dataclass(eq=False)
class Said:
    """One message of the bank; `answer` is what it heard, `lost` what was said and did not arrive."""

    out: Outgoing
    line: int
    answer: Result | None = None
    order: str = ""
    lost: Result | None = None


class Serial:
    """One serial of the bank, with its content."""

    def __init__(self, deal: Deal) -> None:
        own = deal.record
        self.deal, self.key = deal, own.key
        self.phone, self.fen, self.bank_number = own.phone, own.amount_fen, own.bank_number


class ScriptedBank:
    """The bank; every message is a `Said`, and waits for nothing unless the script does."""

    def __init__(self, actor: BankActor, site: Any) -> None:
        teller = actor.teller
        actor.teller = self  # type: ignore[assignment]  # it hears what the lines bring
        self.actor = actor
        self.identity, self.lines = teller.identity, teller.lines
        self.sent: dict[bytes, Sent] = {}  # what coverage reads
        self.heard: list[Result | None] = []  # all answers, in their order
        self.answers = 0  # that came, whether or not anybody waited for them
        self._site = site
        self._codec = bank_codec(actor.profile.spec)
        self._waiting: dict[tuple[str, ...], deque[Said]] = {}
        self._serials = 0
        self._tickets = 0
        self._deaf = False

    # -- what it says

    def serial(
        self,
        phone: str = "",
        fen: int = 5_000,
        *,
        like: Serial | None = None,
        number: int = 0,
        days_ahead: int = 0,
    ) -> Serial:
        """Draw a serial for a recharge, or use that of another one with other content."""
        wall_us = self.actor.now.wall_us
        phone = phone or (like.phone if like is not None else self._site.phone())
        if like is not None:
            key = like.key
        else:
            date = shift(business_date(wall_us, self.identity.zone), days_ahead)
            key = Key(self.identity.space, date, self._new_serial(date))
        stamp_us = wall_us + days_ahead * 86_400 * SECOND_US
        numbers = self.identity.numbers
        return Serial(
            Deal(Record(key, Kind.RECHARGE, "script", 0, phone, numbers[number], fen, stamp_us=stamp_us))
        )

    def asks(self, serial: Serial, line: int = 0) -> Said:
        """Ask for the recharge, or again."""
        return self.sends(self.writes(serial, Step.ORIGINAL, line))

    def queries(self, serial: Serial, line: int = 0) -> Said:
        """Ask what became of it."""
        return self.sends(self.writes(serial, Step.STATUS, line))

    def reverses(self, serial: Serial, line: int = 0) -> Said:
        """Take it back."""
        return self.sends(self.writes(serial, Step.REVERSAL, line))

    def writes(self, serial: Serial, step: Step = Step.ORIGINAL, line: int = 0) -> Said:
        """Write a message that is on a slow way: it arrives when it is sent."""
        record, now = serial.deal.record, self.actor.now
        repeat = step is Step.ORIGINAL and record.originals > 0
        record.originals += step is Step.ORIGINAL
        request, stamp_us = make_request(
            self.identity,
            record,
            Step.REPEAT if repeat else step,
            now,
            lambda: self._new_serial(record.key.date),
        )
        self._tickets += 1
        (out,) = self.lines[line].carry([Ask(self._tickets, request, stamp_us, record.stamp_us, "")], now)
        self.sent[out.frame] = Sent(serial.deal, Step.REPEAT if repeat else step)
        return Said(out, line)

    def sends(self, said: Said) -> Said:
        """Put a message on the line."""
        self._awaits(said)
        self.actor.run([Send(("line", said.line), [said.out])])
        return said

    def copy_of(self, said: Said) -> Said:
        """Return a copy of a message that the network still has, bit for bit."""
        return Said(said.out, said.line)

    def publishes(self, said: Said, expires_seconds: int) -> Said:
        """Put a message into the bank's queue, with an expiry of its own."""
        self._awaits(said)
        ticket = b"%d" % said.out.ticket
        expires_us = self.actor.now.wall_us + expires_seconds * SECOND_US
        message = Message(said.out.frame, ticket, f"reply/{self.actor.name}", ticket, expires_us)
        self._site.broker.publish(self.actor, self.actor.profile.name, message, lambda taken: None)
        return said

    def tells_next_date(self, date: int, line: int = 0) -> str:
        """Give notice of cutover: from now on the business date is this one; return the notice's serial."""
        serial, out = self.lines[line].manage("cutover", self.actor.now, date)
        self.actor.run([Send(("line", line), out)])
        return serial

    def code_of_notice(self, serial: str, line: int = 0) -> str:
        """Return the code that answered a notice, empty while nothing did."""
        return self.lines[line].management_code(serial)

    # -- what it hears

    def hears(self, said: Said, seconds: float = 60) -> Result:
        """Let time pass until a message is answered; return the answer."""
        self._site.until(lambda: said.answer is not None, seconds)
        assert said.answer is not None
        return said.answer

    def loses(self, said: Said) -> Result:
        """Let time pass until a message is answered, with nothing of that arriving; return what was said."""
        with self.deaf():
            self._site.until(lambda: said.lost is not None)
        assert said.lost is not None
        return said.lost

    def told(self, said: Said) -> Result:
        """Return the answer that was given already."""
        assert said.answer is not None, "nothing was said yet"
        return said.answer

    @contextmanager
    def deaf(self) -> Iterator[None]:
        """Let no answer arrive as long as the block lasts."""
        self._deaf = True
        yield
        self._deaf = False

    # -- as its lines see it (`Teller`)

    def plan(self, deals: int, span_us: int, now: Now) -> None:
        """Begin nothing by oneself."""

    def on_connected(self, line: int, now: Now) -> Effects:
        """A line stands: begin its session."""
        return _effects(line, self.lines[line].on_connected(now))

    def on_closed(self, line: int, now: Now) -> Effects:
        """A line is gone."""
        self.lines[line].on_closed()
        return []

    def on_frames(self, line: int, items: list[Incoming], now: Now) -> Effects:
        """Take answers; what belongs to the session goes there."""
        _, out = self.lines[line].on_frames(items, now)
        for item in items:
            self._hear(item)
        return _effects(line, out)

    def on_time(self, now: Now) -> Effects:
        """Do what is due in the sessions."""
        effects: Effects = []
        for number, line in enumerate(self.lines):
            if line.deadline is not None and line.deadline <= now.mono_us:
                effects += _effects(number, line.on_time(now))
        return effects

    def take_voids(self) -> list[Deal]:
        """Nothing is cancelled by itself."""
        return []

    def stop(self) -> None:
        """Nothing is begun anyway."""

    @property
    def deadline(self) -> int | None:
        """When a session wants something."""
        return min((at for line in self.lines if (at := line.deadline) is not None), default=None)

    def _hear(self, item: Incoming) -> None:
        message = self._codec.decode(item.frame) if item.frame else None
        mapping = self.actor.profile.mapping
        if message is None or mapping.sort_of(message) is not Sort.ANSWER:
            return
        self.answers += not self._deaf
        waiting = self._waiting.get(mapping.match_key(message))
        if not waiting:
            return
        said, reply = waiting.popleft(), mapping.reply_of(message)
        if self._deaf:
            said.lost = reply.result
        else:
            said.answer, said.order = reply.result, reply.reply.order
            self.heard.append(reply.result)

    def _awaits(self, said: Said) -> None:
        match = self.actor.profile.mapping.match_key(self._codec.decode(said.out.frame))
        self._waiting.setdefault(match, deque()).append(said)

    def _new_serial(self, date: int) -> str:
        self._serials += 1
        return self.lines[0].serial_text(self._serials, date)


def _effects(line: int, out: list[Outgoing]) -> Effects:
    return [Send(("line", line), out)] if out else []
