"""MACs of one bank's messages, proved and made exactly where its profile demands them.  Pure."""

from typing import TYPE_CHECKING

from frontends.mapping_rows import Message
from frontends.session_keys import Keys
from qianzhi.runtime.now import Now
from qianzhi.wire.mac import make_mac, verify_mac
from qianzhi.wire.mackey import MacKey

if TYPE_CHECKING:
    from frontends.profile import Profile  # it reads files; its shape alone is used here


class Seal:
    """Proves what comes in under the keys that may be used now, and seals what goes out."""

    def __init__(self, profile: "Profile", keys: Keys) -> None:
        self._profile = profile
        self._keys = keys

    def verify(self, message: Message, body: bytes, now: Now) -> MacKey | None:
        """Return the key under which this message stands, None where it needs no MAC.

        `body` is the frame as it came, for a MAC over bytes.  Raises MacError.
        """
        profile = self._profile
        if profile.mac is None or not profile.mac_required(message):
            return None
        return verify_mac(profile.mac, message, profile.codec, self._keys.candidates(now), body)

    def ready(self, now: Now) -> bool:
        """Tell whether messages of ours can be sealed: there is a key, or none is needed."""
        return self._profile.mac is None or bool(self._keys.candidates(now))

    def encode(self, message: Message, key: MacKey | None, now: Now) -> bytes:
        """Return a message's bytes, with a MAC under `key` (else the likeliest one) where it needs one.

        Raises EncodeError when the dialect cannot carry the message.
        """
        profile = self._profile
        if profile.mac is not None and profile.mac_required(message):
            key = key or next(iter(self._keys.candidates(now)), None)
            if key is not None:
                make_mac(profile.mac, message, profile.codec, key)
        return profile.codec.encode(message)
