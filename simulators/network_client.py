"""A simulated network in a process of its own: the shell of `network_line`, and its commands.

Its books are a file (`network_books`), written before the answer goes out.  SIGUSR1 lets the network close
the line, SIGUSR2 open it again.
"""

import signal
from collections.abc import Callable
from pathlib import Path
from random import Random  # noqa: TID251 - seeded
from typing import Any

from frontends.profile import Profile, resolve_keys
from qianzhi.link.site import parse_address
from qianzhi.link.tables import Site
from qianzhi.runtime import clock
from qianzhi.runtime.effects import Effects, Send
from qianzhi.runtime.shell import Interpreter
from simulators.bank_tls import bank_tls
from simulators.codecs import bank_codec
from simulators.framing import PoolReader, framed
from simulators.line import Incoming
from simulators.network import Network, Plan
from simulators.network_books import BooksFile
from simulators.network_line import SimulatedNetwork
from socket_pool.client import SocketClient
from socket_pool.limits import SocketLimits

LONGEST_PAUSE_SECONDS = 1.0  # between attempts to connect


class NetworkClient:
    """One network that dials its front-end and stays connected."""

    def __init__(
        self,
        site: Site,
        profile: Profile,
        config: Path,
        books: BooksFile,
        plan: Plan,
        seed: int,
        reactor: Any,
    ) -> None:
        """Nothing is opened yet; raises LookupError, KeyReferenceError and NoLineError."""
        chance = Random(f"{seed}/{profile.name}")  # noqa: S311 - a scenario's seed is no secret
        advises = profile.outward is not None and profile.outward.terms.advises
        network = Network(chance, plan, holds=advises)
        network.restore(books.read())
        keys = resolve_keys(profile, config, production=site.production)
        self.core = SimulatedNetwork(
            profile,
            bank_codec(profile.spec),
            keys,
            network,
            on_changed=lambda key: books.write(key, network.charges[key]),
        )
        place = site.banks[profile.name]
        tls = bank_tls(site, place.tls, config) if place.tls else None
        self._spec = profile.frame
        self._conn = 0
        self._interpreter = Interpreter(self.core, {Send: self._send}, reactor)
        self._client = SocketClient(
            *parse_address(place.entry or place.listen),
            SocketLimits(),
            lambda: PoolReader(profile.frame),
            self,
            name=f"network-{profile.name}",
            reactor=reactor,
            longest_pause_seconds=LONGEST_PAUSE_SECONDS,
            tls=tls.protection() if tls is not None else None,
        )

    def start(self) -> None:
        """Connect, and stay connected."""
        self._client.start()

    def stop(self) -> Any:
        """Close the connection; the result is a Deferred that fires when it is closed."""
        self._conn = 0
        self._interpreter.stop()
        return self._client.stop()

    def manage(self, name: str) -> None:
        """Close (`sign_off`) or open (`sign_on`) the line, where the dialect can say so."""
        if self._conn:
            self._run(self.core.manage(name, clock.now()))

    def on_connected(self, conn: int, _: str) -> None:
        """The connection stands."""
        self._conn = conn
        self._run(self.core.on_connected(clock.now()))

    def on_frames(self, items: list[tuple[int, bytes]]) -> None:
        """Frames came."""
        frames = [Incoming(data) for conn, data in items if conn == self._conn]
        self._run(self.core.on_frames(frames, clock.now()))

    def on_closed(self, conn: int, _: str) -> None:
        """The connection is gone."""
        if conn == self._conn:
            self._conn = 0
            self._run(self.core.on_closed(clock.now()))

    def _run(self, effects: Effects) -> None:
        self._interpreter.run(effects)

    def _send(self, effect: Send) -> None:
        if self._conn:
            self._client.send(self._conn, b"".join([framed(self._spec, item.frame) for item in effect.items]))


def serve(client: NetworkClient, reactor: Any, say: Callable[[str], None]) -> None:
    """Run one network until it is told to end."""

    def command(name: str) -> Callable[..., None]:
        return lambda *_: reactor.callFromThread(client.manage, name)

    def begin() -> None:
        signal.signal(signal.SIGUSR1, command("sign_off"))
        signal.signal(signal.SIGUSR2, command("sign_on"))
        client.start()
        say(f"network {client.core.bank}")

    reactor.callWhenRunning(begin)
    reactor.run()
