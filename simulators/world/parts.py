"""What the parts of a simulated world must answer to, so that each can be made by itself.

Pure; only names and shapes.  The frame: kernel, process, network, link_end, disk, front, node, plan, world.
The bridge process, the database and the broker are built by `bridge.py`, `database.py`, `broker.py`; banks,
checks and coverage by `banks.py`, `checks.py`, `coverage.py`.  `world.World` puts them together like this:

    database = ModelDatabase(kernel, memory)                                    # database.py
    bridge   = BridgeProcess(kernel, name, network, database, settings, zone)   # bridge.py
    broker   = ModelBroker(kernel)                                              # broker.py
    front    = FrontProcess(kernel, name, network, …) or
               QueueFrontProcess(front, broker, …)                              # queue_front.py
    bank     = BankActor(kernel, BankPlan, profile, keys, wires)                # banks.py
    checks   = Checks(world); coverage = Coverage(world)                        # Observers

Processes are named as daemons are: `front-<bank>-1`, `node-1`, `bridge-1`; banks `bank-<bank>`.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from frontends.profile import Profile  # it reads files; its shape alone is used here
    from qianzhi.domain.requests import Key
    from simulators.world.kernel import Kernel
    from simulators.world.process import Process


class Wire(Protocol):
    """One end of a connection of the model network (`network.Conn`)."""

    number: int

    def send(self, data: bytes) -> None:
        """Write bytes of a stream: they arrive whole and in order, in pieces or late, or the wire breaks."""

    def say(self, message: bytes, proved: bool = True) -> None:
        """Write one whole message of a bank's line, its frame header included: it may be lost, come twice,
        late, or, where its dialect has a MAC and so is `proved`, damaged by itself.
        """

    def close(self) -> None:
        """Hang up; the other end hears of it after what was written."""


class WireHandler(Protocol):
    """Hears of a connection; every call is an event of the process that owns the end."""

    def on_open(self, wire: Wire) -> None:
        """The connection stands."""

    def on_data(self, wire: Wire, data: bytes) -> None:
        """Bytes have come."""

    def on_shut(self, wire: Wire | None, reason: str) -> None:
        """The connection is gone, or could not be made (`refused`; then `wire` is None)."""


class Message(NamedTuple):
    """One message at the broker, as a bank sends it or a front answers."""

    body: bytes
    message_id: bytes = b""
    reply_to: str = ""
    correlation: bytes = b""
    expires_us: int = 0  # wall time of the broker, 0 for never


class Broker(Protocol):
    """The model broker as banks see it; fronts have `bankmq.queue.QueueServer` made by `server`."""

    def publish(
        self, by: "Process", queue: str, message: Message, on_confirm: Callable[[bool], None]
    ) -> None:
        """Publish to a queue; `on_confirm` hears whether the broker has taken it, unless that is lost."""

    def consume(self, by: "Process", queue: str, on_message: Callable[[Message], None]) -> None:
        """Hear what comes to a queue of one's own (a bank's reply queue); made where it is missing.

        What came is acknowledged by the call's return.  Over with the process's life.
        """

    def server(self, process: "Process", queue: str, prefetch: int) -> object:
        """Return a QueueServer for a front's process: the main queue and its control queue."""


class BankPlan(NamedTuple):
    """What a seed says of one bank: the profile it speaks, how much it asks, and its habits.

    `name` is the profile's; `habits` are names of `habits.HABITS`; `requests` is how many originals it begins
    altogether, at `rate` a second; `customers` its customers, phones from `phone_first`.
    """

    name: str
    requests: int
    rate: int
    habits: tuple[str, ...] = ()
    customers: int = 20
    phone_first: int = 13_900_000_000
    instances: int = 1
    offset_us: int = 0  # of its clock against the true time
    in_flight: int = 0  # what the platform lets it have under way; 0 leaves the profile's own
    per_second: int = 0  # likewise, how much a second
    notice_us: int = 0  # when it gives notice of its next date, where its dialect has that; 0 for never


class NetworkPlan(NamedTuple):
    """What a seed says of one network that we ask for money; per mille of messages where not said otherwise.

    `closed` are charges for a phone that is closed, so that their credit is refused; `odd` reversals and
    refunds that are answered with what makes no sense.
    """

    name: str
    charges: int
    phone_first: int
    customers: int = 8
    declined: int = 0
    late: int = 0
    silent: int = 0
    lost: int = 0
    odd: int = 0
    closed: int = 100
    late_us: int = 40_000_000


class Lines(NamedTuple):
    """How a bank reaches its fronts: `dial` for sockets, `broker` for queues.

    `dial(bank, at, handler)` connects to `addresses[at]`; a short connection carries one message.
    """

    addresses: Sequence[str]
    dial: Callable[["Process", str, WireHandler], None]
    broker: Broker | None
    queue: str = ""


class Bank(Protocol):
    """A bank model on its line: a `Process` with its own customers' money (`banks.BankActor`).

    Made as BankActor(kernel, plan, profile, keys, lines, zone).
    """

    name: str
    profile: "Profile"

    def start(self) -> None:
        """Connect and begin."""

    def stop_asking(self) -> None:
        """Begin nothing new; what was begun goes on to its end, by repeats, queries and reversals."""

    @property
    def settled(self) -> bool:
        """Whether every serial has come to the end that this bank's habits give it."""

    @property
    def transactions(self) -> int:
        """How many serials it has begun up to now."""

    def views(self) -> Mapping["Key", object]:
        """Return what the bank believes of each key, for checks and reports."""


class WorldView(Protocol):
    """What checks and coverage may look at (`world.World`)."""

    kernel: "Kernel"
    banks: Sequence[Bank]
    database: object  # `.memory` is crm_bridge.memory.Memory, as committed
    profiles: Mapping[str, "Profile"]


Source = Hashable
