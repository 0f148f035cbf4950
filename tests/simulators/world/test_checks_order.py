"""Entries that overtake, and an audit chain that is broken."""

import pytest

from crm_bridge.operators.chain import Entry, Head, link
from simulators.world.checks_bench import NOW, OTHER_PHONE, PHONE
from simulators.world.checks_order import Order, chain
from simulators.world.observe import Violation


def test_what_overtakes_an_older_entry_of_its_account_is_named() -> None:
    order = Order()
    for entry in ("a1", "a2"):
        order.stored("unet", PHONE, entry)
    order.stored("unet", OTHER_PHONE, "b1")
    order.sent("unet", OTHER_PHONE, "b1")
    with pytest.raises(Violation, match="I14 a2: sent on unet before a1"):
        order.sent("unet", PHONE, "a2")
    order.settled("unet", PHONE, "a1")
    order.sent("unet", PHONE, "a2")
    with pytest.raises(Violation, match="I14 c1: sent on unet before it was stored"):
        order.sent("unet", PHONE, "c1")
    assert order.left == 2


def chain_of(*whats: str) -> list[Entry]:
    entries: list[Entry] = []
    for what in whats:
        head = entries[-1].head if entries else Head()
        entries.append(link(head, NOW.wall_us, "li", what, {"bank": "招"}))
    return entries


def test_a_broken_audit_chain_is_named() -> None:
    entries = chain_of("proposed", "approved", "done")
    chain(entries)
    chain([])
    with pytest.raises(Violation, match="I11 entry 2: its hash is not that of what it says"):
        chain([entries[0], entries[1]._replace(who="wang"), entries[2]])
    with pytest.raises(Violation, match="I11 entry 3: entry 2 should stand there"):
        chain([entries[0], entries[2]])
    with pytest.raises(Violation, match="I11 entry 2: it does not hold the hash of the one before it"):
        chain([entries[0], entries[1]._replace(previous=bytes(32))])
