"""Only declared metrics are counted, and Prometheus can read them."""

import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from qianzhi.runtime import metrics
from qianzhi.runtime.metric_names import COUNTERS, GAUGES, HISTOGRAMS
from qianzhi.runtime.metrics import MetricsServer, UndeclaredMetricError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("qianzhi_invented_total", ()),
        ("qianzhi_requests_total", ("bank",)),
        ("qianzhi_requests_total", ()),
        ("qianzhi_batch_size", ()),
        ("qianzhi_alarms_total", ("a", "b")),
    ],
)
def test_counting_what_is_not_declared_is_an_error(name: str, labels: tuple[str, ...]) -> None:
    with pytest.raises(UndeclaredMetricError):
        metrics.count(name, labels)


def test_names_and_labels_are_in_order() -> None:
    assert all(name.startswith("qianzhi_") and name.endswith("_total") for name in COUNTERS)
    assert all(name.startswith("qianzhi_") for name in GAUGES | HISTOGRAMS)
    unbounded = {"phone", "pan", "serial", "key", "trace", "order"}
    for metric in (COUNTERS | GAUGES | HISTOGRAMS).values():
        assert not unbounded & set(metric.labels)
        assert metric.help.endswith(".")


def test_every_declared_metric_is_fed_somewhere() -> None:
    sources = [
        path.read_text(encoding="utf-8")
        for folder in ("qianzhi", "frontends", "bankmq", "socket_pool", "interface_layer", "crm_bridge")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "metric_names.py"
    ]
    named = {name for source in sources for name in re.findall(r'"(qianzhi_[a-z_]+)"', source)}
    assert sorted((COUNTERS | GAUGES | HISTOGRAMS).keys() - named) == []


def test_the_server_shows_what_was_counted(reactor_thread: Any) -> None:
    metrics.count("qianzhi_requests_total", ("shown", "recharge", "approved"), 41)
    metrics.count("qianzhi_requests_total", ("shown", "recharge", "approved"))
    metrics.observe("qianzhi_request_seconds", ("shown", "recharge"), [0.0005, 0.03, 99])
    metrics.gauge("qianzhi_in_flight", ("shown",), 7)
    server = MetricsServer("127.0.0.1", 0)
    port = reactor_thread.run(lambda: server.start(reactor_thread.reactor))
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    reactor_thread.run(server.stop)
    samples = {
        (sample.name, sample.labels.get("le", "")): sample.value
        for family in families
        for sample in family.samples
        if sample.labels.get("bank") == "shown"
    }
    assert samples["qianzhi_requests_total", ""] == 42
    assert samples["qianzhi_in_flight", ""] == 7
    assert samples["qianzhi_request_seconds_bucket", "0.001"] == 1
    assert samples["qianzhi_request_seconds_bucket", "0.05"] == 2
    assert samples["qianzhi_request_seconds_count", ""] == 3
