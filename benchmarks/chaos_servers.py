"""The chaos run's faults of the servers: the broker, the database and its standby.

Who minds a server starts it again; when the database's primary is lost for good, an operator gives the
commands of docs/OPERATIONS.md: `qianzhi promote`, then a new standby.
"""

import signal
from collections.abc import Callable
from random import Random

from chaos_faults import DAEMON_FAULTS, Fault, alright, signalled
from chaos_site import ChaosSite, CommandFailed

from simulators.servers.postgres import Cluster, Postgres, children
from simulators.servers.processes import ServerFailed

OPERATOR_SECONDS = 2.0  # until somebody gives the command
PROMOTIONS_MAX = 8


def broker(site: ChaosSite, chance: Random, name: str) -> Fault:
    """The broker is restarted in order, killed, or stands still for up to twice its heartbeat."""
    server = site.broker

    def begin() -> None:
        if name == "restart-broker":
            site.machines.call("core1", server.stop)
        elif name == "kill-broker":
            signalled(server.pid, signal.SIGKILL)
            server.kill()
        else:
            server.suspend()

    def lift() -> None:
        if name == "freeze-broker":
            server.resume()
        else:
            site.machines.call("core1", server.start)

    seconds = chance.uniform(3, 25) if name == "freeze-broker" else chance.uniform(0, 3)
    return Fault(name, "broker", site.brokered, begin, lift, lambda: brokered(site), seconds=seconds)


def fill_broker(site: ChaosSite, chance: Random, name: str) -> Fault:
    """The broker's disk is nearly full: it takes nothing any more until there is room."""
    disk = site.disks[site.folder / "broker"]
    return Fault(
        name,
        "broker",
        site.brokered,
        lambda: disk.fill(40_000),
        disk.free,
        lambda: brokered(site),
        seconds=chance.uniform(12, 18),
        seconds_min=11,  # it looks at a disk every ten seconds
    )


def brokered(site: ChaosSite) -> bool:
    """Whether every front of a queue bank has the broker."""
    return alright(
        site,
        (each for each in site.programs.values() if each.kind == "front" and each.banks[0] in site.brokered),
    )


def database(site: ChaosSite, chance: Random, name: str) -> Fault:
    """The primary is restarted in order, or crashes with all its processes and recovers."""
    server = site.primary
    machine = site.machine_of(server)

    def begin() -> None:
        if name == "restart-database":
            site.machines.call(machine, server.stop)
        else:
            crash_database(server)

    def lift() -> None:
        site.machines.call(machine, server.start)

    return Fault(
        name, machine, site.everybody, begin, lift, lambda: database_well(site), seconds=chance.uniform(0, 3)
    )


def standby(site: ChaosSite, chance: Random, name: str) -> Fault:
    """The standby crashes: commits wait for it until it is back."""
    server = site.standby
    machine = site.machine_of(server)
    return Fault(
        name,
        machine,
        site.everybody,
        lambda: crash_database(server),
        lambda: site.machines.call(machine, server.start),
        lambda: database_well(site),
        seconds=chance.uniform(1, 5),
    )


def promote(site: ChaosSite, chance: Random, name: str) -> Fault:
    """The primary is lost, or stands still; an operator promotes the standby and makes a new one."""
    old = site.primary
    fault = Fault(name, site.machine_of(old), site.everybody, lambda: None, seconds=OPERATOR_SECONDS)

    def begin() -> None:
        if name == "promote":
            crash_database(old)
        else:
            old.suspend()

    def lift() -> None:
        new = site.standby
        words = ["--primary-is-stopped"] if name == "promote" else ["--stop-data", str(old.data)]
        admin = new.url(new.admin_user, "postgres", new.admin_password)
        command = ("promote", f"{new.host}:{new.port}", *words, "--admin", admin)
        for left in reversed(range(PROMOTIONS_MAX)):
            try:
                fault.notes += site.qianzhi(site.machine_of(new), *command).strip().splitlines()
                break
            except CommandFailed as error:  # another fault is at it, and an operator who tries again
                fault.notes.append(str(error))
                if not left:
                    raise
                site.pause(OPERATOR_SECONDS)
        site.primary, site.standby = new, old
        new.configure([])
        new.reload()

    fault.begin, fault.lift, fault.healed = begin, lift, site.bridges_ready
    fault.afterwards = site.new_standby
    return fault


def fill_database(site: ChaosSite, chance: Random, name: str) -> Fault:
    """The primary's disk is full; where the server has ended over it, it is started again."""
    server = site.primary
    machine = site.machine_of(server)
    disk = site.disks[site.folder / f"postgres-{machine}"]

    def lift() -> None:
        disk.free()
        if not server.alive:
            site.machines.call(machine, server.start)

    return Fault(
        name,
        machine,
        site.everybody,
        lambda: disk.fill(0),
        lift,
        lambda: database_well(site),
        seconds=chance.uniform(3, 8),
    )


def crash_database(server: Postgres) -> None:
    """End all of a server's processes at once, as a power cut does."""
    for pid in [server.pid, *children(server.pid)]:
        signalled(pid, signal.SIGKILL)
    server.kill()


def database_well(site: ChaosSite) -> bool:
    """Whether bridges commit and a standby follows."""
    try:
        synchronous = Cluster(site.primary, site.standby).synchronous()
    except (RuntimeError, ServerFailed, OSError):
        return False
    return synchronous and site.bridges_ready()


SERVER_FAULTS: dict[str, Callable[[ChaosSite, Random, str], Fault]] = {
    "restart-broker": broker,
    "kill-broker": broker,
    "freeze-broker": broker,
    "fill-broker": fill_broker,
    "restart-database": database,
    "kill-database": database,
    "kill-standby": standby,
    "promote": promote,
    "promote-frozen": promote,
    "fill-database": fill_database,
}
KINDS = {**DAEMON_FAULTS, **SERVER_FAULTS}
