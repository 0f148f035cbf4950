"""What can go wrong between a core and whoever asks it, on purpose: one fault for one call.

An ASGI wrapper around the core.  Faults are armed by the route /faults, in code, or for a single call by the
header X-Fault: NAME or NAME=SECONDS.
"""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HEADER = b"x-fault"
ANY = "any"
PROBE = "terms"  # goes wrong only where it is named


class Fault(NamedTuple):
    """One fault: `seconds` is how long it takes, where it takes time; `call` the path's last part, or any."""

    name: str
    seconds: float = 0.0
    call: str = ANY


class Whole(NamedTuple):
    """The answer that the core would have given."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Faults:
    """The core with its faults."""

    def __init__(self, core: App) -> None:
        self.inner = core
        self.armed: deque[Fault] = deque()

    def arm(self, fault: Fault, times: int = 1) -> None:
        """Let the next calls that it fits go wrong; raises KeyError for a fault that nobody knows."""
        FAULTS[fault.name]
        self.armed.extend([fault] * times)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call, well or badly."""
        fault = self._take(scope) if scope["type"] == "http" else None
        if fault is None:
            await self.inner(scope, receive, send)
        else:
            await FAULTS[fault.name](self, fault, scope, receive, send)

    async def whole(self, scope: Scope, receive: Receive) -> Whole:
        """Let the core do what was asked, and keep its answer."""
        sent: list[Message] = []

        async def keep(message: Message) -> None:
            sent.append(message)

        await self.inner(scope, receive, keep)
        body = b"".join(message.get("body", b"") for message in sent[1:])
        return Whole(sent[0]["status"], list(sent[0].get("headers", [])), body)

    async def core(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the core answer as it would."""
        await self.inner(scope, receive, send)

    def _take(self, scope: Scope) -> Fault | None:
        call = scope["path"].rpartition("/")[2]
        if call == "faults":
            return None
        for name, value in scope["headers"]:
            if name == HEADER:
                kind, _, seconds = value.decode("latin-1").partition("=")
                return Fault(kind, float(seconds or 0)) if kind in FAULTS else None
        for fault in self.armed:
            if fault.call == call or (fault.call == ANY and call != PROBE):
                self.armed.remove(fault)
                return fault
        return None


async def _delay(faults: Faults, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(fault.seconds)
    await faults.core(scope, receive, send)


async def _error(faults: Faults, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
    """Fail before anything was done."""
    await _answer(send, Whole(500, _JSON, b'{"detail": "broken on purpose"}'))


async def _late_error(faults: Faults, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
    """Fail after all was done."""
    await faults.whole(scope, receive)
    await _answer(send, Whole(500, _JSON, b'{"detail": "broken on purpose"}'))


async def _no_answer(faults: Faults, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
    """Do nothing and say nothing, for as long as the caller holds the line."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _answer_lost(faults: Faults, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
    """Do everything, and cut the line before the first byte of the answer."""
    await faults.whole(scope, receive)
    await _cut(receive)


async def _wrong_key(faults: Faults, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer as if another key had been asked about."""
    await _answer(send, _changed(await faults.whole(scope, receive), "serial", lambda old: f"{old}9"))


async def _wrong_amount(faults: Faults, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with one fen more."""
    await _answer(send, _changed(await faults.whole(scope, receive), "amount_fen", lambda old: old + 1))


async def _garbage(faults: Faults, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with what is no JSON."""
    await faults.whole(scope, receive)
    await _answer(send, Whole(200, [(b"content-type", b"text/html")], b"<h1>Welcome</h1>\xff"))


async def _cut_body(faults: Faults, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
    """Cut the line in the middle of the answer."""
    whole = await faults.whole(scope, receive)
    await send({"type": "http.response.start", "status": whole.status, "headers": whole.headers})
    half = whole.body[: len(whole.body) // 2]
    await send({"type": "http.response.body", "body": half, "more_body": True})
    await _cut(receive, abort=False)


async def _slow_drip(faults: Faults, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
    """Send the answer byte by byte."""
    whole = await faults.whole(scope, receive)
    await send({"type": "http.response.start", "status": whole.status, "headers": whole.headers})
    for at in range(len(whole.body)):
        await send({"type": "http.response.body", "body": whole.body[at : at + 1], "more_body": True})
        await asyncio.sleep(fault.seconds)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _answer(send: Send, whole: Whole) -> None:
    headers = [header for header in whole.headers if header[0].lower() != b"content-length"]
    headers.append((b"content-length", str(len(whole.body)).encode()))
    await send({"type": "http.response.start", "status": whole.status, "headers": headers})
    await send({"type": "http.response.body", "body": whole.body, "more_body": False})


async def _cut(receive: Receive, *, abort: bool = True) -> None:
    """End the connection as a pulled cable's peer sees it; ASGI has no word for that, uvicorn's cycle has."""
    transport = receive.__self__.transport  # type: ignore[attr-defined]
    if abort:
        transport.abort()
    else:
        transport.close()
    while (await receive())["type"] != "http.disconnect":
        pass


def _changed(whole: Whole, name: str, change: Callable[[Any], Any]) -> Whole:
    """Return the answer with every field of this name changed."""

    def walk(value: Any) -> Any:
        if isinstance(value, list):
            return [walk(one) for one in value]
        if isinstance(value, dict):
            return {key: change(one) if key == name else walk(one) for key, one in value.items()}
        return value

    return whole._replace(body=json.dumps(walk(json.loads(whole.body))).encode())


_JSON = [(b"content-type", b"application/json")]

FAULTS: dict[str, Callable[[Faults, Fault, Scope, Receive, Send], Awaitable[None]]] = {
    "delay": _delay,
    "error": _error,
    "late_error": _late_error,
    "no_answer": _no_answer,
    "answer_lost": _answer_lost,
    "wrong_key": _wrong_key,
    "wrong_amount": _wrong_amount,
    "garbage": _garbage,
    "cut_body": _cut_body,
    "slow_drip": _slow_drip,
}
