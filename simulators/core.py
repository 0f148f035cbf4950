"""A remote core to try the gateway on: docs/REMOTE_CORE.md served over HTTP, with faults on request.

The books behind it are a core of the platform's own with a database of its own; nothing of the gateway is
imported here.
"""

import json
import secrets
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, cast

import uvicorn
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from crm_bridge.gateway_errors import StoreError
from simulators.core_books import Books, Call
from simulators.core_contract import (
    BATCH_MAX,
    VERSION,
    Answer,
    Answers,
    Batch,
    Credit,
    Owed,
    Query,
    Refusal,
    Reversal,
    Terms,
    Totals,
)
from simulators.core_faults import ANY, FAULTS, Fault, Faults

DESCRIPTION = "What qianzhi asks of a core behind HTTP; docs/REMOTE_CORE.md says what each call means."
KEEP_ALIVE_SECONDS = 30
_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Refusal, "description": "No JSON; nothing was done."},
    401: {"model": Refusal, "description": "No token, or a wrong one; nothing was done."},
    503: {"model": Refusal, "description": "Not now.  Nothing may be concluded about the calls."},
}


class FaultOrder(BaseModel):
    """An order to fail: the next `times` calls of that name (or any) go wrong."""

    fault: str
    seconds: float = 0.0
    call: str = ANY
    times: int = 1


def make_core(books: Books | None, token: str = "", batch_max: int = BATCH_MAX) -> Faults:
    """Return the core as an ASGI application; without a `token` anybody may ask, with `batch_max` 0 it takes
    no batches.  Without `books` it can only say what its contract is.
    """
    app = FastAPI(title="Remote core", version=str(VERSION), description=DESCRIPTION)
    bearer = HTTPBearer(auto_error=False)

    def allowed(given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> None:
        said = given.credentials.encode() if given is not None else b""
        if token and not secrets.compare_digest(said, token.encode()):
            raise HTTPException(401, "a bearer token is needed", {"WWW-Authenticate": "Bearer"})

    faults = Faults(app)
    _add_calls(app, cast("Books", books), [Depends(allowed)], batch_max)
    _add_faults(app, faults)
    app.add_exception_handler(StoreError, _not_now)
    return faults


def contract(core: Faults) -> str:
    """Return the contract as OpenAPI; the committed copy is docs/openapi/core.json."""
    app: Any = core.inner
    return json.dumps(app.openapi(), indent=1, ensure_ascii=False) + "\n"


@contextmanager
def serving(core: Faults, *, port: int = 0, tls: "tuple[str, str, str] | None" = None) -> Iterator[int]:
    """Serve on 127.0.0.1 by a thread; gives the port.  `tls` is certificate, key and the clients' CA."""
    listening = socket.create_server(("127.0.0.1", port))
    server = _Server(_config(core, tls))
    thread = threading.Thread(target=server.run, args=([listening],), name="core", daemon=True)
    thread.start()
    try:
        if not server.up.wait(20):
            raise RuntimeError("the simulated core did not start")
        yield int(listening.getsockname()[1])
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join(10)
        listening.close()


def serve(core: Faults, host: str, port: int) -> None:
    """Serve in the foreground until a signal comes."""
    uvicorn.Server(_config(core, None, host, port)).run()


class _Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets)
        self.up.set()


def _config(
    core: Faults, tls: "tuple[str, str, str] | None", host: str = "127.0.0.1", port: int = 0
) -> uvicorn.Config:
    protected: dict[str, Any] = {}
    if tls is not None:
        certificate, key, ca = tls
        protected = {"ssl_certfile": certificate, "ssl_keyfile": key, "ssl_ca_certs": ca}
        protected["ssl_cert_reqs"] = ssl.CERT_REQUIRED
    return uvicorn.Config(
        core,
        host=host,
        port=port,
        http="h11",
        loop="asyncio",
        lifespan="off",
        log_level="critical",
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=1,
        **protected,
    )


def _add_calls(app: FastAPI, books: Books, allowed: list[Any], batch_max: int) -> None:
    """Add the routes of the contract."""
    told: dict[str, Any] = {"dependencies": allowed, "responses": _REFUSALS}

    def one(call: Call) -> Answer:
        return books.answer([call])[0]

    def credit(call: Credit) -> Answer:
        """Recharge a phone or pay a bill; idempotent under the key."""
        return one(call)

    def reversal(call: Reversal) -> Answer:
        """Take back what stands under the key; idempotent."""
        return one(call)

    def query(call: Query) -> Answer:
        """Say what became of a key; asking settles."""
        return one(call)

    def owed(call: Owed) -> Answer:
        """Say what a phone owes."""
        return one(call)

    def totals(call: Totals) -> Answer:
        """Say what a bank number's business date comes to."""
        return one(call)

    def batch(calls: Batch) -> Answers:
        """Carry out many calls; each has its own answer."""
        return Answers(answers=books.answer(calls.calls) if calls.calls else [])

    def terms() -> Terms:
        """Say what the core promises; moves nothing, so it serves as a probe too."""
        return Terms(version=VERSION, keep_days=books.keep_days, batch_max=batch_max)

    app.get("/v1/terms", **told)(terms)
    single: tuple[Callable[..., Answer], ...] = (credit, reversal, query, owed, totals)
    for function in single:
        app.post(f"/v1/{function.__name__}", **told)(function)
    if batch_max:
        app.post("/v1/batch", **told)(batch)


def _add_faults(app: FastAPI, faults: Faults) -> None:
    def arm(order: FaultOrder) -> dict[str, int]:
        if order.fault not in FAULTS:
            raise HTTPException(422, f"known faults are {', '.join(FAULTS)}")
        faults.arm(Fault(order.fault, order.seconds, order.call), order.times)
        return {"armed": len(faults.armed)}

    def disarm() -> dict[str, int]:
        faults.armed.clear()
        return {"armed": 0}

    app.post("/faults", include_in_schema=False)(arm)
    app.delete("/faults", include_in_schema=False)(disarm)


async def _not_now(_request: Any, _error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "the books cannot be reached"}, 503)
