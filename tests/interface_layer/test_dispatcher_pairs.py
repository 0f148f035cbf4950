"""A node and its partner: who is sent where when bridges go, stand by, are silent or weigh more."""

from node_bench import CITIC, EVERYWHERE, ICBC, NOW, Node, statuses

from interface_layer.dispatcher import Dispatcher
from qianzhi.domain.requests import Kind
from qianzhi.link.events import DrainNotice, Hello
from qianzhi.link.messages import Status
from qianzhi.runtime.effects import Send


def test_a_node_that_leads_nowhere_sends_its_fronts_to_its_partner_until_a_bridge_is_back() -> None:
    node = Node().up()
    node.do(node.core.on_peer_down("bridge1", "lost", node.now))
    assert node.take("front-hz_citic-1") == []
    node.do(node.core.on_peer_draining("bridge2", True, node.now))
    for front in ("front-hz_citic-1", "front-icbc-1"):
        assert node.take(front) == [DrainNotice(True)]
    assert node.take("bridge2") == [], "it is no business of the bridges"
    node.ask("hz_citic", CITIC)
    assert statuses(node.take("front-hz_citic-1")) == [Status.DRAINING]
    node.ask("hz_citic", CITIC, priority=1, kind=Kind.REVERSAL)
    assert [e.kind for e in node.take("bridge2")] == [Kind.REVERSAL]
    assert not node.core.status(node.now)["ready"]
    node.do(node.core.on_peer_up("bridge1", Hello("bridge1", "bridge"), node.now))
    assert node.take("front-icbc-1") == [DrainNotice(False)]
    node.ask("icbc", ICBC)
    assert len(node.take("bridge1")) == 1


def test_a_node_that_stands_by_stays_so_when_its_bridge_comes_back() -> None:
    node = Node().up()
    node.do(node.core.drain(True))
    assert node.take("front-icbc-1") == [DrainNotice(True)]
    for bridge in ("bridge1", "bridge2"):
        node.do(node.core.on_peer_down(bridge, "lost", node.now))
    node.do(node.core.on_peer_up("bridge1", Hello("bridge1", "bridge"), node.now))
    assert node.take("front-icbc-1") == []
    node.do(node.core.drain(False))
    assert node.take("front-icbc-1") == [DrainNotice(False)]


def test_a_front_whose_hello_was_answered_before_a_switch_hears_of_it() -> None:
    node = Node().up()
    node.do(node.core.drain(True))
    node.do(node.core.drain(False))
    node.front("abc", "103100000001")
    assert node.take("front-abc-1") == [DrainNotice(False)]


def test_a_silent_bridge_is_passed_over_and_shown() -> None:
    node = Node().up()
    node.ask("hz_citic", CITIC, 2)
    node.answer("bridge2", node.take("bridge2"))
    node.now = node.now.after(600_000)
    node.ask("hz_citic", CITIC, 10)
    assert len(node.take("bridge2")) == 10
    peers = node.core.status(node.now)["peers"]
    assert (peers["bridge1"]["silent"], peers["bridge2"]["silent"]) == (True, False)


def test_a_heavier_bridge_takes_its_part_more() -> None:
    core = Dispatcher("node1", ["b1", "b2"], EVERYWHERE, {}, weights={"b1": 30, "b2": 10})
    hello = Hello("front-icbc-1", "front", banks=("icbc",), numbers=(ICBC,))
    for bridge in ("b1", "b2"):
        core.on_peer_up(bridge, Hello(bridge, "bridge"), NOW)
    core.on_peer_up(hello.name, hello, NOW)
    effects = core.on_requests(hello.name, Node().envelopes(ICBC, 40), NOW)
    sends = [effect for effect in effects if isinstance(effect, Send)]
    assert {effect.to: len(effect.items) for effect in sends} == {("peer", "b1"): 30, ("peer", "b2"): 10}
