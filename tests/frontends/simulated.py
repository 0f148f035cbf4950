"""A simulators' bank on real connections to front-ends of their own processes."""

import itertools

from killable import PATIENCE_SECONDS

from qianzhi.domain.results import Result
from qianzhi.link.site import parse_address
from qianzhi.runtime import clock
from simulators.connections import LineGoneError, ShortConnections, SocketConnection
from simulators.lines import LineMaker
from simulators.record import Ask
from simulators.sessions import ANSWER_US, next_date
from simulators.state_file import StateFile


class SimulatedBank:
    """A simulators' bank on real connections: its line outlives a connection, its state file outlives it."""

    def __init__(self, place):
        self.place, self.profile = place, place.profile
        state = StateFile(place.data, self.profile.name)
        self.maker = LineMaker(self.profile, place.config, state, production=False)
        self.serials = iter(state.lease(100))
        self.line = self.maker.make(self.serials.__next__)
        self.heard, self.asks, self.tickets, self.waited_us = {}, {}, itertools.count(1), 0
        self.connection = None
        place.add(self)

    def close(self):
        self.line.on_closed()
        if self.connection is not None:
            self.connection.close()

    def connect(self, instance=1):
        """Connect to an instance, or bring the next messages there where each has its own connection."""
        address = parse_address(self.place.site.banks[self.profile.name].at(instance).listen)
        shape = ShortConnections if self.profile.transport.connection == "short" else SocketConnection
        self.connection = shape(*address, self.profile.frame)

    def now(self):
        now = clock.now()
        return now._replace(mono_us=now.mono_us + self.waited_us)

    def open(self):
        """Begin the session as on every new connection, and come to a key."""
        self.connection.send(self.line.on_connected(self.now()))
        self.turn_until(lambda: self.line.ready)

    def change_key(self):
        """Ask for another key, or bring one."""
        key, known = self.line.session.key, self.profile.table.management
        name = "key_request" if "key_request" in known or "key_delivery" in known else "sign_on"
        self.connection.send(self.line.manage(name, self.now())[1])
        self.turn_until(lambda: self.line.session.key != key)

    def cut_over(self):
        """Tell the business date that begins, and return it once that is approved."""
        now = self.now()
        serial, out = self.line.manage("cutover", now)
        self.connection.send(out)
        self.turn_until(lambda: self.line.management_code(serial))
        assert self.profile.results.result_of(self.line.management_code(serial)) is Result.APPROVED
        return next_date(now, self.profile.mapping.zone)

    def recharge(self, serial):
        """Ask for a recharge, the same one again under the same serial, and return its result."""
        if serial not in self.asks:
            text = self.line.serial_text(next(self.serials), 0)
            stamp_us = clock.now().wall_us
            self.asks[serial] = Ask(0, self.place.recharge(text), stamp_us, stamp_us)
        ticket = next(self.tickets)
        self.connection.send(self.line.carry([self.asks[serial]._replace(ticket=ticket)], self.now()))
        self.turn_until(lambda: ticket in self.heard)
        return self.heard[ticket]

    def turn_until(self, true):
        """Read and answer; raises LineGoneError when the front-end has died meanwhile."""
        end = clock.monotonic_seconds() + PATIENCE_SECONDS
        while not true():
            assert clock.monotonic_seconds() < end, self.line.state
            was_alive = self.place.processes[-1].poll() is None
            items = self.connection.receive(0.05)
            heard, out = self.line.on_frames(items, self.now())
            self.heard |= {item.ticket: item.result for item in heard}
            self.maker.keep_key(self.line)
            if not was_alive and not items:
                raise LineGoneError("the front-end is dead")
            self.connection.send([*out, *self.line.on_time(self.now())])

    def come_back(self):
        """Find the line again after its connection broke; one that had begun something begins it anew."""
        if self.profile.transport.connection == "short":
            self.waited_us += ANSWER_US
        else:
            self.close()
            self.connect()
        if self.line.session.key is None:
            if self.profile.transport.connection == "long":
                self.open()
            self.turn_until(lambda: self.line.ready)
