"""What is done where no bridge runs, on its way into the chain."""

import pytest

from crm_bridge.operators import chain, shell
from crm_bridge.operators.acts import ActKind, ActState, Order
from crm_bridge.operators.memory import Memory
from crm_bridge.operators.notes import store as notes
from crm_bridge.operators.notes.store import FileNotes, NotesError, SharedNotes, new_note
from crm_bridge.operators.office import Office
from qianzhi.runtime.urls import with_user

PASSWORD = "a password for everybody 1"
ENTRY = Order(ActKind.SAF_RETRY, "entry-1", {"entry": "entry-1"}, "")


class Plain:
    """Hashes that cost nothing."""

    def make(self, password):
        return f"hash of {password}"

    def same(self, password_hash, password):
        return password_hash == f"hash of {password}"


@pytest.fixture
def memory():
    return Memory()


@pytest.fixture
def office(memory):
    found = Office(memory, Plain())
    found.add("os:root", "", "wang", PASSWORD, 1)
    found.add("wang", PASSWORD, "li", PASSWORD, 2)
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


def test_an_act_that_a_node_carried_out_is_done_by_a_note_and_once(memory, office):
    act = office.propose("wang", PASSWORD, ENTRY, 3)
    office.approve("li", PASSWORD, act.id, 4)
    facts = {"act": act.id, "result": "approved", "detail": {"state": "open"}}
    for at_us in (5, 6):
        shell._take(office, new_note(at_us, "os:root@if1", shell.ACT_DONE, facts), at_us)
    assert (memory.acts[act.id].state, memory.acts[act.id].ended_us) == (ActState.DONE, 5)


@pytest.mark.parametrize("kind", [ActKind.SAF_RETRY, ActKind.VOID])
def test_a_note_ends_no_act_that_is_not_approved_or_not_a_nodes(memory, office, kind):
    act = office.propose("wang", PASSWORD, ENTRY._replace(kind=kind), 3)
    if kind is ActKind.VOID:
        office.approve("li", PASSWORD, act.id, 4)
    facts = {"act": act.id, "result": "approved", "detail": {}}
    shell._take(office, new_note(5, "os:root@if1", shell.ACT_DONE, facts), 5)
    assert memory.acts[act.id].state is not ActState.DONE
    assert memory.entries[-1].what == "act not done"


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
@pytest.mark.parametrize("what", [shell.ACT_DONE, "drained"])
def test_a_note_that_nobody_can_read_holds_up_none_behind_it(memory, office, what, detail):
    bad = new_note(5, "os:root@if1", what, {})._replace(detail=detail)
    for _ in range(2):
        shell._take(office, bad, 5)
    (entry,) = [each for each in memory.entries if each.note == bad.id]
    assert entry.what in ("drained", "act not done", "note not readable")
    assert chain.verify(memory.entries) == []
