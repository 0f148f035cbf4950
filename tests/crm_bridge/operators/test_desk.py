"""What two operators may agree on, decided without a database."""

import pytest

from crm_bridge.operators import people
from crm_bridge.operators.acts import WAITS_US, ActKind, ActState, Order
from crm_bridge.operators.chain import verify
from crm_bridge.operators.memory import Memory
from crm_bridge.operators.office import Office
from crm_bridge.operators.people import LoginError, OperatorsError, OperatorState, mark_of
from crm_bridge.operators.proof import Person, compare

KEY = "citic/20261117/000001"
VOID = Order(ActKind.VOID, KEY, {"key": KEY, "amount_fen": 10_000}, "wrong phone")
PASSWORDS = {name: f"{name[::-1]} long enough 1" for name in ("wang", "li", "zhao", "qian")}


class Plain:
    """Hashes that cost nothing, and codes of which no two are the same."""

    codes = 0

    def make(self, password):
        return f"hash of {password}"

    def code(self):
        self.codes += 1
        return f"half{self.codes}"

    def same(self, password_hash, password):
        return password_hash == f"hash of {password}"


class Desks:
    """An office in memory with a clock of its own, and three operators who never mistype."""

    def __init__(self):
        self.memory = Memory()
        self.office = Office(self.memory, Plain())
        self.now_us = 1_000_000
        self.office.enlist("os:root@core1", "", "wang", PASSWORDS["wang"], self.tick())
        self.office.enlist("wang", PASSWORDS["wang"], "li", PASSWORDS["li"], self.tick())
        self.let_in("wang", "li", "zhao")

    def tick(self):
        self.now_us += 1
        return self.now_us

    def add(self, by, name):
        return self.office.add(by, PASSWORDS[by], name, self.tick()).act

    def let_in(self, maker, checker, name):
        invited = self.office.add(maker, PASSWORDS[maker], name, self.tick())
        admitted = self.office.admit(checker, PASSWORDS[checker], invited.act.id, self.tick())
        code = f"{invited.code}-{admitted.code}"
        self.office.change_password(name, code, PASSWORDS[name], self.tick())

    def propose(self, maker, order=VOID, **more):
        return self.office.propose(maker, PASSWORDS[maker], order, self.tick(), **more)

    def approve(self, checker, number):
        return self.office.approve(checker, PASSWORDS[checker], number, self.tick())

    def refuse(self, who, number):
        return self.office.refuse(who, PASSWORDS[who], number, "no", self.tick())

    def finish(self, number, result="approved"):
        return self.office.finish("li", number, result, {"order": "Q1"}, self.tick())

    def faults(self):
        memory = self.memory
        marks = {name: Person(one.state, mark_of(one.password)) for name, one in memory.operators.items()}
        return verify(memory.entries) + compare(memory.entries, memory.acts.values(), marks)


@pytest.fixture
def desks():
    found = Desks()
    yield found
    assert found.faults() == []


def said(memory):
    return [(entry.who, entry.what) for entry in memory.entries]


def test_the_first_two_need_nobody_and_the_third_is_approved_by_another(desks):
    assert said(desks.memory) == [
        ("os:root@core1", "operator enlisted"),
        ("wang", "operator enlisted"),
        ("wang", "act proposed"),
        ("li", "act approved"),
        ("li", "operator added"),
        ("li", "act done"),
        ("zhao", "password changed"),
    ]
    with pytest.raises(LoginError):  # the second one has to know the first one's password
        desks.office.enlist("os:root@core1", "", "qian", PASSWORDS["qian"], desks.tick())


def test_whoever_proposed_an_act_never_approves_it(desks):
    act = desks.propose("wang")
    with pytest.raises(OperatorsError, match="wang proposed it and cannot approve it"):
        desks.approve("wang", act.id)
    assert desks.memory.acts[act.id].state is ActState.PENDING
    assert desks.approve("li", act.id).state is ActState.APPROVED


def test_an_act_is_done_once_and_keeps_its_first_result(desks):
    act = desks.approve("li", desks.propose("wang").id)
    assert desks.approve("zhao", act.id) == act  # driven on, not approved anew
    assert desks.approve("wang", act.id) == act
    done = desks.finish(act.id)
    assert (done.state, done.checker, done.result) == (ActState.DONE, "li", "approved")
    assert desks.finish(act.id, "spent") == done
    assert desks.approve("li", act.id) == done
    with pytest.raises(OperatorsError, match="does not wait any more"):
        desks.refuse("zhao", act.id)


def test_what_nobody_approved_cannot_be_done(desks):
    act = desks.propose("wang")
    with pytest.raises(OperatorsError, match="is pending and cannot be done"):
        desks.finish(act.id)


@pytest.mark.parametrize(("who", "state"), [("li", ActState.REFUSED), ("wang", ActState.WITHDRAWN)])
def test_an_act_is_refused_by_another_and_withdrawn_by_its_maker(desks, who, state):
    act = desks.refuse(who, desks.propose("wang").id)
    assert act.state is state
    with pytest.raises(OperatorsError, match="does not wait any more"):
        desks.approve("zhao", act.id)
    assert desks.propose("wang").id == act.id + 1


def test_of_a_kind_and_subject_one_act_waits_at_a_time(desks):
    act = desks.propose("wang")
    for state in ("waits", "approved"):
        with pytest.raises(
            OperatorsError, match=f"it waits already: act {act.id}: void {KEY}, proposed by wang"
        ):
            desks.propose("li")
        assert state == "approved" or desks.approve("li", act.id)
    desks.finish(act.id)
    assert desks.propose("li").state is ActState.PENDING


def test_an_act_expires_when_nobody_answers(desks):
    act = desks.propose("wang")
    desks.now_us += WAITS_US
    with pytest.raises(OperatorsError, match="expired"):
        desks.approve("li", act.id)
    assert desks.propose("wang").id == act.id + 1
    assert desks.memory.acts[act.id].state is ActState.EXPIRED


def test_an_approved_act_does_not_expire(desks):
    act = desks.approve("li", desks.propose("wang").id)
    desks.now_us += 10 * WAITS_US
    assert desks.approve("li", act.id).state is ActState.APPROVED
    assert desks.finish(act.id).state is ActState.DONE


def test_wrong_passwords_lock_a_name_for_half_an_hour(desks):
    act = desks.propose("wang")
    for _ in range(people.FAILURES_MAX):
        with pytest.raises(LoginError, match="the name or the password is wrong"):
            desks.office.approve("li", "not her password", act.id, desks.tick())
    with pytest.raises(LoginError, match=r"li is locked after 6 wrong passwords") as locked:
        desks.approve("li", act.id)
    assert "30 min" in locked.value.advice
    assert said(desks.memory)[-1] == ("unknown", "operator locked")
    desks.now_us += people.LOCKED_US
    assert desks.approve("li", act.id).state is ActState.APPROVED


def test_a_right_password_forgets_the_wrong_ones_before(desks):
    for _ in range(3):
        for _ in range(people.FAILURES_MAX - 1):
            with pytest.raises(LoginError):
                desks.office.approve("li", "not her password", 1, desks.tick())
        desks.approve("li", 1)
    assert desks.memory.operators["li"].failures == 0


def test_nobody_unknown_proposed_or_retired_gets_in(desks):
    desks.add("wang", "qian")
    for name in ("qian", "sun", ""):
        with pytest.raises(LoginError, match="the name or the password is wrong"):
            desks.office.propose(name, PASSWORDS.get(name, ""), VOID, desks.tick())
    desks.approve("wang", desks.propose("li", Order(ActKind.OPERATOR_RETIRE, "zhao", {}, "left")).id)
    with pytest.raises(LoginError):
        desks.propose("zhao")


def test_a_refused_operator_may_be_proposed_again_and_a_retired_name_never(desks):
    desks.refuse("li", desks.add("wang", "qian").id)
    assert desks.memory.operators["qian"].state is OperatorState.REFUSED
    desks.approve("li", desks.add("wang", "qian").id)
    pending = desks.propose("zhao")
    desks.approve("wang", desks.propose("li", Order(ActKind.OPERATOR_RETIRE, "zhao", {}, "left")).id)
    assert desks.memory.acts[pending.id].state is ActState.EXPIRED  # nobody answers for it any more
    with pytest.raises(OperatorsError, match=r"there is an operator zhao already \(retired\)"):
        desks.add("wang", "zhao")


def test_two_operators_always_stay(desks):
    desks.approve("wang", desks.propose("li", Order(ActKind.OPERATOR_RETIRE, "zhao", {}, "")).id)
    act = desks.propose("li", Order(ActKind.OPERATOR_RETIRE, "li", {}, ""))
    with pytest.raises(OperatorsError, match="fewer than 2 operators would be left"):
        desks.approve("wang", act.id)
    assert desks.memory.operators["li"].active


def test_a_reset_takes_effect_when_approved_and_not_before(desks):
    new = "another long password 2"
    invited = desks.office.reset("wang", PASSWORDS["wang"], "zhao", desks.tick())
    desks.propose("zhao")
    admitted = desks.office.admit("li", PASSWORDS["li"], invited.act.id, desks.tick())
    with pytest.raises(LoginError):
        desks.propose("zhao", Order(ActKind.VOID, "k/1/2", {}, ""))
    desks.office.change_password("zhao", f"{invited.code}-{admitted.code}", new, desks.tick())
    again = desks.office.propose("zhao", new, Order(ActKind.VOID, "k/1/2", {}, ""), desks.tick())
    assert again.maker == "zhao"


def test_neither_who_lets_somebody_in_can_be_him_and_the_code_only_chooses_a_password(desks):
    invited = desks.office.add("wang", PASSWORDS["wang"], "qian", desks.tick())
    mine = invited.code
    for code in (mine, f"{mine}-", f"{mine}-{mine}", f"{mine}-half0"):
        with pytest.raises(LoginError, match="the name or the password is wrong"):
            desks.office.change_password("qian", code, PASSWORDS["qian"], desks.tick())
    admitted = desks.office.admit("li", PASSWORDS["li"], invited.act.id, desks.tick())
    assert desks.office.admit("zhao", PASSWORDS["zhao"], invited.act.id, desks.tick()).code == ""  # told once
    for code in (mine, admitted.code, f"{mine}-{mine}", f"{admitted.code}-{mine}"):
        with pytest.raises(LoginError, match="the name or the password is wrong"):
            desks.office.change_password("qian", code, PASSWORDS["qian"], desks.tick())
    code = f"{mine}-{admitted.code}"
    waiting = desks.propose("wang")
    for call in (
        lambda: desks.office.propose("qian", code, Order(ActKind.VOID, "k/1/2", {}, ""), desks.tick()),
        lambda: desks.office.approve("qian", code, waiting.id, desks.tick()),
        lambda: desks.office.refuse("qian", code, waiting.id, "", desks.tick()),
    ):
        with pytest.raises(LoginError, match="qian has to choose a password first"):
            call()
    desks.office.change_password("qian", code, PASSWORDS["qian"], desks.tick())
    with pytest.raises(LoginError, match="the name or the password is wrong"):
        desks.office.change_password("qian", code, "another long password 2", desks.tick())
    assert desks.office.approve("qian", PASSWORDS["qian"], waiting.id, desks.tick()).checker == "qian"
    assert not [one for one in desks.memory.entries if mine in one.detail or admitted.code in one.detail]


def test_who_has_not_chosen_a_password_yet_is_not_one_of_the_two_who_stay(desks):
    desks.approve("li", desks.add("wang", "qian").id)
    desks.approve("wang", desks.propose("li", Order(ActKind.OPERATOR_RETIRE, "zhao", {}, "")).id)
    act = desks.propose("wang", Order(ActKind.OPERATOR_RETIRE, "li", {}, ""))
    with pytest.raises(OperatorsError, match="fewer than 2 operators would be left"):
        desks.office.approve("li", PASSWORDS["li"], act.id, desks.tick())


@pytest.mark.parametrize("password", ["short1!", "wang's own password", "aaaabbbbaaaabbbb", "x" * 300])
def test_bad_passwords_are_refused(desks, password):
    with pytest.raises(OperatorsError, match="a password"):
        desks.office.change_password("wang", PASSWORDS["wang"], password, desks.tick())


@pytest.mark.parametrize("name", ["Wang", "w", "wang li", "王", "os:root", "-wang", "x" * 40])
def test_bad_names_are_refused(desks, name):
    with pytest.raises(OperatorsError, match="is no operator's name"):
        desks.office.add("wang", PASSWORDS["wang"], name, desks.tick())


def test_a_note_is_recorded_once(desks):
    for _ in range(2):
        desks.office.note("os:root@if1", "drained", {"daemon": "node1"}, desks.tick(), "note-1")
    assert said(desks.memory).count(("os:root@if1", "drained")) == 1
