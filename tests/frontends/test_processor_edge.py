"""What a flood hears and what is left of it: shed in short rows, or blocked first where its bank needs it."""

from qianzhi.domain.requests import Kind
from qianzhi.domain.results import Result


def test_what_is_shed_leaves_one_short_row_and_a_repeat_of_what_is_under_way_still_joins(bench):
    made = bench("hz_citic", limits={"in_flight": 20})
    made.node_up()
    source = made.connect()
    made.sign_on(source)
    for n in range(18):
        made.ask(source, Kind.RECHARGE, serial=f"{n:06d}")
    made.rows.clear()
    shed, repeated = "000100", "000003"
    made.ask(source, Kind.RECHARGE, serial=shed)
    made.ask(source, Kind.RECHARGE, serial=repeated)
    assert made.results() == [Result.BUSY]
    row, other = made.rows
    assert (row.name, row.key.rpartition("/")[2], row.data["code"]) == ("shed", shed, "96")
    assert (row.data["kind"], row.data["result"]) == ("recharge", "busy")
    assert (other.name, other.key.rpartition("/")[2]) == ("in", repeated)
    made.answers.clear()
    for peer, envelope in made.take_asked():
        made.reply(peer, envelope)
    assert made.results() == [Result.APPROVED] * 19
    made.ask(source, Kind.RECHARGE, serial=shed)  # the code lets it come again
    ((peer, envelope),) = made.take_asked()
    made.reply(peer, envelope)
    assert made.results()[-1] is Result.APPROVED


def test_a_flood_whose_refusal_is_taken_for_good_is_blocked_first_and_not_shed(bench):
    made = bench("hz_citic", limits={"rate_per_second": 1})
    made.node_up()
    made.profile.results.repeat_codes = frozenset()
    source = made.connect()
    made.sign_on(source)
    for n in range(2):
        made.ask(source, Kind.RECHARGE, serial=f"{n:06d}")
    assert made.results() == []
    assert [envelope.kind for _, envelope in made.take_asked()] == [Kind.RECHARGE, Kind.BLOCK]
