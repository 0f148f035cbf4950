"""What is done where no bridge runs, on its way into the chain."""

import pytest

from crm_bridge.operators import chain
from crm_bridge.operators.acts import ActKind, ActState, Order
from crm_bridge.operators.memory import Memory
from crm_bridge.operators.notes import store as notes
from crm_bridge.operators.notes.store import FileNotes, NotesError, SharedNotes, new_note
from crm_bridge.operators.office import Office
from crm_bridge.operators.people import OperatorsError, mark_of
from crm_bridge.operators.proof import Person, compare
from crm_bridge.operators.taking import RECEIPT, Proof, asked_of, take
from qianzhi.runtime.urls import with_user
from qianzhi.saf.warrants import Warrants

PASSWORD = "a password for everybody 1"
WARRANTS = Warrants(b"the link key of a site")
ENTRY = Order(ActKind.SAF_RETRY, "entry-1", {"entry": "entry-1"}, "")


class Plain:
    """Hashes that cost nothing."""

    def make(self, password):
        return f"hash of {password}"

    def code(self):
        return "half"

    def same(self, password_hash, password):
        return password_hash == f"hash of {password}"


@pytest.fixture
def memory():
    return Memory()


@pytest.fixture
def office(memory):
    found = Office(memory, Plain())
    found.enlist("os:root", "", "wang", PASSWORD, 1)
    found.enlist("wang", PASSWORD, "li", PASSWORD, 2)
    return found


@pytest.fixture(params=["file", "postgresql"])
def kept(request, tmp_path):
    if request.param == "file":
        return FileNotes(tmp_path / "deep/notes.db")
    postgres = request.getfixturevalue("postgres")
    postgres.psql("DO $$ BEGIN CREATE ROLE qianzhi_front LOGIN; EXCEPTION WHEN duplicate_object THEN END $$")
    postgres.psql("ALTER ROLE qianzhi_front LOGIN PASSWORD 'p'")
    url = postgres.new_database()
    for _ in range(2):
        notes.prepare(url)
    return SharedNotes(with_user(url, "qianzhi_front", ""), "p")


def test_notes_are_kept_in_their_order_until_they_are_forgotten(kept):
    assert kept.read() == []
    written = [new_note(at_us, "os:root@if1", "drained", {"daemon": f"节点{at_us}"}) for at_us in (2, 1, 3)]
    for note in written:
        kept.write(note)
    assert kept.read() == [written[1], written[0], written[2]]
    kept.forget([written[0].id, "unknown"])
    kept.forget([])
    assert kept.read() == [written[1], written[2]]


def test_where_notes_cannot_be_kept_it_is_said_without_the_password(tmp_path):
    (tmp_path / "notes.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(NotesError, match=r"notes\.db"):
        FileNotes(tmp_path / "notes.db").read()
    with pytest.raises(NotesError) as said:
        SharedNotes("postgresql://qianzhi_front@127.0.0.1:1/x", "secret-word").write(new_note(1, "", "", {}))
    assert "secret-word" not in str(said.value)


def receipt_of(act, result="approved", by=WARRANTS, **detail):
    """What a daemon says of an act, as a note."""
    detail = detail or {"node": "node1", "state": "open"}
    receipt = by.receipt(asked_of(act), result, detail)
    return {"act": act.id, "result": result, "detail": detail, "receipt": receipt}


def test_an_act_that_a_node_carried_out_is_done_by_its_receipt_and_once(memory, office):
    act = office.propose("wang", PASSWORD, ENTRY, 3)
    office.approve("li", PASSWORD, act.id, 4)
    for at_us in (5, 6):
        take(office, new_note(at_us, "os:root@if1", RECEIPT, receipt_of(act)), at_us, WARRANTS)
    assert (memory.acts[act.id].state, memory.acts[act.id].ended_us) == (ActState.DONE, 5)


@pytest.mark.parametrize("kind", [ActKind.SAF_RETRY, ActKind.VOID])
def test_a_note_ends_no_act_that_is_not_approved_or_not_a_nodes(memory, office, kind):
    act = office.propose("wang", PASSWORD, ENTRY._replace(kind=kind), 3)
    if kind is ActKind.VOID:
        office.approve("li", PASSWORD, act.id, 4)
    take(office, new_note(5, "os:root@if1", RECEIPT, receipt_of(act)), 5, WARRANTS)
    assert memory.acts[act.id].state is not ActState.DONE
    assert memory.entries[-1].what == "act not done"


def test_no_act_ends_without_the_receipt_of_just_this_end(memory, office):
    other = office.propose("wang", PASSWORD, ENTRY._replace(subject="entry-2"), 3)
    act = office.propose("wang", PASSWORD, ENTRY, 3)
    office.approve("li", PASSWORD, act.id, 4)
    true = receipt_of(act)
    bad = [
        true | {"receipt": ""},
        true | {"result": "too_late"},
        true | {"detail": {"node": "node2", "state": "open"}},
        true | {"receipt": receipt_of(other)["receipt"]},
        true | {"receipt": WARRANTS.warrant(asked_of(act))},
        receipt_of(act, by=Warrants(b"another link key")),
    ]
    for facts in bad:
        take(office, new_note(5, "os:root@if1", RECEIPT, facts), 5, WARRANTS)
        proof = Proof(WARRANTS, facts["result"], facts["detail"], facts["receipt"])
        with pytest.raises(OperatorsError, match="no daemon of this site says"):
            office.finish("li", act.id, proof.result, proof.detail, 5, proof.require)
    assert memory.acts[act.id].state is ActState.APPROVED
    take(office, new_note(6, "os:root@if1", RECEIPT, true), 6, WARRANTS)
    assert memory.acts[act.id].state is ActState.DONE


@pytest.mark.parametrize(
    ("who", "what"),
    [
        *(
            ("os:root@if1", what)
            for what in ("act done", "act approved", "operator added", "password changed")
        ),
        *(("os:root@if1", what) for what in ("act proposed", "act refused", "anything else", "")),
        *(("li", what) for what in ("drained", RECEIPT)),
    ],
)
def test_a_note_never_reads_as_what_an_operator_did(memory, office, who, what):
    act = office.propose("wang", PASSWORD, ENTRY, 3)
    office.approve("li", PASSWORD, act.id, 4)
    facts = receipt_of(act) | {"name": "li", "mark": mark_of("hash of another password")}
    take(office, new_note(5, who, what, facts), 5, WARRANTS)
    last = memory.entries[-1]
    assert (last.who, last.what) == ("os:unknown", "note not readable")
    assert last.facts["what"] == what
    assert memory.acts[act.id].state is ActState.APPROVED
    marks = {name: Person(one.state, mark_of(one.password)) for name, one in memory.operators.items()}
    assert compare(memory.entries, memory.acts.values(), marks) == []
    forged = chain.link(memory.entries[-1].head, 6, "os:root@if1", "act done", receipt_of(act), note="n")
    (fault, *_) = compare([*memory.entries, forged], memory.acts.values(), marks)
    assert fault.what == "a note that reads as an operator's doing: act done"


@pytest.mark.parametrize(
    "detail",
    [
        "no json",
        "[]",
        "{}",
        '{"act":"1","result":"approved","detail":{}}',
        '{"act":1,"result":"approved","detail":[]}',
        "NaN",
        '{"a":"\\ud800"}',
    ],
)
@pytest.mark.parametrize("what", [RECEIPT, "drained"])
def test_a_note_that_nobody_can_read_holds_up_none_behind_it(memory, office, what, detail):
    bad = new_note(5, "os:root@if1", what, {})._replace(detail=detail)
    for _ in range(2):
        take(office, bad, 5, WARRANTS)
    (entry,) = [each for each in memory.entries if each.note == bad.id]
    assert entry.what in ("drained", "act not done", "note not readable")
    assert chain.verify(memory.entries) == []
