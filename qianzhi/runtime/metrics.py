"""Metrics for Prometheus: counted per list, never per message, and only under declared names
(`metric_names`).

One registry per process.  What is counted stands in plain tables, which are put into Prometheus' form when
somebody asks for them: with a message or two a wake-up, its own counters would be a good part of the work.
`MetricsServer` shows them on the daemon's own port, and nothing else.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.utils import floatToGoString

from qianzhi.runtime.metric_names import COUNTERS, GAUGES, HISTOGRAMS

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

Row = tuple[str, ...]  # a metric's name and the values of its labels in their declared order

_lock = Lock()  # counted from several threads
_counts: dict[Row, float] = {(name,): 0 for name, metric in COUNTERS.items() if not metric.labels}
_gauges: dict[Row, float] = {(name,): 0 for name, metric in GAUGES.items() if not metric.labels}
_spreads: dict[Row, tuple[tuple[float, ...], list[float]]] = {}  # bounds; a count for each, the rest, the sum


class UndeclaredMetricError(KeyError):
    """A metric that is not in `metric_names`, or has other labels there."""


def count(name: str, labels: Sequence[str] = (), n: int = 1) -> None:
    """Add `n` to a counter; `labels` are the values in the declared order.  Raises UndeclaredMetricError."""
    row = (name, *labels)
    with _lock:
        if row in _counts:
            _counts[row] += n
            return
    _check(COUNTERS, row)
    with _lock:
        _counts[row] = _counts.get(row, 0) + n


def gauge(name: str, labels: Sequence[str], value: float) -> None:
    """Set a gauge.  Raises UndeclaredMetricError."""
    row = (name, *labels)
    if row not in _gauges:
        _check(GAUGES, row)
    with _lock:
        _gauges[row] = value


def observe(name: str, labels: Sequence[str], values: Iterable[float]) -> None:
    """Add the values of one list to a histogram.  Raises UndeclaredMetricError."""
    spread = _spreads.get((name, *labels)) or _new_spread((name, *labels))
    bounds, counts = spread
    with _lock:
        for value in values:
            counts[bisect_left(bounds, value)] += 1
            counts[-1] += value


def value(name: str, labels: Sequence[str] = ()) -> float:
    """Return what a counter or gauge stands at; for status commands and tests."""
    row = (name, *labels)
    _check(COUNTERS | GAUGES, row)
    return float(_counts.get(row, 0) if name in COUNTERS else _gauges.get(row, 0))


def _check(family: dict[str, Any], row: Row) -> None:
    if row[0] not in family or len(family[row[0]].labels) != len(row) - 1:
        raise UndeclaredMetricError(f"{row[0]} with {len(row) - 1} labels")


def _new_spread(row: Row) -> tuple[tuple[float, ...], list[float]]:
    _check(HISTOGRAMS, row)
    bounds = tuple(map(float, HISTOGRAMS[row[0]].buckets))
    with _lock:
        return _spreads.setdefault(row, (bounds, [0.0] * (len(bounds) + 2)))


class _Tables:
    """Puts the tables into Prometheus' form."""

    def collect(self) -> Iterator[Metric]:
        """Return all metrics as they stand."""
        with _lock:
            counts, gauges = dict(_counts), dict(_gauges)
            spreads = {row: (bounds, list(found)) for row, (bounds, found) in _spreads.items()}
        for declared, rows, family in (
            (COUNTERS, counts, CounterMetricFamily),
            (GAUGES, gauges, GaugeMetricFamily),
        ):
            for name, metric in declared.items():
                made: Any = family(name, metric.help, labels=metric.labels)
                for row in [row for row in rows if row[0] == name]:
                    made.add_metric(row[1:], rows[row])
                yield made
        for name, metric in HISTOGRAMS.items():
            shown: Any = HistogramMetricFamily(name, metric.help, labels=metric.labels)
            for row in [row for row in spreads if row[0] == name]:
                shown.add_metric(row[1:], *_buckets(*spreads[row]))
            yield shown


def _buckets(bounds: tuple[float, ...], counts: list[float]) -> tuple[list[tuple[str, float]], float]:
    """Return each bound with how many values lie at or below it, and the sum of all values."""
    buckets, below = [], 0.0
    for bound, found in zip((*bounds, float("inf")), counts, strict=False):
        below += found
        buckets.append((floatToGoString(bound), below))  # type: ignore[no-untyped-call]
    return buckets, counts[-1]


REGISTRY = CollectorRegistry()
REGISTRY.register(_Tables())


class MetricsServer:
    """Serves /metrics over HTTP."""

    def __init__(self, host: str, port: int) -> None:
        """`port` 0 takes a free one."""
        self._host = host
        self._port = port
        self._listening: Any = None

    def start(self, reactor: Any) -> int:
        """Listen and return the port; raises twisted's CannotListenError when it is taken."""
        # They bring a reactor with them, where none is installed.
        from prometheus_client.twisted import MetricsResource
        from twisted.web.resource import Resource
        from twisted.web.server import Site

        root: Any = Resource()  # type: ignore[no-untyped-call]
        root.putChild(b"metrics", MetricsResource(REGISTRY))  # type: ignore[no-untyped-call]
        site = Site(root)  # type: ignore[no-untyped-call]
        site.noisy = False
        site.displayTracebacks = False
        self._listening = reactor.listenTCP(self._port, site, interface=self._host)
        return int(self._listening.getHost().port)

    def stop(self) -> "Deferred[None] | None":
        """Stop listening."""
        return self._listening.stopListening() if self._listening is not None else None
