"""What a front-end daemon opens before it listens: its event file, its store, and its core."""

from collections.abc import Mapping
from itertools import count

from frontends.front_core import make_processor
from frontends.processor import Processor
from frontends.profile import Profile
from frontends.store import FrontStore
from qianzhi.link.hop import Hop, HopLimits
from qianzhi.link.site import data_folder, nodes_of, zone_of
from qianzhi.link.tables import Site
from qianzhi.runtime import clock
from qianzhi.runtime.daemon import DaemonError
from qianzhi.runtime.events import EventsError, EventWriter
from qianzhi.wire.errors import KeyCheckError


def open_front(
    site: Site, profile: Profile, name: str, keys: Mapping[str, bytes]
) -> tuple[EventWriter, FrontStore, Processor]:
    """Open the files of the daemon `name` and return them with the core; raises DaemonError."""
    data = data_folder(site)
    # Numbers go on from the clock: a node's late answer to a former life of ours must find nothing here.
    numbers = count(clock.now().wall_us)
    hop = Hop(HopLimits(window=site.link.window), nodes_of(site, profile.group), numbers)
    try:
        events = EventWriter(data / "events" / name, zone=zone_of(site))
        store = FrontStore(data / "fronts" / f"{name}.db")
        core = make_processor(profile, keys, store.load(profile.name), hop, name, clock.now())
    except (EventsError, KeyCheckError) as error:
        raise DaemonError(str(error)) from error
    return events, store, core
