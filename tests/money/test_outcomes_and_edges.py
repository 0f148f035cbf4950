"""Rules 5 to 8: budgets, unknown outcomes, what a bank may hear after forwarding, refusals at the edge."""

from qianzhi.domain.requests import Kind
from qianzhi.domain.results import Result
from tests.money.site import Stage

FIFTY = 5_000


def test_budget_spent_waiting(stage: Stage) -> None:
    site = stage()
    bank, seven = site.bank, site.bank.serial()

    with site.fault("database_restart"):
        original = bank.asks(seven)
        assert bank.hears(original, seconds=10) is Result.UNKNOWN
    site.until(lambda: site.row(seven.key), seconds=2)

    assert site.state(seven.key) == "BLOCKED"
    assert bank.hears(bank.queries(seven)) is Result.BLOCKED
    assert site.balance(seven.phone) == 0


def test_expired_not_forwarded(stage: Stage) -> None:
    site = stage("icbc")
    bank, seven = site.bank, site.bank.serial()

    message = bank.publishes(bank.writes(seven), expires_seconds=3)
    with site.frozen(site.front):
        site.run(5)
    site.run(5)

    assert message.answer is None
    assert not site.carried_out
    assert site.waiting_messages() == 0  # acknowledged, its silence is recorded
    assert site.noted("silent") == ["expired"]
    assert bank.hears(bank.queries(seven)) is Result.NOT_FOUND
    assert site.state(seven.key) == "BLOCKED"


def test_resend_to_partner(stage: Stage) -> None:
    site = stage()
    bank, seven = site.bank, site.bank.serial()

    site.at_commit(lambda: site.busy_node().kill())
    original = bank.asks(seven)

    assert bank.hears(original, seconds=8) is Result.APPROVED
    assert [node.kills for node in site.world.nodes].count(1) == 1
    assert [one.key for one in site.carried_out] == [seven.key, seven.key]
    assert site.balance(seven.phone) == FIFTY


def test_unknown_told_then_queried(stage: Stage) -> None:
    site = stage()
    bank, seven = site.bank, site.bank.serial()

    with site.fault("standby_cut"):  # written, and nobody hears of it
        assert bank.hears(bank.asks(seven)) is Result.UNKNOWN
    assert bank.hears(bank.queries(seven)) is Result.APPROVED
    assert site.balance(seven.phone) == FIFTY


def test_late_reply_dropped(stage: Stage) -> None:
    site = stage()
    bank, seven = site.bank, site.bank.serial()

    with site.fault("standby_cut"):
        assert bank.hears(bank.asks(seven)) is Result.UNKNOWN
        assert not site.carried_out  # the core has not said a word yet
    site.run(5)

    assert site.carried_out
    assert site.state(seven.key) == "APPROVED"
    assert bank.heard == [Result.UNKNOWN]
    assert site.counts["qianzhi_link_late_answers_total"] >= 1


def test_silence_then_asked(stage: Stage) -> None:
    site = stage("undated")
    bank, seven = site.bank, site.bank.serial()

    with site.fault("standby_cut"):
        original = bank.asks(seven)
        site.until(lambda: site.noted("silent"))
    site.run(5)
    assert original.answer is None  # neither then nor later, when the core has answered
    assert site.noted("silent") == ["unknown"]

    assert bank.hears(bank.queries(seven)) is Result.APPROVED
    assert bank.heard == [Result.APPROVED]
    assert site.balance(seven.phone) == FIFTY


def test_refused_after_block_alone(stage: Stage) -> None:
    site = stage()
    bank, seven = site.bank, site.bank.serial(fen=900_000_000)  # more than this bank may ask for

    with site.frozen(site.bridge, site.other_bridge):
        original = bank.asks(seven)
        site.run(1)
        assert original.answer is None  # nothing is said before the core has said it
    assert bank.hears(original) is Result.AMOUNT_LIMIT

    assert site.state(seven.key) == "BLOCKED"
    assert site.row(seven.key).kind == Kind.BLOCK
    assert not site.carried_out


def test_busy_then_approved(stage: Stage) -> None:
    site = stage(in_flight=5)
    bank = site.bank
    seven = bank.serial(phone=site.phone())

    with site.frozen(site.bridge, site.other_bridge):
        others = [bank.asks(bank.serial(phone=site.phone(owing=True))) for _ in range(2)]
        site.run(0.2)
        refused = bank.asks(seven)
        assert bank.hears(refused, seconds=1) is Result.BUSY
    assert site.state(seven.key) == ""
    assert [bank.hears(one) for one in others] == [Result.APPROVED] * 2

    assert bank.hears(bank.asks(seven)) is Result.APPROVED
    assert site.balance(seven.phone) == FIFTY


def test_paused_queue_served_later(stage: Stage) -> None:
    site = stage("icbc")
    bank, seven, eight = site.bank, site.bank.serial(), site.bank.serial()

    for node in site.world.nodes:
        node.kill()
    site.run(1)
    first = bank.asks(seven)
    site.run(1)
    second = bank.asks(eight)
    site.run(1)
    assert first.answer is second.answer is None
    assert site.waiting_messages() == 2

    for node in site.world.nodes:
        node.start()
    assert bank.hears(first) is bank.hears(second) is Result.APPROVED
    assert Result.BUSY not in bank.heard


def test_queue_refusal_blocks_first(stage: Stage) -> None:
    site = stage("icbc")
    bank, seven = site.bank, site.bank.serial(fen=900_000_000)  # more than this bank may ask for

    with site.frozen(site.bridge, site.other_bridge):
        original = bank.asks(seven)
        site.run(1)
        assert original.answer is None
        assert site.waiting_messages() == 1  # not acknowledged either
    assert bank.hears(original) is Result.AMOUNT_LIMIT
    assert site.state(seven.key) == "BLOCKED"

    site.front.kill()
    site.front.start()
    again = bank.sends(bank.copy_of(original))  # as a broker may deliver it again
    assert bank.hears(again) is not Result.APPROVED
    assert site.state(seven.key) == "BLOCKED"
    assert not site.carried_out


def test_reversal_through_drain(stage: Stage) -> None:
    site = stage()
    bank, seven, eight = site.bank, site.bank.serial(), site.bank.serial()
    assert bank.hears(bank.asks(seven)) is Result.APPROVED

    with site.drained(site.front):
        assert bank.hears(bank.asks(eight)) is Result.UNAVAILABLE
        assert bank.hears(bank.reverses(seven)) is Result.APPROVED

    assert site.state(seven.key) == "REVERSED"
    assert site.state(eight.key) == ""
    assert site.balance(seven.phone) == 0
