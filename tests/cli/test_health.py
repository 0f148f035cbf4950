"""`qianzhi status` in words: what is wrong stands out, what is normal is short."""

from qianzhi.cli.health import row_of

FRONT = {
    "state": "running",
    "pid": 7,
    "uptime_seconds": 65,
    "listening": "17301",
    "in_flight": 2,
    "paused": False,
    "draining": False,
    "nodes": {"node1": "up", "node2": "up"},
    "signed_on": True,
    "connections": 1,
    "keys": {"current": "EDB64FF7"},
}
NODE = {
    "state": "running",
    "pid": 8,
    "uptime_seconds": 5,
    "room": 3600,
    "draining": False,
    "peers": {"bridge1": {"up": True, "draining": False}, "front-icbc-1": {"up": True, "draining": False}},
    "banks": {"icbc": {"in_flight": 1, "ok": 20}},
}


def words(status: dict[str, object]) -> str:
    """The row of a daemon as one text."""
    return " | ".join(str(cell) for cell in row_of("x", status))


def test_a_healthy_front_node_and_bridge() -> None:
    assert words(FRONT) == (
        "x | running | 7 | 1 min 5 s | signed on; 1 connection; 2 in flight; "
        "key with check value EDB64FF7; nodes node1, node2 up"
    )
    assert words(NODE) == "x | running | 8 | 5 s | 2 peers up; 1 bank: 20 answered, 1 in flight (icbc 1)"
    bridge = {"state": "running", "pid": 9, "uptime_seconds": 0, "settled": 4, "waiting": [1, 2], "peers": []}
    assert words(bridge) == "x | running | 9 | 0 s | 4 settled; 3 waiting for 2 writers; nodes none linked"


def test_many_banks_are_summed_up_with_the_busiest() -> None:
    banks = {f"bank{n}": {"in_flight": n % 5, "ok": 10} for n in range(17)}
    told = words({**NODE, "banks": banks})
    assert told.endswith("17 banks: 170 answered, 31 in flight (bank4 4, bank9 4, bank14 4)")
    assert words({**NODE, "banks": {}}).endswith("0 banks: 0 answered, 0 in flight")


def test_what_is_wrong_is_said() -> None:
    assert "NOT signed on" in words({**FRONT, "signed_on": False})
    assert "node1 down" in words({**FRONT, "nodes": {"node1": "down", "node2": "up"}})
    assert words({**FRONT, "draining": True, "paused": True}).startswith("x | draining |")
    assert "AWAY: bridge1" in words({**NODE, "peers": {"bridge1": {"up": False, "draining": False}}})
    away = {"front-unet-1": {"up": True, "draining": True}}  # drained, or its network is signed off
    assert "taking nothing: front-unet-1" in words({**NODE, "peers": away})
    assert words({"state": "down", "reason": "no socket"}) == "x | down |  |  | "


def test_a_queue_has_no_session_and_no_connections() -> None:
    found = words({**FRONT, "listening": "icbc", "keys": {}, "connections": 0})
    assert "serves its queue; 2 in flight; nodes" in found


def test_a_line_without_sign_on_has_none_to_speak_of() -> None:
    assert " | 1 connection; 2 in flight" in words({**FRONT, "sign_on": False})
    short = {**FRONT, "sign_on": False, "connection": "short", "connections": 0}
    assert " | a connection for each message; 2 in flight" in words(short)
    assert "NOT signed on; a connection for each" in words({**short, "sign_on": True, "signed_on": False})


def test_the_state_of_what_stands_beneath_a_daemon_is_said() -> None:
    blocked = {"broker_state": "blocked", "broker": "holds our replies back: its disk is full"}
    queues = {"boc": 7, "boc.dlq": 3, "boc.bo": 0}
    told = words({**FRONT, **blocked, "queues": queues, "store": "the state database does not answer"})
    assert "BROKER: holds our replies back: its disk is full" in told
    assert "ROWS: the state database does not answer; 3 in boc.dlq; " in told
    assert "BROKER" not in words({**FRONT, "broker_state": "ready", "broker": "serving", "store": "ok"})
    bridge = {"state": "running", "pid": 9, "uptime_seconds": 0, "settled": 4, "waiting": [1], "peers": []}
    down = {"state": "the database is not reachable", "detail": "connection refused"}
    core = {"state": "open", "reason": "three time-outs", "unknown": 2}
    told = words({**bridge, "database": down, "core": core})
    assert "NOT READY: the database is not reachable: connection refused" in told
    assert "REMOTE CORE open: three time-outs; 2 outcomes of the remote core to be settled" in told
    assert words({**bridge, "database": {"state": "ready"}, "core": {"state": "closed"}}) == words(bridge)


def test_a_broker_in_trouble_speaks_for_its_queues() -> None:
    queue = {**FRONT, "listening": "icbc", "broker_state": "ready", "broker": "connected to mq:5672"}
    assert " | serves its queue; 2 in flight" in words({**queue, "broker_differs": []})
    told = words({**queue, "broker_differs": ["icbc", "icbc.ctl"]})
    assert " | BROKER: not as declared: icbc, icbc.ctl; 2 in flight" in told
    away = words({**queue, "broker_state": "unreachable", "broker": "mq:5672: refused; trying again"})
    assert " | BROKER: mq:5672: refused; trying again; 2 in flight" in away
    assert "serves its queue" not in told + away


def test_a_node_that_leads_nowhere_and_silent_peers_stand_out() -> None:
    silent = {"bridge1": {"up": True, "draining": False, "silent": True}}
    assert "SILENT, passed over: bridge1" in words({**NODE, "peers": silent})
    assert "reaches NO BRIDGE" in words({**NODE, "ready": False})
    assert "CLOSED: maintenance until 11-22 10:30" in words(
        {**FRONT, "closed": "maintenance until 11-22 10:30"}
    )
    assert "node1 silent" in words({**FRONT, "nodes": {"node1": "silent", "node2": "up"}})


def test_who_drained_a_daemon_and_why_is_said_and_where_it_was_seen() -> None:
    order = {"reason": "换硬盘", "by": "ops@mq1", "since_us": 1_795_312_800_000_000, "until_us": 0}
    told = words({**NODE, "draining": True, "standing_by": order})
    assert told.startswith("x | stands by | 8 | 5 s | by ops@mq1 since 11-22 10:00 (换硬盘); ")
    ended = words({**NODE, "standing_by": {**order, "until_us": 1_795_316_400_000_000}})
    assert "by ops@mq1 since 11-22 10:00 until 11-22 11:00 (换硬盘)" in ended
    seen = {"machine": "if2", "age_seconds": 1.4}
    assert words({**NODE, "seen": seen}).endswith("on machine if2, 1 s ago")
    gone = {"state": "down", "reason": "last heard of 40 s ago, on machine if2", "seen": seen}
    assert words(gone) == "x | down |  |  | last heard of 40 s ago, on machine if2"
