"""A chain that somebody has been at, and rows that are not what it tells."""

import pytest

from crm_bridge.operators.acts import Act, ActKind, ActState
from crm_bridge.operators.chain import Head, canonical, hash_of, link, verify
from crm_bridge.operators.people import OperatorState
from crm_bridge.operators.proof import Person, compare

PEOPLE = {"wang": Person(OperatorState.ACTIVE, "w"), "li": Person(OperatorState.ACTIVE, "l")}
ACT = Act(1, ActKind.VOID, "k/1/2", "{}", "", "wang", 1, 9, ActState.DONE, "li", 4, "approved")


@pytest.fixture
def entries():
    found, head = [], Head()
    proposed = {"kind": "void", "subject": "k/1/2", "arguments": {}, "reason": ""}
    for who, what, detail in (
        ("os:root", "operator enlisted", {"name": "wang", "mark": "w"}),
        ("wang", "operator enlisted", {"name": "li", "mark": "l"}),
        ("wang", "act proposed", proposed),
        ("li", "act approved", {}),
        ("li", "act done", {"result": "approved"}),
    ):
        found.append(link(head, len(found) + 1, who, what, detail, act=1 if "act" in what else 0))
        head = found[-1].head
    return found


def whole(entries):
    """The same entries, with every hash worked out anew: what somebody with all rights would leave."""
    found, head = [], Head()
    for number, entry in enumerate(entries, 1):
        made = entry._replace(number=number, previous=head.hash)
        found.append(made._replace(hash=hash_of(made)))
        head = found[-1].head
    return found


def test_an_untouched_chain_is_whole(entries):
    assert verify(entries) == verify([]) == []
    assert verify(entries, entries[2].head) == []
    assert compare(entries, [ACT], PEOPLE) == []


@pytest.mark.parametrize(
    "change",
    [
        {"who": "zhao"},
        {"what": "act refused"},
        {"at_us": 77},
        {"act": 2},
        {"note": "n"},
        {"detail": canonical({"result": "spent"})},
        {"previous": bytes(range(32))},
        {"hash": bytes(range(32))},
        {"number": 9},
    ],
)
@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_changed_entry_is_found(entries, change, place):
    changed = entries[place]._replace(**change)
    assert changed != entries[place]
    assert verify([*entries[:place], changed, *entries[place + 1 :]])


def test_an_entry_that_was_removed_doubled_or_moved_is_found(entries):
    assert verify(entries[1:])[0].number == 2
    assert verify([*entries[:2], *entries[3:]])[0].number == 4
    assert verify([*entries[:2], entries[1], *entries[2:]])
    assert verify([entries[1], entries[0], *entries[2:]])


def test_an_end_that_was_cut_off_or_written_anew_is_found_by_a_head_noted_before(entries):
    head = entries[-1].head
    assert verify(entries[:-1]) == []
    assert [fault.number for fault in verify(entries[:-1], head)] == [5]
    forged = whole([*entries[:3], entries[3]._replace(who="zhao"), entries[4]])
    assert verify(forged) == []
    assert verify(forged, head)
    assert [fault.what for fault in compare(forged, [ACT], PEOPLE)] == [
        "act 1 is not as the chain tells it: checker"
    ]


@pytest.mark.parametrize(
    "row",
    [
        ACT._replace(checker="zhao"),
        ACT._replace(state=ActState.APPROVED, result=""),
        ACT._replace(result="spent"),
        ACT._replace(subject="k/1/3"),
        ACT._replace(arguments='{"amount_fen":1}'),
        ACT._replace(maker="li", checker="wang"),
        ACT._replace(id=2),
    ],
)
def test_a_row_that_is_not_what_the_chain_tells_is_found(entries, row):
    assert compare(entries, [row], PEOPLE)


def test_a_row_that_is_missing_or_that_nobody_proposed_is_found(entries):
    assert compare(entries, [], PEOPLE)
    assert compare(entries[:2], [ACT], PEOPLE)
    assert compare([*entries[:2], *entries[3:]], [ACT], PEOPLE)


def test_a_password_or_operator_put_in_beside_the_chain_is_found(entries):
    assert compare(entries, [ACT], PEOPLE | {"li": Person(OperatorState.ACTIVE, "another")})
    assert compare(entries, [ACT], PEOPLE | {"sun": Person(OperatorState.ACTIVE, "s")})
    assert compare(entries, [ACT], {"wang": PEOPLE["wang"]})
    assert compare(entries, [ACT], PEOPLE | {"li": Person(OperatorState.RETIRED, "l")})


def test_one_who_approves_what_he_proposed_is_found(entries):
    alone = whole([*entries[:3], entries[3]._replace(who="wang"), entries[4]])
    faults = compare(alone, [ACT._replace(checker="wang")], PEOPLE)
    assert [fault.what for fault in faults] == ["act 1 was decided by wang, who had proposed it"]
