"""What a front-end daemon opens before it listens: its event file, its store, its core, and its link."""

from collections.abc import Callable, Mapping
from itertools import count
from typing import NamedTuple

from frontends.front_core import make_processor
from frontends.limits import run_of
from frontends.processor import Processor
from frontends.profile import Profile
from frontends.session_rows import NOTHING_SAVED
from frontends.store import FrontStore, open_file, open_url
from qianzhi.link.events import Hello, LinkEvent
from qianzhi.link.hop import Hop, HopLimits
from qianzhi.link.protection import protection_of
from qianzhi.link.shell import Link
from qianzhi.link.site import data_folder, nodes_of, zone_of
from qianzhi.link.tables import Site
from qianzhi.runtime import clock
from qianzhi.runtime.daemon import DaemonError, install_reactor
from qianzhi.runtime.events import EventsError, EventWriter
from qianzhi.runtime.store import StateError
from qianzhi.wire.errors import KeyCheckError


class Opened(NamedTuple):
    """A front-end daemon's files and core; `waits_for` says why its rows could not be read yet, if so."""

    events: EventWriter
    store: FrontStore
    core: Processor
    waits_for: str = ""


def open_front(site: Site, profile: Profile, name: str, keys: Mapping[str, bytes]) -> Opened:
    """Open the files of the daemon `name` and return them with the core; raises DaemonError.

    `keys` are clear keys by purpose, and beside them, as "state", the state database's password, if any.
    A state database that does not answer is waited for; a file of our own must serve at once.
    """
    data = data_folder(site)
    # Numbers go on from the clock: a node's late answer to a former life of ours must find nothing here.
    numbers = count(clock.now().wall_us)
    weights = {node: place.weight for node, place in site.nodes.items()}
    nodes = nodes_of(site, profile.group)
    run = run_of(site.link.run, profile.limits, len(nodes))
    hop = Hop(HopLimits(window=site.link.window, run=run), nodes, numbers, weights)
    shared = bool(site.state.database) and profile.keeps_rows
    waits_for = ""
    try:
        events = EventWriter(data / "events" / name, zone=zone_of(site))
        if shared:
            store = open_url(site.state.database, keys.get("state", b"").decode())
        else:
            store = open_file(data / "fronts" / f"{profile.name}.db")
        try:
            saved = store.load(profile.name)
        except StateError as error:
            if not shared:
                raise
            saved, waits_for = NOTHING_SAVED, str(error)
        core = make_processor(profile, keys, saved, hop, name, clock.now())
    except (EventsError, KeyCheckError, StateError) as error:
        raise DaemonError(str(error)) from error
    return Opened(events, store, core, waits_for)


def make_link(
    site: Site,
    profile: Profile,
    name: str,
    key: bytes,
    on_events: Callable[[list[tuple[str, LinkEvent]]], None],
) -> Link:
    """Return the front's end of link, which dials nobody yet."""
    outward = (profile.outward.terms,) if profile.outward is not None else ()
    hello = Hello(name, "front", banks=(profile.name,), numbers=tuple(profile.numbers), outward=outward)
    tls = protection_of(site, site.link.tls)
    return Link(lambda: hello, key, on_events, reactor=install_reactor(), limits=site.link, tls=tls)
