"""The banks' broker in every kind of trouble, under whole daemons: what status and log say, what the bank
gets, and that all is well again by itself once the cause has gone.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import pika
import pytest

from bankmq.amqp_names import bank_names, bank_user, our_user
from qianzhi.runtime import clock
from simulators.free_ports import free_port
from simulators.servers.processes import wait_until
from simulators.servers.rabbitmq import Broker
from tests.bankmq.conftest import RabbitBank
from tests.end_to_end.troubled import BANK, BRIDGE, FRONT, Paper, SmallSite

NAMES = bank_names("qz.", BANK)
US = our_user("qianzhi")
DEATHS = 30
TABLES = """
[broker]
hosts = ["{host}:{port}"]
user = "qianzhi"
password = "test:our-password"
prefix = "qz."

[core]
database = "sqlite:///{{data}}/core.db"

[banks.icbc]
engine = "rabbitmq"
metrics_port = {free}
"""


class Place(SmallSite):
    """The small site on a broker that its tests own."""

    def __init__(self, node: Broker) -> None:
        self.node = node
        super().__init__(TABLES.format(host=node.host, port=node.port, free=free_port()))
        code, said = self.run("seed", "--subscribers", "200")
        assert code == 0, said

    def permit(self, *users: tuple[str, str, str, str]) -> None:
        for user in users:
            self.node.permit("/", *user)

    def connect_bank(self) -> None:
        """The bank dials, as itself."""
        self.bank = RabbitBank(self.node, "/", NAMES, (NAMES.user, "bank-password"))

    def is_well(self) -> None:
        self.wait(FRONT, lambda status: status["broker_state"] == "ready")
        super().is_well()

    @contextmanager
    def troubled(self, state: str, *words: str) -> Iterator[None]:
        """The trouble has been made: it is told; at the end of the block it has been ended."""
        self.wait(FRONT, lambda status: status["broker_state"] == state)
        self.says(FRONT, "BROKER: ", *words)
        assert self.ask("status")[FRONT]["broker_state"] == state
        line = self.told_once(FRONT, '"broker"', f'"state": "{state}"', *words)
        assert (line["level"], line["do"] != "") == ("warning", True)
        yield
        self.wait(FRONT, lambda status: status["broker_state"] == "ready")
        self.told_once(FRONT, '"broker"', '"state": "ready"')

    def counted(self, queue: str, n: int) -> None:
        """So many messages lie in a queue, and the operator is told."""
        self.wait(FRONT, lambda status: status["queues"].get(queue, 0) == n)
        self.says(FRONT, f"{n} in {queue}")

    def empty(self, *queues: str) -> None:
        """The operator has looked at what lay there."""
        for queue in queues:
            self.node.manage("DELETE", f"/queues/{quote('/', safe='')}/{queue}/contents")
        self.wait(FRONT, lambda status: not sum(status["queues"].values()))
        assert " in qz.icbc" not in self.run("status")[1]

    def stand_still(self) -> None:
        """The front reads nothing more from its queues, until it is told to."""
        assert self.run("drain", FRONT, "--reason", "a new disk", "--force")[0] == 0
        self.wait(FRONT, lambda status: status["paused"])

    def no_credit(self, paper: Paper) -> None:
        """Nothing of it stands in the books."""
        assert self.credits(paper) == 0

    @contextmanager
    def held_in_front(self, paper: Paper) -> Iterator[None]:
        """The recharge is with the front, and what is behind it stands still."""
        self.process(BRIDGE).send_signal(signal.SIGSTOP)
        try:
            self.send(paper)
            self.wait(FRONT, lambda status: status["unanswered"] == 1)
            yield
        finally:
            self.process(BRIDGE).send_signal(signal.SIGCONT)


@pytest.fixture(scope="module")
def node() -> Iterator[Broker]:
    """A node that these tests may stop and starve; not started yet."""
    made = Broker.create()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def running(node: Broker) -> Iterator[Place]:
    made = Place(node)
    try:
        made.start()  # without its broker
        yield made
        made.is_well()
        assert made.ask("audit-books")["balanced"]
    finally:
        made.close()


@pytest.fixture
def place(running: Place) -> Place:
    """The running site, with what was logged before forgotten."""
    if running.node.alive:
        running.is_well()
        running.mark()
    return running


def test_a_broker_that_is_down_at_the_start_and_then_does_not_know_us(place: Place) -> None:
    with place.troubled("unreachable", "refused", f"{place.node.host}:{place.node.port}"):
        place.node.start()
        place.wait(FRONT, lambda status: status["broker_state"] == "refused")
        place.says(FRONT, "BROKER: ", "ACCESS_REFUSED")
        assert "permissions" in place.told_once(FRONT, '"state": "refused"')["do"]
        place.node.add_user("qianzhi", "our-password")
        place.node.add_user(NAMES.user, "bank-password")
        place.permit(US, bank_user(NAMES))
    place.connect_bank()
    place.recharges()


def test_a_broker_that_is_restarted(place: Place) -> None:
    """What the front held, and what it has not read, is answered once afterwards."""
    held = place.recharge()
    with place.held_in_front(held):
        place.bank.close()
        place.node.stop()
        place.wait(FRONT, lambda status: status["broker_state"] == "unreachable")
    with place.troubled("unreachable", "Connection refused"):
        place.node.start()
    place.connect_bank()
    place.is_credited(held)
    place.recharges()


def test_a_broker_whose_disk_alarm_blocks_our_replies(place: Place) -> None:
    """What waits is read under the alarm; its answer goes out once the alarm is over."""
    paper = place.recharge()
    place.stand_still()
    place.send(paper)
    place.node.rabbitmqctl("set_disk_free_limit", "1000000GB")
    try:
        assert place.run("undrain", FRONT)[0] == 0
        with place.troubled("blocked", "disk"):
            place.node.rabbitmqctl("set_disk_free_limit", "50MB")
    except BaseException:
        place.node.rabbitmqctl("set_disk_free_limit", "50MB")  # or all tests after this one fail with it
        raise
    place.is_credited(paper)
    place.recharges()


def test_a_queue_that_was_deleted(place: Place) -> None:
    place.node.manage("DELETE", f"/queues/{quote('/', safe='')}/{NAMES.main}")
    line = place.told_once(FRONT, "queue_deleted")
    assert (line["level"], line["queue"], "declared again" in line["do"]) == ("error", NAMES.main, True)
    place.wait(FRONT, lambda status: status["broker_state"] == "ready")
    place.says(FRONT, f"{NAMES.main} was DELETED ", "declared again")
    place.told_once(FRONT, '"broker"', '"state": "ready"')
    place.recharges()


def test_permissions_that_were_taken_away(place: Place) -> None:
    waiting = place.recharge()
    place.permit((US.name, "^$", "^$", "^$"))
    for connection in connections(place):
        place.node.manage("DELETE", f"/connections/{quote(connection, safe='')}")
    place.send(waiting)
    with place.troubled("refused", "ACCESS_REFUSED"):
        place.permit(US)
    place.is_credited(waiting)
    place.recharges()


def connections(place: Place) -> list[str]:
    """Our own connections' names, as soon as the broker counts them."""
    found: list[str] = []

    def known() -> bool:
        rows = place.node.manage("GET", "/connections")
        found[:] = [row["name"] for row in rows if row.get("user") == US.name]
        return bool(found)

    wait_until(known, 20, "the broker knows no connection of ours")
    return found


def test_a_message_that_ends_whoever_handles_it(place: Place) -> None:
    """The front dies over it, then over it alone, twice; then it is put aside and its neighbour served."""
    poison, neighbour = place.recharge(), place.recharge()
    place.kill(FRONT)
    place.send(poison)
    for _ in range(3):
        assert place.launch(FRONT, QIANZHI_CRASH="front.before_record").wait(40) == -signal.SIGKILL
    place.send(neighbour)
    place.start(FRONT)
    assert place.told_once(FRONT, "message_backed_out")["queue"] == NAMES.backout
    place.is_credited(neighbour)
    place.counted(NAMES.backout, 1)
    place.empty(NAMES.backout)


def test_messages_at_fault_themselves_and_one_that_expired(place: Place) -> None:
    """Without reply-to, huge, unreadable: put aside unanswered; expired: with the dead letters."""
    no_reply, huge, expired = (place.recharge() for _ in range(3))
    place.bank.send(no_reply.frame, b"n", reply_to=None)
    line = place.told_once(FRONT, "message_backed_out")
    assert (line["level"], line["queue"], line["n"]) == ("error", NAMES.backout, 1)
    assert "qianzhi-reason" in line["do"]
    place.bank.send(huge.frame + b" " * 5_000_000, b"h")
    place.bank.send(b"\xff\xfe" * 40, b"u")
    place.counted(NAMES.backout, 3)

    place.stand_still()
    now_s = clock.now().wall_us // 1_000_000
    place.send(expired, expiration="100", timestamp=now_s)
    place.counted(NAMES.dead, 1)
    assert place.run("undrain", FRONT)[0] == 0
    line = place.told_once(FRONT, "dead_letters")
    assert (line["level"], line["queue"], "publish none again" in line["do"]) == ("error", NAMES.dead, True)

    place.recharges()
    for paper in (no_reply, huge, expired):
        place.no_credit(paper)
    place.empty(NAMES.backout, NAMES.dead)


def test_a_message_that_thirty_consumers_died_over(place: Place) -> None:
    paper = place.recharge()
    place.stand_still()
    place.send(paper)
    login = pika.PlainCredentials(US.name, "our-password")
    for _ in range(DEATHS):
        consumer = pika.BlockingConnection(
            pika.ConnectionParameters(place.node.host, place.node.port, "/", login)
        )
        next(consumer.channel().consume(NAMES.main, inactivity_timeout=20))
        consumer.close()  # what it has not acknowledged comes again, as after its death
    place.process(BRIDGE).send_signal(signal.SIGSTOP)
    assert place.run("undrain", FRONT)[0] == 0
    place.wait(FRONT, lambda status: status["again_most"] >= DEATHS)
    place.says(FRONT, f"1 came AGAIN, up to {DEATHS} times")
    line = place.told_once(FRONT, "again and again")
    assert (line["level"], line["times"], "front-ends" in line["do"]) == ("warning", DEATHS, True)
    place.process(BRIDGE).send_signal(signal.SIGCONT)
    place.is_credited(paper)
    place.wait(FRONT, lambda status: status["again"] == 0)
