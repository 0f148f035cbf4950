"""The faults of the chaos run: each kind chooses its victim by the seed, does its worst, and is lifted again.

A fault *begins*, lasts for its `seconds`, is *lifted* (by us, by supervisord, by an operator's command), and
has *healed* when what it struck is as it should be.  Nothing here judges what came of it.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from chaos_layout import Program, lack
from chaos_site import ChaosSite

from qianzhi.runtime.crash import CRASH_POINTS
from simulators.servers.fault_wires import DELAY, DRIBBLE, HOLD, REFUSE, SWALLOW, Trouble

PASSED = ("front", "bridge", "saf", "operators")
REACH_SECONDS = 20.0


def nothing() -> None:
    """Do nothing: what heals by itself."""


@dataclass
class Fault:
    """One fault: `banks` are touched by it, `notes` say what it did, `struck` whether it did anything."""

    kind: str
    victim: str
    banks: tuple[str, ...]
    begin: Callable[[], Any]
    lift: Callable[[], Any] = nothing
    healed: Callable[[], bool] = lambda: True
    afterwards: Callable[[], Any] = nothing  # what an operator does once all is served again
    seconds: float = 0.0
    seconds_min: float = 0.0  # less would not be noticed
    notes: list[str] = field(default_factory=list)
    struck: bool = True


def alright(site: ChaosSite, programs: Iterable[Program]) -> bool:
    """Whether some daemons are as they should be."""
    return not any(lack(site.status(program.name)) for program in programs)


def seen_well(site: ChaosSite, programs: Iterable[Program]) -> Callable[[], bool]:
    """Return what tells whether each of some daemons has been as it should be since first asked: one after
    the other is enough, as a machine that another fault rolls has always one that is just starting.
    """
    left = list(programs)

    def look() -> bool:
        left[:] = [program for program in left if not alright(site, [program])]
        return not left

    return look


def of_kind(site: ChaosSite, kind: str, chance: Random) -> Program:
    """Choose one of the daemons of a kind."""
    return chance.choice([program for program in site.programs.values() if program.kind == kind])


def signalled(pid: int, number: signal.Signals) -> None:
    """Send a process a signal, if it is there."""
    with contextlib.suppress(ProcessLookupError):
        if pid:
            os.kill(pid, number)


# -- processes


def kill(site: ChaosSite, chance: Random, name: str) -> Fault:
    """SIGKILL of a daemon; supervisord starts it again."""
    return killed(site, name, [of_kind(site, name.removeprefix("kill-"), chance)])


def kill_pair(site: ChaosSite, chance: Random, name: str) -> Fault:
    """SIGKILL of both nodes of a group at once."""
    group = chance.choice(list(site.site.groups.values()))
    return killed(site, name, [site.programs[node] for node in group.nodes])


def killed(site: ChaosSite, kind: str, programs: list[Program]) -> Fault:
    """SIGKILL of some daemons."""
    pids: dict[str, int] = {}

    def begin() -> None:
        pids.update({program.name: site.pid(program.name) for program in programs})
        for pid in pids.values():
            signalled(pid, signal.SIGKILL)

    def healed() -> bool:
        return alright(site, programs) and all(site.pid(name) != pid for name, pid in pids.items())

    banks = tuple(dict.fromkeys(bank for program in programs for bank in program.banks))
    return Fault(kind, " ".join(program.name for program in programs), banks, begin, healed=healed)


def freeze(site: ChaosSite, chance: Random, name: str) -> Fault:
    """SIGSTOP of a daemon for a while: its connections stay, and nobody answers."""
    program = of_kind(site, name.removeprefix("freeze-"), chance)
    pids: list[int] = []

    def begin() -> None:
        pids.append(site.pid(program.name))
        signalled(pids[0], signal.SIGSTOP)

    return Fault(
        name,
        program.name,
        program.banks,
        begin,
        lambda: signalled(pids[0], signal.SIGCONT),
        lambda: alright(site, [program]),
        seconds=chance.uniform(2, 12),
    )


def kill_machine(site: ChaosSite, chance: Random, name: str) -> Fault:
    """A machine's power, or its supervisord, with which its daemons end; started again a while later."""
    machine = chance.choice([each for each in site.running if not each.startswith("core")])
    programs = site.on(machine)

    def begin() -> None:
        if name == "kill-machine":
            site.machines.kill(machine)
        else:
            signalled(site.supervisor_pid(machine), signal.SIGKILL)
        site.running[machine].wait(30)

    return Fault(
        name,
        machine,
        site.banks_of(machine),
        begin,
        lambda: site.start_machine(machine),
        lambda: site.keep_running(machine) and alright(site, programs),
        seconds=chance.uniform(1, 4),
    )


def roll(site: ChaosSite, chance: Random, name: str) -> Fault:
    """A rolling restart: every daemon of a machine drained, stopped and started, one after the other."""
    machine = chance.choice(list(site.running))
    programs = site.on(machine)

    def begin() -> None:
        for program in programs:
            site.restart(program)
            with contextlib.suppress(TimeoutError):  # another fault may be at it: the end will show
                site.wait(partial(alright, site, [program]), 30, lambda: "not back")

    return Fault(name, machine, site.banks_of(machine), begin, healed=lambda: alright(site, programs))


# -- the network


def pull_cable(site: ChaosSite, chance: Random, name: str) -> Fault:
    """A machine's cable: nothing passes, nobody is told."""
    machine = chance.choice(list(site.running))
    return Fault(
        name,
        machine,
        site.banks_of(machine),
        lambda: site.machines.cut(machine),
        lambda: site.machines.mend(machine),
        seen_well(site, site.programs.values()),
        seconds=chance.uniform(2, 12),
    )


def on_wire(site: ChaosSite, chance: Random, name: str) -> Fault:
    """The proxy's troubles between two machines, both ways or one way."""
    one, other = chance.choice(site.wired)
    ways = [(one, other), (other, one)]
    if name == "one-way":
        ways = [chance.choice(ways)]
    trouble = {
        "cut": Trouble(chance.choice((HOLD, SWALLOW))),
        "one-way": Trouble(chance.choice((HOLD, SWALLOW))),
        "slow": Trouble(DELAY, ms=chance.randint(20, 1_500)),
        "dribble": Trouble(DRIBBLE, ms=10, bytes_each=chance.randint(10, 200)),
        "refuse": Trouble(REFUSE),
    }[name]

    def begin() -> None:
        for way in ways:
            site.proxy.set(*way, trouble)
        if trouble.kind == REFUSE:
            site.proxy.reset(one, other)

    def lift() -> None:
        for way in ways:
            site.proxy.set(*way, None)

    victim = " ".join(f"{sender}>{receiver}" for sender, receiver in ways) + f" {trouble.kind}"
    if trouble.ms:
        victim += f" {trouble.ms} ms"
    healed = seen_well(site, site.programs.values())
    return Fault(name, victim, site.banks_of(one), begin, lift, healed, seconds=chance.uniform(2, 10))


def reset(site: ChaosSite, chance: Random, name: str) -> Fault:
    """Every connection between two machines broken at once."""
    one, other = chance.choice(site.wired)
    return Fault(
        name,
        f"{one}-{other}",
        site.banks_of(one),
        lambda: site.proxy.reset(one, other),
        healed=seen_well(site, site.programs.values()),
    )


# -- disks and clocks


def fill_disk(site: ChaosSite, chance: Random, name: str) -> Fault:
    """A machine's disk is full: no event, log or row can be written there."""
    machine = chance.choice(list(site.running))
    disk = site.disks[site.folder / machine / "var"]
    well = seen_well(site, site.on(machine))
    return Fault(
        name,
        machine,
        site.banks_of(machine),
        lambda: disk.fill(0),
        disk.free,
        lambda: site.keep_running(machine) and well(),
        seconds=chance.uniform(3, 8),
    )


def jump_clock(site: ChaosSite, chance: Random, name: str) -> Fault:
    """A daemon's wall clock jumps (libfaketime), its monotonic one goes on."""
    program = of_kind(site, chance.choice(("front", "node", "bridge")), chance)
    seconds = chance.choice((-7_200, -3_600, -65, -5, 5, 65, 3_600, 7_200))
    file = site.folder / program.machine / "clock"

    def begin() -> None:
        file.write_text("+0\n", encoding="ascii")
        site.arm(program.name, site.faked_clock(file))
        site.kill(program.name)
        with contextlib.suppress(TimeoutError):  # another fault may be at it
            site.wait(lambda: site.taken(program.name), 20, lambda: "it did not start again")
            site.wait(lambda: alright(site, [program]), 20, lambda: "not ready with a faked clock")
        file.write_text(f"{seconds:+d}\n", encoding="ascii")

    def lift() -> None:
        fault.notes.append(f"{program.name} was {lack(site.status(program.name)) or 'ready'}")
        file.write_text("+0\n", encoding="ascii")
        site.kill(program.name)

    fault = Fault(
        name,
        f"{program.name} {seconds:+d} s",
        program.banks,
        begin,
        lift,
        lambda: alright(site, [program]),
        seconds=chance.uniform(3, 8),
    )
    return fault


# -- crash points


def crash(site: ChaosSite, chance: Random, name: str) -> Fault:
    """A daemon is started with a crash point armed, and dies there by itself, at some passing of it.

    Of a bank's fronts both are, as nobody knows which one the bank will find.
    """
    point = name.removeprefix("crash-")
    seldom = point in ("front.before_store", "front.after_store", "front.handling_alone")
    passes = 1 if seldom else chance.randint(1, 2 if point.startswith("operators") else 12)
    programs = victims_of(site, point, chance)
    fault = Fault(name, " ".join(program.name for program in programs), programs[0].banks, nothing)
    armed: set[int] = set()

    def begin() -> None:
        pids = [site.pid(program.name) for program in programs]
        if point == "front.handling_alone":  # what they are given meanwhile comes again
            for pid in pids:
                signalled(pid, signal.SIGSTOP)
            site.pause(1.5)
        for program, pid in zip(programs, pids, strict=True):
            site.arm(program.name, {"QIANZHI_CRASH": f"{point}:{passes}"})
            signalled(pid, signal.SIGKILL)
        fault.struck = died(site, [program.name for program in programs], armed)
        fault.notes.append(f"{point} at passing {passes}: {'struck' if fault.struck else 'not reached'}")

    def lift() -> None:
        for program in programs:
            site.disarm(program.name)
        for pid in armed:
            signalled(pid, signal.SIGKILL)  # the other one, before it strikes in the middle of the next fault

    fault.begin, fault.lift = begin, lift
    fault.healed = lambda: alright(site, programs) and not any(map(exists, armed))
    return fault


def died(site: ChaosSite, daemons: list[str], armed: set[int]) -> bool:
    """Whether one of some daemons that were started armed ends by itself in time; who they are is noted."""

    def one_ended() -> bool:
        armed.update(filter(None, map(site.taken, daemons)))
        return not all(map(exists, armed))

    try:
        site.wait(one_ended, REACH_SECONDS, lambda: "not reached")
    except TimeoutError:
        return False
    return True


def exists(pid: int) -> bool:
    """Whether there is such a process."""
    return Path(f"/proc/{pid}").exists()


def victims_of(site: ChaosSite, point: str, chance: Random) -> list[Program]:
    """Return who passes a crash point: one daemon, or all fronts of one bank."""
    kind = point.partition(".")[0]
    if kind == "saf":
        return [site.programs[chance.choice(site.asking_nodes)]]
    if kind != "front":
        return [of_kind(site, "bridge", chance)]
    banks = list(site.senders)
    if point == "front.handling_alone":
        banks = list(site.brokered)
    elif "store" in point:
        banks = [bank for bank in banks if site.checked[bank].session.keys == "ours"]  # delivered anew
    bank = chance.choice(banks)
    return [each for each in site.programs.values() if each.kind == "front" and each.banks == (bank,)]


def crash_points() -> list[str]:
    """Return the kinds of fault that are crash points which this site passes under this load.

    A remote core and files have tests of their own, which strike at theirs.
    """
    return [f"crash-{point}" for point in CRASH_POINTS if point.partition(".")[0] in PASSED]


DAEMON_FAULTS: dict[str, Callable[[ChaosSite, Random, str], Fault]] = {
    "kill-front": kill,
    "kill-node": kill,
    "kill-bridge": kill,
    "kill-pair": kill_pair,
    "kill-machine": kill_machine,
    "kill-supervisor": kill_machine,
    "freeze-front": freeze,
    "freeze-node": freeze,
    "freeze-bridge": freeze,
    "pull-cable": pull_cable,
    "cut": on_wire,
    "one-way": on_wire,
    "slow": on_wire,
    "dribble": on_wire,
    "refuse": on_wire,
    "reset": reset,
    "fill-disk": fill_disk,
    "jump-clock": jump_clock,
    "roll": roll,
    **dict.fromkeys(crash_points(), crash),
}
