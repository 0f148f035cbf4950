"""Where a profile's messages are rehearsed: written, sealed, framed, read again, and compared.  Pure."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from frontends.mapping import Sort
from frontends.seal import Seal
from frontends.session_keys import StaticKeys
from qianzhi.runtime.now import Now
from qianzhi.wire.codec import Message
from qianzhi.wire.errors import EncodeError, KeyCheckError, MacError, RemoteProtocolError
from qianzhi.wire.framing import frame
from qianzhi.wire.mac import KEY_BYTES

if TYPE_CHECKING:
    from frontends.profile import Profile  # it reads files; its shape alone is used here

NOON = Now(0, 1_795_320_000_000_000)  # 2026-11-22 04:00 UTC, one instant among others
AS_IT_WENT = "a message that comes back as it went"

Finding = tuple[str, str, str]  # dotted key, found, expected
NOTHING: Finding = ("", "", "")


class Stage:
    """One profile's codec, frame and MAC under a key that is made up."""

    def __init__(self, profile: "Profile") -> None:
        self._profile = profile
        lengths = KEY_BYTES[profile.mac.algorithm] if profile.mac else {16}
        size = profile.session.key_bytes if profile.session.keys == "ours" else max(lengths)
        self._seal = Seal(profile, StaticKeys(bytes(range(1, size + 1))))

    def carry(self, make: Callable[[], Message], key: str) -> tuple[Message | None, Finding]:
        """Return what the other side reads of a message, or None and what went wrong; `key` is to blame
        unless it is the MAC or the frame.
        """
        profile = self._profile
        try:
            body = self._seal.encode(make(), None, NOON)
            frame(profile.frame, body)
            message = profile.codec.decode(body)
        except (EncodeError, RemoteProtocolError, KeyCheckError, ValueError, TypeError) as error:
            blamed = "mac.field" if profile.mac and _path_of(error) == profile.mac.field else key
            return None, (blamed, str(error), "a message that the message spec can carry")
        try:
            self._seal.verify(message, body, NOON)
        except MacError as error:
            return None, ("mac", f"{error} ({key})", "a MAC that its receiver finds right")
        if profile.frame.kind == "message" and self._measured(body) != len(body):
            return None, ("frame.kind", f"'message', for one that shows no end ({key})", "a length header")
        return message, NOTHING

    def judge_answer(self, asked: Message, heard: Message, key: str) -> Iterator[Finding]:
        """Say what keeps the asker from knowing this as the answer to its message."""
        mapping = self._profile.mapping
        if mapping.sort_of(heard) is not Sort.ANSWER:
            yield key, "an answer that match.answer does not know", AS_IT_WENT
        elif mapping.match_key(heard) != mapping.match_key(asked):
            yield key, "an answer with other match.keys than its request", AS_IT_WENT

    def _measured(self, body: bytes) -> int | None:
        try:
            return self._profile.codec.measure(body)
        except RemoteProtocolError:
            return None


def _path_of(error: Exception) -> str:
    return error.path if isinstance(error, EncodeError) else ""
