"""Two instances of one bank's front-end on one store: their cores, on real rows."""

import dataclasses

from qianzhi.domain.requests import Kind
from qianzhi.runtime.store import ConflictError
from qianzhi.wire.mackey import MacKey


def instance_of(bench, profile):
    """A bench class whose cores share what `database` keeps."""
    profile = dataclasses.replace(profile, instances=2)

    class Instance(bench):
        """One instance; what it asks of the store is done at once unless `hold_stores`."""

        def __init__(self, database, number, **options):
            self.database = database
            saved = database.load(profile.name)
            super().__init__("", saved, profile=profile, front=f"front-x-{number}", **options)
            self.node_up()

        def store(self):
            while self.stores:
                self.store_one()

        def store_one(self):
            """Do the oldest of what was asked of the store."""
            token, rows = self.stores.pop(0)
            try:
                if token is None:
                    effects = self.core.on_loaded(self.database.load(profile.name), self.now)
                else:
                    self.database.write(rows)
                    effects = self.core.on_stored(token, self.now)
            except ConflictError:
                effects = self.core.on_conflict(token, self.database.load(profile.name), self.now)
            self.top_up()
            self.run(effects)

        def look(self):
            """Read the rows unasked, as the shell does twice a second."""
            self.run(self.core.on_looked(self.database.load(profile.name), self.now))

        def passes(self, source, key, serial):
            """Whether a recharge under this key is forwarded; it is answered then."""
            self.send(source, self.body(self.request(Kind.RECHARGE, serial=serial), key=MacKey(key)))
            asked = self.take_asked()
            for peer, envelope in asked:
                self.reply(peer, envelope)
            return bool(asked)

    return Instance
