"""The queue: a bank of the product on RabbitMQ, and RabbitMQ's raw request and reply beside it.

One and the same client (`rabbit_rpc.py ask`) asks both, with the same messages, so many at once, persistent,
on quorum queues; the raw server answers with as many bytes as the product does, and nothing else.
"""

import json
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bank import Bank
from load import Run, cpu_seconds, frames_in, run_of
from product import QUEUE_BANK, Product

from bankmq.amqp_names import bank_names
from qianzhi.runtime.secrets import resolve_password

RPC = Path(__file__).with_name("rabbit_rpc.py")
PREFETCH = 1_000
WAIT_SECONDS = 15
RAW_QUEUE = "bench.raw"


class QueueBank(Bank):
    """The bank on a queue."""

    def __init__(self, product: Product) -> None:
        """Take its names and its user's password from the site."""
        super().__init__(product, QUEUE_BANK)
        table = self.site.broker
        if table is None or product.broker is None:
            raise SystemExit("the site has no broker")
        self._names = bank_names(table.prefix, QUEUE_BANK)
        self.reply = self._names.reply + ".bench"
        self._place = {
            "host": product.broker.host,
            "port": product.broker.port,
            "vhost": table.vhost,
            "user": self._names.user,
            "password": resolve_password(
                self.site.banks[QUEUE_BANK].password, production=False, base=product.config
            ),
            "exchange": self._names.exchange,
            "key": self._names.main,
        }
        self.answer_bytes = 0

    def drive(self, frames: Path, in_flight: int, reply: str) -> Run:
        """Ask with a file of frames; `reply` names a durable queue for the answers, "" direct reply-to."""
        run = asked({**self._place, "reply": reply}, frames, in_flight)
        self.answer_bytes = int(statistics.median(map(len, frames_in(run.answers))))
        return run


class RawRpc:
    """A server of `rabbit_rpc.py` on a virtual host of its own of the same broker."""

    def __init__(self, product: Product, reply_bytes: int) -> None:
        if product.broker is None:
            raise SystemExit("the site has no broker")
        self._broker = product.broker
        login = {"user": product.broker.admin_user, "password": product.broker.admin_password}
        self._place = {
            "host": product.broker.host,
            "port": product.broker.port,
            "vhost": product.broker.new_vhost(),
            **login,
            "exchange": "",
            "key": RAW_QUEUE,
            "prefetch": PREFETCH,
            "reply_bytes": reply_bytes,
        }
        command = [sys.executable, str(RPC), "serve"]
        self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._server.stdin is not None  # noqa: S101  both were asked for
        assert self._server.stdout is not None  # noqa: S101
        self._server.stdin.write(json.dumps(self._place))
        self._server.stdin.close()
        if not self._server.stdout.readline():
            raise SystemExit("the raw server of RabbitMQ did not start")

    def run(self, frames: Path, in_flight: int) -> tuple[Run, dict[str, float]]:
        """Ask once; return the run, and µs of CPU for each message by server and broker."""
        before = self._spent()
        run = asked({**self._place, "reply": ""}, frames, in_flight)
        run.answers.unlink()
        run.answers.parent.rmdir()
        if run.unanswered or run.strange:
            raise SystemExit(f"RabbitMQ's raw RPC left {run.unanswered} unanswered, {run.strange} strange")
        after = self._spent()
        return run, {name: round((after[name] - before[name]) / run.answered * 1e6, 1) for name in after}

    def close(self) -> None:
        """End the server."""
        self._server.send_signal(signal.SIGTERM)
        self._server.wait(10)

    def _spent(self) -> dict[str, float]:
        return {"server": cpu_seconds([self._server.pid]), "rabbitmq": cpu_seconds([self._broker.pid])}


def asked(place: dict[str, Any], frames: Path, in_flight: int) -> Run:
    """Let the client ask with a file of frames; return what came of it."""
    folder = Path(tempfile.mkdtemp(prefix="qianzhi-load-"))
    place = {**place, "prefetch": PREFETCH, "in_flight": in_flight, "wait_seconds": WAIT_SECONDS}
    place |= {"frames": str(frames), "answers": str(folder / "answers"), "times": str(folder / "times")}
    command = [sys.executable, str(RPC), "ask"]
    done = subprocess.run(command, input=json.dumps(place), stdout=subprocess.PIPE, text=True)
    words = done.stdout.split()
    if done.returncode or len(words) != 7:
        raise SystemExit("the client of the queue failed")
    return run_of(done.stdout, folder, float(words[6]) * 1e6, 1)
