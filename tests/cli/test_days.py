"""`qianzhi day status` on a core whose date was closed before a node's word on an open entry of it came."""

import json
from pathlib import Path
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest

from crm_bridge.gateway import Gateway
from crm_bridge.migrations.schema import migrate
from crm_bridge.settings import CoreSettings
from qianzhi.cli import days
from qianzhi.domain.requests import Kind, Request
from qianzhi.domain.results import Result
from qianzhi.runtime.now import Now

NOON = Now(5_000_000, 1_794_888_000_000_000)  # 2026-11-17 12:00:00 in Shanghai
EVE = 20261116


@pytest.fixture
def status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Return a function that carries requests out, and what is shown then, as JSON and as a table."""
    url = f"sqlite:///{tmp_path}/core.db"
    migrate(url)
    site = SimpleNamespace(site=SimpleNamespace(timezone="Asia/Shanghai"))
    monkeypatch.setattr(days, "core_of", lambda _: (site, CoreSettings(database=url)))
    monkeypatch.setattr("qianzhi.link.site.zone_of", lambda _: ZoneInfo("Asia/Shanghai"))
    core = Gateway(url, CoreSettings(database=url), ZoneInfo("Asia/Shanghai"), "b1")

    def after(*requests: Request) -> tuple[list[dict[str, object]], str]:
        assert {reply.result for reply in core.execute(list(requests), NOON)} == {Result.APPROVED}
        days.status_command(SimpleNamespace(), "", True)
        shown = json.loads(capsys.readouterr().out)
        days.status_command(SimpleNamespace(), "", False)
        return shown, capsys.readouterr().out

    yield after
    core.close()


def test_a_date_that_is_closed_with_an_open_break_is_named(status) -> None:
    close = Request(Kind.CLOSE, "unet-out", EVE, "-", "", "", reason="timer")
    late = Request(
        Kind.BREAK, "unet-out", EVE, "000007", "unet", "9101", amount_fen=700, stamp_us=10, reason="saf"
    )
    ((day,), shown) = status(close)
    assert day["closed_with_open"] == []
    assert "closed with an open break" not in " ".join(shown.split())
    ((day,), shown) = status(late)
    assert (day["closed_with_open"], day["open_breaks"], day["open_fen"]) == ([EVE], 1, 700)
    assert shown.count(str(EVE)) == 2


def test_a_space_of_which_nothing_is_closed_says_so(status) -> None:
    opened = Request(
        Kind.BREAK, "unet-out", EVE, "000007", "unet", "9101", amount_fen=700, stamp_us=10, reason="saf"
    )
    ((day,), shown) = status(opened)
    assert (day["fence"], "no date yet" in shown) == (None, True)
