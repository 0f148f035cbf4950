"""Calls to the remote core over HTTP: kept connections, a bounded window, one deadline for each call.

Lives on the reactor's thread; writers wait for it from theirs.  A call ends as what the core answered or as
`Unanswered`; whether any of it may have left is said where it is certain, and only there.  What a silence
means for money is not decided here.
"""

from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from io import BytesIO
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.threads import blockingCallFromThread
from twisted.web import client
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers

from crm_bridge.remote.breaker import Breaker, State
from crm_bridge.remote.contract import (
    Call,
    Outcome,
    Unanswered,
    What,
    batch,
    read_batch,
    read_single,
    read_terms,
    single,
)
from crm_bridge.remote.settings import RemoteTable
from qianzhi.runtime import metrics
from qianzhi.runtime.effects import Alarm
from qianzhi.runtime.log import get_logger
from qianzhi.runtime.tls import Protection

VERSION = 1
BODY_BYTES_MAX = 4 << 20
TIMEOUT = "timeout"
# With these the core says that it understood nothing of the call: it is well, and no neighbour is to blame.
_REFUSED = frozenset({"http_400", "http_413", "http_422"})


class Remote(NamedTuple):
    """What a daemon needs to reach the remote core: its table, the token itself, what protects the way."""

    table: RemoteTable
    token: str = ""
    protection: Protection | None = None


class Client:
    """One remote core, for all writers of a process."""

    def __init__(
        self,
        remote: Remote,
        keep_days: int,
        reactor: Any,
        turned: Callable[[bool], None] = lambda forwards: None,
    ) -> None:
        """`keep_days` is how long the core must promise to keep keys; `turned` hears, on the reactor's
        thread, when calls begin to be forwarded and when that ends.
        """
        table = remote.table
        self._table = table
        self._keep_days = keep_days
        self._turned = turned
        self._reactor = reactor
        self._log = get_logger("core")
        self._base = table.url.rstrip("/") + "/v1/"
        headers = {"Content-Type": ["application/json"], "User-Agent": ["qianzhi"]}
        if remote.token:
            headers["Authorization"] = [f"Bearer {remote.token}"]
        self._headers = Headers(headers)
        web: Any = client  # Twisted's web client has no types
        self._producer = web.FileBodyProducer
        self._pool = web.HTTPConnectionPool(reactor, persistent=True)
        self._pool.maxPersistentPerHost = table.window
        self._pool.cachedConnectionTimeout = table.idle_seconds
        self._pool.retryAutomatically = False  # it is for us to say what may be asked twice
        given: dict[str, Any] = {"connectTimeout": table.connect_seconds, "pool": self._pool}
        if remote.protection is not None:
            given["contextFactory"] = remote.protection.https
        self._agent = web.Agent(reactor, **given)
        self._window = DeferredSemaphore(table.window)
        self._breaker = Breaker(table.breaker_failures)
        self._batch_max = table.batch_max
        self._waiting: list[Deferred[None]] = []
        self._alarms: deque[Alarm] = deque()
        self._timer: Any = None
        self._stopped = False
        self._silent = False

    @property
    def ready(self) -> bool:
        """Whether calls are forwarded now; while the first probe is under way they wait for it."""
        return self._breaker.state is not State.OPEN

    def ask(self, calls: Sequence[Call]) -> list[Outcome]:
        """Make calls and wait for their outcomes; for any thread but the reactor's."""
        found: list[Outcome] = blockingCallFromThread(self._reactor, self._started, self._ask(list(calls)))
        return found

    def take_alarms(self) -> list[Alarm]:
        """Return the alarms raised since the last call; for any thread."""
        found = []
        while self._alarms:
            found.append(self._alarms.popleft())
        return found

    def status(self) -> dict[str, Any]:
        """Return what is known of the core, for the status command."""
        return {
            "url": self._table.url,
            "state": self._breaker.state.value,
            "reason": self._breaker.reason,
            "batch_max": self._batch_max,
        }

    def start(self) -> None:
        """Ask the core for its terms now, and with it whether it may be asked; on the reactor's thread."""
        self._breaker.on_probe()
        self._started(self._probe())

    def stop(self) -> "Deferred[Any]":
        """Close what is open; calls under way end as their deadlines say."""
        self._stopped = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        closed: Deferred[Any] = self._pool.closeCachedConnections()
        return closed

    def _started(self, work: "Coroutine[Deferred[Any], Any, Any]") -> "Deferred[Any]":
        return Deferred.fromCoroutine(work)

    async def _ask(self, calls: list[Call]) -> list[Outcome]:
        if self._breaker.state is State.PROBING:
            probed: Deferred[None] = Deferred()
            self._waiting.append(probed)
            await probed
        size = self._batch_max
        if size and len(calls) > 1:
            parts = [calls[at : at + size] for at in range(0, len(calls), size)]
            found = await self._together([self._batch(part) for part in parts])
            return [outcome for part in found for outcome in part]
        return await self._singles(calls)

    async def _singles(self, calls: list[Call]) -> list[Outcome]:
        return await self._together([self._single(call) for call in calls])

    async def _together(self, works: "Sequence[Coroutine[Deferred[Any], Any, Any]]") -> list[Any]:
        found: list[Any] = await gatherResults([self._started(work) for work in works])
        return found

    async def _batch(self, calls: list[Call]) -> list[Outcome]:
        found = await self._call("batch", batch(calls))
        if isinstance(found, Unanswered):
            if found.reason in _REFUSED:
                return await self._singles(calls)  # so that one bad call takes no neighbour with it
            return self._counted(calls, [found] * len(calls))
        return self._counted(calls, read_batch(found, calls))

    async def _single(self, call: Call) -> Outcome:
        found = await self._call(call.what.value, single(call), waits=call.what is not What.CREDIT)
        outcome = found if isinstance(found, Unanswered) else read_single(found, call)
        return self._counted([call], [outcome])[0]

    def _counted(self, calls: list[Call], outcomes: list[Outcome]) -> list[Outcome]:
        for call, outcome in zip(calls, outcomes, strict=True):
            said = outcome.reason if isinstance(outcome, Unanswered) else "answered"
            metrics.count("qianzhi_remote_calls_total", (call.what.value, said))
            if said in ("wrong_answer", "unreadable_answer"):
                self._alarms.append(Alarm("core_wrong_answer", {"call": call.what.value, "reason": said}))
        return outcomes

    async def _call(self, path: str, body: bytes, *, waits: bool = True) -> bytes | Unanswered:
        """Make one HTTP call in the window; return the body of a 200, and let the breaker know.

        One that does not wait (`waits`) longer than a call may take is not forwarded when its place comes too
        late: the time of a credit behind hundreds of slow ones is over.
        """
        came_seconds = self._reactor.seconds()
        await self._window.acquire()
        try:
            late = not waits and self._reactor.seconds() - came_seconds > self._table.call_seconds
            if late or self._breaker.state is not State.CLOSED:
                return Unanswered("not_forwarded", sent=False)
            found = await self._exchange(b"POST", path, body)
        finally:
            self._window.release()
        self._judge(found)
        return found

    async def _exchange(self, method: bytes, path: str, body: bytes | None) -> bytes | Unanswered:
        """Send and read within `call_seconds`, however slowly the answer drips; never raises."""
        exchange = self._started(self._sent(method, path, body))
        late: list[bool] = []

        def give_up() -> None:
            late.append(True)
            exchange.cancel()

        def failed(failure: Any) -> Unanswered:
            if failure.check(ConnectError, DNSLookupError):
                return Unanswered("no_connection", sent=False)
            return Unanswered(TIMEOUT if late else "cut")

        timer = self._reactor.callLater(self._table.call_seconds, give_up)
        exchange.addErrback(failed)
        found: bytes | Unanswered = await exchange
        if timer.active():
            timer.cancel()
        return found

    async def _sent(self, method: bytes, path: str, body: bytes | None) -> bytes | Unanswered:
        producer = self._producer(BytesIO(body)) if body is not None else None
        url = (self._base + path).encode()
        response = await self._agent.request(method, url, self._headers, producer)
        collector = _Collector()
        response.deliverBody(collector)
        found = await collector.whole
        return found if response.code == 200 else Unanswered(f"http_{response.code}")

    async def _probe(self) -> None:
        """Ask for the core's terms; they decide whether anything is forwarded."""
        found = await self._exchange(b"GET", "terms", None)
        self._judge(found if isinstance(found, Unanswered) else self._agree(found))

    def _agree(self, body: bytes) -> bytes | Unanswered:
        """Take the core's terms, or say which of them cannot be lived with."""
        terms = read_terms(body)
        if terms is None:
            return Unanswered("unreadable_terms")
        if terms.version != VERSION:
            return Unanswered(f"contract version {terms.version}, not {VERSION}")
        if terms.keep_days < self._keep_days:
            return Unanswered(f"keys are kept {terms.keep_days} days, not {self._keep_days}")
        self._batch_max = min(self._table.batch_max, max(terms.batch_max, 0))
        return body

    def _judge(self, found: bytes | Unanswered) -> None:
        """Let the breaker know how a call or probe ended, and say so once when that changes anything."""
        before = self._breaker.state
        if not isinstance(found, Unanswered) or found.reason in _REFUSED:
            self._breaker.on_success()
        elif self._breaker.on_failure(found.reason):
            self._timer = (
                None if self._stopped else self._reactor.callLater(self._table.breaker_seconds, self.start)
            )
        after = self._breaker.state
        if after is not before:
            self._tell(before, after)
        if after is not State.PROBING:
            waiting, self._waiting = self._waiting, []
            for probed in waiting:
                probed.callback(None)

    def _tell(self, before: State, after: State) -> None:
        metrics.gauge("qianzhi_remote_open", (), int(after is State.CLOSED))
        if after is State.CLOSED:
            self._log.info("the core answers: requests are forwarded", url=self._table.url)
        elif not self._silent:
            reason = self._breaker.reason
            self._log.error(
                "the core does not answer: nothing is forwarded", url=self._table.url, reason=reason
            )
            self._alarms.append(Alarm("core_not_answering", {"reason": reason}))
        self._silent = after is not State.CLOSED
        if before is State.CLOSED or after is State.CLOSED:
            self._turned(after is State.CLOSED)


class _Collector(Protocol):
    """Gathers one answer's body; anything but its proper end is no answer."""

    def __init__(self) -> None:
        self.whole: Deferred[bytes] = Deferred(self._cancel)
        self._data: list[bytes] = []
        self._size = 0

    def dataReceived(self, data: bytes) -> None:
        """Keep a piece; more than a core may say ends the connection."""
        self._data.append(data)
        self._size += len(data)
        if self._size > BODY_BYTES_MAX:
            self._abort()

    def connectionLost(self, reason: Any = connectionDone) -> None:
        """The body has ended, well or not."""
        if self.whole.called:
            return
        if reason.check(ResponseDone) and self._size <= BODY_BYTES_MAX:
            self.whole.callback(b"".join(self._data))
        else:
            self.whole.errback(reason)

    def _cancel(self, _deferred: object) -> None:
        self._abort()

    def _abort(self) -> None:
        transport: Any = self.transport
        getattr(transport, "abortConnection", transport.loseConnection)()
