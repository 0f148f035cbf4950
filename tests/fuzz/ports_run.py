#!/usr/bin/env python
"""Fuzz live ports: real daemons, mutated frames of every dialect, and a bank beside that must not notice.

Usage: ports_run.py [--frames N] [--seed N] [--jobs N] [PORT or BANK …]

Each port (hz_citic-main, icbc-control, link-node1 …) has a site of its own in a temporary folder: the bank
that is attacked, its twin, two nodes, the bridge and the embedded core.  Frames are sent until the daemon has
read --frames of them.  A port fails when a daemon ends, logs an exception that nobody declared, lets a
customer of the same port wait for more than 100 ms, grows, keeps descriptors, or when the bank beside it is
refused or waits 100 ms longer than before, or when the books do not balance.  What failed lies in
build/fuzz/ports/ and is sent again by --replay FILE; the exit code is 1.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build" / "fuzz" / "ports"
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - no disk's waits among the daemons' own
LINKS = ("link-node1", "link-bridge1")
LINK_BANK = "lianlian"
WARM_TRIES = 60
QUIET_SECONDS = 3.0


def main() -> int:
    """Fuzz what is asked for; return the exit code."""
    sys.path[:0] = [str(HERE), str(ROOT)]
    asked = _asked()
    if asked.inside:
        print(json.dumps(fuzz(asked.inside, asked.frames, asked.seed, asked.replay)))
        return 0
    known = ports()
    names = [port for port in known if not asked.ports or _means(port, asked.ports)]
    if unknown := [word for word in asked.ports if not any(_means(port, [word]) for port in known)]:
        print(f"no such port: {', '.join(unknown)}; there are: {', '.join(known)}")
        return 2
    print(HEAD, flush=True)
    with ThreadPoolExecutor(asked.jobs) as pool:
        found = list(pool.map(lambda port: _run(port, asked), names))
    return _report(found)


def ports() -> list[str]:
    """Return every port by its name: of all banks, of the networks, of link."""
    import tomllib

    names = []
    for file in ("site.toml", "sites/networks.toml"):
        banks = tomllib.loads((ROOT / "config" / file).read_text(encoding="utf-8"))["banks"]
        for bank, place in banks.items():
            names += [f"{bank}-main", *([f"{bank}-control"] if "control" in place else [])]
    return [*dict.fromkeys(names), *LINKS]


def fuzz(port: str, frames: int, seed: int, replay: str = "") -> dict[str, Any]:
    """Attack one port in a site of its own; return what came of it."""
    from ports_site import PortSite

    bank, _, endpoint = port.rpartition("-")
    room = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="qianzhi-ports-", dir=room))
    site = PortSite(folder, LINK_BANK if port in LINKS else bank)
    found: dict[str, Any] = {"port": port, "faults": []}
    try:
        try:
            site.start()
            found = _attack(site, port, endpoint, frames, seed, replay)
        except (RuntimeError, OSError) as error:
            found["faults"].append(f"the site does not serve: {error}; {site.dead()} {site.undeclared()}")
        finally:
            ends = site.stop()
        found["faults"] += ends
        if not ends:
            site.run("audit-books", "--json")
    except RuntimeError as error:
        found["faults"].append(f"books: {str(error)[:400]}")
    finally:
        shutil.rmtree(folder)
    return found


def _attack(site: Any, port: str, endpoint: str, frames: int, seed: int, replay: str) -> dict[str, Any]:
    from ports_attack import Attack
    from ports_link import link_port
    from ports_weapons import QueueBank, SocketBank

    from qianzhi.cli.checks import require
    from qianzhi.cli.machine import end_with_parent
    from qianzhi.runtime import clock

    checked, place = require(site.config)
    profile = checked.profiles[site.bank]
    if port in LINKS:
        weapon: Any = link_port(endpoint, place, site.config, profile)
    else:
        kind = QueueBank if profile.transport.kind == "queue" else SocketBank
        weapon = kind(profile, place, site.config, endpoint, ROOT / "tests/vectors" / site.bank)
    served(weapon)
    command = [sys.executable, str(HERE / "ports_beside.py"), str(site.config), *map(str, site.pids_beside())]
    pipe = subprocess.PIPE
    beside = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, preexec_fn=end_with_parent)
    assert beside.stdin is not None
    assert beside.stdout is not None
    try:
        if beside.stdout.readline().strip() != "ready":
            raise RuntimeError("the bank beside is not served")
        clock.sleep(min(QUIET_SECONDS, frames / 2000))
        beside.stdin.write("attack\n")
        beside.stdin.flush()
        attack = Attack(site, weapon, seed, BUILD)
        struck = attack.replay(Path(replay)) if replay else attack.run(frames)
        said, _ = beside.communicate("end\n", timeout=60)
    finally:
        beside.kill()
        beside.wait()
    neighbour = json.loads(said.splitlines()[-1])
    faults = [f"batch {fault.batch}: {fault.what}; see {fault.file}" for fault in struck.faults]
    faults += [f"    frame {shown}" for fault in struck.faults for shown in fault.frames[:5]]
    if neighbour["wrong_count"]:
        faults.append(f"beside: {neighbour['wrong_count']} not approved: {neighbour['wrong']}")
    if neighbour["late"]:
        faults.append(
            f"beside: waited {neighbour['own_us'] // 1000} ms, {neighbour['quiet_us'] // 1000} before"
        )
    return {"port": port, **struck._asdict(), "beside": neighbour, "faults": faults}


def served(weapon: Any) -> None:
    """Wait until the port serves; raises RuntimeError."""
    from qianzhi.runtime import clock

    said = ""
    for _ in range(WARM_TRIES):
        try:
            weapon.ask()
        except OSError as error:
            said = str(error)
            clock.sleep(0.2)
        else:
            return
    raise RuntimeError(f"no answer on {weapon.name}: {said}")


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fuzz live ports.")
    parser.add_argument("--frames", type=int, default=100_000, help="frames that each port has to read")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="ports at once")
    parser.add_argument("--replay", default="", help="a file of build/fuzz/ports/ instead of made-up frames")
    parser.add_argument("--inside", default="", help=argparse.SUPPRESS)
    parser.add_argument("ports", nargs="*", help="ports or banks; all without any")
    asked = parser.parse_args()
    if asked.replay:
        asked.ports = [json.loads(Path(asked.replay).read_text(encoding="utf-8"))["port"]]
    return asked


def _means(port: str, words: list[str]) -> bool:
    return port in words or port.rpartition("-")[0] in words


def _run(port: str, asked: argparse.Namespace) -> dict[str, Any]:
    """Attack one port in a process of its own, and print its line."""
    command = [sys.executable, str(HERE / "ports_run.py"), "--inside", port]
    command += ["--frames", str(asked.frames), "--seed", str(asked.seed), "--replay", asked.replay]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    try:
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, json.JSONDecodeError):
        found = {
            "port": port,
            "faults": [f"the attack itself ended with {done.returncode}: {done.stderr[-800:]}"],
        }
    print(line_of(found), flush=True)
    for fault in found["faults"]:
        print(f"    seed {asked.seed}: {fault}", flush=True)
    return found


HEAD = (
    f"{'port':<20} {'sent':>7} {'read':>7} {'a second':>8} {'waited ms':>9} {'slow':>4} {'beside':>6} "
    f"{'its ms':>6} {'grew MB':>7}"
)


def line_of(found: dict[str, Any]) -> str:
    """Return one port's row of the table."""
    if "beside" not in found:
        return f"{found['port']:<20} broken"
    beside = found["beside"]
    rate = found["read"] / max(found["seconds"], 0.001)
    grew = max(found["growth"].values(), default=0) / (1 << 20)
    return (
        f"{found['port']:<20} {found['frames']:>7} {found['read']:>7} {rate:>8.0f} "
        f"{found['longest_us'] / 1000:>9.1f} {found['slow']:>4} {beside['asked']:>6} "
        f"{beside['own_us'] / 1000:>6.1f} {grew:>7.1f}"
    )


def _report(found: list[dict[str, Any]]) -> int:
    failed = [one["port"] for one in found if one["faults"]]
    sent, read = (sum(one.get(name, 0) for one in found) for name in ("frames", "read"))
    fewest = min((one.get("read", 0) for one in found), default=0)
    end = f"{len(failed)} failed ({', '.join(failed)})" if failed else "none failed"
    print(f"\nfuzz-ports: {len(found)} ports, {sent} frames sent, {read} read, at least {fewest} each, {end}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
