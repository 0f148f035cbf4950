"""`seed`, `audit-books`, `account`, `retention` on a core that does not run: what they say, how they end."""

import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def qianzhi(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "qianzhi.cli.main", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_a_seeded_core_proves_its_books_until_somebody_touches_them(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    assert qianzhi(tmp_path, "audit-books").returncode == 3, "there is no core yet"
    assert qianzhi(tmp_path, "seed", "--subscribers", "30").returncode == 0
    found = qianzhi(tmp_path, "audit-books", "--json")
    assert found.returncode == 0
    assert json.loads(found.stdout)["balanced"] is True
    connection = sqlite3.connect(tmp_path / "var/core.db")
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute(
        "UPDATE ledger_accounts SET balance_fen = balance_fen + 1"
        " WHERE id = (SELECT account FROM billing_books LIMIT 1)"
    )
    connection.commit()
    connection.close()
    found = qianzhi(tmp_path, "audit-books")
    assert found.returncode == 1
    assert "NOT BALANCED" in found.stdout
    assert "broken" in found.stderr
    assert qianzhi(tmp_path, "account", "13800000029").returncode == 0
    assert qianzhi(tmp_path, "account", "19900000000").returncode == 1


def test_retention_says_what_is_kept_and_drops_nothing_on_sqlite(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    assert qianzhi(tmp_path, "seed", "--subscribers", "5").returncode == 0
    shown = qianzhi(tmp_path, "retention", "show")
    assert "(200 days); older ones are refused as too old" in shown.stdout, shown.stderr
    assert "nothing to do" in qianzhi(tmp_path, "retention", "run").stdout
    refused = qianzhi(tmp_path, "retention", "drop", "20260101", "--yes")
    assert (refused.returncode, "nothing is ever detached" in refused.stderr) == (2, True)
