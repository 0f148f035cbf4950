"""Working keys that travel within what the bank begins: ours in our answers, or the bank's in its delivery.

Pure.  It makes, writes and reads keys; `session` stores the rows in between and answers.

    ours     sign-on, key request ─▶ pending key made, or the one that waits ─▶ stored ─▶ told in the answer
    theirs   key delivery ─▶ check value right? ─▶ pending ─▶ stored ─▶ answered

A bank that has lost our answer asks again and is told the same key; two sign-ons at once hear the same one.
"""

from frontends.mapping_rows import Message
from frontends.session_keys import LineKeys
from frontends.session_rows import KeyRow
from qianzhi.runtime.now import Now
from qianzhi.wire.codec import Codec
from qianzhi.wire.errors import KeyCheckError
from qianzhi.wire.keys import Delivered, DeliverySpec, build_delivery, read_deliveries, sign_answer
from qianzhi.wire.mac import KEY_BYTES, expected_key


class Exchange:
    """The keys of one line as they stand in messages; `keys` are the line's."""

    def __init__(self, keys: LineKeys, spec: DeliverySpec, codec: Codec, master: bytes) -> None:
        self._keys = keys
        self._spec = spec
        self._codec = codec
        self._master = master

    def offer(self, now: Now) -> tuple[list[KeyRow], tuple[Delivered, ...]]:
        """Return the keys to be told in an answer, and the rows to be stored before; no keys when none can
        be made now.
        """
        rows = self._keys.make(now) if self._keys.pending is None else []
        return rows, self._keys.told() if self._keys.pending is not None else ()

    def write(self, answer: Message, told: tuple[Delivered, ...]) -> Message:
        """Return the answer with these keys in it."""
        return build_delivery(self._spec, answer, self._codec, self._master, *told)

    def take(self, message: Message, now: Now) -> tuple[list[KeyRow], tuple[Delivered, ...]]:
        """Return the keys that the bank delivers, and the rows to be stored before the answer.

        Raises KeyCheckError when they are not what their check values say.
        """
        delivered = tuple(read_deliveries(self._spec, message, self._codec, self._master))
        algorithm = self._spec.mac.algorithm if self._spec.mac is not None else ""
        if any(one.purpose == "mac" and len(one.key) not in KEY_BYTES[algorithm] for one in delivered):
            raise KeyCheckError(f"{algorithm} takes a key of {expected_key(algorithm)}")
        return self._keys.take(delivered, now), delivered

    def confirm(self, answer: Message, delivered: tuple[Delivered, ...]) -> Message:
        """Return the answer to a delivery with what proves that we have its key, where its form has that."""
        sign_answer(self._spec, answer, self._codec, delivered[0].key)
        return answer
