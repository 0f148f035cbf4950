"""What stands beside every absolute figure: the machine, versions, the commit, the disk's time to sync."""

import os
import platform
import re
import shutil
import statistics
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from load import RESULTS, ROOT

from qianzhi.wire.kernel import FORM
from simulators.servers.packages import PackagesMissing, postgres_programs, program

LIBRARIES = ("twisted", "pika", "sqlalchemy", "psycopg", "msgspec", "cryptography", "pyiso8583")


def machine() -> dict[str, Any]:
    """Return all of it."""
    return {
        "processors": os.cpu_count(),
        "processor": _processor(),
        "machine": f"{platform.machine()}, Linux {platform.release()}",
        "python": platform.python_version(),
        "codec": FORM,
        "commit": _commit(),
        "fsync_us": fsync_us(),
        "load_average": round(os.getloadavg()[0], 1),
        "versions": _servers() | {name: version(name) for name in LIBRARIES},
    }


def brief(about: dict[str, Any]) -> str:
    """Return the first of it as one line."""
    return ", ".join(f"{name} {value}" for name, value in about.items() if name != "versions")


def fsync_us() -> float:
    """Return the median time of an fdatasync of 4 KiB in build/, in µs; where servers keep their data may be
    another disk.
    """
    path = RESULTS / "fsync"
    path.parent.mkdir(parents=True, exist_ok=True)
    times = []
    with path.open("wb") as file:
        for _ in range(200):
            file.seek(0)
            file.write(bytes(4096))
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - began) * 1e6)
    path.unlink()
    return round(statistics.median(times), 1)


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _commit() -> str:
    git = shutil.which("git") or "git"
    words = [[git, "rev-parse", "--short", "HEAD"], [git, "status", "--porcelain"]]
    try:
        said = [subprocess.run(each, cwd=ROOT, capture_output=True, text=True).stdout for each in words]
    except FileNotFoundError:
        return ""
    return said[0].strip() + (" and changes" if said[1].strip() else "")


def _servers() -> dict[str, str]:
    """Return the versions of the servers that are here."""
    found = {}
    commands = {"haproxy": [lambda: program("haproxy"), "-v"]}
    commands["postgresql"] = [lambda: str(postgres_programs() / "postgres"), "--version"]
    commands["rabbitmq"] = [lambda: shutil.which("dpkg-query") or "", "-W", "rabbitmq-server"]
    for name, (where, *words) in commands.items():
        try:
            said = subprocess.run([where(), *words], capture_output=True, text=True).stdout
        except (PackagesMissing, OSError):
            continue
        number = re.search(r"\d+\.\d+[\d.]*", said)
        if number:
            found[name] = number[0].rstrip(".")
    return found
