"""A bridge's promises without its threads and clocks: rows in a real database, the core over real HTTP."""

from crm_bridge.remote.courier import Courier
from crm_bridge.remote.forwarding import ASKER, COURIER, Forwarding, Told
from crm_bridge.remote.gateway import RemoteGateway
from crm_bridge.remote.promised.store import open_promises
from crm_bridge.remote.promises import DESTINATION, Promising
from qianzhi.runtime.effects import Alarm, Load, Send, Store
from qianzhi.runtime.now import SECOND_US
from qianzhi.saf.errors import LostError
from qianzhi.saf.policies import Policy


class Bench:
    """One bridge: its gateway, its promises, the time that it is there."""

    def __init__(self, pair, noon, zone, name="bridge1", lease_us=0):
        self.pair, self.now, self.zone, self.name = pair, noon, zone, name
        self.policy = Policy(lease_us=lease_us)
        self.alarms, self.answers, self.sent = [], [], []
        self.gateway = self.made(pair.client)
        self.store = open_promises(pair.settings.database, name, lease_us, lambda: self.now.wall_us)
        self.deaf = False  # what is written and read is not heard of any more
        self.begin()

    def made(self, client):
        promising = Promising(self.name, self.policy, self.zone)
        return RemoteGateway(
            self.pair.settings,
            self.zone,
            client,
            self.name,
            0,
            promising,
            lambda entries: self.promised(entries),
        )

    def begin(self):
        """Begin a life: the rows are read."""
        self.core = Forwarding(self.policy, self.zone)
        self.run(self.core.start(self.now))

    def promised(self, entries):
        self.run(self.core.on_promised(entries, self.now))

    def ready(self, ready=True):
        self.run(self.core.set_ready(ready, self.now))

    def after(self, seconds):
        """Let time pass, second by second as its timer would."""
        end = self.now.after(int(seconds * SECOND_US))
        while True:
            due = self.core.deadline
            if due is None or due > end.mono_us:
                break
            self.now = self.now.after(max(0, due - self.now.mono_us))
            self.run(self.core.on_time(self.now))
        self.now = end
        self.run(self.core.on_time(self.now))

    def execute(self, *requests):
        self.pair.at = self.now
        return [reply.result.name for reply in self.gateway.execute(list(requests), self.now)]

    def act(self, command, entry_id, act="7"):
        """Carry out an operators' act, as the command of that name does."""
        entry = self.core.entry(entry_id)
        if command == "settle" and entry.destination == DESTINATION:
            refused = Courier(self.gateway, self.alarms.extend).conclude(entry.request)
            if refused is not None:
                return str(refused)
        self.run(self.core.act("me", command, {"id": entry_id, "act": act}, self.now))
        return self.answers.pop()["state"]

    def states(self, destination=DESTINATION):
        return [entry.state.value for entry in self.core.entries(destination)]

    def run(self, effects):
        for effect in effects:
            if isinstance(effect, Store):
                try:
                    standing = self.store.write(effect.rows)
                except LostError:
                    self.run(self.core.on_lost(effect.token, self.now))
                else:
                    self.run(self.core.on_stored(effect.token, standing, self.now))
            elif isinstance(effect, Load):
                try:
                    saved = self.store.load()
                except LostError:
                    self.run(self.core.on_lost(None, self.now))
                else:
                    self.run(self.core.on_loaded(saved, self.now))
            elif isinstance(effect, Alarm):
                self.alarms.append(effect)
            elif isinstance(effect, Send) and effect.to[0] == COURIER:
                self._deliver(effect.items)
            elif isinstance(effect, Send) and effect.to[0] == ASKER:
                self.answers += effect.items

    def _deliver(self, errands):
        self.sent += [
            (errand.request.kind.name, errand.request.serial, errand.request.repeat) for errand in errands
        ]
        self.pair.at = self.now
        delivered = Courier(self.gateway, self.alarms.extend).deliver([errand.request for errand in errands])
        told = [Told(errand.ticket, one) for errand, one in zip(errands, delivered, strict=True)]
        self.run(self.core.on_told(told, self.now))

    def close(self):
        self.gateway.close()
        self.store.close()
