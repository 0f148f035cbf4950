"""A node's core as its site lays it out."""

from collections.abc import Mapping

from interface_layer.dispatcher import Dispatcher
from interface_layer.node import Node
from interface_layer.shares import part_of
from qianzhi.link.hop import HopLimits
from qianzhi.link.site import group_of, zone_of
from qianzhi.link.tables import BankLimits, Site
from qianzhi.runtime import clock
from qianzhi.runtime.now import SECOND_US
from qianzhi.saf.policies import DAY_US, Policy


def node_of(site: Site, name: str, limits: Mapping[str, BankLimits]) -> Node:
    """Return the core of the node `name`; `limits` are the banks' whole ones, of which it holds its part."""
    dispatcher = Dispatcher(
        name,
        site.bridges,
        site.routes,
        _parts(site, name, limits),
        HopLimits(window=site.link.window, run=site.link.run),
        first_id=clock.now().wall_us,
        weights={bridge: place.weight for bridge, place in site.bridges.items()},
    )
    return Node(dispatcher, policy_of(site), zone_of(site))


def policy_of(site: Site) -> Policy:
    """Return a site's figures as the core takes them."""
    table = site.saf
    return Policy(
        fast_tries=table.fast_tries,
        fast_us=table.fast_seconds * SECOND_US,
        slow_us=table.slow_seconds * SECOND_US,
        answer_us=table.answer_seconds * SECOND_US,
        deadline_minutes=table.deadline_minutes,
        window=table.window,
        entries_max=table.entries_max,
        keep_us=table.keep_days * DAY_US,
        lease_us=table.lease_seconds * SECOND_US if site.state.database else 0,
    )


def _parts(site: Site, node: str, limits: Mapping[str, BankLimits]) -> dict[str, BankLimits]:
    """Return this node's part of the limits of every bank that may come here."""
    group = group_of(site, node)
    weights = sum(site.nodes[name].weight for name in site.groups[group].nodes)
    here = {bank for bank in limits if bank not in site.banks or site.banks[bank].group in ("", group)}
    return {bank: part_of(limits[bank], site.nodes[node].weight, weights) for bank in limits if bank in here}
