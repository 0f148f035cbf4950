"""Messages about a bank's line on their way to its session: MAC, order and form are judged here.  Pure."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from frontends.flights import Arrival
from frontends.front import Frame
from frontends.held import Held, Look
from frontends.mapping_rows import Message, getter
from frontends.processor_outcomes import Turn
from frontends.replies import Replies
from frontends.seal import Seal
from frontends.session import NEED_SIGN_ON, Session
from frontends.session_line import Asked
from qianzhi.domain.requests import Reply
from qianzhi.domain.results import Result
from qianzhi.wire.errors import MacError

if TYPE_CHECKING:
    from frontends.profile import Profile  # it reads files; its shape alone is used here


class LineMessages:
    """The management messages of one bank; `trace` makes the trace of a refusal."""

    def __init__(
        self,
        profile: "Profile",
        session: Session,
        seal: Seal,
        replies: Replies,
        held: Held,
        trace: Callable[[], str],
    ) -> None:
        self._mapping = profile.mapping
        self._session = session
        self._seal = seal
        self._replies = replies
        self._held = held
        self._trace = trace
        management = profile.table.management.items()
        self._needs = {name: [getter(path) for path in rows.need] for name, rows in management}

    def take(self, frame: Frame, message: Message, turn: Turn, look: Look) -> None:
        """Judge a message about the line: its MAC where the profile wants one, then its content."""
        name, now, out = self._mapping.management_of(message), turn.now, turn.out
        arrival = Arrival(frame.source, message, None, None, now.mono_us)
        try:
            mac_key = self._seal.verify(message, frame.body, now)
        except MacError:
            why = self._held.judge(frame, Result.BAD_MAC, look, now, out)
            if why is not None:
                self._replies.tell(arrival, Reply(why), "", self._trace(), now, out)
            return self._session.on_bad_mac(frame.source, now, out) if why is Result.BAD_MAC else None
        early = name in NEED_SIGN_ON and not self._session.admits
        if early and self._held.judge(frame, Result.NOT_SIGNED_ON, look, now, out) is None:
            return None
        if mac_key is not None:
            self._session.on_good_mac(mac_key, now, out)
        if any(get(message) is None for get in self._needs[name]):
            arrival = arrival._replace(mac_key=mac_key)
            return self._replies.tell(arrival, Reply(Result.FORMAT), "", self._trace(), now, out)
        return self._session.on_management(name, Asked(frame.source, message, mac_key), now, out)
