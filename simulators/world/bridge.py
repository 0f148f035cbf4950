"""The bridge in the simulated world: its real core, settling and gateway over the model database.  Pure.

A writer's thread is a generator here (`crm_bridge.steps`): where a thread would wait for the database, or
sleep, the world goes on, and other bridges' transactions, deaths and every fault come in between.
"""

from collections import deque
from collections.abc import Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING, Any

from crm_bridge.bridge import Batch, Bridge, Done, Work
from crm_bridge.closer import Closer
from crm_bridge.gateway_errors import RetryableError, Trouble
from crm_bridge.gateway_steps import SteppedGateway, rules_of
from crm_bridge.settling import Settling
from crm_bridge.steps import Steps
from crm_bridge.watch import Standing, Watch
from qianzhi.domain.requests import MONEY_KINDS, Request
from qianzhi.ledger.invariant import InvariantError
from qianzhi.link.events import LinkEvent, deliver
from qianzhi.runtime.effects import Close, Record, Send
from qianzhi.runtime.now import SECOND_US, Now
from simulators.world.database import ModelDatabase
from simulators.world.database_books import BadRequestError
from simulators.world.disk import Disk
from simulators.world.faults import Fault
from simulators.world.kernel import Kernel, Timer
from simulators.world.link_end import LinkEnd
from simulators.world.network import Network
from simulators.world.observe import Violation
from simulators.world.process import Process, Waker

if TYPE_CHECKING:
    from collections.abc import Callable

    from crm_bridge.settings import CoreSettings  # it reads URLs; its shape alone is used here

TURN_US = 60  # from one thread to another
LOOK_US = 3 * SECOND_US  # between two looks at a database that is well (as `crm_bridge.keeper`)
PROVE_US = 250_000  # between two attempts at one that is not


class BridgeProcess(Process):
    """One bridge."""

    core: Bridge
    link: LinkEnd

    def __init__(
        self,
        kernel: Kernel,
        name: str,
        network: Network,
        database: ModelDatabase,
        settings: "CoreSettings",
        zone: tzinfo,
        mono_us: int = 0,
        *,
        disk: Disk | None = None,
    ) -> None:
        """`disk` takes its event files, where there is one."""
        super().__init__(kernel, name, mono_us)
        self.network = network
        self.database = database
        self.settings = settings
        self.zone = zone
        self.house: Callable[[Any, Done], None] = _unheard  # hears what the house asked, by its token
        self.writers: list[ModelWriter] = []
        self._stands_by = False
        self.tear = disk.tear if disk is not None else None
        self.handlers = {
            Record: (lambda effect: disk.append(name, effect.rows)) if disk is not None else _nothing,
            Send: self._send,
            Close: lambda effect: self.link.close(str(effect.to[1]), effect.reason),
        }

    def begin(self) -> None:
        """Open the database, make the writers, listen for nodes."""
        settings = self.settings
        closer = Closer(self.zone, settings.close_minutes)
        self.core = core = Bridge(self.name, settings.writers, settings.queue_max, closer)
        self.link = LinkEnd(self, self.network, core.hello, self._on_link)
        self._stands_by = False
        self._watch = Watch("", self.now.wall_us)
        self._look: Timer | None = None
        self._probe = _Probe(self)
        self.writers = [ModelWriter(self, number) for number in range(settings.writers)]
        Waker(self, "bridge time", lambda: core.deadline, lambda: self.run(core.on_time(self.now)))
        self._attempt()
        self.run(core.drain(not self._watch.standing.ready))
        self.link.listen()

    def ended(self) -> None:
        """Drop its connections; a COMMIT that is on its way may arrive all the same."""
        self.database.died(self)
        self.writers = []
        self.network.died(self)

    def drain(self, draining: bool) -> None:
        """Take nothing new, or take it again."""
        if self.up and not self.frozen:
            self._stands_by = draining
            self._announce()

    def ask_house(self, items: Sequence[tuple[Any, Request]]) -> None:
        """Ask as an operator does; `house` hears the answers."""
        if self.up and not self.frozen:
            self.run(self.core.on_house(list(items), self.now))

    @property
    def standing(self) -> Standing:
        """How it takes the database to be."""
        return self._watch.standing

    # -- what a writer tells

    def settled(self, number: int, batch: Batch) -> None:
        """A batch has come to its end."""
        self._watch.took(batch.seconds, self.become)
        self.run(self.core.on_batch(number, batch, self.now))

    def hurt(self, trouble: Trouble, detail: str) -> None:
        """A batch has met trouble."""
        self._watch.hurt(trouble, detail, self.become)

    def require_clock(self) -> None:
        """Raise RetryableError while its clock is not the database's."""
        self._watch.require_clock()

    def become(self, trouble: Trouble | None, detail: str) -> None:
        """Take note of how the database is; a change is told, and looked at soon."""
        before = self._watch.become(trouble, detail, self.now.wall_us)
        if before is not None:
            self.later(TURN_US, "standing", self._announce)
            self._plan()

    # -- parts

    def _announce(self) -> None:
        ready = self._watch.standing.ready
        for writer in self.writers:
            if ready:
                writer.begin()
        self.run(self.core.drain(self._stands_by or not ready))

    def _attempt(self) -> None:
        self._plan()
        self._watch.attempt(self._probe, self.become)

    def _plan(self) -> None:
        """Look again in time; sooner when it is not well."""
        delay_us = LOOK_US if self._watch.standing.trouble in (None, Trouble.SLOW) else PROVE_US
        self.kernel.cancel(self._look)
        self._look = self.later(delay_us, "keeper", self._attempt)

    def _send(self, effect: Send) -> None:
        to: Any = effect.to
        if to[0] == "writer":
            self.writers[to[1]].give(effect.items)
        elif to[0] == "peer":
            self.link.send(to[1], effect.items)
        else:
            for done in effect.items:
                self.house(to[1], done)

    def _on_link(self, items: list[tuple[str, LinkEvent]]) -> None:
        self.run(deliver(self.core, items, self.now))

    def begin_fault(self, fault: Fault) -> None:
        """A bridge's own faults are the processes'."""

    def end_fault(self, fault: Fault) -> None:
        """A bridge's own faults are the processes'."""


class ModelWriter:
    """One writer's thread: takes what waits, and settles it step by step."""

    def __init__(self, bridge: BridgeProcess, number: int) -> None:
        self._bridge = bridge
        self._number = number
        self._books = bridge.database.books(bridge)
        rules = rules_of(bridge.settings, bridge.zone)
        gateway = SteppedGateway(self._books, rules, f"{bridge.name}/{number}")
        self._settling = Settling(gateway, self)
        self._waiting: deque[Work] = deque()
        self._works: list[Work] = []
        self._steps: Steps[Batch] | None = None
        self._begun = False
        self._called = False  # a turn of the thread is planned

    def begin(self) -> None:
        """The database has been ready once: carry out what waits."""
        self._begun = True
        self._call()

    def give(self, works: Sequence[Work]) -> None:
        """Add work."""
        self._waiting.extend(works)
        self._call()

    def _call(self) -> None:
        if self._begun and self._waiting and self._steps is None and not self._called:
            self._called = True
            self._bridge.later(TURN_US, "writer", self._take)

    def _take(self) -> None:
        self._called = False
        size = min(len(self._waiting), self._bridge.settings.batch_max)
        self._works = works = [self._waiting.popleft() for _ in range(size)]
        requests = [work.request for work in works]
        self._books.originals = frozenset(
            ("serial", one.space, one.serial) for one in requests if one.kind in MONEY_KINDS
        )
        self._steps = self._settling.settle(works)
        self._go_on()

    def _go_on(self) -> None:
        """Let the thread run to its next wait."""
        steps = self._steps
        assert steps is not None  # noqa: S101 - it is called by what this batch waits for
        try:
            step = next(steps)
        except StopIteration as end:
            self._steps = None
            self._settled(end.value)
            return
        self._books.before(step, self._go_on)

    def _settled(self, batch: Batch) -> None:
        bridge = self._bridge
        requests = [work.request for work in self._works]
        replies = [done.reply for done in batch.done]
        for observer in bridge.kernel.observers:
            observer.on_executed(bridge.name, requests, replies)
        bridge.later(TURN_US, "batch", bridge.settled, self._number, batch)
        self._call()

    # -- what stands around the settling (`settling.Circumstances`)

    def now(self) -> Now:
        """Return the time."""
        return self._bridge.now

    def stopping(self) -> bool:
        """A thread of this world ends with its process."""
        return False

    def require(self) -> None:
        """Raise RetryableError while nothing at all may be carried out."""
        self._bridge.require_clock()

    def hurt(self, trouble: Trouble, detail: str) -> None:
        """Tell what stands in the way."""
        self._bridge.hurt(trouble, detail)

    def again(self, reason: str, error: Exception) -> None:
        """A batch is to be executed again."""
        if isinstance(error, RetryableError) and error.trouble is Trouble.CONFLICT:
            self._bridge.kernel.saw("batch-again-after-conflict")
        self._bridge.kernel.tell(self._bridge.name, "again", reason)

    def quarantined(self, work: Work, cause: Exception) -> None:
        """A request fails alone: because the database does not take it, and never for a fault of ours."""
        database, asked = self._bridge.database, work.request
        if isinstance(cause, InvariantError) and database.spoils(asked.space, asked.serial):
            self._bridge.kernel.saw("invariant-stops-request")
        elif not isinstance(cause, BadRequestError):
            raise Violation("rule 16", work.request.key.text, f"{type(cause).__name__}: {cause}")
        self._bridge.kernel.tell(self._bridge.name, "quarantined", work.request.key.text)

    def quarantine_failed(self, work: Work, error: Exception) -> None:
        """One could not even be blocked."""
        self._bridge.kernel.tell(self._bridge.name, "quarantine failed", work.request.key.text)


class _Probe:
    """What an attempt does with the model database."""

    def __init__(self, bridge: BridgeProcess) -> None:
        self._bridge = bridge

    def look(self) -> None:
        self._bridge.database.look(self._bridge)

    def open(self) -> None:
        """Its schema is ours."""

    def prove_room(self) -> None:
        self._bridge.database.prove_room()

    def prove(self) -> None:
        self._bridge.database.prove(self._bridge)


def _nothing(_effect: Any) -> None:
    """There is no disk."""


def _unheard(_token: Any, _done: Done) -> None:
    """Nobody listens."""
