"""Worlds of networks' fronts, as several tests of the outward direction want them."""

import random  # noqa: TID251 - seeded
from pathlib import Path

import msgspec

from frontends.profile import load_profile, resolve_keys
from simulators.network import Network
from simulators.network_world import world_of

CONFIG = Path(__file__).parents[2] / "config"
NETWORKS = ("unet", "vnet", "mnet", "lnet")
PHONE = "13800000001"


def world(name, nodes=("node1",), plan=None, **changes):
    """A network's front with its network, as the profile has them; `changes` are of its [outward]."""
    profile, problems = load_profile(CONFIG, name)
    assert problems == []
    keys = resolve_keys(profile, CONFIG, production=False)
    if "in_flight" in changes:
        profile.outward.in_flight = changes["in_flight"]
    holds = name == "mnet"
    return world_of(profile, keys, Network(random.Random(7), plan, holds=holds), nodes)


def changed(request, **changes):
    """The same request with other values."""
    return msgspec.structs.replace(request, **changes)
