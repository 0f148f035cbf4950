"""A front's own core on a live RabbitMQ: what it cannot serve lies in `.bo` with the reason, and recorded."""

from pathlib import Path
from typing import Any

from bankmq.rabbit import RabbitLimits, RabbitQueueServer
from frontends.alone import Alone
from frontends.front import TO_BANK
from frontends.queue_front import QueueFront
from qianzhi.runtime import clock
from qianzhi.runtime.effects import Pause, Record, Send, Withheld
from qianzhi.runtime.shell import Interpreter
from tests.frontends.conftest import Bench


class Daemon:
    """The shell of a front-end without its link: records are kept in a list, nothing goes to a node."""

    def __init__(self, rabbit: Any, reactor: Any, folder: Path) -> None:
        self.rows: list[Any] = []
        bench = Bench("icbc")
        handlers = {
            Record: self._record,
            Send: self._send,
            Pause: lambda effect: self.front.pause(effect.paused),
            Withheld: lambda effect: self.front.withhold(effect.send),
        }
        shell = Interpreter(bench.core, handlers, reactor)
        self.server = RabbitQueueServer(rabbit.names, rabbit.settings(), RabbitLimits(), reactor)
        alone = Alone(folder / "front-icbc-1.alone", reactor)
        self.front = QueueFront(rabbit.main, self.server, bench.core, shell.run, clock.now, alone)

    def _record(self, effect: Record) -> None:
        self.rows += effect.rows

    def _send(self, effect: Send) -> None:
        if effect.to == TO_BANK:
            self.front.send(effect.items)
        elif not isinstance(effect.to, tuple):
            self.front.finish(effect)


def test_what_a_front_cannot_serve_lies_in_the_backout_queue_and_in_its_events(
    rabbit: Any, reactor_thread: Any, tmp_path: Path
) -> None:
    (tmp_path / "front-icbc-1.alone").mkdir()  # as bad as a file of names can be
    daemon = Daemon(rabbit, reactor_thread.reactor, tmp_path)
    rabbit.stop(rabbit.serve())  # the queues stand from here on
    bank = rabbit.bank()
    bank.send(b"<no message>", b"1")
    bank.send(b"<no message>", b"2", reply_to=None)
    bank.send(b"<no message>", b"3", control=True, reply_to="qz.abc.reply.1")
    reactor_thread.run(daemon.front.start)
    try:
        aside = [bank.receive(rabbit.names.backout) for _ in range(3)]
        found = {properties.message_id: properties.headers["qianzhi-reason"] for _, properties in aside}
        assert found == {"1": "format", "2": "no_reply_to", "3": "foreign_reply_to"}
        assert sorted(row.name for row in daemon.rows) == ["backed_out", "backed_out", "format"]
        assert (rabbit.depth(rabbit.main), rabbit.depth(rabbit.names.control)) == (0, 0)
        assert rabbit.depth(bank.reply_to) == 0
    finally:
        reactor_thread.run(daemon.front.stop)
