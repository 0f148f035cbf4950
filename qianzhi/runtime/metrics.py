"""Metrics for Prometheus: counted per list, never per message, and only under declared names
(`metric_names`).

One registry per process.  `MetricsServer` shows it on the daemon's own port, and nothing else.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.twisted import MetricsResource
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import Site

from qianzhi.runtime.metric_names import COUNTERS, GAUGES, HISTOGRAMS

REGISTRY = CollectorRegistry()

_counters = {name: Counter(name, m.help, m.labels, registry=REGISTRY) for name, m in COUNTERS.items()}
_gauges = {name: Gauge(name, m.help, m.labels, registry=REGISTRY) for name, m in GAUGES.items()}
_histograms = {
    name: Histogram(name, m.help, m.labels, buckets=m.buckets, registry=REGISTRY)
    for name, m in HISTOGRAMS.items()
}
# What feeds each child that has been used, by its name and labels: finding it anew costs more than feeding.
_adds: dict[tuple[str, ...], Callable[[float], None]] = {}
_sets: dict[tuple[str, ...], Callable[[float], None]] = {}
_observes: dict[tuple[str, ...], Callable[[float], None]] = {}
_LABELLED = frozenset(name for name, m in (COUNTERS | GAUGES | HISTOGRAMS).items() if m.labels)


class UndeclaredMetricError(KeyError):
    """A metric that is not in `metric_names`, or has other labels there."""


def count(name: str, labels: Sequence[str] = (), n: int = 1) -> None:
    """Add `n` to a counter; `labels` are the values in the declared order.  Raises UndeclaredMetricError."""
    add = _adds.get((name, *labels))
    if add is None:
        add = _adds[(name, *labels)] = _child(_counters, name, labels).inc
    add(n)


def gauge(name: str, labels: Sequence[str], value: float) -> None:
    """Set a gauge.  Raises UndeclaredMetricError."""
    put = _sets.get((name, *labels))
    if put is None:
        put = _sets[(name, *labels)] = _child(_gauges, name, labels).set
    put(value)


def observe(name: str, labels: Sequence[str], values: Iterable[float]) -> None:
    """Add the values of one list to a histogram.  Raises UndeclaredMetricError."""
    take = _observes.get((name, *labels))
    if take is None:
        take = _observes[(name, *labels)] = _child(_histograms, name, labels).observe
    for value in values:
        take(value)


def value(name: str, labels: Sequence[str] = ()) -> float:
    """Return what a counter or gauge stands at; for status commands and tests."""
    sample = _child(_counters if name in _counters else _gauges, name, labels)
    return float(sample._value.get())


def _child(family: dict[str, Any], name: str, labels: Sequence[str]) -> Any:
    try:
        metric = family[name]
        return metric.labels(*labels) if labels or name in _LABELLED else metric
    except (KeyError, ValueError) as error:
        raise UndeclaredMetricError(f"{name} with {len(labels)} labels") from error


class MetricsServer:
    """Serves /metrics over HTTP."""

    def __init__(self, host: str, port: int) -> None:
        """`port` 0 takes a free one."""
        self._host = host
        self._port = port
        self._listening: Any = None

    def start(self, reactor: Any) -> int:
        """Listen and return the port; raises twisted's CannotListenError when it is taken."""
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
