import shutil
from zoneinfo import ZoneInfo

import pytest

from crm_bridge.gateway import Gateway
from crm_bridge.lookup import find_account
from crm_bridge.seed import seed
from crm_bridge.settings import CoreSettings
from qianzhi.domain.requests import Kind, Request
from qianzhi.runtime.now import Now

ZONE = ZoneInfo("Asia/Shanghai")
NOON = Now(5_000_000, 1_794_888_000_000_000)  # 2026-11-17 12:00:00 in Shanghai
TODAY = 20261117


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """A seeded database that tests copy; sixty subscribers on the day that all tests start with."""
    path = tmp_path_factory.mktemp("core") / "template.db"
    seed(f"sqlite:///{path}", 60, 1, now=NOON, zone=ZONE)
    return path


@pytest.fixture
def url(template, tmp_path):
    shutil.copy(template, tmp_path / "core.db")
    return f"sqlite:///{tmp_path}/core.db"


@pytest.fixture
def noon():
    return NOON


@pytest.fixture
def run(core):
    """Execute some requests at noon (or some hours later); return their replies."""

    def execute(*requests, hours=0):
        return core.execute(list(requests), NOON.after(int(hours * 3_600_000_000)))

    return execute


@pytest.fixture
def account(url):
    """Look a phone's account up, with today's late fees."""

    def find(phone):
        return find_account(
            url, phone, settings=CoreSettings(database=url, late_fee_per_day=30), now=NOON, zone=ZONE
        )

    return find


@pytest.fixture
def core(url):
    gateway = Gateway(url, CoreSettings(database=url, late_fee_per_day=30), ZONE)
    yield gateway
    gateway.close()


@pytest.fixture
def ask():
    """Build a request with everything that a bank always sends."""

    def build(kind, serial, phone="", amount_fen=0, **more):
        given = {"space": "citic", "date": TODAY, "bank": "hz_citic", "bank_number": "00101"} | more
        return Request(kind=Kind(kind), serial=serial, phone=phone, amount_fen=amount_fen, **given)

    return build
