"""What is measured, by name; each scenario runs the product in turn with its yardsticks."""

import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bank import Serials
from codec_bench import pyiso8583_us
from load import cpu_seconds
from queue_path import QueueBank, RawRpc
from series import Row, Series, plainly, ratio
from system import SUBSCRIBERS, Bench, tell
from yardsticks import Naive, Pgbench, Relay, closing_all

# What the naive implementation has to make, or it is no honest mark and its ratio is void: on a machine where
# pyiso8583 reads its message in the time below; a slower machine may be as much slower at it.
NAIVE_RATE_MIN, NAIVE_CPU_US_MAX, PYISO8583_US = 650, 3_000, 45.0
QUEUED = 256  # messages under way on the queue


def end_to_end(bench: Bench) -> list[Row]:
    """The product against the naive implementation, pgbench and the grouped ledger."""
    product, naive, statement, simple, ledger = (Series() for _ in range(5))
    reading_us: list[float] = []
    other = Naive(bench.product.database, bench.bank.key.material, SUBSCRIBERS)
    pgbench = Pgbench(bench.product.database, SUBSCRIBERS)
    with closing_all(other, pgbench):
        bench.warm(8, 64)
        serials = Serials()
        for number in range(bench.rounds):
            bench.ask(8, 64, product)
            count = int(max(512, (naive.rate if naive.rates else 600) * bench.seconds))
            frames, first = bench.bank.fresh(count, serials)
            run, cpu_us = other.run(frames, 8, 8, first)
            naive.take(run, {"naive": cpu_us})
            reading_us.append(pyiso8583_us())
            if bench.bank.check(run)[bench.bank.approved] != count:
                raise SystemExit("the naive implementation refused something")
            for series, work in ((statement, pgbench.recharge), (simple, pgbench.simple_update)):
                figure = work(max(1, int(bench.seconds / 2)))
                series.rates.append(figure.rate)
                series.cpu_us.append(figure.cpu_us)
                series.generator_us.append(figure.client_cpu_us)
            _ledger(bench, number, ledger)
    found = {"product 8x64": product, "naive 8x8": naive, "pgbench, one statement": statement}
    bench.keep("end-to-end", found | {"pgbench, simple update": simple, "ledger, lists of 64": ledger})
    rows = [
        ratio("end to end against naive: throughput", product.rates, naive.rates, (20, 35)),
        ratio("end to end against naive: its CPU by ours", naive.cpu_us, product.cpu_us, (22, 40)),
        ratio("against pgbench, the recharge as one statement", product.rates, statement.rates, (2, 3)),
        ratio("against the grouped ledger alone", product.rates, ledger.rates, (0.65, 0.9)),
    ]
    here = statistics.median(reading_us)
    slower = max(1.0, here / PYISO8583_US)
    if naive.rate * slower < NAIVE_RATE_MIN or naive.cpu / slower > NAIVE_CPU_US_MAX:
        said = f"naive makes {naive.rate:.0f}/s at {naive.cpu:.0f} us on a machine {slower:.1f} x slower"
        rows[0].void = rows[1].void = f"{said} than its mark's: no honest mark"
    bench.results["pyiso8583_us"] = reading_us
    tell(f"  pyiso8583 reads a message in {here:.0f} us, {slower:.1f} x the time on the machine that the")
    tell("  naive implementation's marks are of, which count as much less")
    bench.said["end-to-end"] = f"end-to-end {rows[0].value:.1f} x naive, {rows[2].value:.1f} x pgbench"
    return rows


def _ledger(bench: Bench, number: int, series: Series) -> None:
    words = [bench.product.config, SUBSCRIBERS, bench.seconds, f"{bench.stamp}{number}"]
    server = bench.product.database.pid
    before = cpu_seconds([server])
    said = subprocess.run(
        [sys.executable, Path(__file__).with_name("ledger_loop.py"), *map(str, words)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    done, seconds, own = map(float, said.stdout.split())
    series.rates.append(done / seconds)
    series.cpu_us.append((own + cpu_seconds([server]) - before) / done * 1e6)


def relay(bench: Bench) -> list[Row]:
    """The product against HAProxy relaying the same bytes, 50 connections with one in flight each."""
    product, relayed = Series(), Series()
    other = Relay()
    with closing_all(other):
        bench.warm(50, 1)
        plenty = bench.bank.fresh(int(40_000 * bench.seconds), Serials())
        frames = plenty[0].rename(plenty[0].with_name("relayed"))
        for _ in range(bench.rounds):
            bench.ask(50, 1, product)
            run, cpu_us = other.run(frames, 50, 1, plenty[1])
            relayed.take(run, {"haproxy": cpu_us})
    bench.keep("relay", {"product 50x1": product, "HAProxy 50x1": relayed})
    title = "nodes' CPU for one against HAProxy's, 50 × 1"
    return [
        ratio("against HAProxy, 50 × 1: throughput", product.rates, relayed.rates, (0.25, 0.45)),
        ratio(title, product.parts_us("node"), relayed.cpu_us, (1, 0.4), less=True),
    ]


def queue(bench: Bench) -> list[Row]:
    """The product over RabbitMQ against RabbitMQ's raw request and reply, the same client asking both."""
    product, kept, raw = Series(), Series(), Series()
    bank = QueueBank(bench.product)

    def ask(series: Series, reply: str) -> None:
        work = partial(bank.drive, in_flight=QUEUED, reply=reply)
        bench.measure(bank, lambda frames, _: work(frames), ("queue" + reply, QUEUED), series)

    for reply in ("", bank.reply):
        ask(Series(), reply)
    other = RawRpc(bench.product, bank.answer_bytes)
    with closing_all(other):
        frames = bank.fresh(int(10_000 * bench.seconds), Serials())[0]
        frames = frames.rename(frames.with_name("raw"))
        for _ in range(bench.rounds):
            ask(product, "")
            run, processes_us = other.run(frames, QUEUED)
            raw.take(run, processes_us)
            ask(kept, bank.reply)
    found = {"product, RabbitMQ": product, "product, replies on a queue": kept, "RabbitMQ, raw RPC": raw}
    bench.keep("queue", found)
    row = ratio("queue path against RabbitMQ's raw RPC", product.rates, raw.rates, (0.65, 0.9))
    bench.said["queue"] = f"queue path {row.value:.2f} x rabbitmq-rpc"
    return [row]


def latency(bench: Bench) -> list[Row]:
    """The latency of one connection with one in flight, and at half of the peak throughput."""
    alone, half = Series(), Series()
    bench.warm(1, 1)
    if (8, 64) not in bench.rates:
        bench.warm(8, 64)
    peak = bench.rates[8, 64]
    for _ in range(bench.rounds):
        bench.ask(1, 1, alone)
        bench.ask(8, 64, half, rate=peak / 2)
    bench.keep("latency", {"product 1x1": alone, f"product at {peak / 2:.0f}/s": half})
    return [
        plainly("one connection, one in flight: p50", alone.p50_ms, (1.5, 1.0)),
        plainly("at half of the peak throughput: p99", half.p99_ms, (15, 8)),
    ]


SCENARIOS: dict[str, Callable[[Bench], list[Row]]] = {
    "end-to-end": end_to_end,
    "relay": relay,
    "queue": queue,
    "latency": latency,
}
