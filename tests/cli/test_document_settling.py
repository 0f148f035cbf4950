"""What the document says each code settles, against the journal itself, the edge's own rule and the printed
tables.
"""

import itertools
import re
from datetime import timedelta, timezone
from types import SimpleNamespace

import pytest

from crm_bridge.journal import State, content_of
from crm_bridge.journal_dates import Calendar
from crm_bridge.journal_decide import Journal, Kept, Terms
from frontends.mapping import Refusal
from qianzhi.billing.desk import Outcome
from qianzhi.cli.document.settling import EARLY, LISTENERS, SETTLED, VOIDED, codes_of, is_heard, verdicts
from qianzhi.domain.dates import business_date, shift
from qianzhi.domain.requests import Key, Kind, Reply, Request
from qianzhi.domain.results import EDGE_RESULTS, Result
from qianzhi.runtime.now import Now
from tests.cli.test_document import BANKS, chapters, facts_of, text_of

ZONE = timezone(timedelta(hours=8))
TODAY, TEN = 20261122, 1_795_312_800_000_000  # ten o'clock of that day
DAY_US = 86_400_000_000
TERMS = Terms(amount_fen_max=5_000_000, keep_days=200, repeat_hours=2)
each_bank = pytest.mark.parametrize("bank", BANKS)


class Core:
    """The journal over several batches, with a desk that says what it is told to."""

    def __init__(self, date, desk_says, closes=True):
        self.closes = closes
        self.date, self.at_us, self.rows, self.forgotten = date, TEN, {}, {}
        self.desk = SimpleNamespace(
            credit=lambda job: Outcome(desk_says, "1", job.amount_fen),
            reverse=lambda order, key, number, kind: Outcome(self.undone, "2", 5000),
        )
        self.undone = Result.APPROVED

    def ask(self, kind, amount_fen=5000, *, quarantined=False, spent=False):
        self.undone = Result.SPENT if spent else Result.APPROVED
        now = Now(self.at_us, self.at_us)
        # Closed at noon of the next day, unless something of it is open.
        through = shift(business_date(self.at_us, ZONE), -2) if self.closes else 0
        known = Kept(self.rows.values(), fences={"s": through})
        journal = Journal(known, self.desk, Calendar(now, ZONE), TERMS, now, "a")
        request = self.request(kind, amount_fen)
        reply = journal.quarantine(request) if quarantined else journal.decide([request])[0]
        changes = journal.changes()
        self.rows |= {row.key: row for row in (*changes.inserts, *changes.reversals)}
        return reply.result

    def request(self, kind, amount_fen):
        phone = "13800000001" if kind in (Kind.RECHARGE, Kind.BLOCK) else ""
        amount = amount_fen if kind in (Kind.RECHARGE, Kind.REVERSAL, Kind.VOID, Kind.BLOCK) else 0
        return Request(kind, "s", self.date, "1", "s", "0001", phone, amount, received_us=self.at_us)

    def wait(self, days):
        self.at_us += days * DAY_US
        if days > TERMS.keep_days:
            self.forgotten |= self.rows
            self.rows = {}

    @property
    def row(self):
        """What truly became of the serial, though the journal may know it no more."""
        return next(iter((self.forgotten | self.rows).values()), None)

    def stands(self, amount_fen=None):
        row = self.row
        content = amount_fen and content_of(self.request(Kind.RECHARGE, amount_fen))
        return bool(row and row.state is State.APPROVED and (not content or row.content == content))


# What happens to one serial: (what is asked, its amount, what hears it); a wait in days hears nothing.
STEPS = {
    "send": (Kind.RECHARGE, 5000),
    "send another amount": (Kind.RECHARGE, 7000),
    "block": (Kind.BLOCK, 5000),
    "query": (Kind.STATUS, 0),
    "reverse": (Kind.REVERSAL, 5000),
    "reverse another amount": (Kind.REVERSAL, 7000),
    "cancel": (Kind.VOID, 5000),
    "cancel what is spent": (Kind.VOID, 5000),
    "send, and fail in the core": (Kind.RECHARGE, 5000),
    "query, and fail in the core": (Kind.STATUS, 0),
    "reverse, and fail in the core": (Kind.REVERSAL, 5000),
    "wait until it is closed": 2,
    "wait until it is forgotten": 210,
}
DATES = [0, 1, -1, 2, -3]
DESK_SAYS = [Result.APPROVED, Result.NO_SUCH_PHONE]


def heard_in(history, date, desk_says, closes):
    """Live through a history; yield what each step heard, who heard it, and what was true then and later."""
    core, sent, told = Core(date, desk_says, closes), set(), []
    for name in history:
        if isinstance(STEPS[name], int):
            core.wait(STEPS[name])
            for one in told:
                one["later"].append(core.stands(one["amount"]))
            continue
        kind, amount = STEPS[name]
        result = core.ask(kind, amount, quarantined="fail" in name, spent="spent" in name)
        money = kind is Kind.RECHARGE
        if kind is not Kind.BLOCK:
            listener = {Kind.STATUS: "status", Kind.REVERSAL: "reversal", Kind.VOID: "void"}.get(kind, "")
            if money:
                listener = "repeat" if amount in sent else "alone"
            told.append({"listener": listener, "result": result, "amount": amount if money else None,
                             "then": core.stands(amount if money else None), "later": []})  # fmt: skip
        for one in told:
            one["later"].append(core.stands(one["amount"]))
        sent |= {amount} if money else set()
    return told


def settles(result, listener):
    """What the document says: a cancellation hears what a reversal does, but for spent money."""
    if listener == "void":
        return VOIDED.get(result, SETTLED[result][LISTENERS.index("reversal")])
    return SETTLED[result][LISTENERS.index(listener)]


@pytest.mark.parametrize("closes", [True, False], ids=["closing", "kept open"])
@pytest.mark.parametrize("desk_says", DESK_SAYS)
@pytest.mark.parametrize("days", DATES)
def test_no_history_of_a_serial_belies_what_the_document_says_of_a_code(days, desk_says, closes):
    for history in itertools.product(STEPS, repeat=3):
        for one in heard_in(history, shift(TODAY, days), desk_says, closes):
            verdict = settles(one["result"], one["listener"])
            case = (history, days, one)
            assert verdict != "unheard", case
            if verdict == "stands":
                assert one["then"], case
            if verdict == "none":
                assert not any(one["later"]), case


@pytest.mark.parametrize("refused", [r for r, v in SETTLED.items() if v[:3] == ("none",) * 3])
def test_what_the_desk_refuses_is_told_to_every_later_listener_as_the_document_says(refused):
    core = Core(TODAY, refused)
    assert core.ask(Kind.RECHARGE) is refused
    assert core.ask(Kind.RECHARGE) is refused
    assert core.ask(Kind.STATUS) is refused
    assert core.ask(Kind.REVERSAL) is Result.ORIGINAL_REFUSED


def test_no_result_of_the_edge_is_ever_kept_by_the_journal():
    kept = set()
    for history in itertools.product(STEPS, repeat=2):
        for days in DATES:
            core = Core(shift(TODAY, days), Result.APPROVED)
            for name in history:
                if not isinstance(STEPS[name], int):
                    core.ask(*STEPS[name], quarantined="fail" in name)
            kept |= {Result(row.result) for row in core.rows.values()}
    assert kept >= {Result.APPROVED, Result.BLOCKED, Result.NOT_FOUND, Result.QUARANTINED, Result.BAD_DATE}
    assert not kept & EDGE_RESULTS


@each_bank
def test_a_serial_is_called_free_exactly_where_the_edge_does_not_block_it(bank):
    facts = facts_of(bank)
    for result in {Result(number) for number in EDGE_RESULTS if number in set(Result)} | EARLY:
        refusal = Refusal(result, "", "", Key("s", TODAY, "1"), Kind.RECHARGE)
        blocked = facts.profile.blocks_first(refusal) and result is not Result.UNSUPPORTED
        assert verdicts(facts, result)[0] == ("none" if blocked else "free"), result


# -- as printed ----------------------------------------------------------------------------------------------


def printed(bank):
    """The rows of the table of codes, by code: the four verdicts."""
    row = re.compile(r"^\| `([^`]+)` \| [^|]+ \| (\S+) \| (\S+) \| (\S+) \| (\S+) \|", re.MULTILINE)
    rows = row.findall(chapters(text_of(bank, "en"))[9])
    return {code: verdicts for code, *verdicts in rows}


@each_bank
def test_the_codes_called_general_are_those_that_are_never_an_originals(bank):
    facts, codes = facts_of(bank), {}
    for name, code in facts.profile.table.results.codes.items():
        if is_heard(facts, Result[name.upper()]):
            codes.setdefault(code, set()).add(Result[name.upper()])
    expected = {code for code, results in codes.items() if results <= EDGE_RESULTS}
    for language, head in (("en", r"\*\*General codes\*\* are "), ("zh", r"\*\*通用码\*\*为 ")):
        said = re.search(head + r"((?:`[^`]+`(?:, )?)+)", chapters(text_of(bank, language))[9])[1]
        assert set(re.findall(r"`([^`]+)`", said)) == expected
    assert facts.code_of(Result.APPROVED).strip("`") not in expected


@each_bank
def test_every_codes_row_is_as_careful_as_its_most_careful_result(bank):
    facts = facts_of(bank)
    for code, row in printed(bank).items():
        results = codes_of(facts)[code]
        alone, *about = row
        if any(result in EDGE_RESULTS for result in results):
            assert about == ["open"] * 3, code
        assert (alone == "stands") == (results == [Result.APPROVED])
        assert not (alone == "none" and any(verdicts(facts, one)[0] == "free" for one in results))
        for at, word in enumerate(row):
            differing = {verdicts(facts, one)[at] for one in results} - {"unheard", word}
            assert not differing or word in ("open", "free"), code
    assert set(printed(bank)) == set(codes_of(facts))


@each_bank
def test_a_bare_refusal_shows_nothing_that_its_legend_leaves_out(bank):
    facts = facts_of(bank)
    bare = facts.sample("recharge", "bare") or next(one for one in facts.samples if one.part == "bare")
    reply = facts.profile.mapping.reply_of(bare.message)
    assert reply.result is Result.BAD_MAC
    assert reply.reply == Reply(Result.BAD_MAC)


@each_bank
def test_each_broken_request_is_said_to_be_answered_or_not(bank):
    facts = facts_of(bank)
    text = chapters(text_of(bank, "en"))[3]
    assert facts.borders
    for one in facts.borders:
        heard = (
            f"`{one.code}`" if one.code else "sent back with a reject code" if one.returned else "no answer"
        )
        assert f"| {one.words.en} | {heard}" in text
    assert any(not one.code for one in facts.borders)
    assert facts.code_of(Result.FORMAT).strip("`") in {one.code for one in facts.borders}


@each_bank
def test_waits_and_chapters_that_are_pointed_to_are_there(bank):
    for language in ("en", "zh"):
        text = text_of(bank, language)
        assert re.search(r"^### 8\.2 ", text, re.MULTILINE)
        for number in re.findall(r"(?:see |in |chapter |第 )(\d+\.\d)(?: 节)?[ .,;)，。；]", text):
            assert re.search(rf"^### {number} ", text, re.MULTILINE), number
    assert "No answer within 15 s" in text_of(bank, "en") or facts_of(bank).profile.limits.reply_seconds != 10
