"""MACs of one bank's messages, proved and made exactly where its profile demands them.  Pure."""

from typing import TYPE_CHECKING

from frontends.mapping_made import make_tester
from frontends.mapping_rows import Message
from frontends.session_keys import Keys
from qianzhi.runtime.now import Now
from qianzhi.wire.mac import Sealer
from qianzhi.wire.mackey import MacKey

if TYPE_CHECKING:
    from frontends.profile import Profile  # it reads files; its shape alone is used here


class Seal:
    """Proves what comes in under the keys that may be used now, and seals what goes out."""

    def __init__(self, profile: "Profile", keys: Keys) -> None:
        self._keys = keys
        self._encode = profile.codec.encode
        self._sealer = Sealer(profile.mac, profile.codec) if profile.mac is not None else None
        self._required = make_tester(profile.protected)

    def verify(self, message: Message, body: bytes, now: Now) -> MacKey | None:
        """Return the key under which this message stands, None where it needs no MAC.

        `body` is the frame as it came, for a MAC over bytes.  Raises MacError.
        """
        if self._sealer is None or not self._required(message):
            return None
        return self._sealer.verify(message, self._keys.candidates(now), body)

    def ready(self, now: Now) -> bool:
        """Tell whether messages of ours can be sealed: there is a key, or none is needed."""
        return self._sealer is None or bool(self._keys.candidates(now))

    def encode(self, message: Message, key: MacKey | None, now: Now) -> bytes:
        """Return a message's bytes, with a MAC under `key` (else the likeliest one) where it needs one.

        Raises EncodeError when the dialect cannot carry the message.
        """
        if self._sealer is not None and self._required(message):
            if key is None:
                key = next(iter(self._keys.candidates(now)), None)
            if key is not None:
                self._sealer.make(message, key)
        return self._encode(message)
