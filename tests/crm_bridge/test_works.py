"""A bridge's writers over a database whose keeper has something against them."""

import threading
from datetime import UTC
from types import SimpleNamespace
from typing import Any

import pytest

from crm_bridge import keeper as keeper_module
from crm_bridge import settling as settling_module
from crm_bridge.bridge import Batch, Work
from crm_bridge.database import store
from crm_bridge.gateway_errors import Trouble
from crm_bridge.migrations.schema import migrate
from crm_bridge.settings import CoreSettings
from crm_bridge.watch import Standing
from crm_bridge.works import Works
from qianzhi.domain.requests import Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.link.messages import Status
from qianzhi.runtime import clock
from simulators.servers.postgres import Postgres

TWO_DAYS_US = 48 * 3_600_000_000


def test_a_bridge_whose_clock_is_wrong_hands_nothing_to_its_core(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(settling_module, "PATIENCE_SECONDS", 0)
    url = postgres.new_database()
    migrate(url)
    asked: list[Any] = []
    kept: list[int] = []

    def execute(requests: list[Request], *_: Any) -> list[Reply]:
        asked.extend(requests)
        return [Reply(Result.APPROVED) for _ in requests]

    core: Any = SimpleNamespace(execute=execute, take_alarms=list)
    cores: Any = SimpleNamespace(open=lambda: [core], stop=lambda: None, status=dict, zone=UTC)
    cores.keep_after = kept.append
    wrong, done = threading.Event(), threading.Event()
    batches: list[Batch] = []

    def tell(standing: Standing) -> None:
        if standing.trouble is Trouble.CLOCK:
            wrong.set()

    def deliver(_number: int, batch: Batch) -> None:
        batches.append(batch)
        done.set()

    works = Works(CoreSettings(database=url), cores, tell)
    works.open(deliver)
    try:
        assert works.ready
        right = clock.now
        monkeypatch.setattr(
            store.clock, "now", lambda: right()._replace(wall_us=right().wall_us + TWO_DAYS_US)
        )
        assert wrong.wait(20)
        query = Request(Kind.STATUS, "bank", 20261122, "1", "bank", "9001", "13800000000", 100)
        works.give(0, [Work(0, query, clock.now().mono_us)])
        assert done.wait(20)
        assert [each.status for each in batches[0].done] == [Status.EXPIRED]
        assert asked == []
    finally:
        works.stop()
