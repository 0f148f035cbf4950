"""Whether a line's connections are alive: an echo after silence, and the end of a connection that is dead.

Pure.  An echo is begun only after a connection has been silent, and an answer is never taken for a question;
so two sides that face each other fall silent.
"""

from collections.abc import Hashable

from frontends.front import Outbox
from frontends.mapping import Mapping
from frontends.profile_tables import SessionTable
from frontends.seal import Seal
from frontends.session_serials import Serials
from qianzhi.runtime.now import SECOND_US, Now

ECHO = "echo"
LATE_KEPT_MAX = 64

Match = tuple[str, ...]


class Connection:
    """One connection of the line: when it was last heard, and the echo that it has not answered."""

    __slots__ = ("echo", "echo_due_us", "heard_us", "misses")

    def __init__(self, heard_us: int) -> None:
        self.heard_us = heard_us
        self.echo: Match | None = None
        self.echo_due_us = 0
        self.misses = 0


class Echoes:
    """The connections of one line, watched."""

    def __init__(self, rules: SessionTable, mapping: Mapping, seal: Seal, serials: Serials) -> None:
        self._rules = rules
        self._mapping = mapping
        self._seal = seal
        self._serials = serials
        self.connections: dict[Hashable, Connection] = {}
        self._late: dict[Match, None] = {}
        self.deadline: int | None = None

    def on_connected(self, source: Hashable, now: Now) -> None:
        """Take a new connection; its silence counts from now."""
        self.connections[source] = Connection(now.mono_us)
        self._wake(now.mono_us + int(self._rules.echo_seconds * SECOND_US))

    def on_closed(self, source: Hashable) -> None:
        """Forget a connection."""
        self.connections.pop(source, None)

    def heard(self, source: Hashable, now: Now) -> None:
        """Note that something came in, a heartbeat included: the line is alive."""
        connection = self.connections.get(source)
        if connection is not None:
            connection.heard_us = now.mono_us
            connection.misses = 0

    def silent_seconds(self, now: Now) -> int:
        """Return since when nothing was heard on any connection."""
        heard = [now.mono_us - connection.heard_us for connection in self.connections.values()]
        return min(heard, default=0) // SECOND_US

    def is_answer(self, source: Hashable, match: Match) -> bool:
        """Tell whether this answers the echo that waits on this connection; it waits no longer then."""
        connection = self.connections.get(source)
        if connection is None or connection.echo != match:
            return False
        connection.echo = None
        return True

    def is_late(self, match: Match) -> bool:
        """Tell whether this answers an echo that was given up; once for each."""
        return self._late.pop(match, match) is None

    def on_time(self, now: Now, out: Outbox) -> None:
        """Test the connections that have been silent."""
        if self.deadline is not None and self.deadline <= now.mono_us:
            self.deadline = None
            for source, connection in list(self.connections.items()):
                self._watch(source, connection, now, out)

    def _watch(self, source: Hashable, connection: Connection, now: Now, out: Outbox) -> None:
        """Send an echo on a silent connection, or give it up after so many without an answer."""
        if now.mono_us < connection.echo_due_us:
            return self._wake(connection.echo_due_us)
        if connection.echo is not None:
            self._miss(connection)
        if connection.misses >= self._rules.echo_misses_max:
            out.note("line_dead", now.wall_us, connection=str(source))
            out.close(source, "line_dead")
            return self.on_closed(source)
        due_us = connection.heard_us + int(self._rules.echo_seconds * SECOND_US)
        if connection.misses or due_us <= now.mono_us:
            self._send_echo(source, connection, now, out)
            due_us = connection.echo_due_us
        return self._wake(due_us)

    def _miss(self, connection: Connection) -> None:
        """Count an echo that was not answered, unless something else was heard since it went out."""
        if connection.echo is not None:
            self._late[connection.echo] = None
            connection.echo = None
        if connection.heard_us < connection.echo_due_us - self._answer_us:
            connection.misses += 1
        while len(self._late) > LATE_KEPT_MAX:
            del self._late[next(iter(self._late))]

    def _send_echo(self, source: Hashable, connection: Connection, now: Now, out: Outbox) -> None:
        connection.echo_due_us = now.mono_us + self._answer_us
        if not self._serials.available:
            return
        message = self._mapping.management_message(ECHO, self._serials.take(), now)
        connection.echo = self._mapping.match_key(message)
        out.count_event("echo_sent")
        out.send(source, self._seal.encode(message, None, now))

    @property
    def _answer_us(self) -> int:
        return max(1, self._rules.answer_seconds) * SECOND_US

    def _wake(self, at_us: int) -> None:
        if self._rules.echo_seconds and (self.deadline is None or at_us < self.deadline):
            self.deadline = at_us
