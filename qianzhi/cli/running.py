"""`qianzhi run`: a machine's daemons in the foreground, fed by simulated banks if wanted, until Ctrl-C."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from qianzhi.cli.checked_before import note
from qianzhi.cli.daemons import programs_of
from qianzhi.cli.looking import core_url, seed_core
from qianzhi.cli.machine import Machine
from qianzhi.cli.output import BROKEN, USAGE, CommandError, say
from qianzhi.runtime import clock

if TYPE_CHECKING:
    from qianzhi.cli.checks import Checked
    from qianzhi.cli.chosen import Chosen
    from qianzhi.link.tables import Site
    from simulators.traffic import Look

SUBSCRIBERS = 1000
LOOK_SECONDS = 0.2
SETTLE_SECONDS = 5  # a second Ctrl-C ends at once

HINTS = """In another terminal, after `. .venv/bin/activate`:
    {qianzhi} status
    {qianzhi} send {bank} recharge --phone 13800000001 --amount 50.00
    {qianzhi} account 13800000001
    {qianzhi} trace KEY                 (`send` prints the key)
    {qianzhi} audit-books
Ctrl-C ends everything."""


def run_command(chosen: "Chosen", machine: str, rate: int) -> None:
    """Check, start, feed (with a rate above 0) until Ctrl-C or SIGTERM, stop; leaves no process behind.

    A site of many machines is laid out here, unless one of them is named.
    """
    from qianzhi.cli.checks import require
    from qianzhi.cli.laying_out import is_spread, own_copy, say_layout
    from qianzhi.link.site import data_folder

    checked, site = require(chosen.config, chosen.site)
    refuse_empty_machine(site, machine)
    if machine or not is_spread(site):
        with ended_by_signals():
            run_machine(chosen, checked, site, machine, rate)
        return
    folder = data_folder(site) / site.name
    with ended_by_signals(), own_copy(chosen, site, folder, own_ports=False) as own:
        say_layout(site, own)
        run_machine(own, *require(own.config), machine, rate)


def run_machine(chosen: "Chosen", checked: "Checked", site: "Site", machine: str, rate: int) -> None:
    """Start a machine's daemons (all without a name), feed them if wanted, until a signal ends it."""
    system = Machine(chosen, site, machine)
    system.refuse_taken_ports()
    with running(system, checked):
        age = f"{process_age_seconds():.1f} s"
        say(f"{len(system.statuses())} daemons run after {age}; data and logs in {shown_path(system.data)}")
        say(hints(chosen.site, site, machine))
        if rate:
            feed_until_ended(chosen, checked, system, rate)
        else:
            wait_for_end(system)


def hints(name: str, site: "Site", machine: str) -> str:
    """Say what to try, with a bank that is here; `name` is that of the site where one was chosen."""
    banks = [name for name, bank in site.banks.items() if machine in ("", bank.machine)]
    qianzhi = f"qianzhi --site {name}" if name else "qianzhi"
    return HINTS.format(qianzhi=qianzhi, bank=next(iter(banks), "BANK"))


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does, quietly; on the way out further signals change nothing."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        say("ended")
    finally:
        signal.signal(signal.SIGTERM, before)


def refuse_empty_machine(site: "Site", machine: str) -> None:
    """Raise CommandError when the site has nothing to run on a machine of that name."""
    if machine and not programs_of(site, machine):
        machines = {place.machine for place in (*site.bridges.values(), *site.nodes.values())}
        known = ", ".join(sorted(machines | {bank.machine for bank in site.banks.values()}))
        raise CommandError(USAGE, f"the site has no machine {machine!r}", f"it has {known}")


@contextlib.contextmanager
def running(system: Machine, checked: "Checked") -> Iterator[None]:
    """Start the daemons, wait until they run; on the way out stop them.

    Where all of them run here, an empty core is filled first; one machine of many leaves the core alone.
    """
    if not system.name:
        seed_core(checked, system.site, SUBSCRIBERS)
    try:
        note(system.data, checked.digest)
        system.start()
        system.wait_ready()
        yield
    finally:
        say("stopping: the daemons finish what they have …")
        shielded(system.stop)
        say(f"stopped; no process is left. Data and logs stay in {shown_path(system.data)}")


def shielded(work: Callable[[], None]) -> None:
    """Call `work` with Ctrl-C and SIGTERM ignored: stopping is not to be stopped half-way."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        work()
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def feed_until_ended(chosen: "Chosen", checked: "Checked", system: Machine, rate: int) -> None:
    """Let the simulated banks send until a signal comes, then settle and show what came of it."""
    from qianzhi.cli.feeding import both, feed, live_view, show_result

    first = FirstRecharge(core_url(checked, system.site))
    with live_view("Simulated banks; Ctrl-C ends everything") as on_look:
        watchers = both(first, on_look)
        result = feed(chosen, checked, system.site, [], rate, None, 1, watchers, SETTLE_SECONDS)
    show_result(result)


class FirstRecharge:
    """Says, once, how long after the start the first work order was answered."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._said = False

    def __call__(self, looks: "list[Look]") -> None:
        """Look whether there is one by now."""
        from crm_bridge.lookup import totals

        if not self._said and any(look.report.approved for look in looks) and totals(self._url).orders:
            self._said = True
            say(f"the first recharge was answered {process_age_seconds():.1f} s after the start")


def wait_for_end(system: Machine) -> None:
    """Wait until a signal ends us; raises CommandError when supervisord ends first."""
    while system.alive:
        clock.sleep(LOOK_SECONDS)
    raise CommandError(BROKEN, "supervisord has ended by itself", f"see {system.data / 'log'}")


def shown_path(path: Path) -> str:
    """Write a path from the working folder where it lies below it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def process_age_seconds() -> float:
    """Return how long ago this process was started, by the kernel's own record."""
    fields = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    up_seconds = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    return up_seconds - int(fields[19]) / os.sysconf("SC_CLK_TCK")
