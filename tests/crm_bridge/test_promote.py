"""The operator's words about the database, on a primary with its synchronous standby: made ready, looked at,
failed over.  No second primary ever.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from crm_bridge.audit import audit_books
from crm_bridge.gateway import Gateway
from crm_bridge.gateway_errors import RetryableError
from crm_bridge.settings import CoreSettings
from qianzhi.domain.dates import business_date
from qianzhi.domain.requests import Kind
from qianzhi.domain.results import Result
from qianzhi.runtime import clock
from simulators.servers.postgres import Cluster

pytestmark = pytest.mark.usefixtures("processors")
ROOT = Path(__file__).parent.parent.parent
ZONE = ZoneInfo("Asia/Shanghai")


@pytest.fixture
def cluster():
    made = Cluster.create()
    yield made
    made.close()


@pytest.fixture
def words(cluster, tmp_path):
    """Run the command on the carrier's site with this cluster in it; return its exit code and its text."""
    config = tmp_path / "config"
    shutil.copytree(ROOT / "config", config)
    file = config / "sites/carrier.toml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("10.77.4.1:5432,10.77.4.2:5432", cluster.ports), encoding="utf-8")

    def run(*given):
        done = subprocess.run(
            [sys.executable, "-m", "qianzhi.cli.main", "--config", config, "--site", "carrier", *given],
            cwd=ROOT,
            env={**os.environ, "PGPASSWORD": cluster.primary.admin_password},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return run


def test_the_standby_takes_over_with_everything_that_was_answered(cluster, words, ask):
    admin = cluster.primary.url("postgres", "postgres")
    assert words("database", "status")[0] == 3
    assert words("database", "init", "--admin", admin)[0] == 0
    assert words("database", "init", "--admin", admin)[0] == 0
    assert words("seed", "--subscribers", "20")[0] == 0
    code, said = words("database", "status")
    assert (code, "standby (sync)" in said) == (0, True)
    url = cluster.url("qianzhi_app", "qianzhi", "qianzhi-app-password")
    core = Gateway(url, CoreSettings(database=url), ZONE)
    today = business_date(clock.now().wall_us, ZONE)
    asked = [ask(Kind.RECHARGE, str(i), f"138000000{i:02d}", 5_000, date=today) for i in range(10)]
    told = core.execute(asked, clock.now())

    standby = f"{cluster.standby.host}:{cluster.standby.port}"
    assert words("promote", standby)[0] == 2  # nobody said how the old primary is stopped
    code, said = words("promote", standby, "--primary-is-stopped")
    assert (code, "it still listens there" in said) == (1, True)
    assert words("promote", "127.0.0.1:1", "--primary-is-stopped")[0] == 2
    primary = f"{cluster.primary.host}:{cluster.primary.port}"
    assert "is a primary already" in words("promote", primary, "--primary-is-stopped")[1]
    assert "could not be stopped" in words("promote", standby, "--stop-command", "false")[1]

    cluster.primary.suspend()  # it stands still, takes connections, and would go on some day
    code, said = words("promote", standby, "--stop-data", str(cluster.primary.data))
    assert (code, "was killed" in said, "is the primary now" in said) == (0, True, True)
    assert not cluster.primary.alive
    with pytest.raises(RetryableError):
        core.execute(asked, clock.now())  # over the connection that died with the old primary
    again = core.execute(asked, clock.now())
    assert [(one.order, one.stored) for one in again] == [(one.order, True) for one in told]
    assert (
        core.execute([ask(Kind.RECHARGE, "new", "13800000001", 5_000, date=today)], clock.now())[0].result
        is Result.APPROVED
    )
    core.close()
    assert audit_books(url).violations == []
