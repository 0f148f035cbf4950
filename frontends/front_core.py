"""A front-end's core put together from its profile: keys, serials, session, hop, processor.  Pure.

The daemon builds it for the real thing, the simulated world for a model one; nothing else knows the parts.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from frontends.processor import Processor
from frontends.session import Line, Session
from frontends.session_delivery import Delivery
from frontends.session_keys import Keys, LineKeys, StaticKeys
from frontends.session_rows import Saved
from frontends.session_serials import Serials
from qianzhi.link.hop import Hop
from qianzhi.runtime.now import Now

if TYPE_CHECKING:
    from frontends.profile import Profile  # it reads files; its shape alone is used here


def make_processor(
    profile: "Profile",
    keys: Mapping[str, bytes],
    saved: Saved,
    hop: Hop,
    name: str,
    now: Now,
) -> Processor:
    """Return the core of the front-end daemon `name` as it starts.

    `keys` are the clear keys of `profile.resolve_keys`; `saved` is what the store kept of the bank's line;
    `hop` leads to the interface nodes of the bank's group.
    Raises KeyCheckError when stored keys do not fit the master key.
    """
    line = Line(profile.name, profile.session, profile.mapping, profile.codec)
    line_keys, delivery = _keys_of(profile, keys, saved, now)
    serials = Serials(profile.name, saved.leased_until)
    session = Session(line, line_keys, serials, delivery, saved.signed_on)
    return Processor(profile, session, hop, f"{name}-{now.wall_us // 1_000:x}")


def _keys_of(
    profile: "Profile", keys: Mapping[str, bytes], saved: Saved, now: Now
) -> tuple[Keys, Delivery | None]:
    rules = profile.session
    if rules.keys != "ours" or profile.mac is None:
        return StaticKeys(keys["mac"] if rules.keys == "static" else b""), None
    line_keys = LineKeys(profile.name, keys["master"], rules.key_bytes, rules.key_grace_seconds)
    line_keys.restore(saved.keys, now)
    delivery = Delivery(rules, line_keys, keys["master"], profile.mapping, profile.codec, profile.mac, now)
    return line_keys, delivery
