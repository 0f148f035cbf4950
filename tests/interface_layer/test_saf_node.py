"""Store-and-forward at a node: what is promised is stored first, sent until it is settled, and never sent by
two nodes; what cannot be settled waits for an operator, and its day with it."""

from itertools import pairwise

from house_bench import MINUTE_US, POLICY, START, TODAY, Bench

from qianzhi.domain.requests import Kind, Request
from qianzhi.domain.results import Result
from qianzhi.link.messages import Status
from qianzhi.saf.lanes import NeverError, RefusedError
from qianzhi.saf.rows import Entry

HOUR_US = 60 * MINUTE_US


def reversing(**says: object) -> Bench:
    """A bench with one charge that is being reversed."""
    bench = Bench()
    bench.says[Kind.CHARGE] = Result.UNKNOWN
    bench.says[Kind.CHARGE_REVERSAL] = says.get("reversal", Result.UNKNOWN)
    bench.charge()
    return bench


def entry_of(bench: Bench, order: str = "o1") -> Entry:
    return bench.shelf.entries[f"{bench.key(order)}/charge_reversal"][1]


def test_a_reversal_without_an_answer_is_sent_again_marked_as_a_repeat_with_its_own_serial() -> None:
    bench = reversing()
    bench.pass_time(4 * MINUTE_US)
    first, *again = bench.asked[1:]
    assert len(again) > 4
    assert (first.repeat, {one.repeat for one in again}) == (False, {True})
    assert {(one.own_serial, one.received_us, one.stamp_us) for one in again} == {
        (first.own_serial, first.received_us, first.stamp_us)
    }
    assert entry_of(bench).tries == len(again) + 1


def test_tries_come_fast_at_first_and_then_seldom() -> None:
    bench = reversing()
    at: list[int] = []
    bench.says[Kind.CHARGE_REVERSAL] = lambda request: (at.append(bench.now.wall_us), Result.UNKNOWN)[1]
    bench.pass_time(20 * MINUTE_US)
    apart = [(later - sooner) // 1_000_000 for sooner, later in pairwise(at)]
    assert apart[:6] == [5, 5, 10, 20, 40, 60]
    assert set(apart[6:]) == {60}


def test_a_break_is_open_until_the_reversal_is_settled() -> None:
    bench = reversing()
    bench.pass_time(MINUTE_US)
    assert bench.breaks == {bench.key(): "saf"}
    bench.says[Kind.CHARGE_REVERSAL] = Result.APPROVED
    bench.pass_time(2 * MINUTE_US)
    assert (bench.breaks, entry_of(bench).state) == ({}, "settled")
    asked = len(bench.asked)
    bench.pass_time(HOUR_US)
    assert len(bench.asked) == asked


def test_a_later_word_on_a_break_has_a_later_time_though_clocks_go_back() -> None:
    bench = reversing()
    bench.pass_time(6_000_000)
    bench.now = bench.now._replace(wall_us=bench.now.wall_us - HOUR_US)
    bench.begin("node1")
    bench.says[Kind.CHARGE_REVERSAL] = Result.APPROVED
    bench.pass_time(MINUTE_US)
    words = [one for one in bench.told if one.kind in (Kind.BREAK, Kind.MEND)]
    assert [one.kind for one in words] == [Kind.BREAK, Kind.MEND]
    assert words[0].received_us < words[1].received_us


def test_what_the_other_side_never_had_is_settled_by_its_saying_so() -> None:
    for word in (Result.NOT_FOUND, Result.ORIGINAL_REFUSED, Result.REVERSED):
        assert entry_of(reversing(reversal=word)).state == "settled"


def test_a_signed_off_destination_is_not_asked_and_asked_at_once_when_it_is_back() -> None:
    bench = reversing()
    tried = len(bench.asked)
    bench.sign_off()
    bench.pass_time(HOUR_US)
    assert len(bench.asked) == tried
    bench.says[Kind.CHARGE_REVERSAL] = Result.APPROVED
    bench.sign_off(False)
    assert (len(bench.asked), entry_of(bench).state) == (tried + 1, "settled")


def test_what_was_certainly_not_sent_is_no_repeat_when_it_goes() -> None:
    bench = reversing(reversal=Status.BUSY)
    bench.pass_time(MINUTE_US)
    bench.says[Kind.CHARGE_REVERSAL] = Result.APPROVED
    bench.pass_time(MINUTE_US)
    assert (bench.asked[-1].repeat, entry_of(bench).tries) == (False, 1)


def test_a_reversal_that_is_out_of_time_is_manual_and_its_break_says_so() -> None:
    bench = reversing()
    bench.pass_time(48 * HOUR_US)
    assert (entry_of(bench).state, bench.breaks) == ("manual", {bench.key(): "manual"})
    assert bench.alarms["saf_manual"] == 1
    tried = len(bench.asked)
    bench.pass_time(24 * HOUR_US)
    assert len(bench.asked) == tried


def test_time_runs_out_for_what_waits_behind_a_sign_off_too() -> None:
    bench = reversing()
    bench.sign_off()
    bench.pass_time(48 * HOUR_US)
    assert entry_of(bench).state == "manual"


def test_a_poisoned_entry_is_put_aside_and_those_behind_it_go_on() -> None:
    bench = reversing(reversal=Result.FORMAT)
    assert (entry_of(bench).state, bench.breaks) == ("quarantined", {bench.key(): "manual"})
    bench.says[Kind.CHARGE_REVERSAL] = Result.APPROVED
    bench.charge("o2")  # of the same account
    assert (bench.state("o2"), entry_of(bench, "o2").state) == ("reversing", "settled")
    unknown = reversing(reversal=Status.NO_ROUTE)
    assert entry_of(unknown).state == "quarantined"


def test_entries_of_one_account_keep_their_order_and_others_pass() -> None:
    bench = reversing()
    for number, phone in enumerate(("13800000001", "13800000002"), start=2):
        request = Request(Kind.ADVICE, "unet-out", TODAY, f"advice{number}", "unet", "900100", phone)
        put = Entry(
            id=f"advice{number}",
            destination="unet",
            account=phone,
            request=request,
            number=START.wall_us + number,
            made_us=START.wall_us,
        )
        node = bench.nodes["node1"]
        node.house._saf.put([put], bench.now)
        bench.do("node1", node.on_time(bench.now))
    bench.pass_time(MINUTE_US)  # the reversal is sent again, and waits for its next try in between
    assert [r.serial for r in bench.asked if r.kind is Kind.ADVICE] == ["advice3"]
    bench.says[Kind.CHARGE_REVERSAL] = Result.APPROVED
    bench.pass_time(MINUTE_US)
    assert [r.serial for r in bench.asked if r.kind is Kind.ADVICE] == ["advice3", "advice2"]


def test_nothing_is_sent_that_is_not_stored() -> None:
    bench = reversing()
    bench.hold()
    tried = len(bench.asked)
    bench.pass_time(9_000_000)
    assert len(bench.asked) == tried
    bench.release()
    assert len(bench.asked) == tried + 1


def test_a_restarted_node_goes_on_and_marks_what_it_may_have_sent() -> None:
    bench = reversing(reversal=None)
    bench.begin("node1")
    bench.says[Kind.CHARGE_REVERSAL] = Result.APPROVED
    bench.pass_time(MINUTE_US)
    assert (bench.asked[-1].repeat, entry_of(bench).state, bench.breaks) == (True, "settled", {})


def test_a_dead_nodes_entries_are_sent_by_its_partner_and_a_living_ones_are_not() -> None:
    bench = reversing()
    bench.pass_time(5 * MINUTE_US)
    assert bench.shelf.entries[entry_of(bench).id][0] == "node1"
    bench.kill("node1")
    bench.says[Kind.CHARGE_REVERSAL] = Result.APPROVED
    bench.pass_time(MINUTE_US)
    assert (bench.shelf.entries[entry_of(bench).id][0], entry_of(bench).state) == ("node2", "settled")
    assert (bench.asked[-1].repeat, bench.breaks) == (True, {})


def test_a_node_that_stood_still_sends_nothing_of_what_was_taken_from_it() -> None:
    bench = reversing()
    frozen = bench.nodes.pop("node1")  # it gets no time, and its peers stay connected
    bench.pass_time(MINUTE_US)
    assert bench.shelf.entries[entry_of(bench).id][0] == "node2"
    bench.nodes["node1"] = frozen
    before = [name for name, _ in bench.shelf.entries.values()]
    sent: list[Request] = []
    bench.says[Kind.CHARGE_REVERSAL] = lambda request: (sent.append(request), Result.UNKNOWN)[1]
    tries = entry_of(bench).tries
    bench.do("node1", frozen.on_time(bench.now))
    assert (sent, entry_of(bench).tries) == ([], tries)
    assert [name for name, _ in bench.shelf.entries.values()] == before
    assert bench.alarms["saf_lease_lost"] == 1
    bench.pass_time(MINUTE_US)
    assert len(sent) == entry_of(bench).tries - tries  # one node alone goes on with it


def test_what_is_stored_after_its_lease_ran_out_is_sent_only_with_a_new_one() -> None:
    bench = reversing()
    bench.pass_time(4_900_000)
    bench.hold()
    bench.pass_time(200_000)  # the second try is being written
    tried = len(bench.asked)
    bench.now = bench.now.after(9_000_000)  # longer than a node relies on its lease; nobody has taken over
    held = bench.stored["node1"]
    assert held is not None
    held.popleft()()
    assert len(bench.asked) == tried
    bench.release()
    assert len(bench.asked) == tried + 1


def test_operators_try_again_end_and_settle_and_no_act_is_carried_out_twice() -> None:
    bench = reversing()
    entry_id = entry_of(bench).id
    assert isinstance(bench.act("retry", entry_id, "act1"), RefusedError)
    bench.pass_time(1_000_000)
    assert bench.act("expire", entry_id, "act2", why="by hand")["state"] == "manual"
    assert bench.act("expire", entry_id, "act2")["state"] == "manual"
    assert isinstance(bench.act("expire", entry_id, "act3"), RefusedError)
    assert bench.breaks == {bench.key(): "manual"}
    tried = len(bench.asked)
    assert bench.act("retry", entry_id, "act4")["state"] == "open"
    assert len(bench.asked) == tried + 1
    assert bench.act("retry", entry_id, "act4")["state"] == "open"
    bench.pass_time(2 * 24 * 60 * MINUTE_US)  # past its deadline
    assert entry_of(bench).state == "manual"
    assert bench.act("settle", entry_id, "act5", why="booked from the file")["state"] == "settled"
    assert (entry_of(bench).why, bench.breaks) == ("booked from the file", {})
    assert isinstance(bench.act("settle", entry_id, "act6", name="node2"), RefusedError)


def test_an_older_act_does_not_undo_a_newer_one_and_says_that_it_comes_too_late() -> None:
    bench = reversing()
    entry_id = entry_of(bench).id
    bench.pass_time(1_000_000)
    assert bench.act("expire", entry_id, "2")["state"] == "manual"
    assert bench.act("retry", entry_id, "4")["state"] == "open"
    bench.pass_time(48 * HOUR_US)
    for act, verb in (("2", "retry"), ("3", "retry"), ("3", "settle"), ("3", "expire")):
        late = bench.act(verb, entry_id, act)
        assert isinstance(late, NeverError)
        assert late.result == "too_late"
    assert (entry_of(bench).state, entry_of(bench).act, bench.breaks) == (
        "manual",
        "4",
        {bench.key(): "manual"},
    )


def test_nobody_ends_what_tells_the_core_of_a_break() -> None:
    bench = reversing()
    bench.core_says[Kind.BREAK] = Result.UNKNOWN
    bench.charge("o2")
    (word,) = [one for one, _ in open_words(bench)]
    bench.pass_time(1_000_000)
    refused = bench.act("expire", word, "1", why="it hangs")
    assert isinstance(refused, NeverError)
    assert (refused.result, "retry it" in str(refused)) == ("refused", True)
    bench.core_says[Kind.BREAK] = Result.FORMAT  # it does not understand: put aside, with an operator
    bench.pass_time(2 * MINUTE_US)
    assert open_words(bench) == [(word, "quarantined")]
    assert isinstance(bench.act("settle", word, "2"), NeverError)
    assert bench.key("o2") not in bench.breaks
    del bench.core_says[Kind.BREAK]
    assert bench.act("retry", word, "3")["state"] == "open"
    assert (bench.breaks[bench.key("o2")], open_words(bench)) == ("saf", [])


def open_words(bench: Bench) -> list[tuple[str, str]]:
    """The entries to the core that have not ended, and how they stand."""
    return [
        (one.id, one.state.value)
        for _, one in bench.shelf.entries.values()
        if one.destination == "core" and not one.ended_us
    ]


def test_an_act_is_answered_when_it_is_stored_and_not_before() -> None:
    bench = reversing()
    bench.pass_time(1_000_000)
    bench.hold()
    assert bench.act("expire", entry_of(bench).id, "act1") is None
    bench.release()
    assert [answer["state"] for answer in bench.answers.values() if "act" in answer] == ["manual"]


def test_what_has_ended_is_forgotten_after_its_time_and_what_is_open_is_not() -> None:
    bench = Bench(figures=POLICY._replace(keep_us=HOUR_US))
    bench.says[Kind.CHARGE] = Result.UNKNOWN
    bench.charge()
    bench.says[Kind.CHARGE_REVERSAL] = Result.UNKNOWN
    bench.charge("o2")
    entries, left = set(bench.shelf.entries), entry_of(bench, "o2")
    bench.pass_time(4 * HOUR_US)
    assert (set(bench.shelf.charges), left.id in bench.shelf.entries) == (set(), True)
    assert entries - set(bench.shelf.entries) == {one for one in entries if one != left.id}
