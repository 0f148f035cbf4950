"""Whatever is lost, and whenever either side restarts, the bank's key is one that we verify.

A model bank follows the convention and nothing more: it uses the key of the last answer that it got (or of
the last delivery that was answered), asks again when an answer is lost, and signs on when it is told to.
Answers are lost, connections break, a crash cuts off stores before or after they are written, and time
passes.
"""

import copy

import pytest
from Crypto.Cipher import DES3
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from qianzhi.domain.requests import Kind
from qianzhi.domain.results import Result
from qianzhi.wire.mackey import MacKey

PARAMETERS = {}
SETTINGS = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)


class Line(RuleBasedStateMachine):
    """What both forms have in common: the front with its store, requests, restarts, and time."""

    def __init__(self):
        super().__init__()
        self.bench, self.profile = PARAMETERS["bench"], PARAMETERS["profile"]
        self.serial = 0
        self.key = None
        self.start(None)

    def start(self, saved, now=None):
        extra = {"saved": saved, "now": now} if saved else {}
        self.front = self.bench("wenzhou", profile=self.profile, **extra)
        self.front.node_up()
        self.source = self.front.connect()
        self.durable = saved or self.front.saved()
        self.kept = copy.deepcopy(self.front.kept)

    def next_serial(self):
        self.serial += 1
        return f"{self.serial:06d}"

    def heard(self, serial):
        """The answer to one message of ours, None when there was none."""
        found = [message for message in self.front.heard() if message.get("TRACENO") == serial]
        return found[-1] if found else None

    def manage(self, name, lost, **extra):
        """Send a message about the line; return its answer, None when it was lost on the way."""
        serial = self.next_serial()
        self.front.manage(self.source, name, serial, **extra)
        answer = self.heard(serial)
        assert answer is not None
        return None if lost else answer

    @property
    def cipher(self):
        return DES3.new(self.front.keys["master"], DES3.MODE_ECB)

    @initialize()
    def begin(self):
        self.sign_on(lost=False)
        self.first_key()

    @rule(seconds=st.sampled_from([1, 100, 179, 181, 3600, 200_000]))
    def wait(self, seconds):
        self.front.wait(seconds)
        if (self.source, "line_dead") in self.front.closed:
            self.reconnect()

    @rule()
    def reconnect(self):
        self.front.run(self.front.core.on_closed(self.source, "gone", self.front.now))
        self.source = self.front.connect()

    @rule()
    def restart(self):
        self.restart_with(self.front.saved())

    def restart_with(self, saved):
        kept, now = self.front.kept, self.front.now
        self.start(saved, now)
        self.front.kept = {**kept, **self.front.kept}

    @rule(written=st.booleans(), name=st.sampled_from(["sign_on", "other"]))
    def crash_over_a_store(self, written, name):
        """The process dies when it has asked for rows to be stored: before or after they are."""
        front = self.front
        front.hold_stores = True
        self.disturb(name)
        stores, front.stores = front.stores, []
        for _, rows in stores if written else []:
            for row in rows:
                front.kept[type(row), getattr(row, "slot", "")] = row
        self.restart_with(front.saved())

    @rule()
    def ask(self):
        self.assert_understood()

    @invariant()
    def the_bank_s_key_verifies(self):
        if self.key is not None:
            candidates = [key.material for key in self.front.core._session._keys.candidates(self.front.now)]
            assert self.key in candidates

    def assert_understood(self):
        front, serial = self.front, self.next_serial()
        front.send(self.source, front.body(front.request(Kind.RECHARGE, serial=serial), key=MacKey(self.key)))
        asked = front.take_asked()
        if not asked:  # a session that was never stored as signed on: the bank signs on, as it is told
            assert front.results()[-1] is Result.NOT_SIGNED_ON
            self.sign_on(lost=False)
            return
        for peer, envelope in asked:
            front.reply(peer, envelope)


class Answers(Line):
    """We make the keys and tell them in our answers."""

    def adopt(self, answer):
        if answer is not None and answer["RESPCODE"] == "00":
            self.key = self.cipher.decrypt(bytes.fromhex(answer["MACKEY"]))

    def first_key(self):
        assert self.key is not None

    def disturb(self, name):
        names = {"sign_on": "sign_on", "other": "key_request"}
        self.front.manage(self.source, names[name], self.next_serial())

    @rule(lost=st.booleans())
    def sign_on(self, lost):
        self.adopt(self.manage("sign_on", lost))

    @rule(lost=st.booleans())
    def request_a_key(self, lost):
        self.adopt(self.manage("key_request", lost))

    @rule(lost=st.tuples(st.booleans(), st.booleans()))
    def sign_on_twice_at_once(self, lost):
        self.front.hold_stores = True
        serials = [self.next_serial(), self.next_serial()]
        for serial in serials:
            self.front.manage(self.source, "sign_on", serial)
        self.front.hold_stores = False
        self.front.store()
        for serial, gone in zip(serials, lost, strict=True):
            self.adopt(None if gone else self.heard(serial))


class Deliveries(Line):
    """The bank makes the keys; it says one again, unchanged, until it is answered."""

    def __init__(self):
        self.made = 0
        self.waiting = None
        super().__init__()

    def first_key(self):
        self.deliver_a_key(lost=False)

    def new_key(self):
        self.made += 1
        return bytes((self.made * 37 + 11 * at) % 251 & 0xFE for at in range(16))

    def brought(self):
        if self.waiting is None:
            self.waiting = self.new_key()
        check = DES3.new(self.waiting, DES3.MODE_ECB).encrypt(bytes(8))[:4]
        wrapped = self.cipher.encrypt(self.waiting)
        return {"MACKEY": wrapped.hex().upper(), "MACCHECK": check.hex().upper()}

    def disturb(self, name):
        if name == "sign_on":
            self.front.manage(self.source, "sign_on", self.next_serial())
        else:
            self.front.manage(self.source, "key_delivery", self.next_serial(), **self.brought())

    @rule(lost=st.booleans())
    def sign_on(self, lost):
        self.manage("sign_on", lost)

    @rule(lost=st.booleans())
    def deliver_a_key(self, lost):
        answer = self.manage("key_delivery", lost, **self.brought())
        if answer is not None and answer["RESPCODE"] == "00":
            self.key, self.waiting = self.waiting, None


@pytest.mark.parametrize("form", ["answers", "deliveries"])
def test_neither_side_is_ever_locked_out(bench, edit, form):
    theirs = {"answers": (), "deliveries": PARAMETERS_OF_THEIRS}[form]
    PARAMETERS.update(bench=bench, profile=edit("wenzhou", *theirs))
    run_state_machine_as_test({"answers": Answers, "deliveries": Deliveries}[form], settings=SETTINGS)


PARAMETERS_OF_THEIRS = (
    ('keys = "ours"', 'keys = "theirs"'),
    ('delivery = "answer"', ""),
    ("[management.key_request]", "[management.key_delivery]"),
    ('pin_key = "PINKEY"', ""),
    ('pin_check = "PINCHECK"', ""),
)
