"""A front-end's core put together from its profile: keys, serials, session, hop, processor.  Pure.

The daemon builds it for the real thing, the simulated world for a model one; nothing else knows the parts.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from frontends.outward import Outward
from frontends.outward_none import NoOutward, Way
from frontends.processor import Processor
from frontends.seal import Seal
from frontends.session import Session
from frontends.session_delivery import Delivery
from frontends.session_exchange import Exchange
from frontends.session_keys import LineKeys, StaticKeys
from frontends.session_line import Exchanged, Line
from frontends.session_rows import Saved
from frontends.session_serials import Serials
from qianzhi.link.hop import Hop
from qianzhi.runtime.now import Now

if TYPE_CHECKING:
    from frontends.profile import Profile  # it reads files; its shape alone is used here

OFFERS = 1 << 60  # numbers of offers of late answers begin here, far from the hop's, on the same connections


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
    exchanged = _exchanged(profile, keys.get("master", b""), saved, now)
    static = StaticKeys(keys["mac"] if profile.session.keys == "static" else b"")
    seal = Seal(profile, exchanged.keys if exchanged else static)
    author = f"{name}-{now.wall_us // 1_000:x}"
    line = Line(profile.name, profile.session, profile.mapping, seal, author)
    session = Session(line, exchanged, Serials(profile.name, saved.leased_until), saved)
    outward: Way = NoOutward()
    if profile.outward is not None:
        outward = Outward(profile, profile.outward, session, seal, OFFERS + now.wall_us)
    return Processor(profile, session, seal, hop, author, outward)


def _exchanged(profile: "Profile", master: bytes, saved: Saved, now: Now) -> Exchanged | None:
    """Return the exchanged keys of a line and the way in which they travel, None where none are exchanged."""
    rules = profile.session
    if rules.keys not in ("ours", "theirs") or profile.mac is None:
        return None
    spec = replace(profile.table.delivery, mac=profile.mac)
    made_bytes = rules.key_bytes if rules.keys == "ours" else 0
    purposes = ("mac", "pin") if spec.form == "slots" and spec.pin_key else ("mac",)
    keys = LineKeys(profile.name, master, made_bytes, rules.key_grace_seconds, purposes)
    keys.restore(saved.keys, now, saved.retired)
    if made_bytes and rules.delivery == "message":
        delivery = Delivery(rules, keys, master, profile.mapping, profile.codec, spec, now)
        return Exchanged(keys, delivery=delivery)
    return Exchanged(keys, exchange=Exchange(keys, spec, profile.codec, master))
