"""Whatever the order in which two instances read and write their rows: the bank is never locked out.

The bank signs on and asks for keys at either instance, and uses the key that it was told last.  Each write
and each reading of the rows happens when Hypothesis says so; an instance dies with what it had not written.
"""

import tempfile
from pathlib import Path

from Crypto.Cipher import DES3
from hypothesis import given, settings
from hypothesis import strategies as st

from frontends.store import open_file

ACTS = ("sign_on", "key_request", "ask", "store", "store", "store", "look", "restart")
STEPS = st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 1)), min_size=4, max_size=40)


class Bank:
    """A bank of wenzhou's dialect with two lines, and what it was told last."""

    def __init__(self, kind, path):
        self.stores = [open_file(path) for _ in range(2)]
        self.kind, self.lives = kind, 0
        self.instances = [None, None]
        self.key, self.serial, self.read = None, 0, [0, 0]
        for at in range(2):
            self.restart(at)

    def restart(self, at):
        """Start an instance anew; what it had not written is lost."""
        self.lives += 1
        now = self.instances[at].now if self.instances[at] else None
        self.instances[at] = self.kind(self.stores[at], self.lives, now=now)
        self.instances[at].hold_stores = True
        self.instances[at].connect()
        self.read[at] = 0

    def do(self, act, at):
        made = self.instances[at]
        if act == "restart":
            self.restart(at)
        elif act == "look":
            made.look()
        elif act == "store":
            if made.stores:
                made.store_one()
        elif act == "ask":
            self.passes(at)
        else:
            self.serial += 1
            made.manage(1, act, f"{900_000 + self.serial:06d}")
        self.hear(at)

    def passes(self, at):
        self.serial += 1
        return self.key is None or self.instances[at].passes(1, self.key, f"{self.serial:06d}")

    def hear(self, at):
        made = self.instances[at]
        for message in made.heard()[self.read[at] :]:
            if "MACKEY" in message:
                cipher = DES3.new(made.keys["master"], DES3.MODE_ECB)
                self.key = cipher.decrypt(bytes.fromhex(message["MACKEY"]))
        self.read[at] = len(made.answers)

    def come_to_rest(self):
        while any(made.stores for made in self.instances):
            for at in range(2):
                self.do("store", at)

    def close(self):
        for store in self.stores:
            store.close()


@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_the_key_that_was_told_last_always_serves_at_both(instances_of, steps):
    with tempfile.TemporaryDirectory() as folder:
        bank = Bank(instances_of("wenzhou"), Path(folder) / "x.db")
        for act, at in steps:
            bank.do(act, at)
        bank.come_to_rest()
        for made in bank.instances:
            made.hold_stores = False
        assert bank.passes(0)
        assert bank.passes(1)
        kept = [store.load("wenzhou") for store in bank.stores]
        assert kept[0] == kept[1]
        bank.close()
