"""Traffic: simulated banks against a running site, in one process, for a time or until they are stopped.

    begin actions on an open-loop schedule ─▶ begin no more ─▶ settle what is open, for a bounded time ─▶
    ask for totals, where the profile has them and the bank knows its own of the whole day ─▶ report

The schedule does not wait for answers, and latencies count from when a request was due, so a platform that
stalls cannot hide it.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random  # noqa: TID251 - this shell brings the seed to the models
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from frontends.profile import Profile
from qianzhi.domain.dates import business_date
from qianzhi.domain.requests import Kind
from qianzhi.link.site import entry_of, parse_address
from qianzhi.link.tables import Site
from qianzhi.runtime import clock
from qianzhi.runtime.now import SECOND_US
from simulators.bank import BankModel
from simulators.bank_line import kinds_of
from simulators.bank_tls import bank_tls
from simulators.lines import LineMaker
from simulators.live_table import Rates
from simulators.plans import Identity
from simulators.queue_client import LIMITS as QUEUE_LIMITS
from simulators.queue_client import QueueBank
from simulators.queue_senders import queue_senders
from simulators.record import Record
from simulators.report import Report
from simulators.scenario import Scenario
from simulators.serials import Serials
from simulators.short_client import ShortBank
from simulators.simulated import SimulatedBank
from simulators.socket_client import SocketBank
from simulators.state_file import StateFile
from simulators.sums import Day, Sums, sums_of

LOOK_SECONDS = 0.5
SETTLE_SECONDS = 60
TOTALS_SECONDS = 10  # patience for the answers about totals, behind everything else
LEASE_SECONDS = 10  # of traffic that a lease of serials lasts
LEASE_MIN = 1_000

Shell = SocketBank | ShortBank | QueueBank


class Look(NamedTuple):
    """One bank at one moment: its report, requests a second since the look before, messages on the way."""

    report: Report
    rate: int
    in_flight: int


@dataclass(frozen=True)
class TrafficResult:
    """What came of it: the reports and records by bank; `settled` when every serial has its final state."""

    reports: dict[str, Report]
    records: dict[str, list[Record]] = field(repr=False)
    settled: bool = True
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for --json."""
        banks = [report.as_dict() for report in self.reports.values()]
        return {"seconds": round(self.seconds, 3), "settled": self.settled, "banks": banks}


class BankRun:
    """One bank in this process: core, shell, and the serials that it leases."""

    def __init__(
        self,
        site: Site,
        profile: Profile,
        config: Path,
        scenario: Scenario,
        rate: int,
        seed: int,
        reactor: Any,
    ) -> None:
        """`rate` is this bank's own.  Raises KeyReferenceError, NoLineError and ConfigError."""
        self._state = StateFile(Path(site.data), profile.name)
        self._serials = Serials()
        self._maker = LineMaker(profile, config, self._state, production=site.production)
        self._line = self._maker.make(self._serials)
        zone = ZoneInfo(site.timezone)
        identity = Identity(profile.name, profile.space, tuple(profile.numbers), zone)
        self._zone = zone
        self._lease = max(LEASE_MIN, 2 * rate * LEASE_SECONDS)
        chance = Random(f"{seed}/{profile.name}")  # noqa: S311 - a scenario's seed is no secret
        self._habits = Random(f"{seed}/{profile.name}/habits")  # noqa: S311 - as above
        model = BankModel(identity, scenario, chance, self._serials, self._line.serial_text, rate)
        self.core = SimulatedBank(model, self._line)
        self._closed = False
        self._dates: list[int] = []  # business dates whose books this run has opened
        self._has_totals = Kind.TOTALS in kinds_of(profile)
        self.refill()
        self.shell = self._shell(site, profile, config, reactor)

    def refill(self) -> None:
        """Lease more serials before they are needed, and use the key that another process was given."""
        date = business_date(clock.now().wall_us, self._zone)
        if self._has_totals and date not in self._dates:
            self._dates.append(date)
            self._state.books.open(date)
        if self._serials.left < self._lease // 2:
            block = self._state.lease(self._lease, date, self._line.serials_max)
            self._serials.add(block)
            if not block:
                self.core.stop()  # the date's serials are used up: what is left is for settling
        self._maker.offer_stored(self._line)

    def ask_totals(self) -> None:
        """Close the books of this run, and ask for the totals of its days where all of them are known."""
        if not self._has_totals:
            return
        self._close_books(sums_of(self.core.records()) if self.core.model.remembers_all else None)
        identity = self.core.model.identity
        days = [Day(number, date) for date in self._dates for number in identity.numbers]
        known = {day: sums for day in days if (sums := self._state.books.sums(day)) is not None}
        self.shell.ask(self.core.ask_totals(known, self._serials, clock.now()))

    def _close_books(self, sums: dict[Day, Sums] | None) -> None:
        if not self._closed:
            self._closed = True
            self._state.books.close(self._dates, sums)

    def close(self) -> None:
        """Close the shell and the books, and return the serials that were not used."""
        if self._has_totals:
            self._close_books(None)
        self.shell.stop()
        self._state.give_back(self._serials.rest())

    def look(self, rates: Rates, mono_us: int) -> Look:
        """Return the bank as it is now."""
        report = self.core.report()
        return Look(report, rates.look(report.bank, report.sent, mono_us), self.core.model.in_flight)

    def _shell(self, site: Site, profile: Profile, config: Path, reactor: Any) -> Shell:
        place = site.banks[profile.name]
        if profile.transport.kind == "queue":
            return QueueBank(
                self.core,
                lambda take: queue_senders(site, profile, config, QUEUE_LIMITS, take, reactor),
                reactor,
            )
        host, port = parse_address(entry_of(place))
        side = bank_tls(site, place.tls, config)
        tls = side.protection() if side is not None else None
        if profile.transport.connection == "short":
            return ShortBank(
                self.core, host, port, profile.frame, self._keep_key, self._habits, reactor, tls=tls
            )
        return SocketBank(self.core, host, port, profile.frame, self._keep_key, reactor, tls=tls)

    def _keep_key(self) -> None:
        self._maker.keep_key(self._line)


class Traffic:
    """All banks of one process on one reactor: `start`, and later `stop`, which settles and calls back."""

    def __init__(
        self, runs: list[BankRun], reactor: Any, on_look: Callable[[list[Look]], None] | None
    ) -> None:
        self._runs = runs
        self._reactor = reactor
        self._on_look = on_look
        self._rates = Rates()
        self._start_us = clock.now().mono_us
        self._settle_until_us: int | None = None
        self._settle_seconds = SETTLE_SECONDS
        self._totals_until_us: int | None = None
        self._timer: Any = None
        self._on_end: Callable[[], None] = lambda: None
        self.ended = False

    def start(self, seconds: float | None, settle_seconds: int, on_end: Callable[[], None]) -> None:
        """Begin; after `seconds` (None: never) begin to settle, and call `on_end` when that is over."""
        self._on_end = on_end
        self._settle_seconds = settle_seconds
        for run in self._runs:
            run.shell.start()
        if seconds is not None:
            self._reactor.callLater(seconds, self.stop)
        self._look()

    def stop(self) -> None:
        """Begin nothing new and settle; a second call ends at once."""
        if self._settle_until_us is not None:
            self._end()
            return
        self._settle_until_us = clock.now().mono_us + self._settle_seconds * SECOND_US
        for run in self._runs:
            run.core.stop()

    def result(self) -> TrafficResult:
        """Return what there is up to now."""
        cores = {run.core.model.identity.bank: run.core for run in self._runs}
        return TrafficResult(
            reports={bank: core.report() for bank, core in cores.items()},
            records={bank: core.records() for bank, core in cores.items()},
            settled=all(core.settled() for core in cores.values()),
            seconds=(clock.now().mono_us - self._start_us) / SECOND_US,
        )

    def _look(self) -> None:
        """Twice a second: more serials where they run low, the live table, and whether all is settled."""
        self._timer = None
        if self.ended:
            return
        now = clock.now()
        for run in self._runs:
            run.refill()
        if self._on_look is not None:
            self._on_look([run.look(self._rates, now.mono_us) for run in self._runs])
        settling = self._settle_until_us is not None
        if settling and self._over(now.mono_us):
            self._end()
            return
        self._timer = self._reactor.callLater(0.1 if settling else LOOK_SECONDS, self._look)

    def _over(self, mono_us: int) -> bool:
        """Tell whether nothing is waited for any more; once all is settled, the banks ask for totals."""
        if mono_us >= (self._settle_until_us or 0):
            return True
        if not self._settled():
            return False
        if self._totals_until_us is None:
            self._totals_until_us = mono_us + TOTALS_SECONDS * SECOND_US
            for run in self._runs:
                run.ask_totals()
        asking = any(run.core.asking_totals for run in self._runs)
        return not asking or mono_us >= self._totals_until_us

    def _settled(self) -> bool:
        return all(run.core.settled() for run in self._runs)

    def _end(self) -> None:
        if self.ended:
            return
        self.ended = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        for run in self._runs:
            run.close()
        self._on_end()


def run_traffic(
    site: Site,
    config: Path,
    profiles: list[Profile],
    scenario: Scenario,
    *,
    rate: int | None = None,
    seconds: float | None = None,
    seed: int | None = None,
    settle_seconds: int = SETTLE_SECONDS,
    on_look: Callable[[list[Look]], None] | None = None,
) -> TrafficResult:
    """Run simulated banks against a running site until `seconds` have passed, or SIGINT or SIGTERM comes.

    `rate` is requests a second of all banks together (default: the scenario's, for each), `seed` replaces the
    scenario's.  `site.data` must be a path that can be used from the working folder.  Runs Twisted's
    reactor, so once in a process.  Raises KeyReferenceError, NoLineError and ConfigError before anything is
    opened.
    """
    from twisted.internet import reactor as twisted_reactor

    reactor: Any = twisted_reactor
    runs = make_runs(site, config, profiles, scenario, rate=rate, seed=seed, reactor=reactor)
    traffic = Traffic(runs, reactor, on_look)
    reactor.callWhenRunning(
        traffic.start, seconds, settle_seconds, lambda: reactor.callLater(0.1, reactor.stop)
    )
    with stopped_by_signals(traffic, reactor):
        reactor.run(installSignalHandlers=False)
    return traffic.result()


def make_runs(
    site: Site,
    config: Path,
    profiles: list[Profile],
    scenario: Scenario,
    *,
    rate: int | None,
    seed: int | None,
    reactor: Any,
) -> list[BankRun]:
    """Return one run per profile, the rate shared out evenly, at least one request a second each."""
    own = replace(scenario, seed=scenario.seed if seed is None else seed)
    shares = shared_out(rate, len(profiles), own.rate)
    return [
        BankRun(site, profile, config, own, share, own.seed, reactor)
        for profile, share in zip(profiles, shares, strict=True)
    ]


def shared_out(rate: int | None, banks: int, default: int) -> list[int]:
    """Return each bank's requests a second out of a rate for all of them."""
    if rate is None:
        return [default] * banks
    return [max(1, rate // banks + (at < rate % banks)) for at in range(banks)]


@contextmanager
def stopped_by_signals(traffic: Traffic, reactor: Any) -> Iterator[None]:
    """While the reactor runs let SIGINT and SIGTERM begin to settle; a second one ends at once."""

    def on_signal(_number: int, _frame: Any) -> None:
        reactor.callFromThread(traffic.stop)

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
