"""Rule 9: a queue's message is acknowledged once its end is certain, and is harmless when it comes again."""

from qianzhi.domain.results import Result
from tests.money.site import Stage

FIFTY = 5_000


def test_redelivery_after_crash(stage: Stage) -> None:
    site = stage("icbc")
    bank, seven = site.bank, site.bank.serial()

    site.at_commit(site.front.kill)
    original = bank.asks(seven)
    site.until(lambda: site.front.kills)
    assert original.answer is None
    assert site.waiting_messages() == 1
    site.front.start()

    assert bank.hears(original) is Result.APPROVED
    site.run(1)
    assert site.waiting_messages() == 0
    assert [one.key for one in site.carried_out] == [seven.key, seven.key]
    assert site.balance(seven.phone) == FIFTY


def test_confirm_lost(stage: Stage) -> None:
    site = stage("icbc")
    bank, seven = site.bank, site.bank.serial()

    lost = site.begin("confirm_lost")
    original = bank.asks(seven)
    site.until(lambda: site.saw("confirm-lost"))
    site.end(lost)
    site.run(10)

    assert bank.told(original) is Result.APPROVED
    assert bank.answers == 2  # the same twice
    assert site.waiting_messages() == 0
    assert site.balance(seven.phone) == FIFTY


def test_reply_unroutable(stage: Stage) -> None:
    site = stage("icbc")
    bank, seven = site.bank, site.bank.serial()

    with site.fault("reply_queue_gone"):
        original = bank.asks(seven)
        site.run(3)
        assert original.answer is None
        assert "answers_returned" in site.alarms
        assert site.waiting_messages() == 0  # acknowledged all the same

    assert bank.hears(bank.queries(seven)) is Result.APPROVED
    assert site.balance(seven.phone) == FIFTY


def test_poison_backed_out(stage: Stage) -> None:
    site = stage("icbc")
    bank, seven, eight = site.bank, site.bank.serial(), site.bank.serial()

    poison, beside = bank.writes(seven), bank.writes(eight)
    site.poisons(poison)
    bank.sends(poison)
    bank.sends(beside)

    assert bank.hears(beside) is Result.APPROVED
    site.until(lambda: site.broker.backed_out)
    assert [(queue, kept.body) for queue, kept in site.broker.backed_out] == [("icbc.bo", poison.out.frame)]
    assert site.front.kills == 3
    assert site.state(seven.key) == ""
    assert poison.answer is None
